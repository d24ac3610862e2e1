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
        explicit_actor: give the actor, or leave it to be guessed from the zeros (as published, for ablations).
    """

    def __init__(self, width: int, frameskip: int, agents: int, explicit_actor: bool = True) -> None:
        super().__init__()
        self.agents = agents
        self.explicit_actor = explicit_actor
        flat = frameskip * agents * 2
        self.net: nn.Module
        if explicit_actor:
            self.net = nn.Sequential(nn.Linear(flat + agents, width), nn.GELU(), nn.Linear(width, width))
        else:
            self.net = nn.Linear(flat, width)

    def forward(self, blocks: Tensor, actors: Tensor) -> Tensor:
        """Blocks (..., frameskip, agents, 2) and actors (...), -1 for none, to (..., width)."""
        flat = blocks.flatten(-3)
        if not self.explicit_actor:
            return self.net(flat)
        # Index 0 stands for "nobody", whose row is dropped: an actor of -1 is all zeros.
        who = functional.one_hot(actors + 1, self.agents + 1)[..., 1:].to(flat)
        return self.net(torch.cat([flat, who], dim=-1))
