"""Joint action blocks to one vector per token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class JointActionEncoder(nn.Module):
    """Both agents' action blocks, and who acted, to a conditioning vector.

    A waiting agent and one that commands zero look the same in the actions alone, so the actor is an input of its own.

    Args:
        width: size of the output.
        frameskip: env steps in a block.
        agents: agents on the board.
        linear: a single linear map (as published, for ablations) instead of an MLP.
        explicit_actor: give the actor, or leave it to be guessed from the zeros (likewise).
    """

    def __init__(
        self, width: int, frameskip: int, agents: int, *, linear: bool = False, explicit_actor: bool = True
    ) -> None:
        super().__init__()
        self.agents = agents
        self.explicit_actor = explicit_actor
        told = frameskip * agents * 2 + (agents if explicit_actor else 0)
        self.net: nn.Module = nn.Linear(told, width)
        if not linear:
            self.net = nn.Sequential(self.net, nn.GELU(), nn.Linear(width, width))

    def forward(self, blocks: Tensor, actors: Tensor) -> Tensor:
        """Blocks (..., frameskip, agents, 2) and actors (...), -1 for none, to (..., width)."""
        flat = blocks.flatten(-3)
        if not self.explicit_actor:
            return self.net(flat)
        # Index 0 stands for "nobody", whose row is dropped: an actor of -1 is all zeros.
        who = functional.one_hot(actors + 1, self.agents + 1)[..., 1:].to(flat)
        return self.net(torch.cat([flat, who], dim=-1))
