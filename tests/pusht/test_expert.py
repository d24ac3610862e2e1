from __future__ import annotations

import numpy as np
import pytest

from pushjepa.pusht.collect import draw_state
from pushjepa.pusht.expert import Episode, ExpertOptions, find_push, find_way, is_solved, steer
from pushjepa.pusht.geometry import clearance, pose_error
from pushjepa.pusht.simulator import Simulator


def episode(seed, options=None, limit=300):
    rng = np.random.default_rng(seed)
    start, goal = draw_state(rng), draw_state(rng)
    return Episode(Simulator(), start, goal, options or ExpertOptions(), rng, limit).run()


@pytest.mark.parametrize("seed", range(4))
def test_it_solves_what_it_is_given(seed):
    found = episode(seed)
    assert found.solved
    assert is_solved(found.states[-1], found.goal)
    assert not any(is_solved(state, found.goal) for state in found.states[:-1])
    assert len(found.states) == len(found.actions) + 1
    assert np.abs(found.actions).max() <= 1.0


def test_its_actions_lead_where_its_states_say():
    found = episode(1)
    for before, action, after in zip(found.states, found.actions, found.states[1:], strict=False):
        assert np.array_equal(Simulator().run(before, action[None])[0], after)
    assert np.array_equal(found.actions, found.actions.astype(np.float32)), "they are stored as float32"


def test_the_same_seed_plays_the_same():
    shaky = ExpertOptions(noise=0.05, slips=0.05)
    one, two = episode(2, shaky), episode(2, shaky)
    assert np.array_equal(one.states, two.states)
    assert not np.array_equal(one.states[:20], episode(2).states[:20])


def test_it_recovers_when_its_hand_slips():
    found = episode(3, ExpertOptions(slips=0.06), limit=600)
    assert found.solved
    assert len(found.actions) > len(episode(3).actions)


def test_it_judges_as_the_environment_does(make_env, states):
    rng = np.random.default_rng(0)
    env = make_env(states[0])
    verdicts = set()
    for state in states:
        for spread in (2.0, 8.0, 14.0):
            other = state + np.concatenate([rng.normal(0, spread, 4), [rng.normal(0, 0.3)], [0, 0]])
            theirs = bool(env.eval_state(state, np.concatenate([other[:4], other[4:5] % (2 * np.pi), other[5:]]))[0])
            assert is_solved(other, state) == theirs
            verdicts.add(theirs)
    assert verdicts == {True, False}


def test_the_agent_is_steered_to_a_point_in_one_step():
    state = np.array([100.0, 100.0, 400.0, 400.0, 0.0, 60.0, -40.0])
    target = np.array([110.0, 92.0])
    after = Simulator().run(state, steer(state, target, 25.0)[None])[0]
    assert after[:2] == pytest.approx(target, abs=1e-6)
    far = Simulator().run(state, steer(state, np.array([300.0, 100.0]), 25.0)[None])[0]
    assert np.hypot(*(far[:2] - state[:2])) == pytest.approx(25.0, abs=1e-6)


def test_a_push_brings_the_block_nearer(states):
    for state, goal in zip(states[:4], states[4:8], strict=True):
        before = pose_error(state[2:5], goal[2:5])
        push = find_push(Simulator(), state, goal, ExpertOptions())
        assert push is not None
        assert push.error < before
        assert push.error <= pose_error(push.end[2:5], goal[2:5]) + 1e-9
        assert np.array_equal(push.way[-1], push.stand)


def test_a_way_from_beside_the_block_steps_back_first(states):
    state = states[0].copy()
    state[:2] = state[2:4]  # in the middle of the bar
    way = find_way(state, np.array([60.0, 60.0]), 18.0)
    assert way is not None
    assert clearance(way[0], state[2:5]) >= 18.0
