"""Training windows: a model's context and what came after it, cut from episodes at turn boundaries.

A window holds ``history`` frames of context and ``targets`` frames to predict, one turn (5 env steps) apart. It may
begin at the very start of an episode; then it is padded exactly as play pads the start of a match. ``Windows.at`` is
:func:`pushjepa.relay.contract.last_history` for many windows at once, and tested equal to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from pushjepa.data.scenes import random_scenes
from pushjepa.data.store import Episodes
from pushjepa.physics import Physics, flip_block, flip_state, mirror_block, mirror_state
from pushjepa.physics.constants import STEP_SECONDS, TURN_STEPS
from pushjepa.relay.scene import Frame, Scene
from pushjepa.relay.stages import get_stage

__all__ = [
    "BLOCKED",
    "JOSTLED",
    "MOVED",
    "WindowBatch",
    "Windows",
    "check_flippable",
    "draw_states",
    "draw_windows",
    "flip_window",
    "make_scenes",
    "mirror_window",
    "random_scenes",
]

MOVED = 10.0  #: px the block must travel in a turn for the turn to count as one that moved it
JOSTLED = 2.0  #: px the waiting agent must be pushed in a turn
BLOCKED = 25.0  #: px an agent must end away from where its actions alone would lead; from rest it lags by up to 10


@dataclass(frozen=True)
class WindowBatch:
    """B windows of L = history + targets frames.

    Attributes:
        states: (B, L, 7) float32.
        steps: (B, L - 1, 5, 7) float32, the states after each env step between them.
        blocks: (B, L - 1, 5, 2, 2) float32 joint action blocks between them, zeros where nothing had happened yet.
        actors: (B, L - 1) int64, 0 for p1, 1 for p2, -1 where nothing had happened yet; who begins where both act.
        stage: (B,) int64 stage index.
        frame: (B, L) int64, where each state stands in the episodes' boundaries laid end to end; names a cached latent.
        mirrored: (B,) bool, whether the window is seen from the other seat.
    """

    states: NDArray[np.float32]
    steps: NDArray[np.float32]
    blocks: NDArray[np.float32]
    actors: NDArray[np.int64]
    stage: NDArray[np.int64]
    frame: NDArray[np.int64]
    mirrored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.states)

    def take(self, rows: NDArray[np.generic] | slice) -> WindowBatch:
        """Some of the windows."""
        return WindowBatch(*(getattr(self, f.name)[rows] for f in fields(self)))


class Windows:
    """All windows of some episodes.

    Args:
        episodes: where they are cut from.
        history: frames of context.
        targets: frames to predict.

    Attributes:
        episode: (W,) episode of each window.
        turn: (W,) its newest context frame, counted in turn boundaries.
        moved: (W,) whether the first turn after the context moves the block by more than ``MOVED`` px.
        blocked: (W,) whether in that turn the block stays and yet the acting agent is stopped: by a wall, an obstacle,
            the other agent or a block that gives no way; see ``BLOCKED``. Where agents alternate at every step: one of
            the two.
        jostled: (W,) whether in that turn the waiting agent is pushed, straight or by the block; see ``JOSTLED``.
            Where agents alternate at every step: in the first step of the turn.

    Raises:
        ValueError: lengths that do not fit the episodes.
    """

    def __init__(self, episodes: Episodes, history: int = 3, targets: int = 1) -> None:
        if history < 1 or not 1 <= targets <= episodes.turns:
            raise ValueError(
                f"windows need a history of at least 1 and 1 to {episodes.turns} targets, got {history} and {targets}"
            )
        self.episodes, self.history, self.targets = episodes, history, targets
        starts = episodes.turns - targets + 1
        self.episode = np.repeat(np.arange(len(episodes)), starts)
        self.turn = np.tile(np.arange(starts), len(episodes))
        travel = np.diff(episodes.boundaries[..., 4:6], axis=1)  # (N, T, 2)
        self.moved = (np.hypot(travel[..., 0], travel[..., 1]) > MOVED)[self.episode, self.turn]
        self.blocked = (_astray(episodes) > BLOCKED)[self.episode, self.turn] & ~self.moved
        self.jostled = (_pushed(episodes) > JOSTLED)[self.episode, self.turn]
        self._moved_rows, self._blocked_rows = np.flatnonzero(self.moved), np.flatnonzero(self.blocked)
        self._jostled_rows = np.flatnonzero(self.jostled)

    def __len__(self) -> int:
        return len(self.episode)

    def at(self, rows: NDArray[np.int64]) -> WindowBatch:
        """The windows with these numbers (B,)."""
        data = self.episodes
        episode, turn = self.episode[rows, None], self.turn[rows, None]
        offsets = np.arange(self.history + self.targets) - (self.history - 1)
        frames = np.maximum(turn + offsets, 0)  # (B, L): the first frame is repeated
        between = turn + offsets[:-1]  # (B, L - 1)
        before = between < 0
        blocks = data.blocks[episode, np.maximum(between, 0)]
        blocks[before] = 0.0
        actors = np.where(before, -1, data.actors[episode, np.maximum(between, 0)])
        states = data.boundaries[episode, frames]
        within = TURN_STEPS * np.maximum(between, 0)[..., None] + np.arange(1, TURN_STEPS + 1)
        steps = data.states[episode[..., None], within]
        return WindowBatch(
            states=states,
            steps=np.where(before[..., None, None], states[:, :-1, None], steps),
            blocks=blocks,
            actors=actors,
            stage=data.stage[episode[:, 0]],
            frame=episode * (data.turns + 1) + frames,
            mirrored=np.zeros(len(frames), dtype=bool),
        )

    def sample(
        self,
        rng: np.random.Generator,
        n: int,
        moved: float = 0.0,
        mirror: bool = False,
        blocked: float = 0.0,
        jostled: float = 0.0,
    ) -> WindowBatch:
        """``n`` windows with replacement.

        Args:
            rng: where the randomness comes from.
            n: how many.
            moved: share drawn from the windows whose next turn moves the block; the rest is drawn from all.
            mirror: whether to show each with even chance from the other seat.
            blocked: share drawn from the windows in whose next turn the agent is stopped.
            jostled: share drawn from the windows in whose next turn the waiting agent is pushed.
        """
        rows = rng.integers(len(self), size=n)
        luck = rng.random(n)
        for pool, share in ((self._moved_rows, moved), (self._blocked_rows, blocked), (self._jostled_rows, jostled)):
            rows = _draw(rng, rows, (luck >= 0.0) & (luck < share), pool)
            luck = luck - share
        batch = self.at(rows)
        return mirror_window(batch, rng.random(n) < 0.5) if mirror else batch


def _astray(episodes: Episodes) -> NDArray[np.float64]:
    """How far the acting agent ends each turn (N, T) from where its actions alone would lead, px.

    Where both act in a turn, each by turns, it is the one that ends farther away.
    """
    travel = np.diff(episodes.boundaries, axis=1)[..., :4].reshape(len(episodes), episodes.turns, 2, 2)
    told = episodes.blocks.sum(axis=2) * (episodes.physics.agent_speed * STEP_SECONDS)  # (N, T, agents, 2)
    off = travel - told
    away = np.hypot(off[..., 0], off[..., 1])  # (N, T, agents)
    return np.asarray(away.max(axis=2) if episodes.acting == "step" else _of(away, episodes.actors))


def _pushed(episodes: Episodes) -> NDArray[np.float64]:
    """How far the waiting agent is moved each turn (N, T), px.

    Where agents alternate at every step, nobody waits for a turn, and an agent glides a little after each step of its
    own. Only in the first step of a turn is who waits at rest: how far it is moved in that one.
    """
    before = episodes.boundaries[:, :-1]
    after = episodes.states[:, 1::TURN_STEPS] if episodes.acting == "step" else episodes.boundaries[:, 1:]
    off = (after - before)[..., :4].reshape(len(episodes), episodes.turns, 2, 2)
    return np.asarray(_of(np.hypot(off[..., 0], off[..., 1]), 1 - episodes.actors))


def _of(values: NDArray[np.floating], agents: NDArray[np.int64]) -> NDArray[np.floating]:
    """Of each turn's two values (N, T, agents) that of one agent (N, T)."""
    return np.take_along_axis(values, agents[..., None], axis=2)[..., 0]


