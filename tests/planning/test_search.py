"""The search on problems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushjepa.planning import Budget, Iteration, cross_entropy_search

SHAPE = (1, 5, 2)


class Bowl:
    """A quadratic cost with its lowest point at ``centre``; records what it was asked."""

    def __init__(self, centre: np.ndarray) -> None:
        self.centre = centre
        self.asked: list[np.ndarray] = []

    def __call__(self, candidates: np.ndarray) -> np.ndarray:
        self.asked.append(candidates.copy())
        return ((candidates - self.centre) ** 2).sum(axis=(1, 2, 3)).astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_finds_the_bottom_of_a_bowl(seed):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.8, 0.8, SHAPE)
    found = cross_entropy_search(Bowl(centre), SHAPE, Budget(256, 25), rng)
    assert np.abs(found.best - centre).max() < 0.1
    assert np.abs(found.mean - centre).max() < 0.1


def test_the_published_budget_comes_near_a_bottom_outside_the_range():
    found = cross_entropy_search(Bowl(np.full(SHAPE, 2.0)), SHAPE, Budget(), np.random.default_rng(0))
    assert found.best.mean() > 0.9  # the corner (1, ..., 1) is the nearest legal point


def test_the_cost_never_rises_and_belongs_to_the_best():
    bowl = Bowl(np.full(SHAPE, 0.3))
    found = cross_entropy_search(bowl, SHAPE, Budget(), np.random.default_rng(1))
    assert len(found.cost_by_iteration) == 6
    assert (np.diff(found.cost_by_iteration) <= 0).all()
    assert found.cost_by_iteration[-1] < 0.7 * found.cost_by_iteration[0]
    assert found.cost == found.cost_by_iteration[-1] == bowl(found.best[None])[0]


def test_the_best_of_all_iterations_is_returned_even_if_later_ones_are_worse():
    calls = 0

    def evaluate(candidates: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return np.where(np.arange(len(candidates)) == 7, 0.0, 1.0) if calls == 1 else np.full(len(candidates), 5.0)

    seen: list[Iteration] = []
    found = cross_entropy_search(evaluate, SHAPE, Budget(20, 3), np.random.default_rng(0), on_iteration=seen.append)
    assert found.cost == 0.0
    assert np.array_equal(found.best, seen[0].candidates[7])


def test_the_best_candidate_stays_in_the_race():
    bowl = Bowl(np.full(SHAPE, 0.5))
    cross_entropy_search(bowl, SHAPE, Budget(30, 4), np.random.default_rng(2))
    for earlier, later in zip(bowl.asked, bowl.asked[1:], strict=False):
        costs = ((earlier - 0.5) ** 2).sum(axis=(1, 2, 3))
        assert np.array_equal(later[0], earlier[np.argmin(costs)])


def test_the_same_generator_gives_the_same_search_and_another_one_another():
    def search(seed: int) -> np.ndarray:
        return cross_entropy_search(Bowl(np.zeros(SHAPE)), SHAPE, Budget(), np.random.default_rng(seed)).best

    assert np.array_equal(search(3), search(3))
    assert not np.array_equal(search(3), search(4))


def test_the_budget_is_counted_in_candidates():
    bowl = Bowl(np.zeros(SHAPE))
    cross_entropy_search(bowl, SHAPE, Budget(candidates=17, iterations=4), np.random.default_rng(0))
    assert [len(c) for c in bowl.asked] == [17] * 4


def test_a_clock_may_end_a_search_but_never_before_its_first_iteration():
    bowl = Bowl(np.zeros(SHAPE))
    found = cross_entropy_search(bowl, SHAPE, Budget(8, 50, seconds=1e-9), np.random.default_rng(0))
    assert len(bowl.asked) == len(found.cost_by_iteration) == 1


@given(seed=st.integers(0, 2**32 - 1), centre=st.floats(-3, 3))
def test_every_candidate_lies_within_the_bounds(seed, centre):
    bowl = Bowl(np.full(SHAPE, centre))
    found = cross_entropy_search(bowl, SHAPE, Budget(12, 3), np.random.default_rng(seed))
    assert all(np.abs(c).max() <= 1.0 for c in [*bowl.asked, found.best, found.mean])


def test_a_warm_start_centres_the_first_iteration():
    centre = np.full(SHAPE, -0.6)
    seen: list[Iteration] = []
    cross_entropy_search(Bowl(centre), SHAPE, Budget(), np.random.default_rng(0), centre, seen.append)
    assert np.allclose(seen[0].mean, -0.6)
    with pytest.raises(ValueError, match="shape of a candidate"):
        cross_entropy_search(Bowl(centre), SHAPE, Budget(), np.random.default_rng(0), centre[0])


def test_watching_does_not_change_the_search():
    def search(watch: bool) -> np.ndarray:
        seen = (lambda _: None) if watch else None
        return cross_entropy_search(
            Bowl(np.zeros(SHAPE)), SHAPE, Budget(), np.random.default_rng(0), on_iteration=seen
        ).best

    assert np.array_equal(search(True), search(False))


@pytest.mark.parametrize("costs", [np.full(8, np.nan), np.full(8, np.inf), np.zeros((8, 1)), np.zeros(7)])
def test_costs_that_are_no_costs_are_refused(costs):
    with pytest.raises(ValueError, match="cost"):
        cross_entropy_search(lambda _: costs, SHAPE, Budget(8, 1), np.random.default_rng(0))


@pytest.mark.parametrize(
    "values", [{"candidates": 1}, {"iterations": 0}, {"elite_fraction": 0.0}, {"elite_fraction": 1.5}, {"seconds": 0.0}]
)
def test_a_budget_is_checked(values):
    with pytest.raises(ValueError, match=next(iter(values)).split("_")[0].rstrip("s")):
        Budget(**values)


def test_elites_are_15_percent_of_96():
    assert Budget().elites == 15
    assert Budget(2, 1, 0.01).elites == 1


def test_proposals_are_looked_at_first_and_win_if_they_are_best():
    centre = np.full(SHAPE, 0.3, dtype=np.float32)
    bowl = Bowl(centre)
    proposals = np.stack([np.full(SHAPE, 2.0), centre]).astype(np.float32)
    found = cross_entropy_search(bowl, SHAPE, Budget(8, 2), np.random.default_rng(0), proposals=proposals)
    assert bowl.asked[0][0].max() == 1.0, "proposals are clipped as all candidates are"
    assert np.array_equal(bowl.asked[0][1], centre)
    assert found.cost == 0.0
    assert np.array_equal(found.best, centre)


def test_proposals_of_another_shape_are_refused():
    for proposals in (np.zeros((2, 5, 2)), np.zeros((9, *SHAPE))):
        with pytest.raises(ValueError, match="proposals are at most 8 candidates of shape"):
            cross_entropy_search(
                Bowl(np.zeros(SHAPE)), SHAPE, Budget(8, 1), np.random.default_rng(0), proposals=proposals
            )


def test_the_spread_falls_no_further_than_it_may():
    def narrowest(smallest):
        seen, rng = [], np.random.default_rng(0)
        cost = Bowl(np.zeros(SHAPE))
        cross_entropy_search(cost, SHAPE, Budget(60, 12), rng, on_iteration=seen.append, smallest=smallest)
        return min(float(iteration.std.min()) for iteration in seen)

    assert narrowest(0.2) == pytest.approx(0.2)
    assert narrowest(0.001) < 0.04
