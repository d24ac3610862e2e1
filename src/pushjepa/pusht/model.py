"""A trained Push-T model at rest and at work: a checkpoint folder, and the world model's contract on torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import pushjepa
from pushjepa.nets.mech import Frame, MechJEPA, decode_pusht_state, encode_pusht_state
from pushjepa.nets.mech_config import MechConfig
from pushjepa.pusht.oracle import STATE_FIELDS
from pushjepa.pusht.simulator import Array
from pushjepa.runtime.backend import check_frames
from pushjepa.runtime.checkpoint import CONFIG, WEIGHTS, file_digest
from pushjepa.runtime.contract import Context, FloatArray, ModelSpec

BUNDLED = ("pusht-slots", "pusht-compact")  #: names of the models that ship with the package; the first is the default
FORMAT = "pushjepa-mech-1"  #: of the checkpoint folder
_CHUNK = 1024  # candidates that are imagined at once


class PushTModel:
    """A WorldModel over a :class:`~pushjepa.nets.mech.MechJEPA`.

    Args:
        net: the network; it is set to evaluation.
        learned: the trajectories that it learned from, as the entry ``data`` of a checkpoint's config tells of them.
    """

    def __init__(self, net: MechJEPA, learned: Mapping[str, Any] | None = None) -> None:
        self.net, self.learned = net.eval(), learned or {}
        c = net.config
        fields = STATE_FIELDS[:5]
        self.spec = ModelSpec(c.slots, c.width, 1, c.frameskip, c.history, c.frame_size, fields, c.laws, c.visible)

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> FloatArray:
        """Frames (N, H, W, 3) uint8 to slots (N, K, D)."""
        check_frames(frames, self.spec)
        return np.asarray(self.net.encode(torch.from_numpy(np.ascontiguousarray(frames))).numpy())

    @torch.inference_mode()
    def look(self, frames: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Frames (N, H, W, 3) uint8 to slots (N, K, D) and numbers of the laws (N, C); see
        :class:`~pushjepa.runtime.contract.LawfulModel`.

        Raises:
            ValueError: the model has no second look.
        """
        check_frames(frames, self.spec)
        slots, told = self.net.look(torch.from_numpy(np.ascontiguousarray(frames)))
        return np.asarray(slots.numpy()), np.asarray(told.numpy())

    @torch.inference_mode()
    def rollout(
        self,
        context: Context,
        candidates: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        """Imagine candidates (S, H, frameskip, 1, 2) to slots (S, H, K, D)."""
        return self._imagine_in_parts(context, candidates, None, conditions)

    @property
    def begins_elsewhere(self) -> bool:
        """Whether :meth:`rollout_from` is possible: with an unroll."""
        return self.net.unroll is not None

    @torch.inference_mode()
    def rollout_from(self, starts: Array, context: Context, candidates: FloatArray) -> FloatArray:
        """Imagine candidates (S, H, frameskip, 1, 2) to slots (S, H, K, D), each begun in its own state (S, 5).

        The states are the unroll's start; the slots that the predictor looks back at stay those of the context.

        Raises:
            ValueError: the model has no unroll.
        """
        if not self.begins_elsewhere:
            raise ValueError("this model has no unroll that could begin elsewhere; plan without doubt")
        return self._imagine_in_parts(context, candidates, encode_pusht_state(torch.from_numpy(starts)), None)

    def _imagine_in_parts(
        self, context: Context, candidates: FloatArray, starts: Tensor | None, conditions: FloatArray | None
    ) -> FloatArray:
        s = self.spec
        if context.latents.shape != (s.history, s.tokens, s.width):
            raise ValueError(f"context must be {(s.history, s.tokens, s.width)} slots, got {context.latents.shape}")
        laws = self._laws(conditions)
        parts = [slice(low, low + _CHUNK) for low in range(0, len(candidates), _CHUNK)]
        return np.concatenate(
            [self._imagine(context, candidates[part], None if starts is None else starts[part], laws) for part in parts]
        )

    def _laws(self, conditions: FloatArray | None) -> Tensor | None:
        """What the unroll is told: nothing where the laws are the standard ones."""
        known = self.net.config.laws
        if conditions is None or (known and conditions.shape == (known,) and not conditions.any()):
            return None
        if not known:
            raise ValueError("this model knows no other laws of physics than the standard ones")
        if conditions.shape != (known,):
            raise ValueError(f"conditions must be {(known,)} numbers that tell of the laws, got {conditions.shape}")
        return torch.from_numpy(conditions.astype(np.float32))

    @torch.inference_mode()
    def foresee(
        self,
        latents: FloatArray,
        earlier: FloatArray,
        blocks: FloatArray,
        actors: NDArray[np.int64],
        conditions: FloatArray,
    ) -> Array:
        """States (N, 5) after a block each, as the unroll imagines them; see
        :class:`~pushjepa.runtime.contract.LawfulModel`.

        Raises:
            ValueError: the model knows one world only.
        """
        if self.net.unroll is None or not self.net.config.laws:
            raise ValueError("this model knows no other laws of physics than the standard ones")
        slots, before, told, laws = (
            torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32))
            for part in (latents, earlier[:, -1, 0], blocks[:, :, 0], conditions)
        )
        ends = self.net.unroll(self.net.heads(slots), before, told, laws)[0][:, -1]
        return decode_pusht_state(ends.numpy())

    @torch.inference_mode()
    def decode(self, latents: FloatArray) -> Array:
        """Slots (..., K, D) to states (..., 5): agent xy, block xy in px, the angle in 0 ... 2 pi."""
        return decode_pusht_state(self.net.heads(torch.from_numpy(np.ascontiguousarray(latents))).numpy())

    @torch.inference_mode()
    def codes(self, slots: FloatArray) -> NDArray[np.int64]:
        """Entries (N, K, K) of the codebook that slots (N, K, D) retrieve, for slot i as slot j acts on it.

        Raises:
            ValueError: the model has no codebook.
        """
        if self.net.config.mechanism != "vq" or self.net.memory is None:
            raise ValueError(f"this model has no codebook: its mechanism is {self.net.config.mechanism!r}, not 'vq'")
        return np.asarray(self.net.memory(torch.from_numpy(np.ascontiguousarray(slots))).codes.numpy())

    @torch.inference_mode()
    def propose(
        self,
        context: Context,
        goal: FloatArray,
        count: int,
        horizon: int,
        rng: np.random.Generator,
        conditions: FloatArray | None = None,
    ) -> FloatArray:
        """Plans (count, horizon, frameskip, 2) that the action prior plays in imagination on the way to a goal (K, D).

        After every block it looks again at what the model imagines. The first plan is its likeliest, without chance.
        The prior knows the standard laws; where the model is told that actions send the agent farther or less far, its
        actions are made smaller or larger by as much.

        Raises:
            ValueError: the model has no action prior.
        """
        laws = self._laws(conditions)
        gain = 1.0 if laws is None else laws[0].exp()
        imagined = _Imagined(self.net, context, count, laws=laws)
        wanted = torch.from_numpy(goal.astype(np.float32)).expand(count, -1, -1)
        chance = torch.Generator().manual_seed(int(rng.integers(2**63)))
        plans = []
        for _ in range(horizon):
            mixture = self.net.propose(imagined.newest, wanted, gain * imagined.told)
            chosen = torch.multinomial(mixture.logits.softmax(-1), 1, generator=chance)[:, 0]
            rows = torch.arange(count)
            spread = mixture.stds[rows, chosen, 0]
            block = mixture.means[rows, chosen, 0] + spread * torch.randn(spread.shape, generator=chance)
            block[0] = mixture.likeliest()[0, 0]
            plans.append((block / gain).clamp(-1.0, 1.0))
            imagined.step(plans[-1])
        return np.asarray(torch.stack(plans, dim=1).numpy())

    def _imagine(
        self, context: Context, candidates: FloatArray, starts: Tensor | None, laws: Tensor | None
    ) -> FloatArray:
        """The rollout of some candidates. What the predictor takes of a frame is computed once for each frame."""
        ahead = torch.from_numpy(candidates[:, :, :, 0])
        imagined = _Imagined(self.net, context, len(candidates), starts, laws)
        out = [imagined.step(ahead[:, step].contiguous()) for step in range(ahead.shape[1])]
        return np.asarray(torch.stack(out, dim=1).numpy())


