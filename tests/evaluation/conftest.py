"""A toy world model that really reads pixels, so that measuring has known answers without trained weights."""

from __future__ import annotations

import numpy as np
import pytest

from pushjepa.relay.scene import COLOURS
from pushjepa.runtime.contract import Context, ModelSpec

STEP = 8.0  # px that an action of 1.0 carries the block


class PixelModel:
    """Finds agents and block as the mean place of their colour; believes that every action carries the block ``gain``
    times ``STEP`` px. The angle is always zero. Its latent is the state.
    """

    spec = ModelSpec(1, 7, 2, 5, 3, 256, ("p1_x", "p1_y", "p2_x", "p2_y", "block_x", "block_y", "angle"))

    def __init__(self, gain: float = 0.0) -> None:
        self.gain = gain

    def encode(self, frames: np.ndarray) -> np.ndarray:
        latents = np.zeros((len(frames), 1, 7), dtype=np.float32)
        for row, frame in enumerate(frames):
            for index, name in enumerate(("p1", "p2", "block")):
                y, x = np.nonzero((np.abs(frame.astype(int) - COLOURS[name]) < 12).all(axis=-1))
                latents[row, 0, 2 * index : 2 * index + 2] = (x.mean() + 0.5) * 2, (y.mean() + 0.5) * 2
        return latents

    def rollout(self, context: Context, candidates, actors, conditions=None):
        latents = np.broadcast_to(context.latents[-1], (*candidates.shape[:2], 1, 7)).copy()
        latents[..., 0, 4:6] += self.gain * STEP * candidates.sum(axis=(2, 3)).cumsum(axis=1)
        return latents

    def decode(self, latents: np.ndarray) -> np.ndarray:
        return latents[..., 0, :].astype(np.float64)


@pytest.fixture
def pixel_model():
    """The class; ``pixel_model(gain)`` makes one."""
    return PixelModel
