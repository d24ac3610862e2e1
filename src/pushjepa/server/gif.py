"""A match as an animated GIF, drawn by the function that draws the game."""

from __future__ import annotations

import cv2
import numpy as np

from pushjepa.physics.constants import STEP_SECONDS
from pushjepa.server.decoding import scene_at
from pushjepa.server.session import Session

SIZE = 320  #: px
_STEP_MS = round(1000 * STEP_SECONDS)  # real time
_HOLD_MS = 1500  # the first and the last frame
_FLAT = (cv2.IMWRITE_GIF_DITHER, 3)  # a palette of the frame's own colours: no speckles, a tenth of the bytes


def match_gif(session: Session, size: int = SIZE) -> bytes:
    """Every step of every turn in real time, repeated without end; takes a second or so of one core.

    Args:
        session: the match.
        size: height and width in pixels.
    """
    frames = [scene_at(session.match, 0, size).draw(session.match.states[0])]
    for turn in session.turns:
        scene = scene_at(session.match, turn.index, size)
        frames += [scene.draw(state) for state in turn.states]
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]  # OpenCV writes BGR
    durations = [_STEP_MS] * len(frames)
    durations[0] = durations[-1] = _HOLD_MS
    animation.durations = durations
    done, data = cv2.imencodeanimation(".gif", animation, _FLAT)
    if not done:
        raise RuntimeError("OpenCV could not write the GIF")
    return bytes(data)
