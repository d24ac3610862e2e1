from __future__ import annotations

import numpy as np
import pytest

from pushjepa.physics import Board, Physics
from pushjepa.planning import Advice, Budget, Plan, Trace, make_policy
from pushjepa.relay import Match, MatchSetup
from pushjepa.runtime.checkpoint import resolve
from pushjepa.server.thinking import MAX_CANDIDATES, MAX_ITERATIONS, decide, evenly, free_paths, trace_views

FAR = [450.0, 450.0, 300.0, 300.0, 0.3]  # the other agent and the block, out of the way


def plan_of(costs):
    """A plan that looked at candidates of these costs (I, S); candidate j ends at (j, 0), its block at (0, j)."""
    iterations, count = costs.shape
    ends = np.zeros((iterations, count, 2))
    ends[..., 0] = np.arange(count)
    blocks = np.zeros((iterations, count, 2, 2))
    blocks[:, :, 1, 1] = np.arange(count)
    trace = Trace(blocks, ends, costs)
    return Plan(np.zeros((5, 2)), 0.0, costs.min(axis=1), trace, np.zeros(7), None, 0.5)


def paths_of(costs):
    """Paths that stay where their candidate's number is."""
    paths = np.zeros((costs.shape[1], 5, 2))
    paths[..., 0] = np.arange(costs.shape[1])[:, None]
    return [paths] * len(costs)


def test_the_elites_are_the_cheapest_of_each_iteration_cheapest_first():
    costs = np.array([[3.0, 1.0, 2.0, 5.0], [9.0, 8.0, 7.0, 6.0]])
    first, second = trace_views(plan_of(costs), paths_of(costs), elites=2)
    assert (first.elites, second.elites) == ([1, 2], [3, 2])
    assert first.costs == [3.0, 1.0, 2.0, 5.0]
    assert first.agents == [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    assert first.blocks == [[[0.0, 0.0]], [[0.0, 1.0]], [[0.0, 2.0]], [[0.0, 3.0]]]
    assert first.paths[3] == [[3.0, 0.0]] * 5


def test_a_wide_search_is_thinned_to_a_bounded_size_and_keeps_its_best_and_worst():
    rng = np.random.default_rng(0)
    costs = rng.permuted(np.tile(np.arange(1000.0), (40, 1)), axis=1)
    views = trace_views(plan_of(costs), paths_of(costs), elites=150)
    assert len(views) == MAX_ITERATIONS
    for view in views:
        assert len(view.costs) == len(view.agents) == len(view.paths) == len(view.blocks) == MAX_CANDIDATES
        assert (min(view.costs), max(view.costs)) == (0.0, 999.0)
        chosen = [view.costs[i] for i in view.elites]
        assert chosen == sorted(chosen)
        # An elite is one of the 150 cheapest of all, and each of those that is kept is one.
        assert set(chosen) == {cost for cost in view.costs if cost < 150}
        # What belongs to one candidate stays together.
        assert [a[0] for a in view.agents] == [p[0][0] for p in view.paths] == [b[0][1] for b in view.blocks]
    assert views[-1].costs[views[-1].elites[0]] == 0.0


@pytest.mark.parametrize(("count", "most", "expected"), [(3, 5, [0, 1, 2]), (5, 5, [0, 1, 2, 3, 4]), (9, 3, [0, 4, 8])])
def test_evenly_spaced_indices_hold_both_ends(count, most, expected):
    assert evenly(count, most).tolist() == expected


def test_free_paths_are_what_the_board_does_with_an_agent_that_touches_nothing():
    start, physics = np.array([120.0, 200.0]), Physics()
    blocks = np.random.default_rng(3).uniform(-0.4, 0.4, (6, 5, 2))
    found = free_paths(start, blocks, physics)
    for path, block in zip(found, blocks, strict=True):
        states = Board((), physics).run_turn(np.array([*start, *FAR]), "p1", block)
        np.testing.assert_allclose(path, states[:, :2], atol=1e-6)


def test_free_paths_end_at_the_walls():
    path = free_paths(np.array([60.0, 60.0]), np.full((1, 5, 2), -1.0), Physics())
    np.testing.assert_allclose(path[0, -1], [20.0, 20.0])


@pytest.mark.parametrize("side", ["p1", "p2"])
def test_a_planner_tells_its_plan_and_draws_its_own_agents_paths(side):
    match = Match(MatchSetup("open", 4, first=side))
    policy = make_policy("oracle", side, "open", budget=Budget(6, 2))
    rng = np.random.default_rng(0)
    move = decide(policy, match.observation(policy), rng, match.state, match.physics)
    assert move.plan.context is None  # it sees the state
    assert move.plan.ms > 0
    assert [len(view.costs) for view in move.trace] == [6, 6]
    own = slice(0, 2) if side == "p1" else slice(2, 4)
    first_step = np.array([path[0] for view in move.trace for path in view.paths])
    # Every path begins at the agent's own place: one step takes it 40 px per component at most.
    assert (np.abs(first_step - match.state[own]) <= 40.1).all()
    again = policy.plan(match.observation(policy), np.random.default_rng(0))
    np.testing.assert_array_equal(move.block, again.block)  # looking on does not change the move


@pytest.mark.parametrize("side", ["p1", "p2"])
def test_a_planner_that_reckons_with_an_answer_tells_where_the_other_agent_would_go(side):
    match = Match(MatchSetup("open", 4, first=side))
    advice = Advice.of_model(resolve(None))
    policy = make_policy("oracle-reply", side, "open", budget=Budget(6, 2), advice=advice)
    move = decide(policy, match.observation(policy), np.random.default_rng(0), match.state, match.physics)
    plan = policy.plan(match.observation(policy), np.random.default_rng(0))
    assert len(move.plan.reply) == 5
    start = plan.predicted_end[2:4] if side == "p1" else plan.predicted_end[:2]
    expected = free_paths(start, plan.predicted_reply[None], match.physics)[0]
    np.testing.assert_allclose(move.plan.reply, expected, atol=0.06)
    plain = make_policy("oracle", side, "open", budget=Budget(6, 2))
    assert (
        decide(plain, match.observation(plain), np.random.default_rng(0), match.state, match.physics).plan.reply is None
    )


def test_a_scripted_policy_has_no_plan():
    match = Match(MatchSetup("open", 4))
    policy = make_policy("shove", "p1", "open")
    move = decide(policy, match.observation(policy), np.random.default_rng(0), match.state, match.physics)
    assert (move.plan, move.trace) == (None, ())
    assert move.block.shape == (5, 2)
