"""One match as a state machine. No sockets, no files, no clock.

    human -> opponent -> human -> ... -> over           with a person in one seat
    opponent -> opponent -> ... -> over                 between two policies

The phase follows from the referee alone, so it cannot disagree with the board.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pushjepa.physics import Physics
from pushjepa.physics.geometry import Array
from pushjepa.relay import MATCH_TURNS, Match, MatchResult, MatchSetup, PhysicsChange, Side, judge, other
from pushjepa.server.aiming import waypoints_to_block
from pushjepa.server.messages import Phase, PlanView, ProtocolError

HUMAN = "human"  #: the player's name in a seat that a person holds


@dataclass(frozen=True)
class Seats:
    """Who sits where: a policy's name, or ``human``.

    Raises:
        ValueError: two people.
    """

    p1: str
    p2: str

    def __post_init__(self) -> None:
        if self.p1 == self.p2 == HUMAN:
            raise ValueError("a match has at most one person; give the other seat to a policy")

    @classmethod
    def of_person(cls, side: Side, opponent: str) -> Seats:
        """A person at ``side`` and the policy ``opponent`` across the board."""
        return cls(HUMAN, opponent) if side == "p1" else cls(opponent, HUMAN)

    def at(self, side: Side) -> str:
        """Who sits at ``side``."""
        return self.p1 if side == "p1" else self.p2

    @property
    def human(self) -> Side | None:
        """The person's seat; None between two policies."""
        return "p1" if self.p1 == HUMAN else "p2" if self.p2 == HUMAN else None

    @property
    def opponent(self) -> str | None:
        """The policy that plays a person; None between two policies."""
        return None if self.human is None else self.at(other(self.human))


@dataclass(frozen=True)
class Turn:
    """A turn that was played.

    Attributes:
        index: which one, from 0.
        side: who acted.
        block: (5, 2) the actions.
        before: (7,) the board before it.
        states: (5, 7) the board after each env step.
        standings: distances and progress after each env step.
        plan: what the policy had in mind, if it plans.
    """

    index: int
    side: Side
    block: Array
    before: Array
    states: Array
    standings: tuple[MatchResult, ...]
    plan: PlanView | None = None


class Session:
    """A match between a person and a policy, or between two policies.

    Args:
        match_id: its name in the store.
        setup: stage, seed, who starts and under which laws.
        seats: who plays.
        imported: whether it was uploaded, and is there to be watched only.
    """

    def __init__(self, match_id: str, setup: MatchSetup, seats: Seats, *, imported: bool = False) -> None:
        self.match_id = match_id
        self.seats = seats
        self.imported = imported
        self.match = Match(setup)
        self.turns: list[Turn] = []

    @classmethod
    def restore(
        cls,
        match_id: str,
        setup: MatchSetup,
        seats: Seats,
        past: Iterable[tuple[Array, PlanView | None]],
        *,
        imported: bool = False,
    ) -> Session:
        """The session in which the blocks of ``past`` were played, bit for bit."""
        session = cls(match_id, setup, seats, imported=imported)
        for block, plan in past:
            session.replay_turn(block, plan)
        return session

    @property
    def setup(self) -> MatchSetup:
        """All that decides the match but its moves, with the changes of the laws so far."""
        return self.match.setup

    @property
    def phase(self) -> Phase:
        """Who is to move, a person or a policy, or that the match is over."""
        if self.match.over:
            return "over"
        return "human" if self.match.to_move == self.seats.human else "opponent"

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
            at = 0 if self.match.to_move == "p1" else 2
            points = [(x, y) for x, y in waypoints]
            return self._play(waypoints_to_block(self.match.state[at : at + 2], points, self.match.physics), None)
        return self._play(np.array(block, dtype=np.float64), None)

    def opponent_turn(self, block: Array, plan: PlanView | None = None) -> Turn:
        """The policy to move plays ``block`` (5, 2).

        Raises:
            ProtocolError: it is not a policy's turn.
            ValueError: a bad block. In either case the match is as it was before.
        """
        self._expect("opponent")
        return self._play(block, plan)

    def replay_turn(self, block: Array, plan: PlanView | None) -> Turn:
        """Whoever is to move plays ``block`` (5, 2), as it once was played.

        Raises:
            ValueError: the match is over or a bad block; the match is as it was before.
        """
        return self._play(block, plan)

    def next_laws(self, options: dict[str, float | str], *, planned: bool) -> PhysicsChange:
        """The change of the laws by ``options``, from the first turn on that nobody has planned yet.

        Args:
            options: by name; what is left out stays as it was last changed, be that still to come or not.
            planned: whether somebody plans the coming turn already, under the laws that it has.

        Raises:
            ProtocolError: the match is over, or its last turn is planned already.
            ValueError: an unknown option or a value out of range.
        """
        turn = self.match.turn + planned
        if turn >= MATCH_TURNS:
            last = "the last turn is being planned" if planned else "the match is over"
            raise ProtocolError("out_of_turn", f"{last}; there is no turn left whose laws could change")
        latest = self.setup.physics_at(MATCH_TURNS - 1)
        return PhysicsChange(turn, Physics.from_dict({**latest.to_dict(), **options}))

    def change_physics(self, change: PhysicsChange) -> None:
        """Let ``change`` take the place of every change at its turn or later.

        Raises:
            ValueError: its turn has been played; the match is as it was before.
        """
        self.match.change_physics(change.turn, change.physics)

    def _expect(self, phase: Phase) -> None:
        if self.phase == phase:
            return
        said = {
            "over": "the match is over; start a new one",
            "opponent": "it is the opponent's turn; wait for its turn_result"
            if self.seats.human
            else "two policies play this match; send next to let it go on",
            "human": "it is the person's turn",
        }
        raise ProtocolError("out_of_turn", said[self.phase])

    def _play(self, block: Array, plan: PlanView | None) -> Turn:
        match = self.match
        index, side, before = match.turn, match.to_move, match.state
        states = match.play(block)
        standings = tuple(judge(match.states[0], state, match.stage) for state in states)
        turn = Turn(index, side, match.blocks[-1], before, states, standings, plan)
        self.turns.append(turn)
        return turn
