"""Opponents for tests of generalisation, used for nothing else.

No data is generated with them, no weight is trained and no planner is tuned against them; keep it so. The first three
are older than the bundled weights, the next three were written once those were frozen, the last three once cost,
prior and reply of ``jepa-reply`` were too. Each takes a seat by its name:
``pushjepa match --p1 jepa-reply --p2 pushjepa.relay.strangers:Bull``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np

from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array
from pushjepa.relay.contract import Observation, Side, StateView
from pushjepa.relay.footwork import STRIDE, block_boxes, find_way, pace, stage_boxes
from pushjepa.relay.rules import check_side, other
from pushjepa.relay.stages import Stage

_RUN_UP = 70.0  # px from the block's centre at which the bull turns to charge
_LANE = 35.0  # px off the line through block and goal that still count as behind the block
_GUARD = 75.0  # px from the block's centre at which the keeper stands
_NUDGE = 90.0  # px: nearer to the block than that the nudger pushes, at this speed
_GENTLE = 0.45
_ARM = 28.0  # px beside the block's centre at which the spinner pushes
_TAP = 95.0  # px from the block's centre from which the woodpecker taps
_SHORE = 110.0  # px from the board's edge at which the smuggler takes the block along
_PORT = 110.0  # px along the board from its goal, from which on it makes for that
_PRESS = 120.0  # px from the block within which the bouncer bears no rival


class _Stranger(ABC):
    """A player that sees the true position and has the stage's walls to go round."""

    sees: Literal["frames", "state"] = "state"

    def __init__(self, side: Side, stage: Stage) -> None:
        self.side, self.stage = check_side(side), stage
        self._walls = stage_boxes(stage.obstacles)

    def act(self, observation: Observation, rng: np.random.Generator) -> Array:
        view = observation.state
        if view is None:
            raise ValueError("this opponent needs an observation with the state")
        me, block = np.array(getattr(view, self.side)), np.array(view.block)
        return self._move(me, block, np.array(observation.goals), view)

    @abstractmethod
    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        """The action block (5, 2), from positions (2,) and goals (2, 2), own first."""

    def _walk(self, me: Array, spot: Array, view: StateView, then: Array | None = None) -> Array:
        """Walk to a spot round block and walls, and spend what is left of the turn on going on by ``then`` (2,)."""
        low, high = c.WALL_INSET + c.AGENT_RADIUS, c.BOARD_SIZE - c.WALL_INSET - c.AGENT_RADIUS
        boxes = (*block_boxes(np.array([*view.block, view.angle])), *self._walls)
        return pace(find_way(me, np.clip(spot, low, high), boxes, ()), np.zeros(2) if then is None else then)

    def _charge(self, me: Array, mark: Array, ahead: Array, view: StateView) -> Array:
        """Straight through a mark (2,) along ``ahead`` (2,), a unit vector, from a run-up behind it."""
        gap = mark - me
        along, aside = float(gap @ ahead), abs(float(ahead[0] * gap[1] - ahead[1] * gap[0]))
        if along > 0.0 and aside < _LANE:
            return pace(np.stack([me, mark]), c.TURN_STEPS * STRIDE * ahead)
        return self._walk(me, mark - _RUN_UP * ahead, view, 3 * STRIDE * ahead)


class Bull(_Stranger):
    """Takes a run-up behind the block and charges straight through its centre at its goal; looks at no angle."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        return self._charge(me, block, _towards(block, goals[0]), view)


class Keeper(_Stranger):
    """Stands between the block and the other side's goal, and leans on the block once it is there."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        back = _towards(goals[1], block)
        spot = block - _GUARD * back
        if np.hypot(*(spot - me)) < c.AGENT_RADIUS:
            return pace(np.stack([me, block]), np.zeros(2))
        return self._walk(me, spot, view, 2 * STRIDE * back)


class Nudger(_Stranger):
    """Comes from whichever side is nearest and pushes gently, across the way to its goal first and then along it."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        gap = block - me
        if np.hypot(*gap) > _NUDGE:
            return self._walk(me, block - 0.8 * _NUDGE * gap / np.hypot(*gap), view)
        wanted = goals[0] - block
        axis = int(np.argmax(np.abs(wanted)))
        if gap[axis] * wanted[axis] < 0.0:  # on the wrong side: go round, along the other axis first
            corner = me.copy()
            corner[1 - axis] = block[1 - axis] + np.copysign(_NUDGE, me[1 - axis] - block[1 - axis])
            beyond = corner.copy()
            beyond[axis] = block[axis] - np.copysign(_NUDGE, wanted[axis])
            return self._walk(me, corner, view, beyond - corner)
        push = np.zeros(2)
        push[axis] = np.sign(wanted[axis])
        push[1 - axis] = np.clip(gap[1 - axis] / _NUDGE, -1.0, 1.0)
        return np.tile(_GENTLE * push, (c.TURN_STEPS, 1))


class Spinner(_Stranger):
    """Charges past the block's centre, on whichever side it is already, so that the block turns as it goes home."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        ahead = _towards(block, goals[0])
        beside = np.array([-ahead[1], ahead[0]])
        return self._charge(me, block + np.copysign(_ARM, (me - block) @ beside) * beside, ahead, view)


class Bishop(_Stranger):
    """Pushes along diagonals only, at the speed that they allow: towards its goal, up or down as the goal lies."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        wanted = goals[0] - block
        return self._charge(me, block, np.copysign(np.sqrt(0.5), wanted), view)


class Marker(_Stranger):
    """Gets between the other agent and the block, and charges where it is the nearer of the two."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        rival = np.array(getattr(view, other(self.side)))
        if np.hypot(*(block - me)) <= np.hypot(*(block - rival)):
            return self._charge(me, block, _towards(block, goals[0]), view)
        return self._walk(me, block + _GUARD * _towards(block, rival), view)


class Woodpecker(_Stranger):
    """Taps the block from behind, in and out again in one turn."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        ahead = _towards(block, goals[0])
        gap = block - me
        if np.hypot(*gap) < _TAP and gap @ ahead > 0.8 * np.hypot(*gap):
            return np.where(np.arange(c.TURN_STEPS)[:, None] < c.TURN_STEPS - 2, ahead, -ahead)
        return self._walk(me, block - _GUARD * ahead, view)


class Smuggler(_Stranger):
    """Takes the block to the nearer of the upper and the lower edge first, along there, and then to its goal."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        lane = _SHORE if block[1] < c.BOARD_SIZE / 2 else c.BOARD_SIZE - _SHORE
        far = abs(goals[0][0] - block[0]) > _PORT
        mark = np.array([(block[0] + goals[0][0]) / 2, lane]) if far else goals[0]
        return self._charge(me, block, _towards(block, mark), view)


class Bouncer(_Stranger):
    """Runs at the other agent where that is near the block, and charges the block where it is not."""

    def _move(self, me: Array, block: Array, goals: Array, view: StateView) -> Array:
        rival = np.array(getattr(view, other(self.side)))
        if np.hypot(*(rival - block)) < _PRESS:
            return pace(np.stack([me, rival]), c.TURN_STEPS * STRIDE * _towards(me, rival))
        return self._charge(me, block, _towards(block, goals[0]), view)


def _towards(start: Array, end: Array) -> Array:
    """Unit vector (2,); along x where both are the same place."""
    run = end - start
    length = float(np.hypot(*run))
    return run / length if length > 1e-6 else np.array([1.0, 0.0])
