r"""Cyclical learning rates, and one that falls in steps, as Optax schedules.

With the iteration :math:`i`, the half-cycle :math:`h` and the bounds :math:`lo` and :math:`hi`

.. math:: c = \left\lfloor 1 + \frac{i}{2h} \right\rfloor, \quad x = \left|\frac{i}{h} - 2c + 1\right|, \quad
          \eta = lo + (hi - lo) \max(0, 1 - x)\, a

where the amplitude a is 1 (``triangular``), halved after every cycle (``triangular2``), or decays with every
iteration (``exp_range``). Optax joins linear pieces, of which a run has as many as it has half-cycles; the closed
form has no end and is the same. Source: L. Smith, *Cyclical learning rates for training neural networks*, 2017;
used by M. Mandatelli's thesis on minibatch persistency, whose caption decays the amplitude alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import optax

from speedup.errors import UnitError
from speedup.units import positive, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax

HALF_CYCLE = 490
"""Half a cycle of ten epochs of CIFAR-10 in batches of 512, as the thesis has it."""
_DROPS = (4, 7)  # tenths of all updates


def triangular(low: float, high: float, half_cycle: int = HALF_CYCLE) -> optax.Schedule:
    """Return the learning rate that rises from ``low`` to ``high`` and falls back, again and again.

    Args:
        low: Lower bound, > 0.
        high: Upper bound, at least ``low``.
        half_cycle: Iterations from one bound to the other, at least 1.

    Raises:
        UnitError: A value is out of range.

    Example:
        >>> [round(float(triangular(0.1, 0.5, 4)(i)), 3) for i in (0, 2, 4, 6, 8)]
        [0.1, 0.3, 0.5, 0.3, 0.1]
    """
    return _cyclical(low, high, half_cycle, lambda cycle, _: jnp.ones_like(cycle))


def triangular2(low: float, high: float, half_cycle: int = HALF_CYCLE) -> optax.Schedule:
    """Return the same with the amplitude halved after every cycle.

    Args:
        low: Lower bound, > 0.
        high: Upper bound of the first cycle, at least ``low``.
        half_cycle: Iterations from one bound to the other, at least 1.

    Raises:
        UnitError: A value is out of range.

    Example:
        >>> [round(float(triangular2(0.1, 0.5, 4)(i)), 3) for i in (4, 12, 20)]
        [0.5, 0.3, 0.2]
    """
    return _cyclical(low, high, half_cycle, lambda cycle, _: 2.0 ** (1 - cycle))


def exp_range(low: float, high: float, half_cycle: int = HALF_CYCLE, *, gamma: float = 0.9999) -> optax.Schedule:
    """Return the same with the amplitude multiplied by ``gamma`` every iteration.

    Args:
        low: Lower bound, > 0.
        high: Upper bound of the first cycle, at least ``low``.
        half_cycle: Iterations from one bound to the other, at least 1.
        gamma: Factor, in (0, 1].

    Raises:
        UnitError: A value is out of range.

    Example:
        >>> round(float(exp_range(0.1, 0.5, 4, gamma=0.5)(4)), 4)
        0.125
    """
    if not 0 < gamma <= 1:
        raise UnitError(f"gamma = {gamma:g}; it must be above 0 and at most 1.")
    return _cyclical(low, high, half_cycle, lambda _, iteration: gamma**iteration)


def steps(rate: float, updates: int) -> optax.Schedule:
    """Return the rate, a tenth of it after 40 % of all updates, and a hundredth after 70 %.

    Those are the steps of the thesis: 0.1 for 40 epochs of 100, 0.01 for 30 and 0.001 for the last 30.

    Args:
        rate: First learning rate, > 0.
        updates: Of the whole training, at least 1.

    Raises:
        UnitError: A value is out of range.

    Example:
        >>> [round(float(steps(0.1, 10)(i)), 4) for i in (0, 3, 4, 6, 7, 9)]
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    """
    positive("rate", rate, "(learning rate)")
    count = whole("updates", updates)
    # In whole numbers, rounded up: 0.7 times a number of updates may be a little more than it should.
    drops = {-(-tenths * count // 10): 0.1 for tenths in _DROPS}
    schedule: optax.Schedule = optax.piecewise_constant_schedule(rate, drops)
    return schedule


def _cyclical(
    low: float, high: float, half_cycle: int, amplitude: Callable[[jax.Array, jax.Array], jax.Array]
) -> optax.Schedule:
    positive("low", low, "(learning rate)")
    whole("half_cycle", half_cycle)
    if not high >= low:
        raise UnitError(f"high = {high:g} is below low = {low:g}; the upper bound must be at least the lower one.")

    def schedule(count: jax.Array | int) -> jax.Array:
        # Whole numbers are divided as such: a float of 32 bits loses the place in a cycle after 2^24 iterations.
        iteration = jnp.asarray(count)
        cycle = (1 + iteration // (2 * half_cycle)).astype(jnp.float32)
        place = (iteration % (2 * half_cycle)).astype(jnp.float32) / half_cycle
        height = jnp.maximum(0.0, 1.0 - jnp.abs(place - 1.0))
        rate: jax.Array = low + (high - low) * height * amplitude(cycle, iteration.astype(jnp.float32))
        return rate

    return schedule
