"""What the page asks for over HTTP: past matches, their files and pictures, totals, and the model's card."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from fastapi import APIRouter, FastAPI, Path, Query, Request, Response, status
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers

from pushjepa.relay import MATCH_TURNS
from pushjepa.server.card import ModelCard
from pushjepa.server.decoding import decode_match
from pushjepa.server.gif import match_gif
from pushjepa.server.matchfile import read_match, write_match
from pushjepa.server.messages import (
    MAX_UPLOAD_BYTES,
    DecodedList,
    ErrorCode,
    Failure,
    MatchList,
    MatchState,
    ProtocolError,
    StoredPlan,
    Total,
    Totals,
    Uploaded,
)
from pushjepa.server.odds import OddsModel
from pushjepa.server.roster import Roster
from pushjepa.server.session import Session
from pushjepa.server.store import MatchStore, StoredMatch, Tally
from pushjepa.server.views import match_state, summary_view

log = logging.getLogger("pushjepa.server")
T = TypeVar("T")
_HEAVY_WAITING = 4  # requests for pictures and for the model's view that may wait for the one that is being answered
_STATUS: dict[ErrorCode, int] = {
    "unknown_match": status.HTTP_404_NOT_FOUND,
    "unavailable": status.HTTP_404_NOT_FOUND,
    "too_large": status.HTTP_413_CONTENT_TOO_LARGE,
    "busy": status.HTTP_503_SERVICE_UNAVAILABLE,
    "internal": status.HTTP_500_INTERNAL_SERVER_ERROR,
}
MatchId = Annotated[str, Path(max_length=64)]


class Archive:
    """The matches of the store, as the page asks for them. Its methods read files and play matches: off the event loop.

    Args:
        store: where matches are kept.
        roster: whose world model reads the frames of a match.
        odds: the chances told with every turn.
    """

    def __init__(self, store: MatchStore, roster: Roster, odds: OddsModel | None) -> None:
        self._store = store
        self._roster = roster
        self._odds = odds

    def page(self, limit: int, before: int | None) -> MatchList:
        """At most ``limit`` matches, newest first, of those before the cursor."""
        found = self._store.page(limit + 1, before)
        more = len(found) > limit
        return MatchList(matches=[summary_view(s) for s in found[:limit]], next=found[limit - 1].seq if more else None)

    def totals(self) -> Totals:
        return Totals(totals=[_total(tally) for tally in self._store.tallies()])

    def replay(self, match_id: MatchId) -> MatchState:
        """A stored match as the socket would show it."""
        return match_state(self._session(match_id)[1], self._odds)

    def plan(self, match_id: str, turn: int) -> StoredPlan:
        """The plan behind a turn and everything that its search looked at."""
        turns = self._load(match_id).turns
        plan = turns[turn].plan if turn < len(turns) else None
        if plan is None:
            raise ProtocolError("unknown_match", f"there is no plan behind turn {turn} of match {match_id!r}")
        trace = self._store.trace(match_id, turn)
        return StoredPlan(turn=turn, side=turns[turn].side, plan=plan, trace=list(trace))

    def decoded(self, match_id: str) -> DecodedList:
        """What the world model reads off every frame of a match, if it is loaded."""
        _, session = self._session(match_id)
        engine = self._roster.engine
        if engine is None:
            return DecodedList(state=self._roster.state, decoded=[])
        turns = range(session.match.turn + 1)
        return DecodedList(state="ready", decoded=decode_match(engine.model, session.match, turns))

    def file(self, match_id: str) -> str:
        """A match as a file to take away."""
        stored, session = self._session(match_id)
        traces = [self._store.trace(match_id, turn) for turn in range(len(session.turns))]
        return write_match(stored, session, traces)

    def gif(self, match_id: str) -> bytes:
        """A match as a moving picture."""
        return match_gif(self._session(match_id)[1])

    def upload(self, text: bytes) -> tuple[str, bool]:
        """Store a match file; gives the match's name here and whether it is new."""
        upload = read_match(text)
        session = upload.session
        new = self._store.add_whole(session, upload.model, upload.created, upload.version, upload.traces)
        return session.match_id, new

    def card(self) -> ModelCard:
        return self._roster.card()

    def _load(self, match_id: str) -> StoredMatch:
        try:
            return self._store.load(match_id)
        except KeyError:
            raise ProtocolError("unknown_match", f"there is no match {match_id!r}") from None

    def _session(self, match_id: str) -> tuple[StoredMatch, Session]:
        """A stored match, and the same played again."""
        stored = self._load(match_id)
        try:
            return stored, stored.replay()
        except ValueError as error:
            raise ProtocolError("invalid", str(error)) from None


