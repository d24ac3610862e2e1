"""``pushjepa selfplay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pushjepa.cli.common import ModelOption, SeedOption, WorkersOption, progress_bar, say


def selfplay(
    out: Annotated[Path, typer.Option(dir_okay=False, help="The file to write.")] = Path("data/experience.npz"),
    player: Annotated[str, typer.Option(help="As whom it plays: jepa, jepa-margin, ...")] = "jepa",
    matches: Annotated[int, typer.Option(min=1, help="How many.")] = 400,
    seed: SeedOption = 11,
    stage: Annotated[list[str] | None, typer.Option(help="A stage; repeat for several. (default: all)")] = None,
    workers: WorkersOption = None,
    model: ModelOption = None,
) -> None:
    """Let a world model play, and keep what its search asks about: `generate --visited` branches episodes from it."""
    from pushjepa.planning import gather

    if out.exists():
        raise ValueError(f"{out} exists already; choose another file")
    with progress_bar("matches") as report:
        experience = gather(model, matches, seed, stage or None, workers, player=player, progress=report)
    experience.save(out)
    say(f"{matches:,} matches in {out}")
