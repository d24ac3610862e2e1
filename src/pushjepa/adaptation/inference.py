"""Which laws of physics would explain what was seen? A few numbers, found without changing a weight.

The model is told of the laws in C numbers. Those that best foresee the recent transitions are found by
Levenberg-Marquardt steps on robust residuals (Student's t instead of Gauss, by reweighting), with a penalty on the sum
of absolute values: most changes are changes of one law. Derivatives are differences; all of them, for all transitions,
are one batch of the model. No gradient is needed, and so no torch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushjepa.adaptation.records import Transition, points_of
from pushjepa.physics.geometry import Array
from pushjepa.runtime.contract import LawfulModel

NOISE = 2.5  #: px of a point: what an error is measured by
_FREEDOM = 2.0  # degrees of freedom of Student's t
_PENALTY = 1.0  # nats for a number of 1
_ROUND = 0.05  # below this a number's absolute value is rounded off
_STEP = 0.05  # of differences
_RIVAL = 6.0  # nats: a second guess is followed up only where it is about as good as the first


@dataclass(frozen=True)
class LawSpace:
    """Where the numbers that tell of the laws may lie.

    Attributes:
        low, high: (C,); one that is known, for its bounds are the same, is neither inferred nor held to be costly.
        shapes: how many of the last numbers stand for shapes of the block, 1 for the one that it has.
    """

    low: Array
    high: Array
    shapes: int

    def starts(self, current: Array) -> Array:
        """Guesses (N, C) to begin from: what is believed, the standard laws, and every other shape."""
        count = len(self.low)
        believed = [current, np.zeros(count)] if current.any() else [current]
        starts = np.clip(np.concatenate([believed, np.eye(count)[count - self.shapes :]]), self.low, self.high)
        first = [index for index, start in enumerate(starts) if not (starts[:index] == start).all(axis=1).any()]
        return np.asarray(starts[first])

    @property
    def free(self) -> NDArray[np.bool_]:
        """(C,) which numbers are to be inferred."""
        return np.asarray(self.high > self.low)

    def knowing(self, numbers: Sequence[int], values: Array) -> LawSpace:
        """The space in which some of the numbers are known to be what ``values`` (C,) has for them."""
        low, high = self.low.copy(), self.high.copy()
        low[list(numbers)] = high[list(numbers)] = values[list(numbers)]
        return replace(self, low=low, high=high)

    def settle(self, told: Array) -> Array:
        """Numbers (C,) that a picture tells, within bounds; of shapes the likeliest, or none, is taken for certain."""
        settled = np.clip(told, self.low, self.high)
        shapes = settled[len(settled) - self.shapes :]
        likeliest = int(shapes.argmax())
        sure = float(shapes[likeliest] > 0.5)
        shapes[:] = 0.0
        shapes[likeliest] = sure
        return np.asarray(settled)


@dataclass(frozen=True)
class Found:
    """Laws that explain some transitions.

    Attributes:
        conditions: (C,) numbers that tell of them.
        cost: of these, nats.
        cost_before: of what was believed.
        looks: transitions that were imagined.
        seconds: it took.
    """

    conditions: Array
    cost: float
    cost_before: float
    looks: int
    seconds: float


def infer_laws(
    model: LawfulModel,
    transitions: Sequence[Transition],
    current: Array,
    space: LawSpace,
    steps: int = 8,
    seconds: float | None = None,
) -> Found:
    """The laws that explain ``transitions`` best; a function of its arguments but for the limit on time.

    Args:
        model: what foresees.
        transitions: what was seen.
        current: (C,) what is believed now.
        space: where to look.
        steps: of each of the two best guesses; with 0 nothing changes.
        seconds: no step is begun later than this.

    Raises:
        ValueError: no transitions.
    """
    if not transitions:
        raise ValueError("laws are inferred from at least one transition")
    begun = time.perf_counter()
    fit = _Fit(model, transitions, space.free)
    before = fit.costs(current[None])[0]
    if steps < 1:
        return Found(current, before, before, fit.looks, time.perf_counter() - begun)
    starts = space.starts(current)
    costs = fit.costs(starts)
    best, least = current, before
    first, *others = np.argsort(costs, kind="stable")[:2]
    rivals = [index for index in others if costs[index] - costs[first] < _RIVAL]
    for index in (first, *rivals):
        found, cost = _descend(fit, starts[index], costs[index], space, steps, begun, seconds)
        if cost < least:
            best, least = found, cost
    return Found(best, least, before, fit.looks, time.perf_counter() - begun)


def cost_of(model: LawfulModel, transitions: Sequence[Transition], conditions: Array) -> float:
    """How badly laws (C,) explain transitions, nats, without the penalty."""
    off = _Fit(model, transitions, np.zeros(len(conditions), dtype=bool)).residuals(conditions[None])[0]
    return float(_nats(off).sum())


def rollout_cost_of(model: LawfulModel, transitions: Sequence[Transition], conditions: Array) -> float:
    """What :func:`cost_of` gives, by rollouts with all that the model has, not by a quick look without the predictor.

    Raises:
        ValueError: a transition without its context.
    """
    told, total = conditions.astype(np.float32) if conditions.any() else None, 0.0
    for one in transitions:
        if one.context is None:
            raise ValueError("a rollout begins with a context, and this transition has none")
        actors = np.array([one.actor], dtype=np.int64)
        predicted = model.decode(model.rollout(one.context, one.block[None, None], actors, told)[0, 0])
        total += float(_nats((points_of(predicted) - points_of(one.seen)) / NOISE).sum())
    return total


class _Fit:
    """Residuals of many laws on the same transitions, in one batch of the model; numbers that are ``free`` cost."""

    def __init__(self, model: LawfulModel, transitions: Sequence[Transition], free: NDArray[np.bool_]) -> None:
        self.model, self.free, self.looks = model, free, 0
        self.latents = np.stack([one.latents for one in transitions])
        self.earlier = np.stack([one.earlier for one in transitions])
        self.blocks = np.stack([one.block for one in transitions])
        self.actors = np.array([one.actor for one in transitions], dtype=np.int64)
        self.seen = points_of(np.stack([one.seen for one in transitions]))  # (n, P, 2)

    def residuals(self, conditions: Array) -> Array:
        """(L, n, P, 2) of laws (L, C), in units of the noise."""
        many, count = len(conditions), len(self.actors)

        def repeated(part: NDArray[Any]) -> NDArray[Any]:
            return np.repeat(part[None], many, axis=0).reshape(-1, *part.shape[1:])

        told = np.repeat(conditions, count, axis=0).astype(np.float32)
        ends = self.model.foresee(
            repeated(self.latents), repeated(self.earlier), repeated(self.blocks), repeated(self.actors), told
        )
        self.looks += many * count
        points = points_of(ends).reshape(many, count, *self.seen.shape[1:])
        return np.asarray((points - self.seen) / NOISE)

    def costs(self, conditions: Array) -> Array:
        """(L,) of laws (L, C), nats."""
        return np.asarray(_nats(self.residuals(conditions)).sum(axis=(1, 2)) + _penalties(conditions[:, self.free]))


def _descend(
    fit: _Fit, start: Array, cost: float, space: LawSpace, steps: int, begun: float, seconds: float | None
) -> tuple[Array, float]:
    """Levenberg-Marquardt from one guess."""
    now, damping, free = start.astype(np.float64), 1e-2, np.flatnonzero(fit.free)
    for _ in range(steps if len(free) else 0):
        if seconds is not None and time.perf_counter() - begun > seconds:
            break
        # One-sided differences that stay within bounds.
        ways = np.where(now + _STEP > space.high, -_STEP, _STEP)[free]
        off = fit.residuals(np.concatenate([now[None], now + ways[:, None] * np.eye(len(now))[free]]))
        base = off[0]
        slopes = (off[1:] - base) / ways[:, None, None, None]  # (free ones, n, P, 2)
        weights = _weights(base)
        hessian = np.einsum("anpx,np,bnpx->ab", slopes, weights, slopes)
        gradient = np.einsum("anpx,np,npx->a", slopes, weights, base)
        size = np.sqrt(np.square(now[free]) + _ROUND**2)
        hessian[np.diag_indices(len(free))] += _PENALTY / size
        gradient += _PENALTY * now[free] / size
        factors = damping * np.array([0.1, 1.0, 10.0, 100.0])
        scale = np.diag(hessian) + 1e-3
        tries = np.repeat(now[None], len(factors), axis=0)
        for one, factor in zip(tries, factors, strict=True):
            one[free] -= np.linalg.solve(hessian + np.diag(factor * scale), gradient)
        tries = np.clip(tries, space.low, space.high)
        costs = fit.costs(tries)
        best = int(np.argmin(costs))
        if costs[best] >= cost - 1e-3:
            break
        now, cost, damping = tries[best], float(costs[best]), max(1e-4, factors[best])
    return now, cost


def _nats(residuals: Array) -> Array:
    """Student's t of points (..., 2): (...,)."""
    square = np.square(residuals).sum(axis=-1)
    return np.asarray(0.5 * (_FREEDOM + 2) * np.log1p(square / _FREEDOM))


def _weights(residuals: Array) -> Array:
    """What each point (..., 2) weighs in a least-squares step."""
    square = np.square(residuals).sum(axis=-1)
    return np.asarray((_FREEDOM + 2) / (_FREEDOM + square))


def _penalties(conditions: Array) -> Array:
    return np.asarray(_PENALTY * (np.sqrt(np.square(conditions) + _ROUND**2) - _ROUND).sum(axis=-1))
