"""The interval of the median holds what it promises, also where samples depend on one another."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrate.timing.statistics import effective_samples, summarise

DURATIONS = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60)


def correlated(rng, count, rho, spread=0.1):
    """Log-normal durations with median 1 whose logarithms are an AR(1) process."""
    noise = rng.standard_normal(count)
    values = [noise[0]]
    for shock in noise[1:]:
        values.append(rho * values[-1] + math.sqrt(1 - rho**2) * shock)
    return np.exp(spread * np.array(values))


def coverage(rho, count, runs=300):
    rng = np.random.default_rng(5)
    summaries = [summarise(correlated(rng, count, rho)) for _ in range(runs)]
    return np.mean([summary.low <= 1 <= summary.high for summary in summaries])


@pytest.mark.parametrize("count", [10, 30, 200])
def test_independent_samples_are_covered_as_often_as_promised(count):
    assert coverage(0.0, count) >= 0.94


@pytest.mark.parametrize(("rho", "count", "least"), [(0.5, 100, 0.93), (0.8, 100, 0.87), (0.9, 400, 0.9)])
def test_dependent_samples_are_covered_nearly_as_often(rho, count, least):
    # The binomial interval that takes them for independent covers 0.8, 0.6 and 0.4 of the time.
    assert coverage(rho, count) >= least


def test_the_interval_is_not_wider_than_it_must_be():
    rng = np.random.default_rng(1)
    widths = [summarise(correlated(rng, 400, 0.0)).relative_half_width for _ in range(50)]
    # Asymptotically 1.96 * sqrt(pi / 2) * 0.1 / sqrt(400).
    assert np.median(widths) < 1.5 * 0.0123


def test_a_drift_widens_the_interval():
    rng = np.random.default_rng(2)
    still = 1 + 0.01 * rng.standard_normal(64)
    assert summarise(still * np.linspace(1, 1.2, 64)).relative_half_width > 0.04
    assert summarise(still).relative_half_width < 0.01


def test_drift_compares_the_halves():
    assert summarise([1.0] * 10 + [1.1] * 10).drift == pytest.approx(0.1)
    assert summarise([2.0]).drift == 0


def test_alternating_samples_count_for_much_and_a_step_for_little():
    assert effective_samples([1.0, 2.0] * 20) >= 20
    assert effective_samples([1.0] * 20 + [2.0] * 20) < 4
    assert effective_samples([3.0] * 12) == 12


@pytest.mark.parametrize(("count", "known"), [(5, False), (6, True)])
def test_five_samples_have_no_interval_at_95_percent(count, known):
    # All five lie on one side of the median with probability 2 / 2**5 = 6 %.
    summary = summarise([1.0 + 0.01 * index for index in range(count)])
    assert (summary.low is not None) is known
    assert math.isfinite(summary.relative_half_width) is known


def test_one_outlier_moves_the_spread_but_not_the_centre():
    summary = summarise([1.0] * 30 + [50.0])
    assert summary.median == summary.low == 1.0
    assert summary.cv > 1


def test_nothing_to_summarise_is_refused():
    with pytest.raises(ValueError, match="0 samples"):
        summarise([])
    with pytest.raises(ValueError, match="level"):
        summarise([1.0], level=1.0)


@given(DURATIONS, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_interval_contains_the_median_and_is_positive(durations, level):
    summary = summarise(durations, level)
    if summary.low is not None:
        assert 0 < summary.low <= summary.median <= summary.high


@given(DURATIONS, st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(durations, factor):
    one, other = summarise(durations), summarise([factor * duration for duration in durations])
    assert other.median == pytest.approx(factor * one.median)
    assert other.cv == pytest.approx(one.cv, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(median=st.floats(1e-5, 10), spread=st.floats(0.001, 0.3), seed=st.integers(0, 2**31))
def test_a_generated_median_is_recovered(median, spread, seed):
    durations = median * np.random.default_rng(seed).lognormal(0, spread, 400)
    # Five standard errors of a median: one failure in two million.
    assert summarise(durations).median == pytest.approx(median, rel=5 * 1.2533 * spread / 20 + 1e-9)


def test_effective_samples_lie_between_one_and_all():
    for series in itertools.product([1.0, 2.0], repeat=8):
        assert 1 <= effective_samples(series) <= 8
