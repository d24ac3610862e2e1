"""Scripted opponents. They see the true position, move at full speed and never ask the physics engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np

from pushjepa.physics import Pillar
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array
from pushjepa.relay.contract import Observation, Policy, Side, StateView
from pushjepa.relay.footwork import (
    STRIDE,
    Contacts,
    block_boxes,
    contacts,
    find_way,
    follow_push,
    pace,
    stage_boxes,
    steps_along,
)
from pushjepa.relay.rules import check_side, other
from pushjepa.relay.stages import Stage, distance_to

_SHORT_LIST = 8  # places for which the real way is searched
_FACING = 0.3  # least cosine between a push and the wanted heading for it to be any use
_ANGLES = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0)  # degrees off the wanted heading that are tried
_PARTS = 10  # pieces into which a push is cut to foresee it


class RandomPolicy:
    """Uniform actions."""

    sees: Literal["frames", "state"] = "state"

    def __init__(self, side: Side, stage: Stage) -> None:
        self.side, self.stage = check_side(side), stage

    def act(self, observation: Observation, rng: np.random.Generator) -> Array:
        return rng.uniform(-1.0, 1.0, (c.TURN_STEPS, 2))


class PassivePolicy:
    """Never moves."""

    sees: Literal["frames", "state"] = "state"

    def __init__(self, side: Side, stage: Stage) -> None:
        self.side, self.stage = check_side(side), stage

    def act(self, observation: Observation, rng: np.random.Generator) -> Array:
        return np.zeros((c.TURN_STEPS, 2))


class _Pusher(ABC):
    """A player that walks to a place at the block and pushes from there; what differs is which place and whereto."""

    sees: Literal["frames", "state"] = "state"

    def __init__(self, side: Side, stage: Stage) -> None:
        self.side, self.stage = check_side(side), stage
        self._discs = tuple(o for o in stage.obstacles if isinstance(o, Pillar))
        self._walls = stage_boxes(stage.obstacles)

    def act(self, observation: Observation, rng: np.random.Generator) -> Array:
        view = _require_state(observation)
        me, waiter = (np.array(getattr(view, side)) for side in (self.side, other(self.side)))
        block = np.array([*view.block, view.angle])
        heading, aim = self._aim(block[:2], np.array(observation.goals))
        places = self._reachable(contacts(block), waiter)
        direct = np.abs(places.agent - me).max(axis=1) / STRIDE
        good = np.argsort(self._dislike(places, heading, direct), kind="stable")[:_SHORT_LIST]
        places = places.at(good)
        boxes = (*block_boxes(block), *self._walls)
        discs = (*self._discs, Pillar(float(waiter[0]), float(waiter[1]), c.AGENT_RADIUS))
        ways = [find_way(me, spot, boxes, discs) for spot in places.agent]
        steps = np.array([steps_along(way) for way in ways])
        if steps.min() > c.TURN_STEPS - 0.5:
            way = ways[int(np.argmin(self._dislike(places, heading, steps)))]
            return pace(way, np.zeros(2))
        index, push = _best_push(block, places, steps, heading, aim)
        return pace(ways[index], push)

    @abstractmethod
    def _aim(self, block: Array, goals: Array) -> tuple[Array, Array]:
        """Unit vector (2,) along which the block shall go, and the point (2,) that it shall come near."""

    @abstractmethod
    def _dislike(self, places: Contacts, heading: Array, steps: Array) -> Array:
        """How bad it is (N,) to push at each place, given the env steps (N,) that it takes to get there."""

    def _reachable(self, places: Contacts, waiter: Array) -> Contacts:
        """The places at which an agent has room; all of them if none has."""
        low, high = c.WALL_INSET + c.AGENT_RADIUS, c.BOARD_SIZE - c.WALL_INSET - c.AGENT_RADIUS
        spots = places.agent
        free = ((spots >= low) & (spots <= high)).all(axis=1)
        free &= np.hypot(*(spots - waiter).T) > 2 * c.AGENT_RADIUS
        for item in self.stage.obstacles:
            free &= np.array([distance_to(item, spot) > c.AGENT_RADIUS for spot in spots])
        return places.at(np.flatnonzero(free)) if free.any() else places


class ChaseT(_Pusher):
    """Walks to the block by the shortest way and shoves it, steering toward its own goal."""

    def _aim(self, block: Array, goals: Array) -> tuple[Array, Array]:
        return _direction(block, goals[0]), goals[0]

    def _dislike(self, places: Contacts, heading: Array, steps: Array) -> Array:
        return steps - 10.0 * (places.push @ heading > _FACING)


class Adversarial(_Pusher):
    """Gets between the block and the other side's goal and drives the block away from that goal."""

    def _aim(self, block: Array, goals: Array) -> tuple[Array, Array]:
        away = _direction(goals[1], block)
        return away, block + c.BOARD_SIZE * away

    def _dislike(self, places: Contacts, heading: Array, steps: Array) -> Array:
        return 0.2 * steps - 3.0 * (places.push @ heading) + places.lever / 30.0


class Shove(_Pusher):
    """Goes round behind the block, then pushes it at its own goal."""

    def _aim(self, block: Array, goals: Array) -> tuple[Array, Array]:
        return _direction(block, goals[0]), goals[0]

    def _dislike(self, places: Contacts, heading: Array, steps: Array) -> Array:
        return 0.2 * steps - 3.0 * (places.push @ heading) + places.lever / 30.0


def _best_push(block: Array, places: Contacts, steps: Array, heading: Array, aim: Array) -> tuple[int, Array]:
    """The place, and the way (2,) to push on from there, that bring the block nearest to ``aim`` (2,).

    Args:
        block: (x, y, angle).
        places: N contacts.
        steps: (N,) env steps that pass before the agent is there.
        heading: unit vector (2,) to push along, more or less.
        aim: point (2,), px.
    """
    turns = np.radians(_ANGLES)
    cos, sin = np.cos(turns), np.sin(turns)
    fan = np.stack([heading[0] * cos - heading[1] * sin, heading[0] * sin + heading[1] * cos], axis=1)
    fan /= np.abs(fan).max(axis=1, keepdims=True)  # full speed: to the edge of the action square
    index = np.repeat(np.arange(len(steps)), len(fan))
    left = np.maximum(c.TURN_STEPS - steps, 0.0)[index]
    runs = np.tile(fan, (len(steps), 1)) * STRIDE * left[:, None] / _PARTS
    track = follow_push(block, places.at(index), runs, _PARTS)
    miss = np.hypot(*np.moveaxis(track - aim, -1, 0))
    best, parts = np.unravel_index(int(np.argmin(miss)), miss.shape)
    return int(index[best]), runs[best] * parts


def _direction(start: Array, end: Array) -> Array:
    """Unit vector from ``start`` to ``end``; along x where they coincide."""
    run = end - start
    length = float(np.hypot(*run))
    return run / length if length > 1e-6 else np.array([1.0, 0.0])


def _require_state(observation: Observation) -> StateView:
    if observation.state is None:
        raise ValueError("a scripted opponent needs an observation with the state")
    return observation.state


OPPONENTS: dict[str, Callable[[Side, Stage], Policy]] = {
    "random": RandomPolicy,
    "passive": PassivePolicy,
    "chase_t": ChaseT,
    "adversarial": Adversarial,
    "shove": Shove,
}
