"""Cross-entropy search as a function of its arguments: nothing is remembered between calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pushjepa.physics.geometry import Array
from pushjepa.runtime.contract import FloatArray

#: Spread of the first iteration. Actions live in [-1, 1], so about a third of the draws are clipped to full speed.
INITIAL_STD = 1.0
#: The spread never falls below this, unless told otherwise.
SMALLEST_STD = 0.05


@dataclass(frozen=True)
class Budget:
    """How much a search may look at. The defaults are the published ones.

    Attributes:
        candidates: S, action sequences in one iteration.
        iterations: how often the candidates are drawn.
        elite_fraction: share of the candidates that the next iteration is fitted to.
        seconds: start no further iteration after this time; None for no limit. With a limit, the move depends on
            the machine.

    Raises:
        ValueError: a value out of range.
    """

    candidates: int = 96
    iterations: int = 6
    elite_fraction: float = 0.15
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.candidates < 2:
            raise ValueError(f"a search needs at least 2 candidates, got {self.candidates}")
        if self.iterations < 1:
            raise ValueError(f"a search needs at least 1 iteration, got {self.iterations}")
        if not 0.0 < self.elite_fraction <= 1.0:
            raise ValueError(f"elite_fraction must lie in (0, 1], got {self.elite_fraction:g}")
        if self.seconds is not None and not self.seconds > 0.0:
            raise ValueError(f"seconds must be positive, got {self.seconds:g}")

    @property
    def elites(self) -> int:
        """How many candidates the next iteration is fitted to."""
        return max(1, math.ceil(self.elite_fraction * self.candidates))


@dataclass(frozen=True)
class Iteration:
    """What one iteration looked at.

    Attributes:
        index: which one, from 0.
        candidates: (S, H, 5, 2) action sequences in [-1, 1].
        costs: (S,) what each costs.
        mean: (H, 5, 2) centre of the distribution that they were drawn from.
        std: (H, 5, 2) its spread.
    """

    index: int
    candidates: FloatArray
    costs: Array
    mean: FloatArray
    std: FloatArray


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        best: (H, 5, 2) the cheapest sequence of all that were looked at.
        cost: what it costs.
        cost_by_iteration: (I,) the lowest cost known after each iteration; never rises, unless costs move.
        mean: (H, 5, 2) centre of the last elites, to warm-start another search with.
        last: the iteration that it ended with.
    """

    best: FloatArray
    cost: float
    cost_by_iteration: Array
    mean: FloatArray
    last: Iteration


def cross_entropy_search(
    evaluate: Callable[[FloatArray], Array],
    shape: tuple[int, ...],
    budget: Budget,
    rng: np.random.Generator,
    warm_start: NDArray[np.floating] | None = None,
    on_iteration: Callable[[Iteration], None] | None = None,
    costs_move: bool = False,
    spread: float = INITIAL_STD,
    proposals: FloatArray | None = None,
    smallest: float = SMALLEST_STD,
) -> SearchResult:
    """Find a cheap point of [-1, 1]^shape by drawing, keeping the best and drawing again around them.

    Args:
        evaluate: candidates (S, *shape) float32 to costs (S,); lower is better.
        shape: of one candidate, for instance (H own blocks, 5 steps, 2).
        budget: how many candidates in how many iterations.
        rng: where the randomness comes from; the search is a function of it.
        warm_start: (*shape) centre of the first iteration; the middle of the range if None.
        on_iteration: told about every iteration once it is done.
        costs_move: whether the same point may cost something else in the next iteration (an opponent begins to answer
            it): an earlier cost then counts for nothing, the best so far is judged again beside the new candidates.
        spread: standard deviation of the first iteration's draws.
        proposals: (N, *shape) points that take the place of N of the first iteration's draws.
        smallest: the spread never falls below this, so that a search cannot end in one point before its budget does.

    Raises:
        ValueError: a warm start or proposals of another shape, more proposals than candidates, or costs that are not S
            finite numbers.
    """
    mean = np.zeros(shape, dtype=np.float32) if warm_start is None else _checked_start(warm_start, shape)
    std = np.full(shape, spread, dtype=np.float32)
    best, best_cost = mean, math.inf
    lowest: list[float] = []
    started = time.perf_counter()
    for index in range(budget.iterations):
        noise = rng.standard_normal((budget.candidates, *shape), dtype=np.float32)
        candidates = np.clip(mean + std * noise, -1.0, 1.0)
        if index:
            # The best so far stays in the race, and so stays among the elites for as long as it leads.
            candidates[0] = best
        elif proposals is not None:
            candidates[: len(proposals)] = _checked_proposals(proposals, candidates.shape)
        costs = checked_costs(evaluate(candidates), budget.candidates)
        order = np.argsort(costs, kind="stable")
        if costs_move or costs[order[0]] < best_cost:
            best, best_cost = candidates[order[0]].copy(), float(costs[order[0]])
        lowest.append(best_cost)
        iteration = Iteration(index, candidates, costs, mean, std)
        if on_iteration is not None:
            on_iteration(iteration)
        elites = candidates[order[: budget.elites]]
        mean, std = elites.mean(axis=0), np.maximum(elites.std(axis=0), smallest)
        if budget.seconds is not None and time.perf_counter() - started >= budget.seconds:
            break
    return SearchResult(best, best_cost, np.array(lowest), mean, iteration)


def _checked_start(warm_start: NDArray[np.floating], shape: tuple[int, ...]) -> FloatArray:
    if warm_start.shape != shape:
        raise ValueError(f"a warm start has the shape of a candidate, {shape}, got {warm_start.shape}")
    return np.asarray(np.clip(warm_start, -1.0, 1.0), dtype=np.float32)


def _checked_proposals(proposals: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    if proposals.shape[1:] != shape[1:] or len(proposals) > shape[0]:
        raise ValueError(f"proposals are at most {shape[0]} candidates of shape {shape[1:]}, got {proposals.shape}")
    return np.asarray(np.clip(proposals, -1.0, 1.0), dtype=np.float32)


def checked_costs(costs: Array, count: int) -> Array:
    """Costs as they are, if they are ``count`` finite numbers.

    Raises:
        ValueError: they are not.
    """
    costs = np.asarray(costs, dtype=np.float64)
    if costs.shape != (count,):
        raise ValueError(f"{count} candidates have costs of shape ({count},), got {costs.shape}")
    if not np.isfinite(costs).all():
        raise ValueError("the cost of a candidate is not finite; look at the model's predictions")
    return costs
