"""How a planner reckons with the other side's turn: as a mixture of answers, never as one guess.

The answers are what a policy prior proposes for the opponent where a plan leads, what the opponent has played in this
match, and standing still. How far each is believed in follows from what it would gain the opponent and from how often
it has stood still. Mixing answers keeps the plan from resting on a single one (compare the ladder of imagined opponents
in model-based opponent modelling, Yu et al., 2022; quantal response, McKelvey and Palfrey, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics.geometry import Array
from pushjepa.planning.advice import Prior
from pushjepa.planning.costs import Cost, CostFactory, margin_cost
from pushjepa.relay.contract import Side
from pushjepa.relay.rules import SIDES
from pushjepa.runtime.contract import FloatArray


@dataclass(frozen=True)
class Opponent:
    """What is assumed of the opponent, and how many futures are spent on it.

    Attributes:
        prior: proposes its answers.
        cost: builds what it is thought to judge them by.
        proposed: how many of the prior's proposals, the likeliest, are held against a plan.
        recent: how many of its last turns in the match are held against every plan.
        temperature: px of its cost; an answer that is dearer to it by this much is e times less likely.
        still: share of its turns in which it is expected to stand still, before anything was seen.
        doubt: how many turns of the match weigh as much as that expectation.
        rounds: iterations of a search, its last ones, in which answers count.
        share: of an iteration's candidates, the best if it stood still, that answers are held against.

    Raises:
        ValueError: a value out of range.
    """

    prior: Prior
    cost: CostFactory = margin_cost
    proposed: int = 4
    recent: int = 1
    temperature: float = 15.0
    still: float = 0.2
    doubt: float = 2.0
    rounds: int = 2
    share: float = 0.25

    def __post_init__(self) -> None:
        if self.proposed < 1 or self.rounds < 1 or self.recent < 0:
            raise ValueError(
                "proposed and rounds must be at least 1 and recent not negative, got "
                f"{self.proposed}, {self.rounds} and {self.recent}"
            )
        if not (self.temperature > 0.0 and self.doubt > 0.0):
            raise ValueError(f"temperature and doubt must be positive, got {self.temperature:g} and {self.doubt:g}")
        if not (0.0 <= self.still <= 1.0 and 0.0 < self.share <= 1.0):
            raise ValueError(f"still must lie in [0, 1] and share in (0, 1], got {self.still:g} and {self.share:g}")

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


@dataclass(frozen=True)
class Reply:
    """The opponent's next turn, as it looks from one turn of a match.

    Attributes:
        opponent: what is assumed of it.
        side: its seat.
        turns_left: when it is to move.
        played: (T, 5, 2) its turns in this match so far.
        own_cost, opponent_cost: what a future that ends with its turn costs the planner, and what the opponent.
    """

    opponent: Opponent
    side: Side
    turns_left: int
    played: FloatArray
    own_cost: Cost
    opponent_cost: Cost

    def answers(self, states: Array) -> FloatArray:
        """What it may do in each of the positions (S, 7): (S, R, 5, 2), standing still first."""
        habits = self.opponent.habits(self.played)
        shared = np.broadcast_to(habits, (len(states), *habits.shape))
        proposed = self.opponent.prior.likeliest(states, self.side, self.turns_left, self.opponent.proposed)
        return np.concatenate([shared, proposed], axis=1)

    def weigh(self, states: Array, latents: FloatArray) -> tuple[Array, Array]:
        """What futures (S, R, 2, 7) with an answer each cost the planner (S, R), and how likely each answer is (S, R).

        Args:
            states: after the own turn and after the answer, answers in the order of :meth:`answers`.
            latents: (S, R, 2, K, D) likewise.
        """
        rows, flat = states.shape[:2], (states.reshape(-1, *states.shape[2:]), latents.reshape(-1, *latents.shape[2:]))
        still = self.opponent.share_still(self.played)
        likely = self.opponent.likelihood(self.opponent_cost(*flat).reshape(rows), still)
        return self.own_cost(*flat).reshape(rows), likely


def _quiet(played: FloatArray) -> NDArray[np.bool_]:
    """Which of some turns (T, 5, 2) are spent standing still."""
    return np.asarray(np.abs(played).max(axis=(1, 2), initial=0.0) < 0.01)


def joint_candidates(own: FloatArray, actor: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Own turns (S, 1, 5, 2) to joint blocks (S, 1, 5, 2 agents, 2), who waits all zeros, and who acts in them (1,)."""
    joint = np.zeros((*own.shape[:3], len(SIDES), 2), dtype=np.float32)
    joint[:, :, :, actor] = own
    return joint, np.array([actor], dtype=np.int64)


def answered_candidates(own: FloatArray, answers: FloatArray, actor: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Every own turn with every answer to it.

    Args:
        own: (S, 1, 5, 2) own turns.
        answers: (S, R, 5, 2) the opponent's.
        actor: who plans.

    Returns:
        (S * R, 2, 5, 2 agents, 2) joint blocks, the answers to one turn side by side, and who acts in them (2,).
    """
    joint = np.zeros((*answers.shape[:2], 2, own.shape[2], len(SIDES), 2), dtype=np.float32)
    joint[:, :, 0, :, actor] = own
    joint[:, :, 1, :, 1 - actor] = answers
    return joint.reshape(-1, *joint.shape[2:]), np.array([actor, 1 - actor], dtype=np.int64)
