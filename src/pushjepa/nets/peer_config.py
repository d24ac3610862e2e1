"""The architecture of the peer, stable-worldmodel's LeWM on our compact encoder, as a frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pushjepa.nets.mech_config import MechConfig
from pushjepa.physics.record import Record

_SIZES = ("width", "points", "history", "frameskip", "depth", "heads", "head_width", "mlp_hidden", "projector_hidden")


@dataclass(frozen=True)
class PeerConfig(Record):
    """Sizes of every part. The encoder's are those of a :class:`~pushjepa.nets.mech_config.MechConfig` with one slot.

    Attributes:
        frame_size: height and width of a frame, px.
        width: D, numbers in an embedding.
        points: attention maps of the encoder.
        channels: of its backbone's two halvings.
        history: frames of context.
        frameskip: env steps in an action block.
        depth, heads, head_width, mlp_hidden, dropout: of LeWM's predictor; published 6, 16, 64, 2048 and 0.1.
        projector_hidden: hidden width of the projectors after encoder and predictor; published 2048.

    Raises:
        ValueError: a size that makes no sense.
    """

    kind: ClassVar[str] = "model"

    frame_size: int = 112
    width: int = 192
    points: int = 32
    channels: tuple[int, int] = (16, 32)
    history: int = 3
    frameskip: int = 5
    depth: int = 3
    heads: int = 8
    head_width: int = 24
    mlp_hidden: int = 768
    dropout: float = 0.1
    projector_hidden: int = 768

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # JSON and TOML give a list
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout:g}")
        self.encoder()  # complains of what is wrong with the frames

    def encoder(self) -> MechConfig:
        """The encoder's sizes; what is said there of other parts means nothing here."""
        return MechConfig(
            frame_size=self.frame_size,
            slots=1,
            width=self.width,
            points=self.points,
            channels=self.channels,
            history=self.history,
            frameskip=self.frameskip,
            heads=1,
            mechanism="none",
            unroll_hidden=0,
        )
