"""A match as a file: everything that replays it exactly, to take away and to bring back.

A file that is brought back is believed in nothing. It is played again from its setup and its action blocks, and every
position that it claims has to come out bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError
from pydantic_core import from_json

from pushjepa.relay import MATCH_TURNS, MatchSetup, Side
from pushjepa.server.messages import (
    MAX_SEED,
    MAX_UPLOAD_BYTES,
    Name,
    Pair,
    Part,
    PlanView,
    Players,
    ProtocolError,
    State,
    TraceView,
    first_line,
)
from pushjepa.server.session import Seats, Session, Turn
from pushjepa.server.store import StoredMatch
from pushjepa.server.thinking import MAX_CANDIDATES, MAX_ITERATIONS

KIND = "pushjepa-match"
VERSION = 1


class FileTurn(Part):
    """A turn: its action block, the states after each of its five steps, and the plan and search behind it."""

    side: Side
    block: Annotated[list[Pair], Field(min_length=5, max_length=5)]
    states: Annotated[list[State], Field(min_length=5, max_length=5)]
    plan: PlanView | None = None
    trace: Annotated[list[TraceView], Field(max_length=MAX_ITERATIONS)] = Field(default_factory=list)


class FileResult(Part):
    """How the match ended: the winner (null for a draw), distances to the goals and progress, px."""

    winner: Side | None
    distances: dict[Side, float]
    progress: dict[Side, float]


class MatchFile(Part):
    """The whole file; ``pushjepa`` is the version of the program that played it."""

    kind: Literal["pushjepa-match"] = "pushjepa-match"
    version: Literal[1] = 1
    pushjepa: Name
    match_id: Name
    created: Name
    model: Name | None
    players: Players
    setup: dict[str, Any]
    start: State
    turns: Annotated[list[FileTurn], Field(max_length=MATCH_TURNS)]
    result: FileResult | None


@dataclass(frozen=True)
class Upload:
    """A match that was brought and that has been played again.

    Attributes:
        session: the match; its name is made from what was played, so the same match is stored once.
        model: name of the world model behind its policies.
        created: when it was first played.
        version: of the program that played it.
        traces: what the plan of each turn looked at.
    """

    session: Session
    model: str | None
    created: str
    version: str
    traces: tuple[tuple[TraceView, ...], ...]


def write_match(stored: StoredMatch, session: Session, traces: list[tuple[TraceView, ...]]) -> str:
    """The file of a stored match.

    Args:
        stored: as it is in the store.
        session: the same match, played again.
        traces: what the plan of each turn looked at.
    """
    result = session.match.result() if session.phase == "over" else None
    file = MatchFile(
        pushjepa=stored.version,
        match_id=stored.match_id,
        created=stored.created,
        model=stored.model,
        players=Players(p1=stored.seats.p1, p2=stored.seats.p2),
        setup=stored.setup.to_dict(),
        start=session.match.states[0].tolist(),
        turns=[_file_turn(turn, trace) for turn, trace in zip(session.turns, traces, strict=True)],
        result=None
        if result is None
        else FileResult(winner=result.winner, distances=dict(result.distances), progress=dict(result.progress)),
    )
    return file.model_dump_json()


def read_match(text: bytes) -> Upload:
    """Read a file and play its match again.

    Raises:
        ProtocolError: it is too large, no match file, of another version, or impossible; the message says which and
            where.
    """
    file = _parse(text)
    try:
        setup = MatchSetup.from_dict(file.setup)
        if setup.seed > MAX_SEED:
            raise ValueError(f"seed must be at most {MAX_SEED}, got {setup.seed}")  # noqa: TRY301
        seats = Seats(file.players.p1, file.players.p2)
        session = Session(_digest(file), setup, seats, imported=True)
        _check_start(file, session)
        for index, turn in enumerate(file.turns):
            _replay_turn(index, turn, session)
        _check_result(file, session)
    except ProtocolError:
        raise
    except (ValueError, TypeError) as error:
        raise ProtocolError("invalid", f"this match is impossible: {str(error).splitlines()[0]}") from None
    traces = tuple(tuple(turn.trace) for turn in file.turns)
    return Upload(session, file.model, file.created, file.pushjepa, traces)


def _file_turn(turn: Turn, trace: tuple[TraceView, ...]) -> FileTurn:
    return FileTurn(
        side=turn.side, block=turn.block.tolist(), states=turn.states.tolist(), plan=turn.plan, trace=list(trace)
    )


def _parse(text: bytes) -> MatchFile:
    if len(text) > MAX_UPLOAD_BYTES:
        raise ProtocolError("too_large", f"a match file is at most {MAX_UPLOAD_BYTES} bytes, got {len(text)}")
    try:
        raw = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ProtocolError("malformed", f"this file is not JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(raw, dict) or raw.get("kind") != KIND:
        raise ProtocolError("malformed", "this file is no PushJEPA match; choose one that was downloaded from a match")
    if raw.get("version") != VERSION or isinstance(raw["version"], bool):
        found = str(raw.get("version"))[:20]
        raise ProtocolError("wrong_version", f"this match file has version {found}; this server reads {VERSION}")
    try:
        file = MatchFile.model_validate_json(text)
    except ValidationError as error:
        raise ProtocolError("malformed", f"this match file is damaged: {first_line(error)}") from None
    for index, turn in enumerate(file.turns):
        _check_trace(index, turn)
    return file


def _check_trace(index: int, turn: FileTurn) -> None:
    """Every list of a trace holds one entry per candidate, and no more candidates than are ever kept."""
    for part in turn.trace:
        count = len(part.costs)
        sizes = {len(part.agents), len(part.blocks), len(part.paths) or count}
        fits = sizes == {count} and count <= MAX_CANDIDATES and all(0 <= i < count for i in part.elites)
        if not fits or len(part.elites) > count:
            raise ProtocolError("malformed", f"this match file is damaged: the plan of turn {index} does not fit")


def _check_start(file: MatchFile, session: Session) -> None:
    if session.match.states[0].tolist() != file.start:
        raise ProtocolError("invalid", "this match does not begin where its file says; it was changed or damaged")


def _replay_turn(index: int, turn: FileTurn, session: Session) -> None:
    if turn.side != session.next_side:
        raise ProtocolError("invalid", f"turn {index} is played by {turn.side}, but it is {session.next_side}'s turn")
    try:
        played = session.replay_turn(np.array(turn.block), turn.plan)
    except ValueError as error:
        raise ProtocolError("invalid", f"turn {index} is an impossible move: {str(error).splitlines()[0]}") from None
    if played.states.tolist() != turn.states:
        raise ProtocolError(
            "invalid", f"turn {index} does not end where the file says; it was changed, or played under other physics"
        )


def _check_result(file: MatchFile, session: Session) -> None:
    over = session.phase == "over"
    if (file.result is not None) != over:
        said = "it has no result" if over else f"it has a result after {len(file.turns)} of {MATCH_TURNS} turns"
        raise ProtocolError("invalid", f"this match file contradicts itself: {said}")
    if file.result is not None:
        result, claimed = session.match.result(), file.result
        if (claimed.winner, claimed.distances, claimed.progress) != (result.winner, result.distances, result.progress):
            raise ProtocolError("invalid", "this match does not end with the result that its file says")


def _digest(file: MatchFile) -> str:
    """A name for what was played and by whom."""
    played = [[turn.side, turn.block] for turn in file.turns]
    text = json.dumps([file.players.model_dump(), file.setup, file.start, played], sort_keys=True)
    return "file-" + hashlib.sha256(text.encode()).hexdigest()[:16]
