from __future__ import annotations

import numpy as np
import pytest

from pushjepa.planning import Budget, cross_entropy_search
from pushjepa.pusht.oracle import GoalLatent, GoalState, PushTSimulatorModel
from pushjepa.pusht.simulator import Simulator
from pushjepa.runtime.contract import Context


def context_of(model, state):
    return Context(model.encode(state[None]), np.zeros((0, 5, 1, 2), np.float32), np.zeros(0, np.int64))


def test_its_rollouts_are_the_simulator_s(states, rng):
    model, state = PushTSimulatorModel(), states[0].astype(np.float32)
    blocks = rng.uniform(-1, 1, (3, 2, 5, 1, 2)).astype(np.float32)
    latents = model.rollout(context_of(model, state), blocks, np.zeros(2, dtype=np.int64))
    assert latents.shape == (3, 2, 1, 7)
    for row, block in zip(model.decode(latents), blocks, strict=True):
        assert row == pytest.approx(Simulator().run(state, block.reshape(10, 2))[4::5], abs=1e-3)


def test_the_cost_of_a_goal_state():
    goal = np.array([100.0, 100.0, 300.0, 300.0, 1.0, 0.0, 0.0])
    there, agent_off, block_off = goal.copy(), goal.copy(), goal.copy()
    agent_off[0] += 10.0
    block_off[3] += 10.0
    cost = GoalState(goal)
    states = np.stack([[there], [agent_off], [block_off]])
    assert cost(states, states) == pytest.approx([0.0, 10.0, 30.0])
    # The environment judges every step: the nearest block counts, a later one a little less.
    late = np.stack([[agent_off, there], [there, agent_off]])
    assert cost(late, late) == pytest.approx([2.0, 0.0])
    at_end = GoalState(goal, at_end=True)
    assert at_end(late, late) == pytest.approx([0.0, 10.0])
    turned = goal.copy()
    turned[4] += 2 * np.pi
    assert cost(turned[None, None], turned[None, None]) == pytest.approx([0.0])


def test_the_cost_of_a_goal_latent(rng):
    goal = rng.standard_normal((2, 3)).astype(np.float32)
    latents = np.stack([np.stack([goal + 5, goal]), np.stack([goal, goal + 2])])
    assert GoalLatent(goal)(latents, latents) == pytest.approx([0.0, 4.0])


def test_a_search_over_it_reaches_a_goal_of_the_agent(states, rng):
    model, state = PushTSimulatorModel(), states[3]
    goal = state.copy()
    goal[:2] += [30.0, 20.0]

    def costs(drawn):
        latents = model.rollout(context_of(model, state), drawn[:, :, :, None], np.zeros(1, dtype=np.int64))
        return GoalState(goal)(model.decode(latents), latents)

    found = cross_entropy_search(costs, (1, 5, 2), Budget(48, 6), rng, spread=0.5)
    assert found.cost < 6.0
