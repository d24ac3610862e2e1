"""What other laws of physics change in a step unroll, beside weights that were learned under the standard ones.

The numbers that tell of the laws (a physics context, as in Lee et al., 2020, "Context-aware dynamics model") bend the
unroll's layers by a scale and a shift each (FiLM; Perez et al., 2018) and gate a second, smaller network that sees what
the first one sees. Every path from the numbers is without a bias: where all of them are zero nothing is added, and the
unroll is bit for bit the one without an adapter. So a model can be taught other laws without forgetting its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushjepa.nets.layers import Residual

_BENT = 64  # bent combinations of the numbers that are told beside the numbers themselves


class LawAdapter(nn.Module):
    """Corrections to an unroll's layers and to its outputs; none at initialisation.

    Args:
        laws: C, numbers that tell of the laws; all zero under the standard ones.
        inputs: numbers that the unroll sees of a substep.
        hidden: width of its layers.
        layers: how many they are, the first linear one counted too.
        outputs: numbers that it gives.
        width: of the second network.
    """

    def __init__(self, laws: int, inputs: int, hidden: int, layers: int, outputs: int, width: int) -> None:
        super().__init__()
        self.layers = layers
        self.bend = nn.Linear(laws, _BENT, bias=False)
        self.film = nn.Linear(laws + _BENT, 2 * hidden * layers, bias=False)
        self.gate = nn.Linear(laws + _BENT, width, bias=False)
        self.enter = nn.Linear(inputs, width)
        self.tell_enter = nn.Linear(laws + _BENT, width, bias=False)
        self.blocks = nn.ModuleList([Residual(width) for _ in range(2)])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, outputs, bias=False)
        for added in (self.film, self.out):
            nn.init.zeros_(added.weight)

    def tell(self, laws: Tensor) -> Tensor:
        """Numbers of the laws (N, C) to what is told of them (N, C + 64)."""
        return torch.cat([laws, self.bend(laws).tanh()], dim=-1)

    def bends(self, told: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each layer the factor and the shift (N, hidden) of what leaves it."""
        parts = self.film(told).chunk(2 * self.layers, dim=-1)
        return [(1.0 + factor, shift) for factor, shift in zip(parts[::2], parts[1::2], strict=True)]

    def correct(self, seen: Tensor, told: Tensor) -> Tensor:
        """What is added to the outputs (N, outputs) where the unroll sees ``seen`` (N, inputs)."""
        x = self.enter(seen) + self.tell_enter(told)
        for block in self.blocks:
            x = block(x)
        corrections: Tensor = self.out(self.norm(x) * self.gate(told))
        return corrections


def bend(x: Tensor, by: tuple[Tensor, Tensor] | None) -> Tensor:
    """``x`` as :meth:`LawAdapter.bends` would have it; None bends nothing."""
    return x if by is None else x * by[0] + by[1]
