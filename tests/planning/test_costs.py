from __future__ import annotations

import numpy as np
import pytest

from pushjepa.planning import (
    AgentBehindBlock,
    AgentToBlock,
    BlockToGoal,
    WeightedSum,
    goal_cost,
    margin_cost,
    near_cost,
    push_cost,
)

LATENTS = np.zeros((2, 2, 1, 4), dtype=np.float32)


@pytest.fixture
def states() -> np.ndarray:
    """Two candidates, two blocks ahead; only the last state counts."""
    states = np.full((2, 2, 7), 999.0)
    states[0, 1] = [10, 10, 100, 96, 100, 100, 0.3]
    states[1, 1] = [103, 104, 40, 20, 100, 100, 2.0]
    return states


def test_block_to_goal_measures_the_end(states):
    states[1, 1, 4:6] = (130, 140)
    assert BlockToGoal((100.0, 100.0))(states, LATENTS).tolist() == [0.0, 50.0]


def test_agent_to_block_takes_the_agent_of_its_side(states):
    assert AgentToBlock("p1")(states, LATENTS) == pytest.approx([np.hypot(90, 90), 5.0])
    assert AgentToBlock("p2")(states, LATENTS) == pytest.approx([4.0, 100.0])


def test_agent_behind_block_takes_the_far_side_from_the_goal(states):
    states[:, 1, :4] = [60, 100, 140, 130]
    # Pushed to the right, one stands on the left of (100, 100): at (60, 100); to the left, at (140, 100).
    assert AgentBehindBlock("p1", (422.0, 100.0))(states, LATENTS) == pytest.approx([0.0, 0.0])
    assert AgentBehindBlock("p2", (10.0, 100.0))(states, LATENTS) == pytest.approx([30.0, 30.0])
    assert AgentBehindBlock("p1", (422.0, 100.0), reach=10.0)(states, LATENTS) == pytest.approx([30.0, 30.0])


def test_behind_a_block_at_the_wall_is_where_an_agent_can_stand(states):
    states[:, 1] = [20, 256, 0, 0, 30, 256, 0.0]
    assert AgentBehindBlock("p1", (422.0, 256.0))(states, LATENTS) == pytest.approx([0.0, 0.0])


def test_behind_a_block_that_crosses_its_goal_does_not_jump(states):
    states[:, 1] = [100, 103, 0, 0, 100, 100, 0.0]
    assert AgentBehindBlock("p1", (100.0, 100.0))(states, LATENTS) == pytest.approx([3.0, 3.0])
    states[:, 1] = [70, 100, 0, 0, 90, 100, 0.0]  # 10 px before the goal, and so 10 px behind the block
    assert AgentBehindBlock("p1", (100.0, 100.0))(states, LATENTS) == pytest.approx([10.0, 10.0])


def test_the_margin_costs_weigh_both_goals_and_the_place_of_the_agent(states):
    goals = ((400.0, 100.0), (40.0, 100.0))
    lead = 300.0 - 60.0
    away = AgentBehindBlock("p1", goals[0])(states, LATENTS)
    assert margin_cost("p1", goals, 1)(states, LATENTS) == pytest.approx(lead + 0.4 * away)
    assert near_cost("p1", goals, 1)(states, LATENTS) == pytest.approx([lead + 0.2 * np.hypot(90, 90), lead + 1.0])


@pytest.mark.parametrize("build", [margin_cost, near_cost])
def test_after_the_last_turn_the_lead_alone_counts(states, build):
    assert build("p1", ((400.0, 100.0), (40.0, 100.0)), 0)(states, LATENTS).tolist() == [240.0, 240.0]


def test_costs_add_and_weigh(states):
    goal = BlockToGoal((130.0, 140.0))
    assert WeightedSum(((3.0, goal), (0.5, AgentToBlock("p2"))))(states, LATENTS) == pytest.approx([152.0, 200.0])


def test_the_published_cost(states):
    cost = push_cost("p2", ((130.0, 140.0), (0.0, 0.0)), 1)
    assert cost(states, LATENTS) == pytest.approx([4.0 + 2 * 50.0, 100.0 + 2 * 50.0])


def test_the_cost_that_knows_of_the_own_goal_alone(states):
    assert goal_cost("p2", ((130.0, 140.0), (0.0, 0.0)), 1)(states, LATENTS) == pytest.approx([50.0, 50.0])
