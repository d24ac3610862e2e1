"""Changing the laws of physics in mid-match, over a real WebSocket: when a change holds, and that it is kept."""

from __future__ import annotations

import json
import urllib.request
from contextlib import closing

import numpy as np
import pytest

from pushjepa.physics import BLOCK_SHAPES, Board, Physics, block_parts
from pushjepa.physics.parameters import LIMITS as LIMITS
from pushjepa.relay import MatchSetup, get_stage
from pushjepa.server.messages import SERVER_MESSAGES, ProtocolError
from pushjepa.server.session import Seats, Session
from pushjepa.server.store import MatchStore

STILL = [[0.0, 0.0]] * 5
PUSH = [[1.0, 0.0]] * 5
USUAL = Physics().to_dict()
HEAVY = {"block_mass": 12.0}


def change(client, **physics):
    return client.ask("change_physics", physics=physics)


def laws(**physics):
    return {**USUAL, **physics}


def played_under(turn, before, physics, stage="open"):
    """Whether the turn went as it goes under ``physics``."""
    board = Board(get_stage(stage).obstacles, Physics.from_dict(physics))
    return board.run_turn(np.array(before), turn["side"], np.array(turn["block"])).tolist() == turn["states"]


def test_the_welcome_says_what_can_be_changed_and_how_far(client):
    told = client.ask("hello")["laws"]
    assert {law["name"]: (law["low"], law["high"]) for law in told["numbers"]} == LIMITS
    assert {law["name"]: law["standard"] for law in told["numbers"]} == {name: USUAL[name] for name in LIMITS}
    assert told["shape"] == "tee"
    assert [shape["name"] for shape in told["shapes"]] == list(BLOCK_SHAPES)
    assert told["shapes"][2]["parts"] == [part.tolist() for part in block_parts("square")]


def test_a_change_on_ones_own_turn_holds_from_that_turn(client):
    state = client.ask("new_match", seed=3, opponent="passive")
    assert (state["physics"], state["changes"]) == (USUAL, [])
    assert state["laws"] == {"now": USUAL, "coming": None}
    told = change(client, block_mass=12.0, damping=0.5)
    assert told["type"] == "physics_changed"
    assert (told["match_id"], told["turn"]) == (state["match_id"], 0)
    assert told["laws"] == {"now": laws(block_mass=12.0, damping=0.5), "coming": None}
    turn = client.ask("human_turn", block=PUSH)
    assert turn["physics"] == laws(block_mass=12.0, damping=0.5)
    assert played_under(turn, state["state"], turn["physics"])
    assert not played_under(turn, state["state"], laws(damping=0.5, agent_speed=500.0))
    assert turn["laws"]["now"] == turn["physics"]
    after = client.until("turn_result")
    assert after["physics"] == turn["physics"]  # it goes on until the next change


def test_a_change_while_the_opponent_thinks_holds_from_the_turn_after(server, cast):
    client, other = server.connect(), server.connect()
    state = client.ask("new_match", seed=3, opponent="gate")
    client.ask("human_turn", block=STILL)
    client.expect("thinking")
    assert cast.gate.entered.wait(10)
    told = change(client, **HEAVY)
    assert told["turn"] == 2
    assert told["laws"] == {"now": USUAL, "coming": told["changes"][0]}
    seen = other.ask("resume", match_id=state["match_id"])  # who comes in later is told as well
    assert (seen["changes"], seen["laws"]) == (told["changes"], told["laws"])
    other.expect("thinking")
    cast.gate.open.set()
    before = seen["state"]
    planned = client.expect("turn_result")
    assert other.expect("turn_result") == planned
    assert planned["physics"] == USUAL
    assert played_under(planned, before, USUAL)
    assert planned["laws"] == {"now": laws(**HEAVY), "coming": None}
    mine = client.ask("human_turn", block=PUSH)
    assert mine["physics"] == laws(**HEAVY)
    assert played_under(mine, planned["states"][-1], laws(**HEAVY))


