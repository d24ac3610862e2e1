from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushjepa.relay import StateView, joint_block, last_history


def past(count):
    items = np.arange(count, dtype=float)[:, None] + 1
    blocks = np.arange(count - 1, dtype=np.float32)[:, None, None, None] + np.ones((count - 1, 5, 2, 2), np.float32)
    return items, blocks, np.arange(count - 1) % 2


@given(count=st.integers(1, 12), length=st.integers(1, 5))
def test_a_history_has_the_length_asked_for_and_ends_with_the_newest(count, length):
    items, blocks, actors = past(count)
    history = last_history(items, blocks, actors, length)
    assert history.items.shape == (length, 1)
    assert history.blocks.shape == (length - 1, 5, 2, 2)
    known = min(count, length)
    assert np.array_equal(history.items[length - known :], items[count - known :])
    assert np.array_equal(history.blocks[length - known :], blocks[count - known :])
    assert np.array_equal(history.actors[length - known :], actors[count - known :])


def test_the_start_of_a_match_is_padded_with_its_first_frame_and_nobody_acting():
    items, blocks, actors = past(2)
    history = last_history(items, blocks, actors, 4)
    assert history.items[:, 0].tolist() == [1, 1, 1, 2]
    assert not history.blocks[:2].any()
    assert history.actors.tolist() == [-1, -1, 0]


@pytest.mark.parametrize(("count", "blocks"), [(0, 0), (3, 1), (3, 3)])
def test_a_history_that_does_not_fit_is_refused(count, blocks):
    with pytest.raises(ValueError, match="frame"):
        last_history(np.zeros((count, 1)), np.zeros((blocks, 5, 2, 2), np.float32), np.zeros(blocks, int), 3)


def test_a_joint_block_holds_zeros_for_the_one_that_waits():
    block = np.full((5, 2), 0.5)
    joint = joint_block(block, 1)
    assert joint.shape == (5, 2, 2)
    assert not joint[:, 0].any()
    assert np.array_equal(joint[:, 1], block)


def test_a_state_view_is_the_state():
    state = np.arange(7.0)
    view = StateView.from_array(state)
    assert view.block == (4.0, 5.0)
    assert np.array_equal(view.to_array(), state)
