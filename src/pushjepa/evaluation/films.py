"""Films of play side by side: a panel for each player, with what surprised it below. Drawn and written by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pushjepa.adaptation import Event

Frame = NDArray[np.uint8]  #: (H, W, 3) RGB
Colour = tuple[int, int, int]

STEP_MS = 100  #: of a frame: an env step, in real time
_HOLD_MS = 1500  # of the last one
_GAP, _TOP, _BELOW = 6, 40, 58  # px between panels, of the captions, of the strip
_PAPER, _INK, _PALE = (255, 255, 255), (40, 44, 52), (150, 155, 165)
_BAR, _ALARM, _ACT = (150, 155, 165), (217, 130, 0), (11, 110, 153)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FLAT = (cv2.IMWRITE_GIF_DITHER, 3)  # a palette of the frame's own colours: no speckles, a tenth of the bytes
_LEAST = 20.0  # px: a strip is at least so high that small surprises look small


@dataclass(frozen=True)
class Strip:
    """What a mind was surprised by.

    Attributes:
        at: the frames at which it looked.
        px: how far off its prediction was at each.
        alarms, acts: whether there was an alarm at each, and whether System M did something.
    """

    at: tuple[int, ...]
    px: tuple[float, ...]
    alarms: tuple[bool, ...]
    acts: tuple[bool, ...]

    @classmethod
    def of(cls, events: Sequence[Event], steps: int) -> Strip:
        """From a mind's events, ``steps`` frames from one boundary to the next."""
        return cls(
            tuple(steps * event.turn for event in events),
            tuple(event.surprise.px for event in events),
            tuple(event.alarm for event in events),
            tuple(bool(event.act or event.opening) for event in events),
        )


@dataclass(frozen=True)
class Panel:
    """One player's part of a film.

    Attributes:
        title: stands on top.
        frames: one for each env step; the last one is held where others go on.
        verdict: stands beside the title from the last frame on.
        strip: below it, if there is a mind.
        inset: a small picture in the corner, the goal for example.
    """

    title: str
    frames: Sequence[Frame]
    verdict: str = ""
    strip: Strip | None = None
    inset: Frame | None = None


def compose(panels: Sequence[Panel], size: int = 256) -> list[Frame]:
    """The frames of a film, panels side by side.

    Args:
        panels: at least one, each with at least one frame.
        size: height and width of a panel's picture, px; smaller frames are enlarged.

    Raises:
        ValueError: nothing to show.
    """
    if not panels or not all(len(panel.frames) for panel in panels):
        raise ValueError("a film needs panels, and each of them frames")
    length = max(len(panel.frames) for panel in panels)
    top = max([_LEAST, *(px for panel in panels if panel.strip for px in panel.strip.px)])
    corner = _emptiest_corner([frame for panel in panels for frame in panel.frames])
    out = []
    for now in range(length):
        columns = [_draw_panel(panel, now, length, size, top, corner) for panel in panels]
        gap = np.full((len(columns[0]), _GAP, 3), 255, dtype=np.uint8)
        out.append(np.concatenate([part for column in columns for part in (column, gap)][:-1], axis=1))
    return out


