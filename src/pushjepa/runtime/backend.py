"""What the backends share: checking shapes, sliding the context along a rollout, reading the head's numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics.constants import BOARD_CENTRE
from pushjepa.runtime.contract import Context, FloatArray, ModelSpec

#: Of places in px that are read from a latent; seeing is several times coarser. What is finer is how near anchor and
#: float32 come to what was imagined, and would tell apart what is the same.
DECIMALS = 2


class Backend(ABC):
    """A one-token world model whose five functions are computed somewhere.

    A turn is first looked at by itself (``_turns``: where its actions would lead), and what comes of it is kept for as
    long as it stays in the window. A rollout's first block shares its past among all candidates and goes through
    ``_first``; later blocks each have a past of their own and go through ``_next``.
    """

    def __init__(self, spec: ModelSpec, name: str) -> None:
        self.spec = spec
        self.name = name

    @abstractmethod
    def _encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        """(N, H, W, 3) uint8 to (N, D)."""

    @abstractmethod
    def _turns(self, latents: FloatArray, blocks: FloatArray, actors: NDArray[np.int64]) -> FloatArray:
        """(N, D), (N, f, a, 2), (N,) to turn tokens (N, P)."""

    @abstractmethod
    def _shifted(
        self, latents: FloatArray, blocks: FloatArray, actors: NDArray[np.int64], laws: FloatArray
    ) -> FloatArray:
        """:meth:`_turns` under laws as they are told (N, C)."""

    @abstractmethod
    def _first(self, past: FloatArray, newest: FloatArray) -> FloatArray:
        """Turn tokens (1, h-1, P), (S, P) to (S, D)."""

    @abstractmethod
    def _next(self, past: FloatArray, newest: FloatArray) -> FloatArray:
        """Turn tokens (S, h-1, P), (S, P) to (S, D)."""

    @abstractmethod
    def _look(self, frames: NDArray[np.uint8]) -> FloatArray:
        """(N, H, W, 3) uint8 to latents and what is told of the laws, side by side (N, D + C)."""

    @abstractmethod
    def _decode(self, latents: FloatArray) -> FloatArray:
        """(N, D) to (N, 8)."""

    def encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        """Frames (N, H, W, 3) uint8 to latents (N, 1, D); see :class:`~pushjepa.runtime.contract.WorldModel`."""
        check_frames(frames, self.spec)
        return self._encode(np.ascontiguousarray(frames))[:, None]

    def look(self, frames: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Frames (N, H, W, 3) uint8 to latents (N, 1, D) and numbers of the laws (N, C); see
        :class:`~pushjepa.runtime.contract.LawfulModel`.

        Raises:
            ValueError: the model has no second look.
        """
        if not self.spec.visible:
            raise ValueError(f"{self.name} has no second look")
        check_frames(frames, self.spec)
        both = self._look(np.ascontiguousarray(frames))
        return both[:, None, : self.spec.width], both[:, self.spec.width :]

    def rollout(
        self,
        context: Context,
        candidates: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        """Imagine candidates (S, H, f, a, 2) to latents (S, H, 1, D).

        The turns of the context are looked at under the same laws as those to come.
        """
        self._check(context, candidates, actors)
        look = self._turns_under(conditions)
        candidates = np.ascontiguousarray(candidates, dtype=np.float32)
        latents = np.ascontiguousarray(context.latents[:, 0], dtype=np.float32)  # (h, D)
        past = look(latents[:-1], context.blocks.astype(np.float32), context.actors)[None]
        latest = np.repeat(latents[-1:], len(candidates), axis=0)
        out = np.empty((*candidates.shape[:2], 1, self.spec.width), dtype=np.float32)
        where = np.zeros(len(candidates), dtype=np.int64)
        for step, actor in enumerate(actors):
            parents = where
            # Candidates that have gone alike so far are imagined once.
            rows, where = _distinct(candidates[:, : step + 1])
            if step:
                past, latest = past[parents[rows]], latest[parents[rows]]
            acts = np.full(len(rows), actor, dtype=np.int64)
            newest = look(latest[: len(rows)], candidates[rows, step], acts)
            latest = (self._next if step else self._first)(past, newest)
            out[:, step, 0] = latest[where]
            # The window slides: the oldest turn leaves, the one just imagined joins the past.
            kept = np.broadcast_to(past[:, 1:], (len(rows), *past[:, 1:].shape[1:]))
            past = np.concatenate([kept, newest[:, None]], axis=1)
        return out

    def decode(self, latents: FloatArray) -> NDArray[np.float64]:
        """Latents (..., 1, D) to states (..., 7): board px, to ``DECIMALS``, and the angle in radians."""
        lead = latents.shape[:-2]
        flat = np.ascontiguousarray(latents.reshape(-1, self.spec.width), dtype=np.float32)
        states = _states(self._decode(flat))
        states[:, :6] = states[:, :6].round(DECIMALS)
        return states.reshape(*lead, 7)

    def foresee(
        self,
        latents: FloatArray,
        earlier: FloatArray,
        blocks: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray,
    ) -> NDArray[np.float64]:
        """States (N, 7) after a turn each, as the unroll imagines them; see
        :class:`~pushjepa.runtime.contract.LawfulModel`. Everything rests at a turn's start, whatever came earlier.

        Raises:
            ValueError: the model knows one world only.
        """
        if not self.spec.laws:
            raise ValueError(f"{self.name} knows no other laws of physics than the standard ones")
        flat = np.ascontiguousarray(latents[:, 0], dtype=np.float32)
        turns = self._shifted(flat, blocks.astype(np.float32), actors, conditions.astype(np.float32))
        return _states(turns[:, 2 * self.spec.width :])

    def _turns_under(
        self, conditions: FloatArray | None
    ) -> Callable[[FloatArray, FloatArray, NDArray[np.int64]], FloatArray]:
        """How single turns are looked at: under the standard laws or under others (C,)."""
        if conditions is None or not conditions.any():
            return self._turns
        if conditions.shape != (self.spec.laws,):
            raise ValueError(f"conditions must be {(self.spec.laws,)} numbers of laws, got {conditions.shape}")
        told = conditions.astype(np.float32)
        return lambda latents, blocks, actors: self._shifted(
            latents, blocks, actors, np.repeat(told[None], len(latents), axis=0)
        )

    def _check(self, context: Context, candidates: FloatArray, actors: NDArray[np.int64]) -> None:
        s = self.spec
        if context.latents.shape != (s.history, s.tokens, s.width):
            raise ValueError(f"context latents must be {(s.history, s.tokens, s.width)}, got {context.latents.shape}")
        if context.blocks.shape != (s.history - 1, s.frameskip, s.agents, 2):
            wanted = (s.history - 1, s.frameskip, s.agents, 2)
            raise ValueError(f"context blocks must be {wanted}, got {context.blocks.shape}")
        if candidates.ndim != 5 or candidates.shape[2:] != (s.frameskip, s.agents, 2):
            raise ValueError(f"candidates must be (S, H, {s.frameskip}, {s.agents}, 2), got {candidates.shape}")
        if actors.shape != candidates.shape[1:2]:
            raise ValueError(f"one actor for each of {candidates.shape[1]} blocks, got {actors.shape}")


def check_frames(frames: NDArray[np.uint8], spec: ModelSpec) -> None:
    """Refuse what are no frames for a model.

    Raises:
        ValueError: not (N, size, size, 3) uint8.
    """
    size = spec.frame_size
    if frames.ndim != 4 or frames.shape[1:] != (size, size, 3) or frames.dtype != np.uint8:
        raise ValueError(f"frames must be (N, {size}, {size}, 3) uint8, got {frames.shape} {frames.dtype}")


def _states(numbers: FloatArray) -> NDArray[np.float64]:
    """The head's numbers (N, 8) to states (N, 7)."""
    numbers = numbers.astype(np.float64)
    angle = np.arctan2(numbers[:, 7], numbers[:, 6])
    return np.concatenate([numbers[:, :6] * BOARD_CENTRE + BOARD_CENTRE, angle[:, None]], axis=1)


def _distinct(candidates: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the distinct ones of S candidates (S, ...), and for each candidate which of those it is (S,)."""
    flat = np.ascontiguousarray(candidates).reshape(len(candidates), -1)
    keys = flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize)))[:, 0]
    _, rows, where = np.unique(keys, return_index=True, return_inverse=True)
    return rows, where
