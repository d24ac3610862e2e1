"""Repair of imagined states: a decoded agent may stand inside the decoded block, which no real one can."""

from __future__ import annotations

import numpy as np

from pushjepa.physics import block_parts
from pushjepa.physics.constants import AGENT_RADIUS
from pushjepa.physics.geometry import Array

#: Corners of the parts of the standard block, (parts, 4, 2) px about its centre; every part is an upright rectangle.
_PARTS = np.stack(block_parts("tee"))


def push_agents_out(states: Array) -> Array:
    """Move agents that overlap the block to its surface, by the shortest way. Geometry only.

    Args:
        states: (..., 7) p1 xy, p2 xy, block xy in px, angle in radians.

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
        # Pushed out of the bar an agent may land in the stem, but the way out of the stem never leads into the bar.
        for corners in _PARTS:
            moved = _out_of_rectangle(moved, corners.min(axis=0), corners.max(axis=0))
        shift = moved - local
        out[..., agent] += cos * shift[..., 0] - sin * shift[..., 1]
        out[..., agent + 1] += sin * shift[..., 0] + cos * shift[..., 1]
    return out


def _out_of_rectangle(points: Array, low: Array, high: Array) -> Array:
    """Move the centres (..., 2) of agents that touch the rectangle to one radius from it."""
    gap = points - np.clip(points, low, high)  # from the nearest point of the rectangle; zero inside
    distance = np.hypot(gap[..., 0], gap[..., 1])[..., None]
    outside = distance > 0.0
    direction = np.where(outside, gap / np.where(outside, distance, 1.0), 0.0)
    pushed = points + direction * (AGENT_RADIUS - distance)
    # A centre inside leaves through the nearest face.
    to_faces = np.concatenate([points - low, high - points], axis=-1)  # (..., 4): left, top, right, bottom
    face = np.argmin(to_faces, axis=-1)[..., None]
    depth = np.take_along_axis(to_faces, face, axis=-1) + AGENT_RADIUS
    outward = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])[face[..., 0]]
    moved = np.where(outside, pushed, points + outward * depth)
    return np.asarray(np.where(distance < AGENT_RADIUS, moved, points))
