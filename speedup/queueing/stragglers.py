r"""Stragglers: how long many workers take where each takes a time of its own.

Who waits for n workers waits for the slowest of n draws. The k-th of n draws of a law with quantile function Q takes

.. math:: E X_{(k:n)} = \int_0^1 Q(u)\, \frac{u^{k-1} (1-u)^{n-k}}{B(k, n-k+1)}\, du

on average. It is integrated over :math:`v = \ln(u / (1-u))`, where the mode and both tails are known, and where the sum
over equidistant points converges exponentially. It is an analytic function of :math:`\ln k` and :math:`\ln(n-k+1)`, so
that for many counts at once it is interpolated between Chebyshev nodes of both.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from speedup.errors import UnitError
from speedup.laws import Law, LawKind
from speedup.units import not_negative, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_POINTS = 256
"""Points of the sum in place of the integral; the relative error is below 1e-10 for cv up to 2, 1e-7 for cv 4."""
_DIRECT = 256
"""Pairs of counts up to which nothing is interpolated."""
_TERMS = 1_000_000
"""Terms of sums over samples that are in memory at once."""
_SPEEDS = 512
"""Different speeds up to which they are taken as they are."""
_PANELS, _ORDER = 24, 12


def slowest_s(workers: ArrayLike, law: Law, among: ArrayLike | None = None) -> Floats:
    r"""Return the mean time until ``workers`` have finished [s].

    .. math:: t = E X_{(n:m)}, \qquad E X_{(n:n)} = \int_0^\infty \left(1 - F(t)^n\right) dt

    for n workers among m that begin together, with independent times of law F: with m = n the slowest of n. A sequence
    is taken as samples drawn with replacement. Exponential times have
    :math:`\bar t\,(H_m - H_{m-n})`; a constant before them, as in shifted exponential times, is added to it.

    Args:
        workers: n, the workers waited for, any shape; whole numbers of at least 1.
        law: Law of the time of one worker.
        among: m, the workers that begin, at least n; the same as ``workers`` if left out.

    Returns:
        Mean time [s], of the shape that both broadcast to. Its relative error is below 1e-9 for cv up to 2.

    Raises:
        UnitError: A count is no whole number, is below 1, or n is above m.

    Source:
        S. Dutta et al.: Slow and stale gradients can win the race. AISTATS 2018, section 4; H. A. David, H. N.
        Nagaraja: Order Statistics (2003), chapter 3.

    Example:
        >>> slowest_s([1, 8, 64], Law.named("gamma", 1.0, 0.2)).round(3)
        array([1.   , 1.302, 1.531])
        >>> float(slowest_s(8, Law.named("exponential", 1.0), among=10).round(6))
        1.428968
    """
    n, m = np.broadcast_arrays(_counts("workers", workers), _counts("among", workers if among is None else among))
    if (n > m).any():
        raise UnitError(
            f"workers = {n[n > m][0]:g} are waited for among {m[n > m][0]:g}; it cannot be more than begin."
        )
    if not law.cv:
        return np.full(n.shape, law.mean_s)
    if law.kind is LawKind.EXPONENTIAL:
        return np.asarray(law.mean_s * (_harmonic(m) - _harmonic(m - n)))
    # A table asks the same for each kind of plan, and whoever varies the network asks for the same table again.
    return _kth_of_law_s(law, n.tobytes(), (m - n + 1).tobytes()).reshape(n.shape).copy()


@lru_cache(maxsize=64)
def _kth_of_law_s(law: Law, ranks: bytes, behinds: bytes) -> Floats:
    rank, behind = (np.frombuffer(one, dtype=np.float64) for one in (ranks, behinds))
    if law.samples_s:
        return _kth_sample_s(law, rank, behind)
    return _interpolated(lambda a, b: _kth_draw_s(law, a, b), rank, behind)


def kth_s(workers: ArrayLike, law: Law, backup: ArrayLike) -> Floats:
    r"""Return the mean time until all workers but the slowest few have finished [s]: backup workers, K-sync.

    .. math:: t = E X_{(n-b:n)}

    Args:
        workers: n, all workers, any shape.
        law: Law of the time of one worker.
        backup: b, the slowest whose gradients are dropped; at least 0 and below n. With 0 it is ``slowest_s``.

    Returns:
        Mean time [s], of the shape that both broadcast to.

    Raises:
        UnitError: A count is no whole number or out of its range.

    Source:
        J. Chen et al.: Revisiting distributed synchronous SGD (2016); K-sync SGD in S. Dutta et al.: Slow and stale
        gradients can win the race. AISTATS 2018.

    Example:
        >>> kth_s(64, Law.named("lognormal", 1.0, 0.5), backup=[0, 4]).round(3)
        array([2.771, 1.797])
    """
    n, dropped = _counts("workers", workers), _counts("backup", backup, minimum=0)
    if (dropped >= n).any():
        raise UnitError(f"backup = {dropped.max():g} of {n.min():g} workers; at least one must be waited for.")
    return slowest_s(n - dropped, law, among=n)


def local_steps_law(law: Law, steps: int) -> Law:
    r"""Return the law of the time of H gradients in a row, between two rounds of communication.

    .. math:: \bar t_H = H\, \bar t, \qquad c_H = c / \sqrt{H}

    Exact for gamma, exponential and constant times and for a sequence, whose samples are added as they follow each
    other. The sum of lognormal times is taken as lognormal (Fenton and Wilkinson), that of samples as gamma or
    lognormal, whichever has their skewness: the slowest of 1000 such sums is up to 4 % off for cv 0.5, 8 % for cv 1.

    Args:
        law: Law of the time of one gradient.
        steps: H, local steps between two rounds; 1 returns the law itself.

    Raises:
        UnitError: It is no whole number of at least 1.

    Source:
        S. U. Stich: Local SGD converges fast and communicates little. ICLR 2019; T. Lin et al.: Don't use large
        mini-batches, use local SGD (2018).

    Example:
        >>> local_steps_law(Law.named("gamma", 0.5, 0.4), 16)
        Law(mean_s=8.0, cv=0.1, kind=<LawKind.GAMMA: 'gamma'>, samples_s=())
    """
    count = whole("steps", steps)
    if count == 1 or not law.cv:
        return law.scaled(count)
    if law.kind is LawKind.SEQUENCE:
        samples = np.resize(law.samples_s, (len(law.samples_s) // math.gcd(len(law.samples_s), count), count))
        return Law.of_samples(samples.sum(axis=1).tolist(), in_order=True)
    kind = LawKind.LOGNORMAL if law.kind is LawKind.LOGNORMAL or _skewed(law) else LawKind.GAMMA
    return Law(law.mean_s * count, law.cv / math.sqrt(count), kind)


def join_s(speeds: ArrayLike, law: Law) -> float:
    r"""Return the mean time of unequal workers for a batch each [s]: that of the slowest.

    .. math:: t = E \max_i \frac{X_i}{r_i} = \int_0^\infty \Bigl(1 - \prod_i F(r_i t)\Bigr) dt

    which is :math:`\bar t / \min_i r_i` for constant times. Beyond 512 different speeds they are put on a grid of 512.

    Args:
        speeds: :math:`r_i`, speed of each worker, shape (N,); one of speed 1 takes times of the law.
        law: Law of the time of a batch at speed 1.

    Returns:
        Mean time [s]. Its relative error is below 1e-8, and about 1e-4 on the grid.

    Raises:
        UnitError: There is no speed, or one is not finite and above 0.

    Source:
        The distribution of the largest of independent draws; H. A. David, H. N. Nagaraja: Order Statistics (2003).

    Example:
        >>> join_s([1.0, 1.0, 0.5], Law(1.0)), round(join_s([1.0, 1.0, 0.5], Law.named("gamma", 1.0, 0.3)), 3)
        (2.0, 2.023)
    """
    speed = _checked_speeds(speeds)
    if not law.cv:
        return law.mean_s / float(speed.min())
    if speed.min() == speed.max():
        return float(slowest_s(len(speed), law) / speed[0])
    rates, number = _gathered(speed)
    if law.samples_s:
        return _slowest_sample_s(law, rates, number)
    return _slowest_draw_s(law, rates, number)


def split_s(speeds: ArrayLike, law: Law, *, proportional: bool = True) -> float:
    r"""Return the mean time in which unequal workers compute one batch together [s].

    .. math:: t_{prop} = \frac{E \max_i X_i}{\sum_i r_i}, \qquad t_{equal} = \frac{1}{N} E \max_i \frac{X_i}{r_i}

    Parts in proportion to the speeds take all workers equally long, up to the spread of the times; equal parts wait for
    the slowest worker. The time of a part has the coefficient of variation of the law: give that of a part, whose mean
    is that of a whole batch, where they differ.

    Args:
        speeds: :math:`r_i`, speed of each worker, shape (N,).
        law: Law of the time of a batch at speed 1.
        proportional: Whether parts are in proportion to the speeds, or equal.

    Raises:
        UnitError: There is no speed, or one is not finite and above 0.

    Source:
        Equations X.4 and X.5, for times that vary.

    Example:
        >>> speeds = [1.0, 1.0, 2.0]
        >>> split_s(speeds, Law(1.0)), round(split_s(speeds, Law(1.0), proportional=False), 3)
        (0.25, 0.333)
    """
    speed = _checked_speeds(speeds)
    if proportional:
        return float(slowest_s(len(speed), law) / speed.sum())
    return join_s(speed, law) / len(speed)


def async_rate(speeds: ArrayLike, law: Law, *, t_comm_s: float = 0.0) -> float:
    r"""Return the throughput of unequal workers that never wait for each other [batches/s].

    .. math:: X = \sum_i \frac{1}{\bar t / r_i + t_{comm}}

    Nobody waits, so the spread of the times does not matter. Nor does anybody queue here: where workers share a link,
    ``multiclass_throughput`` has unequal ones.

    Args:
        speeds: :math:`r_i`, speed of each worker, shape (N,).
        law: Law of the time of a batch at speed 1; its mean counts.
        t_comm_s: What a worker spends on communication for each batch [s].

    Raises:
        UnitError: There is no speed, one is not finite and above 0, or t_comm is negative.

    Source:
        Equation X.7, which has no communication in it.

    Example:
        >>> async_rate([1.0, 1.0, 0.5], Law.named("gamma", 0.5, 0.3))
        5.0
    """
    t_comm = not_negative("t_comm", t_comm_s, "s")
    return float((1 / (law.mean_s / _checked_speeds(speeds) + t_comm)).sum())


def _counts(what: str, values: ArrayLike, *, minimum: int = 1) -> Floats:
    """Return counts as floats, or say which is none."""
    found = np.asarray(values, dtype=np.float64)
    wrong = ~(np.isfinite(found) & (found >= minimum) & (found == np.floor(found)))
    if wrong.any():
        raise UnitError(f"{what} = {found[wrong][0]:g}; it must be a whole number of at least {minimum}.")
    return found


def _checked_speeds(values: ArrayLike) -> Floats:
    speed = np.asarray(values, dtype=np.float64).ravel()
    if not speed.size:
        raise UnitError("there are no speeds; give one for each worker.")
    wrong = ~(np.isfinite(speed) & (speed > 0))
    if wrong.any():
        raise UnitError(f"speed = {speed[wrong][0]:g}; it must be finite and > 0, 1 where the law holds as it is.")
    return speed


def _harmonic(count: Floats) -> Floats:
    from scipy.special import digamma  # noqa: PLC0415 - SciPy is loaded by those who need it

    return np.asarray(digamma(count + 1) + np.euler_gamma)


def quantile_s(law: Law, logit: Floats) -> Floats:
    """Return the time that a draw of a gamma, lognormal or exponential law exceeds with probability 1 - u [s].

    Args:
        law: The law.
        logit: ln(u / (1 - u)), in which both tails keep their digits, any shape.
    """
    from scipy.special import expit, gammainccinv, gammaincinv, ndtri  # noqa: PLC0415

    if law.kind is LawKind.EXPONENTIAL:
        return np.asarray(law.mean_s * np.logaddexp(0.0, logit))
    above, tail = logit > 0, expit(-np.abs(logit))
    if law.kind is LawKind.LOGNORMAL:
        normal = ndtri(tail)
        return np.asarray(np.exp(law.log_median + law.sigma * np.where(above, -normal, normal)))
    found, shape = np.empty(logit.shape), law.cv**-2
    found[above], found[~above] = gammainccinv(shape, tail[above]), gammaincinv(shape, tail[~above])
    return law.mean_s / shape * found


def distribution(law: Law, seconds: Floats) -> Floats:
    """Return the probability that a draw of a gamma, lognormal or exponential law is at most so long.

    Args:
        law: The law.
        seconds: Durations [s], any shape; below 0 the probability is 0.
    """
    from scipy.special import gammainc, ndtr  # noqa: PLC0415

    t = np.maximum(seconds, 0.0)
    if law.kind is LawKind.EXPONENTIAL:
        return -np.expm1(-t / law.mean_s)
    if law.kind is LawKind.GAMMA:
        return np.asarray(gammainc(law.cv**-2, t / (law.mean_s * law.cv**2)))
    with np.errstate(divide="ignore"):
        return np.asarray(ndtr((np.log(t) - law.log_median) / law.sigma))


def _kth_draw_s(law: Law, rank: Floats, behind: Floats) -> Floats:
    r"""Return E X of U from Beta(a, b), a = k and b = n - k + 1, for draws of a gamma or lognormal law [s].

    With v = ln(a/b) + d the density is, up to a factor, :math:`e^{a d} (1 + p (e^d - 1))^{-(a+b)}`, p = a / (a + b):
    normal in the middle, falling like :math:`e^{a d}` on the left and :math:`e^{-b d}` on the right.
    """
    a, b = rank[..., None], behind[..., None]
    middle = 9 * np.sqrt(1 / a + 1 / b)
    # A heavy tail moves what counts to the right: exp(sigma sqrt(2 v)) against exp(-b v).
    growth = 48 + (12 * law.sigma if law.kind is LawKind.LOGNORMAL else 0.0)
    low, high = -middle - 40 / a, middle + growth / b
    away = low + (high - low) * np.linspace(0, 1, _POINTS)
    weights = np.exp(a * away - (a + b) * np.log1p(a / (a + b) * np.expm1(away)))
    values = quantile_s(law, np.log(a / b) + away)
    return np.asarray((weights * values).sum(axis=-1) / weights.sum(axis=-1))


def _kth_sample_s(law: Law, rank: Floats, behind: Floats) -> Floats:
    r"""Return the mean k-th of n draws among samples, with replacement [s].

    .. math:: x_{(1)} + \sum_{j<M} (x_{(j+1)} - x_{(j)}) \left(1 - I_{j/M}(k, n-k+1)\right)

    with I the regularised incomplete beta function, which is :math:`(j/M)^n` for the slowest.
    """
    from scipy.special import betainc, expit  # noqa: PLC0415

    values, count = np.unique(np.asarray(law.samples_s), return_counts=True)
    part, gaps = np.cumsum(count)[:-1] / count.sum(), np.diff(values)

    # Only samples near the k-th of n parts count; the others lie below or above it for certain, to 15 digits.
    a, b = rank.ravel(), behind.ravel()
    logit, reach = np.log(a / b), 9 * np.sqrt(1 / a + 1 / b)
    above, under = ((count + 9 * np.sqrt(count) + 40) / (a + b) for count in (b, a))
    first = np.searchsorted(part, np.maximum(expit(logit - reach - 36 / a), 1 - above))
    length = np.searchsorted(part, np.minimum(expit(logit + reach + 36 / b), under)) - first
    chunks = np.searchsorted(np.cumsum(length), np.arange(_TERMS, length.sum(), _TERMS))
    found = values[first]
    for pairs in np.split(np.arange(len(a)), chunks):
        owner = np.repeat(pairs, length[pairs])
        offset = np.cumsum(length[pairs]) - length[pairs]
        sample = np.arange(len(owner)) + np.repeat(first[pairs] - offset, length[pairs])
        below = part[sample] ** a[owner] if (b == 1).all() else betainc(a[owner], b[owner], part[sample])
        found += np.bincount(owner, gaps[sample] * (1 - below), len(a))
    return np.asarray(found.reshape(rank.shape))


def _interpolated(exact: Callable[[Floats, Floats], Floats], a: Floats, b: Floats) -> Floats:
    """Return a positive function of two counts, from Chebyshev nodes in the logarithms where there are many pairs.

    Args:
        exact: The function; arrays broadcast.
        a: The first count, any shape.
        b: The second, of the same shape.
    """
    if a.size <= _DIRECT:
        return exact(a, b)
    (first, one), (second, other) = (_chebyshev(values.ravel()) for values in (a, b))
    logs = np.log(exact(first[:, None], second[None, :]))
    weights = [np.polynomial.chebyshev.chebvander(_nodes(len(found)), len(found) - 1) for found in (first, second)]
    halves = [np.where(np.arange(len(found)) > 0, 2.0, 1.0) / len(found) for found in (first, second)]
    terms = (weights[0] * halves[0]).T @ logs @ (weights[1] * halves[1])
    return np.asarray(np.exp(((one @ terms) * other).sum(axis=-1)).reshape(a.shape))


def _nodes(count: int) -> Floats:
    """Return the zeros of a Chebyshev polynomial."""
    return np.cos(np.pi * (np.arange(count) + 0.5) / count)


def _chebyshev(values: Floats) -> tuple[Floats, Floats]:
    """Return the nodes between the extreme values, and the polynomials at the values, shape (size, nodes)."""
    low, high = np.log(values.min()), np.log(values.max())
    if low == high:
        return values[:1], np.ones((len(values), 1))
    middle, half = (low + high) / 2, (high - low) / 2
    # Analytic up to pi from the real axis: each node lowers the error by exp(asinh(pi / half)), in the end to 1e-10.
    count = math.ceil(23 / math.asinh(math.pi / half)) + 4
    places = (np.log(values) - middle) / half
    return np.exp(middle + half * _nodes(count)), np.polynomial.chebyshev.chebvander(places, count - 1)


def _skewed(law: Law) -> bool:
    """Whether samples are nearer to a lognormal law's skewness than to that of a gamma law."""
    if not law.samples_s:
        return False
    skewness = float((((np.asarray(law.samples_s) - law.mean_s) / (law.cv * law.mean_s)) ** 3).mean())
    return skewness > (2 * law.cv + 3 * law.cv + law.cv**3) / 2


