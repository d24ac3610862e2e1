from __future__ import annotations

import sys
import types

import pytest

from pushjepa.planning import PLAYERS, Budget, PlanningPolicy, SimulatorModel, make_policy, needs_model
from pushjepa.relay import Policy, get_stage


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
    assert isinstance(make_policy(name, side, "open"), Policy)


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
        ("nobody", "choose one of jepa, jepa-reply, oracle, oracle-reply, random"),
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