def _draw(
    rng: np.random.Generator, rows: NDArray[np.int64], chosen: NDArray[np.bool_], pool: NDArray[np.int64]
) -> NDArray[np.int64]:
    """``rows`` with those ``chosen`` replaced by draws from ``pool``, if there is anything in it."""
    if len(pool) and chosen.any():
        rows[chosen] = pool[rng.integers(len(pool), size=int(chosen.sum()))]
    return rows


def mirror_window(batch: WindowBatch, rows: NDArray[np.bool_] | None = None) -> WindowBatch:
    """Windows as seen from the other seat: left and right swapped, p1 and p2 swapped in states, blocks and actors.

    Args:
        batch: the windows.
        rows: (B,) which of them; all if None.
    """
    chosen = np.ones(len(batch), dtype=bool) if rows is None else rows
    states, steps, blocks = batch.states.copy(), batch.steps.copy(), batch.blocks.copy()
    actors = batch.actors.copy()
    states[chosen] = mirror_state(states[chosen].astype(np.float64))
    steps[chosen] = mirror_state(steps[chosen].astype(np.float64))
    blocks[chosen] = mirror_block(blocks[chosen][..., ::-1, :].astype(np.float64))
    actors[chosen] = np.where(actors[chosen] < 0, -1, 1 - actors[chosen])
    return replace(batch, states=states, steps=steps, blocks=blocks, actors=actors, mirrored=batch.mirrored ^ chosen)


