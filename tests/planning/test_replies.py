"""Reckoning with the opponent: what it is thought to answer, and that a plan is better for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushjepa.planning import BlockToGoal, Budget, Opponent, PlanningPolicy, make_policy, margin_cost
from pushjepa.planning.replies import replied_candidates
from pushjepa.relay import Match, MatchSetup
from tests.planning.test_policies import START, CarryModel, observation


class GuardedModel(CarryModel):
    """A world in which guarding pays: own dx carries the block, own dy shields it from the opponent's next push.

    The opponent undoes up to thrice what an own turn at full speed gains, less the better the turn before was guarded.
    """

    def rollout(self, context, candidates, actors, conditions=None):
        self.candidates.append(candidates.copy())
        self.actors.append(actors.copy())
        pushes = 40.0 * candidates.sum(axis=2)  # (S, H, agents, 2)
        x, guard = np.full(len(candidates), float(START[4])), np.zeros(len(candidates))
        out = np.broadcast_to(context.latents[-1], (*candidates.shape[:2], 1, 7)).copy()
        for step, actor in enumerate(actors):
            push = pushes[:, step, actor]
            if actor == 0:
                x, guard = x + push[:, 0], np.abs(push[:, 1]) / 200.0
            else:
                x = x + 3.0 * (1.0 - guard) * push[:, 0]
            out[:, step, 0, 4] = x
        return out


def turns(*speeds: float) -> np.ndarray:
    """The opponent's turns (T, 5, 2), each at one speed."""
    return np.array(speeds, np.float32)[:, None, None] * np.ones((1, 5, 2), np.float32)


def test_an_opponent_that_stood_still_is_expected_to_stand_still():
    reckoning = Opponent(still=0.2, doubt=2.0)
    assert reckoning.share_still(turns()) == pytest.approx(0.2)
    assert reckoning.share_still(turns(0.0, 0.0, 0.0)) == pytest.approx((0.4 + 3) / 5)
    assert reckoning.share_still(turns(1.0, 0.0, -1.0)) == pytest.approx(1.4 / 5)


def test_habits_are_standing_still_once_and_the_last_turns_in_which_it_moved():
    assert Opponent(recent=2).habits(turns(0.5, 0.9, 0.0, -0.25))[:, 0, 0] == pytest.approx([0.0, 0.9, -0.25])
    assert Opponent(recent=0).habits(turns(0.5)).shape == (1, 5, 2)
    assert Opponent().habits(turns()).shape == (1, 5, 2)


@given(st.lists(st.floats(0.0, 1000.0), min_size=1, max_size=8), st.floats(0.0, 1.0))
def test_likelihood_is_a_distribution_that_prefers_what_is_cheap(costs, still):
    likely = Opponent().likelihood(np.array([costs]), still)[0]
    assert likely.sum() == pytest.approx(1.0)
    assert (likely >= 0.0).all()
    assert likely[0] >= still - 1e-12
    rest = np.argsort(costs[1:], kind="stable")
    assert (np.diff(likely[1:][rest]) <= 1e-12).all()


def test_an_answer_that_is_dearer_by_the_temperature_is_e_times_less_likely():
    likely = Opponent(temperature=15.0).likelihood(np.array([[100.0, 115.0]]), still=0.0)[0]
    assert likely[0] / likely[1] == pytest.approx(np.e)


def test_every_plan_meets_every_answer(rng):
    own, answers = (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((3, 2, 5, 2), (4, 5, 2)))
    joint, actors = replied_candidates(own, answers, 1, horizon=3)
    assert actors.tolist() == [1, 0, 1]
    grid = joint.reshape(3, 4, 3, 5, 2, 2)
    assert np.array_equal(grid[:, :, ::2, :, 1], np.broadcast_to(own[:, None], (3, 4, 2, 5, 2)))
    assert np.array_equal(grid[:, :, 1, :, 0], np.broadcast_to(answers, (3, 4, 5, 2)))
    assert not grid[:, :, ::2, :, 0].any(), "who waits does nothing"
    assert not grid[:, :, 1, :, 1].any()


def reckoner(model: CarryModel, opponent: Opponent | None, budget: Budget | None = None) -> PlanningPolicy:
    def cost(side, goals):
        return BlockToGoal(goals[0])

    return PlanningPolicy(model, "p1", cost, budget or Budget(64, 8), own_turns=2, opponent=opponent)


def test_a_plan_that_reckons_with_the_answer_guards_against_it(rng):
    seen = observation(0, turns_left=2)  # the opponent has the last word
    guarded = reckoner(GuardedModel(), Opponent()).plan(seen, rng)
    greedy = reckoner(GuardedModel(), None).plan(seen, rng)
    assert abs(guarded.block[:, 1].mean()) > 0.8
    assert abs(greedy.block[:, 1].mean()) < 0.6
    assert guarded.predicted_reply is not None
    assert guarded.predicted_reply[:, 0].mean() < -0.5, "the opponent is thought to push the block its way"


