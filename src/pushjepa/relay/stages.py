"""The stages of the game: goals, obstacles and where a match may start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pushjepa.physics import Obstacle, Pillar, Wall, place
from pushjepa.physics.constants import AGENT_RADIUS, BOARD_SIZE
from pushjepa.physics.geometry import Array

TEE_REACH = 66.0  #: px that the tee at scale 1 reaches from its centre of gravity, rounded up


@dataclass(frozen=True)
class Stage:
    """One frozen stage. Both seats see the same board, mirrored left to right.

    Attributes:
        name: how the stage is asked for.
        goal: p1's goal (x, y) in px; p2's is its mirror image.
        obstacles: fixed shapes, their own mirror image as a set.
        block_spread: half-width (x, y) in px of the box about the board's centre in which the block may start.
        agent_box: (left, top, right, bottom) px in which p1 may start; p2 starts in its mirror image.
    """

    name: str
    goal: tuple[float, float] = (422.0, 256.0)
    obstacles: tuple[Obstacle, ...] = ()
    block_spread: tuple[float, float] = (40.0, 70.0)
    agent_box: tuple[float, float, float, float] = (40.0, 110.0, 120.0, 402.0)

    @property
    def goals(self) -> dict[str, tuple[float, float]]:
        """Goal centre of each side, px."""
        return {"p1": self.goal, "p2": (BOARD_SIZE - self.goal[0], self.goal[1])}

    def sample_start(self, rng: np.random.Generator, outline: Array | None = None) -> Array:
        """A start position (7,): each agent on the far side of the block from its own goal, the block near the middle.

        The distribution is the same when mirrored. Positions in which bodies may touch are drawn again.

        Args:
            rng: draws the position.
            outline: (N, 2) px, points along the block's edges about its centre; without one, the block is taken for
                a disc that the tee at scale 1 fits into.
        """
        left, top, right, bottom = self.agent_box
        centre = BOARD_SIZE / 2
        while True:
            p1 = rng.uniform((left, top), (right, bottom))
            p2 = rng.uniform((left, top), (right, bottom))
            block = centre + rng.uniform(-1, 1, 2) * self.block_spread
            state = np.array([*p1, BOARD_SIZE - p2[0], p2[1], *block, rng.uniform(-np.pi, np.pi)])
            if self._clear(state, outline):
                return state

    def _clear(self, state: Array, outline: Array | None) -> bool:
        reach = AGENT_RADIUS + 8.0
        points, radius = (state[None, 4:6], TEE_REACH) if outline is None else (place(outline, *state[4:7]), 0.0)
        for agent in (state[0:2], state[2:4]):
            if np.hypot(*(points - agent).T).min() < reach + radius:
                return False
            if any(distance_to(item, agent) <= reach for item in self.obstacles):
                return False
        return all(distance_to(item, point) > radius + 4.0 for item in self.obstacles for point in points)


def distance_to(obstacle: Obstacle, point: Array) -> float:
    """Distance in px from ``point`` (2,) to the obstacle's surface, zero or negative inside."""
    x, y = float(point[0]), float(point[1])
    if isinstance(obstacle, Pillar):
        return float(np.hypot(x - obstacle.x, y - obstacle.y)) - obstacle.radius
    dx = max(obstacle.left - x, 0.0, x - obstacle.right)
    dy = max(obstacle.top - y, 0.0, y - obstacle.bottom)
    return float(np.hypot(dx, dy))


_ALL = (
    Stage("open"),
    Stage(
        "pillars",
        obstacles=tuple(Pillar(x, y, 24.0) for y in (120.0, 392.0) for x in (176.0, 336.0)),
        block_spread=(30.0, 50.0),
    ),
    Stage(
        "gate",
        obstacles=(Wall(244.0, 4.0, 268.0, 156.0), Wall(244.0, 356.0, 268.0, 508.0)),
        block_spread=(24.0, 24.0),
    ),
)
STAGES = {stage.name: stage for stage in _ALL}


def get_stage(name: str) -> Stage:
    """The stage called ``name``.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in STAGES:
        raise ValueError(f"unknown stage {name!r}; choose one of {', '.join(STAGES)}")
    return STAGES[name]
