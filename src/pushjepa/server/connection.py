"""One socket: reads messages, hands them to its room, and answers everything that goes wrong with an error message."""

from __future__ import annotations

import asyncio
import logging

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

import pushjepa
from pushjepa.relay import MATCH_TURNS, STAGES
from pushjepa.server.aiming import MAX_WAYPOINTS
from pushjepa.server.messages import (
    MAX_UPLOAD_BYTES,
    Adapt,
    ChangePhysics,
    ClientMessage,
    Error,
    Hello,
    HumanTurn,
    NewMatch,
    Next,
    ProtocolError,
    Restore,
    Resume,
    ServerMessage,
    StageView,
    Welcome,
    parse_client_message,
)
from pushjepa.server.rooms import Room, Rooms
from pushjepa.server.roster import Roster
from pushjepa.server.views import laws_view

log = logging.getLogger("pushjepa.server")
OUTBOX = 256  #: messages that may wait for a slow client before it is let go
STAGE_TITLES = {"open": "Open board", "pillars": "Pillars", "gate": "Narrow gate"}


class Connection:
    """A client at the other end of a WebSocket; in at most one room at a time."""

    def __init__(self, socket: WebSocket, rooms: Rooms) -> None:
        self._socket = socket
        self._rooms = rooms
        self._room: Room | None = None
        self._outbox: asyncio.Queue[ServerMessage] = asyncio.Queue(OUTBOX)
        self._overrun = asyncio.Event()

    def tell(self, message: ServerMessage) -> None:
        """Queue a message; a client that does not read is dropped (it can resume) rather than waited for."""
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self._overrun.set()

    async def serve(self) -> None:
        """Talk until the client goes away."""
        await self._socket.accept()
        jobs = [asyncio.create_task(job) for job in (self._read(), self._write(), self._overrun.wait())]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            ends = await asyncio.gather(*jobs, return_exceptions=True)
            self._move_to(None)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
                log.error("a connection ended badly", exc_info=end)

    async def _write(self) -> None:
        while True:
            message = await self._outbox.get()
            await self._socket.send_text(message.model_dump_json())

    async def _read(self) -> None:
        while True:
            raw = await self._socket.receive()
            if raw["type"] == "websocket.disconnect":
                return
            await self._answer(raw.get("text"))

    async def _answer(self, text: str | None) -> None:
        if text is None:
            self.tell(Error(code="malformed", message="messages are text, got a binary frame"))
            return
        try:
            await self._handle(parse_client_message(text))
        except ProtocolError as error:
            self.tell(error.to_message())
        except ValueError as error:
            self.tell(Error(code="invalid", message=str(error).splitlines()[0]))
        except Exception:  # a fault of ours must cost one answer, not the socket
            log.exception("could not answer a message")
            self.tell(Error(code="internal", message="the server could not do that; its log says why"))

    async def _handle(self, message: ClientMessage) -> None:
        if isinstance(message, Hello):
            self.tell(welcome(self._rooms.roster))
        elif isinstance(message, NewMatch):
            await self._enter(await self._rooms.new_match(message, self))
        elif isinstance(message, Resume):
            await self._enter(await self._rooms.resume(message.match_id, self, message.mode))
        else:
            await self._play(message)

    async def _enter(self, room: Room) -> None:
        self._move_to(room)
        await room.join(self)

    async def _play(self, message: HumanTurn | Next | ChangePhysics | Adapt | Restore) -> None:
        if self._room is None:
            raise ProtocolError("out_of_turn", "there is no match yet; send new_match or resume first")
        if isinstance(message, Next):
            await self._room.next_turn(message.turn)
        elif isinstance(message, ChangePhysics):
            await self._room.change_physics(message.physics)
        elif isinstance(message, Adapt):
            await self._room.adapt(message.match_id, message.mode)
        elif isinstance(message, Restore):
            await self._room.restore(message.match_id)
        else:
            await self._room.human_turn(message)

    def _move_to(self, room: Room | None) -> None:
        if self._room is not None and self._room is not room:
            self._rooms.leave(self._room, self)
        self._room = room


def welcome(roster: Roster) -> Welcome:
    """Who answers, and what can be chosen."""
    return Welcome(
        version=pushjepa.__version__,
        model=roster.model_view(),
        stages=[StageView(name=name, title=STAGE_TITLES.get(name, name.capitalize())) for name in STAGES],
        opponents=roster.views(),
        laws=laws_view(),
        turns=MATCH_TURNS,
        max_waypoints=MAX_WAYPOINTS,
        upload_bytes=MAX_UPLOAD_BYTES,
    )
