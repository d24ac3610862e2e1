"""Which parameter is trained by which rule: AdamW, and Muon for hidden matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pushjepa.training.presets import PhaseConfig

_HIDDEN = (  # what names of hidden matrices outside of blocks end with
    "encoder.out.weight",
    "projector.0.weight",
    "projector.3.weight",
    "head.0.weight",
    "head.2.weight",
    "of_p1.0.weight",
    "of_p1.2.weight",
    "of_p2.0.weight",
    "of_p2.2.weight",
    "glimpses.of_block.0.weight",
    "of_block.2.weight",
    "of_agents.2.weight",
    "of_board.2.weight",
)


def build_optimizer(model: nn.Module, phase: PhaseConfig) -> torch.optim.Optimizer:
    """AdamW for what is trained in ``phase``, with Muon for the hidden matrices if the phase gives them a rate.

    Those are in the blocks of whichever network has such (unroll, predictor, the law adapter and the ViT) and in some
    MLPs of the game's model (``_HIDDEN``). What takes raw inputs in (but a crop's pixels) or gives outputs stays with
    AdamW, and so do convolutions. A memory of mechanisms may have a rate of its own.

    Muon (Jordan et al., 2024) orthogonalises the step of each hidden matrix. timm's version takes AdamW for the groups
    that are marked so.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = [n for n, p in trained.items() if p.ndim == 2 and (".blocks." in n or n.endswith(_HIDDEN))]
    matrices = matrices if phase.matrix_rate else []
    memory = [n for n in trained if n.startswith("memory.")] if phase.memory_rate else []
    rates = {n: phase.memory_rate if n in memory else phase.learning_rate for n in trained if n not in matrices}
    groups: list[dict[str, Any]] = [
        {"params": [trained[n] for n in rates if rates[n] == rate], "lr": rate, "weight_decay": phase.weight_decay}
        for rate in dict.fromkeys(rates.values())
    ]
    if not matrices:
        return torch.optim.AdamW(groups)
    from timm.optim.muon import Muon  # heavy, and only this choice needs it

    layers = {"params": [trained[n] for n in matrices], "lr": phase.matrix_rate, "weight_decay": 0.0}
    return Muon([layers, *(group | {"use_fallback": True} for group in groups)], nesterov=True, adjust_lr_fn="original")
