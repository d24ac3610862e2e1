from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushjepa.evaluation import bootstrap_mean, bootstrap_ratio, spearman, wilson
from pushjepa.evaluation.statistics import ranks


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # published values of the score interval
        (50, 100, 0.40383, 0.59617),
        (1, 10, 0.01788, 0.40415),
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (81, 263, 0.25530, 0.36623),
    ],
)
def test_wilson_has_known_values(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


@given(trials=st.integers(1, 500), data=st.data())
def test_wilson_holds_its_rate_and_is_symmetric(trials, data):
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    mirrored = wilson(trials - successes, trials)
    assert (1 - high, 1 - low) == pytest.approx(mirrored)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_rate(successes, trials):
    with pytest.raises(ValueError, match="a rate needs"):
        wilson(successes, trials)


def test_the_bootstrap_of_a_mean_is_its_standard_error_wide(rng):
    values = rng.normal(3.0, 2.0, 400)
    found = bootstrap_mean(values, rng)
    assert found.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert found.interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_values_of_one_unit_are_no_more_than_one_value(rng):
    values, units = np.repeat(rng.normal(size=50), 30), np.repeat(np.arange(50), 30)
    clustered = bootstrap_mean(values, np.random.default_rng(0), units)
    independent = bootstrap_mean(values, np.random.default_rng(0))
    one_each = bootstrap_mean(values[::30], np.random.default_rng(0))
    assert clustered.interval == pytest.approx(one_each.interval)
    assert clustered.value == pytest.approx(independent.value)
    assert np.ptp(clustered.interval) > 4 * np.ptp(independent.interval)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        low, high = bootstrap_mean(rng.exponential(2.0, 80), rng).interval
        hits += low <= 2.0 <= high
    assert hits / 60 >= 0.85


def test_a_ratio_is_of_sums_and_survives_units_without_denominator(rng):
    found = bootstrap_ratio([1.0, 9.0, 0.0], [1.0, 3.0, 0.0], rng)
    assert found.value == 2.5
    assert found.ci == pytest.approx([1.0, 3.0])


def test_a_bootstrap_is_a_function_of_its_generator():
    values = np.arange(20.0)
    one, two, three = (bootstrap_mean(values, np.random.default_rng(s)).interval for s in (1, 1, 2))
    assert one == two != three


@pytest.mark.parametrize(("top", "bottom"), [([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]])])
def test_a_bootstrap_needs_units(top, bottom, rng):
    with pytest.raises(ValueError, match="a bootstrap needs"):
        bootstrap_ratio(top, bottom, rng)


def test_equal_values_share_a_rank():
    assert ranks([10, 20, 20, 5, 20]).tolist() == [2, 4, 4, 1, 4]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 25, 99], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),  # 1 - 6 * 4 / (5 * 24)
        ([1, 2, 2, 3], [1, 3, 2, 4], math.sqrt(0.9)),  # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4
    ],
)
def test_rank_correlation_has_known_values(a, b, expected):
    assert spearman(a, b) == pytest.approx(expected)


def test_a_constant_ranks_nothing():
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
    with pytest.raises(ValueError, match="equally long"):
        spearman([1, 2], [1, 2, 3])


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=30))
def test_rank_correlation_sees_only_the_order(values):
    shuffled = np.random.default_rng(0).permutation(values)
    stretched = np.exp(np.array(values, dtype=float))
    assert spearman(values, shuffled) == pytest.approx(spearman(stretched, shuffled), nan_ok=True)
