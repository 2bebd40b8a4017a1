"""What a series of timings says, and how surely; pure functions of numbers, without a clock.

Consecutive timings on a real machine are not independent: other work comes and goes over seconds, clocks
step up and down. An interval that takes a hundred such samples for a hundred independent ones is several
times too narrow. Here the interval of the median is therefore the wider of two, each wrong in another way:

* order statistics whose ranks come from the binomial distribution of the *effective* number of samples,
  which is estimated from the autocorrelation of "above the median or not" and knows no distribution;
* Student's interval of the medians of a few consecutive blocks, which sees drifts too slow for the first.

Neither can see a change slower than the whole measurement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CV_LIMIT = 0.05
"""Coefficient of variation above which timings are called unstable."""
DRIFT_LIMIT = 0.05
"""Relative change from the first half of the samples to the second above which they are said to drift."""

_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class Summary:
    """Centre, spread and interval of a series of samples.

    Attributes:
        median: Median of the samples.
        low: Lower end of the interval of the median; None if there are too few samples for one.
        high: Upper end of it.
        level: Confidence level of the interval.
        cv: Standard deviation divided by the mean.
        drift: Median of the second half divided by the median of the first, minus 1.
        effective: Independent samples that would say as much about the median.
    """

    median: float
    low: float | None
    high: float | None
    level: float
    cv: float
    drift: float
    effective: float

    @property
    def relative_half_width(self) -> float:
        """The larger distance from the median to an end of the interval, by the median; inf without one."""
        if self.low is None or self.high is None:
            return math.inf
        return max(self.high - self.median, self.median - self.low) / self.median


def summarise(samples: Sequence[float], level: float = 0.95) -> Summary:
    """Return centre, spread and interval of ``samples``.

    Args:
        samples: Durations in the order taken, at least one, all above zero; any unit.
        level: Confidence level, in (0, 1).

    Returns:
        The summary, in the samples' unit.

    Raises:
        ValueError: There is no sample, or the level is out of range.

    Example:
        >>> summary = summarise([1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.1, 0.9])
        >>> summary.median, summary.low, summary.high
        (1.0, 0.9, 1.1)
    """
    if not len(samples) or not 0 < level < 1:
        raise ValueError(f"{len(samples)} samples at level {level:g}; give at least one, and a level in (0, 1).")
    values = np.asarray(samples, dtype=float)
    median = float(np.median(values))
    low, high = _interval(values, median, level)
    half = len(values) // 2
    drift = float(np.median(values[-half:]) / np.median(values[:half])) - 1 if half else 0.0
    cv = float(values.std(ddof=1) / values.mean()) if len(values) > 1 else 0.0
    return Summary(median, low, high, level, cv, drift, effective_samples(values))


def effective_samples(samples: Sequence[float] | NDArray[np.float64]) -> float:
    """Return how many independent samples would say as much about the median.

    The series is reduced to "above the median or not", because it is the autocorrelation of that, not of
    the values, which decides the spread of a median. Autocorrelations are summed in adjacent pairs for as
    long as the pair is positive (Geyer's initial positive sequence).

    Args:
        samples: Durations in the order taken.

    Returns:
        A number from 1 to the number of samples.

    Example:
        >>> round(effective_samples([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]), 1)
        2.7
    """
    values = np.asarray(samples, dtype=float)
    above = np.sign(values - np.median(values))
    above = above - above.mean()
    n, power = len(above), float(above @ above)
    if power == 0.0:
        return float(n)
    # Subtracting the mean takes roughly 1/n away from each autocorrelation but the one at lag 0.
    correlation = np.correlate(above, above, "full")[n - 1 :] / power + 1 / n
    correlation[0] = 1.0
    total = 0.0
    for lag in range(0, n - 1, 2):
        pair = float(correlation[lag : lag + 2].sum())
        if pair <= 0:
            break
        total += pair
    return float(np.clip(n / max(2 * total - 1, 1e-9), 1.0, n))


def _interval(values: NDArray[np.float64], median: float, level: float) -> tuple[float | None, float | None]:
    ranks = _ranks(len(values), effective_samples(values), level)
    if ranks is None:
        return None, None
    ordered = np.sort(values)
    spread = _block_half_width(values, level)
    low = min(float(ordered[ranks[0]]), median - spread)
    # A duration is positive, whatever a symmetric interval says.
    return max(low, float(ordered[0]) / 2), max(float(ordered[ranks[1]]), median + spread)


def _ranks(n: int, effective: float, level: float) -> tuple[int, int] | None:
    """Return the indices of the order statistics that enclose the median, or None where none do."""
    # Even the smallest and the largest of n samples enclose it with probability 1 - 2 / 2**n only.
    tail = (1 - level) / 2
    if 0.5**n > tail:
        return None
    count = max(1, math.floor(effective))
    below = np.arange(count + 1)
    certain = below[special.bdtr(below, count, 0.5) <= tail]
    share = (int(certain[-1]) + 1) / count if len(certain) else 0.0
    first = max(0, math.ceil(share * n) - 1)
    return first, n - 1 - first


def _block_half_width(values: NDArray[np.float64], level: float) -> float:
    if len(values) < 2 * _BLOCKS:
        return 0.0
    medians = np.array([np.median(block) for block in np.array_split(values, _BLOCKS)])
    student = float(special.stdtrit(_BLOCKS - 1, (1 + level) / 2))
    return student * float(medians.std(ddof=1)) / math.sqrt(_BLOCKS)
