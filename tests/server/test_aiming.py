from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushjepa.physics import Board, Physics
from pushjepa.server.aiming import FreeAgent, waypoints_to_block

START = np.array([60.0, 60.0])
PLACES = st.tuples(st.floats(0, 512), st.floats(0, 512))


def path(waypoints, physics=Physics(), start=START):
    """Where a real board takes the agent: (5, 2), with everything else far away."""
    state = np.array([*start, 450.0, 450.0, 300.0, 300.0, 0.3])
    return Board((), physics).run_turn(state, "p1", waypoints_to_block(start, waypoints, physics))[:, :2]


def test_a_far_waypoint_is_headed_for_at_full_speed():
    block = waypoints_to_block(START, [(500.0, 60.0)], Physics())
    np.testing.assert_array_equal(block, [[1.0, 0.0]] * 5)


def test_the_larger_component_is_capped_and_the_direction_kept():
    block = waypoints_to_block(START, [(460.0, 260.0)], Physics())
    np.testing.assert_allclose(block, [[1.0, 0.5]] * 5, atol=0.02)
    assert block.max() == 1.0


def test_standing_still_is_a_block_of_zeros():
    assert not waypoints_to_block(START, [(60.0, 60.0)], Physics()).any()


@pytest.mark.parametrize(("legs", "expected"), [(1, [0] * 5), (2, [0, 0, 0, 1, 1]), (3, [0, 0, 1, 1, 2])])
def test_steps_are_shared_over_the_legs(legs, expected):
    directions = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)]
    far, corner = [], START
    for dx, dy in directions[:legs]:
        corner = np.clip(corner + 400 * np.array([dx, dy]), 0, 512)
        far.append(tuple(corner))
    block = waypoints_to_block(START, far, Physics())
    # The first step of each leg turns towards its way-point.
    headings = block / np.linalg.norm(block, axis=1, keepdims=True)
    turned = [bool(np.dot(headings[i], headings[i - 1]) < 0.99) for i in range(1, 5)]
    assert turned == [expected[i] != expected[i - 1] for i in range(1, 5)]


@pytest.mark.parametrize("target", [(100.0, 60.0), (160.0, 60.0), (240.0, 60.0), (120.0, 120.0), (200.0, 100.0)])
def test_a_waypoint_within_reach_is_reached_on_the_real_board(target):
    np.testing.assert_allclose(path([target])[-1], target, atol=0.2)


def test_the_agent_slows_down_and_does_not_overshoot():
    xs = path([(160.0, 60.0)])[:, 0]
    assert (np.diff(xs) >= 0).all()
    assert xs.max() <= 160.0 + 1e-9


def test_every_leg_ends_at_its_waypoint():
    trail = path([(100.0, 60.0), (100.0, 100.0)])
    np.testing.assert_allclose(trail[2], (100.0, 60.0), atol=0.2)
    np.testing.assert_allclose(trail[4], (100.0, 100.0), atol=3.0)


def test_other_laws_of_physics_are_reckoned_with():
    slow = Physics(agent_speed=200.0, damping=0.9)
    np.testing.assert_allclose(path([(120.0, 60.0)], slow)[-1], (120.0, 60.0), atol=0.2)
    assert path([(300.0, 60.0)], slow)[-1, 0] < 60 + 5 * 20


@settings(max_examples=40)
@given(st.lists(PLACES, min_size=1, max_size=3), PLACES)
def test_any_waypoints_give_a_legal_block(waypoints, start):
    block = waypoints_to_block(np.array(start), waypoints, Physics())
    assert block.shape == (5, 2)
    assert (np.abs(block) <= 1.0).all()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(100, 200), st.floats(100, 200)), min_size=1, max_size=3))
def test_the_free_agent_moves_as_on_the_board(waypoints):
    start = np.array([150.0, 150.0])
    agent = FreeAgent(Physics(), start, np.zeros(2))
    trail = []
    for action in waypoints_to_block(start, waypoints, Physics()):
        agent.step(action)
        trail.append(agent.position)
    state = np.array([*start, 450.0, 450.0, 400.0, 400.0, 0.3])
    board = Board().run_turn(state, "p1", waypoints_to_block(start, waypoints, Physics()))
    np.testing.assert_allclose(trail, board[:, :2], atol=1e-6)


@pytest.mark.parametrize(
    ("waypoints", "words"),
    [
        ([], "1 to 3 way-points"),
        ([(1.0, 1.0)] * 4, "1 to 3 way-points"),
        ([(float("nan"), 1.0)], "finite"),
        ([(600.0, 1.0)], "on the board"),
        ([(-1.0, 1.0)], "on the board"),
    ],
)
def test_bad_waypoints_are_refused_in_one_line(waypoints, words):
    with pytest.raises(ValueError, match=words) as caught:
        waypoints_to_block(START, waypoints, Physics())
    assert "\n" not in str(caught.value)
