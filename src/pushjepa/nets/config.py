"""The architecture of a world model as a frozen record; it travels with the weights in ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pushjepa.physics.record import Record

ENCODERS = ("keypoint", "vit-tiny")
PLACED_LAWS = 6  #: how many numbers an unroll that is told of laws has to be told: the sixth is the agents' force


@dataclass(frozen=True)
class ModelConfig(Record):
    """Sizes of every part. Unknown names are refused, so that a typo fails in the first second.

    Attributes:
        encoder: ``keypoint`` (small convolutional, spatial-softmax key points) or ``vit-tiny`` (timm, patch 14).
        encoder_channels: feature maps of the keypoint encoder after its first and its second convolution; as they are
            for ``vit-tiny``, which has none.
        encoder_points: key points that it gives; likewise.
        encoder_fine: key points that it gives besides, of its first convolution's finer maps; likewise, 0 for none.
        glimpse_hidden: hidden width of what reads a closer look at each body; 0 leaves that out.
        frame_size: height and width of a frame, px.
        width: D, numbers in a latent.
        projector_hidden: hidden width of the projector.
        history: frames of context.
        frameskip: env steps in an action block.
        agents: agents on the board.
        layers, heads, head_width, mlp_hidden, dropout: the predictor's transformer.
        action_encoder: ``mlp``, or ``linear`` as published.
        explicit_actor: whether it is told who acts, or has to guess from the zeros of who does not, as published. None
            for told where it is an ``mlp``, not told where it is ``linear``; afterwards it is one of the two.
        head_hidden: hidden width of the state head.
        bypass: whether linear ways lead round the projector and the state head, for what is linear already.
        unroll_hidden, unroll_layers: sizes of the step unroll; a width of 0 leaves it out, as published.
        unroll_waves: frequencies of the Fourier features of an agent's place at the block, a multiple of 6.
        unroll_feelers: points of the block that feel for walls and obstacles.
        unroll_still: px a substep, by which all pushes together change a body less than the unroll says: what nothing
            touches stays where it is. It is cut off in training too, but may be changed afterwards.
        anchor_steps: steps that a latent is moved towards what was imagined, or read at a closer look; in a trained
            model each leaves about a third of what the one before left. May be changed after training.
        laws: C, numbers that tell the unroll of the laws of physics; 0 for one that knows one world.
        visible: which of those a second look at a frame tells; none for a model without a second look.
    """

    kind: ClassVar[str] = "model"

    encoder: str = "keypoint"
    encoder_channels: tuple[int, int] = (16, 32)
    encoder_points: int = 32
    encoder_fine: int = 0
    glimpse_hidden: int = 0
    frame_size: int = 112
    width: int = 192
    projector_hidden: int = 2048
    history: int = 3
    frameskip: int = 5
    agents: int = 2
    layers: int = 4
    heads: int = 8
    head_width: int = 64
    mlp_hidden: int = 1024
    dropout: float = 0.0
    action_encoder: str = "mlp"
    explicit_actor: bool | None = None
    head_hidden: int = 256
    bypass: bool = False
    unroll_hidden: int = 0
    unroll_layers: int = 2
    unroll_waves: int = 30
    unroll_feelers: int = 24
    unroll_still: float = 0.03
    anchor_steps: int = 2
    laws: int = 0
    visible: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("visible", "encoder_channels"):  # JSON and TOML give a list
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.explicit_actor is None:
            object.__setattr__(self, "explicit_actor", self.action_encoder == "mlp")
        if self.encoder not in ENCODERS:
            raise ValueError(f"unknown encoder {self.encoder!r}; choose one of {', '.join(ENCODERS)}")
        if self.action_encoder not in ("mlp", "linear"):
            raise ValueError(f"unknown action_encoder {self.action_encoder!r}; choose mlp or linear")
        self._check_unroll()
        if self.laws < 0 or (self.laws and not self.unroll_hidden):
            raise ValueError(f"laws are told to the unroll: {self.laws} of them, unroll_hidden {self.unroll_hidden}")
        if 0 < self.laws < PLACED_LAWS:
            raise ValueError(f"an unroll that is told of laws has a place for {PLACED_LAWS} at least, got {self.laws}")
        check_visible(self.visible, self.laws)
        if self.visible and self.encoder != "keypoint":
            raise ValueError("a second look is for the keypoint encoder: visible must be empty")
        self._check_encoder()

    def _check_unroll(self) -> None:
        if self.unroll_hidden and (self.agents != 2 or not self.explicit_actor):
            raise ValueError("the step unroll needs two agents and the explicit actor")
        if self.unroll_waves < 6 or self.unroll_waves % 6:
            raise ValueError(f"unroll_waves must be a positive multiple of 6, got {self.unroll_waves}")
        if self.unroll_feelers < 1:
            raise ValueError(f"unroll_feelers must be at least 1, got {self.unroll_feelers}")
        if self.unroll_still < 0 or self.anchor_steps < 1:
            raise ValueError(
                "unroll_still must not be negative and anchor_steps at least 1, got "
                f"{self.unroll_still:g} and {self.anchor_steps}"
            )
        if self.glimpse_hidden < 0 or (self.glimpse_hidden and not self.unroll_hidden):
            raise ValueError(
                "glimpses are written into a latent as what an unroll imagines is: "
                f"glimpse_hidden {self.glimpse_hidden}, unroll_hidden {self.unroll_hidden}"
            )

    def _check_encoder(self) -> None:
        if len(self.encoder_channels) != 2 or min(*self.encoder_channels, self.encoder_points) < 1:
            raise ValueError(
                "encoder_channels are two numbers of at least 1, and so is encoder_points; "
                f"got {list(self.encoder_channels)} and {self.encoder_points}"
            )
        if self.encoder_fine < 0:
            raise ValueError(f"encoder_fine must not be negative, got {self.encoder_fine}")
        if self.encoder == "vit-tiny":
            for name in ("encoder_channels", "encoder_points", "encoder_fine"):
                if getattr(self, name) != getattr(ModelConfig, name):
                    raise ValueError(f"{name} is for the keypoint encoder, not for vit-tiny")
        if self.encoder == "vit-tiny" and self.frame_size % 14:
            raise ValueError(f"vit-tiny has patches of 14 px: frame_size must be a multiple, got {self.frame_size}")
        if self.encoder == "keypoint" and self.frame_size % 4:
            raise ValueError(f"the keypoint encoder halves twice: frame_size must divide by 4, got {self.frame_size}")


def check_visible(visible: tuple[int, ...], laws: int) -> None:
    """Refuse a second look that would tell of numbers that there are not.

    Raises:
        ValueError: a number twice, or one beyond those of the laws.
    """
    if len(set(visible)) < len(visible) or any(not 0 <= index < laws for index in visible):
        raise ValueError(f"visible names some of the {laws} numbers of the laws, each once, got {list(visible)}")
