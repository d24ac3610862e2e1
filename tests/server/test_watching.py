"""Matches between two policies, over a real WebSocket: whoever watches sets the pace."""

from __future__ import annotations

from contextlib import closing

import pytest

from pushjepa.server.messages import SERVER_MESSAGES
from pushjepa.server.store import MatchStore

STILL = [[0.0, 0.0]] * 5
PLAYERS = {"p1": "jepa", "p2": "chase_t"}


def start(client, players=PLAYERS, **options):
    return client.ask("new_match", seed=4, players=players, **options)


def step(client, turn):
    """Ask for a turn; gives its result."""
    client.send("next", turn=turn)
    assert client.expect("thinking")["turn"] == turn
    return client.until("turn_result")


@pytest.mark.parametrize("first", ["p1", "p2", None])
def test_two_policies_play_a_whole_match_one_turn_for_each_next(server, client, first):
    state = start(client, first=first)
    assert (state["players"], state["human"], state["opponent"]) == (PLAYERS, None, None)
    assert (state["phase"], state["first"]) == ("opponent", first or "p1")
    for turn in range(10):
        played = step(client, turn)
        assert (played["turn"], played["player"]) == (turn, PLAYERS[played["side"]])
    over = client.expect("match_over")
    for message in client.seen:
        SERVER_MESSAGES.validate_python(message)
    assert [m["side"] for m in client.seen if m["type"] == "plan"] == ["p1"] * 5
    with closing(MatchStore(server.store)) as store:
        stored = store.load(state["match_id"])
    assert (stored.seats.p1, stored.seats.p2, stored.model) == ("jepa", "chase_t", "toy")
    assert stored.result.distances == over["standing"]["distances"]
    assert client.ask("next", turn=10)["code"] == "out_of_turn"


def test_nothing_moves_until_it_is_asked_for(client):
    start(client)
    step(client, 0)
    assert client.ask("hello")["type"] == "welcome"  # nothing else had come
    assert step(client, 1)["turn"] == 1


def test_a_turn_that_is_asked_for_twice_is_played_once(server, cast):
    one, two = server.connect(), server.connect()
    state = start(one, {"p1": "gate", "p2": "passive"})
    two.ask("resume", match_id=state["match_id"])
    for client in (one, two, one):
        client.send("next", turn=0)
    assert cast.gate.entered.wait(10)
    assert one.ask("next", turn=1)["type"] == "thinking"
    assert one.expect("error")["code"] == "out_of_turn"  # turn 1 is still to come
    cast.gate.open.set()
    assert one.until("turn_result") == two.until("turn_result")
    two.send("next", turn=0)  # a slower tab: that turn has been played
    assert two.ask("hello")["type"] == "welcome"  # and nobody thinks
    assert step(one, 1)["turn"] == 1
    assert two.until("turn_result")["turn"] == 1
    turns = [m["turn"] for m in one.seen if m["type"] == "turn_result"]
    assert turns == [0, 1]


def test_the_same_seed_is_the_same_match(client):
    results = []
    for _ in range(2):
        start(client, {"p1": "random", "p2": "random"})
        results.append([step(client, turn)["states"] for turn in range(4)])
    assert results[0] == results[1]


def test_a_watched_match_goes_on_after_a_restart_as_if_nothing_had_been(server):
    whole = server.connect()
    start(whole)
    expected = [step(whole, turn)["states"] for turn in range(6)]
    first = server.connect()
    state = start(first)
    for turn in range(3):
        step(first, turn)
    server.stop()
    server.start()
    again = server.connect()
    back = again.ask("resume", match_id=state["match_id"])
    assert (back["turn"], back["phase"], back["human"]) == (3, "opponent", None)
    found = [turn["states"] for turn in back["history"]] + [step(again, turn)["states"] for turn in range(3, 6)]
    assert found == expected


def test_a_match_that_is_resumed_while_a_policy_thinks_says_so(server, cast):
    one, two = server.connect(), server.connect()
    state = start(one, {"p1": "gate", "p2": "passive"})
    one.send("next", turn=0)
    assert cast.gate.entered.wait(10)
    assert two.ask("resume", match_id=state["match_id"])["turn"] == 0
    assert two.expect("thinking")["player"] == "gate"


def test_hands_off_a_watched_match_and_next_only_there(client):
    start(client)
    refused = client.ask("human_turn", block=STILL)
    assert (refused["code"], "send next" in refused["message"]) == ("out_of_turn", True)
    client.ask("new_match", opponent="passive")
    assert client.ask("next", turn=0)["code"] == "invalid"
    assert client.ask("human_turn", block=STILL)["type"] == "turn_result"


def test_next_without_a_match_is_out_of_turn(client):
    assert client.ask("next", turn=0)["code"] == "out_of_turn"


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"players": {"p1": "god", "p2": "passive"}}, "invalid", "unknown opponent 'god'"),
        ({"players": {"p1": "human", "p2": "passive"}}, "invalid", "unknown opponent 'human'"),
        ({"players": {"p1": "passive"}}, "malformed", "players.p2"),
        ({"players": PLAYERS, "side": "p1"}, "malformed", "either players"),
        ({"players": PLAYERS, "opponent": "passive"}, "malformed", "either players"),
    ],
)
def test_impossible_pairs_are_refused_in_one_line(client, fields, code, words):
    refused = client.ask("new_match", **fields)
    assert (refused["type"], refused["code"]) == ("error", code)
    assert words in refused["message"]


def test_a_policy_that_fails_can_be_asked_again(client):
    start(client, {"p1": "stumbler", "p2": "passive"})
    client.send("next", turn=0)
    client.expect("thinking")
    error = client.expect("error")
    assert (error["code"], error["message"]) == ("opponent_failed", "stumbler could not move: tripped over")
    client.send("next", turn=0)
    client.expect("thinking")
    assert "[-1, 1]" in client.expect("error")["message"]
    assert step(client, 0)["turn"] == 0


def test_what_the_model_reads_off_each_frame_is_told(client):
    state = start(client)
    while not client.decoded:
        client.receive_any()
    step(client, 0)
    while len(client.decoded) < 2:
        client.receive_any()
    assert [m["turn"] for m in client.decoded] == [0, 1]
    for message in client.decoded:
        SERVER_MESSAGES.validate_python(message)
        assert message["match_id"] == state["match_id"]
        assert message["state"] == [100.0, 200.0, 300.0, 200.0, 256.0, 250.0, 0.5]


def test_the_odds_are_told_with_the_match_and_every_turn_and_end_in_certainty(client):
    state = start(client, {"p1": "chase_t", "p2": "passive"})
    told = [state["odds"]] + [step(client, turn)["odds"] for turn in range(10)]
    winner = client.expect("match_over")["winner"]
    for odds in told:
        assert odds["p1"] + odds["p2"] == pytest.approx(1.0)
        assert 0.0 <= odds["p1"] <= 1.0
    assert told[-1] == {"p1": float(winner == "p1"), "p2": float(winner == "p2")}
    history = client.ask("resume", match_id=state["match_id"])["history"]
    assert [turn["odds"] for turn in history] == told[1:]
