"""Push-T's law of motion by itself: the bodies and the controller of ``swm/PushT-v1``, without its drawing.

stable-worldmodel's environment takes seconds to import and draws, checks and reports in every step. Planning on the
true simulator needs none of that and a thousand times as many steps, so the same bodies are built here in pymunk. A
test holds both against each other, number for number.

A state is seven numbers: agent xy, block xy (the middle of the bar's outer edge, not the centre of gravity), block
angle, agent velocity xy; px, radians, px/s. The agent is kinematic: it goes where its controller sends it and nothing
stops it. The block stops by itself at once (damping 0), so these seven numbers are the whole state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pymunk
from numpy.typing import NDArray

Array = NDArray[np.float64]

BOARD = 512.0  #: px
STATE_SIZE = 7
SUBSTEPS = 10  #: of physics in an env step of 0.1 s
DT = 0.01  #: s
REACH = 100.0  #: px from the agent at which an action of 1.0 puts the controller's target
STIFFNESS, DAMPING = 100.0, 20.0  #: of the agent's controller
_WALL_LOW, _WALL_HIGH, _WALL_RADIUS = 5, 506, 2


@dataclass(frozen=True)
class PushTPhysics:
    """The laws, as ``swm/PushT-v1`` has them in stable-worldmodel 0.1.1.

    Attributes:
        block_scale: px, the width of the tee's bars; their length is four of these.
        agent_radius: px.
    """

    block_scale: float = 30.0
    agent_radius: float = 15.0


class Simulator:
    """Push-T without pictures.

    Args:
        physics: the laws; those of the environment if None.
    """

    def __init__(self, physics: PushTPhysics | None = None) -> None:
        self.physics = physics or PushTPhysics()

    def reset(self, state: Array) -> Array:
        """The state (7,) that the environment is in after it was set to ``state`` (7,): it runs one substep then."""
        space, agent, block = self._build(state)
        space.step(DT)
        return _read(agent, block)

    def run(self, state: Array, actions: NDArray[np.floating]) -> Array:
        """Play env steps from a state.

        Args:
            state: (7,) to begin with.
            actions: (T, 2) in [-1, 1]. The environment computes in the precision of the actions that it is given; this
                is what it does with float64. With float32 it strays by 1e-4 px a step, and by more after contact.

        Returns:
            (T, 7) the states after each step.
        """
        space, agent, block = self._build(state)
        out = np.empty((len(actions), STATE_SIZE))
        offsets = (np.asarray(actions, dtype=np.float64) * REACH).tolist()
        for index, (dx, dy) in enumerate(offsets):
            _step(space, agent, dx, dy)
            out[index] = _read(agent, block)
        return out

    def contacts(self, state: Array, actions: NDArray[np.floating]) -> NDArray[np.bool_]:
        """What the tee touches while actions (T, 2) are played from a state (7,).

        Returns:
            (T, 2) whether, in any substep of each step, it touches the agent, and whether it touches a wall.
        """
        space, agent, block = self._build(state)
        touched = np.zeros((len(actions), 2), dtype=bool)

        others: set[pymunk.Body | None] = set()

        def note(arbiter: pymunk.Arbiter) -> None:
            others.update(shape.body for shape in arbiter.shapes)

        for index, (dx, dy) in enumerate((np.asarray(actions, dtype=np.float64) * REACH).tolist()):
            others.clear()
            _step(space, agent, dx, dy, lambda: block.each_arbiter(note))
            touched[index] = agent in others, space.static_body in others
        return touched

    def _build(self, state: Array) -> tuple[pymunk.Space, pymunk.Body, pymunk.Body]:
        """A fresh space: contacts remembered from another state would push along."""
        space = pymunk.Space()
        space.gravity = 0, 0
        space.damping = 0
        low, high = _WALL_LOW, _WALL_HIGH
        for a, b in (
            ((low, high), (low, low)),
            ((low, low), (high, low)),
            ((high, low), (high, high)),
            ((low, high), (high, high)),
        ):
            space.add(pymunk.Segment(space.static_body, a, b, _WALL_RADIUS))
        agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
        space.add(agent, pymunk.Circle(agent, self.physics.agent_radius))
        block = _tee(space, self.physics.block_scale)
        x, y, block_x, block_y, angle, vx, vy = np.asarray(state, dtype=np.float64).tolist()
        agent.velocity = vx, vy
        agent.position = x, y
        block.angle = angle
        block.position = block_x, block_y
        space.reindex_shapes_for_body(block)
        return space, agent, block


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


def _tee(space: pymunk.Space, scale: float) -> pymunk.Body:
    """The environment's tee: a bar of 4 x 1 scales and a stem of 1 x 3 below it."""
    bar = [(-2 * scale, scale), (2 * scale, scale), (2 * scale, 0), (-2 * scale, 0)]
    stem = [(-scale / 2, scale), (-scale / 2, 4 * scale), (scale / 2, 4 * scale), (scale / 2, scale)]
    # The environment takes the bar's moment twice; so does this.
    body = pymunk.Body(1, 2 * pymunk.moment_for_poly(1, vertices=bar))
    parts = [pymunk.Poly(body, bar), pymunk.Poly(body, stem)]
    body.center_of_gravity = (parts[0].center_of_gravity + parts[1].center_of_gravity) / 2
    space.add(body, *parts)
    return body
