"""What takes the place of a prior in tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class ToldPrior:
    """A prior that remembers what it was asked, and proposes turns that say how many they are.

    What is likeliest it was told, each turn (dx, dy) at one speed throughout.
    """

    def __init__(self, likeliest: Sequence[Sequence[float]] = ((-1.0, 0.0),)) -> None:
        self.asked: list[tuple] = []
        self.known = np.repeat(np.array(likeliest, np.float32)[:, None], 5, axis=1)

    def propose(self, state, side, turns_left, count, rng):
        self.asked.append((state.copy(), side, turns_left))
        return np.broadcast_to(np.linspace(0.1, 0.9, count, dtype=np.float32)[:, None, None], (count, 5, 2))

    def likeliest(self, states, side, turns_left, count):
        self.asked.append((states.copy(), side, turns_left))
        return np.broadcast_to(self.known[:count], (len(states), *self.known[:count].shape))
