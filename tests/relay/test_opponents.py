from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushjepa.physics import Board, Pillar, mirror_state
from pushjepa.relay import STAGES, Match, MatchSetup, Policy, goal_distance, other
from pushjepa.relay.footwork import STRIDE, block_boxes, contacts, find_way, follow_push, pace, stage_boxes, steps_along
from pushjepa.relay.opponents import OPPONENTS
from pushjepa.relay.strangers import Bull, Keeper, Nudger

SCRIPTED = ("chase_t", "adversarial", "shove")
PLAYERS = OPPONENTS | {"bull": Bull, "keeper": Keeper, "nudger": Nudger}


def play(names, setup, seed=0):
    match = Match(setup)
    policies = {side: OPPONENTS[name](side, match.stage) for side, name in names.items()}
    rng = np.random.default_rng(seed)
    while not match.over:
        policy = policies[match.to_move]
        match.play(policy.act(match.observation(policy), rng))
    return match


def block_of(name, setup, side=None):
    match = Match(setup)
    policy = PLAYERS[name](match.to_move, match.stage)
    return policy.act(match.observation(policy), np.random.default_rng(0))


def test_the_opponents_are_policies_by_name():
    assert list(OPPONENTS) == ["random", "passive", "chase_t", "adversarial", "shove"]
    for make in OPPONENTS.values():
        policy = make("p1", STAGES["open"])
        assert isinstance(policy, Policy)
        assert policy.sees == "state"
        with pytest.raises(ValueError, match="unknown side"):
            make("p3", STAGES["open"])


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(list(PLAYERS)),
    stage=st.sampled_from(list(STAGES)),
    numbers=st.lists(st.floats(20, 492), min_size=6, max_size=6),
    angle=st.floats(-4, 4),
)
def test_actions_are_legal_from_any_position(name, stage, numbers, angle):
    block = block_of(name, MatchSetup(stage, 0, start=(*numbers, angle)))
    assert block.shape == (5, 2)
    assert np.isfinite(block).all()
    assert np.abs(block).max() <= 1.0


@pytest.mark.parametrize("name", OPPONENTS)
def test_a_policy_keeps_nothing_between_turns(name):
    match = Match(MatchSetup("pillars", 3))
    policy = OPPONENTS[name]("p1", match.stage)
    first = policy.act(match.observation(policy), np.random.default_rng(4))
    other_match = Match(MatchSetup("pillars", 8))
    policy.act(other_match.observation(policy), np.random.default_rng(5))
    assert np.array_equal(policy.act(match.observation(policy), np.random.default_rng(4)), first)


def test_passive_stays_and_random_fills_the_square():
    setup = MatchSetup("open", 0)
    assert not block_of("passive", setup).any()
    policy = OPPONENTS["random"]("p1", STAGES["open"])
    observation, rng = Match(setup).observation(policy), np.random.default_rng(0)
    actions = np.concatenate([policy.act(observation, rng) for _ in range(400)])
    assert np.abs(actions.mean(axis=0)).max() < 0.05
    assert actions.min() < -0.99 < 0.99 < actions.max()


@pytest.mark.parametrize("name", SCRIPTED)
def test_they_move_at_full_speed(name):
    block = block_of(name, MatchSetup("open", 0, start=(40.0, 40.0, 470.0, 470.0, 380.0, 380.0, 0.0)))
    assert np.abs(block[:3]).max(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("name", SCRIPTED)
def test_neither_seat_plays_differently(name):
    for seed in range(8):
        match = Match(MatchSetup("gate", seed))
        mirrored = MatchSetup("gate", 0, "p2", start=tuple(mirror_state(match.state)))
        board = Board(match.stage.obstacles)
        end = board.run_turn(match.state, "p1", block_of(name, MatchSetup("gate", seed)))[-1]
        seen = board.run_turn(np.array(mirrored.start), "p2", block_of(name, mirrored))[-1]
        progress = goal_distance(end, match.stage.goals["p1"]) - goal_distance(seen, match.stage.goals["p2"])
        assert abs(progress) < 30.0  # ties between ways may fall differently


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ["chase_t", "shove"])
def test_they_beat_random_in_nine_pairs_of_ten(name, stage):
    wins = 0
    for pair in range(5):
        for side in ("p1", "p2"):
            match = play({side: name, other(side): "random"}, MatchSetup(stage, pair, ("p1", "p2")[pair % 2]), pair)
            wins += match.result().winner == side
    assert wins >= 9


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ["chase_t", "shove"])
def test_alone_they_bring_the_block_home(name, stage):
    ends = [play({"p1": name, "p2": "passive"}, MatchSetup(stage, seed)) for seed in range(8)]
    assert np.mean([match.result().distances["p1"] for match in ends]) < 60.0


