"""Branches: how trajectories would have gone on, had the hand strayed.

A planner asks a model about plans that no expert plays. A branch leaves a stored trajectory at one of its rows and goes
on in the simulator with the expert's actions disturbed, or with none of them, as the candidates of a search are. That
costs a hundredth of what a new trajectory costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pushjepa.data.parallel import count_workers, parallel_map
from pushjepa.pusht.collect import MOVED, Progress, Trajectories
from pushjepa.pusht.oracle import FRAMESKIP
from pushjepa.pusht.simulator import BLOCK_SHAPES, Array, PushTPhysics, Simulator

STEPS = 25  #: env steps that a branch goes on for: a plan of five blocks
LEAD = 11  #: rows of its trajectory that a branch keeps before it leaves: all that a window with history 3 is told
_NEAR = 0.75  # of the branches leave where the block moves in the next block of actions
_STRAY = (0.02, 0.7)  # least and largest spread of what is added to an action
_LOST = 0.25  # of the branches heed nothing of what the expert did
_CHUNK = 250
SAME_LAWS = 25  #: branches in a row that share their laws
_COME_APART = 3  # env steps at rest before a branch under other laws
_Chunk = TypeVar("_Chunk")
#: Ranges that the laws of branches are drawn from; a shape is drawn from all that there are.
RANGES = {
    "block_scale": (20.0, 45.0),
    "agent_radius": (10.0, 22.0),
    "friction": (0.0, 1.2),
    "centre_of_gravity": (-45.0, 45.0),
    "damping": (0.0, 0.1),
    "agent_gain": (0.5, 1.7),
}


def make_branches(
    trajectories: Trajectories, count: int, seed: int, workers: int | None = None, progress: Progress | None = None
) -> Trajectories:
    """``count`` branches of some trajectories; a function of those and ``seed``.

    To the expert's actions are added a draw for each block of five and one for each step; the spread of either is drawn
    for the branch (log-uniform). Actions stay within [-1, 1].

    Args:
        trajectories: what they leave from; rows are chosen where the block moves next, three times out of four.
        count: how many.
        seed: of the draws.
        workers: processes, every core if None; the branches do not depend on it.
        progress: told (done, in all).

    Returns:
        Trajectories of up to ``LEAD`` + 1 stored rows and ``STEPS`` new ones. Their goal is their last state, and they
        count as played with a trembling hand.

    Raises:
        ValueError: ``count`` is less than one.
    """
    leaving, actions = _leave(trajectories, count, np.random.default_rng([seed, count, 1]))
    chunks = [(trajectories.states[leaving[i : i + _CHUNK]], actions[i : i + _CHUNK]) for i in range(0, count, _CHUNK)]
    played = _play_all(_play, chunks, count, workers, progress)
    first = np.repeat(trajectories.offsets, trajectories.lengths)[leaving]
    return _lay_out(trajectories, first, leaving, played, actions)


def make_shifted_branches(
    trajectories: Trajectories, count: int, seed: int, workers: int | None = None, progress: Progress | None = None
) -> tuple[Trajectories, list[PushTPhysics]]:
    """``count`` branches that are played under other laws, and the laws (count,) of each.

    Like :func:`make_branches`, but nothing of the trajectory before a branch is kept, for that was played under the
    standard laws: agent and block begin at rest where they were, and what overlaps there (a block may be larger than
    the one that was pushed) has three env steps to come apart first. 25 branches in a row share their laws.

    Args:
        trajectories, count, seed, workers, progress: see :func:`make_branches`.

    Raises:
        ValueError: ``count`` is less than one.
    """
    rng = np.random.default_rng([seed, count, 2])
    leaving, actions = _leave(trajectories, count, rng)
    chunks = []
    for low in range(0, count, SAME_LAWS):
        part = slice(low, low + SAME_LAWS)
        chunks.append((trajectories.states[leaving[part]], actions[part], draw_laws(rng)))
    states = _play_all(_play_shifted, chunks, count, workers, progress)
    ends = np.full((count, 1, 2), np.nan, dtype=np.float32)
    nothing = np.zeros(count, dtype=bool)
    lengths = np.full(count, STEPS + 1, dtype=np.int64)
    laws = [laws for _, part, laws in chunks for _ in part]
    moves = np.concatenate([actions, ends], axis=1).reshape(-1, 2)
    return Trajectories(states.reshape(-1, states.shape[-1]), moves, states[:, -1], lengths, nothing, nothing), laws


def _leave(
    trajectories: Trajectories, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows (count,) at which branches leave, and their actions (count, STEPS, 2)."""
    if count < 1:
        raise ValueError(f"the number of branches must be at least 1, got {count}")
    last = np.repeat(trajectories.offsets + trajectories.lengths - 1, trajectories.lengths)
    leaving = _choose_rows(trajectories, last, count, rng)
    return leaving, _stray(_ahead(trajectories, leaving, last[leaving]), rng)


