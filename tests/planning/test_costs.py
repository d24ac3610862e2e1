from __future__ import annotations

import numpy as np
import pytest

from pushjepa.planning import AgentToBlock, BlockToGoal, WeightedSum, goal_cost, push_cost

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


def test_costs_add_and_weigh(states):
    goal = BlockToGoal((130.0, 140.0))
    assert WeightedSum(((3.0, goal), (0.5, AgentToBlock("p2"))))(states, LATENTS) == pytest.approx([152.0, 200.0])


def test_the_published_cost(states):
    cost = push_cost("p2", ((130.0, 140.0), (0.0, 0.0)))
    assert cost(states, LATENTS) == pytest.approx([4.0 + 2 * 50.0, 100.0 + 2 * 50.0])


def test_the_cost_that_knows_of_the_own_goal_alone(states):
    assert goal_cost("p2", ((130.0, 140.0), (0.0, 0.0)))(states, LATENTS) == pytest.approx([50.0, 50.0])
