"""The network behind a policy prior or a value function of the game; ``pushjepa.planning.advice`` runs it in NumPy."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class AdviceNet(nn.Module):
    """A small residual MLP.

    Args:
        inputs, outputs: numbers in and out.
        hidden: width.
        layers: residual blocks.
        dropout: share of a block's inner numbers that are dropped in training.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList([AdviceBlock(hidden, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, inputs) to outputs (N, outputs)."""
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        return self.leave(self.norm(x))


class AdviceBlock(nn.Module):
    """x + MLP(norm(x)), with an activation that NumPy has all parts of."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.rise = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.fall = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fall(self.dropout(functional.silu(self.rise(self.norm(x)))))
