"""The matches that are being played right now: who watches each, whose turn it is, and the opponent's thinking.

All that takes time (physics, planning, writing to disk) runs on worker threads; the event loop only passes messages.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import anyio
import anyio.to_thread

from pushjepa.physics.geometry import Array
from pushjepa.relay import MatchSetup, Policy
from pushjepa.relay.match import physics_from
from pushjepa.server.messages import Error, HumanTurn, NewMatch, PlanView, ProtocolError, ServerMessage, Thinking
from pushjepa.server.roster import Roster
from pushjepa.server.session import Session, Turn
from pushjepa.server.store import MatchStore
from pushjepa.server.thinking import decide
from pushjepa.server.views import match_state, turn_messages

log = logging.getLogger("pushjepa.server")
Offload = Callable[[Callable[[], tuple[Array, PlanView | None]]], Awaitable[tuple[Array, PlanView | None]]]


class Listener(Protocol):
    """Someone who watches a match; ``tell`` never waits."""

    def tell(self, message: ServerMessage) -> None: ...


class Room:
    """One live match. Every change happens under its lock and is on disk before anyone hears of it."""

    def __init__(self, session: Session, roster: Roster, store: MatchStore, think: Offload) -> None:
        self.session = session
        self.members: set[Listener] = set()  # who holds the room; those that it was shown to also listen
        self.broken = False
        self._listeners: set[Listener] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._roster = roster
        self._store = store
        self._think = think
        self._lock = asyncio.Lock()
        self._thinking: asyncio.Task[None] | None = None
        self._policy: Policy | None = None

    @property
    def idle(self) -> bool:
        """Nobody watches and nothing is being done."""
        return not self.members and not self._jobs

    async def join(self, listener: Listener) -> None:
        """Show ``listener`` the match and keep it up to date; an opponent that had stopped goes on."""
        async with self._lock:
            self._listeners.add(listener)
            listener.tell(match_state(self.session))
            if self._thinking is not None:
                listener.tell(self._thinking_message())
            self._wake_opponent()

    async def human_turn(self, message: HumanTurn) -> None:
        """Play the person's turn and set the opponent thinking.

        Raises:
            ProtocolError: it cannot be played; the match is as it was before.
        """
        # In a task of its own, because a client that hangs up must not stop a turn half-way to the disk.
        await asyncio.shield(self._start(self._human_turn(message)))

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
            self._wake_opponent()

    async def _commit(self, play: Callable[[], Turn]) -> None:
        """Play a turn, store it, then tell everyone."""
        if self.broken:
            raise ProtocolError("internal", "a turn could not be saved; resume the match to go on from the last one")
        turn = await anyio.to_thread.run_sync(play)
        result = self.session.match.result() if self.session.phase == "over" else None
        try:
            await anyio.to_thread.run_sync(self._store.add_turn, self.session.match_id, turn, result)
        except BaseException:
            # The board in memory is now ahead of the disk. It is given up; whoever resumes gets what is stored.
            self.broken = True
            raise
        for message in turn_messages(self.session, turn):
            self._broadcast(message)

    def _wake_opponent(self) -> None:
        if self.session.phase == "opponent" and self._thinking is None and not self.broken:
            self._thinking = self._start(self._opponent_turn())
            self._broadcast(self._thinking_message())

    async def _opponent_turn(self) -> None:
        try:
            block, plan = await self._think(self._choose)
            async with self._lock:
                await self._commit(partial(self.session.opponent_turn, block, plan))
        except Exception as error:  # any policy may sit here; whatever it raises must not leave the match hanging
            log.exception("the opponent %s failed in match %s", self.session.opponent, self.session.match_id)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._broadcast(Error(code="opponent_failed", message=f"{self.session.opponent} could not move: {reason}"))
        finally:
            self._thinking = None

    def _choose(self) -> tuple[Array, PlanView | None]:
        """The opponent's move; runs on a worker thread, while nothing else may change the match."""
        session = self.session
        if self._policy is None:
            self._policy = self._roster.policy(session.opponent, session.opponent_side, session.match.stage)
        return decide(self._policy, session.match.observation(self._policy), session.rng())

    def _thinking_message(self) -> Thinking:
        session = self.session
        return Thinking(match_id=session.match_id, turn=session.match.turn, side=session.opponent_side)

    def _broadcast(self, message: ServerMessage) -> None:
        for listener in tuple(self._listeners):
            listener.tell(message)


class Rooms:
    """Opens rooms for new and for stored matches, and lets go of those that nobody needs.

    Args:
        roster: who can be played against.
        store: where matches are kept.
        planners: how many opponents may think at the same time.
    """

    def __init__(self, roster: Roster, store: MatchStore, planners: int) -> None:
        self.roster = roster
        self.store = store
        self._limiter = anyio.CapacityLimiter(planners)
        self._rooms: dict[str, Room] = {}
        self._opening = asyncio.Lock()

    async def new_match(self, message: NewMatch, member: Listener) -> Room:
        """Store a new match and open its room for ``member``.

        Raises:
            ValueError: a choice that does not exist.
        """
        offer = self.roster.choose(message.opponent)
        setup = MatchSetup(
            stage=message.stage,
            seed=secrets.randbelow(1_000_000) if message.seed is None else message.seed,
            first=message.first or message.side,
            physics=physics_from(dict(message.physics)),
        )
        session = Session(secrets.token_urlsafe(9), setup, message.side, offer.name)
        model = self.roster.model_name if offer.needs_model else None
        await anyio.to_thread.run_sync(self.store.add_match, session, model)
        return self._open(session, member)

    async def resume(self, match_id: str, member: Listener) -> Room:
        """The room of a match, held open for ``member``; read from the store if it is not live.

        Raises:
            ProtocolError: there is no such match, or it does not replay exactly.
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
            return self._open(await anyio.to_thread.run_sync(stored.replay), member)

    def leave(self, room: Room, listener: Listener) -> None:
        """``listener`` stops watching; a room that nobody needs is let go (its match stays on disk)."""
        room.leave(listener)
        for match_id in [m for m, r in self._rooms.items() if r.idle]:
            del self._rooms[match_id]

    async def close(self) -> None:
        for room in list(self._rooms.values()):
            await room.close()
        self._rooms.clear()

    def _open(self, session: Session, member: Listener) -> Room:
        room = Room(session, self.roster, self.store, self._think)
        room.members.add(member)
        self._rooms[session.match_id] = room
        return room

    async def _think(self, choose: Callable[[], tuple[Array, PlanView | None]]) -> tuple[Array, PlanView | None]:
        return await anyio.to_thread.run_sync(choose, limiter=self._limiter, abandon_on_cancel=True)
