"""Intervals and rank correlation in a few lines of NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pushjepa.physics.geometry import Array

Interval = tuple[float, float]
Z95 = 1.959963984540054  #: standard normal deviate of a two-sided 95% interval
RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval."""

    value: float
    interval: Interval

    @property
    def ci(self) -> list[float]:
        """The interval as JSON wants it, [low, high]."""
        return [self.interval[0], self.interval[1]]


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's 95% score interval of a rate.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"a rate needs 0 <= successes <= trials and at least 1 trial, got {successes} of {trials}")
    rate, z2 = successes / trials, Z95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    # At 0 and at all the bounds are exact; rounding may miss them by a last digit.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def resample(units: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each of some units is drawn in each of ``RESAMPLES`` bootstrap samples, (R, U)."""
    return rng.multinomial(units, np.full(units, 1 / units), size=RESAMPLES)


def middle95(values: NDArray[np.float64]) -> Interval:
    """Between which two numbers the middle 95% of ``values`` lie."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_ratio(numerators: ArrayLike, denominators: ArrayLike, rng: np.random.Generator) -> Estimate:
    """sum(numerators) / sum(denominators) with a percentile bootstrap over units.

    A unit is whatever is independent: a pair of matches, an episode. The mean of values that come in groups is the
    case of one group's sum over its count.

    Args:
        numerators: (U,) one number per unit.
        denominators: (U,) one number per unit, with a positive sum.
        rng: draws the resamples.

    Raises:
        ValueError: no unit, or shapes that do not match.
    """
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if top.ndim != 1 or top.shape != bottom.shape or not len(top):
        raise ValueError(
            f"a bootstrap needs two equally long lists of at least one unit, got {top.shape}, {bottom.shape}"
        )
    drawn = resample(len(top), rng)
    tops, bottoms = drawn @ top, drawn @ bottom
    # A resample may hold no unit with a denominator; it says nothing about the ratio.
    ratios = tops[bottoms > 0] / bottoms[bottoms > 0]
    return Estimate(float(top.sum() / bottom.sum()), middle95(ratios))


def bootstrap_mean(values: ArrayLike, rng: np.random.Generator, units: ArrayLike | None = None) -> Estimate:
    """Mean of ``values`` (N,) with a bootstrap over ``units`` (N,), numbers that group them; each its own if None."""
    numbers = np.asarray(values, dtype=np.float64)
    if units is None:
        return bootstrap_ratio(numbers, np.ones_like(numbers), rng)
    _, index = np.unique(np.asarray(units), return_inverse=True)
    return bootstrap_ratio(np.bincount(index, numbers), np.bincount(index), rng)


def ranks(values: ArrayLike) -> Array:
    """Ranks (N,) from 1; equal values share the mean of theirs."""
    _, index, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[index])


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation of two lists; NaN where one of them is constant and so ranks nothing.

    Raises:
        ValueError: lists of different lengths.
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"rank correlation needs two equally long lists, got {np.shape(a)} and {np.shape(b)}")
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else math.nan