@pytest.mark.parametrize("side", ["p1", "p2"])
def test_the_whole_match_tells_how_the_opponent_plays(rng, side):
    model = GuardedModel()
    player = PlanningPolicy(model, side, margin_cost, Budget(4, 1), own_turns=2, opponent=Opponent(recent=9))
    seen = observation(7 + (side == "p1"), side, turns_left=2)  # turn n is played at speed (n + 1) / 10, p1 first
    player.plan(seen, rng)
    held_against = model.candidates[1].reshape(4, -1, 2, 5, 2, 2)[0, :, 1, 0, 1 if side == "p1" else 0, 0]
    theirs = [0.2, 0.4, 0.6, 0.8] if side == "p1" else [0.1, 0.3, 0.5, 0.7]
    assert held_against[:5] == pytest.approx([0.0, *theirs])
    assert len(held_against) == 5 + Opponent().kept


class LearningModel(GuardedModel):
    """The guarded world with an opponent that cannot hurt before the third look at it."""

    def rollout(self, context, candidates, actors, conditions=None):
        if len(self.actors) < 4:  # a study and a look for each iteration
            candidates = candidates.copy()
            candidates[:, 1::2, :, 1] = 0.0
            latents = super().rollout(context, candidates, actors)
            latents[:, :, 0, 4] += 500.0  # and everything looks rosy
            return latents
        return super().rollout(context, candidates, actors)


def test_a_plan_that_looked_cheap_before_the_answers_were_good_is_judged_again(rng):
    plan = reckoner(LearningModel(), Opponent(), Budget(64, 8)).plan(observation(0, turns_left=2), rng)
    assert plan.cost == pytest.approx(plan.trace.costs[-1].min())
    assert plan.cost > plan.trace.costs[0].min(), "the first looks are forgotten"
    assert abs(plan.block[:, 1].mean()) > 0.6


def test_against_an_opponent_that_stands_still_there_is_no_need_to_guard(rng):
    still = Opponent(still=1.0, doubt=100.0)
    plan = reckoner(GuardedModel(), still).plan(observation(0, turns_left=2), rng)
    assert plan.block[:, 0].mean() > 0.6
    assert not plan.predicted_reply.any()


@pytest.mark.parametrize(("turns_left", "turns"), [(1, 1), (2, 2), (3, 3), (10, 3)])
def test_it_never_looks_past_the_end_of_the_match(rng, turns_left, turns):
    model = GuardedModel()
    reckoner(model, Opponent(), Budget(6, 2)).plan(observation(2, turns_left=turns_left), rng)
    assert max(len(actors) for actors in model.actors) == turns
    assert all(actors.tolist() == [0, 1, 0][: len(actors)] for actors in model.actors)


def test_a_plan_is_a_function_of_the_generator():
    plans = [
        reckoner(GuardedModel(), Opponent(), Budget(16, 3)).plan(observation(2), np.random.default_rng(4))
        for _ in range(2)
    ]
    assert np.array_equal(plans[0].block, plans[1].block)
    assert plans[0].cost == plans[1].cost


def test_the_trace_tells_the_likeliest_future(rng):
    model = GuardedModel()
    plan = reckoner(model, Opponent(), Budget(6, 2)).plan(observation(2), rng)
    assert plan.trace.block_paths.shape == (2, 6, 4, 2)
    assert plan.trace.costs.shape == (2, 6)
    assert plan.warm_start.shape == (2, 5, 2)
    best = int(np.argmin(plan.trace.costs[-1]))
    guard = abs(plan.block[:, 1].sum()) / 5.0
    pushed = START[4] + 40.0 * plan.block[:, 0].sum()
    answered = pushed + 3.0 * (1.0 - guard) * 40.0 * plan.predicted_reply[:, 0].sum()
    assert plan.trace.block_paths[-1, best, 1:3, 0] == pytest.approx([pushed, answered], abs=0.01)


@pytest.mark.parametrize(
    "options",
    [{"kept": 0}, {"kept": 48}, {"recent": -1}, {"temperature": 0.0}, {"doubt": 0.0}, {"still": 1.5}],
    ids=str,
)
def test_senseless_options_are_refused(options):
    with pytest.raises(ValueError, match="must"):
        Opponent(**options)


def test_the_oracle_with_a_reply_plays(rng):
    match = Match(MatchSetup(stage="open", seed=1))
    player = make_policy("oracle-reply", match.to_move, "open", budget=Budget(4, 1))
    block = player.act(match.observation(player), rng)
    assert block.shape == (5, 2)
    assert np.abs(block).max() <= 1.0
