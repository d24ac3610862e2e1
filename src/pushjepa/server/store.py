"""The matches on disk: SQLite, one row per match and one per turn, durable before a turn is answered.

Action blocks and positions are stored as little-endian float64, so a match replays bit for bit; the position after
each turn is kept beside its block only to notice if it ever did not.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import pushjepa
from pushjepa.physics import STATE_SIZE
from pushjepa.physics.constants import TURN_STEPS
from pushjepa.physics.geometry import Array
from pushjepa.relay import MatchResult, MatchSetup, Side, check_side
from pushjepa.server.messages import PlanView
from pushjepa.server.session import Session, Turn

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS matches (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, version TEXT NOT NULL, setup TEXT NOT NULL,
    human TEXT NOT NULL, opponent TEXT NOT NULL, model TEXT, finished TEXT, result TEXT
);
CREATE TABLE IF NOT EXISTS turns (
    match_id TEXT NOT NULL REFERENCES matches(id), turn INTEGER NOT NULL, side TEXT NOT NULL,
    block BLOB NOT NULL, state BLOB NOT NULL, plan TEXT, PRIMARY KEY (match_id, turn)
) WITHOUT ROWID;
"""
_INSERT_MATCH = "INSERT INTO matches (id, created, version, setup, human, opponent, model) VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_TURN = "INSERT INTO turns (match_id, turn, side, block, state, plan) VALUES (?, ?, ?, ?, ?, ?)"
_FLOAT = np.dtype("<f8")


@dataclass(frozen=True)
class StoredTurn:
    """A turn as stored: its block (5, 2), the position (7,) after it, and the plan behind it."""

    side: Side
    block: Array
    state: Array
    plan: PlanView | None


@dataclass(frozen=True)
class StoredMatch:
    """A match as stored; ``result`` is None until it is over. ``model`` names the world model behind the opponent."""

    match_id: str
    created: str
    setup: MatchSetup
    human: Side
    opponent: str
    model: str | None
    turns: tuple[StoredTurn, ...]
    result: MatchResult | None

    def replay(self) -> Session:
        """Play the match again from its start.

        Raises:
            ValueError: a turn did not end where it ended when it was stored (other physics, another engine).
        """
        past = [(turn.block, turn.plan) for turn in self.turns]
        session = Session.restore(self.match_id, self.setup, self.human, self.opponent, past)
        for index, (stored, again) in enumerate(zip(self.turns, session.turns, strict=True)):
            if stored.state.tobytes() != again.states[-1].tobytes():
                raise ValueError(f"match {self.match_id} was stored under other physics: turn {index} ends elsewhere")
        return session


class MatchStore:
    """Matches in one SQLite file. Safe to use from several threads.

    Args:
        path: the file; made, with its folder, if there is none.

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
        setup = json.dumps(session.setup.to_dict())
        row = (session.match_id, _now(), pushjepa.__version__, setup, session.human, session.opponent, model)
        with self._transaction() as db:
            db.execute(_INSERT_MATCH, row)

    def add_turn(self, match_id: str, turn: Turn, result: MatchResult | None) -> None:
        """Store a turn and, if it was the last, the result; on disk when this returns.

        Raises:
            sqlite3.Error: it could not be written, or this turn is stored already.
        """
        plan = None if turn.plan is None else turn.plan.model_dump_json()
        row = (match_id, turn.index, turn.side, _to_blob(turn.block), _to_blob(turn.states[-1]), plan)
        with self._transaction() as db:
            db.execute(_INSERT_TURN, row)
            if result is not None:
                finished = (_now(), _result_to_json(result), match_id)
                db.execute("UPDATE matches SET finished = ?, result = ? WHERE id = ?", finished)

    def load(self, match_id: str) -> StoredMatch:
        """The match called ``match_id``.

        Raises:
            KeyError: there is none.
        """
        with self._lock:
            row = self._db.execute(
                "SELECT created, setup, human, opponent, model, result FROM matches WHERE id = ?", (match_id,)
            ).fetchone()
            rows = self._db.execute(
                "SELECT side, block, state, plan FROM turns WHERE match_id = ? ORDER BY turn", (match_id,)
            ).fetchall()
        if row is None:
            raise KeyError(match_id)
        created, setup, human, opponent, model, result = row
        return StoredMatch(
            match_id=match_id,
            created=created,
            setup=MatchSetup.from_dict(json.loads(setup)),
            human=check_side(human),
            opponent=opponent,
            model=model,
            turns=tuple(_turn_from_row(*turn) for turn in rows),
            result=None if result is None else _result_from_json(result),
        )

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        # FULL, not NORMAL: a turn that was answered must also survive the machine going down.
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise ValueError(f"the match store {self.path} was written by a newer version; update or choose another")
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

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


def _turn_from_row(side: str, block: bytes, state: bytes, plan: str | None) -> StoredTurn:
    return StoredTurn(
        side=check_side(side),
        block=np.frombuffer(block, _FLOAT).reshape(TURN_STEPS, 2),
        state=np.frombuffer(state, _FLOAT).reshape(STATE_SIZE),
        plan=None if plan is None else PlanView.model_validate_json(plan),
    )


def _to_blob(values: Array) -> bytes:
    return np.ascontiguousarray(values, dtype=_FLOAT).tobytes()


def _result_to_json(result: MatchResult) -> str:
    # json writes floats so that they read back exactly.
    return json.dumps({"winner": result.winner, "distances": result.distances, "progress": result.progress})


def _result_from_json(text: str) -> MatchResult:
    return MatchResult(**json.loads(text))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
