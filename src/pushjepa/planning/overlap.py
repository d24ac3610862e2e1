"""Repair of imagined states: a decoded agent may stand inside the decoded block, which no real one can."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import block_parts
from pushjepa.physics.constants import AGENT_RADIUS
from pushjepa.physics.geometry import Array

_TOUCH = 1e-9  # px: parts that lie against each other share an edge but for rounding


def push_agents_out(states: Array, shape: str = "tee", scale: float = 1.0) -> Array:
    """Move agents that overlap the block to its surface, by the shortest way. Geometry only.

    Args:
        states: (..., 7) p1 xy, p2 xy, block xy in px, angle in radians.
        shape: of the block.
        scale: how many times as large as the standard one it is.

    Returns:
        (..., 7) a copy in which no agent's disc reaches into the block; block and free agents are as they were.
    """
    out = np.array(states, dtype=np.float64)
    cos, sin = np.cos(out[..., 6]), np.sin(out[..., 6])
    for agent in (0, 2):
        dx, dy = out[..., agent] - out[..., 4], out[..., agent + 1] - out[..., 5]
        # The block's own axes, in which its parts are upright.
        local = np.stack([cos * dx + sin * dy, cos * dy - sin * dx], axis=-1)
        moved = local
        # Pushed out of a tee's bar an agent may land in its stem, but no way out of the stem leads into the bar.
        for low, high, closed in _rectangles(shape, scale):
            moved = _out_of_rectangle(moved, low, high, closed)
        shift = moved - local
        out[..., agent] += cos * shift[..., 0] - sin * shift[..., 1]
        out[..., agent + 1] += sin * shift[..., 0] + cos * shift[..., 1]
    return out


@lru_cache(maxsize=8)
def _rectangles(shape: str, scale: float) -> tuple[tuple[Array, Array, NDArray[np.bool_]], ...]:
    """Each part of a block in its own axes: lower and upper corner (2,), and which faces are no way out (4,).

    Those are the faces that lie against another part all along, in the order left, top, right, bottom.
    """
    corners = np.stack(block_parts(shape, scale))  # (P, 4, 2), upright rectangles
    low, high = corners.min(axis=1), corners.max(axis=1)
    found = []
    for part in range(len(corners)):
        others = [other for other in range(len(corners)) if other != part]
        closed = np.zeros(4, dtype=bool)
        for face in range(4):
            axis, ends = face % 2, (low[part].copy(), high[part].copy())
            ends[0][axis] = ends[1][axis] = (low, high)[face // 2][part, axis]
            closed[face] = any(
                (ends[0] >= low[o] - _TOUCH).all() and (ends[1] <= high[o] + _TOUCH).all() for o in others
            )
        found.append((low[part], high[part], closed))
    return tuple(found)


def _out_of_rectangle(points: Array, low: Array, high: Array, closed: NDArray[np.bool_]) -> Array:
    """Move the centres (..., 2) of agents that touch the rectangle to one radius from it, by no ``closed`` face."""
    gap = points - np.clip(points, low, high)  # from the nearest point of the rectangle; zero inside
    distance = np.hypot(gap[..., 0], gap[..., 1])[..., None]
    outside = distance > 0.0
    direction = np.where(outside, gap / np.where(outside, distance, 1.0), 0.0)
    pushed = points + direction * (AGENT_RADIUS - distance)
    # A centre inside leaves through the nearest face that is open.
    to_faces = np.concatenate([points - low, high - points], axis=-1)  # (..., 4): left, top, right, bottom
    face = np.argmin(np.where(closed, np.inf, to_faces), axis=-1)[..., None]
    depth = np.take_along_axis(to_faces, face, axis=-1) + AGENT_RADIUS
    outward = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])[face[..., 0]]
    moved = np.where(outside, pushed, points + outward * depth)
    return np.asarray(np.where(distance < AGENT_RADIUS, moved, points))
