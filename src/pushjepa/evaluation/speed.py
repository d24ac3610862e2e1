"""How long a turn's planning takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pushjepa.evaluation.passages import matches
from pushjepa.evaluation.results import Row, matmul_gflops
from pushjepa.planning import Advice, Budget, make_planner
from pushjepa.relay import Match, get_stage
from pushjepa.runtime.contract import WorldModel


def measure_planning(
    model: WorldModel,
    *,
    player: str = "jepa",
    advice: Advice | None = None,
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
        player: name of a planner; see :func:`pushjepa.planning.make_policy`.
        advice: of a player that needs some.
        stage: name of the stage.
        turns: how many are timed.
        warm_up: how many come before and are not.
        seed: of the positions.
        budget: of a player whose name gives none; its own if None.
        progress: told (done, in all).

    Returns:
        One row: ``plan_ms_median``, ``plan_ms_p95`` and ``n``, with the player, its budget and the machine's fp32
        ``matmul_gflops`` beside them.

    Raises:
        ValueError: no turns, an unknown stage, or a player that does not plan.
    """
    if turns < 1 or warm_up < 0:
        raise ValueError(f"planning is timed over at least 1 turn, got {turns}, after a warm-up of {warm_up}")
    where = get_stage(stage)
    rng = np.random.default_rng(seed)
    taken: list[float] = []
    total = warm_up + turns
    # Two turns of a match, early and late: with a padded history and with a full one.
    for match in matches((total + 1) // 2, seed, [stage]):
        for turn in sorted(rng.choice(len(match.blocks), 2, replace=False)):
            halted = Match.restore(match.setup, match.blocks[:turn])
            planner = make_planner(player, halted.to_move, where, model=model, budget=budget, advice=advice)
            luck = np.random.default_rng([seed, len(taken)])  # apart, so that every planner is timed at the same turns
            taken.append(1000 * planner.plan(halted.observation(planner), luck).seconds)
            if progress is not None:
                progress(min(len(taken), total), total)
    timed = taken[warm_up:total]
    return {
        "player": player,
        "stage": stage,
        "candidates": planner.budget.candidates,
        "iterations": planner.budget.iterations,
        "n": len(timed),
        "plan_ms_median": float(np.median(timed)),
        "plan_ms_p95": float(np.percentile(timed, 95)),
        "matmul_gflops": matmul_gflops(),
    }
