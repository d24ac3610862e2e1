from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pushjepa.physics import Obstacle, Pillar, Wall, block_parts
from pushjepa.physics.constants import AGENT_RADIUS, BOARD_SIZE, WALL_INSET

States = NDArray[np.float64]
_UNIT = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


def _corners(part: States, states: States) -> States:
    """Corners (N, 4, 2) of one part of the block in N states."""
    cos, sin = np.cos(states[:, 6])[:, None], np.sin(states[:, 6])[:, None]
    turned = np.stack([part[:, 0] * cos - part[:, 1] * sin, part[:, 0] * sin + part[:, 1] * cos], axis=-1)
    return turned + states[:, None, 4:6]


def _disc_in_box(centre: States, radius: float, box: States) -> States:
    """How deep a disc at (N, 2) lies in a box with corners (N, 4, 2)."""
    middle, across, along = box.mean(axis=1), box[:, 1] - box[:, 0], box[:, 2] - box[:, 1]
    outside = []
    for edge in (across, along):
        length = np.hypot(*edge.T)
        outside.append(np.abs(((centre - middle) * edge).sum(axis=1) / length) - length / 2)
    gap = np.stack(outside, axis=1)
    return radius - np.where((gap <= 0).all(axis=1), gap.max(axis=1), np.hypot(*np.maximum(gap, 0).T))


def _box_in_box(one: States, two: States) -> States:
    """How deep two boxes with corners (N, 4, 2) lie in each other, by separating axes."""
    depth = np.full(len(one), np.inf)
    for box in (one, two):
        for edge in (box[:, 1] - box[:, 0], box[:, 2] - box[:, 1]):
            normal = np.stack([-edge[:, 1], edge[:, 0]], axis=1) / np.hypot(*edge.T)[:, None]
            a, b = (one * normal[:, None]).sum(axis=2), (two * normal[:, None]).sum(axis=2)
            depth = np.minimum(depth, np.minimum(a.max(1) - b.min(1), b.max(1) - a.min(1)))
    return depth


def overlaps(states: States, obstacles: Sequence[Obstacle] = ()) -> dict[str, States]:
    """Depth (N,) in px of every kind of overlap in states (N, 7) with the tee at scale 1; negative where apart."""
    low, high = WALL_INSET, BOARD_SIZE - WALL_INSET
    agents = (states[:, 0:2], states[:, 2:4])
    parts = [_corners(part, states) for part in block_parts("tee")]
    depths = [("agents", 2 * AGENT_RADIUS - np.hypot(*(agents[0] - agents[1]).T))]
    for agent in agents:
        depths += [("agent in block", _disc_in_box(agent, AGENT_RADIUS, part)) for part in parts]
        depths.append(("agent in wall", AGENT_RADIUS + np.maximum(low - agent, agent - high).max(axis=1)))
    depths += [("block in wall", np.maximum(low - part, part - high).max(axis=(1, 2))) for part in parts]
    for item in obstacles:
        if isinstance(item, Wall):
            size = (item.right - item.left, item.bottom - item.top)
            middle = ((item.left + item.right) / 2, (item.top + item.bottom) / 2)
            box = np.broadcast_to(_UNIT * size + middle, (len(states), 4, 2))
            depths += [("agent in obstacle", _disc_in_box(agent, AGENT_RADIUS, box)) for agent in agents]
            depths += [("block in obstacle", _box_in_box(part, box)) for part in parts]
        elif isinstance(item, Pillar):
            centre = np.broadcast_to(np.array([item.x, item.y]), (len(states), 2))
            reach = AGENT_RADIUS + item.radius
            depths += [("agent in obstacle", reach - np.hypot(*(agent - centre).T)) for agent in agents]
            depths += [("block in obstacle", _disc_in_box(centre, item.radius, part)) for part in parts]
    worst: dict[str, States] = {}
    for name, depth in depths:
        worst[name] = np.maximum(worst[name], depth) if name in worst else depth
    return worst


@pytest.fixture(scope="session")
def overlap_depths() -> Callable[..., dict[str, States]]:
    return overlaps
