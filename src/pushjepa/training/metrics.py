"""Errors in board pixels and degrees, for validation while training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushjepa.data import MOVED
from pushjepa.physics.constants import BOARD_CENTRE


def state_errors(decoded: Tensor, states: Tensor) -> dict[str, Tensor]:
    """Per-sample errors of decoded numbers (N, 8) against states (N, 7): p1, p2, block in px, angle in degrees."""
    positions = decoded[:, :6] * BOARD_CENTRE + BOARD_CENTRE - states[:, :6]
    errors = {
        name: positions[:, 2 * i : 2 * i + 2].norm(dim=-1) for i, name in enumerate(("p1_px", "p2_px", "block_px"))
    }
    turned = torch.atan2(decoded[:, 7], decoded[:, 6]) - states[:, 6]
    errors["angle_deg"] = (torch.remainder(turned + math.pi, 2 * math.pi) - math.pi).abs().rad2deg()
    return errors


def decode_summary(decoded: Tensor, states: Tensor) -> dict[str, float]:
    """Mean decode errors: agents, block, angle."""
    errors = state_errors(decoded, states)
    return {
        "decode_agent_px": 0.5 * (errors["p1_px"].mean() + errors["p2_px"].mean()).item(),
        "decode_block_px": errors["block_px"].mean().item(),
        "decode_angle_deg": errors["angle_deg"].mean().item(),
    }


def turn_summary(decoded: Tensor, before: Tensor, after: Tensor, actors: Tensor) -> dict[str, float]:
    """One-turn errors over the turns that moved the block: actor, waiter, block, angle, push ratio.

    Args:
        decoded: (N, 8) the head on predicted latents.
        before, after: (N, 7) true states about the turn.
        actors: (N,) who acted, 0 or 1.
    """
    true_push = (after - before)[:, 4:6]
    moved = true_push.norm(dim=-1) > MOVED
    errors = {name: value[moved] for name, value in state_errors(decoded, after).items()}
    acts = actors[moved] == 0
    push = (decoded[:, 4:6] * BOARD_CENTRE + BOARD_CENTRE - before[:, 4:6])[moved]
    true_push = true_push[moved]
    ratio = (push * true_push).sum() / true_push.square().sum()
    return {
        "turn_actor_px": torch.where(acts, errors["p1_px"], errors["p2_px"]).mean().item(),
        "turn_waiter_px": torch.where(acts, errors["p2_px"], errors["p1_px"]).mean().item(),
        "turn_block_px": errors["block_px"].mean().item(),
        "turn_angle_deg": errors["angle_deg"].mean().item(),
        "push_ratio": ratio.item(),
    }
