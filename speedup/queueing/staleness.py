r"""Stale synchronous parallel: nobody runs more than s iterations ahead of the slowest.

Worker i may begin its iteration c when all have finished iteration c - s - 1. With :math:`M(c)` the time when all have
finished iteration c,

.. math:: T_i(c) = \max\bigl(T_i(c-1),\, M(c-s-1)\bigr) + X_i(c), \qquad M(c) = \max_i T_i(c)

is linear in max and plus, and :math:`M(c)/c` goes to the mean time :math:`\tau` of an iteration. Of few workers it is
played. Of many, the slowest iteration of each round is nearly the same, :math:`M(c) = c \tau`: every worker is then a
queue of its own, served in times X, to which a customer comes every :math:`\tau`, and :math:`\tau` is where the longest
of n stationary backlogs is as long as the slack,

.. math:: E \max_{i \le n} V_i = s \tau, \qquad V = \sup_{j \ge 0} S_j + X - \tau, \qquad
    S_j = \sum_{l \le j} (X_l - \tau)

whose supremum is found from Spitzer's identity by Fourier transforms. The limit is up to a tenth short of the excess
:math:`\tau - E X`, by a share that hardly depends on n: it is taken from the largest counts that are played. Where the
slack is many standard deviations of a gradient, workers are diffusions and the shares are the same for every law.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from speedup.queueing.stragglers import distribution, quantile_s, slowest_s
from speedup.units import not_negative, whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from speedup.laws import Law

    Floats = NDArray[np.float64]

_PLAYED = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Worker counts that are played."""
_COMPARED = 3
"""How many of them, from the last, say how far the limit of many workers is off."""
_PLAYED_ROOM = 16
"""Slack, in standard deviations of a gradient, above which nothing is played: a start would last long."""
_LATTICE_ROOM = 128
"""Slack above which the excess falls like 1 / slack: a lattice so long would be too coarse."""
_SHARES = (0.66, 0.835, 0.92, 1.0, 1.025, 1.05, 1.08, 1.09, 1.1, 1.1, 1.11)
"""The excess of so few workers by that of the limit of many, where nothing is played. With so much slack the workers
are diffusions, whatever the law: played with exponential, gamma and lognormal times and slacks of 12 to 32."""
_POINTS = 1 << 12
"""Of the lattice of durations."""


def stale_rate(workers: ArrayLike, law: Law, staleness: float, *, t_comm_s: float = 0.0, seed: int = 0) -> Floats:
    r"""Return the iterations that each worker finishes in a second when none may be far ahead [1/s].

    .. math:: \frac{1}{\tau}, \qquad \tau(s = 0) = E \max_{i \le n} X_i + t_{comm}, \qquad
        \tau(s = \infty) = E X + t_{comm}

    Args:
        workers: n, any shape.
        law: Law of the time of a gradient; a sequence is drawn from with replacement.
        staleness: s, iterations that a worker may be ahead of the slowest: 0 is lockstep, ``math.inf`` asynchronous.
        t_comm_s: Constant communication of a worker in each iteration [s], over links that nobody shares.
        seed: Seed of the iterations that are played.

    Returns:
        Rate, of the shape of ``workers``; n times it is the throughput [batches/s]. Exact for one worker, s = 0 and
        s = inf; otherwise deterministic, with an error of about 0.5 % up to 64 workers. Beyond them it is about 1 % for
        cv up to 0.5, 3 % for cv 1, and up to 14 % for lognormal times of cv 2. It never rises with n.

    Raises:
        UnitError: A count is not whole or below 1, or the staleness or t_comm is negative.

    Source:
        Q. Ho et al.: More effective distributed ML via a stale synchronous parallel parameter server. NeurIPS 2013.

    Example:
        >>> from speedup.laws import Law
        >>> law = Law.named("exponential", 1.0)
        >>> stale_rate([1, 2], law, 0).round(6), stale_rate([1, 2], law, math.inf)
        (array([1.      , 0.666667]), array([1., 1.]))
        >>> stale_rate(64, law, 4) < stale_rate(64, law, 8)
        np.True_
    """
    t_comm = not_negative("t_comm", t_comm_s, "s")
    lockstep = slowest_s(workers, law)
    slack = math.inf if staleness == math.inf else whole("staleness", staleness, minimum=0)
    if slack == 0 or not law.cv:
        return np.asarray(1 / (lockstep + t_comm))
    if slack == math.inf:
        return np.full(lockstep.shape, 1 / (law.mean_s + t_comm))
    logs = np.log(np.asarray(workers, dtype=np.float64))
    more = _excess_over(law.scaled(1 / law.mean_s), t_comm / law.mean_s, int(slack), logs, seed)
    return np.asarray(1 / (np.minimum(law.mean_s * (1 + more), lockstep) + t_comm))


