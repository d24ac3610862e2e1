from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushjepa.physics import Physics
from pushjepa.relay import MatchSetup, PhysicsChange
from pushjepa.server.matchfile import read_match, write_match
from pushjepa.server.messages import MAX_UPLOAD_BYTES, PlanView, ProtocolError, TraceView
from pushjepa.server.session import Seats, Session
from pushjepa.server.store import MatchStore

PLAN = PlanView(cost=0.1 + 0.2, cost_by_iteration=[1 / 3], predicted=[0.1] * 7, ms=1.5, context=3)
TRACE = (TraceView(costs=[1.0], elites=[0], agents=[[1.0, 2.0]], paths=[[[0.5, 1.0]] * 5], blocks=[[[3.0, 4.0]]]),)


@pytest.fixture
def store(tmp_path):
    with closing(MatchStore(tmp_path / "matches.sqlite3")) as opened:
        yield opened


def stored(store, turns=10):
    """A stored match with changing laws; p2 plans in it."""
    changes = (PhysicsChange(4, Physics(block_mass=3.0, block_scale=1.2)),)
    game = Session("one", MatchSetup("pillars", 7, "p2", Physics(damping=0.3), changes), Seats("human", "jepa"))
    store.add_match(game, "compact")
    rng = np.random.default_rng(1)
    for _ in range(turns):
        plans = game.phase == "opponent"
        turn = game.replay_turn(rng.uniform(-1, 1, (5, 2)), PLAN if plans else None)
        result = game.match.result() if game.phase == "over" else None
        store.add_turn("one", turn, result, TRACE if plans else ())
    return game


def written(store, turns=10):
    stored(store, turns)
    match = store.load("one")
    return write_match(match, match.replay(), [store.trace("one", turn) for turn in range(turns)])


@pytest.fixture
def good(store):
    return json.loads(written(store))


@pytest.mark.parametrize("turns", [0, 3, 10])
def test_a_match_comes_back_as_it_went_bit_for_bit(store, turns):
    text = written(store, turns)
    upload, before = read_match(text.encode()), store.load("one")
    game = upload.session
    assert (game.setup, game.seats, game.imported) == (before.setup, before.seats, True)
    assert (upload.model, upload.created, upload.version) == ("compact", before.created, before.version)
    new = store.add_whole(game, upload.model, upload.created, upload.version, upload.traces)
    again = store.load(game.match_id)
    assert new
    assert again.imported
    assert again.result == before.result
    for now, then in zip(again.turns, before.turns, strict=True):
        assert (now.side, now.plan, now.block.tobytes()) == (then.side, then.plan, then.block.tobytes())
        assert now.state.tobytes() == then.state.tobytes()
    assert [store.trace(game.match_id, t) for t in range(turns)] == [store.trace("one", t) for t in range(turns)]
    # What goes out again is what came in, but for its name.
    traces = [store.trace(game.match_id, t) for t in range(turns)]
    back = json.loads(write_match(again, again.replay(), traces))
    assert back | {"match_id": "one"} == json.loads(text)


def test_the_same_match_is_stored_once(store):
    upload = read_match(written(store).encode())
    arguments = (upload.session, upload.model, upload.created, upload.version, upload.traces)
    assert [store.add_whole(*arguments), store.add_whole(*arguments)] == [True, False]
    assert len(store.page(10)) == 2


def change(file, where, value):
    """``file`` with the entry at the path ``where`` replaced."""
    at = file
    for key in where[:-1]:
        at = at[key]
    at[where[-1]] = value
    return file


def nudged(file, where):
    at = file
    for key in where:
        at = at[key]
    return change(file, where, float(np.nextafter(at, np.inf)))


