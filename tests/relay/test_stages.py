from __future__ import annotations

import numpy as np
import pytest

from pushjepa.physics import Board, Physics
from pushjepa.physics.constants import AGENT_RADIUS, BOARD_SIZE
from pushjepa.relay import STAGES, MatchSetup, get_stage
from pushjepa.relay.stages import distance_to


def test_there_are_the_three_stages_and_an_unknown_one_lists_them():
    assert list(STAGES) == ["open", "pillars", "gate"]
    with pytest.raises(ValueError, match="open, pillars, gate"):
        get_stage("moon")


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("physics", [Physics(), Physics(block_scale=1.6), Physics(block_shape="plus", block_scale=1.4)])
def test_a_match_starts_clear_of_overlap_and_each_side_pushes_forward(name, physics):
    stage = STAGES[name]
    board = Board(stage.obstacles, physics)
    for seed in range(200):
        state = MatchSetup(name, seed, physics=physics).start_state()
        corners = np.concatenate(board.block_corners(state))
        for agent in (state[:2], state[2:4]):
            assert np.hypot(*(corners - agent).T).min() > AGENT_RADIUS
            assert all(distance_to(item, agent) > AGENT_RADIUS for item in stage.obstacles)
        assert all(distance_to(item, corner) > 0 for item in stage.obstacles for corner in corners)
        assert state[0] < state[4] < state[2]
        rest = board.run_turn(state, "p1", np.zeros((5, 2)))[-1]
        assert np.abs(rest - state).max() < 1e-9


@pytest.mark.parametrize("name", STAGES)
def test_goals_and_obstacles_are_their_own_mirror_image(name):
    stage = STAGES[name]
    (x1, y1), (x2, y2) = stage.goals["p1"], stage.goals["p2"]
    assert (x1, y1) == (BOARD_SIZE - x2, y2)
    assert set(stage.obstacles) == {item.mirrored() for item in stage.obstacles}


def test_starts_are_mirror_fair_in_distribution():
    states = np.array([STAGES["open"].sample_start(np.random.default_rng(seed)) for seed in range(2000)])
    from_left, from_right = states[:, 0], BOARD_SIZE - states[:, 2]
    spread = states[:, 4].std() / np.sqrt(len(states))
    assert abs(states[:, 4].mean() - BOARD_SIZE / 2) < 4 * spread
    assert abs(from_left.mean() - from_right.mean()) < 4 * from_left.std() * np.sqrt(2 / len(states))