def api_router(archive: Archive) -> APIRouter:
    """The endpoints under ``/api``."""
    router = APIRouter(prefix="/api")
    heavy = anyio.CapacityLimiter(1)  # one picture or one look of the model at a time, beside the players' plans

    async def in_turn(work: Callable[[str], T], match_id: str) -> T:
        if heavy.statistics().tasks_waiting >= _HEAVY_WAITING:
            raise ProtocolError("busy", "the server is busy with other matches; try again in a few seconds")
        return await anyio.to_thread.run_sync(work, match_id, limiter=heavy)

    @router.get("/matches")
    def matches(
        limit: Annotated[int, Query(ge=1, le=100)] = 20, before: Annotated[int | None, Query(ge=0)] = None
    ) -> MatchList:
        return archive.page(limit, before)

    @router.get("/matches/{match_id}")
    def match_file(match_id: MatchId) -> Response:
        return _attachment(archive.file(match_id), "application/json", f"pushjepa-match-{match_id}.json")

    @router.get("/matches/{match_id}/plans/{turn}")
    def plan(match_id: MatchId, turn: Annotated[int, Path(ge=0, lt=MATCH_TURNS)]) -> StoredPlan:
        return archive.plan(match_id, turn)

    @router.get("/matches/{match_id}/gif")
    async def gif(match_id: MatchId) -> Response:
        return _attachment(await in_turn(archive.gif, match_id), "image/gif", f"pushjepa-match-{match_id}.gif")

    @router.get("/matches/{match_id}/decoded")
    async def decoded(match_id: MatchId) -> DecodedList:
        return await in_turn(archive.decoded, match_id)

    @router.post("/matches", status_code=status.HTTP_201_CREATED)
    async def upload(request: Request, response: Response) -> Uploaded:
        check_origin(request.headers)
        text = await read_body(request)
        match_id, new = await anyio.to_thread.run_sync(archive.upload, text)
        if not new:
            response.status_code = status.HTTP_200_OK
        return Uploaded(match_id=match_id)

    router.get("/matches/{match_id}/replay")(archive.replay)
    router.get("/totals")(archive.totals)
    router.get("/model")(archive.card)
    return router


def add_failures(app: FastAPI) -> None:
    """Answer everything that goes wrong with one line and a code."""

    @app.exception_handler(ProtocolError)
    def protocol_error(_: Request, error: ProtocolError) -> Response:
        return _failure(error.code, str(error), _STATUS.get(error.code, status.HTTP_400_BAD_REQUEST))

    @app.exception_handler(RequestValidationError)
    def bad_request(_: Request, error: RequestValidationError) -> Response:
        first: dict[str, Any] = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _failure("malformed", f"{where}: {first['msg']}", status.HTTP_400_BAD_REQUEST)

    @app.exception_handler(sqlite3.Error)
    def store_error(request: Request, error: sqlite3.Error) -> Response:
        log.error("the store failed on %s", request.url.path, exc_info=error)
        return _failure("internal", "the store of matches failed; try again", status.HTTP_500_INTERNAL_SERVER_ERROR)


def same_origin(headers: Headers) -> bool:
    """Whether a request comes from our own page, or from no page at all."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def check_origin(headers: Headers) -> None:
    """Turn away what a page of another site sends to this port from the player's browser.

    Raises:
        ProtocolError: it comes from another page.
    """
    if not same_origin(headers):
        raise ProtocolError("invalid", "only this server's own page may send it matches")


async def read_body(request: Request) -> bytes:
    """The body of an upload; no more of it is read than may be sent."""
    text = bytearray()
    async for chunk in request.stream():
        text += chunk
        if len(text) > MAX_UPLOAD_BYTES:
            raise ProtocolError("too_large", f"a match file is at most {MAX_UPLOAD_BYTES} bytes")
    return bytes(text)


def _attachment(content: str | bytes, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _failure(code: ErrorCode, message: str, http_status: int) -> Response:
    failure = Failure(code=code, message=message.splitlines()[0])
    return Response(failure.model_dump_json(), status_code=http_status, media_type="application/json")


def _total(tally: Tally) -> Total:
    return Total(
        opponent=tally.opponent,
        played=tally.played,
        won=tally.won,
        lost=tally.lost,
        drawn=tally.drawn,
        net_progress=tally.net_progress,
    )