def flip_window(batch: WindowBatch, rows: NDArray[np.bool_]) -> WindowBatch:
    """Windows with top and bottom swapped in ``rows`` (B,); their frames and cached latents would not fit any more.

    The stages have to be the same upside down: see :func:`check_flippable`.
    """
    states, steps, blocks = batch.states.copy(), batch.steps.copy(), batch.blocks.copy()
    states[rows] = flip_state(states[rows].astype(np.float64))
    steps[rows] = flip_state(steps[rows].astype(np.float64))
    blocks[rows] = flip_block(blocks[rows].astype(np.float64))
    return replace(batch, states=states, steps=steps, blocks=blocks)


def check_flippable(stages: Sequence[str]) -> None:
    """Refuse stages whose obstacles are not the same upside down.

    Raises:
        ValueError: names the first such stage.
    """
    for name in stages:
        obstacles = set(get_stage(name).obstacles)
        if {item.flipped() for item in obstacles} != obstacles:
            raise ValueError(f"stage {name} is not the same upside down, so its turns cannot be flipped")


def make_scenes(stages: Sequence[str], size: int, physics: Physics | None = None) -> list[Scene]:
    """A drawer for each stage, in the order that a stage index points into; frames of ``size`` pixels."""
    laws = physics or Physics()
    return [Scene(get_stage(name), size, laws.block_shape, laws.block_scale) for name in stages]


def draw_states(states: NDArray[np.floating], stage_index: NDArray[np.int64], scenes: Sequence[Scene]) -> Frame:
    """Frames (N, H, W, 3) uint8 of states (N, 7), each on the stage of its index (N,)."""
    size = scenes[0].size
    out = np.empty((len(states), size, size, 3), dtype=np.uint8)
    for i, (state, which) in enumerate(zip(states.tolist(), stage_index.tolist(), strict=True)):
        out[i] = scenes[which].draw(state)
    return out


def draw_windows(batch: WindowBatch, scenes: Sequence[Scene]) -> Frame:
    """Frames (B, L, H, W, 3) uint8 of a batch of windows."""
    count, length, width = batch.states.shape
    flat = batch.states.reshape(count * length, width)
    drawn = draw_states(flat, np.repeat(batch.stage, length), scenes)
    return drawn.reshape(count, length, *drawn.shape[1:])
