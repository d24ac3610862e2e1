"""``pushjepa adapt``: what is usual for a model, and how it does when the laws of physics change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from pushjepa.cli.common import (
    DeviceOption,
    JsonOption,
    ModelOption,
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
from pushjepa.cli.pusht import HELD_OUT

if TYPE_CHECKING:
    from pushjepa.adaptation import Usual
    from pushjepa.evaluation.films import Frame
    from pushjepa.evaluation.match_play import ModelOptions
    from pushjepa.evaluation.pusht_shifts import Course
    from pushjepa.evaluation.results import Row
    from pushjepa.evaluation.shifts import Keep, Progress, Trial
    from pushjepa.planning import Budget

DataOption = Annotated[Path, typer.Option(help="Push-T: held-out trajectories, from `pushjepa pusht collect`.")]
CandidatesOption = Annotated[int | None, typer.Option(min=2, help="Plans in one iteration of a search.")]
IterationsOption = Annotated[int | None, typer.Option(min=1, help="Iterations of a search.")]
TaskArgument = Annotated[str, typer.Argument(help="game or pusht.")]
OutOption = Annotated[Path | None, typer.Option(file_okay=False, help="Folder for a report with tables and figures.")]
OpponentOption = Annotated[str, typer.Option(help="Game: who plays against the model.")]
PlayerOption = Annotated[str, typer.Option(help="Game: jepa, jepa-margin, jepa-reply, ...")]
StageOption = Annotated[str, typer.Option(help="Game: the stage.")]
ChangeOption = Annotated[int, typer.Option(min=0, max=9, help="Game: the turn at which the laws change.")]
RecedingOption = Annotated[int, typer.Option(min=1, max=5, help="Push-T: blocks played before the next plan.")]

_ONLY = {  # options that only one of the tasks heeds; a command may have a use for some of them in both
    "game": (
        *("pairs", "opponent", "player", "stage", "change_at"),
        *("memory", "memories", "seed", "workers", "device"),
    ),
    "pusht": ("seeds", "episodes", "receding", "learn", "infer", "forgetting", "data"),
}
_STORED_SEED = 8000  # of the episodes that stored transitions come from

MemoriesOption = Annotated[Path, typer.Option(file_okay=False, help="Folder of memories.")]
app = typer.Typer(help="System M: notice that the laws of physics changed, adapt, and go back.")


@app.callback()
def root() -> None:
    """System M: notice that the laws of physics changed, adapt, and go back."""


@app.command()
def calibrate(
    context: typer.Context,
    task: TaskArgument,
    rate: Annotated[float, typer.Option(help="False alarms for each boundary that are put up with.")] = 1 / 500,
    pairs: Annotated[int, typer.Option(min=1, help="Game: pairs of matches to watch.")] = 120,
    episodes: Annotated[int, typer.Option(min=1, help="Push-T: episodes to watch.")] = 300,
    data: DataOption = HELD_OUT,
    seed: SeedOption = 9000,
    workers: WorkersOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = 1,
) -> None:
    """Watch a model in its own world and write what errors are usual into its folder (surprise.json)."""
    from pushjepa.adaptation import Usual
    from pushjepa.adaptation.surprise import FILE
    from pushjepa.runtime.checkpoint import weights_digest

    refuse_options_of_the_other(context, check_task(task), both=("seed",))
    with progress_bar("watching") as report:
        if task == "game":
            from pushjepa.evaluation.relay_shifts import watch_play
            from pushjepa.relay import STAGES
            from pushjepa.runtime.checkpoint import resolve

            against = ("random", "chase_t", "shove", "adversarial")
            options = _model_options(model, threads, "cpu")
            watched = watch_play(against, tuple(STAGES), pairs, seed, options, workers, report)
            path = resolve(model) / FILE
        else:
            from pushjepa.evaluation.pusht_shifts import watch_episodes
            from pushjepa.pusht.model import BUNDLED, find_folder

            course = _course(model, data, 5, 64, 5, min(episodes, 50), threads)  # as it is measured
            watched = watch_episodes(course, range(seed, seed + -(-episodes // course.episodes)), report)
            path = find_folder(Path(model or BUNDLED[0])) / FILE
    usual = Usual.of([one for one in watched if one], rate, weights_digest(path.parent))
    usual.write(path)
    say(_describe(usual))
    say(f"written to {path}")


@app.command("eval")
def evaluate(
    context: typer.Context,
    task: TaskArgument,
    shift: Annotated[list[str] | None, typer.Option(help="Name of the laws; repeat (default: every one).")] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(help="frozen, adapted, adapted_across or oracle; repeat (default: the first two)."),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Game: start positions for each row.")] = 100,
    opponent: OpponentOption = "chase_t",
    player: PlayerOption = "jepa",
    stage: StageOption = "open",
    change_at: ChangeOption = 0,
    memory: Annotated[
        str | None, typer.Option(help="Game: a memory that minds of the condition adapted_across begin with.")
    ] = None,
    memories: MemoriesOption = Path("memories"),
    seeds: Annotated[int, typer.Option(min=1, help="Push-T: how often tasks are drawn.")] = 1,
    episodes: Annotated[int, typer.Option(min=1, help="Push-T: tasks of each seed.")] = 50,
    receding: RecedingOption = 5,
    learn: Annotated[
        str | None, typer.Option(help="Push-T: weights to learn where no laws explain what is seen, such as codebook.")
    ] = None,
    infer: Annotated[bool, typer.Option(help="Push-T: infer laws, before or instead of learning weights.")] = True,
    forgetting: Annotated[
        bool,
        typer.Option(
            "--forgetting", help="Push-T: instead, success under the standard laws before and after adapting."
        ),
    ] = False,
    candidates: CandidatesOption = None,
    iterations: IterationsOption = None,
    data: DataOption = HELD_OUT,
    out: OutOption = None,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = 1,
    device: DeviceOption = "cpu",
    json: JsonOption = None,
) -> None:
    """Play under other laws, frozen and adapting, on the same starts."""
    from pushjepa.evaluation.results import make_results, write_results
    from pushjepa.evaluation.shifts import CONDITIONS

    conditions = tuple(condition or CONDITIONS[:2])
    for name in conditions:
        if name not in CONDITIONS:
            raise ValueError(f"unknown condition {name!r}; choose one of {', '.join(CONDITIONS)}")
    refuse_options_of_the_other(context, check_task(task))
    if memory is not None and "adapted_across" not in conditions:
        raise ValueError("--memory is what minds of --condition adapted_across begin with; ask for that too")
    if not infer and learn is None:
        raise ValueError("--no-infer leaves nothing to adapt; name the weights to learn with --learn")
    trials: dict[tuple[str, str], list[Trial]] = {}

    def keep(name: str, way: str, some: Sequence[Trial]) -> None:
        trials[name, way] = list(some)

    with progress_bar("playing") as report:
        if task == "game":
            from pushjepa.adaptation.memory import Memory
            from pushjepa.evaluation.relay_shifts import evaluate_game_shifts
            from pushjepa.relay.shifts import SHIFTS

            rows = evaluate_game_shifts(
                tuple(shift or SHIFTS),
                conditions,
                player=player,
                opponent=opponent,
                stage=stage,
                pairs=pairs,
                seed=seed,
                change_at=change_at,
                memory=None if memory is None else Memory.load(memories, memory, _digest(model)),
                budget=_budget(candidates, iterations),
                options=_model_options(model, threads, device),
                workers=workers,
                progress=report,
                keep=keep,
            )
        else:
            course = _course(model, data, receding, candidates, iterations, episodes, threads)
            course = _with_learner(course, learn, infer)
            rows = _play_pusht(course, shift, conditions, seeds, forgetting, report, keep)
    results = make_results(command_line(), seed, rows)
    if json is not None:
        write_results(json, results)
    console.print(shift_table(rows), highlight=False, markup=False)
    if out is not None:
        _write_report(out, results, rows, trials)


@app.command()
def remember(
    shift: Annotated[str, typer.Option(help="Name of the laws (an unknown one lists them).")],
    name: Annotated[str, typer.Option(help="What the memory is called.")],
    memories: MemoriesOption = Path("memories"),
    opponent: OpponentOption = "chase_t",
    player: PlayerOption = "jepa",
    stage: StageOption = "open",
    seed: SeedOption = 0,
    model: ModelOption = None,
    threads: ThreadsOption = 1,
    device: DeviceOption = "cpu",
) -> None:
    """Play one match of the game under other laws and keep what was inferred of them, for `adapt eval --memory`."""
    from pushjepa.evaluation.relay_shifts import Series, learn_memory, load_usual
    from pushjepa.physics import guess_laws

    options = _model_options(model, threads, device)
    series = Series(player, opponent, stage, seed, shift, "adapted", load_usual(model), options=options)
    memory = learn_memory(series, name, _digest(model))
    for law, value in guess_laws(memory.conditions).to_dict().items():
        say(f"{law}: {value if isinstance(value, str) else format(value, '.3g')}")
    say(f"written to {memory.save(memories)}")


@app.command()
def film(
    context: typer.Context,
    shift: Annotated[str, typer.Option(help="Name of the laws (an unknown one lists them).")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="FILE.gif or FILE.mp4; for Push-T also FILE-slots.")],
    task: Annotated[str, typer.Option(help="game or pusht.")] = "pusht",
    opponent: OpponentOption = "chase_t",
    player: PlayerOption = "jepa",
    stage: StageOption = "open",
    change_at: ChangeOption = 0,
    receding: RecedingOption = 1,
    candidates: CandidatesOption = None,
    iterations: IterationsOption = None,
    data: DataOption = HELD_OUT,
    seed: SeedOption = 0,
    model: ModelOption = None,
    threads: ThreadsOption = 1,
    device: DeviceOption = "cpu",
) -> None:
    """Film one start under other laws, frozen beside adapted."""
    from pushjepa.evaluation.films import check_ending, write_film

    check_ending(out)
    refuse_options_of_the_other(context, check_task(task), both=("seed",))
    films: dict[Path, list[Frame]] = {}
    if task == "game":
        from pushjepa.evaluation.relay_films import film_match
        from pushjepa.evaluation.relay_shifts import Series, load_usual

        budget, options = _budget(candidates, iterations), _model_options(model, threads, device)
        usual = load_usual(model)
        series = Series(player, opponent, stage, seed, shift, "frozen", usual, budget, options, change_at)
        films[out] = film_match(series)
    else:
        from pushjepa.pusht.shifts import find_laws

        find_laws(shift)
        course = _course(model, data, receding, candidates, iterations, 1, threads)
        films = _film_pusht(course, shift, seed, out)
    for path, frames in films.items():
        write_film(path, frames)
        say(f"{path}: {len(frames)} frames, {path.stat().st_size / 1e6:.1f} MB")


@app.command("latent-test")
def latent_test(
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes that are tested.")] = 5,
    scale: Annotated[float, typer.Option(help="What every slot is multiplied by.")] = 1.4,
    rate: Annotated[float, typer.Option(help="False alarms for each boundary that are put up with.")] = 0.01,
    calibration: Annotated[int, typer.Option(min=1, help="Other episodes that the threshold is chosen on.")] = 30,
    carry: Annotated[bool, typer.Option("--carry", help="Go on with what was learned to the next episode.")] = False,
    data: DataOption = HELD_OUT,
    seed: SeedOption = 0,
    model: ModelOption = None,
    threads: ThreadsOption = 1,
    json: JsonOption = None,
) -> None:
    """MechJEPA's own test of System M: recorded slots, multiplied by a number. No change of physics."""
    from pushjepa.evaluation.results import make_results, write_results

    try:
        from pushjepa.evaluation.latent_shift import CAVEAT, LatentShift, evaluate_latent_shift
        from pushjepa.pusht.model import load_pusht_model
        from pushjepa.pusht.tasks import ExpertData
    except ModuleNotFoundError as error:
        raise missing_extra(error, "Push-T", "pusht") from None
    settings = LatentShift(scale=scale, carry=carry)
    loaded = load_pusht_model(None if model is None else Path(model), threads)
    with progress_bar("episodes") as report:
        row = evaluate_latent_shift(
            loaded,
            ExpertData(data),
            settings,
            episodes=episodes,
            calibration=calibration,
            rate=rate,
            seed=seed,
            progress=report,
        )
    console.print(latent_table(row), highlight=False, markup=False)
    say(
        f"threshold {row['threshold']:.4f}: {row['calibration_alarms']} alarms in {row['calibration_boundaries']} "
        f"unscaled boundaries, whose mean surprise is {row['unscaled_surprise']:.4f}. {CAVEAT}"
    )
    if json is not None:
        write_results(json, make_results(command_line(), seed, [row]))


