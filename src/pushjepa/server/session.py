"""One match between a person and an opponent as a state machine. No sockets, no files, no clock.

    human -> opponent -> human -> ... -> over

The phase follows from the referee alone, so it cannot disagree with the board.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pushjepa.physics.geometry import Array
from pushjepa.relay import Match, MatchResult, MatchSetup, Side, other
from pushjepa.server.aiming import waypoints_to_block
from pushjepa.server.messages import Phase, PlanView, ProtocolError


@dataclass(frozen=True)
class Turn:
    """A turn that was played.

    Attributes:
        index: which one, from 0.
        side: who acted.
        block: (5, 2) the actions.
        states: (5, 7) the board after each env step.
        standing: distances and progress after it.
        plan: what the opponent had in mind, if it plans and it was its turn.
    """

    index: int
    side: Side
    block: Array
    states: Array
    standing: MatchResult
    plan: PlanView | None = None


class Session:
    """A match between a person and an opponent.

    Args:
        match_id: its name in the store.
        setup: stage, seed, who starts and under which laws.
        human: the person's seat.
        opponent: name of the policy in the other seat.
    """

    def __init__(self, match_id: str, setup: MatchSetup, human: Side, opponent: str) -> None:
        self.match_id = match_id
        self.setup = setup
        self.human: Side = human
        self.opponent = opponent
        self.match = Match(setup)
        self.turns: list[Turn] = []

    @classmethod
    def restore(
        cls,
        match_id: str,
        setup: MatchSetup,
        human: Side,
        opponent: str,
        past: Iterable[tuple[Array, PlanView | None]],
    ) -> Session:
        """The session in which the blocks of ``past`` were played, bit for bit."""
        session = cls(match_id, setup, human, opponent)
        for block, plan in past:
            session._play(block, plan)
        return session

    @property
    def opponent_side(self) -> Side:
        return other(self.human)

    @property
    def phase(self) -> Phase:
        """Who is to move, or that the match is over."""
        if self.match.over:
            return "over"
        return "human" if self.match.to_move == self.human else "opponent"

    @property
    def next_side(self) -> Side | None:
        """The side to move; None once the match is over."""
        return None if self.match.over else self.match.to_move

    def rng(self) -> np.random.Generator:
        """The luck of the coming turn: the same after a restart, different in every turn and match."""
        return np.random.default_rng([self.setup.seed, self.match.turn])

    def human_turn(
        self,
        *,
        waypoints: list[list[float]] | None = None,
        block: list[list[float]] | None = None,
        turn: int | None = None,
    ) -> Turn:
        """The person plays, by way-points (board px) or by a raw action block.

        Args:
            waypoints: one to three points.
            block: (5, 2) actions in [-1, 1] instead.
            turn: the turn that the person meant to play, if known.

        Raises:
            ProtocolError: it is not the person's turn, or not the one that was meant.
            ValueError: bad way-points or a bad block. In either case the match is as it was before.
        """
        self._expect("human")
        if turn is not None and turn != self.match.turn:
            now = self.match.turn
            raise ProtocolError("out_of_turn", f"turn {turn} is not to be played; the match is at turn {now}")
        if waypoints is not None:
            at = 0 if self.human == "p1" else 2
            points = [(x, y) for x, y in waypoints]
            return self._play(waypoints_to_block(self.match.state[at : at + 2], points, self.match.physics), None)
        return self._play(np.array(block, dtype=np.float64), None)

    def opponent_turn(self, block: Array, plan: PlanView | None = None) -> Turn:
        """The opponent plays ``block`` (5, 2).

        Raises:
            ProtocolError: it is not the opponent's turn.
            ValueError: a bad block. In either case the match is as it was before.
        """
        self._expect("opponent")
        return self._play(block, plan)

    def _expect(self, phase: Phase) -> None:
        if self.phase == phase:
            return
        said = {
            "over": "the match is over; start a new one",
            "opponent": "it is the opponent's turn; wait for its turn_result",
            "human": "it is the person's turn",
        }
        raise ProtocolError("out_of_turn", said[self.phase])

    def _play(self, block: Array, plan: PlanView | None) -> Turn:
        index, side = self.match.turn, self.match.to_move
        states = self.match.play(block)
        turn = Turn(index, side, self.match.blocks[-1], states, self.match.result(), plan)
        self.turns.append(turn)
        return turn