def test_several_changes_before_the_same_turn_are_one(server, client):
    state = client.ask("new_match", seed=3, opponent="passive")
    change(client, block_mass=12.0, damping=0.5)
    told = change(client, damping=0.9, block_scale=1.5)
    assert told["laws"]["now"] == laws(block_mass=12.0, damping=0.9, block_scale=1.5)  # what is left out stays
    assert [c["turn"] for c in told["changes"]] == [0]
    assert told["changes"][0]["block_parts"] == [part.tolist() for part in block_parts("tee", 1.5)]
    back = client.ask("change_physics", physics=USUAL)
    assert (back["turn"], back["changes"], back["laws"]["now"]) == (0, [], USUAL)
    change(client, **HEAVY)
    client.send("human_turn", block=STILL)
    client.until("turn_result"), client.until("turn_result")
    told = change(client, block_shape="plus")
    assert [c["turn"] for c in told["changes"]] == [0, 2]
    assert told["laws"]["now"] == laws(block_shape="plus", **HEAVY)
    with closing(MatchStore(server.store)) as store:
        setup = store.load(state["match_id"]).setup
    assert [c.to_dict() for c in setup.changes] == [{k: c[k] for k in ("turn", "physics")} for c in told["changes"]]


def test_everyone_who_watches_hears_of_a_change(server):
    one, two = server.connect(), server.connect()
    state = one.ask("new_match", seed=1, opponent="passive")
    two.ask("resume", match_id=state["match_id"])
    told = change(two, agent_speed=600.0)
    assert one.expect("physics_changed") == told
    assert one.ask("human_turn", block=PUSH)["physics"] == laws(agent_speed=600.0)


def test_two_policies_go_on_under_the_new_laws(server, cast):
    client = server.connect()
    state = client.ask("new_match", seed=4, players={"p1": "gate", "p2": "chase_t"})
    assert change(client, **HEAVY)["turn"] == 0  # nobody thinks yet
    client.send("next", turn=0)
    client.expect("thinking")
    assert cast.gate.entered.wait(10)
    assert change(client, block_scale=1.6)["turn"] == 1
    cast.gate.open.set()
    first = client.until("turn_result")
    client.send("next", turn=1)
    second = client.until("turn_result")
    assert (first["physics"], second["physics"]) == (laws(**HEAVY), laws(block_scale=1.6, **HEAVY))
    assert played_under(first, state["state"], first["physics"])
    assert played_under(second, first["states"][-1], second["physics"])


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"physics": {"block_mass": 99.0}}, "invalid", "physics block_mass must lie in [0.1, 20], got 99"),
        ({"physics": {"block_scale": 0.4}}, "invalid", "block_scale must lie in [0.5, 1.6]"),
        ({"physics": {"block_mass": "heavy"}}, "invalid", "block_mass must be a finite number"),
        ({"physics": {"block_shape": "ball"}}, "invalid", "unknown block_shape 'ball'; choose one of tee"),
        ({"physics": {"block_shape": 3}}, "invalid", "unknown block_shape 3"),
        ({"physics": {"gravity": 9.8}}, "invalid", "unknown physics option 'gravity'"),
        ({"physics": {}}, "malformed", "physics"),
        ({"physics": {"damping": True}}, "malformed", "physics.damping"),
        ({"physics": {"damping": None}}, "malformed", "physics.damping"),
        ({"physics": [1]}, "malformed", "physics"),
        ({}, "malformed", "physics"),
        ({"physics": {"damping": 0.5}, "turn": 3}, "malformed", "turn"),
    ],
)
def test_a_bad_change_is_refused_in_one_line_and_nothing_is_lost(client, fields, code, words):
    state = client.ask("new_match", seed=3, opponent="passive")
    change(client, **HEAVY)
    refused = client.ask("change_physics", **fields)
    assert (refused["type"], refused["code"]) == ("error", code)
    assert words in refused["message"]
    assert "\n" not in refused["message"]
    again = client.ask("resume", match_id=state["match_id"])
    assert again["laws"]["now"] == laws(**HEAVY)
    assert client.ask("human_turn", block=STILL)["physics"] == laws(**HEAVY)


def test_there_is_no_change_without_a_match_nor_after_its_last_turn(server, cast):
    client = server.connect()
    assert change(client, **HEAVY)["code"] == "out_of_turn"
    state = client.ask("new_match", seed=3, players={"p1": "passive", "p2": "gate"})
    cast.gate.open.set()
    for turn in range(9):
        client.send("next", turn=turn)
        client.until("turn_result")
    cast.gate.open.clear()
    cast.gate.entered.clear()
    client.send("next", turn=9)
    client.expect("thinking")
    assert cast.gate.entered.wait(10)
    refused = change(client, **HEAVY)
    assert (refused["code"], "last turn" in refused["message"]) == ("out_of_turn", True)
    cast.gate.open.set()
    client.until("match_over")
    refused = change(client, **HEAVY)
    assert (refused["code"], "over" in refused["message"]) == ("out_of_turn", True)
    assert client.ask("resume", match_id=state["match_id"])["changes"] == []


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/{path}", timeout=10) as answer:
        return answer.read()


