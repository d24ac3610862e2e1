"""Drawing the board as the model sees it. One function for play, data and calibration, so that pixels never differ."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Pillar, block_parts, place
from pushjepa.physics.constants import AGENT_RADIUS, BOARD_SIZE, WALL_INSET
from pushjepa.physics.geometry import Array
from pushjepa.relay.stages import Stage

Frame = NDArray[np.uint8]

#: RGB
COLOURS = {
    "wall": (58, 64, 80),
    "floor": (21, 24, 33),
    "p1": (255, 176, 46),
    "p2": (40, 204, 232),
    "p1_goal": (108, 74, 22),
    "p2_goal": (16, 84, 98),
    "block": (236, 238, 244),
}
GOAL_RADIUS = 34.0  # px; drawn only, the rules measure to its centre
_SHIFT = 5  # fractional bits of OpenCV's fixed-point coordinates
_ONE = 1 << _SHIFT


class Scene:
    """Draws frames of one stage at one size.

    Args:
        stage: what stands on the board.
        size: height and width of a frame in pixels.
        block_shape: shape of the block.
        block_scale: its scale.

    Raises:
        ValueError: a size under 16 pixels.
    """

    def __init__(self, stage: Stage, size: int, block_shape: str = "tee", block_scale: float = 1.0) -> None:
        if size < 16:
            raise ValueError(f"a frame is at least 16 pixels wide, got {size}")
        self.size = size
        self._scale = size / BOARD_SIZE
        self._parts = block_parts(block_shape, block_scale)
        self._background = self._draw_background(stage)

    def draw(self, state: Array) -> Frame:
        """The frame (size, size, 3) uint8 RGB of a state (7,)."""
        image = self._background.copy()
        x1, y1, x2, y2, bx, by, angle = (float(v) for v in state)
        for part in self._parts:
            cv2.fillConvexPoly(image, self._fixed(place(part, bx, by, angle)), COLOURS["block"], cv2.LINE_AA, _SHIFT)
        self._disc(image, x1, y1, AGENT_RADIUS, COLOURS["p1"])
        self._disc(image, x2, y2, AGENT_RADIUS, COLOURS["p2"])
        return image

    def draw_many(self, states: Array) -> Frame:
        """Frames (N, size, size, 3) of states (N, 7)."""
        out = np.empty((len(states), self.size, self.size, 3), dtype=np.uint8)
        for i, state in enumerate(states):
            out[i] = self.draw(state)
        return out

    def _draw_background(self, stage: Stage) -> Frame:
        image = np.empty((self.size, self.size, 3), dtype=np.uint8)
        image[:] = COLOURS["wall"]
        low, high = WALL_INSET, BOARD_SIZE - WALL_INSET
        self._rect(image, low, low, high, high, COLOURS["floor"])
        for side, (x, y) in stage.goals.items():
            self._disc(image, x, y, GOAL_RADIUS, COLOURS[f"{side}_goal"])
            self._disc(image, x, y, GOAL_RADIUS - 8.0, COLOURS["floor"])
        for item in stage.obstacles:
            if isinstance(item, Pillar):
                self._disc(image, item.x, item.y, item.radius, COLOURS["wall"])
            else:
                self._rect(image, item.left, item.top, item.right, item.bottom, COLOURS["wall"])
        return image

    def _fixed(self, points: Array) -> NDArray[np.int32]:
        """Board px to OpenCV fixed point; pixel centres lie at half-integers, hence the half pixel."""
        return np.rint((points * self._scale - 0.5) * _ONE).astype(np.int32)

    def _disc(self, image: Frame, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
        cx, cy = (int(v) for v in self._fixed(np.array([x, y])))
        cv2.circle(image, (cx, cy), round(radius * self._scale * _ONE), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def _rect(
        self, image: Frame, left: float, top: float, right: float, bottom: float, colour: tuple[int, int, int]
    ) -> None:
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        cv2.fillConvexPoly(image, self._fixed(corners), colour, cv2.LINE_AA, _SHIFT)
