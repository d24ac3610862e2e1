"""What a turn shows of its player: how well its plan foresaw it. Pure functions of states and plans."""

from __future__ import annotations

import numpy as np

from pushjepa.data import MOVED
from pushjepa.physics import wrap_angle
from pushjepa.physics.geometry import Array
from pushjepa.server.messages import DecodeError, Telemetry
from pushjepa.server.session import Turn


def turn_telemetry(turn: Turn) -> Telemetry:
    """The figures of a turn; those about a plan are None where there was none."""
    true, before, plan = turn.states[-1], turn.before, turn.plan
    moved = float(np.hypot(*(true - before)[4:6]))
    if plan is None:
        return Telemetry(
            context=None,
            ms=None,
            block_moved=moved,
            block_error=None,
            agent_error=None,
            waiter_error=None,
            angle_error=None,
            push_ratio=None,
        )
    predicted = np.array(plan.predicted)
    error = state_error(predicted, true)
    agent, waiter = (error.p1, error.p2) if turn.side == "p1" else (error.p2, error.p1)
    return Telemetry(
        context=plan.context,
        ms=plan.ms,
        block_moved=moved,
        block_error=error.block,
        agent_error=agent,
        waiter_error=waiter,
        angle_error=error.angle,
        push_ratio=push_ratio(before, predicted, true),
    )


def state_error(found: Array, true: Array) -> DecodeError:
    """How far a state (7,) is from the true one: px, px, px and degrees."""
    off = found - true
    return DecodeError(
        p1=float(np.hypot(*off[0:2])),
        p2=float(np.hypot(*off[2:4])),
        block=float(np.hypot(*off[4:6])),
        angle=float(np.degrees(np.abs(wrap_angle(off[6])))),
    )


def push_ratio(before: Array, predicted: Array, true: Array) -> float | None:
    """How much of the block's true displacement, from where it truly was, was predicted: 1 is right.

    The same measure as in calibration, of one turn. None for a turn that moved the block by ``MOVED`` px or less.

    Args:
        before: (7,) the state before the turn.
        predicted: (7,) the state in which it was thought to end.
        true: (7,) the state in which it ended.
    """
    went = (true - before)[4:6]
    squared = float(went @ went)
    if squared <= MOVED**2:
        return None
    return float((predicted - before)[4:6] @ went) / squared
