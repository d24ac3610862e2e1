from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pygame", reason="pygame is not installed")

from pushjepa.pusht.geometry import clearance
from pushjepa.pusht.scene import PushTScene


@pytest.mark.parametrize("size", [64, 112, 224])
def test_frames_are_the_environment_s_own(make_env, states, size):
    scene = PushTScene(size)
    for state in states:
        env = make_env(state, size=size)
        seen = env._get_obs()
        # Where agent and block overlap, which of them is drawn on top depends on pymunk's numbering.
        assert clearance(seen[:2], seen[2:5]) > 15.0
        assert np.array_equal(scene.draw(seen), env.render())


def test_what_touches_a_wall_is_drawn_below_it(make_env):
    state = np.array([256.0, 12.0, 256.0, 300.0, 0.0, 0.0, 0.0])
    env = make_env(state)
    assert np.array_equal(PushTScene(112).draw(env._get_obs()), env.render())


def test_many_frames_are_each_one(states):
    scene = PushTScene(32)
    many = scene.draw_many(np.array(states))
    assert many.shape == (len(states), 32, 32, 3)
    assert all(np.array_equal(frame, scene.draw(state)) for frame, state in zip(many, states, strict=True))


def test_a_frame_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 16"):
        PushTScene(8)
