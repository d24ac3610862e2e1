"""Tasks under other laws: what the expert's actions would have led to, had these laws held.

A goal of a trajectory that was played under the standard laws may be out of reach under others: the agent stands where
a larger tee lies now. So the same actions are played again, from the same start, and the goal is where they lead: it is
within reach, by those very actions, unless the block touches at two places at once, where simulator and environment
part.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.simulator import Array, PushTPhysics, Simulator
from pushjepa.pusht.tasks import ExpertData


class ReplayedData:
    """Some trajectories as a data set of stable-worldmodel, played again under other laws from whatever row is asked.

    Everything begins as the environment begins when it is set to a state, with a substep and without the contacts that
    were. Apart from that, replaying under the standard laws reproduces the trajectories.

    Args:
        data: the trajectories.
        physics: the laws.
    """

    column_names = ExpertData.column_names

    def __init__(self, data: ExpertData, physics: PushTPhysics) -> None:
        self.data, self.frame_size = data, data.frame_size
        self.physics: PushTPhysics | None = physics
        self._simulator, self._scene = Simulator(physics), PushTScene(data.frame_size, physics)

    def load_chunk(
        self, episodes_idx: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> list[dict[str, Tensor]]:
        """What ``start`` up to, not including, ``end`` of some trajectories become; see :class:`ExpertData`."""
        chunk = []
        for episode, low, high in zip(episodes_idx.tolist(), start.tolist(), end.tolist(), strict=True):
            states, actions = self.data.trajectory(episode)
            played = self._play(states[low], actions[low : high - 1])
            pixels = torch.from_numpy(self._scene.draw_many(played)).permute(0, 3, 1, 2)
            rows = self.data.offsets[episode] + np.arange(low, high)
            chunk.append(
                {
                    "pixels": pixels,
                    "action": torch.from_numpy(self.data.actions[rows]),
                    "state": torch.from_numpy(played),
                    "proprio": torch.from_numpy(played[:, [0, 1, 5, 6]]),
                }
            )
        return chunk

    def _play(self, state: Array, actions: NDArray[np.float32]) -> Array:
        """States (T + 1, 7): a start (7,), and what comes of actions (T, 2)."""
        return np.concatenate([state[None], self._simulator.run(state, actions, settle=True)])
