"""Cyclical learning rates are the joined pieces of Optax, without an end; steps fall where the source's fall."""

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrate.training.schedules import exp_range, steps, triangular, triangular2
from speedup.errors import UnitError

LOW, HIGH, HALF = 0.01, 0.09, 7


def printed(iteration, amplitude):
    """Write the formula of the source out."""
    cycle = np.floor(1 + iteration / (2 * HALF))
    x = abs(iteration / HALF - 2 * cycle + 1)
    return LOW + (HIGH - LOW) * max(0.0, 1 - x) * amplitude(cycle, iteration)


def joined(peaks):
    """Return the same rate as linear pieces, for as many cycles as there are peaks."""
    pieces = []
    for peak in peaks:
        pieces += [optax.linear_schedule(LOW, peak, HALF), optax.linear_schedule(peak, LOW, HALF)]
    return optax.join_schedules(pieces, [HALF * place for place in range(1, len(pieces))])


@pytest.mark.parametrize(
    ("schedule", "amplitude"),
    [
        (triangular(LOW, HIGH, HALF), lambda cycle, i: 1.0),
        (triangular2(LOW, HIGH, HALF), lambda cycle, i: 2.0 ** -(cycle - 1)),
        (exp_range(LOW, HIGH, HALF, gamma=0.99), lambda cycle, i: 0.99**i),
    ],
)
def test_each_is_the_printed_formula(schedule, amplitude):
    for iteration in range(5 * HALF):
        assert float(schedule(iteration)) == pytest.approx(printed(iteration, amplitude), rel=1e-5)


def test_the_triangles_are_joined_linear_pieces():
    heights = [HIGH] * 4, [LOW + (HIGH - LOW) / 2**cycle for cycle in range(4)]
    for schedule, peaks in zip((triangular, triangular2), heights, strict=True):
        pieces = joined(peaks)
        for iteration in range(8 * HALF):
            assert float(schedule(LOW, HIGH, HALF)(iteration)) == pytest.approx(float(pieces(iteration)), rel=1e-5)


def test_a_place_in_a_cycle_is_exact_after_any_number_of_iterations():
    far = 2 * HALF * 10**8
    rate = jax.jit(triangular(LOW, HIGH, HALF))
    assert float(rate(far + 3)) == pytest.approx(float(rate(3)), rel=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: triangular(0.0, 1.0), "low = 0"),
        (lambda: triangular2(0.2, 0.1), "high = 0.1 is below low = 0.2"),
        (lambda: triangular(0.1, 0.2, 0), "half_cycle = 0"),
        (lambda: exp_range(0.1, 0.2, gamma=1.5), "gamma = 1.5"),
        (lambda: steps(-0.1, 10), "rate = -0.1"),
        (lambda: steps(0.1, 0), "updates = 0"),
    ],
)
def test_bounds_that_are_none_are_refused(bad, message):
    with pytest.raises(UnitError, match=message):
        bad()


def test_steps_fall_after_40_and_70_of_100_epochs():
    rate, an_epoch = steps(0.1, 9800), 98
    rates = [float(rate(epoch * an_epoch)) for epoch in range(100)]
    np.testing.assert_allclose(rates, [0.1] * 40 + [0.01] * 30 + [0.001] * 30, rtol=1e-6)


@given(st.integers(1, 200))
def test_steps_never_rise_and_fall_where_they_should_whatever_the_number_of_updates(updates):
    rate = steps(1.0, updates)
    for update in range(updates):
        drops = (10 * update >= 4 * updates) + (10 * update >= 7 * updates)
        assert float(rate(update)) == pytest.approx(0.1**drops)
