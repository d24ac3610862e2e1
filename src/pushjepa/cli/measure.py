"""``pushjepa match``, ``calibrate`` and ``bench``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

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
)

Row = Mapping[str, Any]
_PLAYERS = (
    "jepa, jepa-goal, jepa-near, jepa-margin, jepa-reply (each also with a budget, @96x6, and +prior, +value, +reply, "
    "or +guard), oracle and so on likewise, random, passive, chase_t, adversarial, shove, or package.module:factory"
)


def match(
    p1: Annotated[str, typer.Option(help=f"Whose results are reported: {_PLAYERS}.")] = "jepa",
    p2: Annotated[str, typer.Option(help="Against whom, named likewise.")] = "passive",
    stage: Annotated[list[str] | None, typer.Option(help="A stage; repeat for several (default: open).")] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Start positions, each played twice with the seats swapped.")] = 50,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = 1,
    device: DeviceOption = "cpu",
    json: JsonOption = None,
) -> None:
    """Play pairs of matches between two players and print the rates with their intervals."""
    from pushjepa.evaluation.match_play import ModelOptions, play_pairs

    allow_own_players()
    options = ModelOptions(model=model, threads=threads, device=device)
    rows = []
    for name in stage or ["open"]:
        with progress_bar(f"pairs on {name}") as report:
            rows.append(play_pairs(p1, p2, name, pairs, seed, workers=workers, options=options, progress=report))
    _print_match(rows)
    _write(json, seed, rows)


def _print_match(rows: Sequence[Row]) -> None:
    """One column per stage: figures with their intervals are too wide to stand side by side."""
    table = Table(title=f"{rows[0]['p1']} against {rows[0]['p2']}, {rows[0]['pairs']} pairs, {rows[0]['n']} matches")
    table.add_column("")
    for row in rows:
        table.add_column(row["stage"], justify="right")
    for name in ("win_rate", "draw_rate", "loss_rate"):
        table.add_row(name.replace("_rate", " %"), *(_with_interval(row, name, 100) for row in rows))
    table.add_row("net progress px", *(_with_interval(row, "net_progress") for row in rows))
    table.add_row("win % as p1 / as p2", *(_split(row["win_rate_by_seat"]) for row in rows))
    table.add_row("win % moving first / second", *(_split(row["win_rate_by_first"]) for row in rows))
    table.add_row("ms a turn, median / 95%", *(f"{r['plan_ms_median']:.0f} / {r['plan_ms_p95']:.0f}" for r in rows))
    console.print(table)


def _split(rates: Mapping[str, float]) -> str:
    """Two rates as whole percentages; a dash where no match was of that kind."""
    return " / ".join(f"{100 * rates[side]:.0f}" if side in rates else "-" for side in ("p1", "p2"))


def _with_interval(row: Row, name: str, scale: float = 1.0, digits: int = 1) -> str:
    """A figure with its 95% interval."""
    value, low, high = (scale * number for number in (row[name], *row[f"{name}_ci"]))
    return rf"{value:.{digits}f} \[{low:.{digits}f}, {high:.{digits}f}]"  # the backslash: rich would read markup


def _write(path: Path | None, seed: int, rows: Sequence[Row]) -> None:
    """Write the results object, with the command that makes it again."""
    if path is None:
        return
    from pushjepa.evaluation.results import make_results, write_results

    write_results(path, make_results(command_line(), seed, rows))


def calibrate(
    episodes: Annotated[int, typer.Option(min=1, help="How many episodes, or matches.")] = 300,
    seed: SeedOption = 7,
    source: Annotated[
        Literal["episodes", "matches", "strangers"], typer.Option(help="Where the positions come from.")
    ] = "episodes",
    stage: Annotated[list[str] | None, typer.Option(help="A stage; repeat for several (default: all).")] = None,
    rank_positions: Annotated[
        int, typer.Option(min=0, help="Positions for the rank correlation; 0 leaves it out.")
    ] = 200,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    json: JsonOption = None,
) -> None:
    """Measure how well a world model sees and foresees, in board pixels and degrees."""
    from pushjepa.evaluation.calibration import calibrate as measure
    from pushjepa.relay import get_stage
    from pushjepa.runtime import load_model
    from pushjepa.runtime.checkpoint import resolve, weights_digest

    stages = [get_stage(name).name for name in stage] if stage else None
    loaded, weights = load_model(model, threads=threads, device=device), weights_digest(resolve(model))
    with progress_bar(source) as report:
        rows = measure(loaded, episodes, seed, source, stages, rank_positions=rank_positions, progress=report)
    _print_calibration(rows)
    _write(json, seed, [row | {"weights": weights} for row in rows])


def _print_calibration(rows: Sequence[Row]) -> None:
    """Mean and 95th percentile of each error; the intervals stand in the JSON.

    ``simulator`` is what the true simulator is off by when it starts from what the model decodes: the cost of seeing.
    """
    table = Table(title=f"{rows[0]['episodes']} {rows[0]['source']}: mean (95th percentile)")
    for name in ("turns", "of which", "n", "agent px", "waiter px", "block px", "angle deg", "copy px", "push"):
        table.add_column(name, justify="left" if name == "of which" else "right")
    for row in rows:
        errors = _errors(row, "")
        copy = "-" if row["copy_block_px"] is None else f"{row['copy_block_px']:.1f}"
        push = "-" if row["push_ratio"] is None else f"{row['push_ratio']:.2f}"
        table.add_row(str(row["turns_ahead"]), row["condition"], str(row["n"]), *errors, copy, push)
        if "simulator_agent_px" in row:
            table.add_row("", "simulator", "", *_errors(row, "simulator_"), "", "")
    console.print(table)
    ranked = next((row for row in rows if row["rank_correlation"] is not None), None)
    if ranked is not None:
        console.print(f"rank correlation {_with_interval(ranked, 'rank_correlation', digits=2)}")
        if "rank_correlation_px" in ranked:
            console.print(f"costs to the whole pixel {_with_interval(ranked, 'rank_correlation_px', digits=2)}")


def _errors(row: Row, prefix: str) -> list[str]:
    """The four errors of a row, or of its baseline, with their 95th percentiles."""
    names = [prefix + name for name in ("agent_px", "waiter_px", "block_px", "angle_deg")]
    return ["-" if row[name] is None else f"{row[name]:.1f} ({row[f'{name}_p95']:.1f})" for name in names]


def bench(
    player: Annotated[
        list[str] | None, typer.Option(help="A planner, as in `pushjepa match`; repeat to compare (default: jepa).")
    ] = None,
    turns: Annotated[int, typer.Option(min=1, help="Turns planned in each run, after a warm-up.")] = 50,
    runs: Annotated[int, typer.Option(min=1, help="How often; the median run counts.")] = 3,
    seed: SeedOption = 0,
    stage: Annotated[str, typer.Option(help="Where.")] = "open",
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    json: JsonOption = None,
) -> None:
    """Time the planning of a turn, one player after the other in each run, beside the machine's matrix products."""
    from pushjepa.evaluation.match_play import ModelOptions
    from pushjepa.evaluation.speed import measure_planning
    from pushjepa.planning import make_planner
    from pushjepa.relay import get_stage

    options = ModelOptions(model=model, threads=threads, device=device)
    loaded = options.load()
    names = tuple(dict.fromkeys(player or ["jepa"]))
    advice = {name: options.advice_for(name) for name in names}
    for name in names:  # a name that is no planner's is refused before any is timed
        make_planner(name, "p1", get_stage(stage), model=loaded, advice=advice[name])
    rows: list[Row] = []
    for run in range(runs):
        for name in names:
            with progress_bar(f"run {run + 1} of {runs}, {name}") as report:
                row = measure_planning(
                    loaded, player=name, advice=advice[name], stage=stage, turns=turns, seed=seed, progress=report
                )
            rows.append({"run": run} | row)
    _write(json, seed, rows)
    print_bench(rows)


def print_bench(rows: Sequence[Row]) -> None:
    """One line per player: medians over the runs, and the ratio to the first player's median within the same run."""
    first, runs = rows[0], rows[-1]["run"] + 1
    table = Table(title=f"Planning a turn on {first['stage']}, {first['n']} turns a run, {runs} runs")
    for name in ("player", "budget", "median ms", "95% ms", "times the first"):
        table.add_column(name, justify="left" if name == "player" else "right")
    medians: dict[str, list[float]] = {}
    for row in rows:
        medians.setdefault(row["player"], []).append(row["plan_ms_median"])
    base = medians[first["player"]]
    for name, taken in medians.items():
        own = [row for row in rows if row["player"] == name]
        tail = median(row["plan_ms_p95"] for row in own)
        ratio = median(mine / theirs for mine, theirs in zip(taken, base, strict=True))
        budget = f"{own[0]['candidates']} x {own[0]['iterations']}"
        table.add_row(name, budget, f"{median(taken):.0f}", f"{tail:.0f}", f"{ratio:.2f}")
    console.print(table)
    console.print(f"machine: {median(row['matmul_gflops'] for row in rows):.0f} GFLOP/s of fp32 matrix products")
