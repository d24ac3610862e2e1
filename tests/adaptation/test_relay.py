"""A player that adapts, in real matches: every boundary once and in order, whoever moved."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pushjepa.adaptation import Options, SystemM
from pushjepa.adaptation.relay import GAME_LAWS, AdaptivePlanner
from pushjepa.adaptation.relooking import Relooking
from pushjepa.adaptation.seats import make_adaptive
from pushjepa.physics import VISIBLE, Physics, tell_laws
from pushjepa.planning import Advice, Budget, Opponent
from pushjepa.relay import Match, MatchSetup
from tests.planning.stand_ins import ToldPrior

SLOW = Physics(agent_speed=Physics().agent_speed * 0.5)


@pytest.fixture
def make(glider):
    """A policy with a mind of its own over the gliding model."""

    def make(side="p1", remembered=None, **options):
        mind = SystemM(glider, glider.usual, GAME_LAWS, Options(seconds=60.0, **options), remembered=remembered)
        return AdaptivePlanner(mind, side, budget=Budget(candidates=4, iterations=1))

    return make


def match_of(turns, seed=3, physics=None):
    """A match of which so many turns were played at random."""
    match, rng = Match(MatchSetup("open", seed, physics=physics or Physics())), np.random.default_rng(seed)
    for _ in range(turns):
        match.play(rng.uniform(-1, 1, (5, 2)))
    return match


def spied(policy):
    """What its mind is told from now on: moments, and what was then seen."""
    moments, seen, mind = [], [], policy.mind
    anticipate, modulate = mind.anticipate, mind.modulate
    mind.anticipate = lambda moment: (moments.append(moment), anticipate(moment))[1]
    mind.modulate = lambda latents: (seen.append(latents), modulate(latents))[1]
    return moments, seen


def test_each_boundary_is_lived_through_once_and_in_order(make, glider):
    policy, match = make(adapt=False), match_of(0)
    moments, seen = spied(policy)
    rng, events = np.random.default_rng(0), []
    for turn in range(8):
        if turn % 2 == 0:  # asked for its own turns only
            events += policy.follow(match.observation(policy))
            assert policy.follow(match.observation(policy)) == []
        match.play(rng.uniform(-1, 1, (5, 2)))
    latents = glider.encode(match.frames(128))
    assert [event.turn for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.turn for event in policy.mind.events] == [1, 2, 3, 4, 5, 6]
    for turn, (moment, after) in enumerate(zip(moments, seen, strict=True)):
        assert (moment.context.latents[-1] == latents[turn]).all()
        assert (after.latents == latents[turn + 1]).all()
        assert (after.frame == match.frames(128)[turn + 1]).all()
        assert (moment.frames[-1] == match.frames(128)[turn]).all()
        assert (glider.encode(moment.frames) == moment.context.latents).all()
        assert (moment.block == match.joint_blocks()[turn]).all()
        assert moment.actor == match.actors[turn]
        if turn:
            assert (moment.context.blocks[-1] == match.joint_blocks()[turn - 1]).all()
            assert moment.context.actors[-1] == match.actors[turn - 1]


def test_a_match_begins_with_its_first_frame(make):
    policy, begun = make(adapt=False), []
    policy.mind.begin = begun.append
    for seed, turns in ((3, 0), (3, 2), (3, 2), (4, 1), (4, 3)):
        match = match_of(turns, seed)
        policy.follow(match.observation(policy))
    first = [match_of(0, seed).frames(128)[0] for seed in (3, 4)]
    assert len(begun) == 2
    assert all((one == other).all() for one, other in zip(begun, first, strict=True))


def test_what_is_believed_of_the_block_keeps_imagined_agents_out_of_it(make):
    policy, match = make(), match_of(2)
    policy.mind.conditions = tell_laws(Physics(block_scale=0.7, block_shape="plus"))
    policy.mind.begin = policy.mind.anticipate = lambda _: None
    policy.mind.modulate = lambda _: SimpleNamespace(act="")
    policy._goes_on = lambda *_: True
    policy.act(match.observation(policy), np.random.default_rng(0))
    assert policy.laws.block_scale == pytest.approx(0.7)
    assert policy.laws.block_shape == "plus"


@pytest.mark.parametrize("steps", [[1, 2, 3, 4, 5, 6], [6], [2, 4, 6], [3, 6]], ids=str)
def test_it_does_not_matter_how_often_it_is_asked(make, steps):
    policy, asked = make(), make()
    for turn in range(7):
        policy.follow(match_of(turn).observation(policy))
    for turn in steps:
        asked.follow(match_of(turn).observation(asked))
    for one, other in zip(policy.mind.events, asked.mind.events, strict=True):
        assert one.predicted.tobytes() == other.predicted.tobytes()
        assert one.conditions.tobytes() == other.conditions.tobytes()


def test_slow_agents_are_noticed_and_planned_with(make):
    policy, match = make(), match_of(8, physics=SLOW)
    policy.follow(match.observation(policy))
    assert "infer" in [event.act for event in policy.mind.events]
    assert policy.mind.conditions[0] == pytest.approx(np.log(0.5), abs=0.2)
    told, imagine = [], policy.mind.model.rollout
    policy.mind.model.rollout = lambda *args: (told.append(args[3]), imagine(*args))[1]
    policy.act(match.observation(policy), np.random.default_rng(0))
    assert told
    assert all((one == policy.mind.told).all() for one in told)


def test_a_mind_that_comes_to_look_otherwise_sees_the_whole_match_so(glider):
    """The second look moves the block 20 px to the right, so that who looked can be told from what is known."""

    class Twice(type(glider)):
        spec = replace(glider.spec, visible=VISIBLE)

        def look(self, frames):
            latents = self.encode(frames)
            latents[..., 4] += 20.0 / 256
            return latents, np.zeros((len(frames), glider.spec.laws), dtype=np.float32)

    model = Twice()
    policy = AdaptivePlanner(SystemM(model, glider.usual, GAME_LAWS, Options(adapt=False)), "p1", budget=Budget(4, 1))
    match = match_of(6)
    first = model.encode(match.frames(128))
    policy.follow(match.observation(policy))
    # Of the two boundaries that are lived through next, the second is looked at in the other way.
    modulate, mind = policy.mind.modulate, policy.mind
    moments, _ = spied(policy)

    def turn_to_the_second_look(seen):
        event = modulate(seen)
        mind.model = Relooking(model)
        return event

    mind.modulate = turn_to_the_second_look
    rng = np.random.default_rng(1)
    for _ in range(2):
        match.play(rng.uniform(-1, 1, (5, 2)))
    policy.follow(match.observation(policy))
    assert [len(moments)] == [2]
    assert (moments[0].context.latents == first[4:7]).all()
    again = model.look(match.frames(128))[0]
    assert (moments[1].context.latents == again[5:8]).all()
    asked, rollout = [], model.rollout
    model.rollout = lambda *args: (asked.append(args[0].latents), rollout(*args))[1]
    policy.act(match.observation(policy), rng)
    assert asked
    assert all((latents == again[6:9]).all() for latents in asked)
    mind.restore()
    asked.clear()
    policy.act(match.observation(policy), rng)
    assert all((latents == model.encode(match.frames(128)[6:9])).all() for latents in asked)


@pytest.mark.parametrize("turns", [0, 2, 4, 6], ids=lambda turns: f"asked-again-at-{turns}")
def test_another_match_begins_anew(make, turns):
    """Also one of which as much was played, or more, when it is asked for the first time."""
    policy, fresh = make(), make()
    policy.follow(match_of(4, seed=3, physics=SLOW).observation(policy))
    for one in (policy, fresh):
        one.follow(match_of(turns, seed=8).observation(one))
    assert len(policy.mind.events) == turns
    for event, other in zip(policy.mind.events, fresh.mind.events, strict=True):
        assert event.predicted.tobytes() == other.predicted.tobytes()
    assert policy.mind.state == fresh.mind.state


def test_another_match_begins_anew_before_anybody_has_moved(make):
    policy, fresh = make(), make()
    policy.follow(match_of(0, seed=3).observation(policy))
    for one in (policy, fresh):
        one.follow(match_of(0, seed=8).observation(one))
        one.follow(match_of(2, seed=8).observation(one))
    for event, other in zip(policy.mind.events, fresh.mind.events, strict=True):
        assert event.predicted.tobytes() == other.predicted.tobytes()


def test_another_match_from_the_same_start_begins_anew(make):
    policy, match = make(), match_of(4)
    policy.follow(match.observation(policy))
    other = Match(MatchSetup("open", 3))
    for _ in range(4):
        other.play(np.ones((5, 2)))
    assert len(policy.follow(other.observation(policy))) == 4


def test_a_turn_taken_back_is_lived_through_anew(make):
    policy, fresh = make(), make()
    policy.follow(match_of(6).observation(policy))
    for one in (policy, fresh):
        one.follow(match_of(4).observation(one))
    assert len(policy.mind.events) == len(fresh.mind.events) == 4


def test_two_players_share_nothing(make):
    one, other = make(), make("p2")
    one.follow(match_of(8, physics=SLOW).observation(one))
    assert one.mind.state == "adapted"
    assert (other.mind.state, other.mind.events) == ("standard", [])
    alone = make("p2")
    for policy in (other, alone):
        policy.follow(match_of(3).observation(policy))
    assert [e.level for e in other.mind.events] == [e.level for e in alone.mind.events]


def test_the_same_seed_has_the_same_moves(make):
    moves = []
    for _ in range(2):
        policy, match = make(), match_of(4, physics=SLOW)
        moves.append(policy.act(match.observation(policy), np.random.default_rng(5)).tobytes())
    assert moves[0] == moves[1]


def test_who_does_not_adapt_moves_as_the_planner_does(make, glider):
    from pushjepa.planning import PlanningPolicy

    match, plain = match_of(6, physics=SLOW), PlanningPolicy(glider, "p1", budget=Budget(candidates=4, iterations=1))
    wanted = plain.act(match.observation(plain), np.random.default_rng(1))
    for options in ({"adapt": False}, {"steps": 0}):
        policy = make(**options)
        assert policy.act(match.observation(policy), np.random.default_rng(1)).tobytes() == wanted.tobytes()


def test_players_are_made_by_name(glider):
    advice = Advice(ToldPrior())
    policy = make_adaptive("jepa-reply", "p2", glider, glider.usual, advice=advice)
    assert (policy.side, policy.prior, policy.opponent) == ("p2", advice.prior, Opponent(advice.prior))
    assert make_adaptive("jepa@8x2+guard", "p1", glider, glider.usual).budget == Budget(8, 2)
    with pytest.raises(ValueError, match="'jepa-reply' needs advice"):
        make_adaptive("jepa-reply", "p2", glider, glider.usual)
    with pytest.raises(ValueError, match="'greedy' has no world model"):
        make_adaptive("greedy", "p1", glider, glider.usual)
