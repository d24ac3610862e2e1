"""Whole matches over a real WebSocket against a real server."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.request
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from pushjepa.server.messages import SERVER_MESSAGES
from pushjepa.server.store import MatchStore

STILL = [[0.0, 0.0]] * 5
STATIC = Path(str(resources.files("pushjepa.server") / "static"))


@pytest.mark.parametrize(("side", "first"), [("p1", "p1"), ("p1", "p2"), ("p2", "p1"), ("p2", "p2")])
def test_a_whole_match_whoever_sits_where_and_whoever_starts(server, client, side, first):
    state = client.ask("new_match", stage="pillars", seed=5, side=side, first=first, opponent="chase_t")
    assert (state["type"], state["phase"]) == ("match_state", "human" if side == first else "opponent")
    last = client.play_out(state)
    over = client.expect("match_over")
    assert (last["turn"], last["phase"], last["next"]) == (9, "over", None)
    turns = [m for m in client.seen if m["type"] == "turn_result"]
    assert [t["turn"] for t in turns] == list(range(10))
    assert [t["side"] for t in turns] == ([first, "p2" if first == "p1" else "p1"] * 5)
    for message in client.seen:
        SERVER_MESSAGES.validate_python(message)

    with closing(MatchStore(server.store)) as store:
        stored = store.load(state["match_id"])
    assert stored.result.winner == over["winner"]
    assert stored.result.distances == over["standing"]["distances"]
    assert stored.replay().match.state.tolist() == last["states"][-1]


def test_a_planner_tells_its_plan_and_plays_it(client):
    state = client.ask("new_match", seed=1, opponent="jepa", side="p2", first="p1")
    assert client.expect("thinking")["turn"] == 0
    plan, turn = client.expect("plan"), client.expect("turn_result")
    assert (plan["turn"], plan["side"]) == (turn["turn"], turn["side"]) == (0, "p1")
    # It plans on the true simulator here, so what it expects is what happens, but for its repair of overlaps.
    assert plan["plan"]["predicted"][4:6] == pytest.approx(turn["states"][-1][4:6], abs=1.0)
    trace = plan["trace"]
    assert [len(t["costs"]) for t in trace] == [8, 8]
    for part in trace:
        assert part["elites"] == sorted(range(8), key=lambda i: part["costs"][i])[:2]  # 15% of 8, rounded up
        assert [len(part[name]) for name in ("agents", "paths", "blocks")] == [8, 8, 8]
    assert min(c for t in trace for c in t["costs"]) == pytest.approx(plan["plan"]["cost"], abs=0.01)
    assert state["history"] == []


def test_every_turn_is_answered_with_the_standing(client):
    state = client.ask("new_match", seed=2, opponent="passive")
    client.send("human_turn", block=[[1.0, 0.0]] * 5)
    turn = client.expect("turn_result")
    for side, goal in state["scene"]["goals"].items():
        x, y = turn["states"][-1][4:6]
        assert turn["standing"]["distances"][side] == pytest.approx(((x - goal[0]) ** 2 + (y - goal[1]) ** 2) ** 0.5)
        gained = state["standing"]["distances"][side] - turn["standing"]["distances"][side]
        assert turn["standing"]["progress"][side] == pytest.approx(gained)


def test_a_match_survives_a_restart_of_the_server(server):
    first = server.connect()
    state = first.ask("new_match", seed=8, opponent="chase_t")
    last = first.play_out(state, turns=4)
    turns = [m for m in first.seen if m["type"] == "turn_result"]
    server.stop()

    server.start()
    second = server.connect()
    back = second.ask("resume", match_id=state["match_id"])
    assert back["type"] == "match_state"
    assert (back["turn"], back["phase"]) == (4, "human")
    assert back["state"] == last["states"][-1]
    assert [t["states"] for t in back["history"]] == [t["states"] for t in turns]
    second.play_out(back)
    over = second.expect("match_over")
    with closing(MatchStore(server.store)) as store:
        assert store.load(state["match_id"]).replay().match.result().distances == over["standing"]["distances"]


def test_a_restart_while_the_opponent_thinks_loses_nothing(server, cast):
    client = server.connect()
    state = client.ask("new_match", seed=8, opponent="gate")
    client.send("human_turn", block=STILL)
    client.expect("turn_result")
    client.expect("thinking")
    assert cast.gate.entered.wait(10)
    cast.gate.open.set()  # a thread cannot be killed; the answer of the old one must not be needed
    server.stop()

    server.start()
    client = server.connect()
    back = client.ask("resume", match_id=state["match_id"])
    assert back["turn"] in (1, 2)  # it may have answered just in time
    if back["turn"] == 1:
        assert client.until("turn_result")["turn"] == 1


def test_a_client_that_hangs_up_finds_the_opponents_turn_played(server, cast):
    client = server.connect()
    state = client.ask("new_match", seed=8, opponent="gate")
    client.send("human_turn", block=STILL)
    client.expect("turn_result")
    client.expect("thinking")
    client.close()
    again = server.connect()
    assert again.ask("resume", match_id=state["match_id"])["phase"] == "opponent"
    assert again.expect("thinking")["turn"] == 1
    cast.gate.open.set()
    assert again.expect("turn_result")["turn"] == 1
    assert again.ask("human_turn", block=STILL)["type"] == "turn_result"


def test_a_turn_is_stored_before_it_is_answered(server, client):
    state = client.ask("new_match", opponent="passive")
    client.send("human_turn", block=STILL)
    client.expect("turn_result")
    with closing(sqlite3.connect(server.store)) as db:
        rows = db.execute("SELECT turn FROM turns WHERE match_id = ?", (state["match_id"],)).fetchall()
    assert (0,) in rows


def test_two_sockets_play_two_matches_at_once(server, cast):
    slow, quick = server.connect(), server.connect()
    slow_state = slow.ask("new_match", seed=1, opponent="gate")
    slow.send("human_turn", block=STILL)
    slow.expect("turn_result")
    assert cast.gate.entered.wait(10)
    quick_state = quick.ask("new_match", seed=2, opponent="passive")
    quick.play_out(quick_state)  # while the other's opponent still thinks
    quick.expect("match_over")
    assert quick_state["match_id"] != slow_state["match_id"]
    cast.gate.open.set()
    assert slow.until("turn_result")["turn"] == 1


def test_two_tabs_see_the_same_match(server):
    one, two = server.connect(), server.connect()
    state = one.ask("new_match", seed=1, opponent="passive")
    assert two.ask("resume", match_id=state["match_id"]) == state
    two.send("human_turn", turn=0, block=STILL)
    assert one.until("turn_result") == two.until("turn_result")
    one.until("turn_result"), two.until("turn_result")
    one.close()
    assert two.ask("human_turn", turn=2, block=STILL)["turn"] == 2


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("gibberish", "malformed"),
        ('{"v": 2, "type": "cheat"}', "malformed"),
        ('{"v": 9, "type": "hello"}', "wrong_version"),
        ('{"v": 2, "type": "hello", "x": "' + "y" * 20_000 + '"}', "too_large"),
        (b"\x00\x01", "malformed"),
        (json.dumps({"v": 2, "type": "human_turn", "block": [[9.0, 0.0]] * 5}), "invalid"),
        (json.dumps({"v": 2, "type": "human_turn", "waypoints": [[9999, 0]]}), "invalid"),
        (json.dumps({"v": 2, "type": "human_turn", "turn": 4, "block": STILL}), "out_of_turn"),
        (json.dumps({"v": 2, "type": "resume", "match_id": "nothing"}), "unknown_match"),
        (json.dumps({"v": 2, "type": "new_match", "stage": "moon"}), "invalid"),
        (json.dumps({"v": 2, "type": "new_match", "opponent": "god"}), "invalid"),
        (json.dumps({"v": 2, "type": "new_match", "physics": {"gravity": 1.0}}), "invalid"),
        (json.dumps({"v": 2, "type": "new_match", "physics": {"block_mass": "heavy"}}), "invalid"),
    ],
)
def test_a_bad_message_is_answered_and_the_match_goes_on(client, raw, code):
    client.ask("new_match", seed=3, opponent="passive")
    client.socket.send(raw)
    error = client.expect("error")
    assert error["code"] == code
    assert error["message"]
    assert "\n" not in error["message"]
    assert client.ask("human_turn", block=STILL)["type"] == "turn_result"


def test_a_turn_out_of_turn_is_refused_and_the_match_goes_on(client, cast):
    assert client.ask("human_turn", block=STILL)["code"] == "out_of_turn"  # no match yet
    client.ask("new_match", seed=3, opponent="gate")
    client.send("human_turn", turn=0, block=STILL)
    client.send("human_turn", turn=0, block=STILL)  # a double GO
    kinds = {client.receive()["type"] for _ in range(3)}
    assert kinds == {"turn_result", "thinking", "error"}
    assert next(m for m in client.seen if m["type"] == "error" and "opponent" in m["message"])["code"] == "out_of_turn"
    cast.gate.open.set()
    assert client.until("turn_result")["turn"] == 1


def test_an_opponent_that_fails_can_be_asked_again(client, server):
    state = client.ask("new_match", seed=3, opponent="stumbler", first="p2")
    client.expect("thinking")
    error = client.expect("error")
    assert (error["code"], error["message"]) == ("opponent_failed", "stumbler could not move: tripped over")
    assert client.ask("resume", match_id=state["match_id"])["phase"] == "opponent"
    client.expect("thinking")
    assert "[-1, 1]" in client.expect("error")["message"]
    assert client.ask("resume", match_id=state["match_id"])["turn"] == 0
    client.expect("thinking")
    assert client.expect("turn_result")["turn"] == 0


def test_other_laws_of_physics_are_part_of_the_match(client):
    state = client.ask("new_match", seed=3, opponent="passive", physics={"block_scale": 1.5, "block_shape": "square"})
    assert state["physics"]["block_scale"] == 1.5
    assert state["scene"]["block_parts"] == [[[-48.0, -48.0], [48.0, -48.0], [48.0, 48.0], [-48.0, 48.0]]]


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
        return answer.read().decode(), answer.headers


def test_health_and_welcome_tell_who_is_there(server, client):
    health = json.loads(get(server, "/healthz")[0])
    assert (health["status"], health["model"], health["parameters"], health["protocol"]) == ("ok", "toy", 7, 2)
    welcome = client.ask("hello")
    assert welcome["type"] == "welcome"
    assert [s["name"] for s in welcome["stages"]] == ["open", "pillars", "gate"]
    told = welcome["opponents"][0]
    assert told.pop("fixed").startswith("The world model of JEPA ")  # is still loading, or knows one world only
    assert told == {"name": "jepa", "title": "JEPA", "summary": "plans", "available": True}


def test_the_page_is_served_and_loads_nothing_from_elsewhere(server):
    page, headers = get(server, "/")
    assert "<canvas" in page
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "http" not in page.replace("http-equiv", "")
    scripts, styles = (list(STATIC.rglob(f"*.{kind}")) for kind in ("js", "css"))
    assert scripts
    assert styles
    for path in scripts:
        script, headers = get(server, f"/{path.relative_to(STATIC)}")
        assert "javascript" in headers["Content-Type"]
        assert not re.search(r"https?://", script.replace("http://www.w3.org/2000/svg", "")), path
    for path in styles:
        assert "http" not in get(server, f"/{path.relative_to(STATIC)}")[0], path


def test_a_page_of_another_site_is_turned_away(server):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    address = f"ws://127.0.0.1:{server.port}/ws"
    with pytest.raises(InvalidStatus, match="403"), connect(address, origin="http://elsewhere.example"):
        pass
    with connect(address, origin=f"http://127.0.0.1:{server.port}") as socket:
        socket.send("{}")
        assert json.loads(socket.recv(timeout=10))["type"] == "error"
