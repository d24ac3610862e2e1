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
from pushjepa.planning.replies import Opponent
from pushjepa.planning.search import INITIAL_STD, Budget, Iteration, cross_entropy_search
from pushjepa.planning.simulator import SimulatorModel
from pushjepa.relay.contract import Observation, Side, last_history
from pushjepa.relay.rules import SIDES
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
        own_turns: how many of its own turns it plans.
        opponent: how the opponent's turns between them are reckoned with; None imagines that it stands still.
        sees: "frames", or "state" for a model that encodes states.
        laws: that are believed to hold: no imagined agent may stand in their block. The standard ones if None.
        prior: a policy prior, which proposes some of the turns that the search looks at first; without one they are
            all drawn at random.
        value: a value function, which says what the end of a future is worth: :func:`value_cost` in place of ``cost``.
        guard: what judges the best plans again before one is played; None plays the cheapest.

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
        opponent: Opponent | None = None,
        sees: Literal["frames", "state"] = "frames",
        laws: Physics | None = None,
        prior: Prior | None = None,
        value: Value | None = None,
        guard: Guard | None = None,
    ) -> None:
        if own_turns < 1:
            raise ValueError(f"a planner plans at least its own next turn, got own_turns={own_turns}")
        self.model = model
        self.side: Side = side
        self.cost = cost
        self.budget = budget or Budget()
        self.own_turns = own_turns
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
        imagination, turns = self._imagination(observation, rng)
        shape = (turns, self.model.spec.frameskip, 2)
        start = None if warm_start is None else warm_start[:turns]
        ideas = self._proposals(imagination, observation.turns_left, shape, start, rng)
        found = cross_entropy_search(
            imagination, shape, self.budget, rng, start, on_iteration, imagination.costs_move, proposals=ideas
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
            warm_start=np.concatenate([found.mean[1:], np.zeros_like(found.mean[:1])]),
            seconds=time.perf_counter() - started,
        )

    def _imagination(self, observation: Observation, rng: np.random.Generator) -> tuple[Imagination, int]:
        """What scores the candidates of this turn, and how many own turns each has: no more than are left to play."""
        context, actor = self._context(observation), SIDES.index(self.side)
        horizon = min(2 * self.own_turns - 1, observation.turns_left)
        turns = (horizon + 1) // 2
        if self.opponent is None or horizon == 1:
            # Such a future ends with an own turn, also where the match would leave the opponent one more.
            cost = self._cost(observation, 2 * turns - 1)
            return Imagination(self.model, context, actor, cost, self.laws), turns
        cost = self._cost(observation, horizon)
        theirs = self.opponent.cost(SIDES[1 - actor], (observation.goals[1], observation.goals[0]))
        played = observation.blocks[observation.actors == 1 - actor][:, :, 1 - actor]
        draws = np.random.default_rng(rng.integers(2**63))
        looking = ReplyImagination(
            self.model, context, actor, cost, self.laws, self.opponent, theirs, played, horizon, draws
        )
        return looking, turns

    def _cost(self, observation: Observation, horizon: int) -> Cost:
        """What judges futures of ``horizon`` turns from here."""
        if self.value is None:
            return self.cost(self.side, observation.goals)
        return value_cost(self.value, self.side, observation.goals, observation.turns_left - horizon)

    def _proposals(
        self,
        imagination: Imagination,
        turns_left: int,
        shape: tuple[int, ...],
        start: FloatArray | None,
        rng: np.random.Generator,
    ) -> FloatArray | None:
        """Candidates (N, *shape) that begin with what the prior proposes and go on as the search would draw them."""
        if self.prior is None:
            return None
        count = math.ceil(PROPOSED * self.budget.candidates)
        drawn = INITIAL_STD * rng.standard_normal((count, *shape), dtype=np.float32)
        drawn += 0.0 if start is None else np.clip(start, -1.0, 1.0)
        drawn[:, 0] = self.prior.propose(imagination.here, self.side, turns_left, count, rng)
        return drawn

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


def plain_settings(budget: Budget | None = None) -> dict[str, Any]:
    """The published search, cost and budget: arguments of :class:`PlanningPolicy`."""
    return {"budget": budget or Budget()}


def goal_settings(budget: Budget | None = None) -> dict[str, Any]:
    """The published search and budget at a cost that knows of the goal alone, for ablations."""
    return {"cost": goal_cost, "budget": budget or Budget()}


def near_settings(budget: Budget | None = None) -> dict[str, Any]:
    """As :func:`margin_settings`, but content to be near to the block, for ablations."""
    return {"cost": near_cost, "budget": budget or Budget()}


def margin_settings(budget: Budget | None = None) -> dict[str, Any]:
    """The published search and budget at the cost that decides a match."""
    return {"cost": margin_cost, "budget": budget or Budget()}


def reply_settings(budget: Budget | None = None) -> dict[str, Any]:
    """What makes a planner reckon with the answer between two own turns."""
    budget = budget or Budget(candidates=64, iterations=5)
    return {"cost": margin_cost, "budget": budget, "own_turns": 2, "opponent": Opponent()}


#: What the planners of the game are, by the end of their names.
SETTINGS: dict[str, Callable[[Budget | None], dict[str, Any]]] = {
    "": plain_settings,
    "-goal": goal_settings,
    "-near": near_settings,
    "-margin": margin_settings,
    "-reply": reply_settings,
}
