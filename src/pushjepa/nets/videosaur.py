"""VideoSAUR: the slots of a video from frozen DINOv2 features, matched from frame to frame, and its published weights.

Zadaianchuk et al., 2023 (VideoSAUR); Locatello et al., 2020 (slot attention); Oquab et al., 2023 (DINOv2). C-JEPA
(Nam et al., 2026) and MechJEPA build on four such slots of 128 numbers.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

LAYOUTS = ("transformers", "timm")
INITIALISERS = ("random", "learned")
_EPS = 1e-8

#: Where our parts stand in a published checkpoint. Those of the backbone depend on its layout.
_PARTS = {
    "start.": "initializer.",
    "project.": "encoder.module.output_transform.layers.",
    "corrector.": "processor.module.corrector.",
    "predictor.": "processor.module.predictor.blocks.",
}
_BACKBONE = {"timm": "encoder.module.backbone.model.", "transformers": "encoder.module.backbone."}
#: timm's names and those of transformers, each for a piece of a name.
_TRANSFORMERS_NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "blocks.": "encoder.layer.",
    ".attn.proj.": ".attention.output.dense.",
    ".ls1.gamma": ".layer_scale1.lambda1",
    ".ls2.gamma": ".layer_scale2.lambda1",
}
#: What only training needs: the decoder, losses and their targets, metrics, and the token that DINOv2 hid patches with.
_TRAINING_ONLY = (
    "decoder.",
    "target_encoder.",
    "loss_fns.",
    "train_metrics.",
    "val_metrics.",
    "encoder.module.backbone.embeddings.mask_token",
)


@dataclass(frozen=True)
class VideoSaurConfig:
    """Sizes of every part; the defaults are those of C-JEPA's Push-T checkpoint.

    A checkpoint says nothing of ``heads``, the iterations, or the number of slots of a random initialiser.

    Attributes:
        layout: whose DINOv2 the checkpoint holds: ``transformers`` (C-JEPA's; its features have gone through the last
            layer norm) or ``timm`` (VideoSAUR's own; they have not, and the norm is missing).
        initialiser: where slots start in a first frame: ``random`` (drawn about a learned mean) or ``learned``.
        frame_size: height and width that frames are brought to, px.
        patch: height and width of a patch, px.
        depth, features, heads: the backbone's layers, width and attention heads.
        position_grid: patches to a side that the checkpoint's position embeddings were made for; others than
            ``frame_size / patch`` are interpolated.
        hidden: hidden width of the MLP on the features.
        slots: K.
        width: D, numbers in a slot.
        first_iterations, iterations: of slot attention in the first frame and in each later one.
        predictor_blocks, predictor_heads: the transformer that carries slots to the next frame.
    """

    layout: str = "transformers"
    initialiser: str = "random"
    frame_size: int = 196
    patch: int = 14
    depth: int = 12
    features: int = 384
    heads: int = 6
    position_grid: int = 37
    hidden: int = 768
    slots: int = 4
    width: int = 128
    first_iterations: int = 3
    iterations: int = 2
    predictor_blocks: int = 1
    predictor_heads: int = 4

    def __post_init__(self) -> None:
        for name, known in (("layout", LAYOUTS), ("initialiser", INITIALISERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(known)}")
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for whole, part in (("frame_size", "patch"), ("features", "heads"), ("width", "predictor_heads")):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(f"{whole} must divide by {part}, got {getattr(self, whole)} and {getattr(self, part)}")


class VideoSaurEncoder(nn.Module):
    """Frames to slots, with what is carried from frame to frame in the caller's hands.

    A frame's patch features compete for slots by attention, which starts from the slots of the frame before after one
    transformer block; so slot k stays with what it holds. The slots of a frame depend on it and on earlier ones only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: VideoSaurConfig) -> None:
        super().__init__()
        self.config = c = config
        self.backbone = _backbone(c)
        self.project = nn.Sequential(
            nn.LayerNorm(c.features), nn.Linear(c.features, c.hidden), nn.ReLU(), nn.Linear(c.hidden, c.width)
        )
        self.start = RandomStart(c.width) if c.initialiser == "random" else LearnedStart(c.slots, c.width)
        self.corrector = SlotAttention(c.width)
        self.predictor = nn.Sequential(*(PredictorBlock(c.width, c.predictor_heads) for _ in range(c.predictor_blocks)))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)  # ImageNet's
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def encode(self, frames: Tensor, generator: Generator | None = None, previous: Tensor | None = None) -> Tensor:
        """Slots (B, T, K, D) of videos (B, T, H, W, 3) uint8: :meth:`step` frame by frame.

        Args:
            frames: of any size; see :meth:`features`.
            generator: of the draw that a first frame's slots start from; it lives on the CPU.
            previous: (B, K, D) slots of the frame before the first of these, to go on with a video.

        Raises:
            ValueError: neither ``generator`` nor ``previous``, or frames that are not uint8 RGB.
        """
        if frames.ndim != 5:
            raise ValueError(f"videos must be (B, T, H, W, 3), got {tuple(frames.shape)}")
        features = self.features(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        out = []
        for seen in features.unbind(dim=1):
            previous = self._correct(seen, generator, previous)
            out.append(previous)
        return torch.stack(out, dim=1)

    def step(self, frames: Tensor, generator: Generator | None = None, previous: Tensor | None = None) -> Tensor:
        """Slots (B, K, D) of one frame (B, H, W, 3) uint8 of every video, as :meth:`encode` gives them.

        Without ``previous`` slots (B, K, D) it is a first frame, whose slots are drawn from ``generator``.
        """
        return self._correct(self.features(frames), generator, previous)

    def features(self, frames: Tensor) -> Tensor:
        """Patch features (N, P, D) of frames (N, H, W, 3) uint8.

        Frames of another size are made ``frame_size`` pixels high and wide, as C-JEPA does it (bilinear, antialiased).

        Raises:
            ValueError: frames that are not uint8 RGB.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
            raise ValueError(f"frames must be (N, H, W, 3) uint8, got {tuple(frames.shape)} {frames.dtype}")
        size, images = self.config.frame_size, frames.permute(0, 3, 1, 2).float() / 255.0
        if images.shape[-2:] != (size, size):
            images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        tokens: Tensor = self.backbone.forward_features((images - self.mean) / self.std)
        features: Tensor = self.project(tokens[:, 1:])  # without the class token
        return features

    def _correct(self, features: Tensor, generator: Generator | None, previous: Tensor | None) -> Tensor:
        """The slots (B, K, D) of a frame's features (B, P, D)."""
        c = self.config
        if previous is not None:
            start, iterations = self.predictor(previous), c.iterations
        elif generator is not None:
            start, iterations = self.start(len(features), c.slots, generator), c.first_iterations
        else:
            raise ValueError("the slots of a first frame are drawn: pass a generator, or the previous slots")
        slots: Tensor = self.corrector(start, features, iterations)
        return slots


class RandomStart(nn.Module):
    """Starting slots drawn from one normal distribution; at its mean they would all stay one and the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1, 1, width))
        self.log_std = nn.Parameter(torch.full((1, 1, width), width**-0.5).log())

    def forward(self, count: int, slots: int, generator: Generator) -> Tensor:
        """Slots (count, slots, D)."""
        noise = torch.randn(count, slots, self.mean.shape[-1], generator=generator).to(self.mean)
        return self.mean + noise * self.log_std.exp()


class LearnedStart(nn.Module):
    """The same starting slots for every video, each of its own."""

    def __init__(self, slots: int, width: int) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(1, slots, width) * width**-0.5)

    def forward(self, count: int, slots: int, generator: Generator) -> Tensor:
        """Slots (count, K, D); nothing is drawn."""
        return self.slots.expand(count, -1, -1)


class SlotAttention(nn.Module):
    """Patch features compete for slots (Locatello et al., 2020), without the MLP after the update."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_features, self.norm_slots = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.gru = nn.GRUCell(width, width)

    def forward(self, slots: Tensor, features: Tensor, iterations: int) -> Tensor:
        """Slots (B, K, D) to slots (B, K, D) for features (B, P, D)."""
        features = self.norm_features(features)
        keys, values = self.to_k(features), self.to_v(features)
        for _ in range(iterations):
            slots = self.norm_slots(slots)
            logits = self.to_q(slots) @ keys.mT * slots.shape[-1] ** -0.5  # (B, K, P)
            shares = logits.softmax(dim=1) + _EPS  # of every patch among the slots
            updates = shares / shares.sum(dim=-1, keepdim=True) @ values
            # The published code hands the GRU the normalised slots, not those before the norm.
            slots = self.gru(updates.flatten(0, 1), slots.flatten(0, 1)).unflatten(0, slots.shape[:2])
        return slots


class PredictorBlock(nn.Module):
    """One transformer block over the slots of a frame, norms first; it knows no order of slots."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn = PredictorAttention(width, heads)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, slots: Tensor) -> Tensor:
        """Slots (B, K, D) to slots (B, K, D)."""
        slots = slots + self.self_attn(self.norm1(slots))
        hidden = self.linear1(self.norm2(slots)).relu()
        return slots + self.linear2(hidden)


class PredictorAttention(nn.Module):
    """Attention among slots at the temperature that the published weights were trained at."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, slots: Tensor) -> Tensor:
        """Slots (B, K, D) to slots (B, K, D)."""
        # (B, K, 3 D) -> three of (B, heads, K, D / heads)
        q, k, v = self.qkv(slots).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # The published code divides by head_dim ** -0.5 where others multiply: logits grow with the width.
        found = F.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** 0.5)
        out: Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return out


