"""Named shifts of the game: each is felt, in the simulator, by the same actions from the same starts."""

from __future__ import annotations

import numpy as np
import pytest

from pushjepa.data.regimes import simulate_episode
from pushjepa.physics import Board, Physics
from pushjepa.physics.constants import AGENTS
from pushjepa.relay.shifts import DESCRIPTIONS, SHIFTS, STANDARD, find_physics
from pushjepa.relay.stages import get_stage

STARTS = 12


def ends(physics: Physics) -> np.ndarray:
    """Where a turn of pushing leaves everything (STARTS, 6), px, from starts of standard play."""
    stage = get_stage("open")
    board = Board(stage.obstacles, physics)
    out = []
    for seed in range(STARTS):
        episode = simulate_episode(np.random.default_rng(seed), stage, "contact_push", 20)
        turn = int(np.hypot(*np.diff(episode.boundaries[:, 4:6], axis=0).T).argmax())
        actor = int(episode.actors[turn])
        block = episode.blocks[turn, :, actor].astype(float)
        out.append(board.run_turn(episode.boundaries[turn].astype(float), AGENTS[actor], block)[-1, :6])
    return np.stack(out)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_is_felt(name):
    apart = (ends(SHIFTS[name]) - ends(Physics())).reshape(STARTS, 3, 2)
    assert np.hypot(apart[..., 0], apart[..., 1]).max(axis=1).mean() > 4.0


def test_every_shift_is_one_and_says_what_it_is():
    assert DESCRIPTIONS.keys() == SHIFTS.keys()
    assert all(physics != Physics() for physics in SHIFTS.values())
    assert find_physics(STANDARD) == Physics()
    with pytest.raises(ValueError, match="unknown shift 'moon'"):
        find_physics("moon")
