"""A world model that encodes frames by its second look, and transitions encoded anew for either look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pushjepa.adaptation.records import Transition
from pushjepa.physics.geometry import Array
from pushjepa.runtime.contract import Context, FloatArray, LawfulModel, ModelSpec


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


def given_of(model: LawfulModel) -> LawfulModel:
    """The model itself, whichever way it looks."""
    return model.given if isinstance(model, Relooking) else model


def seen_by(model: LawfulModel, one: Transition) -> Transition:
    """A transition as ``model`` sees its frames.

    Raises:
        ValueError: the transition holds no frames.
    """
    return _with_latents(model, one, model.encode(_frames_of(one)))


def look_again(model: LawfulModel, transitions: Sequence[Transition]) -> tuple[list[Transition], Array]:
    """Transitions as the second look of ``model`` sees their frames, each of which is looked at once.

    With them what the frames at their ends tell of the laws (C,): the median over these.

    Raises:
        ValueError: a transition holds no frames.
    """
    frames = np.stack([_frames_of(one) for one in transitions])  # (N, history + 1, H, W, 3)
    flat = frames.reshape(-1, *frames.shape[2:])
    places: dict[bytes, int] = {}
    which = np.array([places.setdefault(frame.tobytes(), len(places)) for frame in flat])
    _, first = np.unique(which, return_index=True)
    latents, told = model.look(flat[first])
    seen = latents[which].reshape(*frames.shape[:2], *latents.shape[1:])
    ends = told[which].reshape(*frames.shape[:2], -1)[:, -1]
    window = [_with_latents(model, one, own) for one, own in zip(transitions, seen, strict=True)]
    return window, np.asarray(np.median(ends.astype(np.float64), axis=0))


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
