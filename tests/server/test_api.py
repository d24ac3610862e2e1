"""The archive over real HTTP: what was played over the socket can be listed, watched, taken away and brought back."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import urllib.error
import urllib.request
from contextlib import closing
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pushjepa.planning import make_policy
from pushjepa.server import Engine, Limits, Roster
from pushjepa.server.api import read_body
from pushjepa.server.messages import (
    MAX_UPLOAD_BYTES,
    SERVER_MESSAGES,
    DecodedList,
    Failure,
    MatchList,
    ProtocolError,
    StoredPlan,
    Totals,
)


def http(server, path, body=None, headers=None):
    """Status, text and headers of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def ok(server, path, model=None):
    status, text, _ = http(server, path)
    assert status == 200, text
    if model is not None:
        model.model_validate_json(text)
    return json.loads(text)


def fails(server, path, status, code, words, body=None, headers=None):
    got, text, _ = http(server, path, body, headers)
    failure = Failure.model_validate_json(text)
    assert (got, failure.code) == (status, code), failure
    assert words in failure.message
    assert "\n" not in failure.message


@pytest.fixture
def played(client):
    """A finished match against a planner, and everything that the socket said about it."""
    state = client.ask("new_match", seed=5, stage="pillars", opponent="jepa")
    client.play_out(state)
    client.expect("match_over")
    return client


def match_id(client):
    return next(m["match_id"] for m in client.seen if m["type"] == "match_state")


def test_a_stored_match_is_watched_as_it_was_played(server, played):
    name = match_id(played)
    replay = ok(server, f"/api/matches/{name}/replay")
    SERVER_MESSAGES.validate_python(replay)
    assert (replay["phase"], replay["turn"], replay["imported"]) == ("over", 10, False)
    over = played.seen[-1]
    assert replay["result"] == {"winner": over["winner"], "standing": over["standing"]}
    turns = [m for m in played.seen if m["type"] == "turn_result"]
    plans = {m["turn"]: m for m in played.seen if m["type"] == "plan"}
    assert len(plans) == 5
    for past, live in zip(replay["history"], turns, strict=True):
        for field in ("turn", "side", "player", "block", "states", "standings", "standing", "telemetry", "odds"):
            assert past[field] == live[field], field
        assert past["plan"] == (plans[past["turn"]]["plan"] if past["turn"] in plans else None)
    # The same over the socket, after the match and for anyone who comes back.
    assert played.ask("resume", match_id=name) == replay


def test_the_search_behind_a_past_turn_can_be_seen_again_also_after_a_restart(server, played):
    name = match_id(played)
    live = [m for m in played.seen if m["type"] == "plan"]
    server.stop()
    server.start()
    for plan in live:
        again = ok(server, f"/api/matches/{name}/plans/{plan['turn']}", StoredPlan)
        assert again == {key: plan[key] for key in ("turn", "side", "plan", "trace")}
    person = next(turn for turn in range(10) if turn not in [plan["turn"] for plan in live])
    fails(server, f"/api/matches/{name}/plans/{person}", 404, "unknown_match", f"no plan behind turn {person}")
    fails(server, "/api/matches/nothing/plans/0", 404, "unknown_match", "nothing")
    for turn in ("10", "-1", "x"):
        fails(server, f"/api/matches/{name}/plans/{turn}", 400, "malformed", "turn")


def test_standings_and_progress_of_every_step(played):
    state = next(m for m in played.seen if m["type"] == "match_state")
    goals, start = state["scene"]["goals"], state["standing"]["distances"]
    for turn in (m for m in played.seen if m["type"] == "turn_result"):
        assert turn["standings"][-1] == turn["standing"]
        for board, standing in zip(turn["states"], turn["standings"], strict=True):
            for side, (x, y) in goals.items():
                distance = float(np.hypot(board[4] - x, board[5] - y))
                assert standing["distances"][side] == pytest.approx(distance)
                assert standing["progress"][side] == pytest.approx(start[side] - distance)


