"""``pushjepa pusht``: single-player Push-T."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
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
    progress_console,
    say,
)
from pushjepa.cli.train import SetOption, run_recipe

if TYPE_CHECKING:
    from pushjepa.evaluation.results import Row
    from pushjepa.pusht.collect import Trajectories
    from pushjepa.pusht.model import PushTModel
    from pushjepa.pusht.tasks import ExpertData

HELD_OUT = Path("data/pusht-eval/pusht.h5")  #: where the docs have people collect held-out trajectories
PushTModelOption = Annotated[
    Path | None,
    typer.Option("--model", file_okay=False, help="Checkpoint folder, or pusht-slots (default) or pusht-compact."),
]
DataOption = Annotated[Path, typer.Option(help="Held-out trajectories, from `pushjepa pusht collect`.")]
DoubtOption = Annotated[
    bool, typer.Option("--doubt", help="Prefer plans that work although the start is misread (our own models).")
]
FiguresOption = Annotated[Path | None, typer.Option(file_okay=False, help="Folder for pictures.")]

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

    options = CollectOptions(episodes, seed, limit)
    with progress_bar("trajectories") as report:
        found = run(out, options, workers, report)
    rows = expert_rows(found)
    for row in rows:
        low, high = (100 * bound for bound in row["success_rate_ci"])
        say(
            f"{row['condition']}: {row['n']:,} trajectories, {row['steps_mean']:.0f} steps on average, "
            f"{100 * row['success_rate']:.1f}% [{low:.1f}, {high:.1f}] solved"
        )
    if frames:
        with progress_bar("drawing") as report:
            export_hdf5(found, out / "pusht.h5", size, report, options)
        say(f"{out / 'pusht.h5'} ({(out / 'pusht.h5').stat().st_size / 1e6:,.0f} MB)")
    if json is not None:
        write_results(json, make_results(command_line(), seed, rows))


@app.command()
def train(
    preset: Annotated[
        str, typer.Option(help="pusht-slots, pusht-compact, pusht-peer, pusht-peer-frozen, mechjepa, or a .toml file.")
    ] = "pusht-compact",
    data: Annotated[Path, typer.Option(help="Trajectories, from `pushjepa pusht collect`.")] = Path("data/pusht"),
    out: Annotated[Path | None, typer.Option(help="Folder of the run. (default: runs/PRESET)")] = None,
    init_from: Annotated[Path | None, typer.Option(help="A checkpoint folder whose weights to start from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: ThreadsOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw frames; 0 draws in this one.")] = 0,
    changes: SetOption = None,
) -> None:
    """Train a world model of Push-T; the finished checkpoint lies in OUT/checkpoint."""
    run_recipe(preset, (data,), out, init_from, resume, device, threads, workers, changes or ())


@app.command("eval")
def evaluate(
    player: Annotated[
        list[str] | None,
        typer.Option(
            help="random, expert, oracle, model, prior, model+prior, peer or still; repeat for several "
            "(default: the first three)."
        ),
    ] = None,
    model: PushTModelOption = None,
    peer: Annotated[Path | None, typer.Option(file_okay=False, help="Checkpoint folder of the player `peer`.")] = None,
    data: DataOption = HELD_OUT,
    offset: Annotated[int, typer.Option(min=1, help="Env steps between start and goal on a trajectory.")] = 25,
    budget: Annotated[int, typer.Option(min=1, help="Env steps that a player has.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, help="How often tasks are drawn.")] = 5,
    episodes: Annotated[int, typer.Option(min=1, help="Tasks of each seed.")] = 50,
    candidates: Annotated[int, typer.Option(min=2, help="Plans in one iteration of a search.")] = 300,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations of a search.")] = 10,
    receding: Annotated[int, typer.Option(min=1, max=5, help="Blocks that are played before the next plan.")] = 5,
    doubt: DoubtOption = False,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            help="Shift of the laws to play under, such as big-block; no model is told of it. Repeat for several "
            "(default: none; an unknown name lists them)."
        ),
    ] = None,
    video: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for films of the first seed.")] = None,
    figures: FiguresOption = None,
    json: JsonOption = None,
) -> None:
    """Have players reach states that lie ahead on held-out expert trajectories, judged by the environment."""
    from pushjepa.planning import Budget

    try:
        from pushjepa.evaluation.pusht import evaluate_pusht
        from pushjepa.pusht.adapters import Doubt
        from pushjepa.pusht.shifts import STANDARD
        from pushjepa.pusht.tasks import Search
    except ModuleNotFoundError as error:
        raise missing_extra(error, "Push-T", "pusht") from None
    search = Search(
        Budget(candidates, iterations, elite_fraction=0.1), receding=receding, doubt=Doubt() if doubt else None
    )
    held_out = _read_held_out(data)
    with progress_bar("episodes") as report:
        rows = evaluate_pusht(
            held_out,
            player or ("random", "expert", "oracle"),
            model=model,
            peer=peer,
            goal_offset=offset,
            budget=budget,
            eval_seeds=seeds,
            episodes=episodes,
            search=search,
            video=video,
            shifts=shift or (STANDARD,),
            progress=report,
        )
    table = Table(title=f"Push-T, goals {offset} steps ahead, budget {budget}, {seeds} x {episodes} episodes")
    for name in ("laws", "player", "success %", "by seed", "s a plan"):
        table.add_column(name, justify="left" if name in ("laws", "player") else "right")
    for row in rows:
        low, high = (100 * bound for bound in row["success_rate_ci"])
        each = " ".join(f"{100 * rate:.0f}" for rate in row["success_by_seed"])
        taken = "-" if row["replan_s_median"] is None else f"{row['replan_s_median']:.2f}"
        table.add_row(
            row["shift"], row["policy"], rf"{100 * row['success_rate']:.1f} \[{low:.1f}, {high:.1f}]", each, taken
        )
    console.print(table)
    _finish(json, 0, rows, figures)


@app.command()
def plan(
    model: PushTModelOption = None,
    data: DataOption = HELD_OUT,
    offset: Annotated[int, typer.Option(min=1, help="Env steps between start and goal on a trajectory.")] = 25,
    episodes: Annotated[int, typer.Option(min=1, help="Tasks that are planned for.")] = 50,
    candidates: Annotated[int, typer.Option(min=2, help="Plans in one iteration of a search.")] = 300,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations of a search.")] = 10,
    cost: Annotated[str, typer.Option(help="What is planned with: latent (as published), end or state.")] = "latent",
    prior: Annotated[bool, typer.Option("--prior", help="Begin with the action prior's plans.")] = False,
    doubt: DoubtOption = False,
    figures: FiguresOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    json: JsonOption = None,
) -> None:
    """Plan once for each task, carry it out, and measure how far from the goal's latent it ends, beside random acts."""
    from pushjepa.planning import Budget

    try:
        from pushjepa.evaluation.latents import COSTS, reach_goals, summarise_reached
        from pushjepa.pusht.adapters import Doubt
        from pushjepa.pusht.tasks import Search
    except ModuleNotFoundError as error:
        raise missing_extra(error, "Push-T", "pusht") from None
    if cost not in COSTS:
        raise ValueError(f"unknown cost {cost!r}; choose one of {', '.join(COSTS)}")
    search = Search(Budget(candidates, iterations, elite_fraction=0.1), doubt=Doubt() if doubt else None)
    loaded, held_out = _load(model, threads, data)
    with progress_bar("plans") as report:
        reached = reach_goals(
            loaded,
            held_out,
            goal_offset=offset,
            episodes=episodes,
            seed=seed,
            search=search,
            with_prior=prior,
            cost=COSTS[cost],
            progress=report,
        )
    settings = {"goal_offset": offset, "cost": cost, "prior": prior, "candidates": candidates, "iterations": iterations}
    settings |= {"smallest": search.smallest, "doubt": doubt}
    row: Row = settings | summarise_reached(reached, np.random.default_rng(seed))
    table = Table(title=f"Latent planning error, goals {offset} steps ahead, {episodes} tasks")
    for name in ("way of acting", "mean", "median", "most"):
        table.add_column(name, justify="left" if name == "way of acting" else "right")
    for way, name in (("plan", ""), ("random", "random_"), ("expert", "expert_"), ("stand still", "still_")):
        low, high = row[f"{name}latent_error_ci"]
        mean = rf"{row[f'{name}latent_error']:.4f} \[{low:.4f}, {high:.4f}]"
        table.add_row(way, mean, *(f"{row[f'{name}latent_error_{what}']:.4f}" for what in ("median", "max")))
    console.print(table)
    squared, apart = (
        f"{row[name]:.1f} [{row[f'{name}_ci'][0]:.1f}, {row[f'{name}_ci'][1]:.1f}]"
        for name in ("ratio", "distance_ratio")
    )
    say(f"random / plan: {squared} of squared errors, {apart} of distances; {row['replan_s_median']:.2f} s a plan")
    _finish(json, seed, [row], figures)


