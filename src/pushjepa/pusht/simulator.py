"""Push-T's law of motion by itself: the bodies and the controller of ``swm/PushT-v1``, without its drawing.

stable-worldmodel's environment takes seconds to import and draws, checks and reports in every step. Planning on the
true simulator needs none of that and a thousand times as many steps, so the same bodies are built here in pymunk. A
test holds both against each other, number for number. The laws are a record, :class:`PushTPhysics`; under other laws
than the environment's own it is ``pushjepa/PushT-v1`` (:mod:`pushjepa.pusht.shifted`) that this is held against.

A state is seven numbers: agent xy, block xy (the origin of its shape, for the tee the middle of the bar's outer edge,
not the centre of gravity), block angle, agent velocity xy; px, radians, px/s. The agent is kinematic: it goes where its
controller sends it and nothing stops it. With damping 0 the block stops by itself at once, and but for the last push
these seven numbers are the whole state. A block that glides has a velocity too, which is no part of a state: see
:meth:`Simulator.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pymunk
from numpy.typing import NDArray

from pushjepa.physics.laws import Laws

Array = NDArray[np.float64]

BOARD = 512.0  #: px
STATE_SIZE = 7
SUBSTEPS = 10  #: of physics in an env step of 0.1 s
DT = 0.01  #: s
REACH = 100.0  #: px from the agent at which an action of 1.0 puts the controller's target, when the agent's gain is 1
STIFFNESS, DAMPING = 100.0, 20.0  #: of the agent's controller
_WALL_LOW, _WALL_HIGH, _WALL_RADIUS = 5, 506, 2

#: The environment's own shapes of block: rectangles (left, top, right, bottom) about the body's origin, block scales.
_RECTANGLES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "tee": ((-2.0, 0.0, 2.0, 1.0), (-0.5, 1.0, 0.5, 4.0)),
    "small_tee": ((-1.5, 0.0, 1.5, 1.0), (-0.5, 1.0, 0.5, 2.0)),
    "ell": ((0.0, 0.0, 1.0, 2.0), (0.0, -1.0, 2.0, 0.0)),
    "zed": ((0.0, 0.0, 2.0, 1.0), (-1.0, -1.0, 1.0, 0.0)),
    "plus": ((-1.5, -0.5, 1.5, 0.5), (-0.5, 0.5, 0.5, 1.5), (-0.5, -1.5, 0.5, -0.5)),
    "bar": ((-0.5, -2.0, 0.5, 2.0),),
    "square": ((-1.0, -1.0, 1.0, 1.0),),
}
BLOCK_SHAPES = tuple(_RECTANGLES)
_FIRST_COUNTS_FOR_ALL = ("tee", "plus")  # of these the environment takes the first part's moment for every part

_LIMITS = {
    "block_scale": (10.0, 60.0),
    "agent_radius": (5.0, 40.0),
    "friction": (0.0, 2.0),
    "centre_of_gravity": (-60.0, 60.0),
    "damping": (0.0, 1.0),
    "agent_gain": (0.1, 4.0),
}


@dataclass(frozen=True)
class PushTPhysics(Laws):
    """The laws; by default as ``swm/PushT-v1`` has them in stable-worldmodel 0.1.1.

    The block's mass is not among them: all that the block ever meets is a kinematic agent and fixed walls, which yield
    to no mass, and its moment of inertia goes with its mass, so that it moves alike whatever it weighs.

    Attributes:
        block_scale: px, the width of the tee's bars; their length is four of these. Other shapes go by it likewise.
        agent_radius: px.
        block_shape: one of ``BLOCK_SHAPES``.
        friction: Coulomb friction between the block and both the agent and the walls. The environment has none: the
            friction that it sets stands on bodies, where pymunk does not look for it.
        centre_of_gravity: px from where the shape has it, along the tee's stem and away from the bar (for any shape,
            along its own y axis). The moment of inertia stays, as it does under the environment's ``block_cog``.
        damping: share of the block's velocity left after one second; at 0 it stops at once, towards 1 it glides on.
        agent_gain: how far an action sends the controller's target, in multiples of ``REACH``.

    Raises:
        ValueError: a value outside its range, with the range.
    """

    limits: ClassVar[Mapping[str, tuple[float, float]]] = _LIMITS
    shapes: ClassVar[tuple[str, ...]] = BLOCK_SHAPES

    block_scale: float = 30.0
    agent_radius: float = 15.0
    block_shape: str = "tee"
    friction: float = 0.0
    centre_of_gravity: float = 0.0
    damping: float = 0.0
    agent_gain: float = 1.0


def tell_laws(physics: PushTPhysics) -> NDArray[np.float32]:
    """Numbers (C,) that tell a model of the laws, mostly within -1 ... 1, and all 0 under the standard ones.

    In this order: log(gain); 2 log(block's scale / standard scale); 2 log(agent's radius / standard radius); friction;
    centre of gravity / 40 px; damping / 0.1; and for each shape but the standard one a number that is 1 if it is this.
    """
    standard = PushTPhysics()
    return np.array(
        [
            np.log(physics.agent_gain),
            2.0 * np.log(physics.block_scale / standard.block_scale),
            2.0 * np.log(physics.agent_radius / standard.agent_radius),
            physics.friction,
            physics.centre_of_gravity / 40.0,
            physics.damping / 0.1,
            *(float(physics.block_shape == shape) for shape in BLOCK_SHAPES if shape != standard.block_shape),
        ],
        dtype=np.float32,
    )


LAWS = len(tell_laws(PushTPhysics()))  #: C, how many numbers :func:`tell_laws` gives
VISIBLE = (1, *range(6, LAWS))  #: which of them a second look can tell of a frame: the block's scale and its shape
TURNED_ALIKE = ("zed", "plus", "bar", "square")  #: shapes that look the same when turned: no frame tells their angle


class Simulator:
    """Push-T without pictures.

    Args:
        physics: the laws; those of the environment if None.
    """

    def __init__(self, physics: PushTPhysics | None = None) -> None:
        self.physics = physics or PushTPhysics()

    def reset(self, state: Array) -> Array:
        """The state (7,) that the environment is in after it was set to ``state`` (7,): it runs one substep then."""
        space, agent, block = self._begin(state)
        space.step(DT)
        return _read(agent, block)

    def run(self, state: Array, actions: NDArray[np.floating], *, settle: bool = False) -> Array:
        """Play env steps from a state.

        The block begins at rest. Within a run it keeps its velocity from step to step, as in the environment, but the
        states tell nothing of it: a run that begins from a state of another run begins with a block that has stopped.
        At damping 0 that loses the substep in which the last push still acts: 0.2 px for every step played by itself,
        averaged over wild pushes, and at worst 5 px. A block that glides is stopped in earnest. Who plays step by step
        from states, as the expert does, therefore plays without gliding.

        Args:
            state: (7,) to begin with.
            actions: (T, 2) in [-1, 1]. The environment computes in the precision of the actions that it is given; this
                is what it does with float64. With float32 it strays by 1e-4 px a step, and by more after contact.
            settle: run one substep before the first action, as the environment does when it is set to a state.

        Returns:
            (T, 7) the states after each step.
        """
        space, agent, block = self._begin(state)
        if settle:
            space.step(DT)
        out = np.empty((len(actions), STATE_SIZE))
        for index, (dx, dy) in enumerate(self._offsets(actions)):
            _step(space, agent, dx, dy)
            out[index] = _read(agent, block)
        return out

    def contacts(self, state: Array, actions: NDArray[np.floating]) -> NDArray[np.bool_]:
        """What the block touches while actions (T, 2) are played from a state (7,).

        Returns:
            (T, 2) whether, in any substep of each step, it touches the agent, and whether it touches a wall.
        """
        space, agent, block = self._begin(state)
        touched = np.zeros((len(actions), 2), dtype=bool)

        others: set[pymunk.Body | None] = set()

        def note(arbiter: pymunk.Arbiter) -> None:
            others.update(shape.body for shape in arbiter.shapes)

        for index, (dx, dy) in enumerate(self._offsets(actions)):
            others.clear()
            _step(space, agent, dx, dy, lambda: block.each_arbiter(note))
            touched[index] = agent in others, space.static_body in others
        return touched

    def _begin(self, state: Array) -> tuple[pymunk.Space, pymunk.Body, pymunk.Body]:
        """A fresh space: contacts remembered from another state would push along."""
        space, agent, block = build_space(self.physics)
        place_bodies(space, agent, block, state)
        return space, agent, block

    def _offsets(self, actions: NDArray[np.floating]) -> list[list[float]]:
        """How far each of actions (T, 2) puts the controller's target from the agent, px."""
        offsets: list[list[float]] = (np.asarray(actions, dtype=np.float64) * reach(self.physics)).tolist()
        return offsets