def test_telemetry_of_past_turns_is_that_of_their_plans(played):
    plans = {m["turn"]: m["plan"] for m in played.seen if m["type"] == "plan"}
    before = next(m for m in played.seen if m["type"] == "match_state")["start"]
    for turn in (m for m in played.seen if m["type"] == "turn_result"):
        found, after = turn["telemetry"], turn["states"][-1]
        assert found["block_moved"] == pytest.approx(np.hypot(after[4] - before[4], after[5] - before[5]))
        if turn["turn"] in plans:
            predicted = plans[turn["turn"]]["predicted"]
            error = np.hypot(predicted[4] - after[4], predicted[5] - after[5])
            assert found["block_error"] == pytest.approx(error, abs=1e-9)
            assert found["ms"] == plans[turn["turn"]]["ms"]
        else:
            assert found["block_error"] is None
        before = after


def test_matches_are_listed_newest_first_page_by_page(server, client):
    names = [client.ask("new_match", seed=seed, opponent="passive")["match_id"] for seed in range(5)]
    client.ask("human_turn", block=[[0.0, 0.0]] * 5)
    client.until("turn_result")
    first = ok(server, "/api/matches?limit=2", MatchList)
    second = ok(server, f"/api/matches?limit=2&before={first['next']}", MatchList)
    third = ok(server, f"/api/matches?limit=2&before={second['next']}", MatchList)
    listed = [m["match_id"] for part in (first, second, third) for m in part["matches"]]
    assert listed == names[::-1]
    assert third["next"] is None
    newest = first["matches"][0]
    assert (newest["turns"], newest["result"], newest["seed"]) == (2, None, 4)
    assert newest["players"] == {"p1": "human", "p2": "passive"}
    assert ok(server, "/api/matches?limit=5")["next"] is None
    for query in ("limit=0", "limit=101", "limit=x", "before=-1"):
        fails(server, f"/api/matches?{query}", 400, "malformed", query.split("=")[0])


def test_totals_count_finished_matches_of_people_only(server, client):
    for seed, side in ((1, "p1"), (2, "p2")):
        client.play_out(client.ask("new_match", seed=seed, side=side, opponent="passive"))
        client.expect("match_over")
    client.ask("new_match", seed=3, opponent="passive")  # unfinished
    watch(client, client.ask("new_match", seed=1, players={"p1": "chase_t", "p2": "passive"}))
    overs = [m for m in client.seen if m["type"] == "match_over"]
    nets = [
        (over["standing"]["progress"][mine] - over["standing"]["progress"][theirs])
        for over, mine, theirs in ((overs[0], "p1", "p2"), (overs[1], "p2", "p1"))
    ]
    winners = [overs[0]["winner"] == "p1", overs[1]["winner"] == "p2"]
    total = ok(server, "/api/totals", Totals)["totals"]
    assert [(t["opponent"], t["played"], t["won"]) for t in total] == [("passive", 2, sum(winners))]
    assert total[0]["won"] + total[0]["lost"] + total[0]["drawn"] == 2
    assert total[0]["net_progress"] == pytest.approx(np.mean(nets))
    # A match that was brought from elsewhere says nothing about who plays here.
    text = http(server, f"/api/matches/{overs[0]['match_id']}")[1]
    assert http(server, "/api/matches", text)[0] == 201
    assert ok(server, "/api/totals")["totals"] == total


def watch(client, state):
    """Let two policies play to the end."""
    for turn in range(state["turn"], 10):
        client.send("next", turn=turn)
        assert client.until("turn_result")["turn"] == turn
    return client.expect("match_over")


def test_a_match_is_taken_away_and_brought_to_another_server(server, played, tmp_path):
    name = match_id(played)
    status, text, headers = http(server, f"/api/matches/{name}")
    assert status == 200
    assert headers["Content-Disposition"] == f'attachment; filename="pushjepa-match-{name}.json"'
    before = ok(server, f"/api/matches/{name}/replay")
    plan = next(m for m in played.seen if m["type"] == "plan")
    server.stop()
    server.store = tmp_path / "elsewhere.sqlite3"
    server.start()
    status, answer, _ = http(server, "/api/matches", text)
    assert status == 201
    here = json.loads(answer)["match_id"]
    assert http(server, "/api/matches", text)[:2] == (200, answer)  # the same again
    after = ok(server, f"/api/matches/{here}/replay")
    assert after | {"match_id": name, "imported": False} == before
    assert ok(server, f"/api/matches/{here}/plans/{plan['turn']}")["trace"] == plan["trace"]
    refused = server.connect().ask("resume", match_id=here)
    assert (refused["type"], refused["code"]) == ("error", "invalid")
    assert "watched" in refused["message"]


