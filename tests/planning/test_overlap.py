from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pushjepa.physics import BLOCK_SHAPES, block_parts
from pushjepa.physics.constants import AGENT_RADIUS
from pushjepa.planning import push_agents_out


def depth(state: np.ndarray, agent: int, shape: str = "tee", scale: float = 1.0) -> float:
    """How far the agent's disc reaches into the block, px; computed corner by corner and not as the repair does it."""
    cos, sin = np.cos(state[6]), np.sin(state[6])
    point = np.array([[cos, sin], [-sin, cos]]) @ (state[2 * agent : 2 * agent + 2] - state[4:6])
    deepest = -np.inf
    for corners in block_parts(shape, scale):
        low, high = corners.min(axis=0), corners.max(axis=0)
        if ((point > low) & (point < high)).all():
            gap = -min(*(point - low), *(high - point))
        else:
            gap = np.hypot(*(point - np.clip(point, low, high)))
        deepest = max(deepest, AGENT_RADIUS - gap)
    return float(deepest)


@given(x=st.floats(-70, 70), y=st.floats(-60, 90), angle=st.floats(-7, 7))
def test_no_agent_is_left_inside_the_block(x, y, angle):
    state = np.array([256 + x, 256 + y, 256 - y, 256 + x, 256.0, 256.0, angle])
    fixed = push_agents_out(state)
    assert depth(fixed, 0) < 1e-6
    assert depth(fixed, 1) < 1e-6
    assert np.array_equal(fixed[4:], state[4:])


@given(
    x=st.floats(-70, 70),
    y=st.floats(-60, 90),
    angle=st.floats(-7, 7),
    shape=st.sampled_from(BLOCK_SHAPES),
    scale=st.floats(0.5, 1.6),
)
def test_nor_inside_one_of_another_size_and_shape(x, y, angle, shape, scale):
    state = np.array([256 + x, 256 + y, 256 - y, 256 + x, 256.0, 256.0, angle])
    fixed = push_agents_out(state, shape, scale)
    assert depth(fixed, 0, shape, scale) < 1e-6
    assert depth(fixed, 1, shape, scale) < 1e-6


def test_a_block_of_another_size_and_shape_has_its_own_edge():
    beside = np.array([256.0, 256 - 45.0, 20, 20, 256, 256, 0.0])
    assert np.allclose(push_agents_out(beside, "square", 1.0)[:2], [256, 256 - 32 - AGENT_RADIUS])
    assert np.allclose(push_agents_out(beside, "square", 0.5)[:2], beside[:2])


def test_a_free_agent_stays_and_the_input_is_not_changed():
    state = np.array([100.0, 256.0, 256.0, 256.0, 256.0, 256.0, 0.7])
    before = state.copy()
    fixed = push_agents_out(state)
    assert np.array_equal(state, before)
    assert np.array_equal(fixed[:2], state[:2])
    assert not np.array_equal(fixed[2:4], state[2:4])


def test_the_way_out_is_the_shortest():
    bar = block_parts("tee")[0]
    left = bar[:, 0].min()
    state = np.array([256 + left - 10.0, 256 + bar[:, 1].mean(), 20, 20, 256, 256, 0.0])
    fixed = push_agents_out(state)
    assert np.allclose(fixed[:2], [256 + left - AGENT_RADIUS, state[1]])


def test_candidates_do_not_influence_each_other(rng):
    states = rng.uniform(180, 330, (6, 2, 7))
    alone = np.stack([[push_agents_out(s) for s in row] for row in states])
    assert np.array_equal(push_agents_out(states), alone)
