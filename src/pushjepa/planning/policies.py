"""Players that imagine before they move."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics import Physics
from pushjepa.physics.geometry import Array
from pushjepa.planning.advice import Prior, Value, value_cost
from pushjepa.planning.costs import Cost, CostFactory, goal_cost, margin_cost, near_cost, push_cost
from pushjepa.planning.guard import Guard
from pushjepa.planning.imagination import Imagination, ReplyImagination
from pushjepa.planning.plan import Plan
from pushjepa.planning.replies import Opponent, Reply
from pushjepa.planning.search import Budget, Iteration, cross_entropy_search
from pushjepa.planning.simulator import SimulatorModel
from pushjepa.relay.contract import Observation, Side, last_history
from pushjepa.relay.rules import SIDES, other
from pushjepa.relay.stages import Stage
from pushjepa.runtime.contract import Context, FloatArray, WorldModel

PROPOSED = 0.5  #: share of the first iteration's candidates that a prior proposes


class PlanningPolicy:
    """A world model with a cross-entropy search over its own next turn.

    It keeps nothing between turns: a plan is a function of the observation and the random generator.

    Args:
        model: what it imagines with.
        side: its seat.
        cost: builds the cost of a turn.
        budget: how much it may look at.
        opponent: how the opponent's answer is reckoned with; None takes a turn for what it leads to alone.
        sees: "frames", or "state" for a model that encodes states.
        laws: that are believed to hold: no imagined agent may stand in their block. The standard ones if None.
        prior: a policy prior, which proposes some of the turns that the search looks at first; without one they are
            all drawn at random.
        value: a value function, which says what the end of a future is worth: :func:`value_cost` in place of ``cost``.
        guard: what judges the best plans again before one is played; None plays the cheapest.

    Raises:
        ValueError: an opponent with a guard, which would judge plans that no answers were held against, or with a
            budget in seconds, which may be over before answers count.
    """

    def __init__(
        self,
        model: WorldModel,
        side: Side,
        cost: CostFactory = push_cost,
        budget: Budget | None = None,
        opponent: Opponent | None = None,
        sees: Literal["frames", "state"] = "frames",
        laws: Physics | None = None,
        prior: Prior | None = None,
        value: Value | None = None,
        guard: Guard | None = None,
    ) -> None:
        if opponent is not None and guard is not None:
            raise ValueError("a planner that reckons with answers (+reply) can have no +guard")
        if opponent is not None and budget is not None and budget.seconds is not None:
            raise ValueError("a planner that reckons with answers needs a budget in iterations, not in seconds")
        self.model = model
        self.side: Side = side
        self.cost = cost
        self.budget = budget or Budget()
        self.opponent = opponent
        self.sees: Literal["frames", "state"] = sees
        self.laws = laws or Physics()
        self.prior, self.value, self.guard = prior, value, guard
        self.frame_size = model.spec.frame_size

    def act(self, observation: Observation, rng: np.random.Generator) -> Array:
        """The action block (5, 2) of the best plan."""
        return self.plan(observation, rng).block

    def plan(
        self,
        observation: Observation,
        rng: np.random.Generator,
        on_iteration: Callable[[Iteration], None] | None = None,
    ) -> Plan:
        """Search for the best turn.

        Args:
            observation: what the seat sees.
            rng: where the randomness comes from.
            on_iteration: told about every iteration of the search.

        Raises:
            ValueError: an observation of the other seat or without what this policy sees.
        """
        started = time.perf_counter()
        if observation.side != self.side:
            raise ValueError(f"a policy in seat {self.side} was asked to act for {observation.side}")
        imagination = self._imagination(observation)
        found = cross_entropy_search(
            imagination,
            (1, self.model.spec.frameskip, 2),
            self.budget,
            rng,
            on_iteration=on_iteration,
            costs_move=imagination.costs_move,
            proposals=self._proposals(imagination, observation.turns_left, rng),
        )
        best, cost, number = found.best, found.cost, None
        if self.guard is not None:
            number = self.guard.choose(imagination, found.last, rng)
            best, cost = found.last.candidates[number], float(found.last.costs[number])
        return Plan(
            block=best[0].astype(np.float64),
            cost=cost,
            cost_by_iteration=found.cost_by_iteration,
            trace=imagination.trace(),
            predicted_end=imagination.best_states(number)[0],
            predicted_reply=imagination.best_reply(number),
            seconds=time.perf_counter() - started,
        )

    def _imagination(self, observation: Observation) -> Imagination:
        """What scores the candidates of this turn."""
        context, actor = self._context(observation), SIDES.index(self.side)
        cost = self._cost(observation, 1)
        if self.opponent is None or observation.turns_left < 2:
            return Imagination(self.model, context, actor, cost, self.laws)
        answerer, left = other(self.side), observation.turns_left - 1
        reply = Reply(
            self.opponent,
            answerer,
            left,
            played=observation.blocks[observation.actors == 1 - actor][:, :, 1 - actor],
            own_cost=self._cost(observation, 2),
            opponent_cost=self.opponent.cost(answerer, (observation.goals[1], observation.goals[0]), left - 1),
        )
        alone = self.budget.iterations - self.opponent.rounds
        return ReplyImagination(self.model, context, actor, cost, self.laws, reply, alone)

    def _cost(self, observation: Observation, horizon: int) -> Cost:
        """What judges futures of ``horizon`` turns from here."""
        left = observation.turns_left - horizon
        if self.value is None:
            return self.cost(self.side, observation.goals, left)
        to_move = other(self.side) if horizon % 2 else self.side
        return value_cost(self.value, self.side, observation.goals, to_move, left)

    def _proposals(self, imagination: Imagination, turns_left: int, rng: np.random.Generator) -> FloatArray | None:
        """Candidates (N, 1, 5, 2) that the prior proposes."""
        if self.prior is None:
            return None
        count = math.ceil(PROPOSED * self.budget.candidates)
        return self.prior.propose(imagination.here, self.side, turns_left, count, rng)[:, None]

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


def oracle(
    side: Side, stage: Stage, budget: Budget | None = None, physics: Physics | None = None, **settings: Any
) -> PlanningPolicy:
    """The same search over the true simulator: what a perfect model would play.

    Args:
        side: its seat.
        stage: where it plays.
        budget: how much it may look at.
        physics: the laws that hold; the standard ones if None.
        settings: other arguments of :class:`PlanningPolicy`.
    """
    return PlanningPolicy(SimulatorModel(stage, physics), side, budget=budget, sees="state", laws=physics, **settings)


#: What the planners of the game search for, by the end of their names; the published search and budget is theirs all.
COSTS: dict[str, CostFactory] = {
    "": push_cost,
    "-goal": goal_cost,
    "-near": near_cost,
    "-margin": margin_cost,
    "-reply": margin_cost,
}
