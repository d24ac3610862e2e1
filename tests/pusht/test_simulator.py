from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushjepa.pusht.geometry import OUTLINE, clearance, place, pose_error
from pushjepa.pusht.shifts import DESCRIPTIONS, SHIFTS, find_laws
from pushjepa.pusht.simulator import _LIMITS, BLOCK_SHAPES, PushTPhysics, Simulator, block_parts, build_space

AT_REST = np.array([100.0, 100.0, 300.0, 300.0, 0.5, 0.0, 0.0])
#: px that a shift moves the block's end from where the same actions bring it as a rule, at least and on average.
MARGIN = 8.0

laws = st.builds(
    PushTPhysics,
    block_shape=st.sampled_from(BLOCK_SHAPES),
    **{name: st.floats(low, high) for name, (low, high) in _LIMITS.items()},
)


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


@pytest.mark.parametrize("name", SHIFTS)
def test_every_shift_changes_what_the_same_actions_do(states, name):
    rng, apart = np.random.default_rng(2), []
    for state in states:
        actions = toward_the_block(state, rng)
        as_a_rule, shifted = (Simulator(physics).run(state, actions)[-1] for physics in (None, SHIFTS[name]))
        apart.append(float(pose_error(shifted[2:5], as_a_rule[2:5])))
    assert np.mean(apart) > MARGIN
    assert (np.array(apart) > 1.0).sum() >= len(states) / 2, "not one lucky hit"


def test_every_shift_is_told_in_a_line():
    assert set(DESCRIPTIONS) == set(SHIFTS)
    assert all(line and "\n" not in line for line in DESCRIPTIONS.values())
    assert PushTPhysics() not in SHIFTS.values()
    assert find_laws("big-block").block_scale == 42.0
    assert find_laws("none") is None
    with pytest.raises(ValueError, match="unknown shift 'moon'; choose one of none, big-block, "):
        find_laws("moon")


def test_an_agent_goes_as_far_as_its_gain_says():
    for gain in (0.5, 2.0):
        first = Simulator(PushTPhysics(agent_gain=gain)).run(AT_REST, np.array([[1.0, 0.0]]))[0]
        assert first[0] - 100.0 == pytest.approx(gain * 29.567, abs=1e-2)


def test_a_block_glides_within_a_run_and_rests_where_a_run_begins():
    start = np.array([300.0, 284.5, 300.0, 300.0, 0.0, 0.0, 0.0])
    push_and_leave = np.array([[0.0, 0.4]] * 2 + [[0.0, -1.0]] * 2 + [[0.0, 0.0]] * 6)
    gliding = Simulator(SHIFTS["gliding"])
    ways = [simulator.run(start, push_and_leave)[:, 3] for simulator in (Simulator(), gliding)]
    assert ways[0][3] == ways[0][-1], "as a rule it stops when it is left"
    assert ways[1][-1] - ways[1][3] > 10.0
    half = gliding.run(start, push_and_leave[:4])[-1]
    assert gliding.run(half, push_and_leave[4:])[-1, 3] == half[3], "a state holds no velocity of the block"


def test_friction_drags_the_block_along():
    start = np.array([150.0, 284.9, 300.0, 300.0, 0.0, 0.0, 0.0])
    brush = np.array([[0.5, 0.02]] * 8)
    ends = [Simulator(PushTPhysics(friction=friction)).run(start, brush)[-1] for friction in (0.0, 1.0)]
    assert abs(ends[0][2] - 300.0) < 3.0
    assert ends[1][2] > 310.0


def test_a_block_is_turned_least_at_its_centre_of_gravity():
    """Pushed sideways at one place of the stem, it turns the other way when the centre lies beyond that place."""
    start = np.array([260.0, 366.0, 300.0, 300.0, 0.0, 0.0, 0.0])
    push = np.array([[0.3, 0.0]] * 5)
    turned = [Simulator(PushTPhysics(centre_of_gravity=offset)).run(start, push)[-1, 4] for offset in (0.0, 21.0, 50.0)]
    turned = [(angle + np.pi) % (2 * np.pi) - np.pi for angle in turned]
    assert turned[0] < -0.1
    assert abs(turned[1]) < 0.05
    assert turned[2] > 0.1


def test_the_standard_parts_are_the_expert_s_tee():
    corners = np.concatenate(block_parts(PushTPhysics()))
    assert {tuple(corner) for corner in OUTLINE} <= {tuple(corner) for corner in corners}
    assert clearance(corners, np.zeros(3)).max() == 0.0


@pytest.mark.parametrize("shape", BLOCK_SHAPES)
def test_bodies_have_the_corners_that_are_drawn(shape):
    physics = PushTPhysics(block_shape=shape, block_scale=17.0)
    _, _, block = build_space(physics)
    held = {tuple(map(tuple, np.sort(np.array(part.get_vertices()), axis=0))) for part in block.shapes}
    assert held == {tuple(map(tuple, np.sort(part, axis=0))) for part in block_parts(physics)}


@given(laws)
def test_laws_survive_their_dict(physics):
    assert PushTPhysics.from_dict(json.loads(json.dumps(physics.to_dict()))) == physics
    assert PushTPhysics.from_dict({}) == PushTPhysics()


@settings(max_examples=15)
@given(laws, st.integers(0, 1000))
def test_a_state_stays_finite_under_any_laws(physics, seed):
    actions = toward_the_block(AT_REST, np.random.default_rng(seed), 12)
    assert np.isfinite(Simulator(physics).run(AT_REST, actions)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"block_scale": 99.0}, r"^physics block_scale must lie in \[10, 60\], got 99$"),
        ({"agent_radius": 0.0}, "agent_radius"),
        ({"friction": -0.1}, r"friction must lie in \[0, 2\]"),
        ({"centre_of_gravity": 61}, "centre_of_gravity"),
        ({"damping": float("nan")}, "damping must be a finite number"),
        ({"agent_gain": True}, "agent_gain must be a finite number, got True"),
        ({"agent_gain": "much"}, "finite number, got 'much'"),
        ({"block_shape": "moon"}, "unknown block_shape 'moon'; choose one of tee, small_tee"),
        ({"block_shape": ["tee"]}, "unknown block_shape"),
        ({"block_mass": 2.0}, "unknown physics option 'block_mass'; known: agent_gain"),
    ],
)
def test_bad_laws_are_refused_in_a_line(values, message):
    with pytest.raises(ValueError, match=message):
        PushTPhysics.from_dict(values)


def test_laws_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PushTPhysics().damping = 0.5
