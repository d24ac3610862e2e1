"""A goal-conditioned action prior: from what is read in a frame and in a goal's to a few plans worth trying.

A policy learned by imitation in hindsight (any later frame of a trajectory is a goal that its actions reach), as in
goal-conditioned behaviour cloning. It gives a mixture of plans, for a block can be gone round on either side and the
mean of both ways leads through it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pushjepa.nets.layers import Residual
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.unroll import rotate, unit

_LEAST = 0.05  # least standard deviation of an action, which lives in [-1, 1]
_NEAR = 4.0  # distances about the tee are given in quarters of half a board, as in the unroll
_GEOMETRY = 2 * 6 + 4 * 2 + 2 + 2


class PlanMixture(NamedTuple):
    """A mixture of M normal distributions over plans, with leading shape (N,).

    Attributes:
        logits: (N, M) of the mixture's weights.
        means, stds: (N, M, H, frameskip, 2) of the actions, each by itself.
    """

    logits: Tensor
    means: Tensor
    stds: Tensor

    def loss(self, plans: Tensor, known: Tensor) -> Tensor:
        """Negative log-likelihood of plans (N, H, frameskip, 2), where ``known`` (N, H, frameskip) counts.

        The mean over N of the sum over actions, divided by the plans' length.
        """
        off = (plans[:, None] - self.means) / self.stds
        each = 0.5 * off.square() + self.stds.log() + 0.5 * math.log(2 * math.pi)
        lost = (each.sum(-1) * known[:, None]).flatten(2).sum(-1)  # (N, M)
        return -torch.logsumexp(self.logits.log_softmax(-1) - lost, dim=-1).mean() / known[0].numel()

    def likeliest(self) -> Tensor:
        """The mean (N, H, frameskip, 2) of the heaviest component of each."""
        return self.means[torch.arange(len(self.means)), self.logits.argmax(-1)]


class ActionPrior(nn.Module):
    """What the state heads read of now and of the goal to a mixture of plans.

    Args:
        config: ``prior_hidden``, ``prior_layers``, ``prior_modes`` and ``prior_blocks``.
    """

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        hidden, modes = config.prior_hidden, config.prior_modes
        self.shape = (modes, config.prior_blocks, config.frameskip, 2)
        self.enter = nn.Linear(_GEOMETRY, hidden)
        self.blocks = nn.ModuleList([Residual(hidden) for _ in range(config.prior_layers)])
        self.norm = nn.LayerNorm(hidden)
        self.logits = nn.Linear(hidden, modes)
        self.means = nn.Linear(hidden, math.prod(self.shape))
        self.spreads = nn.Linear(hidden, math.prod(self.shape))

    def forward(self, now: Tensor, wanted: Tensor, before: Tensor) -> PlanMixture:
        """Propose plans.

        Args:
            now, wanted: (N, 6) what the state heads read in the slots of now and of the goal.
            before: (N, 2) the last action, which is what the agent's speed comes from; zeros at rest.
        """
        x = self.enter(torch.cat([_geometry(now, wanted), before], dim=-1))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        spreads = _LEAST + nn.functional.softplus(self.spreads(x).unflatten(-1, self.shape) - 1.0)
        return PlanMixture(self.logits(x), self.means(x).unflatten(-1, self.shape), spreads)


def _geometry(now: Tensor, wanted: Tensor) -> Tensor:
    """States (N, 6) of now and of the goal, and both agents and the goal's tee as seen from the tee of now."""
    block, turn = now[:, 2:4], unit(now[:, 4:])
    back = turn * turn.new_tensor([1.0, -1.0])
    places = torch.stack([now[:, :2] - block, wanted[:, :2] - block, wanted[:, 2:4] - block], dim=1)
    apart = rotate(unit(wanted[:, 4:])[:, None], back)[:, 0]
    way = _NEAR * (wanted[:, :2] - now[:, :2])
    return torch.cat([now, wanted, (_NEAR * rotate(places, back)).flatten(1), way, apart], dim=-1)
