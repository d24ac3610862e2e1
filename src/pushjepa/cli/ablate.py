"""``pushjepa ablate``."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pushjepa.cli.common import JsonOption, WorkersOption, command_line, console, missing_extra, progress_bar, say

if TYPE_CHECKING:
    from pushjepa.evaluation.results import Row
    from pushjepa.training.ablations import Ablation
    from pushjepa.training.presets import Preset


def ablate(
    names: Annotated[list[str] | None, typer.Argument(help="Which (default: all); --list tells what there is.")] = None,
    show: Annotated[bool, typer.Option("--list", help="List the ablations and stop.")] = False,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of data, runs and table.")] = Path(
        "runs/ablations"
    ),
    preset: Annotated[
        str | None, typer.Option(help="Another base: a .toml file without an unroll, whose phase 0 is joint.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=20, help="Episodes to train on.")] = 2000,
    calibration: Annotated[int, typer.Option(min=1, help="Episodes to calibrate on.")] = 150,
    rank_positions: Annotated[int, typer.Option(min=0, help="Positions for the rank correlation.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the calibration; data and training have their own.")] = 7,
    workers: WorkersOption = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of training and model.")] = None,
    json: JsonOption = None,
) -> None:
    """Train small models from scratch that differ in one thing, calibrate each, and print one table.

    Minutes each on two cores; what OUT holds already is kept. Ask for base as well, to have something to compare with.
    """
    from pushjepa.evaluation.ablations import LATER

    try:
        from pushjepa.training.ablations import ABLATIONS, PRESET, get_ablations, load_recipe
    except ModuleNotFoundError as error:
        raise missing_extra(error, "training") from None

    if show:
        for ablation in ABLATIONS:
            say(f"{ablation.name:14} {ablation.words}")
        return
    wanted = [(ablation, load_recipe(preset or PRESET, ablation)) for ablation in get_ablations(names or [])]
    figures = {"episodes": calibration, "seed": seed, "rank_positions": rank_positions, "turns_ahead": LATER}
    run = _Run(out, episodes, figures, workers, threads)
    _report([run.row(ablation, recipe) for ablation, recipe in wanted], out, seed, json)


class _Run:
    """Trains and measures one ablation after the other, all in one folder.

    Args:
        out: folder of data, runs and rows.
        episodes: to train on.
        figures: what a row says; kept rows that say something else are measured again.
        workers: processes that make data and measure; None for one a core.
        threads: CPU threads; None for one a core.
    """

    def __init__(
        self, out: Path, episodes: int, figures: dict[str, int], workers: int | None, threads: int | None
    ) -> None:
        self._out, self._episodes, self._figures = out, episodes, figures
        self._workers, self._threads = workers, threads

    def row(self, ablation: Ablation, preset: Preset) -> Row:
        """The row of one ablation, from the folder or made anew.

        Raises:
            ValueError: the folder holds one of that name that was made otherwise.
        """
        from pushjepa.evaluation.results import write_results

        folder = self._out / ablation.name
        self._claim(ablation, preset)
        path = folder / "row.json"
        kept: dict[str, Any] = jsons.loads(path.read_text()) if path.exists() else {}
        if kept.get("figures") != self._figures:
            if not (folder / "checkpoint" / "config.json").exists():
                self._train(ablation, preset)
            kept = {"figures": self._figures, "row": self._measure(ablation, preset, folder / "checkpoint")}
            write_results(path, kept)
        row: Row = kept["row"]
        return row

    def _claim(self, ablation: Ablation, preset: Preset) -> None:
        """Write down what the weights depend on, or refuse a folder in which they depend on something else."""
        from pushjepa.evaluation.results import write_results
        from pushjepa.runtime.checkpoint import weights_digest

        start = weights_digest(self._out / ablation.after / "checkpoint") if ablation.after else None
        recipe = {"preset": preset.to_dict(), "acting": ablation.acting, "episodes": self._episodes, "start": start}
        path, ours = self._out / ablation.name / "recipe.json", jsons.loads(jsons.dumps(recipe))
        if not path.exists():
            write_results(path, ours)
        elif jsons.loads(path.read_text()) != ours:
            raise ValueError(f"{path.parent} holds a run of another recipe; choose another --out or delete it")

    def _train(self, ablation: Ablation, preset: Preset) -> None:
        """Make data and checkpoint of one ablation; a run that was stopped goes on."""
        try:
            from pushjepa.training.recipe import TrainingOptions, train
        except ModuleNotFoundError as error:
            raise missing_extra(error, "training") from None
        from pushjepa.data import generate

        data = self._out / f"episodes-{ablation.acting}"
        with progress_bar(f"episodes, acting by {ablation.acting}") as report:
            generate(data, self._episodes, workers=self._workers, progress=report, acting=ablation.acting)
        start = self._out / ablation.after / "checkpoint" if ablation.after else None
        say(f"{ablation.name}: {ablation.words}")
        train(preset, TrainingOptions((data,), self._out / ablation.name, start, threads=self._threads))

    def _measure(self, ablation: Ablation, preset: Preset, checkpoint: Path) -> Row:
        from pushjepa.evaluation import calibrate
        from pushjepa.evaluation.ablations import ablation_row
        from pushjepa.evaluation.results import plain
        from pushjepa.runtime import load_model

        model = load_model(str(checkpoint), threads=self._threads)
        with progress_bar(f"calibration of {ablation.name}") as report:
            rows = calibrate(
                model,
                self._figures["episodes"],
                self._figures["seed"],
                rank_positions=self._figures["rank_positions"],
                workers=self._workers,
                progress=report,
            )
        joint = jsons.loads((checkpoint / "config.json").read_text())["metrics"]["0-joint"]
        if not preset.loss.state:
            joint = joint | {"val_state": None}  # of a head that has learned nothing yet
        row: Row = plain(ablation_row(ablation.name, ablation.words, joint, rows))
        return row


def _report(rows: list[Row], out: Path, seed: int, json: Path | None) -> None:
    from pushjepa.evaluation.ablations import ablation_table
    from pushjepa.evaluation.results import make_results, write_results

    results = make_results(command_line(), seed, rows)
    for path in [out / "ablations.json", *([json] if json else [])]:
        write_results(path, results)
    console.print(ablation_table(rows), highlight=False, markup=False, soft_wrap=True)
    say(f"figures with intervals in {out / 'ablations.json'}")
