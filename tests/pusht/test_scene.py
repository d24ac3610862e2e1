from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pygame", reason="pygame is not installed")

from pushjepa.pusht.geometry import clearance
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.shifts import SHIFTS
from pushjepa.pusht.simulator import BLOCK_SHAPES, PushTPhysics


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


def touching(env):
    found = []
    env.block.each_arbiter(found.append)
    return bool(found)


@pytest.mark.parametrize(
    "physics",
    [
        *(PushTPhysics(block_shape=shape) for shape in BLOCK_SHAPES),
        PushTPhysics(block_scale=42.0),
        PushTPhysics(block_scale=17.3, block_shape="zed", centre_of_gravity=12.0),
        PushTPhysics(agent_radius=24.6),
    ],
    ids=str,
)
def test_blocks_and_agents_of_any_size_and_shape_are_drawn_as_the_environment_does(make_shifted, states, physics):
    size, compared = 112, 0
    scene, env = PushTScene(size, physics), make_shifted(states[0], physics, size)
    for state in states[:6]:
        env._setup()
        env._set_state(state)
        if touching(env):
            continue
        assert np.array_equal(scene.draw(env._get_obs()), env.render())
        compared += 1
    assert compared >= 4
    assert not np.array_equal(scene.draw(states[0]), PushTScene(size).draw(states[0])) or physics == PushTPhysics()


def test_only_the_mark_where_things_touch_is_not_drawn(make_env, states):
    scene, seen = PushTScene(112), 0
    for state in states[:3]:
        env = make_env(state)
        for _ in range(20):
            env.step(np.clip((env._get_obs()[2:4] - env._get_obs()[:2]) / 300.0, -1.0, 1.0))
            other = (scene.draw(env._get_obs()) != env.render()).any(axis=-1).sum()
            assert other <= (6 if touching(env) else 0)
            seen += bool(other)
    assert seen > 0, "else the environment no longer marks it"


def test_laws_that_do_not_show_are_not_drawn(states):
    for name in ("high-friction", "off-centre", "gliding", "weak-agent"):
        assert np.array_equal(PushTScene(64, SHIFTS[name]).draw(states[0]), PushTScene(64).draw(states[0]))


def test_many_frames_are_each_one(states):
    scene = PushTScene(32)
    many = scene.draw_many(np.array(states))
    assert many.shape == (len(states), 32, 32, 3)
    assert all(np.array_equal(frame, scene.draw(state)) for frame, state in zip(many, states, strict=True))


def test_a_frame_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 16"):
        PushTScene(8)
