"""A trained Push-T model at rest and at work: a checkpoint folder, and the world model's contract on torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

import pushjepa
from pushjepa.nets.mech import Frame, MechJEPA, decode_pusht_state
from pushjepa.nets.mech_config import MechConfig
from pushjepa.pusht.oracle import STATE_FIELDS
from pushjepa.pusht.simulator import Array
from pushjepa.runtime.checkpoint import CONFIG, WEIGHTS, file_digest
from pushjepa.runtime.contract import Context, FloatArray, ModelSpec

FORMAT = "pushjepa-mech-1"  #: of the checkpoint folder
_CHUNK = 1024  # candidates that are imagined at once


class PushTModel:
    """A WorldModel over a :class:`~pushjepa.nets.mech.MechJEPA`.

    Args:
        net: the network; it is set to evaluation.
    """

    def __init__(self, net: MechJEPA) -> None:
        self.net = net.eval()
        c = net.config
        self.spec = ModelSpec(c.slots, c.width, 1, c.frameskip, c.history, c.frame_size, STATE_FIELDS[:5])

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        """Frames (N, H, W, 3) uint8 to slots (N, K, D)."""
        size = self.spec.frame_size
        if frames.ndim != 4 or frames.shape[1:] != (size, size, 3) or frames.dtype != np.uint8:
            raise ValueError(f"frames must be (N, {size}, {size}, 3) uint8, got {frames.shape} {frames.dtype}")
        return np.asarray(self.net.encode(torch.from_numpy(np.ascontiguousarray(frames))).numpy())

    @torch.inference_mode()
    def rollout(
        self,
        context: Context,
        candidates: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        """Imagine candidates (S, H, frameskip, 1, 2) to slots (S, H, K, D)."""
        s = self.spec
        if context.latents.shape != (s.history, s.tokens, s.width):
            raise ValueError(f"context must be {(s.history, s.tokens, s.width)} slots, got {context.latents.shape}")
        parts = [candidates[low : low + _CHUNK] for low in range(0, len(candidates), _CHUNK)]
        return np.concatenate([self._imagine(context, part) for part in parts])

    @torch.inference_mode()
    def decode(self, latents: FloatArray) -> Array:
        """Slots (..., K, D) to states (..., 5): agent xy, block xy in px, the angle in 0 ... 2 pi."""
        return decode_pusht_state(self.net.heads(torch.from_numpy(np.ascontiguousarray(latents))).numpy())

    def _imagine(self, context: Context, candidates: FloatArray) -> FloatArray:
        """The rollout of some candidates. What the predictor takes of a frame is computed once for each frame."""
        slots, ahead = torch.from_numpy(context.latents.astype(np.float32)), torch.from_numpy(candidates[:, :, :, 0])
        blocks = torch.from_numpy(context.blocks[:, :, 0].astype(np.float32))  # (h-1, frameskip, 2)
        count, last = len(candidates), blocks[:, -1]
        past: list[Frame] = []
        if len(blocks):
            seen, _ = self.net.frame(slots[:-1], torch.cat([torch.zeros(1, 2), last[:-1]]), blocks)
            past = [
                seen.map(lambda part, i=i: part[i].expand(count, *part.shape[1:]))  # type: ignore[misc]
                for i in range(len(blocks))
            ]
        newest = slots[-1].expand(count, -1, -1)
        told = last[-1].expand(count, -1) if len(blocks) else torch.zeros(count, 2)
        out = []
        for step in range(ahead.shape[1]):
            past.append(self.net.frame(newest, told, ahead[:, step].contiguous())[0])
            newest = self.net.attend(_window(past[-self.spec.history :]))[:, -1]
            told = ahead[:, step, -1]
            out.append(newest)
        return np.asarray(torch.stack(out, dim=1).numpy())


def _window(frames: list[Frame]) -> Frame:
    """Frames (N, ...) side by side as one window (N, T, ...)."""

    def side_by_side(parts: list[Tensor | None]) -> Tensor | None:
        known = [part for part in parts if part is not None]
        return torch.stack(known, dim=1) if known else None

    tokens, conditions, mechanisms, steps = (side_by_side(list(parts)) for parts in zip(*frames, strict=True))
    assert tokens is not None
    assert conditions is not None
    return Frame(tokens, conditions, mechanisms, steps)


def save_model(
    net: MechJEPA, folder: Path, *, preset: Mapping[str, Any], data: Mapping[str, Any], metrics: Mapping[str, Any]
) -> None:
    """Write ``config.json`` and ``model.safetensors`` (fp16 matrices).

    Args:
        net: the trained network; its matrices are rounded to half precision in place, so that every figure taken
            afterwards is a figure of what was written.
        folder: where to; made if missing.
        preset, data, metrics: what it was trained with, on and to; kept in the config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    net.cpu().eval()
    tensors = {
        name: (value.half() if value.is_floating_point() and value.ndim >= 2 else value).contiguous()
        for name, value in net.state_dict().items()
    }
    net.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in tensors.items()})
    save_file(tensors, folder / WEIGHTS)
    config = {
        "format": FORMAT,
        "pushjepa": pushjepa.__version__,
        "name": preset["name"],
        "model": net.config.to_dict(),
        "parameters": net.parameters_by_part(),
        "preset": preset,
        "data": data,
        "metrics": metrics,
        "files": {WEIGHTS: file_digest(folder / WEIGHTS)},
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")


def load_net(folder: Path) -> MechJEPA:
    """The network of a checkpoint folder.

    Raises:
        ValueError: the folder is no checkpoint of a Push-T model, or its weights are not those that belong to it.
    """
    try:
        config = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        raise ValueError(f"{folder} is no checkpoint folder: {CONFIG} is missing") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / CONFIG} is not valid JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise ValueError(f"{folder} holds a model of format {found!r}, not a Push-T model ({FORMAT})")
    if not (folder / WEIGHTS).is_file() or file_digest(folder / WEIGHTS) != config["files"][WEIGHTS]:
        raise ValueError(f"{folder / WEIGHTS} is not the file that belongs to {CONFIG}; fetch the folder whole")
    net = MechJEPA(MechConfig.from_dict(config["model"]))
    tensors = load_file(folder / WEIGHTS)
    wanted = net.state_dict()
    for name in wanted.keys() | tensors.keys():
        if name not in tensors or name not in wanted or tensors[name].shape != wanted[name].shape:
            raise ValueError(f"{folder} holds weights of another architecture: {name} does not fit")
    net.load_state_dict({name: value.to(wanted[name].dtype) for name, value in tensors.items()})
    return net


def load_pusht_model(folder: Path, threads: int | None = None) -> PushTModel:
    """A Push-T model, ready to play.

    Args:
        folder: its checkpoint.
        threads: CPU threads of torch, for the whole process; None leaves them.

    Raises:
        ValueError: see :func:`load_net`.
    """
    if threads:
        torch.set_num_threads(threads)
    return PushTModel(load_net(folder))
