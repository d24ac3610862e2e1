"""Shapes on the board: what the block is made of, what may stand in its way, and the mirror between the seats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics.constants import BOARD_SIZE

Array = NDArray[np.float64]

#: Rectangles (width, height, centre x, centre y) that make a block at scale 1, px. The tee is a bar on a stem.
#: Every shape is its own mirror image, so that the board can be looked at from either seat.
_PARTS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "tee": ((96.0, 24.0, 0.0, 0.0), (24.0, 72.0, 0.0, 48.0)),
    "plus": ((96.0, 24.0, 0.0, 0.0), (24.0, 96.0, 0.0, 0.0)),
    "square": ((64.0, 64.0, 0.0, 0.0),),
}
BLOCK_SHAPES = tuple(_PARTS)
TURNED_ALIKE = ("plus", "square")  #: of those, which look the same when turned: no frame tells their angle


@dataclass(frozen=True)
class Pillar:
    """A fixed disc: centre (x, y) and radius, board pixels."""

    x: float
    y: float
    radius: float

    def mirrored(self) -> Pillar:
        return Pillar(BOARD_SIZE - self.x, self.y, self.radius)

    def flipped(self) -> Pillar:
        return Pillar(self.x, BOARD_SIZE - self.y, self.radius)


@dataclass(frozen=True)
class Wall:
    """A fixed rectangle from (left, top) to (right, bottom), board pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def mirrored(self) -> Wall:
        return Wall(BOARD_SIZE - self.right, self.top, BOARD_SIZE - self.left, self.bottom)

    def flipped(self) -> Wall:
        return Wall(self.left, BOARD_SIZE - self.bottom, self.right, BOARD_SIZE - self.top)


Obstacle = Pillar | Wall


def block_parts(shape: str, scale: float = 1.0) -> tuple[Array, ...]:
    """Corners of each convex part of the block, (4, 2) px, about its centre of gravity with the angle at zero."""
    if shape not in _PARTS:
        raise ValueError(f"unknown block shape {shape!r}; choose one of {', '.join(BLOCK_SHAPES)}")
    areas = np.array([w * h for w, h, _, _ in _PARTS[shape]])
    centres = np.array([(x, y) for _, _, x, y in _PARTS[shape]])
    gravity = (areas[:, None] * centres).sum(axis=0) / areas.sum()
    unit = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    return tuple(scale * (unit * (w, h) + (x, y) - gravity) for w, h, x, y in _PARTS[shape])


def block_outline(shape: str, scale: float = 1.0, spacing: float = 8.0) -> Array:
    """Points (N, 2) px along the edges of a block's parts, at most ``spacing`` px apart, its corners among them."""
    points = []
    for part in block_parts(shape, scale):
        for corner, following in zip(part, np.roll(part, -1, axis=0), strict=True):
            count = int(np.ceil(np.hypot(*(following - corner)) / spacing))
            points.append(corner + np.arange(count)[:, None] / count * (following - corner))
    return np.concatenate(points)


def place(points: Array, x: float, y: float, angle: float) -> Array:
    """Rotate ``points`` (N, 2) by ``angle`` radians and move them to (x, y)."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = points @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(turned + np.array((x, y)))


def wrap_angle(angle: Array | float) -> Array:
    """Angle in radians brought into [-pi, pi)."""
    return np.asarray((np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi)


def mirror_state(state: Array) -> Array:
    """The board seen from the other seat: left and right swapped and p1 and p2 swapped; (..., 7) to (..., 7).

    Every block shape is its own mirror image, so a mirrored pose is the same shape at the negated angle.
    """
    s = np.asarray(state, dtype=np.float64)
    out = np.empty_like(s)
    out[..., 0], out[..., 1] = BOARD_SIZE - s[..., 2], s[..., 3]
    out[..., 2], out[..., 3] = BOARD_SIZE - s[..., 0], s[..., 1]
    out[..., 4], out[..., 5] = BOARD_SIZE - s[..., 4], s[..., 5]
    out[..., 6] = -s[..., 6]
    return out


def mirror_block(block: Array) -> Array:
    """An action block (..., 2) seen from the other seat: dx negated."""
    return np.asarray(np.asarray(block, dtype=np.float64) * (-1.0, 1.0))


def flip_state(state: Array) -> Array:
    """The board upside down: top and bottom swapped, the agents keep their names; (..., 7) to (..., 7).

    Nothing falls on this board, so a turn played upside down is as lawful as the turn itself.
    """
    out = np.array(state, dtype=np.float64)
    out[..., 1:6:2] = BOARD_SIZE - out[..., 1:6:2]
    out[..., 6] = wrap_angle(np.pi - out[..., 6])
    return out


def flip_block(block: Array) -> Array:
    """An action block (..., 2) upside down: dy negated."""
    return np.asarray(np.asarray(block, dtype=np.float64) * (1.0, -1.0))
