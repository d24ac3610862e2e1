"""Turns of stored episodes played again, substep by substep: what a learned simulator is taught one substep at a time.

Most substeps teach nothing, for nothing touches anything and motors do as they are told. Those that cannot be told from
the motors alone are *eventful*, and can be drawn apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pushjepa.data.generate import Progress
from pushjepa.data.parallel import count_workers, parallel_map
from pushjepa.data.store import Episodes
from pushjepa.data.windows import Windows
from pushjepa.physics import Board, Physics, mirror_block, mirror_state
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array
from pushjepa.relay.stages import get_stage

_CHUNK = 500  # turns that a process plays at once
_UNTOLD = 0.01  # px or radians by which a substep must differ from what the motors alone would do, to be eventful
_QUIET = 0.1  # share of the turns in which nothing much happens that are played too


_Traced = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True)
class Substeps:
    """Turns (N,) seen from the actor's side, substep by substep.

    Attributes:
        places: (N, 26, 7) float32 the state before the turn and after each substep, px and radians.
        speeds: (N, 26, 7) float32 by how much of it moves in a substep; zeros before the turn.
        blocks: (N, 5, 2) float32 the actor's actions.
        stage: (N,) int64 stage index.
        episode: (N,) int64 which episode each turn is of.
        eventful: (E,) int64 substeps, counted through all turns, that the motors alone do not explain.
    """

    places: NDArray[np.float32]
    speeds: NDArray[np.float32]
    blocks: NDArray[np.float32]
    stage: NDArray[np.int64]
    episode: NDArray[np.int64]
    eventful: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.stage)


@dataclass(frozen=True)
class SubstepBatch:
    """B substeps: places and speeds before and after (B, 7), actions (B, 2), the substep's number in its env step (B,).

    stage and episode (B,) as in :class:`Substeps`.
    """

    before: NDArray[np.float32]
    speeds_before: NDArray[np.float32]
    after: NDArray[np.float32]
    speeds_after: NDArray[np.float32]
    actions: NDArray[np.float32]
    beat: NDArray[np.int64]
    stage: NDArray[np.int64]
    episode: NDArray[np.int64]


def trace_episodes(
    episodes: Episodes,
    seed: int,
    laws: Sequence[Physics] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Substeps:
    """Play turns of episodes again: all in which something is pushed or stopped, and some of the others.

    Args:
        episodes: whose turns; agents take whole turns in them.
        seed: of the draw of the others.
        laws: of each episode; those of all of them if None.
        workers: processes; every core if None.
        progress: called with (turns done, turns in all).

    Raises:
        ValueError: agents alternate at every step.
    """
    if episodes.acting != "turn":
        raise ValueError("substeps are traced of whole turns; in these episodes the agents alternate at every step")
    windows = Windows(episodes, history=1)
    wanted = windows.moved | windows.blocked | windows.jostled
    wanted |= np.random.default_rng(seed).random(len(windows)) < _QUIET
    rows = np.flatnonzero(wanted)
    episode, turn = windows.episode[rows], windows.turn[rows]
    physics = [episodes.physics] * len(episodes) if laws is None else laws
    jobs = _jobs(episodes, episode, turn, physics)
    parts: list[_Traced] = []
    done = 0
    trace = partial(_trace, tuple(episodes.stages))
    for part in parallel_map(trace, jobs, count_workers(workers, -(-len(rows) // _CHUNK))):
        parts.append(part)
        done += len(part[0])
        if progress is not None:
            progress(done, len(rows))
    places, speeds, blocks, events = (np.concatenate(column) for column in zip(*parts, strict=True))
    eventful = np.flatnonzero(events.reshape(-1))
    return Substeps(places, speeds, blocks, episodes.stage[episode], episode, eventful)


def draw_substeps(substeps: Substeps, rng: np.random.Generator, size: int, eventful: float) -> SubstepBatch:
    """``size`` substeps with replacement, this share of them from the eventful ones, and mirrored by chance.

    The board's stages look the same from left and right and upside down, so each is as lawful when mirrored.
    """
    count = len(substeps) * (substeps.places.shape[1] - 1)
    number = rng.integers(count, size=size)
    if len(substeps.eventful):
        picked = substeps.eventful[rng.integers(len(substeps.eventful), size=size)]
        number = np.where(rng.random(size) < eventful, picked, number)
    turn, at = np.divmod(number, substeps.places.shape[1] - 1)
    step, beat = np.divmod(at, c.SUBSTEPS)
    sign = np.where(rng.random((size, 2)) < 0.5, -1.0, 1.0).astype(np.float32)
    return SubstepBatch(
        before=mirror_places(substeps.places[turn, at], sign),
        speeds_before=mirror_speeds(substeps.speeds[turn, at], sign),
        after=mirror_places(substeps.places[turn, at + 1], sign),
        speeds_after=mirror_speeds(substeps.speeds[turn, at + 1], sign),
        actions=substeps.blocks[turn, step] * sign,
        beat=beat,
        stage=substeps.stage[turn],
        episode=substeps.episode[turn],
    )


def mirror_places(states: NDArray[np.float32], sign: NDArray[np.float32]) -> NDArray[np.float32]:
    """States (N, 7) mirrored about the board's centre in x, y or both, where ``sign`` (N, 2) is -1; names stay.

    Every block shape is its own mirror image about its y axis: that axis is mirrored, and the angle follows.
    """
    out = states.copy()
    out[:, :6] = (out[:, :6] - c.BOARD_CENTRE) * np.tile(sign, 3) + c.BOARD_CENTRE
    out[:, 6] = np.arctan2(np.sin(states[:, 6]) * sign[:, 0], np.cos(states[:, 6]) * sign[:, 1])
    return out


def mirror_speeds(speeds: NDArray[np.float32], sign: NDArray[np.float32]) -> NDArray[np.float32]:
    """Speeds (N, 7) of states that :func:`mirror_places` mirrors."""
    return np.asarray(speeds * np.concatenate([np.tile(sign, 3), sign[:, :1] * sign[:, 1:]], axis=1))


def motors_alone(places: Array, speeds: Array, actions: NDArray[np.floating], physics: Physics) -> tuple[Array, Array]:
    """What a substep (N,) would lead to if nothing touched anything: places and speeds (N, 7).

    Places and speeds before it (N, 7), px and radians a substep, and the actor's actions (N, 2).
    """
    kept = physics.damping**c.SUBSTEP_SECONDS
    most = physics.agent_force / c.AGENT_MASS * c.SUBSTEP_SECONDS**2
    after = kept * speeds
    for agent, told in ((slice(0, 2), actions * physics.agent_speed * c.SUBSTEP_SECONDS), (slice(2, 4), 0.0)):
        wanted = told - after[:, agent]
        length = np.hypot(wanted[:, :1], wanted[:, 1:])
        after[:, agent] += wanted * np.minimum(1.0, most / np.maximum(length, 1e-12))
    return places + speeds, after


def _jobs(
    episodes: Episodes, episode: NDArray[np.int64], turn: NDArray[np.int64], physics: Sequence[Physics]
) -> Iterable[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], list[Physics]]]:
    """The turns in chunks: states (n, 7), actors' blocks (n, 5, 2), actors (n,), stages (n,) and laws [n]."""
    for low in range(0, len(episode), _CHUNK):
        e, t = episode[low : low + _CHUNK], turn[low : low + _CHUNK]
        actors = episodes.actors[e, t]
        blocks = np.take_along_axis(episodes.blocks[e, t], actors[:, None, None, None], axis=2)[:, :, 0]
        yield episodes.boundaries[e, t], blocks, actors, episodes.stage[e], [physics[i] for i in e]


