"""Looking a second time: which block frames show, and a world model that encodes them by its second look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pushjepa.adaptation.inference import LawSpace
from pushjepa.adaptation.records import Transition
from pushjepa.physics.geometry import Array
from pushjepa.runtime.contract import Context, FloatArray, LawfulModel, ModelSpec

# Of the laws' numbers: 0.2 is a tenth in size, and a shape's is 1. docs/adaptation.md has what frames tell.
_PLAINLY, _PLAIN_SHAPE = 0.45, 0.65  # by so much a single frame must differ to be believed
_OTHER, _KNOWN = 0.2, 0.1  # from the one on a block looks other, until it is under the other
_FRAMES, _ENOUGH = 7, 5  # frames whose median counts, and how many it takes


class Relooking:
    """The given model, but frames are encoded by its second look; all else is the model's own.

    Args:
        given: with a second look.

    Raises:
        ValueError: it has none.
    """

    def __init__(self, given: LawfulModel) -> None:
        if not given.spec.visible:
            raise ValueError("this model has no second look")
        self.given = given

    @property
    def spec(self) -> ModelSpec:
        return self.given.spec

    def encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        """Frames (N, H, W, 3) to latents (N, K, D) by the second look."""
        return self.given.look(frames)[0]

    def look(self, frames: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        return self.given.look(frames)

    def rollout(
        self,
        context: Context,
        candidates: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        return self.given.rollout(context, candidates, actors, conditions)

    def decode(self, latents: FloatArray) -> Array:
        return self.given.decode(latents)

    def foresee(
        self,
        latents: FloatArray,
        earlier: FloatArray,
        blocks: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray,
    ) -> Array:
        return self.given.foresee(latents, earlier, blocks, actors, conditions)

    def propose(
        self,
        context: Context,
        goal: FloatArray,
        count: int,
        horizon: int,
        rng: np.random.Generator,
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        """What the given model's action prior proposes, if it has one."""
        plans: FloatArray = cast(Any, self.given).propose(context, goal, count, horizon, rng, conditions)
        return plans


class BlockWatch:
    """Which block the frames of a match or episode show, as the second look of a model tells it, frame by frame.

    A frame that plainly tells of another block than was shown so far is believed at once; a smaller difference once
    the median over several frames tells of it, or at an alarm that over the frames since errors began to rise.

    Args:
        model: with a second look; one without is asked nothing.
        space: where its laws may lie.
        shown: (C,) laws of which the visible ones are expected to be shown; None for the standard ones.

    Attributes:
        shown: (C,) the visible numbers of the laws; 0 where they are those of the block that the model knows, and for
            numbers that no frame shows.
    """

    def __init__(self, model: LawfulModel, space: LawSpace, shown: Array | None = None) -> None:
        self.model, self.space = model, space
        count = len(space.low)
        self._visible = np.isin(np.arange(count), model.spec.visible)
        self._shapes = slice(count - space.shapes, count)
        self._plain = np.full(count, _PLAINLY)
        self._plain[self._shapes] = _PLAIN_SHAPE
        self._told: list[Array] = []  # of the last frames that showed this block
        self.shown: Array = np.zeros(count)
        if shown is not None:
            expected = space.settle(shown)
            self.shown = np.where(self._visible & (np.abs(expected) >= _OTHER), expected, 0.0)

    def see(self, frame: NDArray[np.uint8], last: int = 0) -> bool:
        """Look at one more frame (H, W, 3); whether it, or the last ones together, show another block than before.

        With ``last`` so many frames count, the one included, and not those before.
        """
        told = self.model.look(frame[None])[1][0].astype(np.float64)
        told = np.where(self._visible, np.clip(told, self.space.low, self.space.high), 0.0)
        if (np.abs(told - self.shown) >= self._plain).any():
            self._told = [told]
            return self._take(told)
        self._told = [*self._told, told][-(last or _FRAMES) :]
        odd = self._told[1 - len(self._told) % 2 :]  # or the median could lie between two blocks, where none is
        return (last > 0 or len(odd) >= _ENOUGH) and self._take(np.median(odd, axis=0))

    def _take(self, told: Array) -> bool:
        """Believe numbers (C,); whether they are of another block than was shown, and not just a better reading."""
        before, shapes = self.shown, told[self._shapes]
        shown = np.where(np.abs(told) >= np.where(before == 0.0, _OTHER, _KNOWN), told, 0.0)
        kept = before[self._shapes] * (shapes > 1.0 - _PLAIN_SHAPE)
        shown[self._shapes] = (
            (shapes == shapes.max()) & (shapes >= _PLAIN_SHAPE) if shapes.max() >= _PLAIN_SHAPE else kept
        )
        self.shown = shown
        return bool((np.abs(shown - before) >= _OTHER).any() or shown.any() != before.any())


def given_of(model: LawfulModel) -> LawfulModel:
    """The model itself, whichever way it looks."""
    return model.given if isinstance(model, Relooking) else model


def seen_by(model: LawfulModel, one: Transition) -> Transition:
    """A transition as ``model`` sees its frames.

    Raises:
        ValueError: the transition holds no frames.
    """
    return _with_latents(model, one, model.encode(_frames_of(one)))


def _frames_of(one: Transition) -> NDArray[np.uint8]:
    if one.frames is None or one.context is None:
        raise ValueError("this transition holds no frames that could be looked at again")
    return one.frames


def _with_latents(model: LawfulModel, one: Transition, latents: FloatArray) -> Transition:
    """A transition whose frames have these latents (history + 1, K, D)."""
    assert one.context is not None
    latents = latents.astype(np.float32)
    context = one.context._replace(latents=latents[:-1])
    return replace(one, latents=latents[-2], context=context, after=latents[-1], seen=model.decode(latents[-1]))
