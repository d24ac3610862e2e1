"""What a surprise is made of, on numbers small enough for a piece of paper."""

from __future__ import annotations

import numpy as np
import pytest

from pushjepa.adaptation.records import ARM, Record, points_of


def record(predicted, seen, before, predicted_state, seen_state):
    latents = (np.array(part, dtype=np.float32) for part in (predicted, seen))
    return Record(1, *latents, *(np.array(part, dtype=np.float64) for part in (before, predicted_state, seen_state)))


def test_points_are_the_places_and_the_arm_s_end():
    points = points_of(np.array([10.0, 20.0, 100.0, 200.0, np.pi / 2]))
    assert points == pytest.approx(np.array([[10, 20], [100, 200], [100, 200 + ARM]]))


def test_points_of_the_game_s_state_have_both_agents():
    states = np.zeros((2, 3, 7))
    states[..., 4:6] = 50.0
    assert points_of(states).shape == (2, 3, 4, 2)
    assert points_of(states)[1, 2, 3] == pytest.approx([50 + ARM, 50])


def test_a_slot_is_as_surprising_as_the_mean_square_of_its_error():
    found = record([[1, 2], [0, 0]], [[1, 0], [3, 0]], np.zeros(5), np.zeros(5), np.zeros(5)).surprise()
    assert found.slots == pytest.approx([2.0, 4.5])


def test_a_pair_is_as_surprising_as_the_error_of_its_difference():
    # Slot 0 is off by (0, 2), slot 1 by (-3, 0): their difference by (3, 2), the mean square of which is 6.5.
    found = record([[1, 2], [0, 0]], [[1, 0], [3, 0]], np.zeros(5), np.zeros(5), np.zeros(5)).surprise()
    assert found.pairs == pytest.approx(np.array([[2.0, 3.25], [3.25, 4.5]]))


def test_two_slots_that_are_off_alike_stand_to_each_other_as_foreseen():
    found = record([[1, 2], [4, 5]], [[0, 0], [3, 3]], np.zeros(5), np.zeros(5), np.zeros(5)).surprise()
    assert found.pairs[0, 1] == 0.0
    assert found.slots == pytest.approx([2.5, 2.5])


def test_px_is_the_mean_distance_of_the_points():
    # The agent is off by 5 px, the block and with it its arm by 12: (5 + 12 + 12) / 3.
    found = record([[0]], [[0]], np.zeros(5), [3, 4, 0, 12, 0], np.zeros(5)).surprise()
    assert found.px == pytest.approx(29 / 3)


def test_a_turned_block_is_off_at_its_arm_alone():
    found = record([[0]], [[0]], np.zeros(5), [0, 0, 0, 0, np.pi], np.zeros(5)).surprise()
    assert found.px == pytest.approx(2 * ARM / 3)


@pytest.mark.parametrize(("shift", "contact"), [(2.9, False), (3.1, True)])
def test_contact_is_what_was_predicted_not_what_was_seen(shift, contact):
    predicted, seen = [0, 0, shift, 0, 0], [0, 0, 50, 0, 0]
    assert record([[0]], [[0]], np.zeros(5), predicted, seen).surprise().contact is contact
    assert record([[0]], [[0]], np.zeros(5), np.zeros(5), seen).surprise().contact is False