def _excess_over(unit: Law, t_comm: float, slack: int, logs: Floats, seed: int) -> Floats:
    """Return by how much an iteration is longer than a mean one, in means, for logarithms of worker counts."""
    from scipy.interpolate import PchipInterpolator  # noqa: PLC0415 - SciPy is loaded by those who need it

    # The curve always goes to 4^8 = 65,536, so that an answer does not depend on what else was asked.
    highest = max(8, math.ceil(float(logs.max(initial=0.0)) / math.log(4)))
    nodes, excess = _curve(unit, t_comm, slack, highest, seed)
    return np.asarray(PchipInterpolator(np.log(nodes), excess)(logs))


@lru_cache(maxsize=64)
def _curve(unit: Law, t_comm: float, slack: int, highest: int, seed: int) -> tuple[Floats, Floats]:
    """Return worker counts and the excess of an iteration there, by the mean of a law of mean 1."""
    counts, few = np.append(_PLAYED, 4.0 ** np.arange(4, highest + 1)), len(_PLAYED)
    if slack * (1 + t_comm) > _PLAYED_ROOM * unit.cv:
        shares = np.append(_SHARES, np.full(len(counts) - few, _SHARES[-1]))
        excess = shares * _limits(unit, t_comm, slack, counts)
    else:
        played = _played_excess(unit, t_comm, slack, seed)
        limit = _limits(unit, t_comm, slack, counts[few - _COMPARED :])
        share = played[-_COMPARED:].sum() / limit[:_COMPARED].sum()
        excess = np.append(played, share * limit[_COMPARED:])
    return np.append(1.0, counts), np.maximum.accumulate(np.append(0.0, excess))


def _limits(unit: Law, t_comm: float, slack: float, counts: Floats) -> Floats:
    """Return the excess in the limit of many workers; with a great slack from that of a smaller one."""
    fewer = max(1.0, slack * (1 + t_comm) / (_LATTICE_ROOM * unit.cv))
    return np.array([_limit_excess(unit, t_comm, slack / fewer, float(count)) for count in counts]) / fewer