def refuse_options_of_the_other(context: typer.Context, task: str, both: Sequence[str] = ()) -> None:
    """Refuse options that were given and would turn nothing for ``task``; those in ``both`` do in this command.

    Raises:
        ValueError: names the first of them.
    """
    for name in _ONLY["pusht" if task == "game" else "game"]:
        source = context.get_parameter_source(name)
        if name not in both and source is not None and source.name != "DEFAULT":
            raise ValueError(
                f"the option {name} means nothing to {task}; see pushjepa adapt {context.info_name} --help"
            )


def check_task(task: str) -> str:
    """``task`` itself.

    Raises:
        ValueError: it is neither of the two.
    """
    if task not in ("game", "pusht"):
        raise ValueError(f"unknown task {task!r}; choose game or pusht")
    return task


def shift_table(rows: list[Row]) -> Table:
    """A line for each row, in 80 columns; errors and gaps closed are of the surprise and of the block."""
    table = Table(
        Column("shift", min_width=13),
        "condition",
        "n",
        "rate, %",
        "off, px",
        "closed",
        "adapted",
        "ms",
        padding=(0, 0, 0, 1),
    )
    for row in rows:
        table.add_row(
            row["shift"],
            row["condition"],
            str(row["n"]),
            _rate(row),
            _pair(row, _number, "surprise", "block_px"),
            _pair(row, _percent, "surprise_gap_closed", "block_px_gap_closed"),
            str(row.get("adaptations", "")),
            _number(row.get("adapt_ms_median")),
        )
    return table


