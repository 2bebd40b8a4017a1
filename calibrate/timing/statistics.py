"""What a series of timings says, and how surely; pure functions of numbers, without a clock.

The interval [low, high] around the median is one in which the median of a *repetition* of the measurement
lies with the stated level. That is wider than an interval for "the" median of this machine: the repetition
has an error of its own, and slow noise, which does not average out, is another then. See ``repetition``.

It is the wider of two, from the same prediction:

* in time: of the medians of up to 32 consecutive blocks, which sees drifts;
* in shares: of the share of samples above the median, read off as quantiles of the samples. Where a step
  has two durations, because a neighbour comes and goes, the median jumps from one to the other when that
  share passes one half, although nothing drifts.

No data can tell of noise that did not show in them. Work of others that stays away for longer than the
measurement takes is in no interval: spread a measurement over the time it is to speak for.

How often the median of a repetition lay in the interval at level 95 %, in percent, when it followed directly /
ten lengths later. Simulated: 100 to 150 runs each, samples of half a second; the telegraph is other work that
comes and goes, each for that long on average, and costs a fifth. Left, n samples in a row; middle, sampling
until +-2 % or 60 s, for at least 5 s or 20 s; right, 8 visits of 3 s spread over 144 s.

===============  ======  ======  =======  =======  ========  ========  ========
noise            n = 10  n = 20  n = 60   n = 200  >= 5 s    >= 20 s   8 visits
===============  ======  ======  =======  =======  ========  ========  ========
independent      99/99   100/99  100/100  100/100  100/100   100/100   100/100
AR(1) 0.8        95/91   99/97   99/100   100/99   100/99    100/99    99/98
AR(1) 0.9        95/88   98/95   99/99    100/99   98/97     100/100   99/99
AR(1) 0.99       94/55   95/69   98/90    99/99    81/69     92/89     97/98
flicker          95/80   94/91   97/92    99/94    97/88     98/88     96/94
telegraph 0.3 s  99/99   99/99   100/100  100/100  100/100   100/100   100/100
telegraph 3 s    85/83   92/93   98/99    94/97    87/86     98/97     98/100
telegraph 30 s   92/58   89/61   84/77    95/93    78/58     80/64     98/98
===============  ======  ======  =======  =======  ========  ========  ========
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .repetition import half_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .repetition import Array

CV_LIMIT = 0.05
"""Coefficient of variation above which timings are called unstable."""
DRIFT_LIMIT = 0.05
"""Relative change from the first half of the samples to the second above which they are said to drift."""
UNCONTENDED = 0.05
"""Quantile of the samples that stands for a machine with nothing else to do."""

_FEWEST = 6
_MOST_BLOCKS = 32
# A median of three keeps a single outlier out; fewer samples cannot spare the degrees of freedom.
_SMALLEST_BLOCK = 3
_ENOUGH_FOR_BLOCKS = 24
# In shares the interval is for durations of two levels; slow noise has been allowed for in time.
_WHITE_SHARES = 0.9


@dataclass(frozen=True, slots=True)
class Summary:
    """Centre, spread and interval of a series of samples.

    Attributes:
        median: Median of the samples.
        low: Lower end of the interval in which the median of a repetition lies; None if there are too few
            samples for one.
        high: Upper end of it.
        level: Probability of that.
        cv: Standard deviation divided by the mean.
        drift: Median of the second half divided by the median of the first, minus 1.
        uncontended: 5 % quantile of the samples: the duration when nothing else runs, or little.
    """

    median: float
    low: float | None
    high: float | None
    level: float
    cv: float
    drift: float
    uncontended: float

    @property
    def relative_half_width(self) -> float:
        """The larger distance from the median to an end of the interval, by the median; inf without one."""
        if self.low is None or self.high is None:
            return math.inf
        return max(self.high - self.median, self.median - self.low) / self.median


def summarise(samples: Sequence[float], level: float = 0.95, times: Sequence[float] | None = None) -> Summary:
    """Return centre, spread and interval of ``samples``.

    Args:
        samples: Durations in the order taken, at least one, all above zero; any unit.
        level: Probability with which the median of a repetition lies in the interval, in (0, 1).
        times: When each sample was taken, increasing; any unit. None for equal distances.

    Returns:
        The summary, in the samples' unit.

    Raises:
        ValueError: There is no sample, the level is out of range, or there is not a time for each sample.

    Example:
        >>> summary = summarise([1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.1, 0.9])
        >>> summary.median, round(summary.low, 2), round(summary.high, 2)
        (1.0, 0.87, 1.13)
    """
    if not len(samples) or not 0 < level < 1:
        raise ValueError(f"{len(samples)} samples at level {level:g}; give at least one, and a level in (0, 1).")
    values = np.asarray(samples, dtype=float)
    moments = np.arange(float(len(values))) if times is None else np.asarray(times, dtype=float)
    if len(moments) != len(values):
        raise ValueError(f"{len(moments)} times for {len(values)} samples; give one for each.")
    median = float(np.median(values))
    low, high = _interval(values, moments, median, level)
    half = len(values) // 2
    drift = float(np.median(values[-half:]) / np.median(values[:half])) - 1 if half else 0.0
    cv = float(values.std(ddof=1) / values.mean()) if len(values) > 1 else 0.0
    return Summary(median, low, high, level, cv, drift, float(np.quantile(values, UNCONTENDED)))


def _interval(values: Array, times: Array, median: float, level: float) -> tuple[float | None, float | None]:
    if len(values) < _FEWEST:
        return None, None
    blocks = _blocks(len(values))
    moments = np.array([part.mean() for part in np.array_split(times, blocks)])
    medians = np.array([np.median(part) for part in np.array_split(values, blocks)])
    width = half_width(medians, moments, level)
    # A duration is positive, whatever a symmetric interval says.
    low, high = max(median - width, float(values.min()) / 2), median + width
    if blocks < len(values):
        above = (np.sign(values - median) + 1) / 2
        shares = np.array([part.mean() for part in np.array_split(above, blocks)])
        share = min(0.5, half_width(shares, moments, level, _WHITE_SHARES))
        lower, upper = np.quantile(values, [0.5 - share, 0.5 + share])
        low, high = min(low, float(lower)), max(high, float(upper))
    return low, high


def _blocks(samples: int) -> int:
    if samples < _ENOUGH_FOR_BLOCKS:
        return samples
    return samples // max(_SMALLEST_BLOCK, math.ceil(samples / _MOST_BLOCKS))
