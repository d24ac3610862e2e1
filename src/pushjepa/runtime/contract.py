"""The one contract between a world model and everything that plans with it. Arrays are NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class ModelSpec:
    """What a model takes and gives.

    Attributes:
        tokens: K, latent tokens per frame.
        width: D, numbers per token.
        agents: 2 in relay, 1 in Push-T.
        frameskip: env steps in one action block.
        history: frames of context.
        frame_size: height and width in pixels of the frames it takes.
        state_fields: names of what ``decode`` gives, in order.
        laws: C, numbers that a rollout can be told of the laws of physics; 0 for a model that knows one world.
        visible: which of those a second look at a frame tells; none for a model that looks in one way.
    """

    tokens: int
    width: int
    agents: int
    frameskip: int
    history: int
    frame_size: int
    state_fields: tuple[str, ...]
    laws: int = 0
    visible: tuple[int, ...] = ()


class Context(NamedTuple):
    """The recent past of one match, already encoded and padded to the model's history.

    ``latents`` (history, K, D) at turn boundaries, newest last; ``blocks`` (history-1, frameskip, agents, 2) and
    ``actors`` (history-1,) between them, -1 where nothing had happened yet.
    """

    latents: FloatArray
    blocks: FloatArray
    actors: NDArray[np.int64]


class WorldModel(Protocol):
    """A world model at run time: pixels to latents, actions to later latents, latents to a readable state."""

    @property
    def spec(self) -> ModelSpec: ...

    def encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        """Frames (N, H, W, 3) uint8 to latents (N, K, D)."""
        ...

    def rollout(
        self,
        context: Context,
        candidates: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        """Imagine every candidate.

        Args:
            context: the recent past, shared by all candidates.
            candidates: (S, H, frameskip, agents, 2) joint action blocks to come.
            actors: (H,) who acts in each block.
            conditions: (C,) numbers that tell of the laws of physics, all 0 under those that the model was trained
                under; None for those too.

        Returns:
            (S, H, K, D) the predicted latents after each block.
        """
        ...

    def decode(self, latents: FloatArray) -> NDArray[np.float64]:
        """Latents (..., K, D) to states (..., 7): p1 xy, p2 xy, block xy in board px, angle in radians."""
        ...


class LawfulModel(WorldModel, Protocol):
    """A world model that can be told of other laws of physics, and asked what each of many laws would have led to."""

    def foresee(
        self,
        latents: FloatArray,
        earlier: FloatArray,
        blocks: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray,
    ) -> NDArray[np.float64]:
        """States (N, S) after one block each: a quick look, without the predictor.

        Args:
            latents: (N, K, D) at the blocks' start.
            earlier: (N, frameskip, agents, 2) the joint blocks before them; zeros where there was none.
            blocks: (N, frameskip, agents, 2) joint action blocks.
            actors: (N,) who acts in each.
            conditions: (N, C) the laws that are supposed for each.
        """
        ...

    def look(self, frames: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Frames (N, H, W, 3) uint8 to latents (N, K, D) and numbers of the laws (N, C), for a block that is unknown.

        The latents are those of the same scene with the block that the model knows. Of the numbers those that a frame
        shows are told, the others are 0.

        Raises:
            ValueError: the model has no second look.
        """
        ...
