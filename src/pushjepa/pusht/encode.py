"""Slots of a whole data set, encoded once and kept in one file for other programs: the recipe encodes its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from pushjepa.nets.videosaur import VideoSaurConfig, load_videosaur
from pushjepa.pusht.collect import Progress
from pushjepa.pusht.importer import open_hdf5, read_column, read_lengths
from pushjepa.pusht.model import find_folder, load_net
from pushjepa.runtime.checkpoint import CONFIG, WEIGHTS, file_digest

FORMAT = "pushjepa-slots-1"  #: of the file
_CHUNK = 128  # frames that are read and encoded at once
_TENSORS = ("slots", "actions", "ep_len", "ep_offset")


@dataclass(frozen=True)
class SlotData:
    """The slots of many trajectories laid end to end.

    Attributes:
        slots: (M, K, D) float16.
        actions: (M, 2) float32, from this row to the next; NaN in a trajectory's last row, as in the source.
        lengths: (N,) int64, rows of each trajectory.
        model: name of what encoded them.
        digest: SHA-256 of its weights.
        source: name of the file that the frames stood in.
    """

    slots: NDArray[np.float16]
    actions: NDArray[np.float32]
    lengths: NDArray[np.int64]
    model: str
    digest: str
    source: str

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(N,) first row of each trajectory."""
        return np.cumsum(self.lengths) - self.lengths


class SlotEncoder(Protocol):
    """What makes slots of frames.

    Attributes:
        name, digest: what it is called, and the SHA-256 of its weights.
        shape: (K, D).
        frame_size: the only height and width of frames that it takes, px; None takes any.
    """

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def frame_size(self) -> int | None: ...

    def encode(self, frames: NDArray[np.uint8], previous: Tensor | None) -> Tensor:
        """Slots (T, K, D) of successive frames (T, H, W, 3) of one trajectory.

        ``previous`` are the slots (K, D) of the frame before them, None at the trajectory's start.
        """
        ...


class NetSlots:
    """The encoder of a Push-T model of ours, which looks at every frame by itself.

    Args:
        folder: its checkpoint.
        device: where it runs.

    Raises:
        ValueError: see :func:`~pushjepa.pusht.model.load_net`.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.net, self.device = load_net(folder).to(device).eval(), device
        config = json.loads((find_folder(folder) / CONFIG).read_text())
        self.name, self.digest = str(config["name"]), str(config["files"][WEIGHTS])
        self.shape = (self.net.config.slots, self.net.config.width)
        self.frame_size: int | None = self.net.config.frame_size

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8], previous: Tensor | None) -> Tensor:
        return self.net.encode(torch.from_numpy(frames).to(self.device))


class VideoSaurSlots:
    """VideoSAUR, whose slots are carried through each trajectory.

    Every trajectory starts from the same draw, so that what a slot holds agrees between trajectories as far as it may.

    Args:
        path: its checkpoint.
        device: where it runs.
        seed: of the slots that every trajectory starts from.
        config: its architecture; None is that of C-JEPA's Push-T checkpoint.

    Raises:
        ValueError: see :func:`~pushjepa.nets.videosaur.load_videosaur`.
    """

    frame_size: int | None = None

    def __init__(self, path: Path, device: torch.device, seed: int, config: VideoSaurConfig | None = None) -> None:
        self.net, self.device, self.seed = load_videosaur(path, config).to(device), device, seed
        self.name, self.digest = path.name, file_digest(path)
        self.shape = (self.net.config.slots, self.net.config.width)

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8], previous: Tensor | None) -> Tensor:
        video, before = torch.from_numpy(frames).to(self.device)[None], None if previous is None else previous[None]
        return self.net.encode(video, torch.Generator().manual_seed(self.seed), before)[0]


def load_encoder(model: Path | None, videosaur: Path | None, device: str, seed: int) -> SlotEncoder:
    """The encoder of one of our checkpoints, or VideoSAUR; exactly one of the two is given.

    Args:
        model: a checkpoint folder of ours.
        videosaur: a file with VideoSAUR's weights.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: of VideoSAUR's starting slots.

    Raises:
        ValueError: none or both of them, no such device, or weights that do not fit.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}; choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("this torch finds no CUDA device; use --device cpu")
    where = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    if model is not None and videosaur is None:
        return NetSlots(model, where)
    if videosaur is not None and model is None:
        return VideoSaurSlots(videosaur, where, seed)
    raise ValueError("say what encodes: --model FOLDER (one of our checkpoints) or --videosaur FILE, one of them")


