"""Minds in the seats of a match, over a real WebSocket: what is told of them, and when they may be steered."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pushjepa.adaptation.relay import AdaptivePlanner
from pushjepa.physics import LAWS, Physics, tell_laws
from pushjepa.physics.parameters import LIMITS
from pushjepa.planning import Advice, PlanningPolicy
from pushjepa.relay import get_stage
from pushjepa.runtime.checkpoint import resolve
from pushjepa.server import Engine, Roster
from pushjepa.server.messages import SERVER_MESSAGES, Belief
from pushjepa.server.minds import beliefs
from pushjepa.server.roster import seat, usual_of

UP, DOWN = [[0.0, -1.0]] * 5, [[0.0, 1.0]] * 5
SLOW = {"agent_speed": 150.0}


@pytest.fixture
def cast(cast, glider):
    """Policies that adapt: a world model that can be told of laws, and what is usual for it."""
    cast.lawful, cast.made, make = True, [], cast.make
    advice = Advice.of_model(resolve(None))
    cast.load = lambda: Engine(glider, "glider", 7, glider.usual, advice=advice)

    def keep(name, side, stage, engine):
        cast.made.append(make(name, side, stage, engine))
        return cast.made[-1]

    cast.make = keep
    return cast


@pytest.fixture
def hold(glider):
    """Make the model wait before it imagines: `entered` once it does, and go on when `open`."""
    entered, open_, imagine = threading.Event(), threading.Event(), glider.rollout

    def rollout(*arguments):
        entered.set()
        assert open_.wait(20.0), "nobody let the model go on"
        return imagine(*arguments)

    glider.rollout = rollout
    yield SimpleNamespace(entered=entered, open=open_)
    open_.set()


def begin(client, **fields):
    """A new match against a mind, p1 to begin; gives its id and the mind as it is told at first."""
    state = client.ask("new_match", **{"seed": 3, "opponent": "jepa", "side": "p1", "first": "p1", **fields})
    return state["match_id"], client.expect("mind")


def play_pair(client, turn):
    """A turn of the person, far from the block, and the answer; gives the mind after it."""
    client.send("human_turn", turn=turn, block=UP if turn % 4 else DOWN)
    return client.until("mind")


def learn(client):
    """A match in which the agents become slow before turn 2, and what the mind makes of that; gives its id and mind."""
    match_id, _ = begin(client)
    play_pair(client, 0)
    client.ask("change_physics", physics=SLOW)
    return match_id, play_pair(client, 2)


def test_a_mind_is_told_of_before_it_has_seen_anything(client, glider):
    match_id, mind = begin(client)
    assert mind == {
        "v": 2,
        "type": "mind",
        "match_id": match_id,
        "side": "p2",
        "mode": "adaptive",
        "state": "standard",
        "threshold": glider.usual.threshold,
        "beliefs": [],
        "events": [],
    }
    assert [o["fixed"] for o in client.ask("hello")["opponents"]][:3] == [
        None,
        None,
        "chase_t has no world model that could adapt.",
    ]


def test_a_change_is_noticed_inferred_and_told_after_the_move(client):
    _, mind = learn(client)
    plain, alarmed = mind["events"][:2], [event for event in mind["events"] if event["alarm"]]
    assert [event["turn"] for event in mind["events"]] == [1, 2, 3]
    assert all(event["px"] < 4 and not event["alarm"] and event["act"] == "" for event in plain)
    play = play_pair(client, 4)
    mind, alarmed = play, [event for event in play["events"] if event["alarm"]]
    assert [event["act"] for event in alarmed] == ["infer"]
    assert alarmed[0]["drift"] >= mind["threshold"]
    assert alarmed[0]["ms"] > 0
    assert alarmed[0]["steps"] == 0
    (belief,) = mind["beliefs"]
    assert (belief["name"], belief["standard"]) == ("agent_speed", 400.0)
    assert belief["value"] == pytest.approx(150.0, rel=0.15)
    assert alarmed[0]["beliefs"][0]["name"] == "agent_speed"
    assert mind["state"] == "adapted"
    for message in client.seen:
        SERVER_MESSAGES.validate_python(message)


def test_the_mind_comes_after_its_move_and_not_after_others(client):
    begin(client)
    client.send("human_turn", turn=0, block=UP)
    told = [client.receive()["type"] for _ in range(5)]
    assert told == ["turn_result", "thinking", "plan", "turn_result", "mind"]
    assert client.ask("human_turn", turn=2, block=UP)["type"] == "turn_result"
    client.expect("thinking")


def test_restore_and_freeze_give_up_what_was_adapted(client):
    match_id, _ = learn(client)
    adapted = play_pair(client, 4)
    assert adapted["state"] == "adapted"
    back = client.ask("restore", match_id=match_id)
    assert (back["type"], back["state"], back["beliefs"], back["mode"]) == ("mind", "standard", [], "adaptive")
    assert back["events"] == adapted["events"]  # what was noticed stays
    again = play_pair(client, 6)
    assert again["state"] == "adapted"  # and it may learn anew
    frozen = client.ask("adapt", match_id=match_id, mode="frozen")
    assert (frozen["state"], frozen["mode"], frozen["beliefs"]) == ("standard", "frozen", [])
    last = play_pair(client, 8)
    assert (last["state"], last["mode"]) == ("standard", "frozen")
    assert {event["act"] for event in last["events"][7:]} == {""}
    assert max(event["px"] for event in last["events"][7:]) > 10  # it goes on to notice
    assert client.ask("adapt", match_id=match_id, mode="adaptive")["mode"] == "adaptive"


def test_a_match_may_begin_frozen(client, cast):
    _, mind = begin(client, mode="frozen", first="p2")
    assert mind["mode"] == "frozen"
    client.expect("thinking")
    assert client.until("mind")["mode"] == "frozen"
    assert [policy.mind.options.adapt for policy in cast.made] == [False]


def test_what_is_asked_of_a_mind_that_thinks_waits_for_its_move(server, client, cast, hold):
    match_id, _ = begin(client)
    client.send("human_turn", turn=0, block=UP)
    client.until("thinking")
    assert hold.entered.wait(10)
    (policy,) = cast.made
    other = server.connect()
    for mode in ("frozen", "adaptive", "frozen"):
        client.send("adapt", match_id=match_id, mode=mode)
    client.send("restore", match_id=match_id)
    client.send("human_turn", turn=2, block=UP)  # answered at once, so those before it have been read
    assert client.expect("error")["code"] == "out_of_turn"
    assert policy.mind.options.adapt
    other.ask("resume", match_id=match_id, mode="frozen")
    assert other.expect("mind")["mode"] == "adaptive"  # as it was when it began to think
    other.expect("thinking")
    hold.open.set()
    assert [client.receive()["type"] for _ in range(3)] == ["plan", "turn_result", "mind"]
    assert client.seen[-1]["mode"] == "frozen"
    assert [event["turn"] for event in client.seen[-1]["events"]] == [1]
    assert not policy.mind.options.adapt
    assert [other.receive()["type"] for _ in range(3)] == ["plan", "turn_result", "mind"]
    assert client.ask("human_turn", turn=2, block=UP)["type"] == "turn_result"  # no second mind in between


def test_after_a_restart_the_mind_is_made_up_again_from_the_match(server, client):
    match_id, _ = learn(client)
    mind = play_pair(client, 4)
    server.stop()
    server.start()
    client = server.connect()
    client.ask("resume", match_id=match_id)
    assert client.expect("mind")["events"] == []  # until it is asked for its next move
    again = play_pair(client, 6)
    untimed = [[{**event, "ms": 0} for event in told["events"][:5]] for told in (mind, again)]
    assert untimed[0] == untimed[1]
    assert again["state"] == "adapted"


def test_the_mode_of_a_match_that_goes_on_stays_and_of_one_that_was_closed_is_asked_for(server, client):
    match_id, _ = begin(client)
    client.ask("adapt", match_id=match_id, mode="frozen")
    other = server.connect()
    other.ask("resume", match_id=match_id)
    assert other.expect("mind")["mode"] == "frozen"
    server.stop()
    server.start()
    client = server.connect()
    client.ask("resume", match_id=match_id, mode="frozen")
    assert client.expect("mind")["mode"] == "frozen"
    assert play_pair(client, 0)["mode"] == "frozen"


def test_each_seat_has_a_mind_of_its_own(client, cast):
    state = client.ask("new_match", seed=3, players={"p1": "jepa", "p2": "jepa-reply"})
    assert [client.expect("mind")["side"] for _ in range(2)] == ["p1", "p2"]
    for turn, side in enumerate(("p1", "p2", "p1")):
        client.send("next", turn=turn)
        mind = client.until("mind")
        assert mind["side"] == side
        assert len(mind["events"]) == turn
    one, two = cast.made
    assert isinstance(one, AdaptivePlanner)
    assert one.mind is not two.mind
    client.send("restore", match_id=state["match_id"])
    assert [client.expect("mind")["side"] for _ in range(2)] == ["p1", "p2"]
    client.ask("new_match", seed=3, players={"p1": "jepa", "p2": "passive"})
    client.expect("mind")
    client.send("next", turn=0)
    client.until("mind")
    assert cast.made[-1].mind is not one.mind


def test_a_mind_that_stumbled_begins_anew_and_the_match_goes_on(client, glider, cast):
    imagine = glider.rollout

    def fail(*_):
        glider.rollout = imagine
        raise RuntimeError("lost the thread")

    match_id, _ = begin(client)
    play_pair(client, 0)
    glider.rollout = fail
    client.send("human_turn", turn=2, block=UP)
    client.until("thinking")
    assert client.expect("error")["code"] == "opponent_failed"
    assert client.expect("mind")["events"] == []
    client.ask("resume", match_id=match_id)
    mind = client.until("turn_result") and client.until("mind")
    assert [event["turn"] for event in mind["events"]] == [1, 2, 3]
    assert len(cast.made) == 2


@pytest.mark.parametrize(
    ("type_", "fields", "code", "words"),
    [
        ("adapt", {"match_id": "other", "mode": "frozen"}, "invalid", "match 'other' is not the one that is open here"),
        ("restore", {"match_id": "other"}, "invalid", "resume it first"),
        ("adapt", {"mode": "thawed"}, "malformed", "adapt.mode"),
        ("adapt", {}, "malformed", "adapt.mode"),
        ("restore", {"mode": "frozen"}, "malformed", "restore.mode"),
        ("new_match", {"mode": "thawed"}, "malformed", "new_match.mode"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(client, type_, fields, code, words):
    match_id, _ = begin(client)
    known = {} if type_ == "new_match" else {"match_id": match_id}
    refused = client.ask(type_, **{**known, **fields})
    assert (refused["type"], refused["code"]) == ("error", code)
    assert words in refused["message"]
    assert play_pair(client, 0)["mode"] == "adaptive"


def test_without_a_match_there_is_no_mind(client):
    assert client.ask("restore", match_id="m")["code"] == "out_of_turn"


def test_nobody_is_steered_who_has_no_mind(client):
    state = client.ask("new_match", seed=3, opponent="chase_t", mode="frozen")
    for type_, fields in (("adapt", {"mode": "frozen"}), ("restore", {})):
        refused = client.ask(type_, match_id=state["match_id"], **fields)
        assert (refused["code"], refused["message"]) == (
            "unavailable",
            "nobody in this match has a world model that can adapt",
        )


def test_twenty_changes_with_switches_between_them_neither_stall_nor_fail(client):
    """In one match: laws, modes and restores in every order, half of them while a mind thinks."""
    rng = np.random.default_rng(5)
    state = client.ask("new_match", stage="pillars", seed=8, players={"p1": "jepa", "p2": "jepa-reply"})
    match_id, changed, steered = state["match_id"], 0, 0
    for turn in range(10):
        for when in ("before", "meanwhile"):
            if when == "meanwhile":
                client.send("next", turn=turn)
            if turn < 9 or when == "before":
                client.send("change_physics", physics={n: float(rng.uniform(*ends)) for n, ends in LIMITS.items()})
                changed += 1
            client.send("adapt", match_id=match_id, mode="frozen" if rng.random() < 0.5 else "adaptive")
            client.send("restore", match_id=match_id)
            steered += 2
        played = client.until("turn_result")
        assert np.isfinite(played["states"]).all()
        mind = client.until("mind")
        assert len(mind["events"]) <= turn
    client.send("change_physics", physics=SLOW)
    while (last := client.receive())["type"] != "error":
        pass
    assert last["code"] == "out_of_turn"
    assert changed + 1 == 20
    assert steered == 40
    minds = [message for message in client.seen if message["type"] == "mind"]
    assert max(len(mind["events"]) for mind in minds) == 9
    assert not [m for m in client.seen if m["type"] == "error" and m is not last]
    assert client.ask("resume", match_id=match_id)["phase"] == "over"
    for message in client.seen:
        SERVER_MESSAGES.validate_python(message)


# Models that can adapt, and those that cannot ---------------------------------------------------------------------


def test_a_model_that_knows_one_world_plays_on_as_it_did(cast, server, glider):
    """The same seats, no mind, and the reason in the welcome."""
    server.stop()
    cast.load = lambda: Engine(glider, "glider")
    server.start()
    client = server.connect()
    client.ask("new_match", seed=3, opponent="jepa", side="p1", first="p1")
    client.send("human_turn", turn=0, block=UP)
    assert [client.receive()["type"] for _ in range(4)] == ["turn_result", "thinking", "plan", "turn_result"]
    assert client.ask("human_turn", turn=2, block=UP)["type"] == "turn_result"
    told = client.until("turn_result") and client.ask("hello")
    assert told["opponents"][0]["fixed"] == "The world model of JEPA knows the standard laws of physics only."


def test_a_model_can_adapt_if_it_is_told_of_the_games_laws_and_was_calibrated(tmp_path, glider):
    def told(**spec):
        return usual_of(SimpleNamespace(spec=replace(glider.spec, **spec)), tmp_path)

    assert told(laws=0) == (None, "knows the standard laws of physics only")
    assert told(laws=LAWS + 1) == (None, "is told of other laws of physics than this game has")
    assert told() == (None, "cannot tell what would surprise it: it was not calibrated")
    (tmp_path / "surprise.json").write_text("{")
    assert told()[0] is None
    (tmp_path / "config.json").write_text(json.dumps({"files": {"model.safetensors": "beef"}}))
    glider.usual.write(tmp_path / "surprise.json")
    assert told()[0] is None, "that is usual for other weights"
    usual = replace(glider.usual, weights="beef")
    usual.write(tmp_path / "surprise.json")
    assert told() == (usual, "")
    assert told(laws=0)[0] is None


@pytest.mark.parametrize("name", ["jepa", "jepa-reply"])
def test_a_seat_gets_a_mind_if_its_model_can_adapt(glider, name, tmp_path):
    advice = Advice.of_model(tmp_path)
    adaptive = Engine(glider, "glider", usual=glider.usual, advice=advice)
    one, two = (seat(name, "p1", get_stage("open"), adaptive) for _ in range(2))
    assert isinstance(one, AdaptivePlanner)
    assert one.mind is not two.mind
    plain = seat(name, "p1", get_stage("open"), Engine(glider, "glider", advice=advice))
    assert isinstance(plain, PlanningPolicy)
    assert not isinstance(plain, AdaptivePlanner)
    assert plain.budget == one.budget
    assert plain.opponent == one.opponent
    assert plain.cost is one.cost


def test_while_the_model_loads_nobody_is_said_to_adapt(glider):
    ready = threading.Event()

    def load():
        assert ready.wait(10)
        return Engine(glider, "glider", usual=glider.usual)

    roster = Roster(lambda *_: None, load=load)
    roster.start_loading()
    assert roster.fixed("jepa") == "The world model of JEPA is still loading."
    assert roster.threshold == 0.0
    ready.set()
    while roster.state == "loading":
        pass
    assert roster.fixed("jepa") is None
    assert roster.threshold == glider.usual.threshold
    assert roster.fixed("oracle") == "Oracle has no world model that could adapt."
    assert roster.fixed("stranger") == "stranger has no world model that could adapt."


@pytest.mark.parametrize(
    ("laws", "expected"),
    [
        ({}, []),
        ({"agent_speed": 240.0}, [("agent_speed", 240.0, 400.0)]),
        ({"agent_speed": 425.0, "block_scale": 0.95, "block_friction": 0.63, "damping": 0.03}, []),
        ({"block_mass": 12.0, "damping": 0.5}, [("block_mass", 12.0, 1.0), ("damping", 0.5, 0.02)]),
        (
            {"block_shape": "plus", "block_friction": 0.0},
            [("block_friction", 0.0, 0.6), ("block_shape", "plus", "tee")],
        ),
    ],
)
def test_only_what_is_believed_to_differ_noticeably_is_told(laws, expected):
    told = beliefs(tell_laws(Physics(**laws)).astype(np.float64))
    assert [belief.name for belief in told] == [name for name, *_ in expected]
    for belief, (name, value, standard) in zip(told, expected, strict=True):
        wanted = value if isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-6)
        assert belief == Belief(name=name, value=belief.value, standard=standard)
        assert belief.value == wanted
