"""``pushjepa generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pushjepa.cli.common import SeedOption, WorkersOption, progress_bar, say


def generate(
    out: Annotated[Path, typer.Option(help="Folder of the episode store.")] = Path("data/episodes"),
    episodes: Annotated[int, typer.Option(min=1, help="How many.")] = 12_500,
    steps: Annotated[int, typer.Option(min=5, help="Env steps in each, a multiple of 5.")] = 40,
    seed: SeedOption = 0,
    stage: Annotated[list[str] | None, typer.Option(help="A stage; repeat for several. (default: all)")] = None,
    workers: WorkersOption = None,
    acting: Annotated[
        Literal["turn", "step"],
        typer.Option(help="Who acts in 5 env steps: one agent in all of them, or both, alternating at every step."),
    ] = "turn",
    visited: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Branch the episodes from the matches that selfplay wrote to this file."),
    ] = None,
) -> None:
    """Make training episodes, or finish a store that was interrupted."""
    from pushjepa.data import branch
    from pushjepa.data import generate as make_episodes

    if visited is not None and stage:
        raise ValueError("episodes from --visited are on the stages of its matches; leave --stage out")
    if visited is not None and acting != "turn":
        raise ValueError("episodes from --visited are of whole turns, as its matches are; leave --acting out")
    with progress_bar("episodes") as report:
        if visited is None:
            make_episodes(out, episodes, steps, seed, stage or None, workers, report, acting=acting)
        else:
            branch(visited, out, episodes, seed, steps, workers, report)
    say(f"{episodes:,} episodes, {episodes * steps:,} env steps, in {out}")
