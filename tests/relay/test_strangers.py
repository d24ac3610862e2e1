from __future__ import annotations

import numpy as np
import pytest

from pushjepa.physics import mirror_state
from pushjepa.relay import STAGES, Match, MatchSetup, Policy, strangers
from pushjepa.relay.opponents import PassivePolicy

NAMES = ("Bull", "Keeper", "Nudger", "Spinner", "Bishop", "Marker", "Woodpecker", "Smuggler", "Bouncer")
FACTORIES = {name: getattr(strangers, name) for name in NAMES}


@pytest.mark.parametrize("name", FACTORIES)
def test_they_are_policies_of_one_seat(name):
    policy = FACTORIES[name]("p1", STAGES["open"])
    assert isinstance(policy, Policy)
    assert policy.sees == "state"
    with pytest.raises(ValueError, match="unknown side"):
        FACTORIES[name]("p3", STAGES["open"])


@pytest.mark.parametrize("name", FACTORIES)
def test_they_play_alike_from_either_seat(name):
    start = np.array([120.0, 200.0, 400.0, 330.0, 230.0, 260.0, 0.4])
    blocks = []
    for side, state in (("p1", start), ("p2", mirror_state(start))):
        match = Match(MatchSetup("open", 0, start=tuple(state), first=side))
        policy = FACTORIES[name](side, match.stage)
        blocks.append(policy.act(match.observation(policy), np.random.default_rng(0)))
    assert blocks[0] == pytest.approx(blocks[1] * [-1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("name", FACTORIES)
def test_they_bring_the_block_home_where_nobody_is_in_the_way(name):
    match = Match(MatchSetup("open", 2))
    policies = {"p1": FACTORIES[name]("p1", match.stage), "p2": PassivePolicy("p2", match.stage)}
    while not match.over:
        policy = policies[match.to_move]
        match.play(policy.act(match.observation(policy), np.random.default_rng(0)))
    assert match.result().net_progress("p1") > 50.0


def test_the_spinner_turns_the_block_more_than_the_bull():
    turned = []
    for name in ("Bull", "Spinner"):
        match = Match(MatchSetup("open", 0, start=(150.0, 262.0, 60.0, 60.0, 256.0, 256.0, np.pi / 2), first="p1"))
        policy = FACTORIES[name]("p1", match.stage)
        match.play(policy.act(match.observation(policy), np.random.default_rng(0)))
        turned.append(abs(match.state[6] - np.pi / 2))
    assert turned[1] > 2 * turned[0]


@pytest.mark.parametrize(("height", "way"), [(160.0, (1.0, 1.0)), (360.0, (1.0, -1.0))])
def test_the_bishop_pushes_along_the_diagonal_towards_its_goal(height, way):
    behind = (200.0 - 60 * way[0], height - 60 * way[1])
    match = Match(MatchSetup("open", 0, start=(*behind, 60.0, 60.0, 200.0, height, 0.0), first="p1"))
    policy = FACTORIES["Bishop"]("p1", match.stage)
    assert policy.act(match.observation(policy), np.random.default_rng(0)) == pytest.approx(np.tile(way, (5, 1)))


def test_the_marker_goes_between_the_block_and_whoever_is_nearer_to_it():
    match = Match(MatchSetup("open", 0, start=(450.0, 340.0, 300.0, 350.0, 300.0, 200.0, 0.0), first="p1"))
    policy = FACTORIES["Marker"]("p1", match.stage)
    match.play(policy.act(match.observation(policy), np.random.default_rng(0)))
    assert match.state[:2] == pytest.approx([300.0, 275.0], abs=5.0)


def test_the_woodpecker_taps_and_is_out_again():
    match = Match(MatchSetup("open", 0, start=(170.0, 256.0, 60.0, 60.0, 256.0, 256.0, np.pi / 2), first="p1"))
    policy = FACTORIES["Woodpecker"]("p1", match.stage)
    match.play(policy.act(match.observation(policy), np.random.default_rng(0)))
    assert match.state[4] > 270.0, "the block has gone on"
    assert match.state[4] - match.state[0] > 100.0, "and the agent has come back from it"


@pytest.mark.parametrize(("height", "way"), [(160.0, -1.0), (352.0, 1.0)])
def test_the_smuggler_makes_for_the_nearer_edge(height, way):
    match = Match(MatchSetup("open", 0, start=(100.0, height, 60.0, 60.0, 160.0, height, 0.0), first="p1"))
    policy = FACTORIES["Smuggler"]("p1", match.stage)
    block = policy.act(match.observation(policy), np.random.default_rng(0))
    assert (np.sign(block[-1]) == [1.0, way]).all()


def test_the_bouncer_runs_at_a_rival_that_is_near_the_block():
    for rival, charged in (((300.0, 320.0), True), ((60.0, 60.0), False)):
        match = Match(MatchSetup("open", 0, start=(200.0, 380.0, *rival, 300.0, 256.0, 0.0), first="p1"))
        policy = FACTORIES["Bouncer"]("p1", match.stage)
        block = policy.act(match.observation(policy), np.random.default_rng(0))
        run = np.array(rival) - [200.0, 380.0]
        assert (np.abs(block[0] / np.hypot(*block[0]) - run / np.hypot(*run)).max() < 1e-6) == charged
