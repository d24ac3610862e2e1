"""Players that imagine before they move."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Physics
from pushjepa.physics.geometry import Array
from pushjepa.planning.costs import Cost, CostFactory, push_cost
from pushjepa.planning.overlap import push_agents_out
from pushjepa.planning.plan import Plan, Trace
from pushjepa.planning.search import Budget, Iteration, cross_entropy_search
from pushjepa.planning.simulator import SimulatorModel
from pushjepa.relay.contract import Observation, Side, last_history
from pushjepa.relay.rules import SIDES
from pushjepa.relay.stages import Stage
from pushjepa.runtime.contract import Context, FloatArray, WorldModel


class PlanningPolicy:
    """A world model with a cross-entropy search over its own next turn.

    It keeps nothing between turns: a plan is a function of the observation and the random generator.

    Args:
        model: what it imagines with.
        side: its seat.
        cost: builds the cost of a turn.
        budget: how much it may look at.
        own_turns: how many of its own turns it plans; between them the opponent is imagined to stand still.
        sees: "frames", or "state" for a model that encodes states.

    Raises:
        ValueError: own_turns under 1.
    """

    def __init__(
        self,
        model: WorldModel,
        side: Side,
        cost: CostFactory = push_cost,
        budget: Budget | None = None,
        own_turns: int = 1,
        sees: Literal["frames", "state"] = "frames",
    ) -> None:
        if own_turns < 1:
            raise ValueError(f"a planner plans at least its own next turn, got own_turns={own_turns}")
        self.model = model
        self.side: Side = side
        self.cost = cost
        self.budget = budget or Budget()
        self.own_turns = own_turns
        self.sees: Literal["frames", "state"] = sees
        self.frame_size = model.spec.frame_size

    def act(self, observation: Observation, rng: np.random.Generator) -> Array:
        """The action block (5, 2) of the best plan."""
        return self.plan(observation, rng).block

    def plan(
        self,
        observation: Observation,
        rng: np.random.Generator,
        warm_start: FloatArray | None = None,
        on_iteration: Callable[[Iteration], None] | None = None,
    ) -> Plan:
        """Search for the best turn.

        Args:
            observation: what the seat sees.
            rng: where the randomness comes from.
            warm_start: an earlier plan's, to search around.
            on_iteration: told about every iteration of the search.

        Raises:
            ValueError: an observation of the other seat or without what this policy sees.
        """
        started = time.perf_counter()
        if observation.side != self.side:
            raise ValueError(f"a policy in seat {self.side} was asked to act for {observation.side}")
        context = self._context(observation)
        actor = SIDES.index(self.side)
        imagination = _Imagination(self.model, context, actor, self.cost(self.side, observation.goals))
        # Never further than the match lasts.
        horizon = min(self.own_turns, (observation.turns_left + 1) // 2)
        shape = (horizon, self.model.spec.frameskip, 2)
        start = None if warm_start is None else warm_start[:horizon]
        found = cross_entropy_search(imagination, shape, self.budget, rng, start, on_iteration)
        return Plan(
            block=found.best[0].astype(np.float64),
            cost=found.cost,
            cost_by_iteration=found.cost_by_iteration,
            trace=imagination.trace(),
            predicted_end=imagination.best_states()[0],
            predicted_reply=None,
            warm_start=np.concatenate([found.mean[1:], np.zeros_like(found.mean[:1])]),
            seconds=time.perf_counter() - started,
        )

    def _context(self, observation: Observation) -> Context:
        """Encode the newest frames (each once) and pad them to the model's history."""
        seen = self._seen(observation)
        length = self.model.spec.history
        recent = seen[-length:]
        first = len(observation.blocks) - (len(recent) - 1)
        latents = self.model.encode(recent)
        past = last_history(latents, observation.blocks[first:], observation.actors[first:], length)
        return Context(past.items.astype(np.float32), past.blocks, past.actors)

    def _seen(self, observation: Observation) -> NDArray[Any]:
        """Frames (T, H, W, 3) of the match so far, or the state now (1, 7)."""
        if self.sees == "state":
            if observation.state is None:
                raise ValueError("this policy needs an observation with the state")
            return observation.state.to_array()[None]
        if observation.frames is None:
            raise ValueError("this policy needs an observation with frames")
        return observation.frames


class _Imagination:
    """Scores candidates with the model, and remembers for the trace of one plan what it saw."""

    def __init__(self, model: WorldModel, context: Context, actor: int, cost: Cost) -> None:
        self.model, self.context, self.actor, self.cost = model, context, actor, cost
        self.states: list[Array] = []  # (S, H, 7) of each iteration
        self.costs: list[Array] = []  # (S,) of each iteration

    def __call__(self, candidates: FloatArray) -> Array:
        """Costs (S,) of own action blocks (S, N, 5, 2)."""
        joint, actors = joint_candidates(candidates, self.actor)
        latents = self.model.rollout(self.context, joint, actors)  # (S, H, K, D)
        states = push_agents_out(self.model.decode(latents))  # (S, H, 7)
        costs = self.cost(states, latents)
        self.states.append(states)
        self.costs.append(costs)
        return costs

    def best_states(self) -> Array:
        """The states (H, 7) that the cheapest candidate of all leads to."""
        costs = np.stack(self.costs)
        iteration, candidate = divmod(int(np.argmin(costs)), costs.shape[1])
        best: Array = self.states[iteration][candidate]
        return best

    def trace(self) -> Trace:
        """Everything that was looked at."""
        costs, states = np.stack(self.costs), np.stack(self.states)  # (I, S), (I, S, H, 7)
        here = self.model.decode(self.context.latents[-1])[4:6]
        start = np.broadcast_to(here, (*costs.shape, 1, 2))
        own = 2 * self.actor
        return Trace(np.concatenate([start, states[..., 4:6]], axis=2), states[:, :, -1, own : own + 2], costs)


def joint_candidates(own: FloatArray, actor: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Own action blocks (S, N, 5, 2) to joint ones (S, 2 N - 1, 5, 2 agents, 2) and who acts in each (2 N - 1,).

    The opponent's turns between the own ones are all zeros, and so is the waiting agent in every block.
    """
    count, turns, steps, _ = own.shape
    joint = np.zeros((count, 2 * turns - 1, steps, len(SIDES), 2), dtype=np.float32)
    joint[:, ::2, :, actor] = own
    actors = np.full(2 * turns - 1, actor, dtype=np.int64)
    actors[1::2] = 1 - actor
    return joint, actors


def oracle(side: Side, stage: Stage, budget: Budget | None = None, physics: Physics | None = None) -> PlanningPolicy:
    """The same search, cost and budget over the true simulator: what a perfect model would play."""
    return PlanningPolicy(SimulatorModel(stage, physics), side, budget=budget, sees="state")
