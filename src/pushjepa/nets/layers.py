"""Small parts that several networks are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Result = TypeVar("Result")


def in_full_precision(method: Callable[..., Result]) -> Callable[..., Result]:
    """A module's method of tensors that autocast leaves alone: where positions are read, written or moved.

    In bf16 neighbouring positions are a pixel apart, and the unroll's waves half a radian off. What TF32 does to matrix
    products is another matter; see :func:`heat_moments`.
    """

    @wraps(method)
    def exact(self: nn.Module, first: Tensor, *others: Any) -> Result:
        if not torch.is_autocast_enabled(first.device.type):
            return method(self, first, *others)
        with torch.autocast(first.device.type, enabled=False):
            exactly = (o.float() if isinstance(o, Tensor) and o.is_floating_point() else o for o in others)
            return method(self, first.float(), *exactly)

    return exact


def heat_moments(heat: Tensor, line: Tensor) -> Tensor:
    """Where maps that sum to 1 lie and how they spread: means and second moments.

    Sums, not a matrix product: that a GPU may round to 10 bits (TF32), and a spread is a small difference of large
    numbers. Sums over rows and columns come first, which is as fast on a CPU as the product.

    Args:
        heat: (..., h, h) maps, rows first.
        line: (h,) the coordinate of each row, and of each column.

    Returns:
        (..., 5) the means of x and y, and four times the variances of x and y and their covariance.
    """
    across, down = heat.sum(dim=-2), heat.sum(dim=-1)  # (..., h) over x, over y
    x, xx = (across * line).sum(dim=-1), (across * line * line).sum(dim=-1)
    y, yy = (down * line).sum(dim=-1), (down * line * line).sum(dim=-1)
    xy = ((heat * line).sum(dim=-1) * line).sum(dim=-1)
    # Spreads are small next to positions: 4 brings both to one scale.
    return torch.stack([x, y, 4 * (xx - x * x), 4 * (yy - y * y), 4 * (xy - x * y)], dim=-1)


def fourier_features(points: Tensor, frequencies: Tensor) -> Tensor:
    """Fourier features of points (N, P, 2) with their own frequencies (P, 2, K): (N, 2 P K)."""
    # Spelt out: as a matrix product a GPU may round it to 10 bits, which puts the finest waves off by a twentieth turn.
    phases = points[..., :1] * frequencies[:, 0] + points[..., 1:] * frequencies[:, 1]
    phases = phases.reshape(-1, frequencies.shape[0] * frequencies.shape[2])
    return torch.cat([phases.sin(), phases.cos()], dim=-1)


class Bypassed(nn.Sequential):
    """Layers in a row and, if wanted, a linear way round them, which adds nothing at initialisation.

    Args:
        layers: in a row.
        bypass: inputs and outputs of the way round; None for none.
    """

    bypass: nn.Parameter | None

    def __init__(self, *layers: nn.Module, bypass: tuple[int, int] | None) -> None:
        super().__init__(*layers)
        self.register_parameter("bypass", nn.Parameter(torch.zeros(bypass[::-1])) if bypass else None)

    def forward(self, x: Tensor) -> Tensor:
        given: Tensor = super().forward(x)
        return given if self.bypass is None else given + functional.linear(x, self.bypass)


class Residual(nn.Module):
    """x + MLP(norm(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)