@app.command()
def mechanisms(
    model: PushTModelOption = None,
    data: DataOption = HELD_OUT,
    episodes: Annotated[int, typer.Option(min=1, help="Trajectories that are looked at.")] = 100,
    figures: FiguresOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    json: JsonOption = None,
) -> None:
    """Show what the codes of a model's memory have come to mean, and whether its slots keep their order."""
    try:
        from pushjepa.evaluation.mechanisms import describe_mechanisms, retrieve
    except ModuleNotFoundError as error:
        raise missing_extra(error, "Push-T", "pusht") from None
    loaded, held_out = _load(model, threads, data)
    with progress_bar("trajectories") as report:
        found = retrieve(loaded, held_out, episodes, report)
    rows = describe_mechanisms(found, loaded.net.config.codes, np.random.default_rng(seed))
    table = Table(title=f"Mutual information of codes and true contacts, {rows[0]['n']:,} frames, bits")
    for name in (
        "contact",
        "slot",
        "acted on by",
        "codes tell",
        "shuffled",
        "shifted, 95%",
        "to be told",
        "perplexity",
    ):
        table.add_column(name, justify="left" if name == "contact" else "right")
    for row in sorted(rows, key=lambda row: (row["contact"], -row["mutual_information"])):
        low, high = row["mutual_information_ci"]
        told = rf"{row['mutual_information']:.3f} \[{low:.3f}, {high:.3f}]"
        bits = (f"{row[name]:.3f}" for name in ("shuffled", "shifted_p95", "entropy"))
        pair = (row["contact"], str(row["slot"]), str(row["acted_on_by"]))
        table.add_row(*pair, told, *bits, f"{row['perplexity']:.1f}")
    console.print(table)
    kept = {"slot_order_kept": float(found.kept.mean()), "slot_order_kept_least": float(found.kept.min())}
    say(
        f"slots keep their order in {100 * kept['slot_order_kept']:.2f}% of steps "
        f"({100 * kept['slot_order_kept_least']:.1f}% in the worst of {episodes} trajectories)"
    )
    _finish(json, seed, [row | kept for row in rows], figures)


