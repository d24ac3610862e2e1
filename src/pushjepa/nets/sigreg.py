"""SIGReg, the sketched isotropic Gaussian regulariser (Balestriero and LeCun, LeJEPA, 2025).

Latents are projected on random directions, and each one-dimensional projection is held against a standard normal by
the Epps-Pulley statistic: the weighted squared distance between empirical and normal characteristic functions. It is
the one thing that keeps a JEPA's latents from collapsing; there is no stop-gradient and no target network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SIGReg(nn.Module):
    """Epps-Pulley statistic averaged over random projections.

    Args:
        knots: points at which the characteristic functions are compared, evenly on [0.2, 4].
        projections: random directions drawn for each call.
    """

    t: Tensor
    weight: Tensor
    target: Tensor

    def __init__(self, knots: int = 17, projections: int = 1024) -> None:
        super().__init__()
        self.projections = projections
        t = torch.linspace(0.2, 4.0, knots)
        target = torch.exp(-0.5 * t.square())
        trapezoid = torch.full((knots,), float(t[1] - t[0]))
        trapezoid[[0, -1]] *= 0.5
        self.register_buffer("t", t, persistent=False)
        self.register_buffer("target", target, persistent=False)
        # The integrand is even in t, hence the factor 2; the normal window keeps large t from dominating.
        self.register_buffer("weight", 2.0 * trapezoid * target, persistent=False)

    def forward(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        """Statistic of latents (T, N, D): over the N samples of each group, averaged over groups and projections.

        Args:
            latents: (T, N, D) or (N, D).
            generator: source of the random directions, on the CPU.

        Returns:
            A scalar; about 0.5 for Gaussian samples whatever N, growing with N for anything else.
        """
        directions = torch.randn(latents.shape[-1], self.projections, generator=generator).to(latents)
        projected = latents @ (directions / directions.norm(dim=0))  # (T, N, P)
        # One knot at a time: a (T, N, P, knots) tensor would be the largest of the whole training step.
        statistic = latents.new_zeros(())
        for t, target, weight in zip(self.t, self.target, self.weight, strict=True):
            real = (projected * t).cos().mean(dim=-2) - target  # (T, P)
            imaginary = (projected * t).sin().mean(dim=-2)
            statistic = statistic + weight * (real.square() + imaginary.square()).mean()
        return statistic * latents.shape[-2]
