"""Advice for the search: what it sees, who it is asked for, and that a search without any is what it was."""

from __future__ import annotations

import numpy as np
import pytest

from pushjepa.physics import flip_state, mirror_block, mirror_state
from pushjepa.planning import (
    Advice,
    Budget,
    Opponent,
    PlanningPolicy,
    Prior,
    Value,
    find_advice,
    make_policy,
    margin_cost,
    needs_advice,
    needs_model,
)
from pushjepa.planning.advice import (
    FEATURES,
    FILE,
    MODES,
    Perceptron,
    check_goals,
    features,
    margin,
    outputs_of_prior,
    save_advice,
    value_cost,
)
from pushjepa.relay import STAGES, Match, MatchSetup
from pushjepa.relay.stages import Stage
from pushjepa.runtime.checkpoint import resolve
from tests.planning.stand_ins import ToldPrior
from tests.planning.test_policies import START, CarryModel, observation

STATE = np.array([120.0, 200.0, 380.0, 330.0, 240.0, 300.0, 0.7])


def network(outputs: int, seed: int = 0, hidden: int = 8) -> dict[str, np.ndarray]:
    """Weights drawn at random, with one residual block."""
    rng = np.random.default_rng(seed)
    shapes = {
        "enter": (hidden, FEATURES),
        "blocks.0.norm": (hidden,),
        "blocks.0.rise": (2 * hidden, hidden),
        "blocks.0.fall": (hidden, 2 * hidden),
        "norm": (hidden,),
        "leave": (outputs, hidden),
    }
    weights = {f"{name}.weight": rng.normal(0.0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return weights | {f"{n}.bias": rng.normal(0.0, 0.5, s[0]).astype(np.float32) for n, s in shapes.items()}


@pytest.fixture
def prior() -> Prior:
    return Prior(Perceptron(network(outputs_of_prior(MODES))))


@pytest.fixture
def value() -> Value:
    return Value(Perceptron(network(1)))


class ToldValue:
    """Stands for a value: remembers what it was asked, and finds the block's x good for p1."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def __call__(self, states, side, to_move, turns_left):
        self.asked.append((states.copy(), side, to_move, turns_left))
        return states[:, 4] * (1.0 if side == "p1" else -1.0)


def test_each_boundary_has_its_own_numbers_and_turns_left_are_told_apart():
    states = np.stack([STATE, flip_state(STATE), STATE])
    seen = features(states, np.array([3, 3, 0]))
    assert seen.shape == (3, FEATURES)
    assert seen.dtype == np.float32
    assert np.array_equal(seen[0], features(STATE[None], 3)[0])
    assert seen[:, -11:].argmax(axis=1).tolist() == [3, 3, 0]
    assert np.array_equal(seen[0, :-11], seen[2, :-11])
    # How far everything is from the block does not change upside down; where it lies does.
    assert seen[0, 16:21] == pytest.approx(seen[1, 16:21], abs=1e-6)
    assert not np.allclose(seen[0, :16], seen[1, :16])


def test_a_point_before_the_block_s_face_is_seen_there_however_the_block_is_turned():
    for angle in (0.0, 1.1, -2.5):
        ahead = 64.0 * np.array([np.cos(angle), np.sin(angle)])
        state = np.array([*(np.array([256.0, 256.0]) + ahead), 400.0, 400.0, 256.0, 256.0, angle])
        seen = features(state[None], 1)[0]
        assert (seen[8], seen[12]) == pytest.approx((1.0, 0.0), abs=1e-6)


@pytest.mark.parametrize("stage", STAGES)  # each has its goals where advice takes them to be
def test_the_margin_is_the_match_s_own(stage):
    match = Match(MatchSetup(stage, 3))
    found = match.result().distances
    assert margin(match.state) == pytest.approx(found["p2"] - found["p1"])
    assert margin(mirror_state(match.state)) == pytest.approx(-margin(match.state))


def test_a_stage_with_its_goals_elsewhere_is_refused(monkeypatch):
    check_goals(tuple(STAGES))
    monkeypatch.setitem(STAGES, "far", Stage("far", goal=(460.0, 256.0)))
    with pytest.raises(ValueError, match="stage far has its goals elsewhere"):
        check_goals(("open", "far"))


def test_a_mirrored_position_has_mirrored_proposals(prior):
    ours = prior.propose(STATE, "p1", 4, 20, np.random.default_rng(3))
    theirs = prior.propose(mirror_state(STATE), "p2", 4, 20, np.random.default_rng(3))
    assert ours.shape == (20, 5, 2)
    assert ours.dtype == np.float32
    assert np.abs(ours).max() <= 1.0
    assert theirs == pytest.approx(mirror_block(ours), abs=1e-5)
    assert not np.allclose(ours, prior.propose(STATE, "p2", 4, 20, np.random.default_rng(3)))


def test_a_mirrored_position_has_an_equal_value(value):
    states = np.stack([STATE, flip_state(STATE)])
    ours = value(states, "p1", "p1", 4)
    assert ours.shape == (2,)
    assert value(mirror_state(states), "p2", "p2", 4) == pytest.approx(ours, abs=1e-3)
    assert value(mirror_state(states), "p2", "p1", 4) == pytest.approx(value(states, "p1", "p2", 4), abs=1e-3)
    # What is good for one is bad for the other, but who is to move matters.
    assert value(states, "p2", "p1", 4) == pytest.approx(-ours)
    assert not np.allclose(value(states, "p1", "p2", 4), ours)
    assert not np.allclose(value(states, "p1", "p1", 5), ours)


def test_means_come_first_the_heaviest_before_the_others_and_then_draws(prior):
    weights, means, stds = (part[0] for part in prior.mixture(STATE[None], "p1", 4))
    assert weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights) <= 0).all()
    assert (stds >= 0.05).all()
    for count in (2, MODES):
        few = prior.propose(STATE, "p1", 4, count, np.random.default_rng(0))
        assert few == pytest.approx(np.clip(means[:count], -1, 1))
    many = prior.propose(STATE, "p1", 4, 4000, np.random.default_rng(0))
    assert np.array_equal(many, prior.propose(STATE, "p1", 4, 4000, np.random.default_rng(0)))
    inside = np.abs(means).max(axis=0) + 4 * stds.max(axis=0) < 1.0  # where no draw is clipped
    mixed = (weights[:, None, None] * means).sum(axis=0)
    assert many[MODES:].mean(axis=0)[inside] == pytest.approx(mixed[inside], abs=0.1)


def test_the_likeliest_are_the_heaviest_means_of_each_position_as_the_board_is_drawn(prior):
    states = np.stack([STATE, flip_state(STATE), STATE + 3.0])
    likeliest = prior.likeliest(states, "p2", 3, 2)
    assert likeliest.shape == (3, 2, 5, 2)
    assert likeliest.dtype == np.float32
    for state, own in zip(states, likeliest, strict=True):
        assert own == pytest.approx(prior.propose(state, "p2", 3, 2, np.random.default_rng(0)), abs=1e-6)
    assert prior.likeliest(states, "p1", 3, 99).shape == (3, MODES, 5, 2)


def test_advice_comes_back_as_it_was_written(tmp_path, prior, value):
    nets = {"prior": prior.net.weights, "value": value.net.weights}
    save_advice(tmp_path / FILE, nets, {"matches": 3})
    back = Advice.load(find_advice(tmp_path))
    assert np.array_equal(back.value(STATE[None], "p1", "p2", 2), value(STATE[None], "p1", "p2", 2))
    for ours, theirs in zip(*(each.mixture(STATE[None], "p2", 2) for each in (back.prior, prior)), strict=True):
        assert np.array_equal(ours, theirs)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]  # nothing half-written is left beside it
    save_advice(tmp_path / "half.safetensors", {"value": nets["value"]}, {})
    half = Advice.load(tmp_path / "half.safetensors")
    assert half.prior is None
    assert half.value is not None


def test_a_model_without_advice_of_its_own_goes_by_the_bundled_one_s(tmp_path, monkeypatch):
    assert find_advice(tmp_path) == resolve(None) / FILE
    (tmp_path / FILE).touch()
    assert find_advice(tmp_path) == tmp_path / FILE
    (tmp_path / FILE).unlink()
    monkeypatch.setattr("pushjepa.planning.advice.resolve", lambda _: tmp_path)
    with pytest.raises(ValueError, match=r"has no advice\.safetensors.* see pushjepa advise"):
        find_advice(tmp_path)


def test_what_is_no_advice_is_refused_in_one_line(tmp_path, prior, value):
    with pytest.raises(ValueError, match="no advice can be read"):
        Advice.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match="no advice can be read"):
        Advice.load(tmp_path / "text.safetensors")
    weights = dict(value.net.weights)
    del weights["norm.bias"]
    save_advice(tmp_path / "broken.safetensors", {"value": weights}, {})
    with pytest.raises(ValueError, match=r"broken.*damaged.*norm\.bias"):
        Advice.load(tmp_path / "broken.safetensors")
    save_advice(tmp_path / "swapped.safetensors", {"value": prior.net.weights}, {})
    with pytest.raises(ValueError, match="has one output"):
        Advice.load(tmp_path / "swapped.safetensors")
    save_advice(tmp_path / "swapped.safetensors", {"prior": value.net.weights}, {})
    with pytest.raises(ValueError, match="outputs a component"):
        Advice.load(tmp_path / "swapped.safetensors")


@pytest.mark.parametrize(("side", "other"), [("p1", "p2"), ("p2", "p1")])
@pytest.mark.parametrize(("turns_left", "after"), [(10, 9), (2, 1)])
def test_the_value_is_asked_for_who_plans_about_the_end_of_what_is_imagined(rng, side, other, turns_left, after):
    model, value = CarryModel(), ToldValue()
    plan = PlanningPolicy(model, side, budget=Budget(6, 2), value=value).plan(observation(4, side, turns_left), rng)
    assert {asked[1:] for asked in value.asked} == {(side, other, after)}
    ends = np.concatenate([asked[0] for asked in value.asked])
    assert ends.shape[1] == 7
    sign = 1.0 if side == "p1" else -1.0
    assert -plan.cost <= (sign * ends[:, 4]).max()  # less what the agent's place costs


@pytest.mark.parametrize(("side", "other"), [("p1", "p2"), ("p2", "p1")])
def test_after_an_answer_the_value_is_asked_about_the_own_turn_that_follows(rng, side, other):
    value, opponent = ToldValue(), Opponent(ToldPrior())
    player = PlanningPolicy(CarryModel(), side, budget=Budget(6, 2), value=value, opponent=opponent)
    player.plan(observation(4, side, 6), rng)
    assert {asked[1:] for asked in value.asked} == {(side, other, 5), (side, side, 4)}


def test_where_the_match_ends_the_margin_itself_counts():
    seen = observation(4, "p1", turns_left=1)
    plain, told = (
        PlanningPolicy(CarryModel(), "p1", margin_cost, Budget(6, 2), value=value) for value in (None, ToldValue())
    )
    ours, theirs = (player.plan(seen, np.random.default_rng(1)) for player in (plain, told))
    assert not told.value.asked
    assert np.array_equal(ours.block, theirs.block)
    assert ours.cost == theirs.cost


def test_after_an_answer_that_ends_the_match_the_margin_counts_and_before_it_the_value():
    value, opponent = ToldValue(), Opponent(ToldPrior())
    player = PlanningPolicy(CarryModel(), "p1", budget=Budget(6, 2), value=value, opponent=opponent)
    plan = player.plan(observation(4, turns_left=2), np.random.default_rng(1))
    assert {asked[1:] for asked in value.asked} == {("p1", "p2", 1)}
    assert abs(plan.cost) < 332.0, "a lead: the goals are that far apart"


def test_a_value_takes_the_place_of_the_lead_alone():
    goals, latents = ((422.0, 256.0), (90.0, 256.0)), np.zeros((1, 1, 1, 7), np.float32)
    states = np.array([[[260.0, 276.0, 0.0, 0.0, 300.0, 256.0, 0.0]]])  # p1 20 px above where it would push from
    assert value_cost(ToldValue(), "p1", goals, "p2", 3)(states, latents) == pytest.approx([-300.0 + 0.4 * 20.0])
    assert value_cost(ToldValue(), "p1", goals, "p2", 0)(states, latents) == pytest.approx([122.0 - 210.0])


@pytest.mark.parametrize("answered", [False, True])
def test_proposals_are_in_the_first_iteration(rng, answered):
    prior, looked = ToldPrior(), []
    opponent = Opponent(ToldPrior()) if answered else None
    player = PlanningPolicy(CarryModel(), "p2", budget=Budget(12, 3), prior=prior, opponent=opponent)
    player.plan(observation(3, "p2", 6), rng, looked.append)
    (state, side, turns_left), *more = prior.asked
    assert not more
    assert (side, turns_left) == ("p2", 6)
    assert state == pytest.approx(START + 3)
    first = looked[0].candidates
    assert first[:6, 0] == pytest.approx(prior.propose(state, "p2", 6, 6, rng))
    assert len({candidate.tobytes() for candidate in first}) == 12
    assert first[6:].mean() == pytest.approx(0.0, abs=0.25)


def test_the_search_keeps_a_proposal_that_is_the_best(rng):
    class Knows(ToldPrior):
        def propose(self, state, side, turns_left, count, rng):
            turns = np.zeros((count, 5, 2), np.float32)
            turns[0, :, 0] = 0.83  # 166 px to the goal, 40 px for each action at full speed
            return turns

    alone, told = (
        PlanningPolicy(CarryModel(), "p1", budget=Budget(8, 1), prior=prior).plan(observation(0), rng)
        for prior in (None, Knows())
    )
    assert told.block[:, 0] == pytest.approx(0.83)
    assert told.cost < alone.cost


def test_advised_or_not_the_same_seed_gives_the_same_plan(prior, value):
    advised = {"prior": prior, "value": value}
    for parts in ({}, advised, advised | {"opponent": Opponent(prior)}):
        player = PlanningPolicy(CarryModel(), "p1", budget=Budget(8, 2), **parts)
        first, second = (player.plan(observation(2), np.random.default_rng(4)) for _ in range(2))
        assert np.array_equal(first.block, second.block)


def test_without_advice_the_plan_is_what_it_was():
    # As the search found them before there was advice.
    player = PlanningPolicy(CarryModel(), "p1", budget=Budget(8, 2))
    plain = [
        0.9705238,
        -0.8547407,
        0.9631034,
        -0.1500379,
        0.7244238,
        0.9561691,
        -0.1939303,
        -0.0467918,
        0.5369427,
        -0.7261908,
    ]
    assert player.act(observation(2), np.random.default_rng(4)).ravel() == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("base", ["jepa", "jepa-margin", "oracle"])
@pytest.mark.parametrize("parts", [("prior",), ("value",), ("reply",), ("prior", "value", "reply")], ids="+".join)
def test_a_name_says_what_a_planner_is_advised_by(base, parts, prior, value):
    name = "+".join([base, *parts])
    assert needs_advice(name)
    assert not needs_advice(base)
    assert needs_model(name) == base.startswith("jepa")
    model = CarryModel() if needs_model(name) else None
    player = make_policy(name, "p2", "open", model=model, budget=Budget(4, 1), advice=Advice(prior, value))
    plain = make_policy(base, "p2", "open", model=model, budget=Budget(4, 1))
    assert player.prior is (prior if "prior" in parts else None)
    assert player.value is (value if "value" in parts else None)
    assert player.opponent == (Opponent(prior) if "reply" in parts else None)
    assert (plain.prior, plain.value, plain.opponent) == (None, None, None)
    for setting in ("sees", "budget", "cost", "side"):
        assert getattr(player, setting) == getattr(plain, setting)


@pytest.mark.parametrize("kind", ["jepa", "oracle"])
def test_the_whole_planner_is_the_sum_of_its_parts(kind, prior):
    advice = Advice(prior)
    assert needs_advice(f"{kind}-reply")
    whole, sum_of_parts, said_again = (
        make_policy(kind + end, "p1", "open", model=CarryModel(), advice=advice)
        for end in ("-reply", "-margin+prior+reply", "-reply+prior")
    )
    for setting in ("sees", "budget", "cost", "prior", "value", "opponent", "guard"):
        assert getattr(whole, setting) == getattr(sum_of_parts, setting) == getattr(said_again, setting)


@pytest.mark.parametrize(
    ("name", "advice", "message"),
    [
        ("oracle+value", None, r"'oracle\+value' needs advice"),
        ("oracle+value", Advice(), "needs a value, which this"),
        ("oracle+prior", Advice(), "needs a prior, which this"),
        ("oracle-reply", Advice(), "needs a prior, which this"),
        ("jepa-reply", None, "'jepa-reply' needs advice"),
        ("jepa-reply+guard", Advice(ToldPrior()), r"can have no \+guard"),
        ("jepa+prior", None, "needs advice"),
        ("passive+prior", None, r"unknown player 'passive\+prior'"),
        ("jepa+luck", None, "unknown player"),
        ("jepa+prior+prior", None, "unknown player"),
        ("jepa+", None, "unknown player"),
    ],
)
def test_missing_or_senseless_advice_gets_one_clear_line(name, advice, message):
    with pytest.raises(ValueError, match=message) as caught:
        make_policy(name, "p1", "open", model=CarryModel(), advice=advice)
    assert "\n" not in str(caught.value)


def test_the_advised_oracle_plays_from_the_true_position(rng, prior, value):
    match = Match(MatchSetup("open", 1))
    player = make_policy("oracle-reply+value", match.to_move, "open", budget=Budget(6, 1), advice=Advice(prior, value))
    asked = []
    propose = prior.propose
    prior.propose = lambda state, *rest: (asked.append(state), propose(state, *rest))[1]
    block = player.act(match.observation(player), rng)
    assert asked[0] == pytest.approx(match.state, abs=1e-4)
    assert block.shape == (5, 2)
    assert np.abs(block).max() <= 1.0
