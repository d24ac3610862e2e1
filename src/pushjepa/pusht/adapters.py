"""Between our world models and stable-worldmodel: its solvers, its policies, its World.

A model of ours takes a context: the latents at the last boundaries of action blocks, and the blocks between them.
stable-worldmodel's policies hand a solver the current observation only, so :class:`HistoryPolicy` keeps the past of
each environment and passes it on explicitly. :class:`BlockPlanner` is our own search as one of its solvers,
:class:`CostModel` our models as what its own solvers ask for costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushjepa.planning import Budget, Cost, Iteration, SearchResult, cross_entropy_search
from pushjepa.pusht.oracle import GoalLatent, GoalState
from pushjepa.pusht.simulator import Array
from pushjepa.pusht.stable import PlanConfig, WorldModelPolicy
from pushjepa.relay.contract import last_history
from pushjepa.runtime.contract import Context, FloatArray, WorldModel

#: From the goal's state (7,) and latent (K, D) to the cost of a rollout.
GoalCost = Callable[[Array, FloatArray], Cost]


def state_cost(state: Array, _: FloatArray) -> Cost:
    """px between decoded states: :class:`~pushjepa.pusht.oracle.GoalState`."""
    return GoalState(state)


def latent_cost(_: Array, latent: FloatArray) -> Cost:
    """Squared distance between latents at the end: :class:`~pushjepa.pusht.oracle.GoalLatent`."""
    return GoalLatent(latent)


def end_cost(state: Array, _: FloatArray) -> Cost:
    """The same px, of the plan's end alone."""
    return GoalState(state, at_end=True)


class Normaliser(Protocol):
    """What stable-worldmodel's ``process`` holds for a key."""

    def transform(self, x: NDArray[Any]) -> NDArray[Any]: ...

    def inverse_transform(self, x: NDArray[Any]) -> NDArray[Any]: ...


@dataclass(frozen=True)
class ActionNormaliser:
    """Actions at mean 0 and spread 1 over the training data, and back.

    Attributes:
        mean, std: (2,).

    Raises:
        ValueError: a spread that is not positive.
    """

    mean: Array
    std: Array

    def __post_init__(self) -> None:
        if not (np.asarray(self.std) > 0).all():
            raise ValueError(f"the spread of actions must be positive, got {np.asarray(self.std).tolist()}")

    @classmethod
    def of(cls, actions: NDArray[np.floating]) -> ActionNormaliser:
        """Of actions (M, 2); rows with NaN do not count.

        Raises:
            ValueError: no actions.
        """
        known = actions[~np.isnan(actions).any(axis=1)].astype(np.float64)
        if not len(known):
            raise ValueError("action statistics need at least one action")
        return cls(known.mean(axis=0), known.std(axis=0))

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """Actions (..., 2) or blocks of them (..., 2 n) to normalised ones."""
        return np.asarray((self._pairs(x) - self.mean) / self.std).reshape(x.shape)

    def inverse_transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """Normalised actions (..., 2), or blocks of them (..., 2 n), to what the environment takes."""
        return np.asarray(self._pairs(x) * self.std + self.mean).reshape(x.shape)

    @staticmethod
    def _pairs(x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(x, dtype=np.float64).reshape(*x.shape[:-1], -1, 2)


@dataclass
class _Past:
    """What one environment has shown and been told since its reset."""

    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    states: list[Array] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)

    def context(self, items: list[Any], history: int, frameskip: int) -> tuple[Any, FloatArray, NDArray[np.int64]]:
        """Items at the last block boundaries, counted back from now, with the blocks between; padded as training is."""
        now = len(items) - 1
        first = now % frameskip
        seen = np.stack(items[first::frameskip])
        blocks = np.array(self.actions[first:now], dtype=np.float32).reshape(-1, frameskip, 1, 2)
        past = last_history(seen, blocks, np.zeros(len(blocks), dtype=np.int64), history)
        return past.items, past.blocks.astype(np.float32), past.actors


