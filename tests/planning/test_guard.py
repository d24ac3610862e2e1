"""A guard prefers a plan that is good among its neighbours to a lucky one."""

from __future__ import annotations

import numpy as np
import pytest

from pushjepa.planning import Budget, PlanningPolicy, make_policy, near_cost
from pushjepa.planning.guard import Guard
from pushjepa.planning.search import Iteration
from pushjepa.relay import Match, MatchSetup

SHAPE = (1, 5, 2)


class Terrain:
    """A wide valley of depth 8 about actions of 0.5, and a hole of depth 10 at -0.5 that is 0.02 wide."""

    def judge(self, candidates: np.ndarray) -> np.ndarray:
        wide, narrow = (np.abs(candidates - at).mean(axis=(1, 2, 3)) for at in (0.5, -0.5))
        return np.minimum(-8.0 + 5.0 * wide, np.where(narrow < 0.02, -10.0, 0.0))


class Hollow:
    """Where a neighbour of any plan costs no number."""

    def judge(self, candidates: np.ndarray) -> np.ndarray:
        return np.full(len(candidates), np.nan)


def iteration(*levels: float) -> Iteration:
    candidates = np.stack([np.full(SHAPE, level, np.float32) for level in levels])
    middle = np.zeros(SHAPE, np.float32)
    return Iteration(0, candidates, Terrain().judge(candidates), middle, middle)


def test_a_lucky_plan_loses_against_one_that_is_good_all_around():
    seen = iteration(0.0, -0.5, 0.55, 0.48)
    assert np.argmin(seen.costs) == 1
    assert Guard(3, 8, 0.1).choose(Terrain(), seen, np.random.default_rng(0)) == 3


def test_only_the_best_plans_are_judged_again():
    seen = iteration(0.0, -0.5, -0.5, 0.48)
    assert Guard(2, 8, 0.1).choose(Terrain(), seen, np.random.default_rng(0)) in (1, 2)


def test_neighbours_follow_from_the_seed():
    seen = iteration(0.3, 0.7, 0.45)
    first, again = (Guard(3, 2, 0.3).choose(Terrain(), seen, np.random.default_rng(4)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("values", [(1, 8, 0.1), (2, 0, 0.1), (2, 1, 0.0), (2, 1, float("nan"))])
def test_a_guard_that_compares_nothing_is_refused(values):
    with pytest.raises(ValueError, match="a guard compares at least 2 plans"):
        Guard(*values)


def test_a_cost_that_is_no_number_is_refused():
    seen = iteration(0.0, 0.4)
    with pytest.raises(ValueError, match="not finite"):
        Guard(2, 1, 0.1).choose(Hollow(), seen, np.random.default_rng(0))


def test_a_plan_tells_of_the_one_that_is_played():
    match = Match(MatchSetup("open", 1))
    oracle = make_policy("oracle", match.to_move, "open")
    assert isinstance(oracle, PlanningPolicy)
    plans = []
    for guard in (None, Guard(10, 3, 0.8)):
        player = PlanningPolicy(  # at this cost, on these draws, the guard prefers another plan than the cheapest
            oracle.model, match.to_move, near_cost, Budget(12, 2), sees="state", guard=guard
        )
        plans.append(player.plan(match.observation(player), np.random.default_rng(1)))
    cheapest, guarded = plans
    assert not np.array_equal(cheapest.block, guarded.block)
    assert guarded.cost > cheapest.cost
    match.play(guarded.block)
    assert match.state == pytest.approx(guarded.predicted_end, abs=0.5)
