"""Closed-loop success on Push-T. Needs the ``pusht`` extra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import wilson
from pushjepa.pusht.tasks import PLAYERS, ExpertData, Search, make_player, play

Progress = Callable[[int, int], None]  #: (episodes done, in all)


def evaluate_pusht(
    data: ExpertData,
    players: Sequence[str],
    *,
    goal_offset: int = 25,
    budget: int = 50,
    eval_seeds: int = 5,
    episodes: int = 50,
    search: Search | None = None,
    video: Path | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Success rates of players on the same tasks.

    Args:
        data: held-out expert trajectories.
        players: names of :func:`pushjepa.pusht.tasks.make_player`.
        goal_offset: env steps between start and goal on a trajectory.
        budget: env steps that a player has.
        eval_seeds: how often tasks are drawn, with seeds 0, 1, ...
        episodes: tasks of each seed.
        search: of players that plan; the published one if None.
        video: folder for films of the first seed, if wanted.
        progress: told how many episodes are played.

    Returns:
        One row for each player: ``success_rate`` over all episodes with Wilson's interval, ``success_by_seed`` and
        its standard deviation ``success_spread``, and ``replan_s_median`` of those that plan.

    Raises:
        ValueError: a number that makes no sense, an unknown player, or too few trajectories.
    """
    for name, value in (
        ("goal_offset", goal_offset),
        ("budget", budget),
        ("seeds", eval_seeds),
        ("episodes", episodes),
    ):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for name in players:
        if name not in PLAYERS:
            raise ValueError(f"unknown player {name!r}; choose one of {', '.join(PLAYERS)}")
    search = search or Search()
    total, done, rows = len(players) * eval_seeds * episodes, 0, []
    for name in players:
        solved: list[float] = []
        by_seed: list[float] = []
        seconds: list[float] = []
        for seed in range(eval_seeds):
            tasks = data.draw_tasks(episodes, goal_offset, budget, seed)
            films = video / name if video is not None and seed == 0 else None
            outcome = play(data, tasks, make_player(name, data, tasks, search, seed), films)
            solved += outcome.solved.tolist()
            by_seed.append(float(outcome.solved.mean()))
            seconds += outcome.replan_s
            done += episodes
            if progress is not None:
                progress(done, total)
        row: Row = {
            "policy": name,
            "goal_offset": goal_offset,
            "budget": budget,
            "eval_seeds": eval_seeds,
            "episodes": episodes,
            "n": len(solved),
            "success_rate": float(np.mean(solved)),
            "success_rate_ci": list(wilson(int(sum(solved)), len(solved))),
            "success_by_seed": by_seed,
            "success_spread": float(np.std(by_seed, ddof=1)) if eval_seeds > 1 else None,
            "replan_s_median": float(np.median(seconds)) if seconds else None,
        }
        if seconds:
            row |= {
                "candidates": search.budget.candidates,
                "iterations": search.budget.iterations,
                "horizon": search.horizon,
                "receding": search.receding,
            }
        rows.append(row)
    return rows
