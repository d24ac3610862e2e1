from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushjepa.pusht.geometry import LANDMARKS, OUTLINE, clearance, contacts, is_free, place, pose_error, turn, way_round

poses = st.tuples(st.floats(100, 400), st.floats(100, 400), st.floats(-7, 7)).map(np.array)
places = st.tuples(st.floats(20, 490), st.floats(20, 490)).map(np.array)


@given(poses, st.floats(-7, 7))
def test_placing_keeps_lengths_and_turning_adds_up(pose, angle):
    placed = place(OUTLINE, pose)
    for a, b in itertools.combinations(range(len(OUTLINE)), 2):
        assert math.dist(placed[a], placed[b]) == pytest.approx(math.dist(OUTLINE[a], OUTLINE[b]))
    assert turn(turn(OUTLINE, angle), -angle) == pytest.approx(OUTLINE)


@given(poses, poses)
def test_the_error_of_a_pose_is_a_distance(one, other):
    assert pose_error(one, one) == pytest.approx(0.0, abs=1e-9)
    assert pose_error(one, other) == pytest.approx(float(pose_error(other, one)))
    apart = np.linalg.norm(place(LANDMARKS, one) - place(LANDMARKS, other), axis=1).mean()
    assert pose_error(one, other) == pytest.approx(apart)
    assert pose_error(np.stack([one, other]), other).shape == (2,)


def test_clearance_knows_the_tee():
    upright = np.array([0.0, 0.0, 0.0])
    points = np.array([[0.0, -10.0], [0.0, 15.0], [0.0, 130.0], [70.0, 15.0], [25.0, 60.0], [63.0, -4.0]])
    assert clearance(points, upright) == pytest.approx([10.0, 0.0, 10.0, 10.0, 10.0, 5.0])


@given(st.floats(5, 40))
def test_contacts_lie_on_the_outline_and_their_normals_point_away(spacing):
    points, normals = contacts(spacing)
    upright = np.zeros(3)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1.0)
    assert clearance(points, upright) == pytest.approx(0.0, abs=1e-9)
    assert clearance(points + normals, upright) == pytest.approx(1.0)
    assert len(points) >= 8


@given(poses, places, places)
def test_ways_round_keep_their_distance(pose, start, end):
    margin = 18.0
    if min(clearance(start, pose), clearance(end, pose)) < margin:
        return
    way = way_round(start, end, pose, margin, -100.0, 612.0)
    assert way is not None, "on a board this large there is always one"
    assert np.array_equal(way[-1], end)
    for a, b in itertools.pairwise([start, *way]):
        assert is_free(a, b, pose, margin)


def test_no_way_leads_through_a_wall():
    lying = np.array([250.0, 250.0, 0.0])  # bar 190 ... 310, stem down to 370
    start, end = np.array([225.0, 320.0]), np.array([275.0, 320.0])
    assert way_round(start, end, lying, 8.0, 0.0, 512.0) is not None
    assert way_round(start, end, lying, 8.0, 200.0, 300.0) is None
