"""Asking an opponent for its move, and for what it had in mind if it can tell."""

from __future__ import annotations

import numpy as np

from pushjepa.physics.geometry import Array
from pushjepa.planning import Plan, PlanningPolicy
from pushjepa.relay import Observation, Policy
from pushjepa.server.messages import PlanView, TraceView


def decide(policy: Policy, observation: Observation, rng: np.random.Generator) -> tuple[Array, PlanView | None]:
    """The action block (5, 2) that ``policy`` plays and, from a policy that plans, the plan behind it."""
    if not isinstance(policy, PlanningPolicy):
        return policy.act(observation, rng), None
    plan = policy.plan(observation, rng)
    return plan.block, plan_view(plan)


def plan_view(plan: Plan) -> PlanView:
    """A plan as clients see it; positions of the trace in tenths of a pixel, which is all that drawing needs."""
    trace = plan.trace
    iterations = [
        TraceView(costs=costs.round(2).tolist(), agents=agents.round(1).tolist(), blocks=paths[:, 1:].round(1).tolist())
        for costs, agents, paths in zip(trace.costs, trace.agent_ends, trace.block_paths, strict=True)
    ]
    return PlanView(
        cost=float(plan.cost),
        cost_by_iteration=[float(cost) for cost in plan.cost_by_iteration],
        predicted=[float(value) for value in plan.predicted_end],
        trace=iterations,
        ms=1000.0 * plan.seconds,
    )
