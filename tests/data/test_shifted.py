from __future__ import annotations

import numpy as np
import pytest

from pushjepa.data.shifted import RANGES, draw_physics, make_shifted_episodes
from pushjepa.physics import Board, Physics
from pushjepa.physics.constants import AGENTS
from pushjepa.relay.stages import get_stage


def test_every_turn_was_played_under_the_laws_that_stand_beside_it():
    episodes, laws = make_shifted_episodes(("open", "gate"), 60, seed=3, workers=1)
    assert len(episodes) == len(laws) == 60
    other = 0
    for i in range(0, 60, 4):
        stage = get_stage(episodes.stages[episodes.stage[i]])
        before, block = episodes.boundaries[i, 2].astype(float), episodes.blocks[i, 2]
        actor = int(episodes.actors[i, 2])
        played, elsewhere = (
            Board(stage.obstacles, physics).run_turn(before, AGENTS[actor], block[:, actor].astype(float))
            for physics in (laws[i], Physics())
        )
        assert played == pytest.approx(episodes.states[i, 11:16], abs=1e-3)
        other += not np.allclose(played, elsewhere, atol=1.0)
    assert other >= 4, "laws that change nothing would teach nothing"


def test_episodes_depend_on_seed_and_number_alone():
    (few, laws), (many, more) = (make_shifted_episodes(("open",), count, seed=5, workers=1) for count in (3, 70))
    assert laws == more[:3]
    assert np.array_equal(few.states, many.states[:3])
    assert not np.array_equal(few.states, make_shifted_episodes(("open",), 3, seed=6, workers=1)[0].states)


def test_laws_are_drawn_from_their_ranges_and_often_stay_as_they_are():
    rng = np.random.default_rng(1)
    drawn = [draw_physics(rng) for _ in range(300)]
    for name, (low, high, _) in RANGES.items():
        values = np.array([getattr(physics, name) for physics in drawn])
        assert low <= values.min() < values.max() <= high
        assert 0.3 < (values == getattr(Physics(), name)).mean() < 0.8
    assert {physics.block_shape for physics in drawn} == set(Physics.shapes)


def test_no_episodes_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        make_shifted_episodes(("open",), 0, seed=1)