REFUSED = {
    "another version": (lambda f: change(f, ["version"], 2), "wrong_version", "has version 2"),
    "no version": (lambda f: {k: v for k, v in f.items() if k != "version"}, "wrong_version", "version None"),
    "true is no version": (lambda f: change(f, ["version"], True), "wrong_version", "version True"),
    "something else": (lambda f: {"a": 1}, "malformed", "no PushJEPA match"),
    "a list": (lambda f: [f], "malformed", "no PushJEPA match"),
    "a field too many": (lambda f: {**f, "cheat": 1}, "malformed", "damaged: cheat"),
    "a block of four": (lambda f: change(f, ["turns", 3, "block"], [[0, 0]] * 4), "malformed", "turns.3.block"),
    "eleven turns": (lambda f: change(f, ["turns"], f["turns"] + f["turns"][:1]), "malformed", "damaged: turns"),
    "a trace that does not fit": (
        lambda f: change(f, ["turns", 0, "trace", 0, "costs"], [1.0, 2.0]),
        "malformed",
        "plan of turn 0",
    ),
    "an elite that is none": (
        lambda f: change(f, ["turns", 0, "trace", 0, "elites"], [4]),
        "malformed",
        "plan of turn 0",
    ),
    "an unknown stage": (lambda f: change(f, ["setup", "stage"], "moon"), "invalid", "moon"),
    "an unknown law": (lambda f: change(f, ["setup", "physics", "gravity"], 1.0), "invalid", "gravity"),
    "a seed that is no number": (lambda f: change(f, ["setup", "seed"], "7"), "invalid", "impossible"),
    "changes that are none": (lambda f: change(f, ["setup", "changes"], 3), "invalid", "impossible"),
    "a seed beyond what a page can count": (
        lambda f: change(f, ["setup", "seed"], 2**53),
        "invalid",
        "seed must be at most",
    ),
    "two people": (lambda f: change(f, ["players", "p2"], "human"), "invalid", "at most one person"),
    "another start": (lambda f: nudged(f, ["start", 4]), "invalid", "does not begin"),
    "another seed": (lambda f: change(f, ["setup", "seed"], 8), "invalid", "does not begin"),
    "an impossible move": (lambda f: change(f, ["turns", 2, "block", 1, 0], 1.5), "invalid", "turn 2 is an impossible"),
    "out of turn": (lambda f: change(f, ["turns", 1, "side"], "p2"), "invalid", "turn 1 is played by p2"),
    "another move": (lambda f: change(f, ["turns", 5, "block", 0, 0], 0.25), "invalid", "turn 5 does not end"),
    "another position": (lambda f: nudged(f, ["turns", 9, "states", 4, 4]), "invalid", "turn 9 does not end"),
    "another winner": (lambda f: change(f, ["result", "winner"], None), "invalid", "with the result"),
    "another distance": (lambda f: nudged(f, ["result", "distances", "p1"]), "invalid", "with the result"),
    "no result": (lambda f: change(f, ["result"], None), "invalid", "no result"),
    "a result too early": (lambda f: change(f, ["turns"], f["turns"][:4]), "invalid", "after 4 of 10 turns"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_changed_file_is_refused_with_one_clear_line(good, case):
    damage, code, words = REFUSED[case]
    with pytest.raises(ProtocolError, match=words) as caught:
        read_match(json.dumps(damage(good)).encode())
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OPTIONS = ["stage", "seed", "first", "physics", "changes", "start"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.sampled_from(OPTIONS), value=JSON)
def test_whatever_stands_in_a_setup_is_answered_with_one_line(good, where, value):
    file = {**good, "setup": {**good["setup"], where: value}}
    if where == "physics" and isinstance(value, dict):
        file["setup"]["physics"] = {**good["setup"]["physics"], "block_scale": value}
    if file["setup"] == good["setup"] or (where == "start" and value is None):
        return
    with pytest.raises(ProtocolError, match=r".") as caught:
        read_match(json.dumps(file).encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "code"),
    [(b"", "malformed"), (b"{", "malformed"), (b"\xff\xfe", "malformed"), (b" " * (MAX_UPLOAD_BYTES + 1), "too_large")],
)
def test_what_is_no_json_is_refused_with_one_clear_line(text, code):
    with pytest.raises(ProtocolError, match="file") as caught:
        read_match(text)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_an_upload_that_cannot_be_stored_whole_is_not_stored_at_all(store):
    upload = read_match(written(store).encode())
    upload.session.turns[7] = upload.session.turns[6]  # the same turn twice
    with pytest.raises(Exception, match="UNIQUE"):
        store.add_whole(upload.session, None, upload.created, upload.version, upload.traces)
    assert [match.match_id for match in store.page(10)] == ["one"]
    with pytest.raises(KeyError):
        store.load(upload.session.match_id)
