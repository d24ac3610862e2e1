"""What was predicted for a moment beside what was seen at it: the one record that surprise is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics.geometry import Array
from pushjepa.runtime.contract import Context, FloatArray

ARM = 40.0  #: px from the block's centre at which a turn of it counts like a shift


@dataclass(frozen=True)
class Transition:
    """One action block between two boundaries that were seen: what can be learned from.

    Attributes:
        latents: (K, D) at its start.
        earlier: (frameskip, agents, 2) the joint block before it; zeros where there was none.
        block: (frameskip, agents, 2) the joint action block.
        actor: who acts in it.
        seen: (S,) the state that was read at its end.
        context: the past up to its start; None where nobody learns the predictor's weights from it.
        after: (K, D) the latents at its end; None likewise.
        frames: (history + 1, H, W, 3) uint8 of ``context`` and of its end; None where nobody looks at them again.
    """

    latents: FloatArray
    earlier: FloatArray
    block: FloatArray
    actor: int
    seen: Array
    context: Context | None = None
    after: FloatArray | None = None
    frames: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Surprise:
    """How far off a prediction was.

    Attributes:
        slots: (K,) mean squared error of each slot's latent.
        pairs: (K, K) mean squared error of the difference between two slots' latents, halved, so that it is of the size
            of one slot's: how wrongly the relation of the two was foreseen. The diagonal is ``slots``.
        px: mean distance of the bodies' points (:func:`points_of`), board px.
        contact: whether the block was predicted to move, which is harder to foresee.
    """

    slots: NDArray[np.float64]
    pairs: NDArray[np.float64]
    px: float
    contact: bool


@dataclass(frozen=True)
class Record:
    """What was predicted for boundary ``turn`` and what was seen at it.

    Attributes:
        turn: which boundary, counted from the start of match or episode.
        predicted, seen: (K, D) latents.
        before: (S,) the state that was read at the boundary before.
        predicted_state, seen_state: (S,) as read of the latents.
    """

    turn: int
    predicted: FloatArray
    seen: FloatArray
    before: Array
    predicted_state: Array
    seen_state: Array

    def surprise(self) -> Surprise:
        """How far off the prediction was."""
        off = (self.predicted - self.seen).astype(np.float64)
        slots = np.square(off).mean(axis=-1)
        pairs = 0.5 * np.square(off[:, None] - off[None]).mean(axis=-1)
        np.fill_diagonal(pairs, slots)
        apart = points_of(self.predicted_state) - points_of(self.seen_state)
        moves = np.hypot(*(self.predicted_state - self.before)[-3:-1])
        return Surprise(slots, pairs, float(np.hypot(*apart.T).mean()), bool(moves > _MOVES))


_MOVES = 3.0  # px


def points_of(states: Array) -> Array:
    """The points (..., P, 2) px that stand for states (..., S): agents, the block's centre, and its arm's end.

    The last three numbers of a state are the block's place and angle; those before them are places of agents.
    """
    places = states[..., :-1].reshape(*states.shape[:-1], -1, 2)
    angle = states[..., -1:]
    arm = places[..., -1, :] + ARM * np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
    return np.concatenate([places, arm[..., None, :]], axis=-2)
