"""Reading data sets in stable-worldmodel's HDF5 layout, and importing an expert's into trajectories of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import hdf5plugin  # noqa: F401  published files are packed by filters that it registers
import numpy as np
from numpy.typing import NDArray

from pushjepa.pusht.collect import COLLECTION, CollectOptions, Progress, Trajectories, write_trajectories
from pushjepa.pusht.geometry import clearance
from pushjepa.pusht.simulator import Array, Simulator

_SHARD = 200
_LOOKED_AT = 8  # frames that are drawn again
_ROUNDING = 1e-6  # by which a stored action may pass 1


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Attributes:
        trajectories: as they lie in the folder now.
        left_out: trajectories with an action outside -1 ... 1.
        redrawn: whether some stored frames are what :class:`~pushjepa.pusht.scene.PushTScene` draws of their states;
            None where there are no frames, or none of a size that it draws.
    """

    trajectories: Trajectories
    left_out: int
    redrawn: bool | None


def import_dataset(path: Path, folder: Path, progress: Progress | None = None) -> Imported:
    """Read an expert's data set into a folder that ``pushjepa pusht train`` learns from.

    Frames are not kept: training draws them again from the states, and a few are held against those in the file. A
    trajectory's goal is its last state. The file does not say whether goals were reached or whether the expert's hand
    was steady; both are taken to be so. What follows a trajectory's last row is unknown, so its action is NaN there.

    Args:
        path: an HDF5 file with the columns ``action`` (M, 2), ``state`` (M, 7) in px, radians and px/s, and either
            ``ep_len`` (with or without ``ep_offset``) or ``episode_idx`` (with or without ``step_idx``).
        folder: where to; made if missing.
        progress: told how many trajectories are written.

    Raises:
        ValueError: no such file, a column that is missing or of another shape, states that are not finite, no
            trajectory with actions in -1 ... 1, or a folder that holds another collection.
    """
    with open_hdf5(path) as file:
        rows = read_rows(file, path)
        redrawn = _redraw(file, path, rows.states)
    found, left_out = _trajectories(*rows)
    if not len(found):
        raise ValueError(f"{path} holds no trajectory whose actions all lie in -1 ... 1")
    limit = max(1, int(found.lengths.max()) - 1)
    options = CollectOptions(len(found), limit=limit, shard=_SHARD, source=path.name)
    write_trajectories(folder, found, options, progress)
    return Imported(found, left_out, redrawn)


