from __future__ import annotations

import socket
import threading
import time

import pytest

from pushjepa.planning import Advice
from pushjepa.relay import get_stage
from pushjepa.runtime.checkpoint import resolve
from pushjepa.server import OFFERS, Engine, Limits, Roster, health, serve
from pushjepa.server.messages import ProtocolError
from pushjepa.server.roster import advice_of


def settled(roster):
    deadline = time.monotonic() + 10
    while roster.state == "loading" and time.monotonic() < deadline:
        time.sleep(0.005)
    return roster.state


def make(name, side, stage, engine):
    return (name, side, stage.name, engine and engine.model)


def test_the_model_loads_in_the_background_and_a_policy_waits_for_it():
    ready = threading.Event()

    def load():
        assert ready.wait(10)
        return Engine("the model", "toy", 7)

    roster = Roster(make, load=load)
    assert roster.state == "loading"
    roster.start_loading()
    roster.start_loading()  # once is enough
    assert health(roster)["status"] == "loading"
    assert roster.policy("shove", "p1", get_stage("open")) == ("shove", "p1", "open", None)
    threading.Timer(0.05, ready.set).start()
    assert roster.policy("jepa", "p2", get_stage("gate")) == ("jepa", "p2", "gate", "the model")
    assert health(roster) | {"opponents": []} == {
        "status": "ok",
        "ready": True,
        "version": health(roster)["version"],
        "protocol": 2,
        "model": "toy",
        "parameters": 7,
        "detail": None,
        "opponents": [],
    }


def test_a_model_that_cannot_be_loaded_is_said_and_the_others_still_play():
    def load():
        raise ValueError("config.json is missing")

    roster = Roster(make, load=load)
    roster.start_loading()
    assert settled(roster) == "failed"
    assert (health(roster)["status"], health(roster)["detail"]) == ("degraded", "config.json is missing")
    assert [o.name for o in roster.views() if not o.available] == ["jepa", "jepa-margin", "jepa-reply"]
    assert roster.choose(None).name == OFFERS[3].name
    for ask in (lambda: roster.choose("jepa"), lambda: roster.policy("jepa", "p1", get_stage("open"))):
        with pytest.raises(ProtocolError, match=r"config\.json is missing") as caught:
            ask()
        assert caught.value.code == "unavailable"


@pytest.mark.parametrize("advice", [None, Advice()], ids=["none", "without a prior"])
def test_without_advice_those_alone_cannot_play_who_need_it(advice):
    ready = threading.Event()

    def load():
        assert ready.wait(10)
        return Engine("the model", "toy", 7, advice=advice)

    roster = Roster(make, load=load)
    assert roster.choose("jepa-reply").name == "jepa-reply", "while it loads nobody knows"
    threading.Timer(0.05, ready.set).start()
    for ask in (lambda: roster.policy("jepa-reply", "p1", get_stage("open")), lambda: roster.choose("jepa-reply")):
        with pytest.raises(ProtocolError, match="no advice with a policy prior") as caught:
            ask()
        assert caught.value.code == "unavailable"
    assert [o.name for o in roster.views() if not o.available] == ["jepa-reply"]
    assert roster.policy("jepa-margin", "p1", get_stage("open"))[3] == "the model"


def test_damaged_advice_stops_nobody_else(tmp_path):
    (tmp_path / "advice.safetensors").write_text("hello")
    assert advice_of(tmp_path) is None
    assert advice_of(resolve(None)).prior is not None


def test_without_a_model_nobody_who_needs_one_is_offered():
    roster = Roster(make)
    assert "jepa" not in [o.name for o in roster.offers]
    with pytest.raises(ProtocolError, match="unknown opponent 'jepa'"):
        roster.choose("jepa")
    with pytest.raises(ValueError, match="at least one opponent"):
        Roster(make, offers=OFFERS[:1])


def test_a_port_that_is_taken_or_impossible_is_said_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"cannot listen on 127.0.0.1:{port} .*--port"):
            serve(Roster(make), tmp_path / "m.sqlite3", port=port)
    with pytest.raises(ValueError, match="port must lie in"):
        serve(Roster(make), tmp_path / "m.sqlite3", port=99_999)
    with pytest.raises(ValueError, match="planners must be at least 1"):
        Limits(planners=0)
