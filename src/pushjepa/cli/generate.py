"""``pushjepa generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pushjepa.cli.common import SeedOption, WorkersOption, progress_bar, say


def generate(
    out: Annotated[Path, typer.Option(help="Folder of the episode store.")] = Path("data/episodes"),
    episodes: Annotated[int, typer.Option(min=1, help="How many.")] = 12_500,
    steps: Annotated[int, typer.Option(min=5, help="Env steps in each, a multiple of 5.")] = 40,
    seed: SeedOption = 0,
    stage: Annotated[list[str] | None, typer.Option(help="A stage; repeat for several. (default: all)")] = None,
    workers: WorkersOption = None,
) -> None:
    """Make training episodes, or finish a store that was interrupted."""
    from pushjepa.data import generate as make_episodes

    with progress_bar("episodes") as report:
        make_episodes(out, episodes, steps, seed, stage or None, workers, report)
    say(f"{episodes:,} episodes, {episodes * steps:,} env steps, in {out}")
