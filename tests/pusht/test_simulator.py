from __future__ import annotations

import numpy as np
import pytest

from pushjepa.pusht.geometry import OUTLINE, clearance, place
from pushjepa.pusht.simulator import PushTPhysics, Simulator

AT_REST = np.array([100.0, 100.0, 300.0, 300.0, 0.5, 0.0, 0.0])


def toward_the_block(state, rng, steps=30):
    """Actions that lead to contact, with some luck in them."""
    aim = np.clip((state[2:4] - state[:2]) / 300.0, -1.0, 1.0)
    return np.clip(aim + 0.3 * rng.standard_normal((steps, 2)), -1.0, 1.0)


def test_it_is_the_environment_s_own_law_number_for_number(make_env, states):
    """Exactly, but for the rare block that touches at two places: those pymunk solves in the order of its numbers."""
    rng, moved, exact = np.random.default_rng(0), 0, 0
    for state in states:
        state = state + np.array([0, 0, 0, 0, 0, *rng.uniform(-100.0, 100.0, 2)])
        env, simulator = make_env(state), Simulator()
        start = simulator.reset(state)
        assert env._get_obs().tolist() == start.tolist()
        actions = toward_the_block(state, rng)
        theirs = np.array([env.step(action)[0]["state"] for action in actions])
        ours = simulator.run(start, actions)
        assert np.array_equal(theirs[:, [0, 1, 5, 6]], ours[:, [0, 1, 5, 6]]), "nothing stops the agent"
        # What the agent squeezes against a wall touches at two places.
        corners = np.array([place(OUTLINE, seen[2:5]) for seen in theirs])
        free = ((corners > 10.0) & (corners < 502.0)).all(axis=(1, 2)).cumprod().astype(bool)
        exact += np.array_equal(theirs[free], ours[free])
        moved += bool(free.any()) and float(np.abs(ours[free][-1, 2:4] - start[2:4]).max()) > 5.0
    assert moved >= 6, "most of these have to touch the block, or nothing was compared"
    assert exact >= len(states) - 2


def test_an_agent_goes_as_its_controller_sends_it():
    first, second = Simulator().run(AT_REST, np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert first[0] - 100.0 == pytest.approx(29.567, abs=1e-3)
    assert second[0] - first[0] == pytest.approx(40.766, abs=1e-3)
    assert (first[1], first[6]) == (100.0, 0.0)


def test_nothing_happens_by_itself():
    for state in Simulator().run(AT_REST, np.zeros((5, 2))):
        assert state.tolist() == AT_REST.tolist()


def test_a_larger_tee_is_met_sooner():
    start = np.array([300.0, 100.0, 300.0, 300.0, 0.0, 0.0, 0.0])
    push = np.tile([0.0, 0.4], (40, 1))
    small, large = (Simulator(PushTPhysics(block_scale=scale)).run(start, push)[-1] for scale in (30.0, 42.0))
    assert small[3] > 300.0
    assert large[3] > 300.0
    assert not np.allclose(small[2:5], large[2:5])


def test_the_block_stays_within_the_walls(states):
    rng = np.random.default_rng(1)
    for state in states[:6]:
        aim = np.clip((state[2:4] - state[:2]) / 200.0, -1.0, 1.0)
        for seen in Simulator().run(state, np.tile(aim, (60, 1)) + 0.1 * rng.standard_normal((60, 2))):
            corners = place(OUTLINE, seen[2:5])
            # The walls reach to 7 and 504 px; an agent that nothing stops may press the block a little into them.
            assert corners.min() > -25.0
            assert corners.max() < 537.0


def test_contact_begins_where_the_outline_is(states):
    """The simulator's bodies and the expert's geometry are the same tee."""
    for state in states:
        gap = float(clearance(state[:2], state[2:5])) - 15.0
        way = state[2:4] - state[:2]
        still = Simulator().run(state, np.zeros((3, 2)))
        assert gap > 0.0
        assert still[-1, 2:5] == pytest.approx(state[2:5], abs=1e-9)
        inside = np.concatenate([state[:2] + way, state[2:]])
        assert clearance(inside[:2], inside[2:5]) == pytest.approx(0.0, abs=1e-9)


def test_contacts_are_told_apart():
    touching = np.array([300.0, 284.5, 300.0, 300.0, 0.0, 0.0, 0.0])
    down = np.tile([0.0, 0.3], (4, 1))
    assert Simulator().contacts(touching, down).tolist() == [[True, False]] * 4
    assert not Simulator().contacts(AT_REST, down).any()
    back = np.array([[0.0, 0.3], [0.0, -1.0], [0.0, -1.0], [0.0, -1.0]])
    assert Simulator().contacts(touching, back)[:, 0].tolist() == [True, False, False, False], (
        "it is over when it is over"
    )
    # The stem's end is pushed along by the bar, 120 px away, until the wall's face at 504 stops it.
    low = np.array([300.0, 344.5, 300.0, 360.0, 0.0, 0.0, 0.0])
    met = Simulator().contacts(low, down)
    assert met[:, 0].all()
    assert met[-1, 1]
    assert not met[0, 1]


def test_looking_at_contacts_changes_nothing(states):
    actions = toward_the_block(states[0], np.random.default_rng(1))
    before = Simulator().run(states[0], actions)
    Simulator().contacts(states[0], actions)
    assert np.array_equal(before, Simulator().run(states[0], actions))