class HistoryPolicy(WorldModelPolicy):
    """A WorldModelPolicy that tells its solver the recent past of each environment.

    To what the solver is given it adds ``history_pixels`` (B, history, H, W, 3), ``history_state`` (B, history, 7),
    ``history_blocks`` (B, history-1, frameskip, 1, 2) and ``history_actors`` (B, history-1), newest last, and which
    ``environment`` (B,) each row is of: a solver is shown only those that need a plan. Each environment has its own
    past; a reset of one leaves the others' alone.

    Args:
        solver: of stable-worldmodel, or :class:`BlockPlanner`.
        config: its ``action_block`` is the model's frameskip.
        history: boundaries that the model takes.
        process: stable-worldmodel's normalisers by key.
    """

    def __init__(
        self, solver: Any, config: PlanConfig, history: int, process: Mapping[str, Normaliser] | None = None
    ) -> None:
        super().__init__(solver, config, process=dict(process or {}))
        self.history = history
        self.past: list[_Past] = []

    def set_env(self, env: Any) -> None:
        super().set_env(env)
        self.past = [_Past() for _ in range(env.num_envs)]

    def get_action(self, info_dict: dict[str, Any], **kwargs: Any) -> NDArray[Any]:
        """Actions (B, 2) for the environments' observations; see the class."""
        resets = info_dict.get("_needs_flush")
        for index, past in enumerate(self.past):
            if resets is not None and resets[index]:
                past = self.past[index] = _Past()
            # Copies: a World writes each observation over the one before, in the same arrays.
            past.frames.append(np.array(info_dict["pixels"][index][-1]))
            past.states.append(np.array(info_dict["state"][index][-1], dtype=np.float64))
        actions = np.asarray(super().get_action(info_dict | self._histories()), dtype=np.float64)
        for past, action in zip(self.past, actions, strict=True):
            past.actions.append(action)
        return actions

    def _histories(self) -> dict[str, NDArray[Any]]:
        frameskip = self.cfg.action_block
        frames = [past.context(past.frames, self.history, frameskip) for past in self.past]
        states = [past.context(past.states, self.history, frameskip)[0] for past in self.past]
        return {
            "history_pixels": np.stack([items for items, _, _ in frames]),
            "history_state": np.stack(states),
            "history_blocks": np.stack([blocks for _, blocks, _ in frames]),
            "history_actors": np.stack([actors for _, _, actors in frames]),
            "environment": np.arange(len(self.past)),
        }


class Seen(NamedTuple):
    """What a planner works with: the context, the goal's latent (K, D), and the cost built with that goal."""

    context: Context
    goal: FloatArray
    cost: Cost


class Sight:
    """Reads the context and the goal of one environment from what a solver is given.

    Args:
        model: what encodes; one with ``frame_size`` 0 takes states instead of frames.
        cost: builds the cost from the goal.
    """

    def __init__(self, model: WorldModel, cost: GoalCost = state_cost) -> None:
        self.model, self.cost = model, cost

    def read(self, info: Mapping[str, Any], row: int, model: WorldModel | None = None) -> Seen:
        """What there is to see of environment ``row``; ``model`` encodes instead of the planner's own."""
        model = model or self.model
        past, goal = ("history_state", "goal_state") if model.spec.frame_size == 0 else ("history_pixels", "goal")
        for name in (past, goal):
            if name not in info:
                raise ValueError(f"the observation lacks {name!r}; use HistoryPolicy with a goal-conditioned World")
        seen = np.concatenate([np.asarray(info[past][row]), np.asarray(info[goal][row])[-1:]])
        latents = model.encode(seen).astype(np.float32)
        blocks, actors = np.asarray(info["history_blocks"][row]), np.asarray(info["history_actors"][row])
        cost = self.cost(model.decode(latents[-1]), latents[-1])
        return Seen(Context(latents[:-1], blocks.astype(np.float32), actors.astype(np.int64)), latents[-1], cost)


def imagine_costs(model: WorldModel, context: Context, cost: Cost, candidates: FloatArray) -> Array:
    """Costs (S,) of action blocks (S, H, frameskip, 2)."""
    latents = model.rollout(context, candidates[:, :, :, None], np.zeros(candidates.shape[1], dtype=np.int64))
    return cost(model.decode(latents), latents)


class Proposer(Protocol):
    """A world model with an action prior."""

    def propose(
        self, context: Context, goal: FloatArray, count: int, horizon: int, rng: np.random.Generator
    ) -> FloatArray:
        """Plans (count, horizon, frameskip, 2) on the way to a goal (K, D), the likeliest first."""
        ...


@runtime_checkable
class Beginner(WorldModel, Protocol):
    """A world model that can be told where its futures begin."""

    @property
    def begins_elsewhere(self) -> bool:
        """Whether this one can: not every model of its kind may."""
        ...

    def rollout_from(self, starts: Array, context: Context, candidates: FloatArray) -> FloatArray:
        """Imagine candidates (S, H, frameskip, 1, 2), each begun in its own state (S, 5), to latents (S, H, K, D)."""
        ...