def _pair(row: Row, tell: Callable[[float | None], str], *names: str) -> str:
    """Two figures of a row with a bar between them; nothing if it has neither."""
    return " / ".join(tell(row.get(name)) for name in names) if any(name in row for name in names) else ""


def latent_table(row: Row) -> Table:
    """Every episode of the latent test, their means, and what is published."""
    from pushjepa.evaluation.latent_shift import PUBLISHED, PUBLISHED_ADAPTATIONS

    title = f"Slots x {row['scale']:g}: System M where surprise is above {row['threshold']:.4f}"
    table = Table("episode", "surprise, frozen", "A-B-M", "plan error, frozen", "A-B-M", "adaptations", title=title)
    names = [f"{name}_{who}" for name in ("surprise", "plan_error") for who in ("frozen", "abm")]
    for one in row["by_episode"]:
        table.add_row(str(one["episode"]), *(f"{one[name]:.4f}" for name in names), str(one["adaptations"]))
    table.add_section()
    table.add_row("mean", *(f"{row[name]:.4f}" for name in names), str(row["adaptations"]))
    published = [f"{value:.4f}" for name in ("surprise", "plan_error") for value in PUBLISHED[name]]
    table.add_row("published", *published, str(PUBLISHED_ADAPTATIONS))
    return table


