"""What a planner hands back: the move, and everything that a page or a report wants to know about it."""

from __future__ import annotations

from dataclasses import dataclass

from pushjepa.physics.geometry import Array


@dataclass(frozen=True)
class Trace:
    """What the search looked at, iteration by iteration. I iterations, S candidates, H turns ahead.

    Attributes:
        block_paths: (I, S, H + 1, 2) px, the block's centre now and after each imagined turn.
        agent_ends: (I, S, 2) px, where the own agent ends.
        costs: (I, S) what each candidate costs.
    """

    block_paths: Array
    agent_ends: Array
    costs: Array


@dataclass(frozen=True)
class Plan:
    """One planned turn.

    Attributes:
        block: (5, 2) the actions to play, in [-1, 1].
        cost: what it costs.
        cost_by_iteration: (I,) the lowest cost known after each iteration; with answers that of the iteration itself.
        trace: what was looked at.
        predicted_end: (7,) the state in which the own turn is thought to end.
        predicted_reply: (5, 2) the likeliest of the answers that the plan was held against; None if there were none.
        seconds: wall-clock time it took.
    """

    block: Array
    cost: float
    cost_by_iteration: Array
    trace: Trace
    predicted_end: Array
    predicted_reply: Array | None
    seconds: float