@dataclass(frozen=True)
class Doubt:
    """How far from where it is read in a frame the state is thought to lie when a plan is searched for.

    Whether a push that was aimed at an edge meets it can hang on a single pixel. A search that takes the start as it
    is read finds plans which need that pixel; one whose candidates begin each from another draw of the start comes to
    prefer plans that work from all of them (domain randomisation, for a search instead of a policy). The draws also
    let a candidate win by luck, so that the best of the last three iterations, and the mean of the last elites, are
    judged again, each as the mean over many draws.

    Attributes:
        agent_px, block_px: standard deviations of each coordinate.
        angle_deg: and of the block's angle.
        finalists: candidates that are judged again.
        draws: starts that each of them is judged from, the same ones for all.
    """

    agent_px: float = 1.5
    block_px: float = 1.0
    angle_deg: float = 0.4
    finalists: int = 40
    draws: int = 24

    def draw(self, state: Array, count: int, rng: np.random.Generator) -> Array:
        """States (count, 5) about one that was read (5,)."""
        scale = [self.agent_px, self.agent_px, self.block_px, self.block_px, np.radians(self.angle_deg)]
        return np.asarray(state + scale * rng.standard_normal((count, 5)))


_LAST = 3  # iterations whose candidates may become finalists


class BlockPlanner:
    """Our cross-entropy search over action blocks as a solver of stable-worldmodel.

    Args:
        model: what imagines.
        budget: how much it may look at; None to play the prior's likeliest plan and search nothing.
        seed: of the draws. The draws of one environment depend on the seed and on how many plans were asked for.
        cost: builds the cost from the goal.
        spread: of the first iteration's draws.
        prior: proposes plans for the first iteration; None to begin with noise alone.
        share: of the first iteration's candidates that the prior proposes.
        smallest: the spread of the draws falls no further.
        doubt: of the state that a plan begins in; None to take it as it is read.

    Attributes:
        models: what imagines, and proposes if there is a prior, in each environment, where that is not the same for
            all: in an adaptive policy each has a mind of its own.

    Raises:
        ValueError: neither a budget nor a prior, or a doubt with a model whose futures cannot be begun elsewhere.
    """

    def __init__(
        self,
        model: WorldModel,
        budget: Budget | None,
        seed: int = 0,
        cost: GoalCost = state_cost,
        spread: float = 1.0,
        prior: Proposer | None = None,
        share: float = 0.5,
        smallest: float = 0.01,
        doubt: Doubt | None = None,
    ) -> None:
        if budget is None and prior is None:
            raise ValueError("without a budget to search with there must be a prior")
        if doubt is not None and not (isinstance(model, Beginner) and model.begins_elsewhere):
            raise ValueError("this model's futures begin where it reads its frames; plan without doubt")
        self.model, self.budget, self.spread, self.prior, self.share = model, budget, spread, prior, share
        self.smallest, self.doubt = smallest, doubt
        self.sight = Sight(model, cost)
        self.rng = np.random.default_rng(seed)
        self.models: Sequence[WorldModel] | None = None
        self._config: PlanConfig | None = None
        self._n_envs = 0

    def configure(self, *, action_space: gym.Space[Any], n_envs: int, config: PlanConfig) -> None:
        if config.action_block != self.model.spec.frameskip:
            raise ValueError(f"the model's blocks have {self.model.spec.frameskip} steps, not {config.action_block}")
        self._config, self._n_envs = config, n_envs

    @property
    def action_dim(self) -> int:
        return 2 * self.model.spec.frameskip

    @property
    def n_envs(self) -> int:
        return self._n_envs

    @property
    def horizon(self) -> int:
        assert self._config is not None, "a solver is configured by its policy"
        return int(self._config.horizon)

    def __call__(self, info_dict: dict[str, Any], init_action: Tensor | None = None) -> dict[str, Any]:
        return self.solve(info_dict, init_action)

    def solve(self, info_dict: dict[str, Any], init_action: Tensor | None = None) -> dict[str, Any]:
        """Plans for B environments: ``actions`` (B, H, 2 * frameskip) in [-1, 1], and the ``costs`` (B,) of them."""
        count = len(info_dict["history_blocks"])
        shape = (self.horizon, self.model.spec.frameskip, 2)
        plans, costs = np.empty((count, *shape), dtype=np.float32), []
        for row in range(count):
            start = np.zeros(shape, dtype=np.float32)
            if init_action is not None:
                known = np.asarray(init_action[row], dtype=np.float32).reshape(-1, *shape[1:])
                start[: len(known)] = known
            model = None if self.models is None else self.models[int(info_dict["environment"][row])]
            plans[row], cost = self.plan(self.sight.read(info_dict, row, model), start, model)
            costs.append(cost)
        return {"actions": torch.from_numpy(plans.reshape(count, shape[0], -1)), "costs": costs}

    def plan(self, seen: Seen, start: FloatArray, model: WorldModel | None = None) -> tuple[FloatArray, float]:
        """A plan (H, frameskip, 2) for what is seen, searched for about ``start`` of the same shape, and its cost.

        ``model`` imagines and proposes instead of the planner's own.
        """
        judge = partial(imagine_costs, model or self.model, seen.context, seen.cost)
        count = 1 if self.budget is None else round(self.share * self.budget.candidates)
        prior = self.prior if self.prior is None or model is None else cast(Proposer, model)
        ideas = None if prior is None else prior.propose(seen.context, seen.goal, count, len(start), self.rng)
        if self.budget is None:
            assert ideas is not None
            return ideas[0], float(judge(ideas)[0])
        search = partial(
            cross_entropy_search,
            shape=start.shape,
            budget=self.budget,
            rng=self.rng,
            warm_start=start,
            spread=self.spread,
            proposals=ideas,
            smallest=self.smallest,
        )
        if self.doubt is not None and model is None:
            assert isinstance(self.model, Beginner)
            return _search_in_doubt(search, self.model, seen, self.doubt, self.rng.spawn(1)[0])
        found = search(judge)
        return found.best, found.cost


