"""From pixels to slots: every slot owns some attention maps over the picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushjepa.nets.encoder import ResidualBlock
from pushjepa.nets.layers import heat_moments
from pushjepa.nets.mech_config import MechConfig

STATE_NUMBERS = 6  #: agent xy, block xy in half boards about the centre, cos and sin of the angle


class SlotEncoder(nn.Module):
    """Learned slot queries over a small convolutional backbone.

    Each query gives ``points`` attention maps. What a slot gets of a map is where it lies and how it spreads (the mean
    and the second moments of its places, as with key points: Levine et al., 2016), so that positions are learned from
    few frames. Queries are bound to objects by the state heads, which makes the order of slots a fixed one.
    """

    line: Tensor

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        first, second = config.channels
        self.shape = (config.slots, config.points)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, first, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            ResidualBlock(second, 1),
            ResidualBlock(second, 2),
        )
        self.queries = nn.Parameter(torch.randn(config.slots * config.points, second) * second**-0.5)
        self.bias = nn.Parameter(torch.zeros(config.slots * config.points))
        hidden = 4 * config.width
        self.out = nn.Sequential(nn.Linear(5 * config.points, hidden), nn.BatchNorm1d(hidden), nn.GELU())
        self.slot = nn.Parameter(torch.randn(config.slots, hidden, config.width) * hidden**-0.5)
        self.register_buffer("line", torch.linspace(-1.0, 1.0, config.frame_size // 4), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N, H, W, 3) of 0 ... 255 to slots (N, K, D)."""
        return self.read(self.look(frames)[0])

    def look(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, H, W, 3) to moments of each slot (N, K, points * 5), and how much of each map there is (N, C)."""
        features = self.features(frames)
        return self.moments(features), features.mean(dim=(2, 3))

    def features(self, frames: Tensor) -> Tensor:
        """Frames (N, H, W, 3) to what the backbone makes of them (N, C, h, w)."""
        # The environment's picture is white: its mean brightness is near 0.9.
        found: Tensor = self.backbone((frames.permute(0, 3, 1, 2).float() / 255.0 - 0.9) / 0.2)
        return found

    def read(self, moments: Tensor) -> Tensor:
        """Moments (N, K, points * 5) to slots (N, K, D)."""
        flat = self.out(moments.flatten(0, 1))  # (N K, hidden)
        return torch.einsum("nkh,khd->nkd", flat.unflatten(0, moments.shape[:2]), self.slot)

    def attention(self, features: Tensor) -> Tensor:
        """Features (N, C, h, w) to attention over places (N, K * points, h * w), each map summing to 1."""
        logits = torch.einsum("pc,nchw->nphw", self.queries, features) + self.bias[:, None, None]
        return logits.flatten(2).softmax(dim=-1)

    def moments(self, features: Tensor) -> Tensor:
        """Features (N, C, h, w) to the moments of each slot's attention maps (N, K, points * 5)."""
        heat = self.attention(features).unflatten(2, (len(self.line), len(self.line)))
        return heat_moments(heat, self.line).unflatten(1, self.shape).flatten(2)


class SlotHeads(nn.Module):
    """Slots (..., K, D) to the readable state (..., 6): the agent from slot 0, the block from slot 1.

    With one slot both are read from it. With ``bound`` at 4, slot 2 is bound to the block's bar and slot 3 to its stem:
    :meth:`ends` reads them.
    """

    def __init__(self, config: MechConfig) -> None:
        super().__init__()
        self.agent = _head(config.width, config.head_hidden, 2)
        self.block = _head(config.width, config.head_hidden, 4)
        self.parts = nn.ModuleList(_head(config.width, config.head_hidden, 4) for _ in range(config.bound - 2))

    def forward(self, slots: Tensor) -> Tensor:
        return torch.cat([self.agent(slots[..., 0, :]), self.block(slots[..., min(1, slots.shape[-2] - 1), :])], dim=-1)

    def ends(self, slots: Tensor) -> Tensor:
        """Where the two ends of bar and stem are (..., 4, 2), in half boards, as slots (..., K, D) 2 and 3 have them.

        Only training reads this. It gives the two slots a meaning: unbound, they may hold anything of the picture.

        Raises:
            ValueError: the slots are not bound to them.
        """
        if not len(self.parts):
            raise ValueError("no slot of this model is bound to bar or stem: bound is 2")
        read = [part(slots[..., index, :]) for index, part in enumerate(self.parts, start=2)]
        return torch.cat(read, dim=-1).unflatten(-1, (-1, 2))


def _head(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, out)
    )
