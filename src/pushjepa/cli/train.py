"""``pushjepa train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pushjepa.cli.common import missing_extra, say

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Override an entry of the preset, such as loss.state=1 or phase.0.steps=99; repeatable."
    ),
]


def train(
    preset: Annotated[
        str, typer.Option(help="compact, vit-tiny, plain, or a .toml file; Push-T has a command of its own.")
    ] = "compact",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="An episode store, from `pushjepa generate`; repeatable. (default: data/episodes)"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. (default: runs/PRESET)")] = None,
    init_from: Annotated[Path | None, typer.Option(help="A checkpoint folder whose weights to start from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw frames; 0 draws in this one.")] = 0,
    compile_parts: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the model. (default: on a GPU)")
    ] = None,
    changes: SetOption = None,
) -> None:
    """Train a world model; the finished checkpoint lies in OUT/checkpoint."""
    stores = tuple(data or [Path("data/episodes")])
    run_recipe(preset, stores, out, init_from, resume, device, threads, workers, changes or (), compile_parts)


def run_recipe(
    preset: str,
    data: tuple[Path, ...],
    out: Path | None,
    init_from: Path | None,
    resume: bool,
    device: str,
    threads: int | None,
    workers: int,
    changes: Sequence[str] = (),
    compile_parts: bool | None = None,
) -> None:
    """Train by a preset of either task, some of whose entries may be changed; say where the checkpoint lies."""
    try:
        from pushjepa.training.presets import load_preset

        recipe = load_preset(preset, changes)  # before Lightning, which takes its time to load
        from pushjepa.training.recipe import TrainingOptions
        from pushjepa.training.recipe import train as run
    except ModuleNotFoundError as error:
        raise missing_extra(error, "training") from None
    if changes and out is None:
        raise ValueError("--set makes another recipe of the preset; say by --out where its run is to lie")
    folder = out or Path("runs") / recipe.name
    if (folder / "run.json").exists() and not resume:
        raise ValueError(f"{folder} holds a run already; go on with it by --resume, or choose another --out")
    if resume and not (folder / "run.json").exists():
        raise ValueError(f"{folder} holds no run to go on with; leave --resume out to start one")
    options = TrainingOptions(
        data, folder, init_from, device=device, threads=threads, workers=workers, compile=compile_parts
    )
    say(f"checkpoint in {run(recipe, options)}")
