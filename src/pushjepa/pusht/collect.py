"""Collecting expert trajectories of Push-T, on all cores, and writing them with their frames.

Every trajectory is a function of (seed, number) alone. Half of them are played cleanly; in the other half the expert's
hand trembles or slips, and it recovers, so that the data hold positions off the beaten track too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.data.parallel import count_workers, parallel_map
from pushjepa.pusht.expert import Episode, ExpertOptions, Trajectory
from pushjepa.pusht.geometry import OUTLINE, clearance, place
from pushjepa.pusht.simulator import Array, Simulator

Progress = Callable[[int, int], None]  #: (done, in all)

MOVED = 3.0  #: px the block must travel in a block of actions for it to count as one that moved it
COLLECTION = "collection"  #: attribute of an exported file: what it was collected with, as JSON
_EDGE = 8.0  # px that a block keeps from the walls' middle at the start and at the goal


@dataclass(frozen=True)
class CollectOptions:
    """What to collect.

    Attributes:
        episodes: how many trajectories.
        seed: of everything random.
        limit: env steps after which a trajectory ends unsolved.
        shard: trajectories that are kept in one file.
        source: the file that they were imported from; None where our expert made them.

    Raises:
        ValueError: a number that makes no sense.
    """

    episodes: int = 2000
    seed: int = 0
    limit: int = 300
    shard: int = 20
    source: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("episodes", 1), ("seed", 0), ("limit", 1), ("shard", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class Trajectories:
    """Many trajectories laid end to end; a trajectory of T actions has T + 1 rows.

    Attributes:
        states: (M, 7) float64.
        actions: (M, 2) float32, from this row to the next; NaN in a trajectory's last row.
        goals: (N, 7) what was to be reached.
        lengths: (N,) rows of each.
        solved: (N,) whether the goal was reached.
        clean: (N,) whether the expert's hand was steady.
    """

    states: Array
    actions: NDArray[np.float32]
    goals: Array
    lengths: NDArray[np.int64]
    solved: NDArray[np.bool_]
    clean: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(N,) first row of each."""
        return np.cumsum(self.lengths) - self.lengths

    def travel(self, rows: NDArray[np.int64], steps: int) -> Array:
        """(N,) px that the tee travels in the ``steps`` env steps after each of some rows."""
        way = self.states[rows + steps, 2:4] - self.states[rows, 2:4]
        return np.asarray(np.hypot(way[:, 0], way[:, 1]))

    def take(self, first: int, end: int) -> Trajectories:
        """Trajectories ``first`` up to, not including, ``end``."""
        rows = slice(int(self.lengths[:first].sum()), int(self.lengths[:end].sum()))
        each = slice(first, end)
        return Trajectories(
            self.states[rows],
            self.actions[rows],
            self.goals[each],
            self.lengths[each],
            self.solved[each],
            self.clean[each],
        )

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], clean: Sequence[bool]) -> Trajectories:
        """Lay trajectories end to end."""
        last = np.full((1, 2), np.nan, dtype=np.float32)
        return cls(
            states=np.concatenate([t.states for t in trajectories]),
            actions=np.concatenate([part for t in trajectories for part in (t.actions.astype(np.float32), last)]),
            goals=np.stack([t.goal for t in trajectories]),
            lengths=np.array([len(t.states) for t in trajectories], dtype=np.int64),
            solved=np.array([t.solved for t in trajectories]),
            clean=np.array(clean),
        )

    @classmethod
    def join(cls, parts: Sequence[Trajectories]) -> Trajectories:
        """All trajectories of several."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


def draw_state(rng: np.random.Generator) -> Array:
    """A random state (7,) at rest, as the environment starts from, with the block inside and the agent beside it."""
    while True:
        pose = np.concatenate([rng.uniform(100.0, 400.0, 2), [rng.uniform(0.0, 2 * np.pi)]])
        agent = rng.uniform(50.0, 450.0, 2)
        corners = place(OUTLINE, pose)
        inside = ((corners > _EDGE) & (corners < 512.0 - _EDGE)).all()
        if inside and clearance(agent, pose) > Simulator().physics.agent_radius + 1.0:
            return np.concatenate([agent, pose, [0.0, 0.0]])


def make_trajectory(options: CollectOptions, number: int) -> tuple[Trajectory, bool]:
    """Trajectory ``number``, and whether it was played cleanly."""
    rng = np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=(number,)))
    clean = number % 2 == 0
    style = ExpertOptions(walk=rng.uniform(15.0, 30.0), push=rng.uniform(7.0, 14.0), gap=rng.uniform(4.0, 10.0))
    if not clean:
        style = ExpertOptions(
            **asdict(style) | {"noise": rng.uniform(0.02, 0.08), "slips": rng.uniform(0.0, 0.03)},
        )
    start, goal = draw_state(rng), draw_state(rng)
    return Episode(Simulator(), start, goal, style, rng, options.limit).run(), clean


def collect(
    folder: Path, options: CollectOptions, workers: int | None = None, progress: Progress | None = None
) -> Trajectories:
    """Make trajectories, finish a folder that was interrupted, or add to one that holds fewer of the same.

    Args:
        folder: where shards of trajectories are kept; the same call takes up where it stopped.
        options: what to collect.
        workers: processes, every core if None; the data do not depend on it.
        progress: told how many trajectories are done.

    Raises:
        ValueError: the folder holds another collection, or cannot be written.
    """
    _claim(folder, options)
    numbers = range(0, options.episodes, options.shard)
    done = [number for number in numbers if _shard_path(folder, number).exists()]
    missing = [number for number in numbers if number not in set(done)]
    ready = sum(len(_members(options, number)) for number in done)
    work = partial(_make_shard, folder, options)
    for count in parallel_map(work, missing, count_workers(workers, len(missing))):
        ready += count
        if progress is not None:
            progress(ready, options.episodes)
    return read_trajectories(folder)


def read_trajectories(folder: Path) -> Trajectories:
    """Everything that a folder holds.

    Raises:
        ValueError: no collection lies there, or it is not finished.
    """
    options = read_options(folder)
    paths = [_shard_path(folder, number) for number in range(0, options.episodes, options.shard)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        command = "collect" if options.source is None else "import"
        raise ValueError(f"{folder} lacks {len(missing)} of {len(paths)} shards; run `pushjepa pusht {command}` again")
    parts = []
    for path in paths:
        with np.load(path) as shard:
            parts.append(Trajectories(**{name: shard[name] for name in Trajectories.__dataclass_fields__}))
    return Trajectories.join(parts)


def write_trajectories(
    folder: Path, trajectories: Trajectories, options: CollectOptions, progress: Progress | None = None
) -> None:
    """Write trajectories that were made elsewhere into a folder, in the shards that :func:`read_trajectories` reads.

    Args:
        folder: made if missing.
        trajectories: what to write, ``options.episodes`` of them.
        options: what the folder will say of them.
        progress: told how many trajectories are written.

    Raises:
        ValueError: the folder holds another collection, or cannot be written.
    """
    if len(trajectories) != options.episodes:
        raise ValueError(f"{len(trajectories)} trajectories are not the {options.episodes} that the options speak of")
    _claim(folder, options)
    for number in range(0, options.episodes, options.shard):
        members = _members(options, number)
        _write_shard(folder, number, trajectories.take(members.start, members.stop))
        if progress is not None:
            progress(members.stop, options.episodes)


def export_hdf5(
    trajectories: Trajectories,
    out: Path,
    size: int,
    progress: Progress | None = None,
    options: CollectOptions | None = None,
) -> None:
    """Write trajectories with their frames in the column layout that stable-worldmodel reads.

    One row per env step, trajectories end to end: ``pixels`` (size, size, 3) uint8, ``action`` (2,) float32 from this
    row to the next (NaN in a trajectory's last row, as stable-worldmodel records it), ``state`` (7,), ``proprio`` (4,)
    agent position and velocity; beside them ``ep_len`` and ``ep_offset``, one entry per trajectory. The attribute
    ``collection`` says how they were made, so that no model is measured on what it learned from.

    Args:
        trajectories: what to write.
        out: the file; an older one is replaced once the new one is whole.
        size: height and width of the frames, px.
        progress: told how many trajectories are written.
        options: what they were collected with; None leaves the attribute out.

    Raises:
        ValueError: h5py or pygame is not installed.
    """
    try:
        import h5py

        from pushjepa.pusht.scene import PushTScene
    except ModuleNotFoundError as error:
        raise ValueError(
            f"drawing Push-T needs {error.name}; install the extra `pusht`: tools/setup.sh full"
        ) from error
    scene, part = PushTScene(size), out.with_suffix(".part")
    rows = len(trajectories.states)
    out.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(part, "w", libver="latest") as file:
        pixels = file.create_dataset(
            "pixels", (rows, size, size, 3), np.uint8, chunks=(1, size, size, 3), compression="lzf"
        )
        file["action"] = trajectories.actions
        file["state"] = trajectories.states
        file["steady"] = np.repeat(trajectories.clean, trajectories.lengths)
        file["proprio"] = trajectories.states[:, [0, 1, 5, 6]]
        file["ep_len"] = trajectories.lengths.astype(np.int32)
        file["ep_offset"] = trajectories.offsets
        if options is not None:
            file.attrs[COLLECTION] = json.dumps(asdict(options))
        for index, (first, length) in enumerate(_spans(trajectories)):
            pixels[first : first + length] = scene.draw_many(trajectories.states[first : first + length])
            if progress is not None:
                progress(index + 1, len(trajectories))
    os.replace(part, out)


def _spans(trajectories: Trajectories) -> Iterator[tuple[int, int]]:
    return zip(trajectories.offsets.tolist(), trajectories.lengths.tolist(), strict=True)


def _members(options: CollectOptions, number: int) -> range:
    return range(number, min(number + options.shard, options.episodes))


def _make_shard(folder: Path, options: CollectOptions, number: int) -> int:
    made = [make_trajectory(options, index) for index in _members(options, number)]
    _write_shard(folder, number, Trajectories.of([trajectory for trajectory, _ in made], [clean for _, clean in made]))
    return len(made)


def _write_shard(folder: Path, number: int, trajectories: Trajectories) -> None:
    path = _shard_path(folder, number)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, **{name: getattr(trajectories, name) for name in Trajectories.__dataclass_fields__})
    os.replace(part, path)


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"trajectories-{number:06d}.npz"


def _claim(folder: Path, options: CollectOptions) -> None:
    """Write into the folder what it holds, or refuse one that holds something else; a collection may grow."""
    path = folder / "collection.json"
    held = read_options(folder) if path.exists() else options
    grows = held.source is None and held.episodes < options.episodes
    if held != options and not (grows and replace(held, episodes=options.episodes) == options):
        raise ValueError(f"{folder} holds another collection; choose another --out or delete it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if grows and held.episodes % held.shard:
            _shard_path(folder, held.episodes - held.episodes % held.shard).unlink(missing_ok=True)  # it ends too soon
        path.write_text(json.dumps(asdict(options), indent=1) + "\n")
    except OSError as error:
        raise ValueError(f"cannot write to {folder}: {error.strerror}") from error


def read_options(folder: Path) -> CollectOptions:
    """What a folder of trajectories was made with.

    Raises:
        ValueError: no collection lies there.
    """
    try:
        values: dict[str, Any] = json.loads((folder / "collection.json").read_text())
        return CollectOptions(**values)
    except (OSError, TypeError, json.JSONDecodeError):
        raise ValueError(f"{folder} holds no Push-T trajectories; make some with `pushjepa pusht collect`") from None
