from __future__ import annotations

import numpy as np

from pushjepa.physics import Board, Physics
from pushjepa.planning import SimulatorModel
from pushjepa.planning.replies import answered_candidates
from pushjepa.relay import get_stage
from pushjepa.runtime.contract import Context

START = np.array([150.0, 250.0, 400.0, 300.0, 256.0, 256.0, 0.5])


def context(model: SimulatorModel) -> Context:
    return Context(model.encode(START[None]), np.zeros((0, 5, 2, 2), np.float32), np.zeros(0, np.int64))


def test_imagination_is_the_physics_engine(rng):
    stage = get_stage("pillars")
    model, board = SimulatorModel(stage), Board(stage.obstacles)
    own, answers = (rng.uniform(-1, 1, (3, 1, 5, 2)).astype(np.float32) for _ in range(2))
    joint, actors = answered_candidates(own, answers, 1)
    states = model.decode(model.rollout(context(model), joint, actors))
    assert states.shape == (3, 2, 7)
    for candidate in range(3):
        state = START
        for ahead, block in enumerate([own[candidate, 0], answers[candidate, 0]]):
            state = board.run_turn(state, "p1" if ahead == 1 else "p2", block)[-1]
            assert np.array_equal(states[candidate, ahead], state.astype(np.float32))


def test_it_obeys_the_physics_it_is_given():
    push = np.zeros((1, 1, 5, 2, 2), np.float32)
    push[:, :, :, 0, 0] = 1.0
    ends = []
    for physics in (Physics(), Physics(agent_speed=100.0)):
        model = SimulatorModel(get_stage("open"), physics)
        ends.append(model.decode(model.rollout(context(model), push, np.zeros(1, np.int64)))[0, 0, 0])
    assert ends[1] < ends[0] - 50
