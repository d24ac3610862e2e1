"""Films of one Push-T task under other laws: what happened, and what was seen and foreseen. Needs the ``pusht`` extra.

The first shows the environment's own frames, expert beside frozen beside adapted; the last frame of each, which no
policy is shown any more, is drawn from the simulator's state. The second shows what the model reads in its slots,
frozen beside adapted. A slot tells where the block lies and how it is turned, not what it looks like, so its outline is
the true one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pushjepa.adaptation import Event
from pushjepa.evaluation.films import Colour, Frame, Panel, Strip, compose
from pushjepa.evaluation.pusht_shifts import Course, data_under, draw_tasks, play_condition
from pushjepa.physics.geometry import Array
from pushjepa.pusht.geometry import place
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.shifts import find_laws
from pushjepa.pusht.simulator import BOARD, PushTPhysics, Simulator, block_parts

_SHIFT = 4  # fractional bits of OpenCV's coordinates
_ONE = 1 << _SHIFT
_PAPER, _WALL = (250, 250, 252), (211, 211, 211)
_AGENT, _BLOCK = (65, 105, 225), (70, 84, 104)
_GHOST_AGENT, _GHOST_BLOCK = (160, 190, 250), (240, 170, 110)
_AGENT_TRAIL, _BLOCK_TRAIL = (170, 185, 230), (180, 186, 196)


@dataclass(frozen=True)
class Side:
    """One player's episode.

    Attributes:
        title: what it is called.
        frames: (T + 1) of every env step, the environment's own but for the last.
        events: of its mind.
        solved: whether the goal was reached.
    """

    title: str
    frames: list[Frame]
    events: list[Event]
    solved: bool


@dataclass(frozen=True)
class Filmed:
    """A task that was played by expert, frozen and adapted.

    Attributes:
        shift: name of the laws.
        physics: the laws.
        expert: frames of what the expert's actions lead to.
        goal: the goal's frame.
        sides: frozen and adapted.
    """

    shift: str
    physics: PushTPhysics
    expert: list[Frame]
    goal: Frame
    sides: tuple[Side, Side]


def film_task(course: Course, shift: str, seed: int) -> Filmed:
    """Play one task under a shift, frozen and adapted.

    Args:
        course: how; its number of episodes does not matter.
        shift: name of the laws, or of the standard ones.
        seed: draws the task.

    Raises:
        ValueError: an unknown shift.
    """
    one, physics = replace(course, episodes=1), find_laws(shift) or PushTPhysics()
    tasks = draw_tasks(one, seed)
    ends = tasks.starts + tasks.goal_offset + 1
    pixels = data_under(one, shift).load_chunk(tasks.episodes, tasks.starts, ends)[0]["pixels"]
    shown = list(pixels.permute(0, 2, 3, 1).numpy())
    sides = []
    for condition in ("frozen", "adapted"):
        played = play_condition(one, shift, condition, seed)
        life, actions = played.lives[0], played.actions[0]
        last = Simulator(physics).run(life.states[0], actions[np.isfinite(actions).all(axis=1)])[-1]
        frames = [*life.frames, PushTScene(len(life.frames[0]), physics).draw(last)]
        sides.append(Side(condition, frames, list(life.events), played.solved[0]))
    return Filmed(shift, physics, shown, shown[-1], (sides[0], sides[1]))


def draw_play(filmed: Filmed, steps: int, size: int = 256) -> list[Frame]:
    """Expert, frozen and adapted side by side, ``steps`` env steps from boundary to boundary."""
    panels = [Panel(f"expert: {filmed.shift}", filmed.expert, "goal reached", None, filmed.goal)]
    for side in filmed.sides:
        strip = Strip.of(side.events, steps)
        panels.append(Panel(side.title, side.frames, _verdict(side), strip, filmed.goal))
    return compose(panels, size)


def draw_slots(filmed: Filmed, read: Sequence[Array], steps: int, size: int = 320) -> list[Frame]:
    """What frozen and adapted read in their slots: what is seen, and pale what was foreseen of the next boundary.

    Args:
        filmed: the task.
        read: for each side the states (T + 1, 5) that the model reads in its frames: agent xy, block xy, angle.
        steps: env steps from boundary to boundary.
        size: of a panel, px.
    """
    panels = []
    for side, states in zip(filmed.sides, read, strict=True):
        canvas = _Canvas(filmed.physics, size)
        foreseen = {event.turn: event.predicted for event in side.events}
        frames = [canvas.draw(states[: now + 1], foreseen.get(max(1, -(-now // steps)))) for now in range(len(states))]
        panels.append(
            Panel(f"slots, {side.title}: {filmed.shift}", frames, _verdict(side), Strip.of(side.events, steps))
        )
    return compose(panels, size)


def _verdict(side: Side) -> str:
    return "goal reached" if side.solved else "not reached"


class _Canvas:
    """Draws decoded states as outlines with trails."""

    def __init__(self, physics: PushTPhysics, size: int) -> None:
        self.physics, self.scale, self.size = physics, size / BOARD, size
        self.parts = block_parts(physics)

    def draw(self, states: Array, ghost: Array | None) -> Frame:
        """The last of states (T, 5), the ways there, and one that was foreseen."""
        image = np.full((self.size, self.size, 3), _PAPER, dtype=np.uint8)
        cv2.rectangle(image, (2, 2), (self.size - 3, self.size - 3), _WALL, 2)
        self._trail(image, states[:, 2:4], _BLOCK_TRAIL)
        self._trail(image, states[:, :2], _AGENT_TRAIL)
        if ghost is not None:
            self._bodies(image, ghost, _GHOST_AGENT, _GHOST_BLOCK, 1)
        self._bodies(image, states[-1], _AGENT, _BLOCK, 2)
        return image

    def _bodies(self, image: Frame, state: Array, agent: Colour, block: Colour, thick: int) -> None:
        outline = np.zeros((self.size, self.size), dtype=np.uint8)  # of all parts together, without lines in between
        for part in self.parts:
            cv2.fillConvexPoly(outline, self._fixed(place(part, state[2:5])), 255, cv2.LINE_8, _SHIFT)
        found, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, found, -1, block, thick, cv2.LINE_AA)
        x, y = (int(v) for v in self._fixed(state[:2]))
        radius = round(self.physics.agent_radius * self.scale * _ONE)
        cv2.circle(image, (x, y), radius, agent, thick, cv2.LINE_AA, _SHIFT)

    def _trail(self, image: Frame, places: Array, colour: Colour) -> None:
        cv2.polylines(image, [self._fixed(places)], False, colour, 1, cv2.LINE_AA, _SHIFT)

    def _fixed(self, points: Array) -> NDArray[np.int32]:
        return np.rint(points * self.scale * _ONE).astype(np.int32)