@pytest.mark.parametrize("stage", STAGES)
def test_adversarial_keeps_the_block_from_the_other_goal(stage):
    ends = [play({"p1": "adversarial", "p2": "passive"}, MatchSetup(stage, seed)) for seed in range(8)]
    assert np.mean([match.result().progress["p2"] for match in ends]) < -80.0


def test_shove_goes_round_the_block_to_its_far_side():
    """p1 stands between the block and its own goal: it has to come out behind the block without driving it off."""
    setup = MatchSetup("open", 0, start=(350.0, 256.0, 60.0, 60.0, 250.0, 256.0, 0.0))
    match = Match(setup)
    policy = OPPONENTS["shove"]("p1", match.stage)
    for _ in range(2):
        match.play(policy.act(match.observation(policy), np.random.default_rng(0)))
        match.play(np.zeros((5, 2)))
    start, end = match.states[0], match.state
    assert goal_distance(end, match.stage.goal) < goal_distance(start, match.stage.goal) - 20
    assert end[0] < end[4]


def test_a_way_leads_round_what_stands_there():
    block = np.array([256.0, 256.0, 0.5])
    boxes = (*block_boxes(block), *stage_boxes(STAGES["gate"].obstacles))
    way = find_way(np.array([150.0, 256.0]), np.array([362.0, 250.0]), boxes, ())
    fine = np.concatenate([np.linspace(a, b, 50) for a, b in pairwise(way)])
    local = fine - block[:2]
    assert len(way) > 2
    assert np.hypot(*local.T).min() > 30
    assert np.array_equal(way[0], [150.0, 256.0])
    assert np.array_equal(way[-1], [362.0, 250.0])


def test_a_free_way_is_straight_and_an_enclosed_one_still_exists():
    start, end = np.array([50.0, 50.0]), np.array([450.0, 60.0])
    assert np.array_equal(find_way(start, end, (), ()), [start, end])
    inside = find_way(start, np.array([200.0, 200.0]), (), (Pillar(200.0, 200.0, 30.0),))
    assert np.array_equal(inside[-1], [200.0, 200.0])


def test_pace_walks_the_way_at_full_speed_and_then_pushes():
    way = np.array([[100.0, 100.0], [180.0, 140.0]])
    assert steps_along(way) == pytest.approx(2.0)
    block = pace(way, np.array([60.0, 0.0]))
    assert block[:2] == pytest.approx(np.array([[1.0, 0.5], [1.0, 0.5]]))
    assert block[2:] == pytest.approx(np.array([[0.5, 0.0]] * 3))
    assert np.cumsum(block, axis=0)[-1] * STRIDE == pytest.approx([140.0, 40.0])
    far = pace(np.array([[0.0, 0.0], [500.0, 0.0]]), np.array([9.0, 9.0]))
    assert far == pytest.approx(np.tile([1.0, 0.0], (5, 1)))


def test_a_foreseen_push_is_about_what_the_board_does():
    """Pushed through its centre the block goes where it is pushed; pushed at its end it turns and lags behind."""
    block = np.array([200.0, 256.0, 0.0])
    places = contacts(block)
    right = np.flatnonzero(places.push @ [1.0, 0.0] > 0.99)
    run = np.tile([10.0, 0.0], (len(right), 1))
    track = follow_push(block, places.at(right), run, 10)
    assert np.array_equal(track[:, 0], np.tile(block[:2], (len(right), 1)))
    board = Board()
    for index, path in zip(right, track, strict=True):
        state = np.array([*places.agent[index], 450.0, 60.0, *block])
        end = board.run_turn(state, "p1", np.tile([0.5, 0.0], (5, 1)))[-1]
        assert np.hypot(*(end[4:6] - path[-1])) < 45.0, places.lever[index]
    straight = np.argmin(places.lever[right])
    assert track[straight, -1] == pytest.approx([300.0, 256.0], abs=25.0)
