from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pushjepa.physics import BLOCK_SHAPES, block_parts, flip_state, mirror_block, mirror_state, place, wrap_angle


def area_and_moment(part):
    x, y = part.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    first = (cross[:, None] * (part + np.roll(part, -1, axis=0))).sum(axis=0) / 6
    return cross.sum() / 2, first


@pytest.mark.parametrize("shape", BLOCK_SHAPES)
def test_a_block_lies_about_its_centre_of_gravity_and_is_its_own_mirror_image(shape):
    parts = block_parts(shape, 1.3)
    moments = np.array([area_and_moment(part)[1] for part in parts])
    assert np.abs(moments.sum(axis=0)).max() < 1e-6
    corners = {tuple(np.round(c, 6) + 0.0) for part in parts for c in part}
    assert corners == {tuple(np.round((-c[0], c[1]), 6) + 0.0) for part in parts for c in part}


def test_an_unknown_shape_lists_the_known_ones():
    with pytest.raises(ValueError, match="tee, plus, square"):
        block_parts("moon")


@given(arrays(np.float64, 7, elements=st.floats(0, 512)))
def test_flipping_twice_changes_nothing(state):
    away = flip_state(flip_state(state)) - state
    away[6] = wrap_angle(away[6])
    assert away == pytest.approx(np.zeros(7), abs=1e-9)


@given(arrays(np.float64, 7, elements=st.floats(0, 512)))
def test_mirroring_twice_changes_nothing(state):
    assert mirror_state(mirror_state(state)) == pytest.approx(state, abs=1e-9)
    assert np.array_equal(mirror_block(mirror_block(state[:4].reshape(2, 2))), state[:4].reshape(2, 2))


def test_place_turns_clockwise_on_a_board_whose_y_points_down():
    assert place(np.array([[1.0, 0.0]]), 10.0, 20.0, np.pi / 2) == pytest.approx(np.array([[10.0, 21.0]]))


@given(st.floats(-50, 50))
def test_a_wrapped_angle_is_the_same_direction(angle):
    wrapped = float(wrap_angle(angle))
    assert -np.pi <= wrapped <= np.pi
    assert np.cos(wrapped) == pytest.approx(np.cos(angle), abs=1e-9)
    assert np.sin(wrapped) == pytest.approx(np.sin(angle), abs=1e-9)
