"""Closed-loop success on Push-T. Needs the ``pusht`` extra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import wilson
from pushjepa.pusht.model import PushTModel, load_pusht_model
from pushjepa.pusht.peer import Peer, load_peer
from pushjepa.pusht.replayed import ReplayedData
from pushjepa.pusht.shifts import STANDARD, find_laws
from pushjepa.pusht.tasks import PLAYERS, ExpertData, Outcome, Search, TaskData, make_player, play

Progress = Callable[[int, int], None]  #: (episodes done, in all)


def evaluate_pusht(
    data: ExpertData,
    players: Sequence[str],
    *,
    model: Path | None = None,
    peer: Path | None = None,
    goal_offset: int = 25,
    budget: int = 50,
    eval_seeds: int = 5,
    episodes: int = 50,
    search: Search | None = None,
    video: Path | None = None,
    shifts: Sequence[str] = (STANDARD,),
    progress: Progress | None = None,
) -> list[Row]:
    """Success rates of players on the same tasks.

    A model that plays under a shift of the laws is frozen: it knows the standard ones and learns nothing on the way.

    Args:
        data: held-out expert trajectories.
        players: names of :func:`pushjepa.pusht.tasks.make_player`.
        model: checkpoint folder of the players that use a model; the bundled one if None.
        peer: checkpoint folder of the player ``peer``.
        goal_offset: env steps between start and goal on a trajectory.
        budget: env steps that a player has.
        eval_seeds: how often tasks are drawn, with seeds 0, 1, ...
        episodes: tasks of each seed.
        search: of players that plan; the published one if None.
        video: folder for films of the first seed, if wanted.
        shifts: names of :func:`pushjepa.pusht.shifts.find_laws` that they play under.
        progress: told how many episodes are played.

    Returns:
        One row for each shift and player: ``success_rate`` over all episodes with Wilson's interval,
        ``success_by_seed`` and its standard deviation ``success_spread``, and ``replan_s_median`` of those that plan.

    Raises:
        ValueError: a number that makes no sense, an unknown player or shift, too few trajectories, or such as a
            player's model learned from.
    """
    _check(players, goal_offset, budget, eval_seeds, episodes)
    if search is not None and search.doubt is not None and not {"model", "model+prior"} & set(players):
        raise ValueError("doubt is for the players model and model+prior alone")
    laws = {shift: find_laws(shift) for shift in shifts}
    search, world_model = search or Search(), _load(data, players, model)
    their_model = _load_peer(data, peer) if "peer" in players else None
    total, done, rows = len(laws) * len(players) * eval_seeds * episodes, 0, []
    for (shift, physics), name in product(laws.items(), players):
        seen: TaskData = data if physics is None else ReplayedData(data, physics)
        outcomes: list[Outcome] = []
        for seed in range(eval_seeds):
            tasks = data.draw_tasks(episodes, goal_offset, budget, seed)
            films = None
            if video is not None and seed == 0:
                films = video / name if physics is None else video / shift / name
            player = make_player(name, data, tasks, search, seed, world_model, their_model, physics)
            outcomes.append(play(seen, tasks, player, films))
            done += episodes
            if progress is not None:
                progress(done, total)
        settings = {"policy": name, "shift": shift, "goal_offset": goal_offset, "budget": budget}
        settings |= {"eval_seeds": eval_seeds, "episodes": episodes}
        rows.append(settings | _summarise(name, outcomes, search))
    return rows


def _summarise(name: str, outcomes: Sequence[Outcome], search: Search) -> Row:
    """The figures of one player; how it searched stands beside the time that a plan took."""
    solved = np.concatenate([outcome.solved for outcome in outcomes])
    by_seed = [float(outcome.solved.mean()) for outcome in outcomes]
    seconds = [taken for outcome in outcomes for taken in outcome.replan_s]
    row: Row = {
        "n": len(solved),
        "success_rate": float(solved.mean()),
        "success_rate_ci": list(wilson(int(solved.sum()), len(solved))),
        "success_by_seed": by_seed,
        "success_spread": float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None,
        "replan_s_median": float(np.median(seconds)) if seconds else None,
    }
    if seconds:
        row |= {"horizon": search.horizon, "receding": search.receding}
    if seconds and name != "prior":  # which searches nothing
        row |= {"candidates": search.budget.candidates, "iterations": search.budget.iterations}
    if seconds and name not in ("prior", "peer"):
        row["smallest"] = search.smallest
    if name == "model+prior":
        row["share"] = search.share
    if name in ("model", "model+prior"):
        row["doubt"] = search.doubt is not None
    return row


def _check(players: Sequence[str], goal_offset: int, budget: int, eval_seeds: int, episodes: int) -> None:
    counts = {"goal_offset": goal_offset, "budget": budget, "eval_seeds": eval_seeds, "episodes": episodes}
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for name in players:
        if name not in PLAYERS:
            raise ValueError(f"unknown player {name!r}; choose one of {', '.join(PLAYERS)}")


def _load(data: ExpertData, players: Sequence[str], folder: Path | None) -> PushTModel | None:
    """The world model, if one of the players is to plan with it."""
    planning = [name for name in players if name in ("model", "prior", "model+prior")]
    if not planning:
        return None
    model = load_pusht_model(folder)
    name, size = folder or "the bundled model", model.spec.frame_size
    if model.net.prior is None and planning != ["model"]:
        raise ValueError(f"{name} has no action prior; only the player 'model' can use it")
    if size != data.frame_size:
        raise ValueError(f"{name} sees frames of {size} px, {data.path} holds {data.frame_size} px")
    data.refuse_seen(model.learned, str(name))
    return model


def _load_peer(data: ExpertData, folder: Path | None) -> Peer:
    """The peer, if it is one of the players."""
    if folder is None:
        raise ValueError("the player 'peer' needs a checkpoint folder: --peer")
    peer = load_peer(folder)
    if peer.config.frame_size != data.frame_size:
        raise ValueError(f"{folder} sees frames of {peer.config.frame_size} px, {data.path} holds {data.frame_size} px")
    data.refuse_seen(peer.learned, str(folder))
    return peer
