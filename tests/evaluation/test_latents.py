"""Latent planning error: what the expert does reaches its goal, and the figures are those of their definition."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")

from pushjepa.evaluation.latents import COSTS, Reached, _Course, reach_goals, summarise_reached
from pushjepa.planning import Budget
from pushjepa.pusht.adapters import latent_cost
from pushjepa.pusht.scene import PushTScene
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
    # Not to the last number: the block may have been touching the agent already, and a fresh space has no memory of it.
    assert reached.expert.max() < 0.05
    assert reached.random.mean() > 20 * reached.expert.mean()
    again = reach_goals(tiny_model, expert_data, goal_offset=10, episodes=3, search=SMALL, cost=COSTS[cost])
    assert np.array_equal(again.planned, reached.planned)
    assert np.array_equal(again.random, reached.random)


def test_the_ratio_is_that_of_the_means(rng):
    plans, random = np.array([1.0, 3.0]), np.array([10.0, 30.0])
    row = summarise_reached(Reached(plans, random, plans, plans, np.array([0.1, 0.3])), rng)
    assert row["ratio"] == pytest.approx(10.0)
    assert row["distance_ratio"] == pytest.approx(np.sqrt(10.0))
    assert row["distance_ratio_ci"] == pytest.approx([np.sqrt(10.0)] * 2), "it is the same for every task"
    assert (row["latent_error"], row["latent_error_median"], row["latent_error_max"]) == (2.0, 2.0, 3.0)
    assert (row["random_latent_error_max"], row["replan_s_median"], row["n"]) == (30.0, pytest.approx(0.2), 2)


@pytest.mark.parametrize(
    ("row", "boundaries", "known"), [(12, [2, 7, 12], [0, 0]), (7, [2, 2, 7], [-1, 0]), (3, [3, 3, 3], [-1, -1])]
)
def test_a_planner_knows_the_last_frames_and_what_was_done_between_them(
    tiny_model, expert_data, row, boundaries, known
):
    states, actions = expert_data.trajectory(0)
    course = _Course(tiny_model, expert_data, 0)
    seen = course.look(states[: row + 1], actions[:row], states[row + 5], latent_cost)
    draw = PushTScene(tiny_model.spec.frame_size).draw_many
    wanted = tiny_model.encode(draw(states[[*boundaries, row + 5]]))
    assert seen.context.latents == pytest.approx(wanted[:-1], abs=1e-5)
    assert seen.goal == pytest.approx(wanted[-1], abs=1e-5)
    assert np.abs(wanted[-1] - wanted[-2]).max() > 1e-3, "frames can be told apart"
    assert seen.context.actors.tolist() == known
    for block, first, is_known in zip(seen.context.blocks, boundaries, known, strict=False):
        played = actions[first : first + 5] if is_known == 0 else np.zeros((5, 2))
        assert np.array_equal(block[:, 0], played)