def reach(physics: PushTPhysics) -> float:
    """Px from the agent at which an action of 1.0 puts the controller's target."""
    return REACH * physics.agent_gain


def block_parts(physics: PushTPhysics) -> tuple[Array, ...]:
    """Corners (4, 2) of each convex part of the block, about its body's origin with the angle at zero, px."""
    return tuple(
        np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) * physics.block_scale
        for left, top, right, bottom in _RECTANGLES[physics.block_shape]
    )


def build_space(physics: PushTPhysics) -> tuple[pymunk.Space, pymunk.Body, pymunk.Body]:
    """A fresh space under some laws, with its agent and its block, in the order in which the environment adds them."""
    space = pymunk.Space()
    space.gravity = 0, 0
    space.damping = physics.damping
    low, high = _WALL_LOW, _WALL_HIGH
    for a, b in (
        ((low, high), (low, low)),
        ((low, low), (high, low)),
        ((high, low), (high, high)),
        ((low, high), (high, high)),
    ):
        wall = pymunk.Segment(space.static_body, a, b, _WALL_RADIUS)
        wall.friction = 1.0  # pymunk multiplies it with the block's
        space.add(wall)
    agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
    disc = pymunk.Circle(agent, physics.agent_radius)
    disc.friction = 1.0
    space.add(agent, disc)
    return space, agent, _add_block(space, physics)