def _rate(row: Row) -> str:
    """The row's rate with its interval, or before and after where forgetting was measured."""
    for name in ("win_rate", "success_rate"):
        if name in row:
            low, high = row[f"{name}_ci"]
            return f"{100 * row[name]:.1f}% [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{100 * row['in_distribution_before']:.1f} -> {100 * row['in_distribution_after']:.1f}%"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{round(100 * value)}%"


def _describe(usual: Usual) -> str:
    said = f"{usual.n:,} boundaries; threshold {usual.threshold:.1f}"
    if not usual.rate:
        return f"{said}, no alarm"
    return f"{said}, {usual.rate * usual.n:.0f} alarms (1 in {1 / usual.rate:,.0f})"


def _write_report(
    folder: Path, results: dict[str, Any], rows: list[Row], trials: Mapping[tuple[str, str], Sequence[Trial]]
) -> None:
    """Tables, and figures where matplotlib is installed."""
    from pushjepa.evaluation.shift_figures import draw_shift_figures
    from pushjepa.evaluation.shift_report import write_shift_report

    try:
        figures = draw_shift_figures(folder, rows)
    except ModuleNotFoundError as error:
        say(f"no figures: {missing_extra(error, 'drawing')}", progress_console)
        figures = []
    write_shift_report(folder, results, rows, figures, trials)
    say(f"{folder / 'report.md'}")