def encode_dataset(source: Path, out: Path, encoder: SlotEncoder, progress: Progress | None = None) -> SlotData:
    """Encode every frame of a data set and write slots and actions; frames are in memory a few at a time.

    Args:
        source: an HDF5 file in stable-worldmodel's layout: ``pixels`` (M, H, W, 3) uint8, ``action`` (M, 2), and
            ``ep_len`` with ``ep_offset`` (or ``episode_idx``).
        out: the ``.safetensors`` file; an older one is replaced once the new one is whole.
        encoder: what makes slots of frames.
        progress: told how many trajectories are encoded.

    Raises:
        ValueError: no such file, a column that is missing or of another shape, frames of a size that the encoder does
            not take, or slots that half precision cannot hold.
    """
    with open_hdf5(source) as file:
        pixels = read_column(file, source, "pixels")
        actions = read_column(file, source, "action", (2,))[:].astype(np.float32)
        _check_frames(pixels, source, encoder)
        if len(actions) != len(pixels):
            raise ValueError(f"{source} has {len(pixels)} frames but {len(actions)} actions")
        lengths = read_lengths(file, source, len(pixels))
        _make_folder(out)
        slots = np.empty((len(pixels), *encoder.shape), dtype=np.float16)
        ends = np.cumsum(lengths).tolist()
        for index, (end, length) in enumerate(zip(ends, lengths.tolist(), strict=True)):
            _encode_trajectory(pixels, slots, range(end - length, end), encoder)
            if progress is not None:
                progress(index + 1, len(lengths))
    data = SlotData(slots, actions, lengths, encoder.name, encoder.digest, source.name)
    _write(out, data)
    return data


def read_slots(path: Path) -> SlotData:
    """What :func:`encode_dataset` wrote.

    Raises:
        ValueError: no such file, a file of another kind, or parts that do not belong together.
    """
    if not path.is_file():
        raise ValueError(f"no such file {path}; make it with `pushjepa pusht encode`")
    try:
        with safe_open(path, framework="np") as file:
            about = file.metadata() or {}
            parts = {name: file.get_tensor(name) for name in file.keys() if name in _TENSORS}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no .safetensors file: {error}") from None
    if about.get("format") != FORMAT or set(parts) != set(_TENSORS):
        raise ValueError(f"{path} holds {about.get('format')!r}, not slots of a data set ({FORMAT})")
    slots, actions, lengths = parts["slots"], parts["actions"], parts["ep_len"]
    if slots.ndim != 3 or actions.shape != (len(slots), 2) or lengths.sum() != len(slots):
        raise ValueError(f"{path}: its slots {slots.shape}, actions {actions.shape} and lengths do not fit together")
    return SlotData(slots, actions, lengths, about["model"], about["digest"], about["source"])


def _encode_trajectory(
    pixels: NDArray[np.uint8], slots: NDArray[np.float16], rows: range, encoder: SlotEncoder
) -> None:
    """Fill in the slots of a trajectory's rows."""
    previous: Tensor | None = None
    for low in range(rows.start, rows.stop, _CHUNK):
        part = slice(low, min(low + _CHUNK, rows.stop))
        found = encoder.encode(pixels[part], previous)
        previous = found[-1]
        if not bool((found.abs() <= np.finfo(np.float16).max).all()):
            raise ValueError(f"rows {part.start} ... {part.stop - 1} have slots that half precision cannot hold")
        slots[part] = found.to("cpu", torch.float16).numpy()


def _check_frames(pixels: NDArray[np.uint8], source: Path, encoder: SlotEncoder) -> None:
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"{source}: pixels must be (M, H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    size, (high, wide) = encoder.frame_size, pixels.shape[1:3]
    if size is not None and (high, wide) != (size, size):
        raise ValueError(f"{encoder.name} takes frames of {size} x {size} px; those in {source} are {high} x {wide}")


def _make_folder(out: Path) -> None:
    """Before hours of encoding, not after them."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {out.parent}: {error.strerror}") from error


def _write(out: Path, data: SlotData) -> None:
    parts: tuple[NDArray[Any], ...] = (data.slots, data.actions, data.lengths, data.offsets)
    about = {"format": FORMAT, "model": data.model, "digest": data.digest, "source": data.source}
    part = out.with_suffix(".part")
    save_file(dict(zip(_TENSORS, parts, strict=True)), part, metadata=about)
    os.replace(part, out)
