from __future__ import annotations

import numpy as np
import pytest

from pushjepa.relay import MatchResult
from pushjepa.server.messages import PlanView
from pushjepa.server.session import Turn
from pushjepa.server.telemetry import push_ratio, state_error, turn_telemetry

BEFORE = np.array([100.0, 100.0, 400.0, 400.0, 250.0, 250.0, 3.0])
AFTER = np.array([150.0, 100.0, 400.0, 400.0, 290.0, 280.0, -3.0])  # the block went (40, 30): 50 px
NOWHERE = MatchResult(None, {"p1": 0.0, "p2": 0.0}, {"p1": 0.0, "p2": 0.0})


def turn(side="p1", predicted=None, after=AFTER):
    plan = None
    if predicted is not None:
        plan = PlanView(cost=1.0, cost_by_iteration=[1.0], predicted=list(predicted), ms=12.5, context=2)
    return Turn(0, side, np.zeros((5, 2)), BEFORE, np.tile(after, (5, 1)), (NOWHERE,) * 5, plan)


def test_a_right_prediction_has_no_error_and_a_push_ratio_of_one():
    found = turn_telemetry(turn(predicted=AFTER))
    errors = (found.block_error, found.agent_error, found.waiter_error, found.angle_error)
    assert errors == (0.0, 0.0, 0.0, 0.0)
    assert found.push_ratio == pytest.approx(1.0)
    assert (found.block_moved, found.ms, found.context) == (50.0, 12.5, 2)


@pytest.mark.parametrize(("side", "agent", "waiter"), [("p1", 5.0, 13.0), ("p2", 13.0, 5.0)])
def test_each_error_is_that_of_its_own_body(side, agent, waiter):
    off = np.array([3.0, 4.0, 5.0, 12.0, 8.0, -6.0, np.radians(10)])
    found = turn_telemetry(turn(side, AFTER + off))
    assert (found.agent_error, found.waiter_error) == pytest.approx((agent, waiter))
    assert found.block_error == pytest.approx(10.0)
    assert found.angle_error == pytest.approx(10.0)


def test_angles_are_compared_the_short_way_round():
    assert state_error(BEFORE, AFTER).angle == pytest.approx(np.degrees(2 * np.pi - 6.0))


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [((40, 30), 1.0), ((20, 15), 0.5), ((0, 0), 0.0), ((-40, -30), -1.0), ((30, -40), 0.0), ((80, 60), 2.0)],
)
def test_the_push_ratio_is_the_share_of_the_true_push_that_was_foreseen(predicted, expected):
    thought = BEFORE.copy()
    thought[4:6] += predicted
    assert push_ratio(BEFORE, thought, AFTER) == pytest.approx(expected)


def test_a_block_that_hardly_moved_has_no_push_ratio():
    still, moved = BEFORE.copy(), BEFORE.copy()
    still[4] += 10.0
    moved[4] += 10.001
    assert push_ratio(BEFORE, AFTER, still) is None
    assert push_ratio(BEFORE, AFTER, moved) is not None


def test_without_a_plan_only_the_push_is_known():
    found = turn_telemetry(turn())
    assert found.model_dump(exclude_none=True) == {"block_moved": 50.0}
