"""The laws of one board as a frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pushjepa.physics import constants as c
from pushjepa.physics.geometry import BLOCK_SHAPES
from pushjepa.physics.laws import Laws

LIMITS = {  #: least and largest value of each law
    "block_scale": (0.5, 1.6),
    "block_mass": (0.1, 20.0),
    "block_friction": (0.0, 2.0),
    "damping": (0.0, 1.0),
    "agent_speed": (50.0, 600.0),
    "agent_force": (1_000.0, 20_000.0),
}


@dataclass(frozen=True)
class Physics(Laws):
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

    limits: ClassVar[Mapping[str, tuple[float, float]]] = LIMITS
    shapes: ClassVar[tuple[str, ...]] = BLOCK_SHAPES

    block_scale: float = 1.0
    block_mass: float = c.BLOCK_MASS
    block_friction: float = c.BLOCK_FRICTION
    block_shape: str = "tee"
    damping: float = c.DAMPING
    agent_speed: float = c.AGENT_SPEED
    agent_force: float = c.AGENT_FORCE
