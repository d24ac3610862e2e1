"""The laws of one board as a frozen record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

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


def tell_laws(physics: Physics) -> NDArray[np.float32]:
    """Numbers (C,) that tell a model of the laws, mostly within -1 ... 1, and all 0 under the standard ones.

    In this order: log(agent's speed / standard); 2 log(block's scale); log(block's mass) / 2; friction - standard;
    three times the share of a speed that a step of 0.1 s leaves, less the standard one; log(agent's force / standard);
    and for each shape but the tee a number that is 1 if it is this.
    """
    standard = Physics()
    kept = physics.damping**c.STEP_SECONDS - standard.damping**c.STEP_SECONDS
    return np.array(
        [
            np.log(physics.agent_speed / standard.agent_speed),
            2.0 * np.log(physics.block_scale),
            0.5 * np.log(physics.block_mass / standard.block_mass),
            physics.block_friction - standard.block_friction,
            3.0 * kept,
            np.log(physics.agent_force / standard.agent_force),
            *(float(physics.block_shape == shape) for shape in BLOCK_SHAPES if shape != standard.block_shape),
        ],
        dtype=np.float32,
    )


LAWS = len(tell_laws(Physics()))  #: C, how many numbers :func:`tell_laws` gives
VISIBLE = (1, *range(6, LAWS))  #: which of them a frame shows: the block's scale and its shape


def guess_laws(told: NDArray[np.floating]) -> Physics:
    """The laws that numbers (C,) would tell of, each brought within its limits; the inverse of :func:`tell_laws`.

    Of shapes the likeliest is taken.
    """
    standard = Physics()
    kept = max(0.0, standard.damping**c.STEP_SECONDS + float(told[4]) / 3.0)
    values = {
        "agent_speed": standard.agent_speed * math.exp(float(told[0])),
        "block_scale": math.exp(0.5 * float(told[1])),
        "block_mass": standard.block_mass * math.exp(2.0 * float(told[2])),
        "block_friction": standard.block_friction + float(told[3]),
        "damping": kept ** (1.0 / c.STEP_SECONDS),
        "agent_force": standard.agent_force * math.exp(float(told[5])),
    }
    others = [shape for shape in BLOCK_SHAPES if shape != standard.block_shape]
    likely = int(np.argmax(told[6:]))
    shape = others[likely] if told[6 + likely] > 0.5 else standard.block_shape
    return Physics(block_shape=shape, **{name: _within(value, *LIMITS[name]) for name, value in values.items()})


def _within(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
