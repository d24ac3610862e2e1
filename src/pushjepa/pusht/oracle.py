"""The true simulator behind the world model's contract, and what a plan for Push-T costs. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.pusht.geometry import pose_error
from pushjepa.pusht.simulator import STATE_SIZE, Array, PushTPhysics, Simulator
from pushjepa.runtime.contract import Context, FloatArray, ModelSpec

FRAMESKIP = 5  #: env steps in an action block
STATE_FIELDS = ("agent_x", "agent_y", "block_x", "block_y", "angle", "agent_vx", "agent_vy")


class PushTSimulatorModel:
    """A WorldModel whose latent is the state (K=1, D=7) and whose imagination is the physics engine.

    Args:
        physics: the laws; those of the environment if None.
    """

    spec = ModelSpec(
        tokens=1,
        width=STATE_SIZE,
        agents=1,
        frameskip=FRAMESKIP,
        history=1,
        frame_size=0,
        state_fields=STATE_FIELDS,
    )

    def __init__(self, physics: PushTPhysics | None = None) -> None:
        self._simulator = Simulator(physics)

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
        """Play every candidate (S, H, 5, 1, 2) from the newest state of ``context``; gives (S, H, 1, 7)."""
        start = context.latents[-1, 0].astype(np.float64)
        count, horizon = candidates.shape[:2]
        actions = candidates.reshape(count, horizon * FRAMESKIP, 2)
        states = np.stack([self._simulator.run(start, row) for row in actions])
        return states[:, FRAMESKIP - 1 :: FRAMESKIP, None].astype(np.float32)

    def decode(self, latents: FloatArray) -> Array:
        """Latents (..., 1, 7) to states (..., 7)."""
        return latents[..., 0, :].astype(np.float64)


@dataclass(frozen=True)
class GoalState:
    """How near a rollout comes to a goal state (7,) after any of its blocks, px.

    After each block the agent's distance and, three times, the mean distance of the block's landmarks: the agent gets
    anywhere, the block does not. The environment judges every step, so the nearest of them counts; ``haste`` px for
    each block before it keep a planner that looks again after every block from putting everything off. With ``at_end``
    only the last block counts.
    """

    goal: Array
    block_weight: float = 3.0
    haste: float = 2.0
    at_end: bool = False

    def __call__(self, states: Array, latents: FloatArray) -> Array:
        """Cost (S,) of decoded states (S, H, 7)."""
        agent = np.hypot(states[..., 0] - self.goal[0], states[..., 1] - self.goal[1])
        apart = agent + self.block_weight * pose_error(states[..., 2:5], self.goal[2:5])
        if self.at_end:
            return np.asarray(apart[:, -1])
        return np.asarray((apart + self.haste * np.arange(states.shape[1])).min(axis=1))


@dataclass(frozen=True)
class GoalLatent:
    """Mean squared distance between the latent at the end of a rollout and a goal's (K, D): LeWorldModel's cost."""

    goal: FloatArray

    def __call__(self, states: Array, latents: FloatArray) -> Array:
        """Cost (S,) of latents (S, H, K, D)."""
        return np.asarray(np.square(latents[:, -1] - self.goal).mean(axis=(1, 2), dtype=np.float64))