def _load(model: Path | None, threads: int | None, data: Path) -> tuple[PushTModel, ExpertData]:
    """The model that is measured, and the trajectories that it is measured on."""
    from pushjepa.pusht.model import load_pusht_model

    return load_pusht_model(model, threads), _read_held_out(data)


def _read_held_out(path: Path) -> ExpertData:
    """Trajectories to measure on, with a warning where the file does not say how they were collected."""
    from pushjepa.pusht.tasks import ExpertData

    data = ExpertData(path)
    if data.collection is None:
        say(
            f"warning: {path} does not say how it was collected: whether a model learned from it cannot be checked",
            progress_console,
        )
    return data


def _finish(json: Path | None, seed: int, rows: list[Row], figures: Path | None) -> None:
    """Write the results and the pictures that were asked for."""
    from pushjepa.evaluation.results import make_results, write_results

    if json is not None:
        write_results(json, make_results(command_line(), seed, rows))
    if figures is not None:
        from pushjepa.evaluation.pusht_figures import draw_pusht_figures

        for name in draw_pusht_figures(figures, rows):
            say(str(figures / name))


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


@app.command()
def encode(
    data: Annotated[Path, typer.Option(dir_okay=False, help="Frames and actions, an HDF5 file.")] = Path(
        "data/pusht/pusht.h5"
    ),
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="(default: beside DATA, .slots.safetensors)")] = None,
    model: Annotated[Path | None, typer.Option(file_okay=False, help="Encode with this checkpoint folder.")] = None,
    videosaur: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Encode with these weights of VideoSAUR (.ckpt, .safetensors).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: SeedOption = 0,
) -> None:
    """Encode every frame of a data set once: its slots and actions in one file."""
    try:
        from pushjepa.pusht.encode import encode_dataset, load_encoder

        encoder = load_encoder(model, videosaur, device, seed)
    except ModuleNotFoundError as error:
        raise missing_extra(error, "encoding Push-T", "pusht") from None
    target = out or data.with_suffix(".slots.safetensors")
    with progress_bar("trajectories") as report:
        found = encode_dataset(data, target, encoder, report)
    rows, slots, width = found.slots.shape
    say(f"{target}: {rows:,} frames of {len(found.lengths):,} trajectories, {slots} x {width}")


@app.command("import")
def import_data(
    file: Annotated[Path, typer.Argument(help="An expert's data set in stable-worldmodel's layout (HDF5).")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the trajectories.")],
) -> None:
    """Import an expert's data set, for `pushjepa pusht train --data OUT`; frames are drawn again from the states."""
    try:
        from pushjepa.pusht.importer import import_dataset

        with progress_bar("trajectories") as report:
            found = import_dataset(file, out, report)
    except ModuleNotFoundError as error:
        raise missing_extra(error, "importing Push-T", "pusht") from None
    made = found.trajectories
    say(f"{out}: {len(made):,} trajectories, {len(made.states):,} frames")
    if found.left_out:
        say(f"left out {found.left_out:,} trajectories with actions outside -1 ... 1", progress_console)
    if found.redrawn is False:
        say(f"warning: frames drawn from the states differ from those in {file}", progress_console)
