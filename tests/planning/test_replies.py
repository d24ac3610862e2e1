"""Reckoning with the opponent: what it is thought to answer, and that a plan is better for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushjepa.planning import Advice, BlockToGoal, Budget, Opponent, PlanningPolicy, make_policy, margin_cost
from pushjepa.planning.guard import Guard
from pushjepa.planning.replies import answered_candidates
from pushjepa.relay import Match, MatchSetup
from tests.planning.stand_ins import ToldPrior
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


def opponent(**options) -> Opponent:
    """One whose prior proposes to push to the left, and to push back a little."""
    return Opponent(ToldPrior([[-1.0, 0.0], [0.3, 0.0]]), **options)


def test_an_opponent_that_stood_still_is_expected_to_stand_still():
    reckoning = opponent(still=0.2, doubt=2.0)
    assert reckoning.share_still(turns()) == pytest.approx(0.2)
    assert reckoning.share_still(turns(0.0, 0.0, 0.0)) == pytest.approx((0.4 + 3) / 5)
    assert reckoning.share_still(turns(1.0, 0.0, -1.0)) == pytest.approx(1.4 / 5)


def test_habits_are_standing_still_once_and_the_last_turns_in_which_it_moved():
    assert opponent(recent=2).habits(turns(0.5, 0.9, 0.0, -0.25))[:, 0, 0] == pytest.approx([0.0, 0.9, -0.25])
    assert opponent(recent=0).habits(turns(0.5)).shape == (1, 5, 2)
    assert opponent().habits(turns()).shape == (1, 5, 2)


@given(st.lists(st.floats(0.0, 1000.0), min_size=1, max_size=8), st.floats(0.0, 1.0))
def test_likelihood_is_a_distribution_that_prefers_what_is_cheap(costs, still):
    likely = opponent().likelihood(np.array([costs]), still)[0]
    assert likely.sum() == pytest.approx(1.0)
    assert (likely >= 0.0).all()
    assert likely[0] >= still - 1e-12
    rest = np.argsort(costs[1:], kind="stable")
    assert (np.diff(likely[1:][rest]) <= 1e-12).all()


def test_an_answer_that_is_dearer_by_the_temperature_is_e_times_less_likely():
    likely = opponent(temperature=15.0).likelihood(np.array([[100.0, 115.0]]), still=0.0)[0]
    assert likely[0] / likely[1] == pytest.approx(np.e)


def test_every_turn_meets_its_own_answers(rng):
    own, answers = (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((3, 1, 5, 2), (3, 4, 5, 2)))
    joint, actors = answered_candidates(own, answers, 1)
    assert actors.tolist() == [1, 0]
    grid = joint.reshape(3, 4, 2, 5, 2, 2)
    assert np.array_equal(grid[:, :, 0, :, 1], np.broadcast_to(own, (3, 4, 5, 2)))
    assert np.array_equal(grid[:, :, 1, :, 0], answers)
    assert not grid[:, :, 0, :, 0].any(), "who waits does nothing"
    assert not grid[:, :, 1, :, 1].any()


def reckoner(model: CarryModel, opponent: Opponent | None, budget: Budget | None = None) -> PlanningPolicy:
    def cost(side, goals, turns_left):
        return BlockToGoal(goals[0])

    return PlanningPolicy(model, "p1", cost, budget or Budget(64, 8), opponent=opponent)


def test_a_plan_that_reckons_with_the_answer_guards_against_it(rng):
    seen = observation(0, turns_left=2)  # the opponent has the last word
    guarded = reckoner(GuardedModel(), opponent(rounds=8, share=1.0)).plan(seen, rng)
    greedy = reckoner(GuardedModel(), None).plan(seen, rng)
    assert abs(guarded.block[:, 1].mean()) > 0.8
    assert abs(greedy.block[:, 1].mean()) < 0.6
    assert guarded.predicted_reply is not None
    assert guarded.predicted_reply[:, 0].mean() == pytest.approx(-1.0), "the opponent is thought to push its way"
    assert greedy.predicted_reply is None


def test_against_an_opponent_that_stands_still_there_is_no_need_to_guard(rng):
    still = opponent(still=1.0, doubt=100.0, rounds=8, share=1.0)
    plan = reckoner(GuardedModel(), still).plan(observation(0, turns_left=2), rng)
    assert plan.block[:, 0].mean() > 0.6
    assert not plan.predicted_reply.any()


@pytest.mark.parametrize("side", ["p1", "p2"])
def test_the_answers_to_each_turn_are_habits_and_what_the_prior_proposes_where_it_leads(rng, side):
    model, reckoning = GuardedModel(), opponent(recent=9)
    player = PlanningPolicy(model, side, margin_cost, Budget(4, 1), opponent=reckoning)
    seen = observation(7 + (side == "p1"), side, turns_left=2)  # turn n is played at speed (n + 1) / 10, p1 first
    player.plan(seen, rng)
    me, them = (0, 1) if side == "p1" else (1, 0)
    [alone, answered] = model.candidates
    assert (len(alone), answered.shape[0] % 7) == (4, 0)
    assert [list(actors) for actors in model.actors] == [[me], [me, them]]
    theirs = [0.2, 0.4, 0.6, 0.8] if side == "p1" else [0.1, 0.3, 0.5, 0.7]
    assert answered[:7, 1, 0, them, 0] == pytest.approx([0.0, *theirs, -1.0, 0.3])
    ((asked, *who),) = reckoning.prior.asked
    assert who == [["p2", "p1"][them == 0], 1]
    own = answered[::7, 0, :, me]
    reached = START[4] + 40.0 * own[:, :, 0].sum(axis=1) * (1.0 if side == "p1" else 3.0)
    assert asked[:, 4] == pytest.approx(reached, abs=0.01), "asked about the end of the very turn that it answers"


@pytest.mark.parametrize(("turns_left", "own", "answered"), [(10, 9, 8), (2, 1, 0)], ids=["early", "the last word"])
def test_costs_are_told_how_many_turns_are_left_after_what_they_judge(rng, turns_left, own, answered):
    told: list[tuple[str, int]] = []

    def cost(side, goals, turns_left):
        told.append((side, turns_left))
        return BlockToGoal(goals[0])

    player = PlanningPolicy(GuardedModel(), "p1", cost, Budget(4, 1), opponent=opponent(cost=cost))
    player.plan(observation(0, turns_left=turns_left), rng)
    assert sorted(told) == sorted([("p1", own), ("p1", answered), ("p2", answered)])


@pytest.mark.parametrize(("turns_left", "horizon"), [(1, 1), (2, 2), (10, 2)])
def test_it_never_looks_past_the_end_of_the_match(rng, turns_left, horizon):
    model = GuardedModel()
    reckoner(model, opponent(), Budget(6, 2)).plan(observation(2, turns_left=turns_left), rng)
    assert max(len(actors) for actors in model.actors) == horizon


def test_answers_count_in_the_last_rounds_for_the_best_who_stay_before_the_others(rng):
    model, looked = GuardedModel(), []
    player = reckoner(model, opponent(rounds=2, share=0.25, recent=0), Budget(8, 5))
    plan = player.plan(observation(2), rng, looked.append)
    assert [len(actors) for actors in model.actors] == [1, 1, 1, 1, 2, 1, 2]
    assert [len(joint) for joint in model.candidates if joint.shape[1] == 2] == [2 * 3, 2 * 3]
    for iteration, alone in zip(looked[-2:], (3, 5), strict=True):
        pushed = model.candidates[alone][:, 0, :, 0, 0].sum(axis=1)
        plain = np.abs(422.0 - (START[4] + 40.0 * pushed))
        order, costs = np.argsort(plain, kind="stable"), iteration.costs
        assert costs[order[:2]].max() <= costs[order[2:]].min()
        gaps = np.diff(costs[order[2:]])
        assert gaps == pytest.approx(np.diff(plain[order[2:]]), abs=0.01), "the others stay in their order"
    assert plan.cost == looked[-1].costs.min()


@pytest.mark.parametrize(
    ("also", "message"),
    [({"guard": Guard()}, r"can have no \+guard"), ({"budget": Budget(8, 2, seconds=1.0)}, "not in seconds")],
)
def test_what_would_play_plans_that_no_answer_was_held_against_is_refused(also, message):
    with pytest.raises(ValueError, match=message):
        PlanningPolicy(GuardedModel(), "p1", opponent=opponent(), **also)


def test_the_trace_tells_what_own_turns_lead_to_and_the_plan_the_likeliest_answer(rng):
    plan = reckoner(GuardedModel(), opponent(rounds=1), Budget(6, 2)).plan(observation(2), rng)
    assert plan.trace.block_paths.shape == (2, 6, 2, 2)
    assert plan.trace.costs.shape == (2, 6)
    best = int(np.argmin(plan.trace.costs[-1]))
    pushed = START[4] + 40.0 * plan.block[:, 0].sum()
    assert plan.trace.block_paths[-1, best, 1, 0] == pytest.approx(pushed, abs=0.01)
    assert plan.predicted_end[4] == pytest.approx(pushed, abs=0.01)
    assert plan.predicted_reply[:, 0] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"proposed": 0},
        {"rounds": 0},
        {"recent": -1},
        {"temperature": 0.0},
        {"doubt": 0.0},
        {"still": 1.5},
        {"share": 0.0},
    ],
    ids=str,
)
def test_senseless_options_are_refused(options):
    with pytest.raises(ValueError, match="must"):
        opponent(**options)


def test_the_oracle_with_a_reply_plays(rng):
    match = Match(MatchSetup(stage="open", seed=1))
    player = make_policy("oracle-reply", match.to_move, "open", budget=Budget(4, 1), advice=Advice(ToldPrior()))
    block = player.act(match.observation(player), rng)
    assert block.shape == (5, 2)
    assert np.abs(block).max() <= 1.0