def _played_excess(unit: Law, t_comm: float, slack: int, seed: int) -> Floats:
    """Play iterations of all small worker counts side by side, and return what they take beyond the mean draw."""
    warm, rounds = 60 + 10 * slack, 400 + 10 * slack
    copies = np.maximum(4, 200_000 // (warm + rounds) // np.array(_PLAYED))
    sizes = np.repeat(_PLAYED, copies)
    begins, owner = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    ended, drawn = np.zeros(len(owner)), np.zeros(len(sizes))
    # All that is remembered of the past: when everybody had finished, the last s + 1 times.
    finished, since = np.zeros((slack + 1, len(sizes))), np.zeros(len(sizes))
    for number in range(warm + rounds):
        draws = unit.draw(rng, (len(owner),))
        oldest = number % (slack + 1)
        ended = np.maximum(ended, finished[oldest][owner]) + draws + t_comm
        finished[oldest] = np.maximum.reduceat(ended, begins)
        if number == warm - 1:
            since = finished[oldest].copy()
        elif number >= warm:
            drawn += np.add.reduceat(draws, begins) / sizes
    # What draws take above their mean is taken off: it would move the iterations by as much.
    excess = (finished[(warm + rounds - 1) % (slack + 1)] - since - drawn) / rounds - t_comm
    starts = np.cumsum(copies) - copies
    return np.asarray(np.maximum(np.add.reduceat(excess, starts) / copies, 0.0))


def _limit_excess(unit: Law, t_comm: float, slack: float, workers: float) -> float:
    """Return the excess of an iteration in the limit of many workers, in means of a law of mean 1."""
    from scipy.optimize import brentq  # noqa: PLC0415

    lockstep = float(slowest_s(workers, unit))
    first, last = _ends(unit)
    span = max(8 * slack * (1 + t_comm) + 8 * (lockstep - first), 2 * (last - first))
    low, high = unit.cv**2 / span, lockstep - 1
    if low >= high:
        return high
    lattice = _Lattice(unit, first, span)

    def beyond(inverse: float) -> float:
        # In the inverse, because in heavy traffic a backlog is in proportion to it.
        every = 1 + 1 / inverse
        return lattice.longest_backlog(every, workers) - slack * (every + t_comm)

    if beyond(1 / high) >= 0:
        return high
    if beyond(1 / low) <= 0:
        return low
    return 1 / float(brentq(beyond, 1 / high, 1 / low, rtol=1e-3))


class _Lattice:
    """A law of mean 1 on equidistant durations, and the backlog of a queue that it serves."""

    def __init__(self, unit: Law, first: float, span: float) -> None:
        self.step, self.cv = span / _POINTS, unit.cv
        self.weights = _weights(unit, first, self.step)
        # Whatever rounding to the lattice did to the mean is put right by moving all of it.
        self.first = 1 - float(self.weights @ np.arange(_POINTS)) * self.step
        self.angles = 2 * np.pi * np.fft.rfftfreq(_POINTS)
        self.waves = np.exp(1j * self.angles)
        self.seen, self.taken = np.fft.rfft(self.weights), np.flatnonzero(self.weights)

    def longest_backlog(self, every: float, workers: float) -> float:
        """Return the mean of the largest of n backlogs, each after a service and before the next customer."""
        theta = self._tilt(every)
        tilted = self._tilted(every, theta)
        # Spitzer: the positive part of log(1 - E z^Y) belongs to the supremum. The tilt, and the zero of 1 - E z^Y that
        # is divided out, keep what belongs to the negative part from coming round.
        zero = np.exp(-theta * self.step) * self.waves
        series = np.fft.irfft(np.log(1 - tilted) - np.log(1 - zero), _POINTS)
        half = np.arange(1, _POINTS // 2)
        positive = np.zeros(_POINTS)
        positive[1 : _POINTS // 2] = series[1 : _POINTS // 2] * np.exp(-theta * self.step * half)
        factor = np.fft.rfft(positive)
        served = np.cumsum(np.fft.irfft(np.exp(factor[0] - factor) * self.seen, _POINTS)).clip(0, 1)
        return self.first + self.step * float((1 - served**workers).sum()) - every

    def _tilt(self, every: float) -> float:
        """Return a theta, among halves of what a normal law would have, near the least mean of e^(theta Y)."""
        theta = (every - 1) / self.cv**2
        mass, half = (self._mass(every, one) for one in (theta, theta / 2))
        while (half < mass or mass >= 1) and theta * self.step > 1e-12:
            theta, mass = theta / 2, half
            half = self._mass(every, theta / 2)
        return theta

    def _mass(self, every: float, theta: float) -> float:
        with np.errstate(over="ignore"):
            return float(self.weights[self.taken] @ np.exp(theta * (self.first + self.step * self.taken - every)))

    def _tilted(self, every: float, theta: float) -> NDArray[np.complex128]:
        """Return the transform of e^(theta Y) times the law of Y = X - every, on the lattice."""
        back, part = divmod((every - self.first) / self.step, 1.0)
        grown = np.zeros(_POINTS)
        grown[self.taken] = self.weights[self.taken] * np.exp(theta * self.step * (self.taken - back))
        shifted = np.exp(1j * back * self.angles) * (1 - part + part * np.exp(-theta * self.step) * self.waves)
        return np.asarray(np.fft.rfft(grown) * shifted)


def _ends(unit: Law) -> tuple[float, float]:
    """Return the shortest duration, to 16 digits, and the longest sample; for a law without samples twice the first."""
    if unit.samples_s:
        return min(unit.samples_s), max(unit.samples_s)
    first = float(quantile_s(unit, np.array([-36.0]))[0])
    return first, first


def _weights(unit: Law, first: float, step: float) -> Floats:
    """Return the probability of each duration of a lattice that begins about where the law does."""
    if unit.samples_s:
        return _sample_weights(unit, step)
    places = first + step * (np.arange(_POINTS) + 0.5)
    weights = np.diff(distribution(unit, np.asarray(places)), prepend=0.0)
    # Below this only rounding is left, which a tilt would blow up.
    weights[weights < 1e-15] = 0.0
    return np.asarray(weights / weights.sum())


def _sample_weights(unit: Law, step: float) -> Floats:
    """Spread samples over the lattice, and a little about themselves: multiples of one time would never mix."""
    values = np.asarray(unit.samples_s)
    width = max(2, round(0.05 * unit.cv / step))
    place = (values - values.min()) / step
    left = place.astype(np.int64)
    shares = np.bincount(left, 1 - place + left, _POINTS) + np.bincount(left + 1, place - left, _POINTS)
    return np.asarray(np.convolve(shares / len(values), np.full(width, 1 / width))[:_POINTS])