def _trace(
    stages: tuple[str, ...],
    job: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], list[Physics]],
) -> _Traced:
    """Places and speeds (n, 26, 7), the actors' blocks from their side (n, 5, 2), and which substeps are eventful."""
    boards: dict[tuple[int, Physics], Board] = {}
    traced: list[tuple[Array, Array, Array, NDArray[np.bool_]]] = []
    for state, block, actor, stage, physics in zip(*job, strict=True):
        board = boards.get((int(stage), physics))
        if board is None:
            board = boards[(int(stage), physics)] = Board(get_stage(stages[stage]).obstacles, physics)
        start, told = state.astype(np.float64), block.astype(np.float64)
        trace = board.trace_turn(start, c.AGENTS[actor], told)
        if actor:
            start, told = mirror_state(start), mirror_block(told)
        places = np.concatenate([start[None], trace.places])
        places[1:, -1] += start[-1] - math.remainder(start[-1], math.tau)  # whole turns, which the board leaves out
        speeds = np.concatenate([np.zeros((1, 7)), trace.speeds])
        actions = np.repeat(told, c.SUBSTEPS, axis=0)
        alone, left = motors_alone(places[:-1], speeds[:-1], actions, physics)
        event = (np.abs(places[1:] - alone) > _UNTOLD).any(axis=1) | (np.abs(speeds[1:] - left) > _UNTOLD).any(axis=1)
        traced.append((places, speeds, told, np.asarray(event)))
    places_of, speeds_of, blocks, events = (np.array(column) for column in zip(*traced, strict=True))
    return places_of.astype(np.float32), speeds_of.astype(np.float32), blocks.astype(np.float32), events
