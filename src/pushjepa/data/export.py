"""Writing real frames where a person wants them: one HDF5 file in the column layout that stable-worldmodel reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pushjepa.data.generate import Progress
from pushjepa.data.regimes import step_actors
from pushjepa.data.store import Episodes
from pushjepa.data.windows import draw_states, make_scenes


def export_hdf5(episodes: Episodes, out: str | Path, size: int = 224, progress: Progress | None = None) -> None:
    """Write episodes with their frames.

    One row per env step, episodes end to end: ``pixels`` (size, size, 3) uint8, ``action`` (4,) float32 (p1's dx dy,
    p2's dx dy, commanded from this row to the next; zeros in an episode's last row), ``state`` (7,) float32,
    ``actor``, ``stage``, ``regime``, ``ep_idx`` and ``step_idx``; beside them ``ep_len`` and ``ep_offset``, one entry
    per episode. Frames are compressed with LZF.

    Args:
        episodes: what to write.
        out: the file; it must not exist.
        size: height and width of the frames.
        progress: called with (episodes done, episodes in all).

    Raises:
        ValueError: h5py is not installed, or the file exists.
    """
    h5py = _import_h5py()
    path = Path(out)
    if path.exists():
        raise ValueError(f"{path} exists already; choose another file")
    scenes = make_scenes(episodes.stages, size, episodes.physics)
    count, length = episodes.states.shape[:2]
    # Readers open the file in single-writer mode, which asks for the newer file version.
    with h5py.File(path, "w", libver="latest") as file:
        pixels = file.create_dataset(
            "pixels", (count * length, size, size, 3), np.uint8, chunks=(1, size, size, 3), compression="lzf"
        )
        for name, column in _columns(episodes).items():
            file.create_dataset(name, data=column, compression="lzf" if column.ndim > 1 else None)
        for i, states in enumerate(episodes.states):
            pixels[i * length : (i + 1) * length] = draw_states(states, np.full(length, episodes.stage[i]), scenes)
            if progress is not None:
                progress(i + 1, count)


def _columns(episodes: Episodes) -> dict[str, Any]:
    """Everything but the frames, one row per env step (M = N * length rows), and the two episode columns."""
    count, length = episodes.states.shape[:2]
    action = np.zeros((count, length, 4), dtype=np.float32)
    action[:, :-1] = episodes.blocks.reshape(count, length - 1, 4)  # (N, T, 5, 2, 2) to (N, 5 T, 4)
    actor = np.full((count, length), -1, dtype=np.int64)
    actor[:, :-1] = step_actors(episodes.actors, episodes.acting).reshape(count, length - 1)
    return {
        "action": action.reshape(-1, 4),
        "state": episodes.states.reshape(-1, 7),
        "actor": actor.reshape(-1),
        "stage": np.repeat(episodes.stage, length),
        "regime": np.repeat(episodes.regime, length),
        "ep_idx": np.repeat(np.arange(count), length),
        "step_idx": np.tile(np.arange(length), count),
        "ep_len": np.full(count, length, dtype=np.int32),
        "ep_offset": np.arange(count, dtype=np.int64) * length,
    }


def _import_h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ValueError("writing HDF5 needs h5py; install the extra `train`: tools/setup.sh full") from error
    return h5py
