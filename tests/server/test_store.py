from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from pushjepa.physics import Physics
from pushjepa.relay import MatchSetup, PhysicsChange
from pushjepa.server.messages import PlanView, TraceView
from pushjepa.server.session import Seats, Session
from pushjepa.server.store import MatchStore

PLAN = PlanView(
    cost=0.1 + 0.2,
    cost_by_iteration=[1 / 3, 0.1],
    predicted=[0.1] * 7,
    ms=1.5,
    context=3,
)
TRACE = (TraceView(costs=[1.0], elites=[0], agents=[[1.0, 2.0]], paths=[[[0.5, 1.0]] * 5], blocks=[[[3.0, 4.0]]]),)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sub" / "matches.sqlite3"


@pytest.fixture
def store(path):
    opened = MatchStore(path)
    yield opened
    opened.close()


def played(store, turns=10, match_id="one"):
    """A stored match of random moves on a stage with changing laws."""
    changes = (PhysicsChange(4, Physics(block_mass=3.0, block_scale=1.2)),)
    setup = MatchSetup("pillars", 2**53 - 1, "p2", Physics(damping=0.3), changes)
    game = Session(match_id, setup, Seats("human", "shove"))
    store.add_match(game, "compact")
    rng = np.random.default_rng(1)
    for _ in range(turns):
        block = rng.uniform(-1, 1, (5, 2))
        turn = game.human_turn(block=block.tolist()) if game.phase == "human" else game.opponent_turn(block, PLAN)
        result = game.match.result() if game.phase == "over" else None
        store.add_turn(match_id, turn, result, () if turn.plan is None else TRACE)
    return game


def test_a_match_reads_back_and_replays_bit_for_bit(store, path):
    game = played(store)
    with closing(MatchStore(path)) as other:
        stored = other.load("one")
    assert (stored.setup, stored.seats, stored.model) == (game.setup, Seats("human", "shove"), "compact")
    again = stored.replay()
    assert again.match.state.tobytes() == game.match.state.tobytes()
    assert [t.block.tobytes() for t in again.turns] == [t.block.tobytes() for t in game.turns]
    assert stored.result == game.match.result() == again.match.result()
    assert again.turns[0].plan == PLAN
    assert again.turns[1].plan is None


def test_what_a_plan_looked_at_reads_back_and_is_kept_small(store, path):
    played(store)
    assert store.trace("one", 0) == TRACE
    assert store.trace("one", 1) == ()
    for match_id, turn in (("one", 10), ("two", 0)):
        with pytest.raises(KeyError):
            store.trace(match_id, turn)
    rng = np.random.default_rng(0)
    widest = tuple(
        TraceView(
            costs=rng.uniform(0, 900, 128).round(2).tolist(),
            elites=list(range(20)),
            agents=rng.uniform(0, 512, (128, 2)).round(1).tolist(),
            paths=rng.uniform(0, 512, (128, 5, 2)).round(1).tolist(),
            blocks=rng.uniform(0, 512, (128, 1, 2)).round(1).tolist(),
        )
        for _ in range(12)
    )
    game = Session("two", MatchSetup("open", 1), Seats("jepa", "jepa"))
    store.add_match(game, None)
    store.add_turn("two", game.opponent_turn(np.zeros((5, 2)), PLAN), None, widest)
    assert store.trace("two", 0) == widest
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT max(length(trace)) FROM turns").fetchone()[0] < 100_000


