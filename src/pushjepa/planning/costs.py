"""What a plan is worth, judged on the states (and latents) that the model imagines. Lower is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pushjepa.physics.constants import AGENT_RADIUS, BOARD_SIZE, WALL_INSET
from pushjepa.physics.geometry import Array
from pushjepa.relay.contract import Point, Side
from pushjepa.relay.rules import SIDES
from pushjepa.runtime.contract import FloatArray

PLACE = 0.4  #: what a px of the agent's place weighs in :func:`margin_cost`, where one of the lead weighs 1


class Cost(Protocol):
    """A cost is built with its goal; after that it is a function of a rollout."""

    def __call__(self, states: Array, latents: FloatArray) -> Array:
        """Cost (S,) of the decoded states (S, H, 7) and latents (S, H, K, D) after each of H blocks."""
        ...


#: Builds the cost of a future from the side that plans, the goals, own first, in board px, and the turns of the match
#: that are left after it.
CostFactory = Callable[[Side, tuple[Point, Point], int], Cost]


@dataclass(frozen=True)
class BlockToGoal:
    """Distance in px of the block's centre from ``goal`` at the end."""

    goal: Point

    def __call__(self, states: Array, latents: FloatArray) -> Array:
        return _distance(states[:, -1, 4:6], np.array(self.goal))


@dataclass(frozen=True)
class AgentToBlock:
    """Distance in px of ``side``'s agent from the block's centre at the end."""

    side: Side

    def __call__(self, states: Array, latents: FloatArray) -> Array:
        first = 2 * SIDES.index(self.side)
        return _distance(states[:, -1, first : first + 2], states[:, -1, 4:6])


@dataclass(frozen=True)
class AgentBehindBlock:
    """Distance in px of ``side``'s agent, at the end, from where it would stand to push the block to ``goal`` next.

    That place is ``reach`` px from the block's centre on the far side from ``goal``, or the nearest to it that the
    board's walls leave room for; a block nearer to the goal than ``reach`` lets it come nearer, so that the place does
    not jump where the block crosses the goal. It knows nothing of the block's outline, its scale or obstacles: at 40 px
    an agent would mostly overlap a T, so that it is drawn to that side rather than to that point.
    """

    side: Side
    goal: Point
    reach: float = 40.0

    def __call__(self, states: Array, latents: FloatArray) -> Array:
        block, goal = states[:, -1, 4:6], np.array(self.goal)
        away = (block - goal) / np.maximum(_distance(block, goal), self.reach)[:, None]
        nearest = WALL_INSET + AGENT_RADIUS
        place = np.clip(block + self.reach * away, nearest, BOARD_SIZE - nearest)
        first = 2 * SIDES.index(self.side)
        return _distance(states[:, -1, first : first + 2], place)


@dataclass(frozen=True)
class WeightedSum:
    """Costs added up, each (weight, cost)."""

    terms: tuple[tuple[float, Cost], ...]

    def __call__(self, states: Array, latents: FloatArray) -> Array:
        total = np.zeros(len(states))
        for weight, cost in self.terms:
            total += weight * cost(states, latents)
        return total


def push_cost(side: Side, goals: tuple[Point, Point], _: int) -> Cost:
    """The published cost, |agent - block| + 2 |block - own goal|: stay at the block, and bring it home."""
    return WeightedSum(((1.0, AgentToBlock(side)), (2.0, BlockToGoal(goals[0]))))


def goal_cost(_: Side, goals: tuple[Point, Point], __: int) -> Cost:
    """Block to own goal alone, for ablations: nothing leads an agent to a block that it cannot reach in its turn."""
    return BlockToGoal(goals[0])


def margin_cost(side: Side, goals: tuple[Point, Point], turns_left: int) -> Cost:
    """Block to own goal less block to the opponent's, and two fifths of the way from the agent to behind the block.

    What decides a match is by how much the block ends nearer to one goal. The last term says what a turn is worth
    beyond that: an agent behind the block can go on pushing, one before it has to go round. Where only the opponent's
    turn is left it counts as well, for behind the block is in the opponent's way. After the last turn of a match the
    lead alone counts.
    """
    return _margin(goals, turns_left, PLACE, AgentBehindBlock(side, goals[0]))


def near_cost(side: Side, goals: tuple[Point, Point], turns_left: int) -> Cost:
    """As :func:`margin_cost` with a fifth of |agent - block| for its last term, for ablations: stay at the block."""
    return _margin(goals, turns_left, 0.2, AgentToBlock(side))


def _margin(goals: tuple[Point, Point], turns_left: int, weight: float, place: Cost) -> Cost:
    lead: tuple[tuple[float, Cost], ...] = ((1.0, BlockToGoal(goals[0])), (-1.0, BlockToGoal(goals[1])))
    return WeightedSum((*lead, (weight, place)) if turns_left > 0 else lead)


def _distance(a: Array, b: Array) -> Array:
    return np.asarray(np.hypot(a[:, 0] - b[..., 0], a[:, 1] - b[..., 1]))
