"""The matches on disk: SQLite, one row per match and one per turn, durable before a turn is answered.

Action blocks and positions are stored as little-endian float64, so a match replays bit for bit; the position after
each turn is kept beside its block only to notice if it ever did not. What a plan's search looked at is kept beside it,
compressed, and read only when it is asked for.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

import pushjepa
from pushjepa.physics import STATE_SIZE
from pushjepa.physics.constants import TURN_STEPS
from pushjepa.physics.geometry import Array
from pushjepa.relay import MatchResult, MatchSetup, Side, check_side
from pushjepa.server.messages import PlanView, TraceView
from pushjepa.server.session import Seats, Session, Turn

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE matches (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created TEXT NOT NULL, version TEXT NOT NULL,
    setup TEXT NOT NULL, p1 TEXT NOT NULL, p2 TEXT NOT NULL, model TEXT, finished TEXT, result TEXT,
    imported INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE turns (
    match_id TEXT NOT NULL REFERENCES matches(id), turn INTEGER NOT NULL, side TEXT NOT NULL,
    block BLOB NOT NULL, state BLOB NOT NULL, plan TEXT, trace BLOB, PRIMARY KEY (match_id, turn)
) WITHOUT ROWID;
"""
_TO_VERSION_2 = """
ALTER TABLE matches RENAME TO old_matches;
ALTER TABLE turns RENAME TO old_turns;
{schema}
INSERT INTO matches (id, created, version, setup, p1, p2, model, finished, result)
    SELECT id, created, version, setup, CASE human WHEN 'p1' THEN 'human' ELSE opponent END,
        CASE human WHEN 'p1' THEN opponent ELSE 'human' END, model, finished, result
    FROM old_matches ORDER BY rowid;
INSERT INTO turns (match_id, turn, side, block, state, plan)
    SELECT match_id, turn, side, block, state, plan FROM old_turns;
DROP TABLE old_turns;
DROP TABLE old_matches;
"""
_INSERT_MATCH = (
    "INSERT INTO matches (id, created, version, setup, p1, p2, model, finished, result, imported) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_TURN = "INSERT INTO turns (match_id, turn, side, block, state, plan, trace) VALUES (?, ?, ?, ?, ?, ?, ?)"
_FLOAT = np.dtype("<f8")
_TRACE: TypeAdapter[tuple[TraceView, ...]] = TypeAdapter(tuple[TraceView, ...])


@dataclass(frozen=True)
class StoredTurn:
    """A turn as stored: its block (5, 2), the position (7,) after it, and the plan behind it."""

    side: Side
    block: Array
    state: Array
    plan: PlanView | None


@dataclass(frozen=True)
class StoredMatch:
    """A match as stored; ``result`` is None until it is over. ``model`` names the world model behind its policies."""

    match_id: str
    created: str
    version: str
    setup: MatchSetup
    seats: Seats
    model: str | None
    turns: tuple[StoredTurn, ...]
    result: MatchResult | None
    imported: bool = False

    def replay(self) -> Session:
        """Play the match again from its start.

        Raises:
            ValueError: a turn did not end where it ended when it was stored (other physics, another engine).
        """
        past = [(turn.block, turn.plan) for turn in self.turns]
        session = Session.restore(self.match_id, self.setup, self.seats, past, imported=self.imported)
        for index, (stored, again) in enumerate(zip(self.turns, session.turns, strict=True)):
            if stored.state.tobytes() != again.states[-1].tobytes():
                raise ValueError(f"match {self.match_id} was stored under other physics: turn {index} ends elsewhere")
        return session


@dataclass(frozen=True)
class Summary:
    """A match in the list of matches; ``seq`` grows with every match, ``turns`` counts those played."""

    seq: int
    match_id: str
    created: str
    setup: MatchSetup
    seats: Seats
    turns: int
    result: MatchResult | None
    imported: bool


@dataclass(frozen=True)
class Tally:
    """Finished matches of people against one opponent; ``net_progress`` is the people's mean, px."""

    opponent: str
    played: int
    won: int
    lost: int
    drawn: int
    net_progress: float


class MatchStore:
    """Matches in one SQLite file. Safe to use from several threads.

    Args:
        path: the file; made, with its folder, if there is none. A file of an older version is brought up to date.

    Raises:
        ValueError: the file is something else, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise ValueError(f"cannot open the match store {path}: {error}") from None
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ValueError(f"{path} cannot be used as a match store ({error}); choose another file") from None
        except ValueError:
            self._db.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add_match(self, session: Session, model: str | None) -> None:
        """Store a new match before its first turn."""
        with self._transaction() as db:
            db.execute(_INSERT_MATCH, _match_row(session, model, _now(), pushjepa.__version__))

    def set_setup(self, match_id: str, setup: MatchSetup) -> None:
        """Store the setup of a match anew, because its laws were changed; on disk when this returns.

        Raises:
            sqlite3.Error: it could not be written.
            KeyError: there is no such match.
        """
        with self._transaction() as db:
            done = db.execute("UPDATE matches SET setup = ? WHERE id = ?", (_setup_to_json(setup), match_id))
            if done.rowcount != 1:
                raise KeyError(match_id)

    def add_turn(self, match_id: str, turn: Turn, result: MatchResult | None, trace: Sequence[TraceView] = ()) -> None:
        """Store a turn and, if it was the last, the result; on disk when this returns.

        Args:
            match_id: which match.
            turn: the turn.
            result: of the match, if it is over now.
            trace: what the turn's plan looked at.

        Raises:
            sqlite3.Error: it could not be written, or this turn is stored already.
        """
        row = _turn_row(match_id, turn, trace)
        with self._transaction() as db:
            db.execute(_INSERT_TURN, row)
            if result is not None:
                finished = (_now(), _result_to_json(result), match_id)
                db.execute("UPDATE matches SET finished = ?, result = ? WHERE id = ?", finished)

    def add_whole(
        self, session: Session, model: str | None, created: str, version: str, traces: Sequence[Sequence[TraceView]]
    ) -> bool:
        """Store an uploaded match with all its turns, or nothing at all.

        Args:
            session: the match, played again.
            model: name of the world model behind its policies.
            created: when it was first played.
            version: of the program that played it.
            traces: what the plan of each turn looked at.

        Returns:
            Whether it is new; False if it was there already.
        """
        rows = [_turn_row(session.match_id, turn, trace) for turn, trace in zip(session.turns, traces, strict=True)]
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM matches WHERE id = ?", (session.match_id,)).fetchone():
                return False
            db.execute(_INSERT_MATCH, _match_row(session, model, created, version))
            db.executemany(_INSERT_TURN, rows)
        return True

    def load(self, match_id: str) -> StoredMatch:
        """The match called ``match_id``.

        Raises:
            KeyError: there is none.
        """
        with self._lock:
            row = self._db.execute(
                "SELECT created, version, setup, p1, p2, model, result, imported FROM matches WHERE id = ?",
                (match_id,),
            ).fetchone()
            rows = self._db.execute(
                "SELECT side, block, state, plan FROM turns WHERE match_id = ? ORDER BY turn", (match_id,)
            ).fetchall()
        if row is None:
            raise KeyError(match_id)
        created, version, setup, p1, p2, model, result, imported = row
        return StoredMatch(
            match_id=match_id,
            created=created,
            version=version,
            setup=MatchSetup.from_dict(json.loads(setup)),
            seats=Seats(p1, p2),
            model=model,
            turns=tuple(_turn_from_row(*turn) for turn in rows),
            result=None if result is None else _result_from_json(result),
            imported=bool(imported),
        )

    def trace(self, match_id: str, turn: int) -> tuple[TraceView, ...]:
        """What the plan of a turn looked at; empty if it had none.

        Raises:
            KeyError: there is no such turn.
        """
        with self._lock:
            row = self._db.execute(
                "SELECT trace FROM turns WHERE match_id = ? AND turn = ?", (match_id, turn)
            ).fetchone()
        if row is None:
            raise KeyError((match_id, turn))
        return () if row[0] is None else _TRACE.validate_json(zlib.decompress(row[0]))

    def page(self, limit: int, before: int | None = None) -> list[Summary]:
        """At most ``limit`` matches, newest first; with ``before`` those whose ``seq`` is lower."""
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, id, created, setup, p1, p2, (SELECT count(*) FROM turns WHERE match_id = id), result, "
                "imported FROM matches WHERE ? IS NULL OR seq < ? ORDER BY seq DESC LIMIT ?",
                (before, before, limit),
            ).fetchall()
        return [
            Summary(
                seq=seq,
                match_id=match_id,
                created=created,
                setup=MatchSetup.from_dict(json.loads(setup)),
                seats=Seats(p1, p2),
                turns=turns,
                result=None if result is None else _result_from_json(result),
                imported=bool(imported),
            )
            for seq, match_id, created, setup, p1, p2, turns, result, imported in rows
        ]

    def tallies(self) -> list[Tally]:
        """How people did against each opponent in finished matches that were played here, the most played first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT p1, p2, result FROM matches WHERE result IS NOT NULL AND NOT imported "
                "AND (p1 = 'human' OR p2 = 'human')"
            ).fetchall()
        scores: dict[str, list[tuple[int, float]]] = {}
        for p1, p2, text in rows:
            seats, result = Seats(p1, p2), _result_from_json(text)
            if seats.human is not None and seats.opponent is not None:
                score = 0 if result.winner is None else 1 if result.winner == seats.human else -1
                scores.setdefault(seats.opponent, []).append((score, result.net_progress(seats.human)))
        tallies = [
            Tally(
                opponent=opponent,
                played=len(found),
                won=sum(score > 0 for score, _ in found),
                lost=sum(score < 0 for score, _ in found),
                drawn=sum(score == 0 for score, _ in found),
                net_progress=sum(net for _, net in found) / len(found),
            )
            for opponent, found in scores.items()
        ]
        return sorted(tallies, key=lambda tally: (-tally.played, tally.opponent))

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        # FULL, not NORMAL: a turn that was answered must also survive the machine going down.
        self._db.execute("PRAGMA synchronous = FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise ValueError(f"the match store {self.path} was written by a newer version; update or choose another")
        if version < SCHEMA_VERSION:
            self._migrate()
        self._db.execute("PRAGMA foreign_keys = ON")

    def _migrate(self) -> None:
        """Bring an empty file or one of an older version up to date, wholly or not at all."""
        with self._transaction() as db:
            # Another process may have been here in the meantime.
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                _run(db, _SCHEMA)
            elif version == 1:
                _run(db, _TO_VERSION_2.format(schema=_SCHEMA))
                _split_plans(db)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise


def _run(db: sqlite3.Connection, script: str) -> None:
    """Statements one by one: ``executescript`` would commit the transaction that they belong to."""
    for statement in script.split(";"):
        if statement.strip():
            db.execute(statement)


def _split_plans(db: sqlite3.Connection) -> None:
    """Version 1 kept a plan and its search in one text, and knew neither elites nor paths."""
    rows = db.execute("SELECT match_id, turn, plan FROM turns WHERE plan IS NOT NULL").fetchall()
    for match_id, turn, text in rows:
        try:
            plan = json.loads(text)
            trace = tuple(TraceView(**part, elites=[], paths=[]) for part in plan.pop("trace"))
            plan_text = PlanView(**plan).model_dump_json()
        except (KeyError, TypeError, ValueError):
            raise sqlite3.DatabaseError(f"the plan of turn {turn} of match {match_id} is damaged") from None
        db.execute(
            "UPDATE turns SET plan = ?, trace = ? WHERE match_id = ? AND turn = ?",
            (plan_text, _trace_to_blob(trace), match_id, turn),
        )


def _match_row(session: Session, model: str | None, created: str, version: str) -> tuple[object, ...]:
    setup = _setup_to_json(session.setup)
    over = session.imported and session.phase == "over"
    finished, result = (created, _result_to_json(session.match.result())) if over else (None, None)
    seats = session.seats
    return (
        session.match_id, created, version, setup, seats.p1, seats.p2, model, finished, result, int(session.imported)
    )  # fmt: skip


def _turn_row(match_id: str, turn: Turn, trace: Sequence[TraceView]) -> tuple[object, ...]:
    plan = None if turn.plan is None else turn.plan.model_dump_json()
    blob = _trace_to_blob(trace) if trace else None
    return match_id, turn.index, turn.side, _to_blob(turn.block), _to_blob(turn.states[-1]), plan, blob


def _turn_from_row(side: str, block: bytes, state: bytes, plan: str | None) -> StoredTurn:
    return StoredTurn(
        side=check_side(side),
        block=np.frombuffer(block, _FLOAT).reshape(TURN_STEPS, 2),
        state=np.frombuffer(state, _FLOAT).reshape(STATE_SIZE),
        plan=None if plan is None else PlanView.model_validate_json(plan),
    )


def _trace_to_blob(trace: Sequence[TraceView]) -> bytes:
    return zlib.compress(_TRACE.dump_json(tuple(trace)))


def _to_blob(values: Array) -> bytes:
    return np.ascontiguousarray(values, dtype=_FLOAT).tobytes()


def _setup_to_json(setup: MatchSetup) -> str:
    return json.dumps(setup.to_dict())


def _result_to_json(result: MatchResult) -> str:
    # json writes floats so that they read back exactly.
    return json.dumps({"winner": result.winner, "distances": result.distances, "progress": result.progress})


def _result_from_json(text: str) -> MatchResult:
    return MatchResult(**json.loads(text))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