def test_a_bad_upload_is_refused_and_leaves_nothing(server, played):
    text = json.loads(http(server, f"/api/matches/{match_id(played)}")[1])
    text["turns"][3]["states"][4][4] += 1e-6
    count = len(ok(server, "/api/matches")["matches"])
    fails(server, "/api/matches", 400, "invalid", "turn 3 does not end", json.dumps(text).encode())
    fails(server, "/api/matches", 400, "malformed", "not JSON", b"{")
    fails(server, "/api/matches", 400, "wrong_version", "version 9", json.dumps({**text, "version": 9}).encode())
    fails(server, "/api/matches", 413, "too_large", "at most", b" " * (MAX_UPLOAD_BYTES + 1))
    elsewhere = {"Origin": "http://elsewhere.example"}
    fails(server, "/api/matches", 400, "invalid", "own page", json.dumps(text).encode(), elsewhere)
    assert len(ok(server, "/api/matches")["matches"]) == count


def test_no_more_of_an_upload_is_read_than_may_be_sent():
    read = []

    async def endless():
        while True:
            read.append(1 << 20)
            yield b" " * (1 << 20)

    request = SimpleNamespace(stream=endless)
    with pytest.raises(ProtocolError, match="at most") as caught:
        asyncio.run(read_body(request))
    assert caught.value.code == "too_large"
    assert sum(read) == MAX_UPLOAD_BYTES + (1 << 20)


def test_a_match_is_drawn_as_an_animation(server, played, tmp_path):
    name = match_id(played)
    status, data, headers = http(server, f"/api/matches/{name}/gif")
    assert (status, headers["Content-Type"]) == (200, "image/gif")
    assert len(data) < 600_000
    path = tmp_path / "match.gif"
    path.write_bytes(data)
    done, animation = cv2.imreadanimation(str(path))
    assert done
    assert len(animation.frames) == 51
    assert animation.frames[0].shape[:2] == (320, 320)
    assert list(animation.durations)[1:-1] == [100] * 49
    # The white block is where the stored states say.
    last = ok(server, f"/api/matches/{name}/replay")["state"]
    rows, columns = np.nonzero((animation.frames[-1][..., :3] > 200).all(axis=2))
    assert np.hypot(columns.mean() - last[4] * 320 / 512, rows.mean() - last[5] * 320 / 512) < 6
    # And p1 is amber: red over green over blue, where OpenCV reads blue first.
    blue, green, red = (
        int(v) for v in animation.frames[-1][round(last[1] * 320 / 512), round(last[0] * 320 / 512), :3]
    )
    assert red > green > blue
    fails(server, "/api/matches/nothing/gif", 404, "unknown_match", "nothing")


def test_the_world_models_reading_of_every_frame(server, played):
    found = ok(server, f"/api/matches/{match_id(played)}/decoded", DecodedList)
    assert found["state"] == "ready"
    assert [entry["turn"] for entry in found["decoded"]] == list(range(11))
    live = {entry["turn"]: entry for entry in played.decoded}
    assert 0 in live
    for entry in found["decoded"]:
        if entry["turn"] in live:
            assert entry == {key: live[entry["turn"]][key] for key in ("turn", "state", "error")}


def test_without_a_model_nothing_is_decoded_and_there_is_no_card(server, tmp_path):
    server.stop()
    server.make_roster = lambda: Roster(lambda name, side, stage, _: make_policy(name, side, stage))
    server.start()
    name = server.connect().ask("new_match", opponent="passive")["match_id"]
    assert ok(server, f"/api/matches/{name}/decoded") == {"state": "none", "decoded": []}
    fails(server, "/api/model", 404, "unavailable", "no world model")


