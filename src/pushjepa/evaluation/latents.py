"""Latent planning error on Push-T: how near to the goal's latent a plan leads that is carried out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.evaluation.results import Row
from pushjepa.evaluation.statistics import bootstrap_mean, bootstrap_ratio
from pushjepa.pusht.adapters import BlockPlanner, GoalCost, Seen, end_cost, latent_cost, state_cost
from pushjepa.pusht.model import PushTModel
from pushjepa.pusht.scene import PushTScene
from pushjepa.pusht.simulator import Array, Simulator
from pushjepa.pusht.tasks import ExpertData, Search
from pushjepa.relay.contract import last_history
from pushjepa.runtime.contract import Context, FloatArray

Progress = Callable[[int, int], None]  #: (plans done, in all)
_CHUNK = 32  # frames: on a CPU more are slower, since their features leave the caches
COSTS = {"latent": latent_cost, "end": end_cost, "state": state_cost}  #: what can be planned with
_SPREAD_FRAMES = 2000  # held-out frames that say how far each latent dimension ranges


@dataclass(frozen=True)
class Reached:
    """How far from the goal's latent some ways of acting ended: squared distance, each dimension at spread 1, its mean.

    Attributes:
        planned, random, expert, still: (N,) after a plan, random actions, the expert's own, and none.
        seconds: (N,) of each plan.
    """

    planned: NDArray[np.float64]
    random: NDArray[np.float64]
    expert: NDArray[np.float64]
    still: NDArray[np.float64]
    seconds: NDArray[np.float64]


def reach_goals(
    model: PushTModel,
    data: ExpertData,
    *,
    goal_offset: int = 25,
    episodes: int = 50,
    seed: int = 0,
    search: Search | None = None,
    with_prior: bool = False,
    cost: GoalCost = latent_cost,
    progress: Progress | None = None,
) -> Reached:
    """Plan once for each of some held-out tasks, carry the plan out in the simulator, and look where it ended.

    A task begins in the middle of a trajectory, and the planner knows what was seen and done there until then, as far
    back as the model looks.

    Args:
        model: what plans and what encodes.
        data: held-out trajectories.
        goal_offset: env steps between start and goal on a trajectory; all that a plan covers is played.
        episodes: tasks.
        seed: of the tasks, the random actions and the search.
        search: candidates, iterations and horizon; the published ones if None.
        with_prior: begin with the action prior's plans.
        cost: what is planned with.
        progress: told (done, in all).

    Raises:
        ValueError: too few trajectories that are long enough, or such as the model learned from.
    """
    data.refuse_seen(model.learned, "the model")
    search = search or Search()
    prior = model if with_prior else None
    planner = BlockPlanner(
        model,
        search.budget,
        seed,
        cost,
        prior=prior,
        share=search.share,
        smallest=search.smallest,
        doubt=search.doubt,
    )
    tasks = data.draw_tasks(episodes, goal_offset, goal_offset, seed)
    rng, course = np.random.default_rng([seed, 1]), _Course(model, data, seed)
    shape = (search.horizon, model.spec.frameskip, 2)
    ends: list[list[float]] = []
    for number, (episode, row) in enumerate(zip(tasks.episodes.tolist(), tasks.starts.tolist(), strict=True)):
        states, actions = data.trajectory(episode)
        start, goal = states[row], states[row + goal_offset]
        seen, begun = course.look(states[: row + 1], actions[:row], goal, cost), time.perf_counter()
        plan, _ = planner.plan(seen, np.zeros(shape, dtype=np.float32))
        seconds = time.perf_counter() - begun
        ways = (plan.reshape(-1, 2), rng.uniform(-1.0, 1.0, (plan.size // 2, 2)), actions[row : row + goal_offset])
        reached = [course.simulator.run(start, way)[-1] for way in ways]
        ends.append([*course.errors(np.stack([*reached, start]), seen.goal), seconds])
        if progress is not None:
            progress(number + 1, episodes)
    return Reached(*np.array(ends).T)


def summarise_reached(reached: Reached, rng: np.random.Generator) -> Row:
    """``latent_error`` of plans beside ``random_latent_error``: mean with interval, median, max; and their ratio.

    ``distance_ratio`` is the ratio of the mean roots of these squares.
    """
    row: Row = {"n": len(reached.planned)}
    columns = {
        "latent_error": reached.planned,
        "random_latent_error": reached.random,
        "expert_latent_error": reached.expert,
        "still_latent_error": reached.still,
    }
    for name, values in columns.items():
        mean = bootstrap_mean(values, rng)
        row |= {name: mean.value, f"{name}_ci": mean.ci}
        row |= {f"{name}_median": float(np.median(values)), f"{name}_max": float(values.max())}
    ratio = bootstrap_ratio(reached.random, reached.planned, rng)
    row |= {"ratio": ratio.value, "ratio_ci": ratio.ci}
    # The same as distances: roots of the squares above.
    distance = bootstrap_ratio(np.sqrt(reached.random), np.sqrt(reached.planned), rng)
    row |= {"distance_ratio": distance.value, "distance_ratio_ci": distance.ci}
    return row | {"replan_s_median": float(np.median(reached.seconds))}


class _Course:
    """Where plans are carried out, and how far latents are apart there."""

    def __init__(self, model: PushTModel, data: ExpertData, seed: int) -> None:
        self.model, self.scene, self.simulator = model, PushTScene(model.spec.frame_size), Simulator()
        count = min(_SPREAD_FRAMES, len(data.states))
        rows = np.random.default_rng([seed, 2]).choice(len(data.states), count, replace=False)
        self.spread = self._encode(data.states[rows]).std(axis=0)

    def look(self, states: Array, actions: NDArray[np.float32], goal: Array, cost: GoalCost) -> Seen:
        """What a planner sees after states (T, 7) with actions (T - 1, 2) between them, and the goal's frame."""
        spec = self.model.spec
        known = min(spec.history - 1, len(actions) // spec.frameskip)  # whole blocks
        first = len(actions) - known * spec.frameskip
        latents = self._encode(np.concatenate([states[first :: spec.frameskip], goal[None]]))
        blocks = actions[first:].reshape(known, spec.frameskip, spec.agents, 2)
        past = last_history(latents[:-1], blocks, np.zeros(known, dtype=np.int64), spec.history)
        context = Context(np.asarray(past.items, dtype=np.float32), past.blocks.astype(np.float32), past.actors)
        return Seen(context, latents[-1], cost(self.model.decode(latents[-1]), latents[-1]))

    def errors(self, states: Array, goal: FloatArray) -> list[float]:
        """Mean squared distance of each state's latent from a goal's (K, D), every dimension at spread 1."""
        off = (self._encode(states) - goal) / self.spread
        return [float(value) for value in np.square(off).mean(axis=(1, 2), dtype=np.float64)]

    def _encode(self, states: Array) -> FloatArray:
        parts = [states[low : low + _CHUNK] for low in range(0, len(states), _CHUNK)]
        return np.concatenate([self.model.encode(self.scene.draw_many(part)) for part in parts])
