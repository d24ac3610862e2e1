"""The architecture of a Push-T model as a frozen record; it travels with the weights in ``config.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

MECHANISMS = ("none", "vq", "lowrank")


@dataclass(frozen=True)
class MechConfig:
    """Sizes of every part. One slot is the single-token JEPA, four are MechJEPA.

    Attributes:
        frame_size: height and width of a frame, px.
        slots: K, latent tokens of a frame. With two or more, slot 0 is bound to the agent and slot 1 to the block.
        width: D, numbers in a slot.
        points: attention maps of each slot.
        channels: of the backbone's two halvings.
        history: frames of context.
        frameskip: env steps in an action block.
        layers, heads, mlp_hidden, dropout: the predictor's transformer over time and slots.
        mechanism: how edges between slots are remembered: ``vq`` (a learned codebook), ``lowrank`` (a linear bottleneck
            of ``mechanism_width`` numbers, as the published code has it) or ``none``.
        codes: entries of the codebook.
        mechanism_width: numbers in a mechanism.
        head_hidden: hidden width of the state heads.
        unroll_hidden, unroll_layers: sizes of the step unroll; a width of 0 leaves it out, as published.
        unroll_waves: frequencies of its Fourier features, a multiple of 4.
        unroll_substeps: how often it is applied in an env step.
        prior_hidden, prior_layers: sizes of the action prior; a width of 0 leaves it out.
        prior_modes: plans in its mixture.
        prior_blocks: action blocks of a plan.
    """

    frame_size: int = 112
    slots: int = 4
    width: int = 128
    points: int = 8
    channels: tuple[int, int] = (16, 32)
    history: int = 3
    frameskip: int = 5
    layers: int = 3
    heads: int = 8
    mlp_hidden: int = 512
    dropout: float = 0.0
    mechanism: str = "vq"
    codes: int = 32
    mechanism_width: int = 16
    head_hidden: int = 128
    unroll_hidden: int = 128
    unroll_layers: int = 2
    unroll_waves: int = 32
    unroll_substeps: int = 2
    prior_hidden: int = 0
    prior_layers: int = 3
    prior_modes: int = 8
    prior_blocks: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # JSON and TOML give a list
        if self.mechanism not in MECHANISMS:
            raise ValueError(f"unknown mechanism {self.mechanism!r}; choose one of {', '.join(MECHANISMS)}")
        if self.mechanism != "none" and self.slots < 2:
            raise ValueError("a mechanism is remembered for pairs of slots: use at least 2 slots, or mechanism none")
        if self.width % self.heads:
            raise ValueError(f"the width must divide by the number of heads, got {self.width} and {self.heads}")
        if self.frame_size % 4:
            raise ValueError(f"the backbone halves twice: frame_size must divide by 4, got {self.frame_size}")
        if self.unroll_waves % 4:
            raise ValueError(f"unroll_waves must be a multiple of 4, got {self.unroll_waves}")
        for name in (
            "slots",
            "points",
            "history",
            "frameskip",
            "layers",
            "codes",
            "mechanism_width",
            "unroll_substeps",
            "prior_modes",
            "prior_blocks",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"channels": list(self.channels)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MechConfig:
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown model option {unknown[0]!r}; known: {', '.join(sorted(known))}")
        return cls(**values)