def load_videosaur(path: Path, config: VideoSaurConfig | None = None) -> VideoSaurEncoder:
    """An encoder with published weights, frozen, in evaluation.

    Args:
        path: a Lightning checkpoint, of which the ``state_dict`` is read and nothing run, or that as ``.safetensors``.
        config: the architecture; None is that of C-JEPA's Push-T checkpoint.

    Raises:
        ValueError: no such file, no checkpoint, or weights that are missing, left over or of another shape.
    """
    model = VideoSaurEncoder(config or VideoSaurConfig())
    found = {name: value for name, value in _read(path).items() if not name.startswith(_TRAINING_ONLY)}
    ours = model.state_dict()
    wanted = published_layout(model)
    for name in wanted:
        if name not in found:
            raise ValueError(
                f"{path} lacks {name}: it is no VideoSAUR of this architecture ({_describe(model.config)})"
            )
    for name, value in found.items():
        if name not in wanted:
            raise ValueError(f"{path} holds {name}, which VideoSAUR of this architecture does not have")
        if tuple(value.shape) != wanted[name]:
            raise ValueError(f"{path} has {name} of shape {tuple(value.shape)}; this architecture has {wanted[name]}")
    taken = {name: torch.cat([found[n].float() for n in _published_names(name, model.config)]) for name in ours}
    taken["backbone.pos_embed"] = _resample(taken["backbone.pos_embed"], model.config.frame_size // model.config.patch)
    model.load_state_dict(taken)
    return model.eval().requires_grad_(False)


def published_layout(model: VideoSaurEncoder) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a published checkpoint holds for a model, beside what only training needs."""
    c, layout = model.config, {}
    for name, value in model.state_dict().items():
        names = _published_names(name, c)
        shape = tuple(value.shape)
        if name == "backbone.pos_embed" and c.layout == "transformers":
            shape = (1, 1 + c.position_grid**2, c.features)
        layout.update(dict.fromkeys(names, (shape[0] // len(names), *shape[1:])))
    return layout


def _published_names(name: str, config: VideoSaurConfig) -> tuple[str, ...]:
    """What a tensor of ours is called in a checkpoint; several that are laid end to end where it keeps them apart."""
    for part, prefix in _PARTS.items():
        if name.startswith(part):
            return (prefix + name.removeprefix(part),)
    rest, prefix = name.removeprefix("backbone."), _BACKBONE[config.layout]
    if config.layout == "timm":
        return (prefix + rest,)
    if rest.startswith("norm."):
        return (prefix + "layer" + rest,)
    for theirs, other in _TRANSFORMERS_NAMES.items():
        rest = rest.replace(theirs, other)
    if ".attn.qkv." in rest:
        return tuple(
            prefix + rest.replace(".attn.qkv.", f".attention.attention.{n}.") for n in ("query", "key", "value")
        )
    return (prefix + rest,)


def _backbone(config: VideoSaurConfig) -> Any:
    """DINOv2's ViT from timm, without weights."""
    import timm

    net = timm.create_model(
        "vit_small_patch14_dinov2",
        pretrained=False,
        img_size=config.frame_size,
        patch_size=config.patch,
        embed_dim=config.features,
        depth=config.depth,
        num_heads=config.heads,
    )
    if config.layout == "timm":
        net.norm = nn.Identity()
    return net


def _resample(positions: Tensor, side: int) -> Tensor:
    """Position embeddings (1, 1 + g * g, C), the class token's first, for a grid of ``side`` patches, as transformers.

    (timm would smooth them on the way down, and the features would not be those that the slots were trained on.)
    """
    old = round((positions.shape[1] - 1) ** 0.5)
    if old == side:
        return positions
    grid = positions[:, 1:].unflatten(1, (old, old)).permute(0, 3, 1, 2)  # (1, C, g, g)
    grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], grid.flatten(2).mT], dim=1)


def _describe(config: VideoSaurConfig) -> str:
    return f"layout {config.layout}, {config.initialiser} initialiser, {config.depth} layers"


def _read(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a checkpoint; nothing but tensors and plain values is unpickled."""
    if not path.is_file():
        raise ValueError(f"no such file {path}; VideoSAUR's weights are a .ckpt or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise ValueError(f"{path} cannot be read as plain tensors: {reason}") from None
    state = held.get("state_dict") if isinstance(held, dict) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} is no Lightning checkpoint: it has no state_dict of tensors")
    return state