def test_a_model_that_cannot_read_a_frame_costs_nothing_but_the_reading(server, cast):
    class Blind:
        def __getattr__(self, name):
            raise RuntimeError("blind")

    cast.load = lambda: Engine(model=Blind(), name="blind", parameters=1)
    server.stop()
    server.start()
    client = server.connect()
    client.play_out(client.ask("new_match", opponent="passive"))
    client.expect("match_over")
    assert client.decoded == []


def test_a_match_stored_under_other_physics_is_said_in_one_line(server, played):
    name = match_id(played)
    with closing(sqlite3.connect(server.store)) as db, db:
        db.execute("UPDATE turns SET state = zeroblob(56) WHERE turn = 1")
    for path in ("", "/replay", "/gif", "/decoded"):
        fails(server, f"/api/matches/{name}{path}", 400, "invalid", "turn 1 ends elsewhere")


def test_unknown_matches_and_paths_are_said_in_one_line(server):
    for path in ("", "/replay", "/gif", "/decoded"):
        fails(server, f"/api/matches/{'x' * 12}{path}", 404, "unknown_match", "x" * 12)
    fails(server, f"/api/matches/{'x' * 65}", 400, "malformed", "match_id")
    assert http(server, "/api/cheat")[0] == 404


def test_the_library_does_not_stop_a_match(server, cast):
    """Everything is asked for while an opponent thinks."""
    client = server.connect()
    state = client.ask("new_match", seed=1, opponent="gate")
    client.send("human_turn", block=[[0.0, 0.0]] * 5)
    client.expect("turn_result")
    assert cast.gate.entered.wait(10)
    name = state["match_id"]
    for path in ("/api/matches", "/api/totals", f"/api/matches/{name}/replay", f"/api/matches/{name}/gif"):
        assert http(server, path)[0] == 200
    cast.gate.open.set()
    assert client.until("turn_result")["turn"] == 1


@pytest.mark.parametrize("what", ["gif", "decoded"])
def test_pictures_and_looks_of_the_model_wait_in_a_queue_that_ends(server, client, what, monkeypatch):
    name = client.ask("new_match", seed=1, opponent="random", first="p1")["match_id"]
    assert http(server, f"/api/matches/{name}/{what}")[0] == 200
    monkeypatch.setattr("pushjepa.server.api._HEAVY_WAITING", 0)
    status, body = http(server, f"/api/matches/{name}/{what}")[:2]
    assert status == 503
    assert json.loads(body)["code"] == "busy"


def test_a_full_server_says_that_it_is_busy(server, cast):
    server.stop()
    server.limits = Limits(planners=1, waiting=0, rooms=2)
    server.start()
    one, two, three = (server.connect() for _ in range(3))
    state = one.ask("new_match", seed=1, opponent="gate", first="p2")
    assert cast.gate.entered.wait(10)
    other = two.ask("new_match", seed=1, opponent="random")
    for message in ({"type_": "new_match"}, {"type_": "new_match", "players": {"p1": "random", "p2": "random"}}):
        refused = three.ask(**message)
        assert (refused["type"], refused["code"]) == ("error", "busy")
        assert "2 matches" in refused["message"]
    # The person's turn is played and stored; the opponent finds no planner free.
    two.send("human_turn", turn=0, block=[[0.0, 0.0]] * 5)
    two.expect("turn_result")
    assert two.expect("thinking")["turn"] == 1
    assert two.expect("error")["code"] == "busy"
    cast.gate.open.set()
    assert one.until("turn_result")["turn"] == 0
    assert two.ask("resume", match_id=other["match_id"])["turn"] == 1
    assert two.until("turn_result")["turn"] == 1
    # A room that is left is free again, as soon as the server has noticed.
    two.close()
    deadline = time.monotonic() + 10
    while (answer := three.ask("new_match", opponent="passive"))["type"] == "error":
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    assert one.ask("resume", match_id=state["match_id"])["turn"] == 1
