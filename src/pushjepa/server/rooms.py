"""The matches that are being played right now: who watches each, whose turn it is, and the policies' thinking.

All that takes time (physics, planning, writing to disk) runs on worker threads; the event loop only passes messages.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread

from pushjepa.relay import SIDES, MatchSetup, Policy, Side
from pushjepa.relay.match import physics_from
from pushjepa.server.decoding import decode_match
from pushjepa.server.messages import (
    Decoded,
    DecodedState,
    Error,
    HumanTurn,
    Mind,
    Mode,
    NewMatch,
    ProtocolError,
    ServerMessage,
    Thinking,
    TraceView,
)
from pushjepa.server.minds import Minds, mind_view
from pushjepa.server.odds import OddsModel
from pushjepa.server.roster import Offer, Roster
from pushjepa.server.session import HUMAN, Seats, Session, Turn
from pushjepa.server.store import MatchStore
from pushjepa.server.thinking import Move, decide
from pushjepa.server.views import match_state, physics_changed, turn_messages

log = logging.getLogger("pushjepa.server")
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """How much the server takes on before it says that it is busy.

    Attributes:
        planners: policies that may think at the same time; half the cores if None.
        waiting: policies that may wait for their turn to think.
        rooms: matches that may be open at the same time.

    Raises:
        ValueError: planners or rooms under 1, or waiting under 0.
    """

    planners: int | None = None
    waiting: int = 32
    rooms: int = 64

    def __post_init__(self) -> None:
        for name, value, least in (
            ("planners", self.planners, 1),
            ("waiting", self.waiting, 0),
            ("rooms", self.rooms, 1),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")


class Workers:
    """Threads for what takes time, so that the event loop only passes messages.

    Args:
        planners: policies that may think at the same time.
        waiting: policies that may wait for their turn to think.
    """

    def __init__(self, planners: int, waiting: int) -> None:
        self._thinkers = anyio.CapacityLimiter(planners)
        self._readers = anyio.CapacityLimiter(1)
        self._waiting = waiting

    async def think(self, choose: Callable[[], Move]) -> Move:
        """Run ``choose`` when a planner is free; what was begun is abandoned if nobody wants it any more.

        Raises:
            ProtocolError: too many wait already.
        """
        if self._thinkers.statistics().tasks_waiting >= self._waiting and self._thinkers.available_tokens < 1:
            raise ProtocolError("busy", "the server is busy: too many opponents are thinking; try again in a moment")
        return await anyio.to_thread.run_sync(choose, limiter=self._thinkers, abandon_on_cancel=True)

    async def read(self, decode: Callable[[], T]) -> T:
        """Run ``decode``, one after the other, beside the planners."""
        return await anyio.to_thread.run_sync(decode, limiter=self._readers, abandon_on_cancel=True)


class Listener(Protocol):
    """Someone who watches a match; ``tell`` never waits."""

    def tell(self, message: ServerMessage) -> None: ...


class Room:
    """One live match. Every change happens under its lock and is on disk before anyone hears of it."""

    def __init__(
        self,
        session: Session,
        roster: Roster,
        store: MatchStore,
        workers: Workers,
        odds: OddsModel | None,
        mode: Mode = "adaptive",
    ) -> None:
        self.session = session
        self.members: set[Listener] = set()  # who holds the room; those that it was shown to also listen
        self.broken = False
        self._listeners: set[Listener] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._roster = roster
        self._store = store
        self._workers = workers
        self._odds = odds
        self._lock = asyncio.Lock()
        self._thinking: asyncio.Task[None] | None = None
        self._policies: dict[Side, Policy] = {}
        self._minds = Minds(mode)
        self._told: dict[Side, Mind] = {}  # what was told of each mind last, for who comes in while one thinks
        self._wishes: list[Callable[[], None]] = []  # what is to be done with the minds once nobody thinks

    @property
    def idle(self) -> bool:
        """Nobody watches and nothing is being done."""
        return not self.members and not self._jobs

    async def join(self, listener: Listener) -> None:
        """Show ``listener`` the match and keep it up to date; an opponent that had stopped goes on."""
        async with self._lock:
            self._listeners.add(listener)
            listener.tell(match_state(self.session, self._odds))
            for side in self._adaptive():
                listener.tell(self._told.get(side) or self._look_at(side))
            if self._thinking is not None:
                listener.tell(self._thinking_message())
            elif self.session.seats.human is not None:
                self._wake_policy()
            self._read_board(listener.tell)

    async def human_turn(self, message: HumanTurn) -> None:
        """Play the person's turn and set the opponent thinking.

        Raises:
            ProtocolError: it cannot be played; the match is as it was before.
        """
        # In a task of its own, because a client that hangs up must not stop a turn half-way to the disk.
        await asyncio.shield(self._start(self._human_turn(message)))

    async def next_turn(self, turn: int) -> None:
        """Let the policy to move play ``turn``, in a match without a person. Asking twice is asking once.

        Raises:
            ProtocolError: a person plays in this match, or ``turn`` is still to come.
        """
        async with self._lock:
            now = self.session.match.turn
            if self.session.seats.human is not None:
                raise ProtocolError("invalid", "a person plays in this match; its policy moves without being asked")
            if turn > now or (turn == now and self.session.phase == "over"):
                raise ProtocolError("out_of_turn", f"turn {turn} is not to be played; the match is at turn {now}")
            if turn == now:
                self._wake_policy()

    async def change_physics(self, options: dict[str, float | str]) -> None:
        """Change the laws from the next turn on that nobody plans yet, store that, then tell everyone.

        Raises:
            ProtocolError: there is no such turn.
            ValueError: an unknown option or a value out of range. In either case the match is as it was before.
        """
        await asyncio.shield(self._start(self._change_physics(options)))

    async def adapt(self, match_id: str, mode: Mode) -> None:
        """Let the match's minds adapt or only notice, at once or when the policy that thinks has moved; tell everyone.

        Raises:
            ProtocolError: this is another match, or nobody in it can adapt.
        """
        await self._wish(match_id, partial(self._minds.set_mode, mode))

    async def restore(self, match_id: str) -> None:
        """Let the match's minds forget what they adapted; when, and what is raised, is as with :meth:`adapt`."""
        await self._wish(match_id, self._minds.restore)

    def leave(self, listener: Listener) -> None:
        """``listener`` is told no more."""
        self.members.discard(listener)
        self._listeners.discard(listener)

    async def close(self) -> None:
        """Stop thinking and finish storing; what was played is on disk."""
        if self._thinking is not None:
            self._thinking.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    def _start(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        # A job's fault is its caller's to handle; when the caller is gone it has been handled by that.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _human_turn(self, message: HumanTurn) -> None:
        async with self._lock:
            await self._commit(
                partial(self.session.human_turn, waypoints=message.waypoints, block=message.block, turn=message.turn)
            )
            self._wake_policy()

    async def _commit(self, play: Callable[[], Turn], trace: tuple[TraceView, ...] = ()) -> None:
        """Play a turn, store it, then tell everyone."""
        self._check_whole()
        turn = await anyio.to_thread.run_sync(play)
        result = self.session.match.result() if self.session.phase == "over" else None
        try:
            await anyio.to_thread.run_sync(self._store.add_turn, self.session.match_id, turn, result, trace)
        except BaseException:
            # The board in memory is now ahead of the disk. It is given up; whoever resumes gets what is stored.
            self.broken = True
            raise
        for message in turn_messages(self.session, turn, trace, self._odds):
            self._broadcast(message)
        self._read_board(self._broadcast)

    async def _change_physics(self, options: dict[str, float | str]) -> None:
        async with self._lock:
            self._check_whole()
            session = self.session
            # Who thinks about a turn has seen the board as its laws make it, so those stay.
            change = session.next_laws(options, planned=self._thinking is not None)
            setup = session.setup.with_change(change.turn, change.physics)
            await anyio.to_thread.run_sync(self._store.set_setup, session.match_id, setup)
            session.change_physics(change)
            self._broadcast(physics_changed(session, change.turn))
            if change.turn == session.match.turn:
                self._read_board(self._broadcast)  # the block may look different now

    async def _wish(self, match_id: str, change: Callable[[], None]) -> None:
        async with self._lock:
            if match_id != self.session.match_id:
                raise ProtocolError("invalid", f"match {match_id!r} is not the one that is open here; resume it first")
            if not self._adaptive():
                raise ProtocolError("unavailable", "nobody in this match has a world model that can adapt")
            self._wishes.append(change)
            if self._thinking is None:
                self._heed_wishes()

    def _heed_wishes(self) -> None:
        """Do with the minds what was asked for, then tell how they are; never while a policy thinks."""
        for change in self._wishes:
            change()
        self._wishes.clear()
        for side in self._adaptive():
            self._broadcast(self._look_at(side))

    def _adaptive(self) -> list[Side]:
        """The seats of policies that adapt."""
        names = {side: self.session.seats.at(side) for side in SIDES}
        return [side for side, name in names.items() if name != HUMAN and self._roster.fixed(name) is None]

    def _look_at(self, side: Side) -> Mind:
        """How the mind at ``side`` is, put down for later. One that may think just now is not looked into."""
        mind = self._minds.at(side) if self._thinking is None else None
        threshold = self._roster.threshold
        self._told[side] = mind_view(self.session.match_id, side, self._minds.mode, threshold, mind)
        return self._told[side]

    def _check_whole(self) -> None:
        if self.broken:
            raise ProtocolError("internal", "a turn could not be saved; resume the match to go on from the last one")

    def _wake_policy(self) -> None:
        if self.session.phase == "opponent" and self._thinking is None and not self.broken:
            self._thinking = self._start(self._policy_turn())
            self._broadcast(self._thinking_message())

    async def _policy_turn(self) -> None:
        side = self.session.match.to_move
        name = self.session.seats.at(side)
        try:
            move = await self._workers.think(self._choose)
            async with self._lock:
                await self._commit(partial(self.session.opponent_turn, move.block, move.plan), move.trace)
        except Exception as error:  # any policy may sit here; whatever it raises must not leave the match hanging
            if isinstance(error, ProtocolError) and error.code == "busy":
                self._broadcast(error.to_message())
                return
            if self._minds.leave(side):
                del self._policies[side]  # it may have lived through half a turn; when asked again it begins anew
            log.exception("the policy %s failed in match %s", name, self.session.match_id)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._broadcast(Error(code="opponent_failed", message=f"{name} could not move: {reason}"))
        finally:
            self._thinking = None
            if self._wishes:
                self._heed_wishes()
            elif side in self._adaptive():
                self._broadcast(self._look_at(side))

    def _choose(self) -> Move:
        """The move of the policy to move; runs on a worker thread, while nothing else may change the match."""
        session, side = self.session, self.session.match.to_move
        if side not in self._policies:
            self._policies[side] = self._roster.policy(session.seats.at(side), side, session.match.stage)
            self._minds.sit(side, self._policies[side])
        policy, match = self._policies[side], session.match
        return decide(policy, match.observation(policy), session.rng(), match.state, match.physics)

    def _read_board(self, tell: Callable[[ServerMessage], None]) -> None:
        """Tell what the world model reads off the newest frame, as soon as it has; never waited for."""
        engine = self._roster.engine
        if engine is not None:
            turn = self.session.match.turn
            self._start(self._tell_decoded(partial(decode_match, engine.model, self.session.match, [turn]), tell))

    async def _tell_decoded(
        self, decode: Callable[[], list[DecodedState]], tell: Callable[[ServerMessage], None]
    ) -> None:
        try:
            found = (await self._workers.read(decode))[0]
        except Exception:  # the model is there to be looked into; that it cannot be must not cost the match
            log.exception("the world model could not decode a frame of match %s", self.session.match_id)
            return
        tell(Decoded(match_id=self.session.match_id, turn=found.turn, state=found.state, error=found.error))

    def _thinking_message(self) -> Thinking:
        session = self.session
        side = session.match.to_move
        return Thinking(match_id=session.match_id, turn=session.match.turn, side=side, player=session.seats.at(side))

    def _broadcast(self, message: ServerMessage) -> None:
        for listener in tuple(self._listeners):
            listener.tell(message)


class Rooms:
    """Opens rooms for new and for stored matches, and lets go of those that nobody needs.

    Args:
        roster: who can be played against.
        store: where matches are kept.
        limits: how much may go on at the same time.
        odds: the chances that are told with every turn; None for none.
    """

    def __init__(
        self, roster: Roster, store: MatchStore, limits: Limits | None = None, odds: OddsModel | None = None
    ) -> None:
        self.roster = roster
        self.store = store
        self.odds = odds
        self._limits = limits or Limits()
        self.workers = Workers(self._limits.planners or max(1, (os.cpu_count() or 2) // 2), self._limits.waiting)
        self._rooms: dict[str, Room] = {}
        self._opening = asyncio.Lock()

    async def new_match(self, message: NewMatch, member: Listener) -> Room:
        """Store a new match and open its room for ``member``.

        Raises:
            ValueError: a choice that does not exist.
            ProtocolError: too many matches are open.
        """
        self._check_room()
        seats, offers = self._seats(message)
        setup = MatchSetup(
            stage=message.stage,
            seed=secrets.randbelow(1_000_000) if message.seed is None else message.seed,
            first=message.first or seats.human or "p1",
            physics=physics_from(dict(message.physics)),
        )
        session = Session(secrets.token_urlsafe(9), setup, seats)
        model = self.roster.model_name if any(offer.needs_model for offer in offers) else None
        await anyio.to_thread.run_sync(self.store.add_match, session, model)
        return self._open(session, member, message.mode)

    def _seats(self, message: NewMatch) -> tuple[Seats, list[Offer]]:
        """Who is to sit where, and the policies among them."""
        if message.players is not None:
            offers = [self.roster.choose(name) for name in (message.players.p1, message.players.p2)]
            return Seats(offers[0].name, offers[1].name), offers
        offer = self.roster.choose(message.opponent)
        return Seats.of_person(message.side or "p1", offer.name), [offer]

    def _check_room(self) -> None:
        self._let_go()
        if len(self._rooms) >= self._limits.rooms:
            raise ProtocolError("busy", f"the server is busy with {len(self._rooms)} matches; try again in a while")

    async def resume(self, match_id: str, member: Listener, mode: Mode = "adaptive") -> Room:
        """The room of a match, held open for ``member``; read from the store, and its minds in ``mode``, if not live.

        Raises:
            ProtocolError: there is no such match, it was uploaded, or too many are open.
            ValueError: it does not replay exactly.
        """
        async with self._opening:
            room = self._rooms.get(match_id)
            if room is not None and not room.broken:
                room.members.add(member)
                return room
            try:
                stored = await anyio.to_thread.run_sync(self.store.load, match_id)
            except KeyError:
                raise ProtocolError("unknown_match", f"there is no match {match_id!r}; start a new one") from None
            if stored.imported:
                raise ProtocolError("invalid", "this match was uploaded: it can be watched, not played on")
            if match_id not in self._rooms:
                self._check_room()
            return self._open(await anyio.to_thread.run_sync(stored.replay), member, mode)

    def leave(self, room: Room, listener: Listener) -> None:
        """``listener`` stops watching; a room that nobody needs is let go (its match stays on disk)."""
        room.leave(listener)
        self._let_go()

    def _let_go(self) -> None:
        for match_id in [m for m, r in self._rooms.items() if r.idle]:
            del self._rooms[match_id]

    async def close(self) -> None:
        for room in list(self._rooms.values()):
            await room.close()
        self._rooms.clear()

    def _open(self, session: Session, member: Listener, mode: Mode) -> Room:
        room = Room(session, self.roster, self.store, self.workers, self.odds, mode)
        room.members.add(member)
        self._rooms[session.match_id] = room
        return room
