r"""Closed queueing networks: N workers go round between their gradients and the two directions of the server's link.

The gradient is a delay station, each direction of the link a station that all workers share. With equal sharing the
network has product form whatever the laws of the times are, so that the mean value analysis of Reiser and Lavenberg
(1980) is exact for it; so it is for a semaphore with exponential transfer times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speedup.errors import UnitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

EXACT_CLASSES = 18
"""Unequal workers up to which their network is solved exactly, over 2^N populations."""
_HALVINGS = 60


def mva_throughput(workers: int, t_grad: ArrayLike, t_comm: ArrayLike, *, up_ratio: float = 1.0) -> Floats:
    r"""Return the throughput of 1 to N equal workers [batches/s], by exact mean value analysis.

    .. math::
        R_d(n) = s_d\,(1 + q_d(n-1)), \qquad X(n) = \frac{n}{Z + R_{up}(n) + R_{down}(n)}, \qquad q_d(n) = X(n)\,R_d(n)

    for both directions d, with :math:`Z` = t_grad, :math:`s_{up}` = u t_comm, :math:`s_{down}` = (2 - u) t_comm and
    :math:`q_d(0) = 0`.

    Args:
        workers: Largest number of workers N.
        t_grad: Mean gradient time [s]; arrays broadcast.
        t_comm: Mean transfer time [s], of both directions.
        up_ratio: u, t_up by the mean of t_up and t_down, in [0, 2].

    Returns:
        X(1) to X(N) along the first axis.

    Source:
        M. Reiser, S. S. Lavenberg: Mean-value analysis of closed multichain queuing networks. J. ACM 27 (1980).

    Example:
        >>> mva_throughput(3, 1.0, 0.1).round(4)
        array([0.8333, 1.6438, 2.4279])
    """
    s = np.asarray(t_comm, dtype=np.float64)
    return stations_throughput(workers, t_grad, [up_ratio * s, (2 - up_ratio) * s])


def stations_throughput(workers: int, t_grad: ArrayLike, demands: Sequence[ArrayLike]) -> Floats:
    r"""Return the throughput of 1 to N equal workers that pass any stations one after another [batches/s].

    .. math:: R_d(n) = s_d\,(1 + q_d(n-1)), \qquad X(n) = \frac{n}{Z + \sum_d R_d(n)}, \qquad q_d(n) = X(n)\,R_d(n)

    Exact for stations that share their rate equally, and for those that serve one after another in exponential times.

    Args:
        workers: Largest number of workers N.
        t_grad: Mean gradient time Z [s]; arrays broadcast.
        demands: Mean time :math:`s_d` of a visit at each station, when nobody else is there [s].

    Returns:
        X(1) to X(N) along the first axis.

    Source:
        M. Reiser, S. S. Lavenberg: Mean-value analysis of closed multichain queuing networks. J. ACM 27 (1980).

    Example:
        >>> stations_throughput(2, 1.0, [0.1, 0.3, 0.1]).round(4)
        array([0.6667, 1.2712])
    """
    z, *visits = np.broadcast_arrays(*(np.asarray(one, dtype=np.float64) for one in (t_grad, *demands)))
    s = np.stack(visits)
    rates, queue = np.empty((workers, *z.shape)), np.zeros(s.shape)
    for n in range(1, workers + 1):
        residence = s * (1 + queue)
        rates[n - 1] = n / (z + residence.sum(axis=0))
        queue = rates[n - 1] * residence
    return rates


def approximate_throughput(workers: ArrayLike, think: ArrayLike, *demands: ArrayLike) -> Floats:
    r"""Return the throughput of equal workers for any counts at once [batches/s], by Schweitzer's approximation.

    .. math:: X \Bigl(Z + \sum_d \frac{s_d}{1 - \frac{N-1}{N} X s_d}\Bigr) = N

    An arriving transfer finds (N - 1)/N of the mean queue, so that no recursion over the population is needed. For two
    stations alike it is below the exact throughput by at most 3.4 %, at the knee, and by less everywhere else.

    Args:
        workers: Worker counts N; arrays broadcast.
        think: Z, what a worker does by itself [s].
        demands: s_d, its visit to each station [s].

    Source:
        P. Schweitzer: Approximate analysis of multiclass closed networks of queues. 1979.

    Example:
        >>> approximate_throughput([1, 2, 3], 1.0, 0.1, 0.1).round(4)
        array([0.8333, 1.6422, 2.4223])
    """
    n, z, *stations = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in (workers, think, *demands)))
    s = np.stack(stations)
    others = (n - 1) / n
    # The root lies below what the busiest station, and what nobody waiting, would allow.
    with np.errstate(divide="ignore"):
        high = np.minimum(n / (z + s.sum(axis=0)), 1 / (others * s.max(axis=0)))
    low = np.zeros_like(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        taken = middle * (z + (s / (1 - others * middle * s)).sum(axis=0))
        low, high = np.where(taken < n, middle, low), np.where(taken < n, high, middle)
    return np.asarray((low + high) / 2)


def shared_stations_throughput(
    workers: int, t_grad: float, t_comm: float, links: float, *, serving: float = 0.0
) -> Floats:
    r"""Return the throughput of 1 to N equal workers with a sharded server [batches/s].

    n workers that pull at once from :math:`m` equal shards, each as fast as a worker's own link, move
    :math:`\min(n, m)` payloads in the time of one: stations whose rate depends on how many they serve. The network
    still has product form, and is solved by convolution,

    .. math:: X(n) = \frac{G(n-1)}{G(n)}, \qquad G = f_Z * f_s * f_s, \qquad
        f_Z(j) = \frac{Z^j}{j!}, \quad f_s(j) = \prod_{i=1}^{j} \frac{s}{\min(i, m)} .

    Of unequal shards the largest decides, :math:`m = 1 / \max_i f_i`: exact while all workers pull at once, close
    otherwise. :math:`m = 1` is a central server. Work of the shards is a station more, of constant rate, as each worker
    needs all of them: :math:`f_p(j) = p^j`.

    Args:
        workers: Largest number of workers N.
        t_grad: Mean gradient time [s].
        t_comm: Mean time of one transfer of all weights [s].
        links: m, at least 1.
        serving: p, work of a shard for each visit of a worker [s].

    Returns:
        X(1) to X(N), shape (N,).

    Source:
        J. P. Buzen: Computational algorithms for closed queueing networks with exponential servers. CACM 16 (1973).

    Example:
        >>> bool(np.allclose(shared_stations_throughput(8, 1.0, 0.1, 1), mva_throughput(8, 1.0, 0.1)))
        True
    """
    if links < 1:
        raise UnitError(f"links = {links:g}; it must be at least 1.")
    count = np.arange(1, workers + 1)
    with np.errstate(divide="ignore"):
        delay = np.append(0.0, np.cumsum(np.log(t_grad) - np.log(count)))
        station = np.append(0.0, np.cumsum(np.log(t_comm) - np.log(np.minimum(count, links))))
    constant = _log_convolve(_log_convolve(station, station), delay)
    if serving:
        constant = _log_convolve(constant, np.arange(workers + 1) * np.log(serving))
    return np.exp(constant[:-1] - constant[1:])


def _log_convolve(one: Floats, other: Floats) -> Floats:
    """Return the logarithms of the first terms of a convolution of two positive sequences, given theirs."""
    return np.array([np.logaddexp.reduce(one[: n + 1] + other[n::-1]) for n in range(len(one))])


def machine_repairman_throughput(workers: int, t_grad: ArrayLike, t_comm: ArrayLike) -> Floats:
    r"""Return the throughput of 1 to N equal workers that use one direction only [batches/s], M/M/1//N.

    .. math:: X(N) = \frac{1 - p_0}{s}, \qquad
        \frac{1}{p_0} = \sum_{n=0}^{N} \frac{N!}{(N-n)!} \left(\frac{s}{Z}\right)^n

    with :math:`p_0` by the recursion of Erlang's loss formula, which stays in range for any N.

    Args:
        workers: Largest number of workers N.
        t_grad: Mean gradient time [s].
        t_comm: Mean transfer time [s].

    Returns:
        X(1) to X(N) along the first axis.

    Example:
        >>> machine_repairman_throughput(2, 1.0, 1.0).round(4)
        array([0.5, 0.8])
    """
    z, s = np.broadcast_arrays(np.asarray(t_grad, dtype=np.float64), np.asarray(t_comm, dtype=np.float64))
    rates, idle, load = np.empty((workers, *z.shape)), np.ones(z.shape), z / s
    for n in range(1, workers + 1):
        idle = load * idle / (n + load * idle)
        rates[n - 1] = (1 - idle) / s
    return rates


@dataclass(frozen=True, slots=True, eq=False)
class Throughputs:
    """The throughput of unequal workers.

    Attributes:
        workers: Of each worker [batches/s], shape (N,).
        exact: Whether it is the exact solution.
    """

    workers: Floats
    exact: bool

    @property
    def total(self) -> float:
        """Of all of them [batches/s]."""
        return float(self.workers.sum())


def multiclass_throughput(t_grad: Sequence[float], t_comm: Sequence[float]) -> Throughputs:
    r"""Return the throughput of unequal workers, one customer a class.

    .. math::
        R_i(S) = s_i \Bigl(1 + \sum_{j \in S \setminus i} q_j(S \setminus i)\Bigr), \qquad
        X_i(S) = \frac{1}{Z_i + 2 R_i(S)}, \qquad q_i = X_i R_i

    over all sets S of workers, :math:`2^N` of them; beyond ``EXACT_CLASSES`` workers Bard's and Schweitzer's
    approximation. Equal sharing of the server's link by payloads of unequal length; links of unequal speed have no
    product form.

    Args:
        t_grad: Mean gradient time of each worker [s], shape (N,).
        t_comm: Mean transfer time of each worker [s], shape (N,).

    Raises:
        UnitError: The two differ in length, or are empty.

    Example:
        >>> multiclass_throughput([1.0, 1.0], [0.1, 0.1]).total.__round__(4)
        1.6438
    """
    z, s = np.asarray(t_grad, dtype=np.float64), np.asarray(t_comm, dtype=np.float64)
    if z.shape != s.shape or z.ndim != 1 or not z.size:
        raise UnitError(f"t_grad has {z.size} values and t_comm {s.size}; give one of each a worker.")
    if len(z) > EXACT_CLASSES:
        return Throughputs(bard_schweitzer_throughput(z, s), exact=False)
    return Throughputs(_exact_multiclass(z, s), exact=True)


def _exact_multiclass(z: Floats, s: Floats) -> Floats:
    """Go through the sets of workers by their size; a set is the number whose bits are its members."""
    count = len(z)
    queues = np.zeros(1 << count)
    sets = np.arange(1 << count, dtype=np.int64)
    sizes = np.bitwise_count(sets)
    rates = np.zeros(count)
    for size in range(1, count + 1):
        chosen = sets[sizes == size]
        total = np.zeros(len(chosen))
        for worker in range(count):
            present = np.flatnonzero(chosen >> worker & 1)
            residence = s[worker] * (1 + queues[chosen[present] ^ (1 << worker)])
            rate = 1 / (z[worker] + 2 * residence)
            total[present] += rate * residence
            if size == count:
                rates[worker] = rate[0]
        queues[chosen] = total
    return rates


def bard_schweitzer_throughput(t_grad: Floats, t_comm: Floats, *, tolerance: float = 1e-12) -> Floats:
    r"""Return the throughput of unequal workers by Bard's and Schweitzer's fixed point [batches/s], shape (N,).

    .. math:: R_i = s_i \Bigl(1 + \sum_{j \ne i} q_j\Bigr), \qquad X_i = \frac{1}{Z_i + 2 R_i}, \qquad q_i = X_i R_i

    A worker that arrives sees the others as they are on average.

    Args:
        t_grad: Mean gradient time of each worker [s], shape (N,).
        t_comm: Mean transfer time of each worker [s], shape (N,).
        tolerance: Relative change of the queues at which to stop.
    """
    queues = np.zeros(len(t_grad))
    for _ in range(10_000):
        residence = t_comm * (1 + queues.sum() - queues)
        found = residence / (t_grad + 2 * residence)
        # Half-way between old and new: near saturation the plain iteration swings.
        changed, queues = np.abs(found - queues).max(), (found + queues) / 2
        if changed <= tolerance * max(1.0, float(queues.max())):
            break
    residence = t_comm * (1 + queues.sum() - queues)
    return np.asarray(1 / (t_grad + 2 * residence))
