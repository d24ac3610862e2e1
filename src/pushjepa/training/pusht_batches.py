"""Batches of Push-T: random scenes, and windows of expert trajectories; each a function of (seed, number)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from pushjepa.data.store import count_held_out
from pushjepa.nets.mech import MechJEPA
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.slots import SlotEncoder
from pushjepa.pusht.branches import RANGES, SAME_LAWS, make_branches, make_shifted_branches
from pushjepa.pusht.collect import MOVED, Trajectories
from pushjepa.pusht.geometry import clearance, place
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.simulator import BLOCK_SHAPES, BOARD, TURNED_ALIKE, Array, PushTPhysics, block_parts, tell_laws
from pushjepa.training.batches import Batches, PhaseData, frames_at_once
from pushjepa.training.modules import LookBatch, SceneBatch
from pushjepa.training.presets import PhaseConfig

_REST = 1.0  # px/s: slower is at rest
_ALIKE = 16  # scenes that are drawn with one block: what a new block costs is shared by them
MIDDLE = 255.5  #: px, between the walls
_BESIDE = np.array([50.0, 60.0])  # px from the block's outermost corners within which an agent is near it
_OTHER_SHAPE = 0.6  # of a shape that is drawn, the known one among them
_ALIKE_SHAPES = 0.25  # of a drawn shape to be one that looks the same when turned
_OTHER_SIZE = {"block_scale": 0.8, "agent_radius": 0.3}  # of what is only looked at to be of another size


class PushTBatch(NamedTuple):
    """Windows of history + 1 boundaries of action blocks, T = history.

    items (B, T+1, H, W, 3) uint8 frames or (B, T+1, K, D) cached slots; states (B, T+1, 7); steps (B, T, frameskip, 7)
    states after each env step; blocks (B, T, frameskip, 2); before (B, 2) the action before the first of them; known
    (B, T) whether that boundary is real, not the padding of a trajectory's start; laws (B, C) what there is to tell of
    the laws of physics, where they are not the standard ones for all.
    """

    items: Tensor
    states: Tensor
    steps: Tensor
    blocks: Tensor
    before: Tensor
    known: Tensor
    laws: Tensor | None = None


class GoalBatch(NamedTuple):
    """Moments of trajectories, each with a later one for its goal.

    states (B, 2, 7) of now and of the goal, as blurred as a frame leaves them; before (B, 2) the last action before
    now; plans (B, H, frameskip, 2) what was done next; known (B, H, frameskip) whether the goal was still ahead then.
    """

    states: Tensor
    before: Tensor
    plans: Tensor
    known: Tensor


class PushTWindows:
    """All windows of some trajectories that play can meet, each for a row that has a block of actions after it.

    Boundaries lie ``frameskip`` rows apart, counted back from the window's row. Before a trajectory's start its first
    row is repeated with zero actions, as :class:`pushjepa.pusht.adapters.HistoryPolicy` does; that is true of what
    begins at rest, a whole number of blocks ago. Other windows that reach beyond the first row would tell of a moving
    agent that it rests, and are left out.

    Args:
        trajectories: where they are cut from.
        history: boundaries of context.
        frameskip: env steps in a block.

    Attributes:
        now: (W,) row of the newest boundary of context.
        first: (W,) first row of its trajectory.
        moved: (W,) whether the block after it moves the tee.
    """

    def __init__(self, trajectories: Trajectories, history: int, frameskip: int) -> None:
        self.states, self.history, self.frameskip = trajectories.states, history, frameskip
        self.actions = np.nan_to_num(trajectories.actions)
        rows = np.arange(len(self.states))
        first = np.repeat(trajectories.offsets, trajectories.lengths)
        last = first + np.repeat(trajectories.lengths, trajectories.lengths) - 1
        back = rows - first
        known = back > frameskip * (history - 1)  # the action before the oldest boundary too
        rested = np.hypot(self.states[first, 5], self.states[first, 6]) < _REST
        chosen = (rows + frameskip <= last) & (known | (rested & (back % frameskip == 0)))
        if not chosen.any():
            raise ValueError(f"no trajectory is longer than one block of {frameskip} steps")
        self.now, self.first = rows[chosen], first[chosen]
        self.moved = trajectories.travel(self.now, frameskip) > MOVED
        self._moved_rows = np.flatnonzero(self.moved)

    def __len__(self) -> int:
        return len(self.now)

    def boundaries(self, windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows (B, T+1) of the boundaries of some windows, the one to predict last, and which are real (B, T)."""
        back = self.frameskip * np.arange(self.history - 1, -2, -1)
        wanted = self.now[windows][:, None] - back
        known = wanted >= self.first[windows][:, None]
        return np.maximum(wanted, self.first[windows][:, None]), known[:, :-1]

    def at(self, windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], PushTBatch]:
        """Rows (B, T+1) of the boundaries, and the batch without its items."""
        rows, known = self.boundaries(windows)
        within = rows[:, :-1, None] + np.arange(self.frameskip)
        blocks = np.where(known[..., None, None], self.actions[within], 0.0)
        steps = np.where(known[..., None, None], self.states[within + 1], self.states[rows[:, :-1], None])
        has_before = known[:, 0] & (rows[:, 0] > self.first[windows])
        before = np.where(has_before[:, None], self.actions[np.maximum(rows[:, 0] - 1, 0)], 0.0)
        nothing = torch.empty(0)
        parts = (_float(self.states[rows]), _float(steps), _float(blocks), _float(before))
        return rows, PushTBatch(nothing, *parts, torch.from_numpy(known))

    def sample(self, rng: np.random.Generator, count: int, moved: float) -> NDArray[np.int64]:
        """``count`` windows with replacement, the share ``moved`` of them from those that move the tee."""
        windows = rng.integers(len(self), size=count)
        chosen = rng.random(count) < moved
        if chosen.any() and len(self._moved_rows):
            windows[chosen] = self._moved_rows[rng.integers(len(self._moved_rows), size=int(chosen.sum()))]
        return windows


