from __future__ import annotations

import numpy as np
import pytest

from pushjepa.physics import mirror_state
from pushjepa.relay import STAGES, Scene
from pushjepa.relay.scene import COLOURS

STATE = np.array([100.3, 141.7, 400.0, 322.2, 250.9, 240.0, 0.7])


def centroid(frame, colour, board_px=512.0):
    """Where pixels of one colour lie on average, in board px."""
    close = np.abs(frame.astype(int) - colour).max(axis=2) < 60
    y, x = np.nonzero(close)
    return (np.array([x.mean(), y.mean()]) + 0.5) * board_px / len(frame)


@pytest.mark.parametrize("size", [64, 96, 112, 224, 512])
def test_bodies_are_drawn_where_they_are_at_every_size(size):
    frame = Scene(STAGES["open"], size).draw(STATE)
    assert frame.shape == (size, size, 3)
    assert frame.dtype == np.uint8
    assert centroid(frame, COLOURS["p1"]) == pytest.approx(STATE[0:2], abs=2.5)
    assert centroid(frame, COLOURS["p2"]) == pytest.approx(STATE[2:4], abs=2.5)
    assert centroid(frame, COLOURS["block"]) == pytest.approx(STATE[4:6], abs=2.5)


def test_drawing_leaves_nothing_behind():
    scene = Scene(STAGES["gate"], 112)
    first = scene.draw(STATE)
    scene.draw(STATE + 20.0)
    assert np.array_equal(scene.draw(STATE), first)
    assert np.array_equal(scene.draw_many(np.stack([STATE + 20.0, STATE]))[1], first)
    first[:] = 0
    assert scene.draw(STATE).any()


def test_less_than_a_pixel_shows():
    scene = Scene(STAGES["open"], 112)
    assert not np.array_equal(scene.draw(STATE), scene.draw(STATE + 0.5))


@pytest.mark.parametrize("name", STAGES)
def test_a_mirrored_position_is_a_mirrored_frame_but_for_the_colours(name):
    scene = Scene(STAGES[name], 224)
    block = np.array([-1e3, -1e3, -1e3, -1e3, *STATE[4:]])  # the agents out of the picture
    seen, mirrored = scene.draw(block), scene.draw(mirror_state(block) + np.array([-1e4] * 4 + [0] * 3))
    bright = [np.abs(frame.astype(int) - COLOURS["block"]).max(axis=2) < 60 for frame in (seen, mirrored[:, ::-1])]
    assert np.mean(bright[0] != bright[1]) < 0.004


def test_scale_and_shape_of_the_block_show():
    size = {scale: (Scene(STAGES["open"], 224, "tee", scale).draw(STATE)[..., 0] > 200).sum() for scale in (0.7, 1.4)}
    assert size[1.4] > 2 * size[0.7]
    plus = Scene(STAGES["open"], 224, "plus").draw(STATE)
    assert not np.array_equal(plus, Scene(STAGES["open"], 224).draw(STATE))


def test_a_tiny_frame_is_refused():
    with pytest.raises(ValueError, match="16 pixels"):
        Scene(STAGES["open"], 8)
