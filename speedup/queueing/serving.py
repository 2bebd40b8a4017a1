r"""What a server does with each gradient: its processor as a station between the two directions of its link.

Where a server adds up gradients and updates weights slower than its link brings them, its processor is what workers
wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.queueing.mva import shared_stations_throughput, stations_throughput
from speedup.units import not_negative, whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def visit_s(per_gradient_s: float, per_iteration_s: float = 0.0, *, shards: int = 1, gradients: int = 1) -> float:
    r"""Return what one worker's visit costs the processor of one of k shards [s].

    .. math:: p = \frac{1}{k} \left( a + \frac{u}{g} \right)

    Each shard holds 1/k of the weights and does 1/k of the work; all of them do it at the same time. In one synchronous
    iteration of n workers a shard works for n p, with g = n.

    Args:
        per_gradient_s: a, what one server needs for each gradient of all weights, such as adding it up [s].
        per_iteration_s: u, what it needs once an iteration, such as the optimizer's update [s].
        shards: k, servers among which the weights are shared out.
        gradients: g, gradients in an iteration: 1 where workers are asynchronous, N in synchronous training.

    Raises:
        UnitError: A time is negative, or a count no whole number of at least 1.

    Source:
        The service demand of operational analysis: E. D. Lazowska et al.: Quantitative System Performance (1984),
        chapter 3.

    Example:
        >>> visit_s(0.02, 0.08, shards=2, gradients=8)
        0.015
    """
    adding, updating = (
        not_negative("per_gradient", per_gradient_s, "s"),
        not_negative("per_iteration", per_iteration_s, "s"),
    )
    return (adding + updating / whole("gradients", gradients)) / whole("shards", shards)


def served_bound(workers: ArrayLike, t_grad: float, t_comm: float, serving: float, *, shards: int = 1) -> Floats:
    r"""Return the most that asynchronous workers of servers that work can do [batches/s], X.8.

    .. math:: X \le \min\left(\frac{N}{t_{grad} + 2 t_{comm} + p},\ \frac{k}{t_{comm}},\ \frac{1}{p}\right)

    Nobody waits, or the links of the servers never rest, or their processors. Constant times reach it at one server
    that serves one worker after another.

    Args:
        workers: N, any shape.
        t_grad: Mean gradient time [s].
        t_comm: Mean time of one transfer of all weights [s].
        serving: p, of ``visit_s``: what a visit costs the processor of a shard [s].
        shards: k, servers among which the weights are shared out.

    Returns:
        Bound of the throughput, of the shape of ``workers``.

    Raises:
        UnitError: A time is negative, or the shards are no whole number of at least 1.

    Source:
        E. D. Lazowska et al.: Quantitative System Performance (1984), chapter 5.

    Example:
        >>> served_bound([1, 8, 64], 1.0, 0.1, 0.3).round(3)
        array([0.667, 3.333, 3.333])
    """
    z, s, p = _checked(t_grad, t_comm, serving)
    with np.errstate(divide="ignore"):
        busy = np.minimum(whole("shards", shards) / np.float64(s), 1 / np.float64(p))
        return np.asarray(np.minimum(np.asarray(workers, dtype=np.float64) / np.float64(z + 2 * s + p), busy))


def served_throughput(workers: int, t_grad: float, t_comm: float, serving: float, *, shards: int = 1) -> Floats:
    r"""Return the throughput of 1 to N asynchronous workers of servers that work [batches/s].

    Up-link, processor and down-link of a server are stations in series, solved by exact mean value analysis; with k
    shards the links move as many payloads at once as there are workers, up to k, and the network is solved by
    convolution, in a time that grows with N squared.

    .. math:: X(n) = \frac{n}{t_{grad} + R_{up}(n) + R_p(n) + R_{down}(n)}

    Args:
        workers: Largest number of workers N.
        t_grad: Mean gradient time [s].
        t_comm: Mean time of one transfer of all weights [s].
        serving: p, of ``visit_s``: what a visit costs the processor of a shard [s].
        shards: k, servers among which the weights are shared out.

    Returns:
        X(1) to X(N), shape (N,). Exact where link and processor are shared equally, whatever the laws, and where times
        of a queue are exponential.

    Raises:
        UnitError: A time is negative, or a count no whole number of at least 1.

    Source:
        M. Reiser, S. S. Lavenberg: Mean-value analysis of closed multichain queuing networks. J. ACM 27 (1980).

    Example:
        >>> served_throughput(3, 1.0, 0.1, 0.3).round(4)
        array([0.6667, 1.2712, 1.8024])
    """
    z, s, p = _checked(t_grad, t_comm, serving)
    count, links = whole("workers", workers), whole("shards", shards)
    if links == 1:
        return stations_throughput(count, z, [s, p, s])
    return shared_stations_throughput(count, z, s, links, serving=p)


def _checked(t_grad: float, t_comm: float, serving: float) -> tuple[float, float, float]:
    named = (("t_grad", t_grad), ("t_comm", t_comm), ("serving", serving))
    z, s, p = (not_negative(what, value, "s") for what, value in named)
    return z, s, p
