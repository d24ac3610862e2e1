from __future__ import annotations

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