def place_bodies(space: pymunk.Space, agent: pymunk.Body, block: pymunk.Body, state: Array) -> None:
    """Put the bodies of a space where a state (7,) has them."""
    x, y, block_x, block_y, angle, vx, vy = np.asarray(state, dtype=np.float64).tolist()
    agent.velocity = vx, vy
    agent.position = x, y
    block.angle = angle
    block.position = block_x, block_y
    space.reindex_shapes_for_body(block)


def _add_block(space: pymunk.Space, physics: PushTPhysics) -> pymunk.Body:
    """The environment's body of the block: its moment is about the body's origin, each part of mass 1."""
    corners = [part.tolist() for part in block_parts(physics)]
    weighed = corners[:1] * len(corners) if physics.block_shape in _FIRST_COUNTS_FOR_ALL else corners
    body = pymunk.Body(1, sum(pymunk.moment_for_poly(1, vertices=part) for part in weighed))
    parts = [pymunk.Poly(body, part) for part in corners]
    for part in parts:
        part.friction = physics.friction
    middle = sum((part.center_of_gravity for part in parts), pymunk.Vec2d.zero()) / len(parts)
    body.center_of_gravity = middle.x, middle.y + physics.centre_of_gravity
    space.add(body, *parts)
    return body


def _step(
    space: pymunk.Space, agent: pymunk.Body, dx: float, dy: float, look: Callable[[], None] | None = None
) -> None:
    """One env step with the controller's target ``dx, dy`` px from where the agent is; ``look`` after each substep."""
    x, y = agent.position
    vx, vy = agent.velocity
    target_x, target_y = x + dx, y + dy
    for _ in range(SUBSTEPS):
        vx += (STIFFNESS * (target_x - x) + DAMPING * (0.0 - vx)) * DT
        vy += (STIFFNESS * (target_y - y) + DAMPING * (0.0 - vy)) * DT
        agent.velocity = vx, vy
        space.step(DT)
        if look is not None:
            look()
        x, y = agent.position


def _read(agent: pymunk.Body, block: pymunk.Body) -> Array:
    return np.array([*agent.position, *block.position, block.angle % (2 * np.pi), *agent.velocity])
