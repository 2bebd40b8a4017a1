r"""How far a repetition of a series may lie from the series: a prediction, not an error of estimation.

Noise on a shared machine is not independent: other work comes and goes over seconds and minutes, clocks step
up and down. Its mean does not settle with the square root of the number of samples, and a second measurement
meets other noise than the first. So what is asked here is where a *repetition* falls: the same number of
values, at the same distances, begun ten times the series' length later.

The values are modelled as a Gaussian process of unknown mean and scale, with the correlation

.. math:: R_θ(t, t') = (1 - ρ) δ_{t t'} + ρ \, k_θ(|t - t'|),

where :math:`k_θ` is either exponential with a correlation time from a sixteenth to eight times the series'
length, which is the correlation of AR(1) noise and of a random telegraph, or the mean of exponentials with
correlation times in equal ratios, which is flicker (1/f) noise. With flat priors on the mean and the
logarithm of the scale, the difference of the means of repetition and series has, for each
:math:`θ = (ρ, k)`, a Student distribution with K - 1 degrees of freedom for K values. The distributions are
averaged over θ with their posterior probabilities. So the data decide whether noise averages out; where
they are too few to tell, all of it counts. Some models extrapolate a change without end; no difference is
taken to be larger than twice the distance between the smallest and the largest value.

The idea of predicting long-run averages from the slow part of a series, averaged over kinds of slow noise,
is that of Müller and Watson, "Measuring uncertainty about long-run predictions", Review of Economic Studies
83 (2016).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import linalg, optimize, special

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"

AFTER = 10.0
"""Lengths of the series between its end and the repetition's beginning."""

# Correlation times by the length of the series. Longer ones predict walks that no measured noise takes.
_TIMES = np.geomspace(1 / 16, 8, 8)
_FLICKER_TIMES = np.geomspace(1 / 64, 64, 13)
_SHARES = np.array([0.1, 0.3, 0.6, 0.9, 1.0])
_MOST_RANGES = 2.0
# Keeps matrices regular where values follow each other closely.
_JITTER = 1e-12


def _kernels(distances: Array) -> Array:
    """Return the correlation of every slow noise at ``distances`` (any shape), first axis the noise."""

    def exponential(times: Array) -> Array:
        return np.exp(-distances / times.reshape(-1, *(1,) * distances.ndim))

    return np.concatenate([exponential(_TIMES), exponential(_FLICKER_TIMES).mean(axis=0)[None]])


@cache
def _contrasts(count: int) -> Array:
    """Return orthonormal rows, all orthogonal to a constant: what is left when the mean is unknown."""
    rows: Array = linalg.helmert(count)
    return rows


def _models(times: Array) -> tuple[Array, Array]:
    """Return the correlations within the series, and between it and its repetition, for every model."""
    count = len(times)
    length = (times[-1] - times[0]) * count / (count - 1)
    places = (times - times[0]) / length
    shares = _SHARES[:, None, None, None]
    between = np.abs(places[:, None] - places)
    white = np.eye(count)
    within = (shares * _kernels(between) + (1 - shares) * white).reshape(-1, count, count)
    across = (shares * _kernels(places + AFTER + 1 - places[:, None])).reshape(-1, count, count)
    return np.concatenate([white[None], within]), np.concatenate([np.zeros((1, count, count)), across])


def _predictions(values: Array, times: Array, white: float) -> tuple[Array, Array, Array]:
    """Return probability, location and scale of the difference under every model."""
    count = len(values)
    within, across = _models(times)
    contrasts, mean = _contrasts(count), np.full(count, 1 / count)
    seen = contrasts @ values
    covariance = contrasts @ within @ contrasts.T + _JITTER * np.eye(count - 1)
    # Of the difference, mean of the repetition minus mean of the series, with what is seen.
    with_seen = (across @ mean - within @ mean) @ contrasts.T
    of_difference = 2 * (within @ mean @ mean - across @ mean @ mean)
    both = np.stack([np.broadcast_to(seen, with_seen.shape), with_seen], axis=-1)
    solved = np.linalg.solve(covariance, both)
    square = solved[..., 0] @ seen
    left = of_difference - (solved[..., 1] * with_seen).sum(axis=1)
    scale = np.sqrt(square / (count - 1) * np.maximum(left, _JITTER))
    prior = np.full(len(within), (1 - white) / (len(within) - 1))
    prior[0] = white
    logs = np.log(prior) - 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * (count - 1) * np.log(square)
    weights = np.exp(logs - logs.max())
    return weights / weights.sum(), solved[..., 1] @ seen, scale


def half_width(values: Array, times: Array, level: float, white: float = 0.5) -> float:
    """Return the largest difference to a repetition's mean that is not exceeded with probability ``level``.

    Args:
        values: A series, at least three numbers; its noise should be near normal, such as that of medians of
            a few samples each.
        times: When each was taken, increasing; any unit.
        level: Probability, in (0, 1).
        white: Prior probability that the values are independent; the rest is spread evenly over the models
            with slow noise.

    Returns:
        Half-width of the interval around the series' mean, in the unit of ``values``.

    Example:
        >>> times = np.arange(16.0)
        >>> to_and_fro, once = np.tile([1.0, 2.0], 8), np.repeat([1.0, 2.0], 8)
        >>> round(half_width(to_and_fro, times, 0.95), 1), round(half_width(once, times, 0.95), 1)
        (0.6, 2.0)
    """
    centred = values - values.mean()
    largest = float(np.abs(centred).max())
    if largest <= 1e-12 * float(np.abs(values).max()):
        return 0.0
    weights, location, scale = _predictions(centred / largest, times, white)
    freedom = len(values) - 1

    def missing(width: float) -> Any:  # noqa: ANN401 - NumPy's scalars are not floats to the checker
        below = special.stdtr(freedom, (width - location) / scale)
        return weights @ (below - special.stdtr(freedom, (-width - location) / scale)) - level

    # Every model has at least the level within its own location and quantile.
    widest = float((np.abs(location) + special.stdtrit(freedom, (1 + level) / 2) * scale).max())
    found = largest * float(optimize.brentq(missing, 0.0, widest, rtol=1e-6))
    return min(found, _MOST_RANGES * float(np.ptp(values)))