class Rows(NamedTuple):
    """What is needed of every data set.

    Attributes:
        states: (M, 7) float64, finite.
        actions: (M, 2) float32, from this row to the next.
        lengths: (N,) rows of each trajectory.
    """

    states: Array
    actions: NDArray[np.float32]
    lengths: NDArray[np.int64]


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file, open for reading.

    Raises:
        ValueError: no such file, or no HDF5 file.
    """
    if not path.is_file():
        raise ValueError(f"no such file {path}; Push-T data come from `pushjepa pusht collect` or stable-worldmodel")
    try:
        file = h5py.File(path, "r")
    except OSError:
        raise ValueError(f"{path} is no HDF5 file") from None
    with file:
        yield file


def read_column(file: Any, path: Path, name: str, shape: tuple[int, ...] | None = None) -> Any:
    """A column (M, ...) of an open file, still on disk; ``shape`` is what each of its rows must have.

    Raises:
        ValueError: no such column, or rows of another shape.
    """
    if name not in file:
        raise ValueError(f"{path} lacks the column {name!r}; it holds {', '.join(sorted(file)) or 'nothing'}")
    column = file[name]
    if shape is not None and column.shape[1:] != shape:
        raise ValueError(f"{path}: a row of {name!r} must have shape {shape}, got {column.shape[1:]}")
    return column


def read_rows(file: Any, path: Path) -> Rows:
    """States, actions and where trajectories end, of an open file.

    Raises:
        ValueError: a column that is missing, of another shape or of another length, or states that are not finite.
    """
    states = read_column(file, path, "state", (7,))[:].astype(np.float64)
    actions = read_column(file, path, "action", (2,))[:].astype(np.float32)
    lengths = read_lengths(file, path, len(states))
    if len(actions) != len(states):
        raise ValueError(f"{path} has {len(states)} states but {len(actions)} actions")
    if not np.isfinite(states).all():
        raise ValueError(f"{path} holds states that are not finite, first in row {_first_bad(states)}")
    return Rows(states, actions, lengths)


def read_pixels(file: Any, path: Path, rows: int) -> Any:
    """Frames (M, H, W, 3) of an open file, still on disk.

    Raises:
        ValueError: no frames, or not one for each of the file's ``rows``.
    """
    pixels = read_column(file, path, "pixels")
    if len(pixels) != rows:
        raise ValueError(f"{path} has {rows} states but {len(pixels)} frames")
    return pixels


def read_collection(file: Any) -> CollectOptions | None:
    """What an open file says of how it was collected; None where it says nothing that we understand."""
    try:
        return CollectOptions(**json.loads(file.attrs[COLLECTION]))
    except (KeyError, TypeError, ValueError):
        return None


def read_lengths(file: Any, path: Path, rows: int) -> NDArray[np.int64]:
    """Rows of every trajectory (N,), which lie end to end; from ``ep_len``, or from ``episode_idx`` of every row.

    Raises:
        ValueError: neither column, or trajectories that do not fill the ``rows`` of the file end to end.
    """
    if "ep_len" in file:
        lengths: NDArray[np.int64] = file["ep_len"][:].astype(np.int64)
        offsets = file["ep_offset"][:] if "ep_offset" in file else np.cumsum(lengths) - lengths
    elif "episode_idx" in file:
        numbers = np.ravel(file["episode_idx"][:])
        offsets = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
        lengths = np.diff(offsets, append=len(numbers)).astype(np.int64)
        if len(np.unique(numbers)) != len(lengths):
            raise ValueError(f"{path}: the rows of a trajectory lie apart ('episode_idx')")
        steps = np.arange(len(numbers)) - np.repeat(offsets, lengths)
        if "step_idx" in file and not np.array_equal(np.ravel(file["step_idx"][:]), steps):
            raise ValueError(f"{path}: 'step_idx' does not count each trajectory's rows from 0")
    else:
        raise ValueError(f"{path} lacks the column 'ep_len' (or 'episode_idx'), which says where trajectories end")
    fills = len(lengths) > 0 and lengths.min() > 0 and lengths.sum() == rows
    if not fills or not np.array_equal(offsets, np.cumsum(lengths) - lengths):
        raise ValueError(f"{path}: its trajectories do not fill its {rows} rows end to end")
    return lengths


def _trajectories(states: Array, actions: NDArray[np.float32], lengths: NDArray[np.int64]) -> tuple[Trajectories, int]:
    """All trajectories with their actions in range, and how many were left out."""
    ends = np.cumsum(lengths) - 1
    actions[ends] = np.nan
    fits = np.asarray((np.abs(actions) <= 1.0 + _ROUNDING).all(axis=1))  # NaN does not
    fits[ends] = True
    good = np.logical_and.reduceat(fits, ends - lengths + 1)
    rows, count = np.repeat(good, lengths), int(good.sum())
    found = Trajectories(
        states=states[rows],
        actions=actions[rows].clip(-1.0, 1.0),
        goals=states[ends[good]],
        lengths=lengths[good],
        solved=np.ones(count, dtype=bool),
        clean=np.ones(count, dtype=bool),
    )
    return found, len(lengths) - count


def _redraw(file: Any, path: Path, states: Array) -> bool | None:
    """Whether a few stored frames, from all over the file, are drawn alike from their states; None: cannot be said.

    Where agent and block overlap, the environment may draw either on top: such frames are passed over.
    """
    if "pixels" not in file:
        return None
    pixels = read_pixels(file, path, len(states))
    if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[1] < 16 or pixels.shape[3] != 3:
        return None
    from pushjepa.pusht.scene import PushTScene

    scene, radius = PushTScene(int(pixels.shape[1])), Simulator().physics.agent_radius
    spread = np.linspace(0, len(states) - 1, min(len(states), 20 * _LOOKED_AT)).astype(int)
    clear = [row for row in spread if clearance(states[row, :2], states[row, 2:5]) > radius]
    rows = clear[:: max(1, len(clear) // _LOOKED_AT)]
    return all(np.array_equal(pixels[row], scene.draw(states[row])) for row in rows) if rows else None


def _first_bad(states: Array) -> int:
    return int(np.flatnonzero(~np.isfinite(states).all(axis=1))[0])
