"""The peer: stable-worldmodel's LeWM (Maes et al., 2026) with its own predictor, on our compact encoder.

What it is compared with is everything of ours but the encoder. Its losses are in :mod:`pushjepa.training.peer`, its
solver and policy in :func:`pushjepa.pusht.tasks.peer_policy`; all of them are stable-worldmodel's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import pushjepa
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.peer_config import PeerConfig
from pushjepa.nets.slots import SlotEncoder
from pushjepa.pusht.adapters import ActionNormaliser
from pushjepa.pusht.model import load_strictly, read_folder, write_folder
from pushjepa.pusht.stable import MLP, Embedder, LeWM, Predictor
from pushjepa.runtime.checkpoint import CONFIG

FORMAT = "pushjepa-peer-1"  #: of the checkpoint folder


class Tokens(NamedTuple):
    """last_hidden_state (N, 1, D), under the name by which LeWM takes it from a Hugging Face transformer."""

    last_hidden_state: Tensor


class TokenEncoder(nn.Module):
    """Our encoder with one slot, as LeWM calls an encoder."""

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        self.slots = SlotEncoder(config)

    def forward(self, pixels: Tensor, interpolate_pos_encoding: bool = False) -> Tokens:
        """Pixels (N, 3, H, W) of 0 ... 255 to one token a frame; the encoder has no positions to interpolate."""
        return Tokens(self.slots(pixels.permute(0, 2, 3, 1)))


def build_peer(config: PeerConfig) -> LeWM:
    """A LeWM, untrained, put together as in stable-worldmodel's own training script.

    It takes pixels (B, T, 3, H, W) of 0 ... 255 and actions (B, T, 2 * frameskip), normalised; embeddings are
    (B, T, D).
    """
    width, hidden = config.width, config.projector_hidden
    predictor = Predictor(
        num_frames=config.history,
        depth=config.depth,
        heads=config.heads,
        mlp_dim=config.mlp_hidden,
        input_dim=width,
        hidden_dim=width,
        dim_head=config.head_width,
        dropout=config.dropout,
    )
    return LeWM(
        encoder=TokenEncoder(config.encoder()),
        predictor=predictor,
        action_encoder=Embedder(input_dim=2 * config.frameskip, emb_dim=width),
        projector=MLP(width, hidden, width, norm_fn=nn.BatchNorm1d),
        pred_proj=MLP(width, hidden, width, norm_fn=nn.BatchNorm1d),
    )


@dataclass(frozen=True)
class Peer:
    """A trained peer.

    Attributes:
        net: LeWM, set to evaluation.
        config: its sizes.
        actions: how the actions that it takes are normalised.
        learned: the trajectories that it learned from, as the entry ``data`` of its checkpoint's config tells of them.
    """

    net: LeWM
    config: PeerConfig
    actions: ActionNormaliser
    learned: Mapping[str, Any] = field(default_factory=dict)


def parameters_by_part(net: nn.Module) -> dict[str, int]:
    """Number of parameters of each part, and their total."""
    parts = {name: sum(p.numel() for p in child.parameters()) for name, child in net.named_children()}
    return parts | {"total": sum(parts.values())}


def save_peer(
    peer: Peer, folder: Path, *, preset: Mapping[str, Any], data: Mapping[str, Any], metrics: Mapping[str, Any]
) -> None:
    """Write ``config.json`` and ``model.safetensors``.

    Args:
        peer: the trained model.
        folder: where to; made if missing.
        preset, data, metrics: what it was trained with, on and to; kept in the config.
    """
    net = peer.net.cpu().eval()
    config = {
        "format": FORMAT,
        "pushjepa": pushjepa.__version__,
        "name": preset["name"],
        "model": peer.config.to_dict(),
        "actions": {"mean": peer.actions.mean.tolist(), "std": peer.actions.std.tolist()},
        "parameters": parameters_by_part(net),
        "preset": preset,
        "data": data,
        "metrics": metrics,
    }
    write_folder(folder, config, {name: value.contiguous() for name, value in net.state_dict().items()})


def load_peer(folder: Path, threads: int | None = None) -> Peer:
    """A peer, ready to play.

    Args:
        folder: its checkpoint.
        threads: CPU threads of torch, for the whole process; None leaves them.

    Raises:
        ValueError: the folder is no checkpoint of a peer, or its weights are not those that belong to it.
    """
    if threads:
        torch.set_num_threads(threads)
    config, tensors = read_folder(folder, FORMAT, "a peer")
    sizes = PeerConfig.from_dict(config["model"])
    net = build_peer(sizes)
    load_strictly(net, tensors, folder)
    return Peer(net.eval(), sizes, _read_actions(config, folder), config["data"])


def _read_actions(config: dict[str, Any], folder: Path) -> ActionNormaliser:
    """The statistics of actions that were written with the weights."""
    try:
        mean, std = (np.array(config["actions"][name], dtype=np.float64) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{folder / CONFIG} lacks the mean and std of the actions that it was trained on") from None
    if mean.shape != (2,) or std.shape != (2,):
        raise ValueError(f"{folder / CONFIG}: an action has 2 numbers, its mean has {mean.shape}, its std {std.shape}")
    return ActionNormaliser(mean, std)
