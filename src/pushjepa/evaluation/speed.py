"""How long a turn's planning takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pushjepa.evaluation.passages import matches
from pushjepa.evaluation.results import Row, matmul_gflops
from pushjepa.planning import Budget, PlanningPolicy
from pushjepa.relay import Match, get_stage
from pushjepa.runtime.contract import WorldModel


def measure_planning(
    model: WorldModel,
    *,
    stage: str = "open",
    turns: int = 50,
    warm_up: int = 5,
    seed: int = 0,
    budget: Budget | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Row:
    """Plan ``turns`` turns at positions of real matches: frames in, action block out.

    Args:
        model: the world model; its threads decide how many cores work.
        stage: name of the stage.
        turns: how many are timed.
        warm_up: how many come before and are not.
        seed: of the positions.
        budget: of the search; the published one if None.
        progress: told (done, in all).

    Returns:
        One row: ``plan_ms_median``, ``plan_ms_p95`` and ``n``, with the budget and the machine's fp32
        ``matmul_gflops`` beside them.

    Raises:
        ValueError: no turns, or an unknown stage.
    """
    if turns < 1 or warm_up < 0:
        raise ValueError(f"planning is timed over at least 1 turn, got {turns}, after a warm-up of {warm_up}")
    get_stage(stage)
    budget = budget or Budget()
    rng = np.random.default_rng(seed)
    taken: list[float] = []
    total = warm_up + turns
    # Two turns of a match, early and late: with a padded history and with a full one.
    for match in matches((total + 1) // 2, seed, [stage]):
        for turn in sorted(rng.choice(len(match.blocks), 2, replace=False)):
            halted = Match.restore(match.setup, match.blocks[:turn])
            player = PlanningPolicy(model, halted.to_move, budget=budget)
            taken.append(1000 * player.plan(halted.observation(player), rng).seconds)
            if progress is not None:
                progress(min(len(taken), total), total)
    timed = taken[warm_up:total]
    return {
        "stage": stage,
        "candidates": budget.candidates,
        "iterations": budget.iterations,
        "n": len(timed),
        "plan_ms_median": float(np.median(timed)),
        "plan_ms_p95": float(np.percentile(timed, 95)),
        "matmul_gflops": matmul_gflops(),
    }
