"""What a seat sees and what a seat can do: the two records that every player of the game shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics.geometry import Array
from pushjepa.relay.scene import Frame

Side = Literal["p1", "p2"]
Point = tuple[float, float]


@dataclass(frozen=True)
class StateView:
    """The true position: centres in board px, the block's angle in radians."""

    p1: Point
    p2: Point
    block: Point
    angle: float

    @classmethod
    def from_array(cls, state: Array) -> StateView:
        """From a state (7,)."""
        s = [float(v) for v in state]
        return cls((s[0], s[1]), (s[2], s[3]), (s[4], s[5]), s[6])

    def to_array(self) -> Array:
        """Back to a state (7,) float64."""
        return np.array([*self.p1, *self.p2, *self.block, self.angle])


@dataclass(frozen=True)
class Observation:
    """What a policy is given at its turn. A policy that ``sees`` frames gets no state, and the other way round.

    Attributes:
        side: the seat that is asked to act.
        turn: turns played so far, from 0.
        turns_left: the match's turns still to be played, this one included (10 ... 1).
        goals: own goal first, ((x, y), (x, y)) in board px.
        frames: (T, H, W, 3) uint8, one per turn boundary of the match so far, newest last; None for a state policy.
        blocks: (T-1, 5, 2, 2) the joint action blocks between them: (step, agent, dx dy), zeros for who waits.
        actors: (T-1,) who acted in each: 0 for p1, 1 for p2.
        state: the true position; None for a frame policy.
    """

    side: Side
    turn: int
    turns_left: int
    goals: tuple[Point, Point]
    frames: Frame | None
    blocks: NDArray[np.float32]
    actors: NDArray[np.int64]
    state: StateView | None


@runtime_checkable
class Policy(Protocol):
    """Everything that can take a seat.

    ``sees`` says whether the policy is given frames or the state; a policy that sees frames also says with
    ``frame_size`` how large to draw them. Both are plain attributes.
    """

    sees: Literal["frames", "state"]

    def act(self, observation: Observation, rng: np.random.Generator) -> Array:
        """The action block (5, 2) in [-1, 1] for this turn."""
        ...


class History(NamedTuple):
    """A model's context: the last ``n`` frames (or latents) and what was done between them.

    ``items`` (n, ...), ``blocks`` (n-1, 5, agents, 2), ``actors`` (n-1,) with -1 where nothing happened yet.
    """

    items: NDArray[np.generic]
    blocks: NDArray[np.float32]
    actors: NDArray[np.int64]


def last_history(
    items: NDArray[np.generic], blocks: NDArray[np.float32], actors: NDArray[np.int64], length: int
) -> History:
    """Cut or pad a match so far to a context of ``length`` items. Training and play both go through here.

    The start of a match is padded by repeating the first item, with zero blocks and actor -1 between the copies.

    Args:
        items: (T, ...) frames, latents or states at turn boundaries, newest last; T >= 1.
        blocks: (T-1, 5, agents, 2) joint action blocks between them.
        actors: (T-1,) who acted.
        length: how many items the model takes.

    Raises:
        ValueError: no item, or blocks and actors that do not fit between the items.
    """
    count = len(items)
    if count < 1:
        raise ValueError("a history needs at least one frame")
    if len(blocks) != count - 1 or len(actors) != count - 1:
        raise ValueError(f"{count} frames have {count - 1} blocks between them, got {len(blocks)} and {len(actors)}")
    missing = max(0, length - count)
    first = max(0, count - length)
    padded_items = np.concatenate([np.repeat(items[:1], missing, axis=0), items[first:]])
    padded_blocks = np.concatenate([np.zeros((missing, *blocks.shape[1:]), blocks.dtype), blocks[first:]])
    padded_actors = np.concatenate([np.full(missing, -1, actors.dtype), actors[first:]])
    return History(padded_items, padded_blocks, padded_actors)


def joint_block(block: Array, actor: int) -> NDArray[np.float32]:
    """Put one agent's action block (5, 2) into a joint block (5, 2 agents, 2), zeros for the one that waits."""
    out = np.zeros((len(block), 2, 2), dtype=np.float32)
    out[:, actor] = block
    return out
