"""Asking a policy for its move, and for what it had in mind if it can tell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Physics
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array
from pushjepa.planning import Iteration, Plan, PlanningPolicy
from pushjepa.relay import SIDES, Observation, Policy
from pushjepa.server.aiming import FreeAgent
from pushjepa.server.messages import PlanView, TraceView

MAX_ITERATIONS = 12  #: iterations of a search that are kept; of more, evenly spaced ones and the last
MAX_CANDIDATES = 128  #: candidates of an iteration that are kept; of more, evenly spaced ones by cost


class Move(NamedTuple):
    """What a policy plays: its action block (5, 2), and from one that plans the plan behind it and its search."""

    block: Array
    plan: PlanView | None = None
    trace: tuple[TraceView, ...] = ()


def decide(policy: Policy, observation: Observation, rng: np.random.Generator, state: Array, physics: Physics) -> Move:
    """Ask ``policy`` for its move.

    Args:
        policy: who is to move.
        observation: what it sees.
        rng: its luck.
        state: (7,) the true position, only to draw the paths of its candidates from.
        physics: the laws of this turn, for the same purpose.
    """
    if not isinstance(policy, PlanningPolicy):
        return Move(policy.act(observation, rng))
    looked_at: list[Array] = []

    def remember(iteration: Iteration) -> None:
        looked_at.append(iteration.candidates[:, 0].astype(np.float64))

    plan = policy.plan(observation, rng, on_iteration=remember)
    own = 2 * SIDES.index(observation.side)
    paths = [free_paths(state[own : own + 2], blocks, physics) for blocks in looked_at]
    seen = None if observation.frames is None else min(len(observation.frames), policy.model.spec.history)
    return Move(
        plan.block,
        plan_view(plan, seen, expected_answer(plan, own, physics)),
        trace_views(plan, paths, policy.budget.elites),
    )


def expected_answer(plan: Plan, own: int, physics: Physics) -> Array | None:
    """Where the plan expects the other agent to go in its answer, (5, 2) px, from where it expects it to stand then.

    Args:
        plan: the plan.
        own: where in a state the planning agent's x stands, 0 or 2.
        physics: the laws of the match.
    """
    if plan.predicted_reply is None:
        return None
    other = 2 - own
    path: Array = free_paths(plan.predicted_end[other : other + 2], plan.predicted_reply[None], physics)[0]
    return path


def plan_view(plan: Plan, context: int | None = None, answer: Array | None = None) -> PlanView:
    """A plan as clients see it, without its search.

    Args:
        plan: the plan.
        context: how many frames its model was given.
        answer: (5, 2) where it expects the other agent to go next, px.
    """
    return PlanView(
        cost=float(plan.cost),
        cost_by_iteration=[float(cost) for cost in plan.cost_by_iteration],
        predicted=[float(value) for value in plan.predicted_end],
        ms=1000.0 * plan.seconds,
        context=context,
        reply=None if answer is None else answer.round(1).tolist(),
    )


def trace_views(plan: Plan, paths: list[Array], elites: int) -> tuple[TraceView, ...]:
    """The search behind a plan as clients see it, of bounded size; positions in tenths of a pixel.

    Args:
        plan: the plan.
        paths: for each iteration where its candidates lead, (S, 5, 2) px.
        elites: how many candidates of an iteration the next one is fitted to.
    """
    trace = plan.trace
    shown = evenly(len(trace.costs), MAX_ITERATIONS)
    return tuple(
        _iteration_view(trace.costs[i], trace.agent_ends[i], paths[i], trace.block_paths[i, :, 1:], elites)
        for i in shown
    )


def _iteration_view(costs: Array, agents: Array, paths: Array, blocks: Array, elites: int) -> TraceView:
    order = np.argsort(costs, kind="stable")
    ranks = evenly(len(costs), MAX_CANDIDATES)
    kept = np.sort(order[ranks])  # in the order in which they were drawn
    best = order[:elites]
    return TraceView(
        costs=costs[kept].round(2).tolist(),
        elites=[int(np.searchsorted(kept, index)) for index in best if index in kept],
        agents=agents[kept].round(1).tolist(),
        paths=paths[kept].round(1).tolist(),
        blocks=blocks[kept].round(1).tolist(),
    )


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` of the indices 0 ... count - 1: evenly spaced ones, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def free_paths(start: Array, blocks: Array, physics: Physics) -> Array:
    """Where action blocks (S, 5, 2) lead an agent that touches nothing, (S, 5, 2) px: its place after each step.

    Args:
        start: (2,) where it stands at rest, px.
        blocks: (S, 5, 2) actions in [-1, 1].
        physics: the laws: how fast it may go and how hard it may push itself.
    """
    agents = FreeAgent(physics, np.tile(start, (len(blocks), 1)), np.zeros((len(blocks), 2)))
    low, high = c.WALL_INSET + c.AGENT_RADIUS, c.BOARD_SIZE - c.WALL_INSET - c.AGENT_RADIUS
    places = []
    for step in range(blocks.shape[1]):
        agents.step(blocks[:, step])
        places.append(np.clip(agents.position, low, high))
    return np.stack(places, axis=1)
