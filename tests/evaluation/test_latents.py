"""Latent planning error: what the expert does reaches its goal, and the figures are those of their definition."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.evaluation.latents import COSTS, Reached, reach_goals, summarise_reached
from pushjepa.planning import Budget
from pushjepa.pusht.tasks import Search

SMALL = Search(Budget(candidates=6, iterations=2), horizon=2)


@pytest.mark.parametrize("cost", COSTS)
def test_the_expert_s_own_actions_end_at_the_goal(tiny_model, expert_data, cost):
    told = []
    reached = reach_goals(
        tiny_model,
        expert_data,
        goal_offset=10,
        episodes=3,
        search=SMALL,
        cost=COSTS[cost],
        progress=lambda *done: told.append(done),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    # Not to the last number: setting a state runs one substep of the environment, in which a moving agent moves on.
    assert reached.expert.max() < 0.2
    assert reached.random.mean() > 5 * reached.expert.mean()
    again = reach_goals(tiny_model, expert_data, goal_offset=10, episodes=3, search=SMALL, cost=COSTS[cost])
    assert np.array_equal(again.planned, reached.planned)
    assert np.array_equal(again.random, reached.random)


def test_the_ratio_is_that_of_the_means(rng):
    plans, random = np.array([1.0, 3.0]), np.array([10.0, 30.0])
    row = summarise_reached(Reached(plans, random, plans, plans, np.array([0.1, 0.3])), rng)
    assert row["ratio"] == pytest.approx(10.0)
    assert row["distance_ratio"] == pytest.approx(np.sqrt(10.0))
    assert (row["latent_error"], row["latent_error_median"], row["latent_error_max"]) == (2.0, 2.0, 3.0)
    assert (row["random_latent_error_max"], row["replan_s_median"], row["n"]) == (30.0, pytest.approx(0.2), 2)
