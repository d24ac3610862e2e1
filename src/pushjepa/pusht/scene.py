"""Drawing Push-T exactly as ``swm/PushT-v1`` does, from states alone and in less than half the time.

Episodes can therefore be kept as states, and frames be drawn when they are wanted. A test holds frames of both against
each other, pixel for pixel. As there, everything is drawn at 512 px with whole coordinates, then made smaller. Blocks
of other sizes and shapes are drawn as ``pushjepa/PushT-v1`` draws them; the green goal is the same block.

One thing is left out, for no state tells of it: where bodies touch, the environment marks the points of contact in red,
which is a pixel or two of a frame of 112 px.
"""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import NDArray

from pushjepa.pusht.geometry import place
from pushjepa.pusht.simulator import BOARD, Array, PushTPhysics, block_parts

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # nothing is shown; pygame would look for a screen
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame

Frame = NDArray[np.uint8]
Colour = tuple[int, int, int]

_SIDE = int(BOARD)
_WHITE, _WALL, _GOAL = (255, 255, 255), (211, 211, 211), (144, 238, 144)
_BLOCK, _AGENT = (119, 136, 153), (65, 105, 225)
_GOAL_POSE = np.array([256.0, 256.0, np.pi / 4])  # the green block is always drawn here, whatever the goal is
_RIM = 2  # px of outline round the block's parts
_AGENT_RIM = 4  # px
_NEAR, _FAR = 5, 506
_WALLS = (
    ((_NEAR, _FAR), (_NEAR, _NEAR)),
    ((_NEAR, _NEAR), (_FAR, _NEAR)),
    ((_FAR, _NEAR), (_FAR, _FAR)),
    ((_NEAR, _FAR), (_FAR, _FAR)),
)


class PushTScene:
    """Draws frames of one size.

    Args:
        size: height and width of a frame, px.
        physics: whose block and agent are drawn; those of the environment if None.

    Raises:
        ValueError: a size under 16 px.
    """

    def __init__(self, size: int = 112, physics: PushTPhysics | None = None) -> None:
        if size < 16:
            raise ValueError(f"a frame is at least 16 pixels wide, got {size}")
        self.size = size
        self.physics = physics or PushTPhysics()
        self._parts = block_parts(self.physics)
        self._background = _background(self._parts)
        self._canvas = pygame.Surface((_SIDE, _SIDE), depth=32)

    def draw(self, state: Array) -> Frame:
        """The frame (size, size, 3) uint8 RGB of a state (7,)."""
        canvas = self._canvas
        canvas.blit(self._background, (0, 0))
        for part in self._parts:
            _part(canvas, place(part, state[2:5]))
        _disc(canvas, state[:2], self.physics.agent_radius)
        for a, b in _WALLS:
            _thick_line(canvas, a, b, _WALL)
        # The surface's own memory, four bytes a pixel and blue first: nothing is copied before it is small.
        rows = np.frombuffer(canvas.get_buffer().raw, dtype=np.uint8).reshape(_SIDE, _SIDE, 4)
        small = cv2.resize(rows, (self.size, self.size))
        return np.ascontiguousarray(small[..., 2::-1])

    def draw_many(self, states: Array) -> Frame:
        """Frames (N, size, size, 3) of states (N, 7)."""
        out = np.empty((len(states), self.size, self.size, 3), dtype=np.uint8)
        for index, state in enumerate(states):
            out[index] = self.draw(state)
        return out


def _background(parts: tuple[Array, ...]) -> pygame.Surface:
    canvas = pygame.Surface((_SIDE, _SIDE), depth=32)
    canvas.fill(_WHITE)
    for part in parts:
        corners = [(round(x), round(y)) for x, y in place(part, _GOAL_POSE)]
        pygame.draw.polygon(canvas, _GOAL, [*corners, corners[0]])
    return canvas


def _disc(canvas: pygame.Surface, centre: Array, radius: float) -> None:
    where = (round(float(centre[0])), round(float(centre[1])))
    pygame.draw.circle(canvas, _AGENT, where, round(radius))
    pygame.draw.circle(canvas, _lighter(_AGENT), where, round(radius - _AGENT_RIM))


def _part(canvas: pygame.Surface, corners: Array) -> None:
    whole = [(round(float(x)), round(float(y))) for x, y in corners]
    pygame.draw.polygon(canvas, _lighter(_BLOCK), [*whole, whole[0]])
    for a, b in zip(whole, [*whole[1:], whole[0]], strict=True):
        _thick_line(canvas, a, b, _BLOCK)


def _thick_line(canvas: pygame.Surface, a: tuple[int, int], b: tuple[int, int], colour: Colour) -> None:
    """A line ``2 * _RIM`` px wide with round ends."""
    pygame.draw.lines(canvas, colour, False, [a, b], 2 * _RIM)
    across = np.array([abs(b[1] - a[1]), abs(b[0] - a[0])])
    if not across.any():
        return
    x, y = (round(float(v)) for v in across * (_RIM / np.hypot(*across)))
    quad = [(a[0] - x, a[1] - y), (a[0] + x, a[1] + y), (b[0] + x, b[1] + y), (b[0] - x, b[1] - y)]
    pygame.draw.polygon(canvas, colour, quad)
    for end in (a, b):
        pygame.draw.circle(canvas, colour, end, _RIM)


def _lighter(colour: Colour) -> Colour:
    red, green, blue = (round(min(255.0, 1.2 * value)) for value in colour)
    return red, green, blue
