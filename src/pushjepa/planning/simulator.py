"""The true simulator behind the world model's contract: the ceiling for any model with the same search and cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import STATE_FIELDS, STATE_SIZE, Board, Physics
from pushjepa.physics.constants import TURN_STEPS
from pushjepa.relay.rules import SIDES
from pushjepa.relay.stages import Stage
from pushjepa.runtime.contract import Context, FloatArray, ModelSpec


class SimulatorModel:
    """A WorldModel whose latent is the state (K=1, D=7) and whose imagination is the physics engine.

    Args:
        stage: the obstacles.
        physics: the laws; the standard ones if None.
    """

    spec = ModelSpec(
        tokens=1,
        width=STATE_SIZE,
        agents=len(SIDES),
        frameskip=TURN_STEPS,
        history=1,
        frame_size=0,
        state_fields=STATE_FIELDS,
    )

    def __init__(self, stage: Stage, physics: Physics | None = None) -> None:
        self._board = Board(stage.obstacles, physics)

    def encode(self, frames: NDArray[Any]) -> FloatArray:
        """States (N, 7) in place of frames, to latents (N, 1, 7)."""
        return np.asarray(frames, dtype=np.float32)[:, None]

    def rollout(
        self,
        context: Context,
        candidates: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        """Play every candidate (S, H, 5, 2, 2) from the newest state of ``context``; gives (S, H, 1, 7)."""
        start = context.latents[-1, 0].astype(np.float64)
        out = np.empty((*candidates.shape[:2], 1, STATE_SIZE), dtype=np.float32)
        played: dict[bytes, NDArray[np.float64]] = {}  # candidates that have gone alike so far are played once
        for index, blocks in enumerate(candidates):
            state = start
            for ahead, actor in enumerate(actors):
                so_far = blocks[: ahead + 1].tobytes()
                if so_far not in played:
                    played[so_far] = self._board.run_turn(state, SIDES[actor], blocks[ahead, :, actor])[-1]
                state = played[so_far]
                out[index, ahead, 0] = state
        return out

    def decode(self, latents: FloatArray) -> NDArray[np.float64]:
        """Latents (..., 1, 7) to states (..., 7)."""
        return latents[..., 0, :].astype(np.float64)