class PushTScenes(Batches[SceneBatch]):
    """Random scenes: the tee anywhere within the walls, the agent anywhere beside it, often near it.

    Args:
        frame_size: px.
        size: of a batch.
        seed: of the draws.
        stored: (M, 7) states that were played, which the share ``share`` of the scenes is drawn from, turned and
            mirrored at random. In play the agent touches the tee, and is half within it when it runs through.
        share: see ``stored``.
    """

    def __init__(self, frame_size: int, size: int, seed: int, stored: Array | None = None, share: float = 0.0) -> None:
        super().__init__(size, seed)
        self._scene, self._stored, self._share = PushTScene(frame_size), stored, share

    def make(self, rng: np.random.Generator, size: int) -> SceneBatch:
        played = 0 if self._stored is None else round(self._share * size)
        parts = [random_state(rng) for _ in range(size - played)]
        if self._stored is not None and played:
            states = self._stored[rng.integers(len(self._stored), size=played)]
            parts += list(turn_states(states, rng.integers(4, size=played), rng.random(played) < 0.5))
        states = np.stack(parts)
        frames = torch.from_numpy(self._scene.draw_many(states))
        return SceneBatch(frames, _float(states), torch.zeros(size, dtype=torch.long))


class OtherPushTScenes(Batches[LookBatch]):
    """Scenes with blocks and agents of sizes and shapes drawn at random, and scenes that were played with such.

    Args:
        frame_size: px.
        size: of a batch.
        seed: of the draws.
        played: branches under other laws and the laws of each, whose states the share ``share`` of the scenes is drawn
            from.
        share: see ``played``.
    """

    def __init__(
        self,
        frame_size: int,
        size: int,
        seed: int,
        played: tuple[Trajectories, Sequence[PushTPhysics]] | None = None,
        share: float = 0.0,
    ) -> None:
        super().__init__(size, seed)
        self._size, self._played, self._share = frame_size, played, share
        self._plain = PushTScene(frame_size)

    def make(self, rng: np.random.Generator, size: int) -> LookBatch:
        parts = [self._some(rng, len(rows)) for rows in np.array_split(np.arange(size), -(-size // _ALIKE))]
        return LookBatch(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _some(self, rng: np.random.Generator, count: int) -> LookBatch:
        """Scenes with one block and one agent."""
        if self._played is not None and rng.random() < self._share:
            laws, states = _recall(*self._played, rng, count)
        else:
            laws = draw_looks(rng)
            states = np.stack([random_state(rng, laws) for _ in range(count)])
        drawn = PushTScene(self._size, laws).draw_many(states)
        told = tell_laws(laws)
        return LookBatch(
            torch.from_numpy(drawn),
            torch.from_numpy(self._plain.draw_many(states)),
            _float(states),
            torch.zeros(count, dtype=torch.long),
            _float(np.repeat(told[None], count, axis=0)),
            torch.full((count,), laws.block_shape not in TURNED_ALIKE),
        )


def _recall(
    branches: Trajectories, laws: Sequence[PushTPhysics], rng: np.random.Generator, count: int
) -> tuple[PushTPhysics, Array]:
    """States (count, 7) of branches that share their laws, and those; the boards are turned by quarters at random.

    Only states whose agent is in the picture, for nothing holds it back at the walls.
    """
    branch = int(rng.integers(len(laws)))
    first = branch - branch % SAME_LAWS
    rows = np.arange(len(branches.states)).reshape(len(laws), -1)[first : first + SAME_LAWS].ravel()
    agents = branches.states[rows, :2]
    shown = rows[((agents > 0.0) & (agents < BOARD)).all(axis=1)]
    states = branches.states[rng.choice(shown if len(shown) else rows, size=count)]
    return laws[branch], turn_states(states, rng.integers(4, size=count), np.zeros(count, dtype=bool))


class PushTFrames(Batches[PushTBatch]):
    """Windows with their frames drawn on demand."""

    def __init__(self, windows: PushTWindows, frame_size: int, phase: PhaseConfig, seed: int) -> None:
        super().__init__(phase.batch, seed)
        self._windows, self._moved, self._scene = windows, phase.moved, PushTScene(frame_size)

    def make(self, rng: np.random.Generator, size: int) -> PushTBatch:
        rows, batch = self._windows.at(self._windows.sample(rng, size, self._moved))
        drawn = self._scene.draw_many(self._windows.states[rows.ravel()])
        return batch._replace(items=torch.from_numpy(drawn).unflatten(0, rows.shape))


class PushTLatents(Batches[PushTBatch]):
    """Windows with slots that were encoded once."""

    def __init__(self, windows: PushTWindows, slots: Tensor, phase: PhaseConfig, seed: int) -> None:
        super().__init__(phase.batch, seed)
        self._windows, self._moved, self._slots = windows, phase.moved, slots

    def make(self, rng: np.random.Generator, size: int) -> PushTBatch:
        rows, batch = self._windows.at(self._windows.sample(rng, size, self._moved))
        return batch._replace(items=self._slots[torch.from_numpy(rows)])


class PushTGoals(Batches[GoalBatch]):
    """Any moment of a trajectory with any later one, up to ``reach`` env steps ahead, for its goal.

    With ``flip`` the board is turned by a random number of quarters and mirrored with even chance: tee and walls are
    the same then, so it all might have happened so.

    Args:
        trajectories: where they are cut from.
        plan: (blocks, frameskip) of a plan.
        phase: its ``batch``, ``blur``, ``flip`` and ``reach``.
        seed: of the draws.
    """

    def __init__(self, trajectories: Trajectories, plan: tuple[int, int], phase: PhaseConfig, seed: int) -> None:
        super().__init__(phase.batch, seed)
        self._states, self._actions = trajectories.states, trajectories.actions
        self._plan, self._phase = plan, phase
        rows, first = np.arange(len(self._states)), np.repeat(trajectories.offsets, trajectories.lengths)
        last = first + np.repeat(trajectories.lengths, trajectories.lengths) - 1
        chosen = rows < last
        self._now, self._first, self._last = rows[chosen], first[chosen], last[chosen]

    def make(self, rng: np.random.Generator, size: int) -> GoalBatch:
        which = rng.integers(len(self._now), size=size)
        now, last = self._now[which], self._last[which]
        # Nearer goals more often: every way to a far one ends in a near one.
        ahead = np.minimum(last - now, 1 + (self._phase.reach * rng.random(size) ** 2).astype(np.int64))
        steps = np.arange(self._plan[0] * self._plan[1])
        rows = np.minimum(now[:, None] + steps, last[:, None] - 1)
        plans = self._actions[rows].reshape(size, *self._plan, 2)
        known = (steps < ahead[:, None]).reshape(size, *self._plan)
        before = np.where((now > self._first[which])[:, None], self._actions[np.maximum(now - 1, 0)], 0.0)
        states = self._states[np.stack([now, now + ahead], axis=1)]
        if self._phase.flip:
            quarters, mirrored = rng.integers(4, size=size), rng.random(size) < 0.5
            states = turn_states(states, quarters, mirrored)
            plans, before = (turn_vectors(part, quarters, mirrored) for part in (plans, before))
        states = states + blur(rng, states.shape, self._phase.blur)
        return GoalBatch(_float(states), _float(before), _float(plans), torch.from_numpy(known))


class PushTTurns(Batches[PushTBatch]):
    """Windows without frames, for the unroll alone; their states are blurred as a frame would blur them.

    With ``flip`` the board is turned and mirrored at random, as in :class:`PushTGoals`. Under other laws it is turned
    only: not every shape is its own mirror image.

    Args:
        windows: where turns are drawn from.
        phase: its ``batch``, ``moved``, ``flip`` and ``blur``.
        seed: of the draws.
        laws: (M, C) what there is to tell of the laws under which each row of ``windows`` was played; None for the
            standard ones.
    """

    def __init__(
        self, windows: PushTWindows, phase: PhaseConfig, seed: int, laws: NDArray[np.float32] | None = None
    ) -> None:
        super().__init__(phase.batch, seed)
        self._windows, self._phase, self._laws = windows, phase, laws

    def make(self, rng: np.random.Generator, size: int) -> PushTBatch:
        windows = self._windows.sample(rng, size, self._phase.moved)
        _, batch = self._windows.at(windows)
        if self._phase.flip:
            mirrored = (rng.random(size) < 0.5) & (self._laws is None)
            batch = turn_batch(batch, rng.integers(4, size=size), mirrored)
        if self._laws is not None:
            batch = batch._replace(laws=_float(self._laws[self._windows.now[windows]]))
        return batch._replace(items=batch.states + _float(blur(rng, tuple(batch.states.shape), self._phase.blur)))


def blur(rng: np.random.Generator, shape: tuple[int, ...], most: float) -> Array:
    """Errors of states (B, ..., 7) as reading them in a frame has them, of a standard deviation up to ``most`` px."""
    scale = np.array([1.0, 1.0, 1.0, 1.0, np.radians(0.5), 0.0, 0.0])
    each = rng.uniform(0.0, most, (shape[0], *(1 for _ in shape[1:])))
    return np.asarray(each * scale * rng.standard_normal(shape))


def turn_vectors(vectors: Array, quarters: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Array:
    """Vectors (B, ..., 2), mirrored left to right where ``mirrored`` (B,), then turned by ``quarters`` (B,)."""
    lead = (len(vectors), *(1 for _ in vectors.shape[1:-1]))
    x = np.where(mirrored.reshape(lead), -vectors[..., 0], vectors[..., 0])
    angle = (0.5 * np.pi * quarters).reshape(lead)
    cos, sin = np.round(np.cos(angle)), np.round(np.sin(angle))
    return np.stack([cos * x - sin * vectors[..., 1], sin * x + cos * vectors[..., 1]], axis=-1)


def turn_states(states: Array, quarters: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Array:
    """States (B, ..., 7) on a board that was mirrored left to right, then turned, about the middle between its walls.

    The tee is its own mirror image, so a mirrored one is a tee at the opposite angle.
    """
    lead = (len(states), *(1 for _ in states.shape[1:-1]))
    parts = [states[..., :2] - MIDDLE, states[..., 2:4] - MIDDLE, states[..., 5:]]
    agent, block, speed = (turn_vectors(part, quarters, mirrored) for part in parts)
    angle = np.where(mirrored.reshape(lead), -states[..., 4], states[..., 4]) + (0.5 * np.pi * quarters).reshape(lead)
    return np.concatenate([agent + MIDDLE, block + MIDDLE, angle[..., None] % (2 * np.pi), speed], axis=-1)


def turn_batch(batch: PushTBatch, quarters: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> PushTBatch:
    """Windows without items on boards that were turned and mirrored: see :func:`turn_states`."""
    states, steps = (_float(turn_states(part.numpy(), quarters, mirrored)) for part in (batch.states, batch.steps))
    blocks, before = (_float(turn_vectors(part.numpy(), quarters, mirrored)) for part in (batch.blocks, batch.before))
    return batch._replace(states=states, steps=steps, blocks=blocks, before=before)


def random_state(rng: np.random.Generator, physics: PushTPhysics | None = None) -> Array:
    """A state (7,) at rest for a training frame, with the block and the agent of ``physics``."""
    physics = physics or PushTPhysics()
    bars = block_parts(physics)
    outline = np.concatenate(bars)
    low, high = outline.min(axis=0) - _BESIDE, outline.max(axis=0) + _BESIDE
    while True:
        pose = np.concatenate([rng.uniform(20.0, 492.0, 2), [rng.uniform(0.0, 2 * np.pi)]])
        corners = place(outline, pose)
        near = place(rng.uniform(low, high), pose)
        agent = near if rng.random() < 0.6 else rng.uniform(0.0, 512.0, 2)
        fits = corners.min() > 2.0 and corners.max() < 510.0 and agent.min() > -10.0 and agent.max() < 522.0
        if fits and clearance(agent, pose, bars) > physics.agent_radius - 2.0:
            return np.concatenate([agent, pose, [0.0, 0.0]])


def draw_looks(rng: np.random.Generator) -> PushTPhysics:
    """Laws drawn at random of which a frame shows everything: sizes of block and agent, and the block's shape."""
    sizes = {name: rng.uniform(*RANGES[name]) for name in ("block_scale", "agent_radius")}
    chosen = {name: value for name, value in sizes.items() if rng.random() < _OTHER_SIZE[name]}
    alike = rng.random() < _ALIKE_SHAPES
    shapes = [shape for shape in BLOCK_SHAPES if (shape in TURNED_ALIKE) == alike]
    shape = str(rng.choice(shapes)) if rng.random() < _OTHER_SHAPE else BLOCK_SHAPES[0]
    return PushTPhysics(block_shape=shape, **chosen)


@torch.inference_mode()
def encode_rows(encoder: SlotEncoder, config: MechConfig, states: Array, device: torch.device) -> Tensor:
    """Slots (M, K, D) of the frames of states (M, 7), on the CPU; ``config`` holds the encoder's sizes."""
    scene = PushTScene(config.frame_size)
    encoder.to(device).eval()
    out = torch.empty(len(states), config.slots, config.width)
    chunk = frames_at_once(device)
    for low in tqdm(range(0, len(states), chunk), desc="encoding frames", unit_scale=chunk):
        rows = slice(low, low + chunk)
        out[rows] = encoder(torch.from_numpy(scene.draw_many(states[rows])).to(device)).cpu()
    encoder.train()
    return out


def build_pusht_data(
    model: MechJEPA,
    phase: PhaseConfig,
    trajectories: Trajectories,
    seed: int,
    workers: int,
    device: torch.device,
) -> PhaseData:
    """The batches that ``phase`` trains on and is validated on; the last trajectories are never trained on."""
    config = model.config
    split = len(trajectories) - count_held_out(len(trajectories))
    training = trajectories.take(0, min(split, phase.episodes or split))
    beside = 0 if phase.kind in ("laws", "looks") else phase.branches
    parts = with_branches(training, beside, seed), trajectories.take(split, len(trajectories))
    pair: list[Batches[Any]] = []
    for offset, part in enumerate(parts):
        windows = PushTWindows(part, config.history, config.frameskip)
        if phase.kind == "scenes":
            pair.append(PushTScenes(config.frame_size, phase.batch, seed + offset, part.states, phase.played))
        elif phase.kind == "joint":
            pair.append(PushTFrames(windows, config.frame_size, phase, seed + offset))
        elif phase.kind == "turns":
            pair.append(PushTTurns(windows, phase, seed + offset))
        elif phase.kind == "laws":
            # Validation needs no more branches than it looks at windows.
            source, count = (part, min(phase.branches, phase.validation)) if offset else (training, phase.branches)
            branches, told = play_shifted(source, count, seed + offset)
            windows = PushTWindows(branches, config.history, config.frameskip)
            pair.append(PushTTurns(windows, phase, seed + offset, told))
        elif phase.kind == "looks":
            source, count = (part, min(phase.branches, phase.validation)) if offset else (training, phase.branches)
            played = _play_shifted(source, count, seed + offset) if count else None
            pair.append(OtherPushTScenes(config.frame_size, phase.batch, seed + offset, played, phase.played))
        elif phase.kind == "prior":
            pair.append(PushTGoals(part, (config.prior_blocks, config.frameskip), phase, seed + offset))
        else:
            pair.append(
                PushTLatents(windows, encode_rows(model.encoder, config, part.states, device), phase, seed + offset)
            )
    return PhaseData(pair[0], pair[1], phase, workers)


def with_branches(trajectories: Trajectories, count: int, seed: int) -> Trajectories:
    """Trajectories, and ``count`` branches of them."""
    if not count:
        return trajectories
    with tqdm(total=count, desc="playing branches") as bar:
        branches = make_branches(trajectories, count, seed, progress=lambda done, _: bar.update(done - bar.n))
    return Trajectories.join([trajectories, branches])


def play_shifted(trajectories: Trajectories, count: int, seed: int) -> tuple[Trajectories, NDArray[np.float32]]:
    """``count`` branches under other laws, and what there is to tell of the laws of each of their rows (M, C)."""
    branches, laws = _play_shifted(trajectories, count, seed)
    return branches, np.repeat(np.stack([tell_laws(physics) for physics in laws]), branches.lengths, axis=0)


def _play_shifted(trajectories: Trajectories, count: int, seed: int) -> tuple[Trajectories, list[PushTPhysics]]:
    """``count`` branches under other laws, and the laws of each."""
    with tqdm(total=count, desc="playing under other laws") as bar:
        return make_shifted_branches(trajectories, count, seed, progress=lambda done, _: bar.update(done - bar.n))


def _float(array: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