def _play_all(
    play: Callable[[_Chunk], Array],
    chunks: Sequence[_Chunk],
    count: int,
    workers: int | None,
    progress: Progress | None,
) -> Array:
    """The states of all ``count`` branches, whose chunks are played on several cores."""
    played: list[Array] = []
    done = 0
    for states in parallel_map(play, chunks, count_workers(workers, len(chunks))):
        played.append(states)
        done += len(states)
        if progress is not None:
            progress(done, count)
    return np.concatenate(played)


def draw_laws(rng: np.random.Generator) -> PushTPhysics:
    """Laws drawn at random: each of ``RANGES`` from its range with even chance, else the standard one.

    So too the shape, which is drawn from all that there are, the standard one among them.
    """
    drawn = {name: rng.uniform(*RANGES[name]) for name in RANGES}
    chosen = {name: value for name, value in drawn.items() if rng.random() < 0.5}
    shape = str(rng.choice(BLOCK_SHAPES)) if rng.random() < 0.5 else BLOCK_SHAPES[0]
    return PushTPhysics(block_shape=shape, **chosen)


def _play_shifted(chunk: tuple[Array, NDArray[np.float32], PushTPhysics]) -> Array:
    """States (N, 1 + STEPS, 7) before and after actions (N, STEPS, 2) from states (N, 7), under some laws."""
    before, actions, laws = chunk
    simulator, still = Simulator(laws), np.zeros((_COME_APART, 2))
    out = []
    for state, acts in zip(before, actions, strict=True):
        begun = simulator.run(np.concatenate([state[:5], [0.0, 0.0]]), still)[-1]
        out.append(np.concatenate([begun[None], simulator.run(begun, acts)]))
    return np.stack(out)


def _choose_rows(
    trajectories: Trajectories, last: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows (count,) at which branches leave."""
    rows = np.flatnonzero(np.arange(len(last)) + FRAMESKIP <= last)
    if not len(rows):
        raise ValueError(f"no trajectory is longer than one block of {FRAMESKIP} steps")
    chosen, pushing = rows[rng.integers(len(rows), size=count)], rows[trajectories.travel(rows, FRAMESKIP) > MOVED]
    near = rng.random(count) < _NEAR
    if len(pushing):
        chosen[near] = pushing[rng.integers(len(pushing), size=int(near.sum()))]
    return np.asarray(chosen)


def _ahead(trajectories: Trajectories, rows: NDArray[np.int64], last: NDArray[np.int64]) -> Array:
    """Actions (N, STEPS, 2) after some rows; none after a trajectory's end."""
    wanted = rows[:, None] + np.arange(STEPS)
    actions = np.nan_to_num(trajectories.actions)[np.minimum(wanted, last[:, None])]
    return np.where((wanted < last[:, None])[..., None], actions, 0.0).astype(np.float64)


def _stray(actions: Array, rng: np.random.Generator) -> NDArray[np.float32]:
    """Actions (N, STEPS, 2) with what is added to them."""
    count = len(actions)
    low, high = np.log(_STRAY)
    spreads = np.exp(rng.uniform(low, high, (count, 2)))
    heeded = rng.random(count) >= _LOST
    by_block = np.repeat(rng.standard_normal((count, STEPS // FRAMESKIP, 2)), FRAMESKIP, axis=1)
    added = spreads[:, :1, None] * by_block + spreads[:, 1:, None] * rng.standard_normal(actions.shape)
    # float32, as stored actions are, so that what is played is what is remembered.
    return np.clip(heeded[:, None, None] * actions + added, -1.0, 1.0).astype(np.float32)


def _play(chunk: tuple[Array, NDArray[np.float32]]) -> Array:
    """States (N, STEPS, 7) after actions (N, STEPS, 2) from states (N, 7)."""
    simulator = Simulator()
    return np.stack([simulator.run(state, actions) for state, actions in zip(*chunk, strict=True)])


def _lay_out(
    trajectories: Trajectories,
    first: NDArray[np.int64],
    leaving: NDArray[np.int64],
    played: Array,
    actions: NDArray[np.float32],
) -> Trajectories:
    """What was played (N, STEPS, 7), each with the stored rows before it."""
    count = len(leaving)
    leads = np.minimum(LEAD, leaving - first)
    lengths = leads + 1 + STEPS
    offsets = np.cumsum(lengths) - lengths
    states = np.empty((int(lengths.sum()), played.shape[-1]))
    moves = np.full((len(states), 2), np.nan, dtype=np.float32)
    for back in range(LEAD, -1, -1):
        has = leads >= back
        states[(offsets + leads - back)[has]] = trajectories.states[(leaving - back)[has]]
        moves[(offsets + leads - back)[has]] = trajectories.actions[(leaving - back)[has]]
    new = (offsets + leads)[:, None] + np.arange(STEPS)
    states[new + 1], moves[new] = played, actions
    nothing = np.zeros(count, dtype=bool)
    return Trajectories(states, moves, states[offsets + lengths - 1], lengths, nothing, nothing)
