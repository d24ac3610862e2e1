"""``pushjepa pusht``: single-player Push-T."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pushjepa.cli.common import (
    JsonOption,
    SeedOption,
    ThreadsOption,
    WorkersOption,
    command_line,
    console,
    missing_extra,
    progress_bar,
)
from pushjepa.cli.train import run_recipe

if TYPE_CHECKING:
    from pushjepa.evaluation.results import Row
    from pushjepa.pusht.collect import Trajectories

app = typer.Typer(help="Single-player Push-T, on stable-worldmodel's environment.")


@app.callback()
def root() -> None:
    """Single-player Push-T, on stable-worldmodel's environment."""


@app.command()
def collect(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the trajectories.")] = Path("data/pusht"),
    episodes: Annotated[int, typer.Option(min=1, help="How many.")] = 2000,
    limit: Annotated[int, typer.Option(min=1, help="Env steps after which one ends unsolved.")] = 300,
    size: Annotated[int, typer.Option(min=16, max=512, help="Height and width of the frames, px.")] = 112,
    frames: Annotated[bool, typer.Option(help="Write OUT/pusht.h5 with every frame, for stable-worldmodel.")] = True,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    json: JsonOption = None,
) -> None:
    """Have the expert play, or finish a collection that was interrupted; prints how often it solved its task."""
    from pushjepa.evaluation.results import make_results, write_results
    from pushjepa.pusht.collect import CollectOptions, export_hdf5
    from pushjepa.pusht.collect import collect as run

    with progress_bar("trajectories") as report:
        found = run(out, CollectOptions(episodes, seed, limit), workers, report)
    rows = expert_rows(found)
    for row in rows:
        low, high = (100 * bound for bound in row["success_rate_ci"])
        console.print(
            rf"{row['condition']}: {row['n']:,} trajectories, {row['steps_mean']:.0f} steps on average, "
            rf"{100 * row['success_rate']:.1f}% \[{low:.1f}, {high:.1f}] solved",
            highlight=False,
        )
    if frames:
        with progress_bar("drawing") as report:
            export_hdf5(found, out / "pusht.h5", size, report)
        console.print(f"{out / 'pusht.h5'} ({(out / 'pusht.h5').stat().st_size / 1e6:,.0f} MB)", highlight=False)
    if json is not None:
        write_results(json, make_results(command_line(), seed, rows))


@app.command()
def train(
    preset: Annotated[str, typer.Option(help="pusht-compact, pusht-slots, or a .toml file.")] = "pusht-compact",
    data: Annotated[Path, typer.Option(help="Trajectories, from `pushjepa pusht collect`.")] = Path("data/pusht"),
    out: Annotated[Path | None, typer.Option(help="Folder of the run. (default: runs/PRESET)")] = None,
    init_from: Annotated[Path | None, typer.Option(help="A checkpoint folder whose weights to start from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: ThreadsOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw frames; 0 draws in this one.")] = 0,
) -> None:
    """Train a world model of Push-T; the finished checkpoint lies in OUT/checkpoint."""
    run_recipe(preset, data, out, init_from, resume, device, threads, workers)


@app.command("eval")
def evaluate(
    player: Annotated[
        list[str] | None,
        typer.Option(help="random, expert, oracle or model; repeat for several (default: the first three)."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(file_okay=False, help="Checkpoint folder of the player `model`.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Held-out trajectories, from `pushjepa pusht collect`.")] = Path(
        "data/pusht-eval/pusht.h5"
    ),
    offset: Annotated[int, typer.Option(min=1, help="Env steps between start and goal on a trajectory.")] = 25,
    budget: Annotated[int, typer.Option(min=1, help="Env steps that a player has.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, help="How often tasks are drawn.")] = 5,
    episodes: Annotated[int, typer.Option(min=1, help="Tasks of each seed.")] = 50,
    candidates: Annotated[int, typer.Option(min=2, help="Plans in one iteration of a search.")] = 300,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations of a search.")] = 10,
    receding: Annotated[int, typer.Option(min=1, max=5, help="Blocks that are played before the next plan.")] = 5,
    video: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for films of the first seed.")] = None,
    json: JsonOption = None,
) -> None:
    """Have players reach states that lie ahead on held-out expert trajectories, judged by the environment."""
    from pushjepa.evaluation.results import make_results, write_results
    from pushjepa.planning import Budget

    try:
        from pushjepa.evaluation.pusht import evaluate_pusht
        from pushjepa.pusht.tasks import ExpertData, Search
    except ModuleNotFoundError as error:
        raise missing_extra(error, "Push-T", "pusht") from None
    search = Search(Budget(candidates, iterations, elite_fraction=0.1), receding=receding)
    with progress_bar("episodes") as report:
        rows = evaluate_pusht(
            ExpertData(data),
            player or ("random", "expert", "oracle"),
            model=model,
            goal_offset=offset,
            budget=budget,
            eval_seeds=seeds,
            episodes=episodes,
            search=search,
            video=video,
            progress=report,
        )
    table = Table(title=f"Push-T, goals {offset} steps ahead, budget {budget}, {seeds} x {episodes} episodes")
    for name in ("player", "success %", "by seed", "s a plan"):
        table.add_column(name, justify="left" if name == "player" else "right")
    for row in rows:
        low, high = (100 * bound for bound in row["success_rate_ci"])
        each = " ".join(f"{100 * rate:.0f}" for rate in row["success_by_seed"])
        taken = "-" if row["replan_s_median"] is None else f"{row['replan_s_median']:.2f}"
        table.add_row(row["policy"], rf"{100 * row['success_rate']:.1f} \[{low:.1f}, {high:.1f}]", each, taken)
    console.print(table)
    if json is not None:
        write_results(json, make_results(command_line(), 0, rows))


def expert_rows(found: Trajectories) -> list[Row]:
    """How often the expert solved its task, with a steady hand and with a trembling one."""
    from pushjepa.evaluation.statistics import wilson

    rows: list[Row] = []
    for condition, chosen in (("steady", found.clean), ("trembling", ~found.clean)):
        count, solved = int(chosen.sum()), int(found.solved[chosen].sum())
        if count:
            rate: Row = {"success_rate": solved / count, "success_rate_ci": list(wilson(solved, count))}
            steps = float(found.lengths[chosen].mean() - 1)
            rows.append({"policy": "expert", "condition": condition, "n": count, "steps_mean": steps} | rate)
    return rows
