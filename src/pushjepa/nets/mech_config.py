"""The architecture of a Push-T model as a frozen record; it travels with the weights in ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pushjepa.nets.config import check_visible
from pushjepa.physics.record import Record

MECHANISMS = ("none", "vq", "lowrank")


@dataclass(frozen=True)
class MechConfig(Record):
    """Sizes of every part. One slot is the single-token JEPA, four are MechJEPA.

    Attributes:
        frame_size: height and width of a frame, px.
        slots: K, latent tokens of a frame. With two or more, slot 0 is bound to the agent and slot 1 to the block.
        bound: slots that the state heads bind to something: 2 (agent and block), or 4 (its bar and its stem too).
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
        laws: C, numbers that tell the unroll of the laws of physics; 0 for one that knows one world.
        visible: which of those a second look at a frame tells; none for a model without a second look.
        prior_hidden, prior_layers: sizes of the action prior; a width of 0 leaves it out.
        prior_modes: plans in its mixture.
        prior_blocks: action blocks of a plan.
    """

    kind: ClassVar[str] = "model"

    frame_size: int = 112
    slots: int = 4
    bound: int = 2
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
    laws: int = 0
    visible: tuple[int, ...] = ()
    prior_hidden: int = 0
    prior_layers: int = 3
    prior_modes: int = 8
    prior_blocks: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # JSON and TOML give a list
        object.__setattr__(self, "visible", tuple(self.visible))
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
        self._check_additions()
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

    def _check_additions(self) -> None:
        if self.bound not in (2, 4) or (self.bound == 4 and self.slots < 4):
            raise ValueError(f"bound must be 2, or 4 with at least 4 slots, got {self.bound} with {self.slots} slots")
        if self.laws and not self.unroll_hidden:
            raise ValueError("laws are told to the unroll, and unroll_hidden is 0")
        if self.laws < 0:
            raise ValueError(f"laws must not be negative, got {self.laws}")
        check_visible(self.visible, self.laws)
