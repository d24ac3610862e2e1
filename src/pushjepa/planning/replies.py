"""How a planner reckons with the other side's turn: as a mixture of answers, never as one guess.

The answers are those that the opponent would like best if it searched its turn as the published planner does, what it
has played in this match, and standing still. How far each is believed in follows from what it would gain the opponent
and from how often it has stood still. Mixing answers keeps the plan from resting on a single one (compare the ladder of
imagined opponents in model-based opponent modelling, Yu et al., 2022; quantal response, McKelvey and Palfrey, 1995).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics.geometry import Array
from pushjepa.planning.costs import CostFactory, push_cost
from pushjepa.relay.rules import SIDES
from pushjepa.runtime.contract import FloatArray


@dataclass(frozen=True)
class Opponent:
    """What is assumed of the opponent.

    Attributes:
        cost: builds what it is thought to plan with; the published cost of one turn.
        candidates: answers that are tried in each iteration of the search for its best one.
        kept: how many of the best are held against every own candidate.
        temperature: px of its cost; an answer that is dearer to it by this much is e times less likely.
        recent: how many of its last turns in the match are held against every own candidate.
        still: share of its turns in which it is expected to stand still, before anything was seen.
        doubt: how many turns of the match weigh as much as that expectation.

    Raises:
        ValueError: a value out of range.
    """

    cost: CostFactory = push_cost
    candidates: int = 48
    kept: int = 3
    temperature: float = 15.0
    recent: int = 2
    still: float = 0.2
    doubt: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.kept < self.candidates:
            raise ValueError(f"kept must lie in 1 ... {self.candidates - 1}, got {self.kept}")
        if self.recent < 0:
            raise ValueError(f"recent must not be negative, got {self.recent}")
        if not (self.temperature > 0.0 and self.doubt > 0.0 and 0.0 <= self.still <= 1.0):
            raise ValueError("temperature and doubt must be positive, still must lie in [0, 1]")

    @property
    def elites(self) -> int:
        """How many answers the next iteration is fitted to."""
        return max(self.kept, math.ceil(0.15 * self.candidates))

    def share_still(self, played: FloatArray) -> float:
        """How often it is expected to stand still, from the turns (T, 5, 2) that it has played."""
        return (self.doubt * self.still + int(_quiet(played).sum())) / (self.doubt + len(played))

    def habits(self, played: FloatArray) -> FloatArray:
        """Standing still, then the last turns in which it moved: (1 + recent at most, 5, 2) of (T, 5, 2)."""
        moved = played[~_quiet(played)]
        still = np.zeros((1, *played.shape[1:]), np.float32)
        return np.concatenate([still, moved[max(0, len(moved) - self.recent) :]]).astype(np.float32)

    def likelihood(self, costs: Array, still: float) -> Array:
        """How likely each answer is (S, R), rows summing to 1, from what it costs the opponent (S, R).

        The first answer is standing still, which has the share ``still`` beside what it has on its merits.
        """
        worth = np.exp((costs.min(axis=1, keepdims=True) - costs) / self.temperature)
        likely = (1.0 - still) * worth / worth.sum(axis=1, keepdims=True)
        likely[:, 0] += still
        return np.asarray(likely)


def _quiet(played: FloatArray) -> NDArray[np.bool_]:
    """Which of some turns (T, 5, 2) are spent standing still."""
    return np.asarray(np.abs(played).max(axis=(1, 2), initial=0.0) < 0.01)


def alternate(actor: int, turns: int) -> NDArray[np.int64]:
    """Who acts in each of some turns (turns,), ``actor`` first."""
    return np.asarray((actor + np.arange(turns)) % len(SIDES), dtype=np.int64)


def replied_candidates(
    own: FloatArray, answers: FloatArray, actor: int, horizon: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Every own plan with every answer.

    Args:
        own: (S, N, 5, 2) own action blocks.
        answers: (R, 5, 2) the opponent's; the same one stands in each of its turns.
        actor: who plans.
        horizon: turns, own ones and answers in turn, own first: 2 N - 1, or 2 N to end with an answer.

    Returns:
        (S * R, horizon, 5, 2 agents, 2) joint blocks, the answers of a plan side by side, and who acts (horizon,).
    """
    count, kinds = len(own), len(answers)
    joint = np.zeros((count, kinds, horizon, own.shape[2], len(SIDES), 2), dtype=np.float32)
    joint[:, :, ::2, :, actor] = own[:, None]
    joint[:, :, 1::2, :, 1 - actor] = answers[None, :, None]
    return joint.reshape(-1, *joint.shape[2:]), alternate(actor, horizon)