def _gathered(speed: Floats) -> tuple[Floats, Floats]:
    """Return different speeds and how many workers have each, on a grid of the logarithm where there are too many."""
    rates, count = np.unique(speed, return_counts=True)
    number = count.astype(np.float64)
    if len(rates) <= _SPEEDS:
        return rates, number
    low, high = np.log(rates[0]), np.log(rates[-1])
    place = (np.log(rates) - low) / (high - low) * (_SPEEDS - 1)
    left = np.minimum(place.astype(np.int64), _SPEEDS - 2)
    shared = np.bincount(left, number * (1 - place + left), _SPEEDS)
    shared += np.bincount(left + 1, number * (place - left), _SPEEDS)
    return np.exp(np.linspace(low, high, _SPEEDS)), np.asarray(shared, dtype=np.float64)


def _slowest_draw_s(law: Law, rates: Floats, number: Floats) -> float:
    """Integrate the probability that somebody is still at work, by Gauss's rule on panels of the logarithm of time."""
    taken = number > 0
    rates, number = rates[taken], number[taken]
    # Below `low` some group has not finished, to 16 digits; above `high` everybody has.
    low = (quantile_s(law, -37 / number + np.log(-1 / np.expm1(-37 / number))) / rates).max()
    high = (quantile_s(law, np.full(1, 36 + np.log(number.sum()))) / rates).max()
    low = max(low, 1e-12 * high)
    points, weights = np.polynomial.legendre.leggauss(_ORDER)
    edges = np.linspace(np.log(low), np.log(high), _PANELS + 1)
    half = (edges[1] - edges[0]) / 2
    t = np.exp((edges[:-1, None] + half + half * points).ravel())
    with np.errstate(divide="ignore"):
        finished = number @ np.log(distribution(law, rates[:, None] * t))
    return float(low + half * (np.tile(weights, _PANELS) * t) @ -np.expm1(finished))


def _slowest_sample_s(law: Law, rates: Floats, number: Floats) -> float:
    """Add up the mean of the slowest draw among samples, exactly: its distribution is a staircase."""
    values, count = np.unique(np.asarray(law.samples_s), return_counts=True)
    part = np.log(np.cumsum(count) / count.sum())
    begin = float((values[0] / rates).max())
    steps = (values[1:] / rates[:, None]).ravel()
    order = np.argsort(steps)
    finished = part[0] * number.sum() + np.cumsum((number[:, None] * np.diff(part)).ravel()[order])
    ends = np.maximum(steps[order], begin)
    before = np.append(part[0] * number.sum(), finished[:-1])
    return begin + float(np.diff(ends, prepend=begin) @ -np.expm1(before))
