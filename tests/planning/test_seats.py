from __future__ import annotations

import sys
import types

import pytest

from pushjepa.planning import (
    PLAYERS,
    Advice,
    Budget,
    PlanningPolicy,
    SimulatorModel,
    goal_cost,
    make_policy,
    margin_cost,
    near_cost,
    needs_advice,
    needs_model,
    push_cost,
)
from pushjepa.planning.guard import Guard
from pushjepa.planning.seats import PlayerName, read_player
from pushjepa.relay import Policy, get_stage
from pushjepa.runtime.checkpoint import resolve


@pytest.fixture
def strangers(monkeypatch) -> None:
    """A module of somebody else's factories, good and bad."""
    module = types.ModuleType("strangers")

    def broken(side, stage):
        raise KeyError("engine")

    module.good = lambda side, stage: make_policy("passive", side, stage)
    module.broken = broken
    module.nothing = lambda side, stage: None
    module.number = 3
    monkeypatch.setitem(sys.modules, "strangers", module)


@pytest.mark.parametrize("name", [name for name in PLAYERS if not needs_model(name)])
@pytest.mark.parametrize("side", ["p1", "p2"])
def test_every_named_player_takes_a_seat(name, side):
    advice = Advice.of_model(resolve(None)) if needs_advice(name) else None
    assert isinstance(make_policy(name, side, "open", advice=advice), Policy)


def test_the_jepa_gets_its_model_and_budget():
    model = SimulatorModel(get_stage("open"))
    player = make_policy("jepa", "p2", get_stage("gate"), model=model, budget=Budget(10, 2))
    assert isinstance(player, PlanningPolicy)
    assert (player.model, player.side, player.budget, player.sees) == (model, "p2", Budget(10, 2), "frames")


def test_the_oracle_sees_the_state():
    player = make_policy("oracle", "p1", "open")
    assert isinstance(player, PlanningPolicy)
    assert (player.sees, player.budget) == ("state", Budget())


def test_a_stranger_takes_a_seat(strangers):
    assert isinstance(make_policy("strangers:good", "p1", "open"), Policy)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nobody",
            "choose one of jepa, jepa-goal, jepa-near, jepa-margin, jepa-reply, oracle, oracle-goal, oracle-near,",
        ),
        ("jepa", "needs a world model"),
        ("no_such_module:factory", "cannot import 'no_such_module'"),
        ("strangers:missing", "no function 'missing'"),
        ("strangers:number", "no function 'number'"),
        ("strangers:broken", r"strangers:broken\(side, stage\) failed: KeyError"),
        ("strangers:nothing", "must give a policy"),
        (":factory", "cannot import ''"),
    ],
)
def test_a_bad_name_gets_one_clear_line(strangers, name, message):
    with pytest.raises(ValueError, match=message) as caught:
        make_policy(name, "p1", "open")
    assert "\n" not in str(caught.value)


def test_a_bad_seat_or_stage_is_refused():
    with pytest.raises(ValueError, match="p3"):
        make_policy("passive", "p3", "open")
    with pytest.raises(ValueError, match="unknown stage"):
        make_policy("passive", "p1", "moon")


def test_near_is_margin_but_for_its_cost():
    near, margin = (make_policy(name, "p1", "open") for name in ("oracle-near", "oracle-margin"))
    assert isinstance(near, PlanningPolicy)
    assert near.cost is near_cost
    assert (near.budget, near.opponent) == (margin.budget, margin.opponent)


def test_margin_searches_as_ever_at_the_cost_that_decides_a_match():
    plain, margin = (make_policy(name, "p1", "open") for name in ("oracle", "oracle-margin"))
    assert isinstance(margin, PlanningPolicy)
    assert (plain.cost, margin.cost) == (push_cost, margin_cost)
    assert (margin.opponent, margin.sees) == (plain.opponent, plain.sees)
    assert margin.budget == plain.budget
    assert needs_model("jepa-margin")
    assert not needs_advice("jepa-margin")


def test_the_goal_alone_is_searched_for_as_the_published_cost_is():
    plain, alone = (make_policy(name, "p1", "open") for name in ("oracle", "oracle-goal"))
    assert isinstance(alone, PlanningPolicy)
    assert (alone.cost, alone.budget) == (goal_cost, plain.budget)
    assert needs_model("jepa-goal")


def test_a_name_may_give_the_budget_before_the_advice():
    assert read_player("jepa-margin@32x4+value+prior") == PlayerName("jepa-margin", ("value", "prior"), Budget(32, 4))
    assert read_player("oracle-reply@8x2+value") == PlayerName(
        "oracle-reply", ("prior", "reply", "value"), Budget(8, 2)
    )
    assert read_player("oracle@8x2") == PlayerName("oracle", (), Budget(8, 2))
    assert read_player("jepa-margin@8x2+guard") == PlayerName("jepa-margin", ("guard",), Budget(8, 2))
    assert read_player("jepa+guard+prior") == PlayerName("jepa", ("guard", "prior"))
    assert read_player("jepa+guard+guard") == PlayerName("jepa+guard+guard")
    assert not needs_advice("jepa+guard")
    guards = [make_policy(name, "p1", "open").guard for name in ("oracle", "oracle+guard")]
    assert guards == [None, Guard()]
    given = make_policy("oracle-margin@8x2", "p1", "open", budget=Budget(4, 1))
    assert given.budget == Budget(8, 2), "what a name says counts"
    assert make_policy("oracle-margin", "p1", "open", budget=Budget(4, 1)).budget == Budget(4, 1)


@pytest.mark.parametrize("name", ["jepa+prior@8x2", "jepa@8", "jepa+margin", "random@8x2", "jepa+prior+prior", "jepa@"])
def test_a_name_that_says_it_otherwise_is_nobodys(name):
    with pytest.raises(ValueError, match="unknown player"):
        make_policy(name, "p1", "open")


def test_a_budget_that_no_search_can_have_is_refused():
    with pytest.raises(ValueError, match="at least 2 candidates"):
        make_policy("oracle@1x4", "p1", "open")