def post(server, path, body):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/{path}", body, timeout=10) as answer:
        return json.loads(answer.read())


def test_a_match_with_twenty_changes_is_kept_bit_for_bit(server):
    """Played, resumed after a restart, taken away as a file and brought back: always the same match."""
    rng, client = np.random.default_rng(2), server.connect()
    state = client.ask("new_match", stage="gate", seed=8, opponent="chase_t")
    match_id, last, now = state["match_id"], state, USUAL
    for turn in (0, 2, 4, 6, 8):
        if turn == 4:
            server.stop()
            server.start()
            client = server.connect()
            back = client.ask("resume", match_id=match_id)
            assert (back["turn"], back["laws"]["now"], back["state"]) == (4, now, last["states"][-1])
        for _ in range(4):
            told = change(client, **{name: float(rng.uniform(*ends)) for name, ends in LIMITS.items()})
            assert told["turn"] == turn
        now = told["laws"]["now"]
        assert client.ask("human_turn", block=PUSH)["physics"] == now
        last = client.until("turn_result")
        assert np.isfinite(last["states"]).all()
    assert client.until("match_over")["type"] == "match_over"
    for message in client.seen:
        SERVER_MESSAGES.validate_python(message)

    stored = json.loads(get(server, f"matches/{match_id}/replay"))
    assert [c["turn"] for c in stored["changes"]] == [0, 2, 4, 6, 8]
    assert stored["physics"] == USUAL
    under = [turn["physics"] for turn in stored["history"]]
    assert under == [c["physics"] for c in stored["changes"] for _ in range(2)]
    assert stored["state"] == last["states"][-1]
    file = get(server, f"matches/{match_id}")
    assert [c["turn"] for c in json.loads(file)["setup"]["changes"]] == [0, 2, 4, 6, 8]
    brought = json.loads(get(server, f"matches/{post(server, 'matches', file)['match_id']}/replay"))
    assert brought["imported"]
    for name in ("physics", "changes", "laws", "start", "state", "history", "result"):
        assert brought[name] == stored[name]


def test_a_change_is_stored_before_it_is_answered(server, client):
    state = client.ask("new_match", seed=3, opponent="passive")
    told = change(client, **HEAVY)
    with closing(MatchStore(server.store)) as store:
        setup = store.load(state["match_id"]).setup
    assert setup.physics_at(0).to_dict() == told["laws"]["now"]
    assert setup.physics == Physics()


def test_a_change_that_cannot_be_stored_changes_nothing(server, client, monkeypatch):
    state = client.ask("new_match", seed=3, opponent="passive")

    def full(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MatchStore, "set_setup", full)
        assert change(client, **HEAVY)["code"] == "internal"
    assert client.ask("resume", match_id=state["match_id"])["changes"] == []
    assert client.ask("human_turn", block=STILL)["physics"] == USUAL


def test_a_stored_match_that_is_not_there_cannot_be_changed(tmp_path):
    with closing(MatchStore(tmp_path / "matches.sqlite3")) as store, pytest.raises(KeyError):
        store.set_setup("nothing", MatchSetup("open", 1))


def test_the_model_looks_again_at_a_block_that_was_changed_where_it_stands(client):
    client.ask("new_match", seed=3, opponent="passive")
    while not client.decoded:
        client.receive_any()
    change(client, block_scale=1.6)
    while len(client.decoded) < 2:
        client.receive_any()
    assert [m["turn"] for m in client.decoded] == [0, 0]


def test_a_policy_that_failed_is_asked_again_under_the_newest_laws(client):
    client.ask("new_match", seed=3, players={"p1": "stumbler", "p2": "passive"})
    client.send("next", turn=0)
    client.expect("thinking")
    assert client.expect("error")["code"] == "opponent_failed"
    told = change(client, **HEAVY)
    assert told["turn"] == 0


def test_the_newest_change_drops_what_was_still_to_come():
    session = Session("m", MatchSetup("open", 1), Seats("human", "passive"))
    session.change_physics(session.next_laws({"block_mass": 9.0}, planned=True))
    assert [c.turn for c in session.setup.changes] == [1]
    session.change_physics(session.next_laws({"damping": 0.5}, planned=False))
    (only,) = session.setup.changes
    assert (only.turn, only.physics) == (0, Physics(block_mass=9.0, damping=0.5))
    for _ in range(9):
        session.replay_turn(np.zeros((5, 2)), None)
    assert session.next_laws({"damping": 0.9}, planned=False).turn == 9
    with pytest.raises(ProtocolError, match="the last turn is being planned; there is no turn left"):
        session.next_laws({"damping": 0.9}, planned=True)
