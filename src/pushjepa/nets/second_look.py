"""A second look at a frame, for when the block is not the one that the encoder knows.

An encoder that has seen one block takes any other for that one, and reads its place wrongly. The second look is an
encoder of its own that has seen blocks of many sizes and shapes. It gives the latents that the first encoder would give
of the same scene with the block that it knows, so that heads, unroll and predictor can go on as they are; and it tells
what is other about the picture, in those numbers of the laws of physics that can be seen (domain randomisation, for
looking).

The first encoder stays what it was. Which of the two is looked with is for whoever notices that the first is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

_HIDDEN = 128  # width of the layer that tells what is other


class Encoder(Protocol):
    """What both encoders of key points have in common."""

    def look(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, H, W, 3) to moments of key points (N, ...), and how much of each map there is (N, C)."""
        ...

    def read(self, moments: Tensor) -> Tensor:
        """Moments to what is read of the whole frame."""
        ...


class SecondLook(nn.Module):
    """Frames to latents, and to the visible numbers of the laws.

    Args:
        encoder: of the kind of the first one.
        projector: from what it reads to latents; None where that is the latents.
        channels: C of its maps.
        moments: numbers in its moments.
        laws: how many numbers tell of the laws.
        visible: which of them a frame shows.
    """

    place: Tensor
    begun: Tensor  # whether it has been given the first encoder's weights

    def __init__(
        self,
        encoder: nn.Module,
        projector: nn.Module | None,
        channels: int,
        moments: int,
        laws: int,
        visible: Sequence[int],
    ) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.told = nn.Sequential(
            nn.Linear(moments + channels, _HIDDEN),
            nn.GELU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.GELU(),
            nn.Linear(_HIDDEN, len(visible)),
        )
        self.register_buffer("place", torch.eye(laws)[list(visible)], persistent=False)
        self.register_buffer("begun", torch.tensor(False))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, H, W, 3) of 0 ... 255 to latents, and to numbers of the laws (N, C), 0 where none can be seen."""
        encoder = cast(Encoder, self.encoder)
        moments, amounts = encoder.look(frames)
        # How much of the picture is block and agent tells their size; where it is, the moments know.
        seen = torch.cat([moments.flatten(1), amounts], dim=-1)
        latents = encoder.read(moments)
        if self.projector is not None:
            latents = self.projector(latents)
        return latents, self.told(seen) @ self.place

    def begin(self, encoder: nn.Module, projector: nn.Module | None) -> None:
        """Begin as what the first encoder and its projector are; one that has begun already goes on as it is."""
        if self.begun:
            return
        self.begun.fill_(True)
        self.encoder.load_state_dict(encoder.state_dict())
        if self.projector is not None and projector is not None:
            self.projector.load_state_dict(projector.state_dict())
