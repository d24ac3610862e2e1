from __future__ import annotations

import numpy as np
import pytest

from pushjepa.physics import mirror_state
from pushjepa.relay import STAGES, Match, MatchSetup, Policy, strangers
from pushjepa.relay.opponents import PassivePolicy

FACTORIES = {one.__name__: one for one in (strangers.Bull, strangers.Keeper, strangers.Nudger)}


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
