"""Scripted opponents. They see the true position, move at full speed and never ask the physics engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from pushjepa.physics import Pillar
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array
from pushjepa.relay.contract import Observation, Policy, Side, StateView
from pushjepa.relay.footwork import Contacts, block_boxes, contacts, find_way, pace, stage_boxes, steps_along
from pushjepa.relay.rules import check_side, other
from pushjepa.relay.stages import Stage, distance_to


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


class _Pusher:
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
        heading, length = self._aim(block[:2], np.array(observation.goals))
        places = self._reachable(contacts(block), waiter)
        walk = self._walk(me, waiter, block, places, heading)
        return pace(np.concatenate([walk, [walk[-1] + heading * length]]))

    def _aim(self, block: Array, goals: Array) -> tuple[Array, float]:
        """Unit vector (2,) along which the block shall go, and how far, px."""
        raise NotImplementedError

    def _score(self, places: Contacts, heading: Array, steps: Array) -> Array:
        """How good it is (N,) to push at each place, given the env steps (N,) that it takes to get there."""
        raise NotImplementedError

    def _walk(self, me: Array, waiter: Array, block: Array, places: Contacts, heading: Array) -> Array:
        """The way (P, 2) to the best place."""
        boxes = (*block_boxes(block), *self._walls)
        discs = (*self._discs, Pillar(float(waiter[0]), float(waiter[1]), c.AGENT_RADIUS))
        # Only places that look good on the way as the crow flies are worth a search for the real one.
        direct = np.abs(places.agent - me).max(axis=1) / (c.AGENT_SPEED * c.STEP_SECONDS)
        best = np.argsort(-self._score(places, heading, direct), kind="stable")[:_SHORT_LIST]
        places = Contacts(places.agent[best], places.push[best], places.lever[best])
        ways = [find_way(me, spot, boxes, discs) for spot in places.agent]
        steps = np.array([steps_along(way) for way in ways])
        return ways[int(np.argmax(self._score(places, heading, steps)))]

    def _reachable(self, places: Contacts, waiter: Array) -> Contacts:
        """The places at which an agent has room; all of them if none has."""
        low, high = c.WALL_INSET + c.AGENT_RADIUS, c.BOARD_SIZE - c.WALL_INSET - c.AGENT_RADIUS
        spots = places.agent
        free = ((spots >= low) & (spots <= high)).all(axis=1)
        free &= np.hypot(*(spots - waiter).T) > 2 * c.AGENT_RADIUS
        for item in self.stage.obstacles:
            free &= np.array([distance_to(item, spot) > c.AGENT_RADIUS for spot in spots])
        if not free.any():
            return places
        return Contacts(spots[free], places.push[free], places.lever[free])


_SHORT_LIST = 6


class ChaseT(_Pusher):
    """Walks to the block by the shortest way and shoves it, steering toward its own goal."""

    def _aim(self, block: Array, goals: Array) -> tuple[Array, float]:
        return _towards(block, goals[0])

    def _score(self, places: Contacts, heading: Array, steps: Array) -> Array:
        return (places.push @ heading > 0.5) * 10.0 - steps - places.lever / 50.0


class Adversarial(_Pusher):
    """Gets between the block and the other side's goal and drives the block away from that goal."""

    def _aim(self, block: Array, goals: Array) -> tuple[Array, float]:
        heading, _ = _towards(goals[1], block)
        return heading, c.BOARD_SIZE

    def _score(self, places: Contacts, heading: Array, steps: Array) -> Array:
        return 3.0 * (places.push @ heading) - 0.2 * steps - places.lever / 30.0


class Shove(_Pusher):
    """Goes round behind the block, then pushes it at its own goal."""

    def _aim(self, block: Array, goals: Array) -> tuple[Array, float]:
        return _towards(block, goals[0])

    def _score(self, places: Contacts, heading: Array, steps: Array) -> Array:
        return 3.0 * (places.push @ heading) - 0.2 * steps - places.lever / 15.0


def _towards(start: Array, end: Array) -> tuple[Array, float]:
    """Unit vector from ``start`` to ``end`` and their distance in px; along x where they coincide."""
    run = end - start
    length = float(np.hypot(*run))
    return (run / length, length) if length > 1e-6 else (np.array([1.0, 0.0]), 0.0)


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
