"""Positions without a past: uniformly random scenes, and the vectorised geometry that keeps them possible.

Everything here works on whole arrays of positions at once; one scene is an array of length one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Physics, Pillar, Wall, block_parts
from pushjepa.physics.constants import AGENT_RADIUS, BOARD_SIZE, WALL_INSET
from pushjepa.physics.geometry import Array
from pushjepa.relay.stages import STAGES, Stage

_LOW, _HIGH = WALL_INSET, BOARD_SIZE - WALL_INSET
_SLACK = 0.5  # px of overlap that is let through: resting contacts sink in about as far
_TOUCHING = 0.3  # share of the agents placed near the block that touch it
_HUDDLED = 0.12  # share of scenes with the agents side by side
_AT_OBSTACLE = 0.4  # share of blocks put near an obstacle where the stage has one
_EDGE = 26.0  # px from the wall within which no block is drawn; about a fifth of them still meet a wall


def block_gap(points: Array, poses: Array, parts: tuple[Array, ...]) -> tuple[Array, Array]:
    """Signed distance from points to the block's surface, and the way out.

    Args:
        points: (N, 2) px.
        poses: (N, 3) the block's x, y and angle in each scene.
        parts: the block's rectangles as corners, (4, 2) each, from ``block_parts``.

    Returns:
        (N,) px, negative inside; (N, 2) unit vectors that lead away from the block.
    """
    cos, sin = np.cos(poses[:, 2]), np.sin(poses[:, 2])
    rel = points - poses[:, :2]
    local = np.stack([cos * rel[:, 0] + sin * rel[:, 1], cos * rel[:, 1] - sin * rel[:, 0]], axis=1)
    boxes = np.stack([(p.min(axis=0), p.max(axis=0)) for p in parts])  # (parts, low/high, 2)
    centre, half = boxes.mean(axis=1), (boxes[:, 1] - boxes[:, 0]) / 2
    off = local[:, None] - centre  # (N, parts, 2)
    beyond = np.abs(off) - half
    outside = np.maximum(beyond, 0.0)
    deepest = beyond.max(axis=2)
    gaps = np.hypot(outside[..., 0], outside[..., 1]) + np.minimum(deepest, 0.0)  # (N, parts)
    row, best = np.arange(len(points)), gaps.argmin(axis=1)
    inward = np.where(beyond == deepest[..., None], 1.0, 0.0)
    way = np.where(deepest[..., None] > 0, outside, inward)[row, best]
    way *= np.where(off[row, best] < 0, -1.0, 1.0) / np.hypot(way[:, 0], way[:, 1])[:, None]
    world = np.stack([cos * way[:, 0] - sin * way[:, 1], sin * way[:, 0] + cos * way[:, 1]], axis=1)
    return gaps[row, best], world


def random_scenes(
    rng: np.random.Generator,
    n: int,
    stage: Stage = STAGES["open"],
    physics: Physics | None = None,
    *,
    near: float = 0.35,
    reach: float = 60.0,
) -> Array:
    """Possible positions from all over the board: walls, corners, jambs, any angle, the agents often at the block.

    Args:
        rng: where the randomness comes from.
        n: how many.
        stage: whose obstacles must be kept clear.
        physics: whose block; the standard one if None.
        near: the chance of each agent to be put near the block rather than anywhere.
        reach: how far from the block's surface an agent near it may stand, px; nearer is likelier.

    Returns:
        (n, 7) float64 states without overlaps deeper than a pixel.

    Raises:
        ValueError: a negative number of scenes.
    """
    if n < 0:
        raise ValueError(f"the number of scenes must not be negative, got {n}")
    physics = physics or Physics()
    parts = block_parts(physics.block_shape, physics.block_scale)
    found = [np.empty((0, 7))]
    missing = n
    while missing > 0:
        states = _draw(rng, max(8, round(1.5 * missing)), stage, parts, near, reach)
        found.append(states[scenes_clear(states, stage, parts)][:missing])
        missing -= len(found[-1])
    return np.concatenate(found)


def scenes_clear(states: Array, stage: Stage, parts: tuple[Array, ...]) -> NDArray[np.bool_]:
    """Which states (N, 7) are free of overlaps between block, agents, walls and obstacles; (N,)."""
    poses, agents = states[:, 4:7], (states[:, 0:2], states[:, 2:4])
    good = np.hypot(*(agents[0] - agents[1]).T) > 2 * AGENT_RADIUS - _SLACK
    corners = np.concatenate([place_all(part, poses) for part in parts], axis=1)
    good &= ((corners > _LOW - _SLACK) & (corners < _HIGH + _SLACK)).all(axis=(1, 2))
    for xy in agents:
        good &= ((xy > _LOW + AGENT_RADIUS - _SLACK) & (xy < _HIGH - AGENT_RADIUS + _SLACK)).all(axis=1)
        good &= block_gap(xy, poses, parts)[0] > AGENT_RADIUS - _SLACK
        for obstacle in stage.obstacles:
            good &= _distances(obstacle, xy)[0] > AGENT_RADIUS - _SLACK
    for obstacle in stage.obstacles:
        good &= _block_distance(obstacle, poses, parts) > -_SLACK
    return np.asarray(good)


def place_all(points: Array, poses: Array) -> Array:
    """``points`` (K, 2) turned and moved to every pose (N, 3): (N, K, 2)."""
    cos, sin = np.cos(poses[:, 2:3]), np.sin(poses[:, 2:3])
    x, y = points[:, 0], points[:, 1]
    turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=2)
    return np.asarray(turned + poses[:, None, :2])


def _draw(rng: np.random.Generator, n: int, stage: Stage, parts: tuple[Array, ...], near: float, reach: float) -> Array:
    """``n`` scenes pushed towards being possible; the caller rejects what is left over."""
    states = np.empty((n, 7))
    poses = _draw_blocks(rng, n, stage, parts)
    states[:, 4:7] = poses
    for agent in (0, 2):
        # Drawn from beyond the walls and brought back, so that walls and corners are met often.
        anywhere = rng.uniform(-16.0, BOARD_SIZE + 16.0, (n, 2))
        beside = _draw_beside(rng, poses, parts, reach)
        states[:, agent : agent + 2] = np.where(rng.random((n, 1)) < near, beside, anywhere)
    moved = rng.integers(0, 2, n) * 2  # whichever agent is put beside the other
    turn, apart = rng.uniform(0, 2 * np.pi, n), 2 * AGENT_RADIUS + rng.exponential(12.0, n)
    rows = np.flatnonzero(rng.random(n) < _HUDDLED)
    for axis, way in enumerate((np.cos(turn), np.sin(turn))):
        states[rows, moved[rows] + axis] = states[rows, 2 - moved[rows] + axis] + (apart * way)[rows]
    for agent in (0, 2):
        xy = states[:, agent : agent + 2]
        for obstacle in stage.obstacles:
            distance, way = _distances(obstacle, xy)
            xy += way * np.maximum(AGENT_RADIUS - distance, 0.0)[:, None]
        gap, way = block_gap(xy, poses, parts)
        xy += way * np.maximum(AGENT_RADIUS - gap, 0.0)[:, None]
        np.clip(xy, _LOW + AGENT_RADIUS, _HIGH - AGENT_RADIUS, out=xy)
    return states


def _draw_blocks(rng: np.random.Generator, n: int, stage: Stage, parts: tuple[Array, ...]) -> Array:
    """Poses (n, 3): anywhere, or near an obstacle; what sticks out of the board is brought back to touch the wall."""
    poses = np.empty((n, 3))
    poses[:, :2] = rng.uniform(_LOW + _EDGE, _HIGH - _EDGE, (n, 2))
    poses[:, 2] = rng.uniform(-np.pi, np.pi, n)
    if stage.obstacles:
        which = rng.integers(0, len(stage.obstacles), n)
        chosen = rng.random(n) < _AT_OBSTACLE
        for i, obstacle in enumerate(stage.obstacles):
            rows = np.flatnonzero(chosen & (which == i))
            poses[rows, :2] = _around(rng, obstacle, len(rows), 12.0, 80.0)
    corners = np.concatenate([place_all(part, poses) for part in parts], axis=1)  # (n, K, 2)
    poses[:, :2] += np.maximum(_LOW - corners.min(axis=1), 0.0) - np.maximum(corners.max(axis=1) - _HIGH, 0.0)
    return poses


def _draw_beside(rng: np.random.Generator, poses: Array, parts: tuple[Array, ...], reach: float) -> Array:
    """Agent centres (N, 2) all round the block's outline, some touching it, the rest up to ``reach`` px away."""
    n = len(poses)
    turn, far = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.0, 75.0, n)
    gap = AGENT_RADIUS + np.where(rng.random(n) < _TOUCHING, 0.0, reach * rng.random(n) ** 1.5)
    xy = poses[:, :2] + far[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for _ in range(3):
        found, way = block_gap(xy, poses, parts)
        xy += way * (gap - found)[:, None]
    return np.asarray(xy)


def _around(rng: np.random.Generator, obstacle: Pillar | Wall, n: int, low: float, high: float) -> Array:
    """Points (n, 2) at ``low`` to ``high`` px from an obstacle's outline."""
    away = rng.uniform(low, high, n)
    turn = rng.uniform(0, 2 * np.pi, n)
    way = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if isinstance(obstacle, Pillar):
        return np.asarray((obstacle.x, obstacle.y) + way * (obstacle.radius + away)[:, None])
    start = rng.uniform((obstacle.left, obstacle.top), (obstacle.right, obstacle.bottom), (n, 2))
    return np.asarray(start + way * away[:, None])


def _distances(obstacle: Pillar | Wall, points: Array) -> tuple[Array, Array]:
    """Distance (N,) from points (N, 2) to an obstacle and the way out (N, 2); inside a wall it is 0 without a way."""
    if isinstance(obstacle, Pillar):
        rel, radius = points - (obstacle.x, obstacle.y), obstacle.radius
    else:
        nearest = np.clip(points, (obstacle.left, obstacle.top), (obstacle.right, obstacle.bottom))
        rel, radius = points - nearest, 0.0
    away = np.hypot(rel[:, 0], rel[:, 1])
    return np.asarray(away - radius), rel / np.maximum(away, 1e-9)[:, None]


def _block_distance(obstacle: Pillar | Wall, poses: Array, parts: tuple[Array, ...]) -> Array:
    """How far (N,) the block is from an obstacle, px; negative where they overlap (by the separating axes)."""
    if isinstance(obstacle, Pillar):
        centre = np.broadcast_to((obstacle.x, obstacle.y), (len(poses), 2))
        return np.asarray(block_gap(centre, poses, parts)[0] - obstacle.radius)
    left, top, right, bottom = obstacle.left, obstacle.top, obstacle.right, obstacle.bottom
    wall = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    cos, sin = np.cos(poses[:, 2]), np.sin(poses[:, 2])
    one, zero = np.ones_like(cos), np.zeros_like(cos)
    axes = np.stack([one, zero, zero, one, cos, sin, -sin, cos], axis=1).reshape(-1, 4, 2)
    nearest = np.full(len(poses), np.inf)
    for part in parts:
        mine = axes @ place_all(part, poses).transpose(0, 2, 1)  # (N, axes, corners)
        other = axes @ wall.T
        apart = np.maximum(mine.min(axis=2) - other.max(axis=2), other.min(axis=2) - mine.max(axis=2)).max(axis=1)
        nearest = np.minimum(nearest, apart)
    return nearest
