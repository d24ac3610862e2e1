"""The rules: who moves, how far a goal is, and who has won."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pushjepa.physics import STATE_FIELDS
from pushjepa.physics.constants import AGENTS
from pushjepa.physics.geometry import Array
from pushjepa.relay.contract import Point, Side
from pushjepa.relay.stages import Stage

MATCH_TURNS = 10  #: turns in a match, alternating
DRAW_MARGIN = 1.0  #: px; goals that are equally near to within this are a draw
SIDES: tuple[Side, Side] = ("p1", "p2")

_BLOCK = slice(STATE_FIELDS.index("block_x"), STATE_FIELDS.index("block_y") + 1)


@dataclass(frozen=True)
class MatchResult:
    """How a position stands, or how a match ended.

    Attributes:
        winner: the side whose goal is nearer to the block's centre; None for a draw.
        distances: from the block's centre to each side's goal, px.
        progress: start distance minus end distance to each side's goal, px.
    """

    winner: Side | None
    distances: dict[Side, float]
    progress: dict[Side, float]

    def net_progress(self, side: Side) -> float:
        """Own progress minus the other side's, px."""
        return self.progress[side] - self.progress[other(side)]


def check_side(side: str) -> Side:
    """Return ``side``, or raise ValueError if it is neither "p1" nor "p2"."""
    if side == "p1":
        return "p1"
    if side == "p2":
        return "p2"
    raise ValueError(f"unknown side {side!r}; choose one of {', '.join(AGENTS)}")


def other(side: Side) -> Side:
    """The opponent of ``side``."""
    return "p2" if side == "p1" else "p1"


def side_to_move(turn: int, first: Side) -> Side:
    """Who acts in ``turn``, counted from 0, when ``first`` acts in turn 0."""
    return first if turn % 2 == 0 else other(first)


def goal_distance(state: Array, goal: Point) -> float:
    """Distance in px from the block's centre in ``state`` (7,) to ``goal`` (x, y)."""
    return float(np.hypot(*(np.asarray(state)[_BLOCK] - goal)))


def judge(start_state: Array, end_state: Array, stage: Stage) -> MatchResult:
    """Who wins if the match that began in ``start_state`` (7,) ends in ``end_state`` (7,)."""
    goals = stage.goals
    distances = {side: goal_distance(end_state, goals[side]) for side in SIDES}
    progress = {side: goal_distance(start_state, goals[side]) - distances[side] for side in SIDES}
    lead = distances["p2"] - distances["p1"]
    winner: Side | None = None if abs(lead) <= DRAW_MARGIN else "p1" if lead > 0 else "p2"
    return MatchResult(winner, distances, progress)
