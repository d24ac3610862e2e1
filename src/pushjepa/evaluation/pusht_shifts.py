"""Push-T under other laws of physics: episodes of our planner, frozen or adapting. Needs the ``pusht`` extra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pushjepa.adaptation import Options, Surprise, SystemM, Transition, Usual
from pushjepa.adaptation.pusht import PUSHT_LAWS, AdaptivePolicy, Life
from pushjepa.adaptation.surprise import FILE
from pushjepa.adaptation.system_m import Learner
from pushjepa.evaluation.results import Row
from pushjepa.evaluation.shifts import (
    PATIENT,
    Foreseen,
    Keep,
    Progress,
    Trial,
    add_gain,
    add_gaps,
    paired_loss,
    plan_rows,
    summarise_trials,
)
from pushjepa.physics.geometry import Array
from pushjepa.pusht.adapters import BlockPlanner
from pushjepa.pusht.model import BUNDLED, PushTModel, find_folder, load_pusht_model
from pushjepa.pusht.replayed import ReplayedData
from pushjepa.pusht.shifts import STANDARD, find_laws
from pushjepa.pusht.stable import PlanConfig
from pushjepa.pusht.tasks import ExpertData, Search, TaskData, Tasks, TimedSolver, make_player, play

_EARLIER = 1000  # added to a seed: the episodes that memories come from
_UNUSED = Usual((0.0, 0.0), (1.0, 1.0), np.inf, 0.0, 0)  # for a mind that only looks


@dataclass(frozen=True)
class Course:
    """Everything that decides episodes under some laws.

    Attributes:
        data: held-out expert trajectories.
        model: what imagines; one that can be told of laws, with an action prior.
        usual: what errors are usual for it.
        search: how it plans.
        goal_offset, budget: of the tasks, env steps.
        episodes: tasks of each seed.
        learner: learns weights; None to infer laws only.
        infer: False to learn weights only.
    """

    data: ExpertData
    model: PushTModel
    usual: Usual
    search: Search
    goal_offset: int = 25
    budget: int = 50
    episodes: int = 50
    learner: Learner | None = None
    infer: bool = True


@dataclass(frozen=True)
class Played:
    """Episodes that were played.

    Attributes:
        solved: whether each reached its goal.
        lives, conditions, actions, windows: of each, for players with a mind: what it lived through, the laws that it
            believed at the end, the actions (T, 2) that it played, and its latest transitions.
    """

    solved: list[bool]
    lives: list[Life] = field(default_factory=list)
    conditions: list[Array] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)
    windows: list[list[Transition]] = field(default_factory=list)


def open_course(
    data: ExpertData, model: Path | None, search: Search, *, goal_offset: int, budget: int, episodes: int
) -> Course:
    """A course for a checkpoint folder, or for the bundled model if None.

    Raises:
        ValueError: it cannot adapt, it learned from ``data``, or its surprise was not calibrated.
    """
    folder = find_folder(model or Path(BUNDLED[0]))
    loaded = load_pusht_model(folder)
    if not loaded.spec.laws or loaded.net.prior is None:
        raise ValueError(f"{folder.name} cannot adapt: it needs laws and an action prior")
    data.refuse_seen(loaded.learned, folder.name)
    usual = Usual.of_model(folder) if (folder / FILE).exists() else _UNUSED
    return Course(data, loaded, usual, search, goal_offset, budget, episodes)


def evaluate_pusht_shifts(
    course: Course,
    shifts: Sequence[str],
    conditions: Sequence[str],
    eval_seeds: int = 1,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> list[Row]:
    """Rows of ``shifts`` and ``conditions``, the frozen model under the standard laws first.

    ``keep`` is handed the episodes of each.

    Raises:
        ValueError: an unknown shift, or a model whose surprise was not calibrated.
    """
    check_calibrated(course)
    for shift in shifts:
        find_laws(shift)
    wanted = plan_rows(shifts, conditions, STANDARD)
    rows: list[Row] = []
    frozen: dict[str, list[Trial]] = {}
    done, total = 0, len(wanted) * eval_seeds * course.episodes
    for shift, condition in wanted:
        trials: list[Trial] = []
        for seed in range(eval_seeds):
            played = play_condition(course, shift, condition, seed)
            trials += _trials(played, seed * course.episodes, course.model.spec.frameskip)
            done += course.episodes
            if progress is not None:
                progress(done, total)
        if keep is not None:
            keep(shift, condition, trials)
        settings: Row = {"policy": "model+prior", "goal_offset": course.goal_offset, "budget": course.budget}
        settings |= {"eval_seeds": eval_seeds, "episodes": course.episodes, "receding": course.search.receding}
        row = settings | summarise_trials(shift, condition, trials, "success_rate", 0)
        if condition == "frozen":
            frozen[shift] = trials
        elif condition != "oracle" and shift in frozen:
            add_gain(row, trials, frozen[shift], "success_rate", 0)
        rows.append(row)
    add_gaps(rows, "success_rate", STANDARD)
    return rows


def measure_forgetting(course: Course, shift: str, eval_seeds: int, progress: Progress | None = None) -> list[Row]:
    """Success under the standard laws before and after a model has adapted to a shift, on the same episodes.

    After an episode under the shift, each mind keeps what it believes then and is put back under the standard laws
    with another task; before, it begins that task with the standard laws.
    """
    check_calibrated(course)
    if course.learner is not None:
        raise ValueError("learned weights live for one episode: what lasts, and might be forgotten, is laws alone")
    before: list[bool] = []
    after: list[bool] = []
    for seed in range(eval_seeds):
        before += play_condition(course, STANDARD, "frozen", seed).solved
        remembered = play_condition(course, shift, "adapted", seed + _EARLIER).conditions
        after += _play(course, STANDARD, seed, _options(course), remembered).solved
        if progress is not None:
            progress(len(after), eval_seeds * course.episodes)
    rng = np.random.default_rng(0)
    lost = paired_loss(before, after, rng)
    return [
        {
            "shift": shift,
            "condition": "forgetting",
            "n": len(after),
            "in_distribution_before": float(np.mean(before)),
            "in_distribution_after": float(np.mean(after)),
            "lost": lost.value,
            "lost_ci": lost.ci,
        }
    ]


def play_condition(course: Course, shift: str, condition: str, seed: int) -> Played:
    """The tasks of one seed under one condition."""
    if condition == "oracle":
        tasks, physics = draw_tasks(course, seed), find_laws(shift)
        player = make_player("oracle", course.data, tasks, course.search, seed, physics=physics)
        return Played(play(data_under(course, shift), tasks, player).solved.tolist())
    remembered = None
    if condition == "adapted_across":
        remembered = _play(course, shift, seed + _EARLIER, _options(course), None).conditions
    return _play(course, shift, seed, _options(course, adapt=condition != "frozen"), remembered)


def _options(course: Course, *, adapt: bool = True) -> Options:
    return Options(adapt=adapt, infer=course.infer, seconds=PATIENT)


def watch_episodes(course: Course, seeds: Sequence[int], progress: Progress | None = None) -> list[list[Surprise]]:
    """How surprised the model is in its own world: the surprises of each episode, boundary by boundary."""
    watched: list[list[Surprise]] = []
    looking = replace(course, usual=_UNUSED)
    for done, seed in enumerate(seeds, start=1):
        lives = _play(looking, STANDARD, seed, Options(adapt=False), None).lives
        watched += [[event.surprise for event in life.events] for life in lives]
        if progress is not None:
            progress(done * course.episodes, len(seeds) * course.episodes)
    return watched


def _play(course: Course, shift: str, seed: int, options: Options, remembered: Sequence[Array] | None) -> Played:
    """The tasks of one seed with a mind in every environment."""
    s = course.search
    planner = BlockPlanner(course.model, s.budget, seed, prior=course.model, share=s.share, smallest=s.smallest)
    config = PlanConfig(s.horizon, s.receding, action_block=course.model.spec.frameskip, warm_start=False)

    def make_mind(index: int) -> SystemM:
        known = None if remembered is None else remembered[index]
        return SystemM(course.model, course.usual, PUSHT_LAWS, options, course.learner, known)

    policy = AdaptivePolicy(make_mind, planner, TimedSolver(planner), config)
    outcome = play(data_under(course, shift), draw_tasks(course, seed), policy)
    return Played(
        outcome.solved.tolist(),
        [lives[0] for lives in policy.lives],
        [mind.conditions for mind in policy.minds],
        [np.array(past.actions) for past in policy.past],
        [mind.window for mind in policy.minds],
    )


def store_transitions(course: Course, seed: int) -> list[Transition]:
    """What was seen in some episodes under the standard laws: for weights that are learned to remember."""
    looking = replace(course, usual=_UNUSED, learner=None, episodes=min(course.episodes, 12))
    return [one for window in _play(looking, STANDARD, seed, Options(steps=0), None).windows for one in window]


def _trials(played: Played, first: int, steps: int) -> list[Trial]:
    """Episodes numbered from ``first`` on, with ``steps`` env steps between boundaries."""
    trials = []
    for index, solved in enumerate(played.solved):
        foreseen = None
        if played.lives:
            life = played.lives[index]
            blocks = [life.states[steps * event.turn][2:4].tolist() for event in life.events]
            foreseen = Foreseen.of(life.events, blocks)
        trials.append(Trial(first + index, solved, None, foreseen))
    return trials


def draw_tasks(course: Course, seed: int) -> Tasks:
    """The tasks of a seed."""
    return course.data.draw_tasks(course.episodes, course.goal_offset, course.budget, seed)


def data_under(course: Course, shift: str) -> TaskData:
    """What the course's trajectories become under the laws of a shift."""
    physics = find_laws(shift)
    return course.data if physics is None else ReplayedData(course.data, physics)


def check_calibrated(course: Course) -> None:
    """Refuse a model of which nobody knows what is usual.

    Raises:
        ValueError: its surprise was not calibrated.
    """
    if not np.isfinite(course.usual.threshold):
        raise ValueError("the model's surprise was not calibrated; run `pushjepa adapt calibrate pusht` first")