def write_film(path: Path, frames: Sequence[Frame]) -> None:
    """Write a film at ``STEP_MS`` a frame; the last one is held a while.

    Args:
        path: ends in ``.gif`` or ``.mp4``; its folder is made if missing.
        frames: (H, W, 3) RGB uint8, all of one size.

    Raises:
        ValueError: another ending, or OpenCV cannot write the file.
    """
    check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]  # OpenCV writes BGR
    if path.suffix == ".gif":
        animation = cv2.Animation()
        animation.frames = pictures
        animation.durations = [STEP_MS] * (len(pictures) - 1) + [_HOLD_MS]
        done, data = cv2.imencodeanimation(".gif", animation, _FLAT)
        if not done:
            raise ValueError(f"OpenCV could not write {path}")
        path.write_bytes(bytes(data))
        return
    height, width = (size - size % 2 for size in pictures[0].shape[:2])  # the codec wants even sizes
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 1000 / STEP_MS, (width, height))
    if not video.isOpened():
        raise ValueError(f"OpenCV could not write {path}; try .gif")
    for picture in [*pictures, *pictures[-1:] * (_HOLD_MS // STEP_MS)]:
        video.write(np.ascontiguousarray(picture[:height, :width]))
    video.release()


def check_ending(path: Path) -> None:
    """Refuse a file that no film can be written to, before anything is played.

    Raises:
        ValueError: it ends in neither ``.gif`` nor ``.mp4``.
    """
    if path.suffix not in (".gif", ".mp4"):
        raise ValueError(f"a film ends in .gif or .mp4, got {path.name}")


def _emptiest_corner(frames: Sequence[Frame]) -> tuple[bool, bool]:
    """Which corner, (bottom, right), shows least over some frames: there an inset hides least."""

    def shown(bottom: bool, right: bool) -> float:
        some = [frame[-len(frame) // 4 :] if bottom else frame[: len(frame) // 4] for frame in frames]
        parts = [rows[:, -len(rows) :] if right else rows[:, : len(rows)] for rows in some]
        return float(np.mean([part.std() for part in parts]))

    return min(((False, True), (False, False), (True, True), (True, False)), key=lambda corner: shown(*corner))


def _draw_panel(panel: Panel, now: int, length: int, size: int, top: float, corner: tuple[bool, bool]) -> Frame:
    """One panel (``_TOP`` + size + ``_BELOW``, size, 3) at frame ``now``."""
    over = now >= len(panel.frames) - 1
    image = np.full((_TOP + size + _BELOW, size, 3), _PAPER, dtype=np.uint8)
    _write(image, panel.title, (2, 16), 0.46, _INK)
    if over and panel.verdict:
        _write(image, panel.verdict, (2, 33), 0.4, _ACT)
    picture = panel.frames[min(now, len(panel.frames) - 1)]
    image[_TOP : _TOP + size] = _sized(picture, size)
    if panel.inset is not None:
        _draw_inset(image[_TOP : _TOP + size], panel.inset, *corner)
    if panel.strip is not None:
        _draw_strip(image[_TOP + size :], panel.strip, min(now, len(panel.frames) - 1), length, top)
    return image


def _draw_inset(image: Frame, inset: Frame, bottom: bool, right: bool) -> None:
    """A small picture of the goal in a corner of (size, size, 3)."""
    small = len(image) // 4
    y, x = (len(image) - 4 - small if far else 4 for far in (bottom, right))
    image[y : y + small, x : x + small] = _sized(inset, small)
    cv2.rectangle(image, (x - 1, y - 1), (x + small, y + small), _INK, 1)
    _write(image, "goal", (x + 3, y + small - 4), 0.32, _INK)


def _draw_strip(image: Frame, strip: Strip, now: int, length: int, top: float) -> None:
    """Bars of surprise so far in (``_BELOW``, W, 3), with a mark wherever System M acted."""
    height, width = image.shape[:2]
    floor, ceiling = height - 12, 16
    cv2.line(image, (0, floor), (width, floor), _PALE, 1)
    known = [i for i, at in enumerate(strip.at) if at <= now]
    for i in known:
        x = round((width - 10) * strip.at[i] / max(1, length - 1))
        high = round((floor - ceiling) * min(1.0, strip.px[i] / top))
        cv2.rectangle(image, (x, floor - high), (x + 8, floor), _ALARM if strip.alarms[i] else _BAR, cv2.FILLED)
        if strip.acts[i]:
            mark = np.array([(x + 4, floor + 2), (x, floor + 10), (x + 8, floor + 10)], dtype=np.int32)
            cv2.fillConvexPoly(image, mark, _ACT, cv2.LINE_AA)
    acted = sum(strip.acts[i] for i in known)
    said = f"surprise {strip.px[known[-1]]:.0f} px" if known else "surprise"
    _write(image, f"{said}{f', acted {acted}x' if acted else ''}", (2, 12), 0.36, _INK)


def _sized(frame: Frame, size: int) -> Frame:
    if frame.shape[:2] == (size, size):
        return frame
    way = cv2.INTER_CUBIC if len(frame) < size else cv2.INTER_AREA
    return np.asarray(cv2.resize(np.ascontiguousarray(frame), (size, size), interpolation=way), dtype=np.uint8)


def _write(image: Frame, text: str, where: tuple[int, int], scale: float, colour: Colour) -> None:
    cv2.putText(image, text, where, _FONT, scale, colour, 1, cv2.LINE_AA)
