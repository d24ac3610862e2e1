"""A memory of mechanisms: what goes on between two slots, retrieved by what the pair looks like."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pushjepa.nets.mech_config import MechConfig


class Mechanisms(NamedTuple):
    """What was retrieved for every pair of slots.

    Attributes:
        vectors: (..., K, K, M) the mechanism of slot i as slot j acts on it.
        codes: (..., K, K) which entry of the codebook; -1 where there is no codebook.
        loss: commitment loss, a scalar.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor


class EdgeFeatures(nn.Module):
    """Slots (..., K, D) to the features (..., K, K, M) of every ordered pair."""

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        hidden = 4 * config.mechanism_width
        self.net = nn.Sequential(
            nn.Linear(2 * config.width, hidden), nn.GELU(), nn.Linear(hidden, config.mechanism_width)
        )

    def forward(self, slots: Tensor) -> Tensor:
        count = slots.shape[-2]
        here = slots.unsqueeze(-2).expand(*slots.shape[:-1], count, slots.shape[-1])
        return self.net(torch.cat([here, here.transpose(-3, -2)], dim=-1))


class VectorQuantisedMemory(nn.Module):
    """A learned codebook (van den Oord et al., 2017), kept by moving averages; entries that nobody uses are revived."""

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        from vector_quantize_pytorch import VectorQuantize  # only models with a codebook need it

        self.edges = EdgeFeatures(config)
        self.codebook = VectorQuantize(
            dim=config.mechanism_width,
            codebook_size=config.codes,
            decay=0.99,
            commitment_weight=0.25,
            threshold_ema_dead_code=2,
        )

    def forward(self, slots: Tensor) -> Mechanisms:
        edges = self.edges(slots)
        vectors, codes, loss = self.codebook(edges.flatten(0, -2)[None])
        return Mechanisms(vectors[0].reshape(edges.shape), codes[0].reshape(edges.shape[:-1]), loss.sum())


class LowRankMemory(nn.Module):
    """The published code's memory: a linear bottleneck instead of a codebook."""

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        self.edges = EdgeFeatures(config)
        self.out = nn.Linear(config.mechanism_width, config.mechanism_width)

    def forward(self, slots: Tensor) -> Mechanisms:
        vectors = self.out(self.edges(slots))
        codes = torch.full(vectors.shape[:-1], -1, dtype=torch.long, device=vectors.device)
        return Mechanisms(vectors, codes, vectors.new_zeros(()))


def build_memory(config: MechConfig) -> nn.Module | None:
    """The memory that ``config`` names; None for none."""
    kinds = {"vq": VectorQuantisedMemory, "lowrank": LowRankMemory}
    return kinds[config.mechanism](config) if config.mechanism in kinds else None


def perplexity(codes: ArrayLike) -> float:
    """How many entries of a codebook are in use: the exponential of the entropy of ``codes``, of any shape."""
    _, counts = np.unique(np.asarray(codes), return_counts=True)
    shares = counts / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