def _search_in_doubt(
    search: Callable[..., SearchResult], model: Beginner, seen: Seen, doubt: Doubt, rng: np.random.Generator
) -> tuple[FloatArray, float]:
    """The plan that is cheapest on average over where it may begin, and that average; see :class:`Doubt`."""
    read = model.decode(seen.context.latents[-1])

    def judge(candidates: FloatArray, starts: Array | None = None) -> Array:
        begun = doubt.draw(read, len(candidates), rng) if starts is None else starts
        latents = model.rollout_from(begun, seen.context, candidates[:, :, :, None])
        return seen.cost(model.decode(latents), latents)

    tried: deque[Iteration] = deque(maxlen=_LAST)
    found = search(judge, on_iteration=tried.append, costs_move=True)
    new = [slice(1 if number else 0, None) for number in range(len(tried))]  # first stands the best of the one before
    costs = np.concatenate([iteration.costs[rows] for iteration, rows in zip(tried, new, strict=True)])
    candidates = np.concatenate([iteration.candidates[rows] for iteration, rows in zip(tried, new, strict=True)])
    finalists = candidates[np.argsort(costs, kind="stable")[: doubt.finalists]]
    finalists = np.concatenate([finalists, found.mean[None]])
    starts = np.tile(doubt.draw(read, doubt.draws, rng), (len(finalists), 1))
    costs = judge(np.repeat(finalists, doubt.draws, axis=0), starts).reshape(-1, doubt.draws).mean(axis=1)
    return finalists[costs.argmin()], float(costs.min())


class CostModel:
    """Our world model as what stable-worldmodel's solvers ask for costs.

    Args:
        model: what imagines.
        normaliser: of the actions that the solver draws; None if it draws them as the environment takes them.
        cost: builds the cost from the goal.
    """

    def __init__(
        self, model: WorldModel, normaliser: ActionNormaliser | None = None, cost: GoalCost = state_cost
    ) -> None:
        self.model, self.normaliser = model, normaliser
        self.sight = Sight(model, cost)

    def get_cost(self, info_dict: dict[str, Any], action_candidates: Tensor) -> Tensor:
        """Costs (B, S) of normalised action blocks (B, S, H, 2 * frameskip); what is told is repeated over S."""
        drawn = np.asarray(action_candidates.cpu(), dtype=np.float64)
        if self.normaliser is not None:
            drawn = self.normaliser.inverse_transform(drawn)
        blocks = np.clip(drawn, -1.0, 1.0).astype(np.float32)
        blocks = blocks.reshape(*blocks.shape[:3], self.model.spec.frameskip, 2)
        once = {name: value[:, 0] for name, value in info_dict.items() if name.startswith(("history_", "goal"))}
        costs = []
        for row in range(len(blocks)):
            seen = self.sight.read(once, row)
            costs.append(imagine_costs(self.model, seen.context, seen.cost, blocks[row]))
        return torch.from_numpy(np.stack(costs)).to(action_candidates)

    def criterion(self, info_dict: dict[str, Any], action_candidates: Tensor) -> Tensor:
        """The same costs, under the other name of the protocol."""
        return self.get_cost(info_dict, action_candidates)