class _Imagined:
    """N futures of one context, imagined block by block.

    Args:
        net: what imagines.
        context: what was seen and done.
        count: N.
        starts: (N, 6) where the unroll begins; None to read it from the context.
        laws: (C,) what the unroll is told of the laws of physics; None for the standard ones.

    Attributes:
        newest: (N, K, D) the slots that were imagined last.
        told: (N, 2) the action before them.
    """

    def __init__(
        self,
        net: MechJEPA,
        context: Context,
        count: int,
        starts: Tensor | None = None,
        laws: Tensor | None = None,
    ) -> None:
        self.net, self.laws = net, laws
        slots = torch.from_numpy(context.latents.astype(np.float32))
        blocks = torch.from_numpy(context.blocks[:, :, 0].astype(np.float32))  # (h-1, frameskip, 2)
        last = blocks[:, -1]
        self.past: list[Frame] = []
        if len(blocks):
            earlier = torch.cat([torch.zeros(1, 2), last[:-1]])
            seen, _ = net.frame(slots[:-1], earlier, blocks, laws=self._laws(len(blocks)))
            self.past = [
                seen.map(lambda part, i=i: part[i].expand(count, *part.shape[1:]))  # type: ignore[misc]
                for i in range(len(blocks))
            ]
        self.newest = slots[-1].expand(count, -1, -1)
        self.told = last[-1].expand(count, -1) if len(blocks) else torch.zeros(count, 2)
        self._reached = starts  # (N, 6) where the unroll ended, or begins

    def step(self, blocks: Tensor) -> Tensor:
        """The slots (N, K, D) after blocks (N, frameskip, 2)."""
        laws = self._laws(len(blocks))
        self.past.append(self.net.frame(self.newest, self.told, blocks, self._reached, laws)[0])
        steps = self.past[-1].steps
        self._reached = None if steps is None else steps[:, -1]
        self.newest, self.told = self.net.attend(_window(self.past[-self.net.config.history :]))[:, -1], blocks[:, -1]
        return self.newest

    def _laws(self, count: int) -> Tensor | None:
        return None if self.laws is None else self.laws.expand(count, -1)


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
    net.cpu().eval()
    tensors = {
        name: (value.half() if value.is_floating_point() and value.ndim >= 2 else value).contiguous()
        for name, value in net.state_dict().items()
    }
    net.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in tensors.items()})
    config = {
        "format": FORMAT,
        "pushjepa": pushjepa.__version__,
        "name": preset["name"],
        "model": net.config.to_dict(),
        "parameters": net.parameters_by_part(),
        "preset": preset,
        "data": data,
        "metrics": metrics,
    }
    write_folder(folder, config, tensors)