VERSION_1 = """
CREATE TABLE matches (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, version TEXT NOT NULL, setup TEXT NOT NULL,
    human TEXT NOT NULL, opponent TEXT NOT NULL, model TEXT, finished TEXT, result TEXT
);
CREATE TABLE turns (
    match_id TEXT NOT NULL REFERENCES matches(id), turn INTEGER NOT NULL, side TEXT NOT NULL,
    block BLOB NOT NULL, state BLOB NOT NULL, plan TEXT, PRIMARY KEY (match_id, turn)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def write_version_1(path, game):
    """The store of version 1 with ``game`` in it twice, the second time with the person at p2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old_plan = json.dumps(
        {"cost": 1.5, "cost_by_iteration": [2.0, 1.5], "predicted": [0.5] * 7, "ms": 3.0,
         "trace": [{"costs": [1.5], "agents": [[1.0, 2.0]], "blocks": [[[3.0, 4.0]]]}]}
    )  # fmt: skip
    result = game.match.result()
    text = json.dumps({"winner": result.winner, "distances": result.distances, "progress": result.progress})
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(VERSION_1)
        for name, human in (("old-1", "p1"), ("old-2", "p2")):
            row = (name, "2026-01-01T00:00:00+00:00", "0.1.0", json.dumps(game.setup.to_dict()), human, "shove", None)
            db.execute("INSERT INTO matches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, "later", text))
            for turn in game.turns:
                row = (name, turn.index, turn.side, turn.block.tobytes(), turn.states[-1].tobytes())
                db.execute("INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?)", (*row, old_plan if turn.index == 1 else None))


def test_a_store_of_version_1_is_brought_up_to_date_with_all_its_matches(tmp_path, store):
    game = played(store)
    path = tmp_path / "old.sqlite3"
    write_version_1(path, game)
    for _ in range(2):  # once and for all
        with closing(MatchStore(path)) as new:
            assert [match.match_id for match in new.page(9)] == ["old-2", "old-1"]
            stored = new.load("old-1")
            assert stored.seats == Seats("human", "shove")
            assert new.load("old-2").seats == Seats("shove", "human")
            assert stored.replay().match.state.tobytes() == game.match.state.tobytes()
            assert (stored.result, stored.imported) == (game.match.result(), False)
            assert stored.turns[1].plan == PlanView(
                cost=1.5, cost_by_iteration=[2.0, 1.5], predicted=[0.5] * 7, ms=3.0, context=None
            )
            part = TraceView(costs=[1.5], elites=[], agents=[[1.0, 2.0]], paths=[], blocks=[[[3.0, 4.0]]])
            assert new.trace("old-1", 1) == (part,)
            assert new.trace("old-1", 2) == ()
    with closing(MatchStore(path)) as new:  # and it goes on
        more = Session("new", MatchSetup("open", 1), Seats("human", "shove"))
        new.add_match(more, None)
        with pytest.raises(sqlite3.IntegrityError):
            new.add_turn("nobody", game.turns[0], None)
        assert new.page(1)[0].match_id == "new"


def test_a_store_that_cannot_be_brought_up_to_date_stays_as_it_was(tmp_path, store):
    path = tmp_path / "old.sqlite3"
    write_version_1(path, played(store))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE turns SET plan = '{}' WHERE plan IS NOT NULL")
        before = list(db.iterdump())
    with pytest.raises(ValueError, match="cannot be used as a match store"):
        MatchStore(path)
    with closing(sqlite3.connect(path)) as db:
        assert list(db.iterdump()) == before
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_turn_is_on_disk_when_it_was_added(store, path):
    played(store, turns=3)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM turns").fetchone() == (3,)
        assert db.execute("SELECT finished, result FROM matches").fetchone() == (None, None)


def test_a_match_stored_under_other_physics_is_not_passed_off_as_the_same(store, path):
    played(store, turns=2)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE turns SET state = zeroblob(56) WHERE turn = 1")
    with pytest.raises(ValueError, match="turn 1 ends elsewhere"):
        store.load("one").replay()


def test_a_turn_is_stored_only_once_and_a_refused_one_leaves_no_trace(store):
    game = played(store, turns=2)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_turn("one", game.turns[1], game.match.result())
    with pytest.raises(sqlite3.IntegrityError):
        store.add_turn("nobody", game.turns[1], None)
    assert len(store.load("one").turns) == 2
    assert store.load("one").result is None


def test_an_unknown_match_is_a_key_error(store):
    with pytest.raises(KeyError):
        store.load("nothing")


def test_a_file_that_is_something_else_is_refused_in_one_line(tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("not a database " * 500)
    with pytest.raises(ValueError, match="cannot be used as a match store") as caught:
        MatchStore(other)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="cannot open"):
        MatchStore(tmp_path)


def test_a_store_of_a_newer_version_is_refused(path):
    MatchStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ValueError, match="newer version"):
        MatchStore(path)
