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


@pytest.fixture(scope="session")
def tiny_model():
    """An untrained MechJEPA with an action prior that sees frames of 64 px."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from pushjepa.nets.mech import MechJEPA
    from pushjepa.nets.mech_config import MechConfig
    from pushjepa.pusht.model import PushTModel

    torch.manual_seed(0)
    sizes = {"frame_size": 64, "slots": 3, "width": 16, "points": 3, "layers": 1, "heads": 2, "mlp_hidden": 32}
    memory = {"mechanism": "vq", "codes": 8, "mechanism_width": 4, "head_hidden": 16}
    unroll = {"unroll_hidden": 16, "unroll_layers": 1, "unroll_waves": 8, "prior_hidden": 16, "prior_layers": 1}
    return PushTModel(MechJEPA(MechConfig(**sizes, **memory, **unroll)))


@pytest.fixture(scope="session")
def expert_data(collection):
    """Six trajectories of the expert, with frames of 64 px."""
    pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")
    from pushjepa.pusht.tasks import ExpertData

    return ExpertData(collection / "pusht.h5")