def load_net(folder: Path) -> MechJEPA:
    """The network of a checkpoint folder.

    Raises:
        ValueError: the folder is no checkpoint of a Push-T model, or its weights are not those that belong to it.
    """
    return _load(folder)[0]


def _load(folder: Path) -> tuple[MechJEPA, dict[str, Any]]:
    """The network of a checkpoint folder, and its config."""
    config, tensors = read_folder(folder, FORMAT, "a Push-T model")
    net = MechJEPA(MechConfig.from_dict(config["model"]))
    load_strictly(net, tensors, folder)
    return net, config


def write_folder(folder: Path, config: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write weights and their config, with the weights' digest in it; the folder is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS)
    files = {"files": {WEIGHTS: file_digest(folder / WEIGHTS)}}
    (folder / CONFIG).write_text(json.dumps({**config, **files}, indent=1) + "\n")


def find_folder(folder: Path) -> Path:
    """The checkpoint folder itself, or that of the bundled model of this name."""
    if str(folder) in BUNDLED and not folder.exists():
        return Path(str(resources.files("pushjepa.runtime") / "models" / str(folder)))
    return folder


def read_folder(folder: Path, form: str, what: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the weights of a checkpoint folder.

    Args:
        folder: as :func:`write_folder` wrote it, or the name of a bundled model.
        form: the format that it must have.
        what: what such a folder holds, in words.

    Raises:
        ValueError: it is none, is of another format, or its weights are not those that belong to its config.
    """
    folder = find_folder(folder)
    try:
        config = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        names = " and ".join(BUNDLED)
        raise ValueError(f"{folder} is no checkpoint folder: {CONFIG} is missing (bundled are {names})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / CONFIG} is not valid JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != form:
        found = config.get("format") if isinstance(config, dict) else None
        raise ValueError(f"{folder} holds a model of format {found!r}, not {what} ({form})")
    for name in ("model", "data", "files"):
        if not isinstance(config.get(name), dict):
            raise ValueError(f"{folder / CONFIG} lacks the entry {name!r}")
    if not (folder / WEIGHTS).is_file() or file_digest(folder / WEIGHTS) != config["files"].get(WEIGHTS):
        raise ValueError(f"{folder / WEIGHTS} is not the file that belongs to {CONFIG}; fetch the folder whole")
    return config, load_file(folder / WEIGHTS)


def read_format(folder: Path) -> str | None:
    """What a checkpoint folder says that it holds; None where there is no config to be read."""
    try:
        config = json.loads((find_folder(folder) / CONFIG).read_text())
    except (OSError, ValueError):
        return None
    return config.get("format") if isinstance(config, dict) else None


def read_origin(folder: Path, form: str, what: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The digests of a checkpoint folder's files, and what it learned from.

    Raises:
        ValueError: see :func:`read_folder`, whose arguments these are.
    """
    config, _ = read_folder(folder, form, what)
    return config["files"], config["data"]


def load_strictly(net: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Load the weights of ``folder`` into ``net``.

    Raises:
        ValueError: a tensor is missing, is one too many, or has another shape.
    """
    wanted = net.state_dict()
    for name in wanted.keys() | tensors.keys():
        if name not in tensors or name not in wanted or tensors[name].shape != wanted[name].shape:
            raise ValueError(f"{folder} holds weights of another architecture: {name} does not fit")
    net.load_state_dict({name: value.to(wanted[name].dtype) for name, value in tensors.items()})


def load_pusht_model(folder: Path | None = None, threads: int | None = None) -> PushTModel:
    """A Push-T model, ready to play.

    Args:
        folder: its checkpoint, or the name of one of ``BUNDLED``; None for the first of them, a MechJEPA.
        threads: CPU threads of torch, for the whole process; None leaves them.

    Raises:
        ValueError: see :func:`load_net`.
    """
    if threads:
        torch.set_num_threads(threads)
    net, config = _load(folder or Path(BUNDLED[0]))
    return PushTModel(net, config["data"])