def _play_pusht(
    course: Course,
    shifts: list[str] | None,
    conditions: tuple[str, ...],
    seeds: int,
    forgetting: bool,
    report: Progress,
    keep: Keep,
) -> list[Row]:
    from pushjepa.evaluation.pusht_shifts import evaluate_pusht_shifts, measure_forgetting
    from pushjepa.pusht.shifts import SHIFTS

    if forgetting:
        return [row for name in shifts or ["weak-agent"] for row in measure_forgetting(course, name, seeds, report)]
    return evaluate_pusht_shifts(course, tuple(shifts or SHIFTS), conditions, seeds, report, keep)


def _film_pusht(course: Course, shift: str, seed: int, out: Path) -> dict[Path, list[Frame]]:
    """The film of what happened, and that of the slots, whose name ends in ``-slots``."""
    import numpy as np

    from pushjepa.evaluation.pusht_films import draw_play, draw_slots, film_task
    from pushjepa.evaluation.pusht_shifts import check_calibrated

    check_calibrated(course)
    filmed, model = film_task(course, shift, seed), course.model
    steps = model.spec.frameskip
    read = [model.decode(model.encode(np.stack(side.frames))) for side in filmed.sides]
    beside = out.with_stem(f"{out.stem}-slots")
    return {out: draw_play(filmed, steps), beside: draw_slots(filmed, read, steps)}


def _with_learner(course: Course, weights: str | None, infer: bool) -> Course:
    """The course with minds that may learn weights too, or those alone."""
    if weights is None:
        return course
    from pushjepa.adaptation.learning import WeightLearner
    from pushjepa.evaluation.pusht_shifts import store_transitions

    return replace(course, learner=WeightLearner(weights, store_transitions(course, _STORED_SEED)), infer=infer)


def _digest(model: str | None) -> str:
    """The digest of a game model's weights, which memories belong to."""
    from pushjepa.runtime.checkpoint import resolve, weights_digest

    return weights_digest(resolve(model))


def _model_options(model: str | None, threads: int | None, device: str) -> ModelOptions:
    from pushjepa.evaluation.match_play import ModelOptions

    return ModelOptions(model=model, threads=threads, device=device)


def _budget(candidates: int | None, iterations: int | None) -> Budget | None:
    from pushjepa.planning import Budget

    if candidates is None and iterations is None:
        return None
    standard = Budget()
    return Budget(candidates or standard.candidates, iterations or standard.iterations)


def _course(
    model: str | None,
    data: Path,
    receding: int,
    candidates: int | None,
    iterations: int | None,
    episodes: int,
    threads: int | None,
) -> Course:
    from pushjepa.planning import Budget

    try:
        import torch

        from pushjepa.evaluation.pusht_shifts import open_course
        from pushjepa.pusht.tasks import ExpertData, Search
    except ModuleNotFoundError as error:
        raise missing_extra(error, "Push-T", "pusht") from None
    if threads:
        torch.set_num_threads(threads)
    search = Search(Budget(candidates or 100, iterations or 8, 0.1), receding=receding)
    folder = None if model is None else Path(model)
    return open_course(ExpertData(data), folder, search, goal_offset=25, budget=50, episodes=episodes)
