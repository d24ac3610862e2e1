from __future__ import annotations

import numpy as np
import pytest

from pushjepa.relay import MATCH_TURNS, STAGES, check_side, goal_distance, judge, other, side_to_move

OPEN = STAGES["open"]


def at(x, y=256.0):
    return np.array([100.0, 256.0, 412.0, 256.0, x, y, 0.0])


def test_sides_alternate_from_the_one_who_starts():
    assert [side_to_move(t, "p1") for t in range(3)] == ["p1", "p2", "p1"]
    assert [side_to_move(t, "p2") for t in range(MATCH_TURNS)] == ["p2", "p1"] * 5
    assert other(other("p1")) == "p1"


def test_an_unknown_side_is_refused():
    with pytest.raises(ValueError, match="p1, p2"):
        check_side("p3")


def test_distance_is_from_the_blocks_centre():
    assert goal_distance(at(422.0 - 30, 256.0 + 40), OPEN.goal) == pytest.approx(50.0)


@pytest.mark.parametrize(("x", "winner"), [(300.0, "p1"), (200.0, "p2"), (256.0, None), (256.4, None), (256.6, "p1")])
def test_the_nearer_goal_wins_and_one_pixel_is_a_draw(x, winner):
    assert judge(at(256.0), at(x), OPEN).winner == winner


def test_progress_counts_from_the_start_and_net_progress_is_zero_sum():
    result = judge(at(200.0), at(300.0), OPEN)
    assert result.distances == {"p1": pytest.approx(122.0), "p2": pytest.approx(210.0)}
    assert result.progress == {"p1": pytest.approx(100.0), "p2": pytest.approx(-100.0)}
    assert result.net_progress("p1") == pytest.approx(200.0) == pytest.approx(-result.net_progress("p2"))
