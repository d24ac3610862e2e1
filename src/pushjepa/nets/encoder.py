"""From pixels to one vector: the two backbones and the projector."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pushjepa.nets.config import ModelConfig
from pushjepa.nets.layers import Bypassed, heat_moments, in_full_precision


class Normalise(nn.Module):
    """Frames (N, H, W, 3) of 0 ... 255 to (N, 3, H, W) about zero."""

    def forward(self, frames: Tensor) -> Tensor:
        # The board is dark: its mean brightness is near 0.15 and its spread near 0.2.
        return (frames.permute(0, 3, 1, 2).float() / 255.0 - 0.15) / 0.2


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions about a skip connection; the first may be dilated to see farther."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(x + self.norm2(self.conv2(y)))


class KeypointEncoder(nn.Module):
    """A small convolutional encoder that ends in spatial-softmax key points (Levine et al., 2016).

    Each of ``points`` feature maps is turned into a distribution over the image, of which the mean (x, y) and the
    second moments (xx, yy, xy) are kept: where a thing is and how it lies. Positions and angle are learned from a
    fraction of the frames that a flattened map needs. ``fine`` more are found at twice the resolution, in the first
    convolution's maps: an agent is three or four pixels wide.
    """

    line: Tensor
    fine_line: Tensor

    def __init__(
        self, width: int, frame_size: int, channels: tuple[int, int] = (16, 32), points: int = 32, fine: int = 0
    ) -> None:
        super().__init__()
        first, second = channels
        self.normalise = Normalise()
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(ResidualBlock(second, 1), ResidualBlock(second, 2))
        self.maps = nn.Conv2d(second, points, 1)
        self.out = nn.Linear((points + fine) * 5, width)
        self.fine: nn.Sequential | None = None
        if fine:
            self.fine = nn.Sequential(nn.Conv2d(first, first, 3, padding=1), nn.ReLU(), nn.Conv2d(first, fine, 1))
        self.register_buffer("line", torch.linspace(-1.0, 1.0, frame_size // 4), persistent=False)
        self.register_buffer("fine_line", torch.linspace(-1.0, 1.0, frame_size // 2), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N, H, W, 3) of 0 ... 255 to features (N, width)."""
        return self.read(self.look(frames)[0])

    def look(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, H, W, 3) to moments of key points (N, points * 5), and how much of each map there is (N, C)."""
        early, late = self.features(frames)
        return self.moments(early, late), late.mean(dim=(2, 3))

    def features(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, H, W, 3) to what the first convolution and what all make of them, (N, C, h, w) each."""
        early = self.stem[:3](self.normalise(frames))
        return early, self.blocks(self.stem[3:](early))

    @in_full_precision
    def moments(self, early: Tensor, late: Tensor) -> Tensor:
        """Both maps to the key points' means and second moments (N, points * 5), those of the fine ones last."""
        found = [_moments(self.maps(late), self.line)]
        if self.fine is not None:
            found.append(_moments(self.fine(early), self.fine_line))
        return torch.cat(found, dim=-1)

    @in_full_precision
    def read(self, moments: Tensor) -> Tensor:
        """Moments (N, points * 5) to features of the whole frame (N, width)."""
        found: Tensor = self.out(moments)
        return found

    def hot(self) -> list[tuple[nn.Module, str]]:
        """The methods that take most of its time: what there is to compile."""
        return [(self, "features"), (self, "moments")]


class VitTinyEncoder(nn.Module):
    """timm's ViT-Tiny with patches of 14 px, from scratch; the class token is the feature, as in LeWorldModel."""

    def __init__(self, width: int, frame_size: int) -> None:
        super().__init__()
        import timm  # heavy, and only this preset needs it

        self.normalise = Normalise()
        self.vit = timm.create_model(
            "vit_tiny_patch16_224", pretrained=False, patch_size=14, img_size=frame_size, num_classes=0
        )
        found: int = self.vit.num_features  # type: ignore[assignment]
        self.out = nn.Identity() if found == width else nn.Linear(found, width)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N, H, W, 3) of 0 ... 255 to features (N, width)."""
        return self.out(self.vit(self.normalise(frames)))

    def hot(self) -> list[tuple[nn.Module, str]]:
        """The methods that take most of its time: what there is to compile, block by block."""
        return [(block, "forward") for block in cast(nn.Sequential, self.vit.blocks)]


class Projector(Bypassed):
    """MLP width-hidden-width with BatchNorm; what it gives is the latent. (N, width) to (N, width).

    Places are linear in the features, and this MLP blurs them: a ``bypass`` hands them on as they are.
    """

    def __init__(self, width: int, hidden: int, *, bypass: bool = False) -> None:
        layers = (nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.GELU(), nn.Linear(hidden, width))
        super().__init__(*layers, bypass=(width, width) if bypass else None)

    @in_full_precision
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features)


def build_encoder(config: ModelConfig) -> KeypointEncoder | VitTinyEncoder:
    """The backbone that ``config`` names."""
    if config.encoder == "vit-tiny":
        return VitTinyEncoder(config.width, config.frame_size)
    return build_keypoints(config)


def build_keypoints(config: ModelConfig) -> KeypointEncoder:
    """The keypoint encoder in the sizes that ``config`` gives."""
    return KeypointEncoder(
        config.width, config.frame_size, config.encoder_channels, config.encoder_points, config.encoder_fine
    )


def _moments(maps: Tensor, line: Tensor) -> Tensor:
    """Maps (N, P, h, h) before the softmax to the moments of their key points (N, P * 5)."""
    heat = maps.flatten(2).softmax(dim=-1).unflatten(2, (len(line), len(line)))
    return heat_moments(heat, line).flatten(1)
