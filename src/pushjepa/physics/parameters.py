"""The laws of one board as a frozen record."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from pushjepa.physics import constants as c
from pushjepa.physics.geometry import BLOCK_SHAPES

_LIMITS = {
    "block_scale": (0.5, 1.6),
    "block_mass": (0.1, 20.0),
    "block_friction": (0.0, 2.0),
    "damping": (0.0, 1.0),
    "agent_speed": (50.0, 600.0),
    "agent_force": (1_000.0, 20_000.0),
}


@dataclass(frozen=True)
class Physics:
    """What may change about the world. Part of the reset options, of every stored match and of every episode.

    Attributes:
        block_scale: size of the block, 1.0 is a bar of 96 x 24 px.
        block_mass: mass of the block; an agent weighs 1.
        block_friction: Coulomb friction of the block's faces (pymunk multiplies it with the other body's).
        block_shape: one of ``BLOCK_SHAPES``.
        damping: share of the velocity left after one second; towards 1.0 the floor turns to ice.
        agent_speed: px/s that an action of 1.0 commands, per component.
        agent_force: the largest force an agent can use, mass * px/s^2.

    Raises:
        ValueError: a value outside its range, with the range.
    """

    block_scale: float = 1.0
    block_mass: float = c.BLOCK_MASS
    block_friction: float = c.BLOCK_FRICTION
    block_shape: str = "tee"
    damping: float = c.DAMPING
    agent_speed: float = c.AGENT_SPEED
    agent_force: float = c.AGENT_FORCE

    def __post_init__(self) -> None:
        if self.block_shape not in BLOCK_SHAPES:
            raise ValueError(f"unknown block_shape {self.block_shape!r}; choose one of {', '.join(BLOCK_SHAPES)}")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"physics {name} must be a finite number, got {value!r}")
            if not low <= value <= high:
                raise ValueError(f"physics {name} must lie in [{low:g}, {high:g}], got {value:g}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Physics:
        """Read a record back; an unknown name is an error, a missing one takes its default."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown physics option {unknown[0]!r}; known: {', '.join(sorted(known))}")
        return cls(**values)
