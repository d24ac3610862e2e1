"""The tee as the expert sees it: its outline, how near a path comes to it, and ways round it.

All of it is the standard tee, whatever the laws say: outline, landmarks, clearance, ways and contacts. Under a shift of
the block's shape or size the expert, and whoever draws starts by clearance, aim at a tee that is not there; a pose
error is still a distance between poses, that of the standard tee's landmarks.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

import numpy as np

from pushjepa.pusht.simulator import Array

#: Corners of the standard tee about its body's origin, in order round the outline, px.
OUTLINE = np.array(
    [(-60, 0), (60, 0), (60, 30), (15, 30), (15, 120), (-15, 120), (-15, 30), (-60, 30)], dtype=np.float64
)
#: The two bars of the tee as (low, high) corners.
_BARS = (np.array([(-60, 0), (60, 30)], dtype=np.float64), np.array([(-15, 0), (15, 120)], dtype=np.float64))
#: Points fixed to the tee whose mean distance says how far two poses are apart.
LANDMARKS = np.array([(-60, 15), (60, 15), (0, 120), (0, 45)], dtype=np.float64)
_STRIDE = 4.0  # px between the points of a path that are looked at


def place(points: Array, pose: Array) -> Array:
    """Points (..., 2) fixed to a block, on the board when its pose (3,) is x, y, angle."""
    return turn(points, pose[2]) + pose[:2]


def turn(vectors: Array, angle: float) -> Array:
    """Vectors (..., 2) turned by an angle."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * vectors[..., 0] - sin * vectors[..., 1], sin * vectors[..., 0] + cos * vectors[..., 1]], -1)


def pose_error(poses: Array, goal: Array) -> Array:
    """Mean distance in px between the landmarks of blocks at poses (..., 3) and at the goal (3,)."""
    cos, sin = np.cos(poses[..., 2:]), np.sin(poses[..., 2:])
    x = cos * LANDMARKS[:, 0] - sin * LANDMARKS[:, 1] + poses[..., :1]
    y = sin * LANDMARKS[:, 0] + cos * LANDMARKS[:, 1] + poses[..., 1:2]
    wanted = place(LANDMARKS, goal)
    return np.asarray(np.hypot(x - wanted[:, 0], y - wanted[:, 1]).mean(axis=-1))


def clearance(points: Array, pose: Array, parts: Sequence[Array] = _BARS) -> Array:
    """Distance (...) of points (..., 2) from the tee at ``pose``, or from a block of other rectangles; 0 inside."""
    local = turn(points - pose[:2], -pose[2])
    bounds = [(part.min(axis=0), part.max(axis=0)) for part in parts]
    apart = [np.linalg.norm(local - np.clip(local, low, high), axis=-1) for low, high in bounds]
    return np.asarray(np.min(apart, axis=0))


def is_free(start: Array, end: Array, pose: Array, margin: float) -> bool:
    """Whether the straight way between two points (2,) keeps ``margin`` px from the tee."""
    count = max(2, int(np.hypot(*(end - start)) / _STRIDE) + 1)
    way = start + np.linspace(0.0, 1.0, count)[:, None] * (end - start)
    return bool((clearance(way, pose) >= margin).all())


def way_round(start: Array, end: Array, pose: Array, margin: float, low: float, high: float) -> list[Array] | None:
    """The shortest way from ``start`` to ``end`` (2,) that keeps ``margin`` px from the tee, as its corners.

    Args:
        start, end: points on the board.
        pose: of the block (3,).
        margin: px between the way and the tee.
        low, high: the way's corners lie between these.

    Returns:
        The points to go to one after the other, ``end`` last; None if there is no way.
    """
    if is_free(start, end, pose, margin):
        return [end]
    corners = place(_outset(1.15 * margin + 2.0), pose)
    corners = corners[((corners >= low) & (corners <= high)).all(axis=1) & (clearance(corners, pose) >= margin)]
    nodes = [start, *corners, end]
    goal = len(nodes) - 1
    best = {0: 0.0}
    came: dict[int, int] = {}
    queue = [(0.0, 0)]
    while queue:
        cost, here = heapq.heappop(queue)
        if here == goal:
            way = [goal]
            while (way[-1]) in came:
                way.append(came[way[-1]])
            return [nodes[index] for index in reversed(way[:-1])]
        if cost > best[here]:
            continue
        for there in range(1, len(nodes)):
            further = cost + float(np.hypot(*(nodes[there] - nodes[here])))
            if further < best.get(there, np.inf) and is_free(nodes[here], nodes[there], pose, margin):
                best[there], came[there] = further, here
                heapq.heappush(queue, (further, there))
    return None


def contacts(spacing: float) -> tuple[Array, Array]:
    """Points (N, 2) round the outline, about ``spacing`` px apart, and the outward normals there (N, 2)."""
    points, normals = [], []
    for a, b in itertools.pairwise([*OUTLINE, OUTLINE[0]]):
        length = float(np.hypot(*(b - a)))
        along = (b - a) / length
        count = max(1, round(length / spacing))
        shares = (np.arange(count) + 0.5) / count
        points.append(a + shares[:, None] * (b - a))
        normals.append(np.repeat([[along[1], -along[0]]], count, axis=0))
    return np.concatenate(points), np.concatenate(normals)


def _outset(distance: float) -> Array:
    """Corners about the outward ones of the outline, ``distance`` px from both of their edges."""
    signs = np.array([(-1, -1), (1, -1), (1, 1), (1, 1), (-1, 1), (-1, 1)], dtype=np.float64)
    outward = OUTLINE[[0, 1, 2, 4, 5, 7]]
    return outward + distance * signs
