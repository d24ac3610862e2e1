"""From the way-points that a person clicks to the action block of a turn.

A person says where to go; the game is played in velocities. The conversion simulates the agent moving freely (the
same force limit and damping as on the board, no contacts) and steers so that the agent comes to rest at each
way-point if there is time for that. ``static/js/aiming.js`` mirrors this file to draw the reachable part of a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pushjepa.physics import Physics
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array

MAX_WAYPOINTS = 3
LEG_STEPS = {1: (5,), 2: (3, 2), 3: (2, 2, 1)}  #: env steps spent on each leg, by the number of way-points


@dataclass
class FreeAgent:
    """An agent that touches nothing: where it is (..., 2) px and how fast it moves (..., 2) px/s; or many at once."""

    physics: Physics
    position: Array
    velocity: Array

    def substep(self, target: Array) -> None:
        """One physics substep towards the velocity ``target`` (..., 2) px/s: the engine moves, then accelerates."""
        self.position = self.position + self.velocity * c.SUBSTEP_SECONDS
        carried = self.velocity * self.physics.damping**c.SUBSTEP_SECONDS
        change = target - carried
        limit = self.physics.agent_force / c.AGENT_MASS * c.SUBSTEP_SECONDS
        norm = np.hypot(change[..., :1], change[..., 1:])
        self.velocity = carried + change * (limit / np.maximum(norm, limit))

    def step(self, action: Array) -> None:
        """One env step of commanding ``action`` (..., 2) in [-1, 1]."""
        for _ in range(c.SUBSTEPS):
            self.substep(action * self.physics.agent_speed)

    def resting_place(self) -> Array:
        """Where the agent would come to rest if it were told to stop now, (2,) px."""
        ghost = FreeAgent(self.physics, self.position, self.velocity)
        for _ in range(c.SUBSTEPS * c.TURN_STEPS):
            if not ghost.velocity.any():
                break
            ghost.substep(np.zeros(2))
        return ghost.position


def waypoints_to_block(start: Array, waypoints: Sequence[tuple[float, float]], physics: Physics) -> Array:
    """The action block (5, 2) that follows ``waypoints`` from ``start``.

    The five steps are shared out over the legs (5, 3 + 2 or 2 + 2 + 1). Every step heads straight for its way-point,
    at most an action of 1.0 per component (40 px at the usual speed), and slows down so as to stop there. A way-point
    out of reach is headed for as far as its steps go; the next leg starts from where that ended.

    Args:
        start: (2,) where the agent stands at rest, px.
        waypoints: one to three points (x, y) on the board, px.
        physics: the laws of the coming turn.

    Raises:
        ValueError: no way-point or too many, or one that is not finite or off the board.
    """
    if not 1 <= len(waypoints) <= MAX_WAYPOINTS:
        raise ValueError(f"a turn takes 1 to {MAX_WAYPOINTS} way-points, got {len(waypoints)}")
    points = np.asarray(waypoints, dtype=np.float64)
    if points.shape[1:] != (2,) or not np.isfinite(points).all():
        raise ValueError("a way-point is two finite numbers, x and y in board pixels")
    if (points < 0).any() or (points > c.BOARD_SIZE).any():
        raise ValueError(f"a way-point must lie on the board, 0 to {c.BOARD_SIZE:g} px")
    agent = FreeAgent(physics, np.asarray(start, dtype=np.float64), np.zeros(2))
    targets = [point for point, steps in zip(points, LEG_STEPS[len(points)], strict=True) for _ in range(steps)]
    block = np.empty((c.TURN_STEPS, 2))
    for step, target in enumerate(targets):
        block[step] = _towards(agent, target, last=step == c.TURN_STEPS - 1)
        agent.step(block[step])
    return block


def _towards(agent: FreeAgent, target: Array, last: bool) -> Array:
    """The action (2,) of one step that brings ``agent`` to rest at ``target``; in the last step, merely to it.

    Whatever speed is left when a turn ends is lost with it, so the last step need not leave room for braking.
    """
    seconds = c.STEP_SECONDS
    gap = target - agent.resting_place()
    if last:
        carried = agent.velocity * c.SUBSTEP_SECONDS
        gap = target - agent.position - carried
        seconds -= c.SUBSTEP_SECONDS
    action = gap / (agent.physics.agent_speed * seconds)
    largest = float(np.abs(action).max())
    return np.asarray(np.clip(action / max(largest, 1.0), -1.0, 1.0))
