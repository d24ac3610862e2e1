"""``pushjepa evaluate``: whole reports."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pushjepa.cli.common import (
    DeviceOption,
    JsonOption,
    ModelOption,
    SeedOption,
    ThreadsOption,
    WorkersOption,
    allow_own_players,
    command_line,
    console,
    progress_bar,
    progress_console,
    say,
)

if TYPE_CHECKING:
    from pushjepa.evaluation.results import Row
    from pushjepa.evaluation.suite import Part, Progress, Suite

app = typer.Typer(help="Measure one player whole and write a report with tables and figures.")


@app.callback()
def root() -> None:
    """Measure one player whole and write a report with tables and figures."""


@app.command("relay")
def relay(
    player: Annotated[str, typer.Option(help="Whose report it is.")] = "jepa-reply",
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="An opponent; repeat for several (default: the scripted five, oracle, oracle-margin, oracle-reply)."
        ),
    ] = None,
    stage: Annotated[list[str] | None, typer.Option(help="A stage; repeat for several (default: all).")] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Start positions for each opponent and stage.")] = 100,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes, and matches, to calibrate on.")] = 300,
    rank_positions: Annotated[int, typer.Option(min=0, help="Positions for the rank correlation.")] = 200,
    out: Annotated[Path, typer.Option(file_okay=False, help="The report's folder.")] = Path("reports/relay"),
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = 1,
    device: DeviceOption = "cpu",
    json: JsonOption = None,
) -> None:
    """Play every opponent on every stage and measure the model; parts that the folder holds already are kept."""
    from pushjepa.evaluation.match_play import ModelOptions
    from pushjepa.evaluation.report import match_table, write_report
    from pushjepa.evaluation.results import make_results, write_results
    from pushjepa.evaluation.suite import OPPONENTS_OF_A_REPORT, Suite, flat_rows
    from pushjepa.relay import STAGES

    allow_own_players()
    suite = Suite(
        player=player,
        opponents=tuple(against or OPPONENTS_OF_A_REPORT),
        stages=tuple(stage or STAGES),
        pairs=pairs,
        seed=seed,
        episodes=episodes,
        positions=rank_positions,
        options=ModelOptions(model=model, threads=threads, device=device),
    )
    measured = _measure(suite, out, workers)
    rows = flat_rows(measured)
    results = make_results(command_line(), seed, rows)
    write_report(out, results, rows, _figures(out, [row for _, part in measured for row in part]))
    if json is not None:
        write_results(json, results)
    console.print(match_table([row for row in rows if "win_rate" in row]), highlight=False, markup=False)
    say(f"report in {out / 'report.md'}")


def _measure(suite: Suite, out: Path, workers: int | None) -> list[tuple[Part, list[Row]]]:
    """Run the suite with one progress bar for each part."""
    from pushjepa.evaluation.suite import run_suite

    with ExitStack() as bars:

        def begin(part: Part) -> Progress:
            bars.close()  # the bar of the part before
            return bars.enter_context(progress_bar(part.title))

        return run_suite(suite, out, workers=workers, on_part=begin)


def _figures(out: Path, rows: list[Row]) -> list[str]:
    from pushjepa.evaluation.figures import draw_figures

    try:
        return draw_figures(out, rows)
    except ModuleNotFoundError:
        progress_console.print(
            "no figures: they need matplotlib; install it, or the extra `train` (tools/setup.sh full)"
        )
        return []
