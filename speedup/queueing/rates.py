r"""Asynchronous throughput for any spread of the times.

In the fair-share network the spread does not matter, and mean value analysis is exact. Behind a semaphore a transfer
waits for whole others, so their spread matters; and where shares of the weights live on the workers, pulls meet pushes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speedup.laws import Law
from speedup.queueing.mva import mva_throughput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def constant_cycle_s(workers: ArrayLike, t_grad: ArrayLike, t_comm: ArrayLike, *, up_ratio: float = 1.0) -> Floats:
    r"""Return the time between two pulls of a worker when no time varies [s].

    .. math:: C = \max(Z + 2 s, N s \max(u, 2 - u))

    with u = t_up by s, the mean of t_up and t_down.
    """
    n, z, s = (np.asarray(value, dtype=np.float64) for value in (workers, t_grad, t_comm))
    return np.maximum(z + 2 * s, n * s * max(up_ratio, 2 - up_ratio))


WORKER_NODES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
LOAD_NODES = (0.12, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0, 1.05, 1.15, 1.3, 1.6, 2.2, 3.5, 6.0)
CV_GRAD_NODES = (0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0)
CV_COMM_NODES = (0.0, 0.1, 0.25, 0.45, 0.7, 1.0, 1.25, 1.5, 2.0)
TABLED_LAWS = ("gamma", "lognormal")


@cache
def _excess_delays() -> Floats:
    with np.load(Path(__file__).parent / "excess_delay.npz") as file:
        return np.asarray(file["table"], dtype=np.float64)


def _place(values: ArrayLike, nodes: tuple[float, ...]) -> Floats:
    """Return where values lie among nodes, in units of the index, held between the first and the last."""
    return np.interp(np.log1p(np.asarray(values, dtype=np.float64)), np.log1p(nodes), np.arange(len(nodes)))


def excess_delay(workers: ArrayLike, t_grad: Law, t_comm: Law) -> Floats:
    r"""Return how much of the product form's queueing delay a semaphore has, :math:`\varphi`.

    It is 0 for constant times and 1 for exponential transfers, and depends on N, the load
    :math:`x = N s / (Z + 2 s)`, the two coefficients of variation and the shape of the transfer's law. It is tabulated
    by simulation for gamma and lognormal transfers (``benchmarks/excess_delay.py``) and interpolated; a law between
    the two, or beyond them, has the weight that its Gini coefficient gives it.

    Args:
        workers: Worker counts N, at least 2.
        t_grad: Law of the gradient time.
        t_comm: Law of one transfer, of mean above 0.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - SciPy is loaded by those who need it

    n = np.atleast_1d(np.asarray(workers, dtype=np.float64))
    load = n * t_comm.mean_s / (t_grad.mean_s + 2 * t_comm.mean_s)
    places = (
        _place(n, WORKER_NODES),
        _place(load, LOAD_NODES),
        _place(np.full(n.shape, t_grad.cv), CV_GRAD_NODES),
        _place(np.full(n.shape, t_comm.cv), CV_COMM_NODES),
    )
    table = _excess_delays()
    gamma, lognormal = (map_coordinates(table[..., law], places, order=1) for law in range(len(TABLED_LAWS)))
    return np.asarray(gamma + _lognormal_weight(t_comm) * (lognormal - gamma))


def _lognormal_weight(law: Law) -> float:
    """Return 0 for a law with the Gini coefficient of a gamma, 1 for that of a lognormal with the same spread."""
    if not law.cv:
        return 0.0
    gamma, lognormal = (Law.named(kind, law.mean_s, law.cv).gini for kind in TABLED_LAWS)
    return float(np.clip((law.gini - gamma) / (lognormal - gamma), -1.0, 2.0))


def semaphore_throughput(workers: ArrayLike, t_grad: Law, t_comm: Law, *, up_ratio: float = 1.0) -> Floats:
    r"""Return the throughput of equal workers behind a semaphore [batches/s].

    .. math:: X = \frac{N}{C}, \qquad C = C_{const} + \varphi\,(C_{MVA} - C_{const})

    with :math:`C_{const}` of ``constant_cycle_s``, :math:`C_{MVA} = N / X_{MVA}`, :math:`\varphi` of ``excess_delay``.

    Args:
        workers: Worker counts, shape (K,) or one.
        t_grad: Law of the gradient time.
        t_comm: Law of one transfer, of both directions.
        up_ratio: t_up by the mean of t_up and t_down. Where it is not 1 and times vary, the tabulated :math:`\varphi`
            of equal directions is rough.

    Example:
        >>> from speedup.laws import Law
        >>> semaphore_throughput([8], Law(1.0), Law(0.1)).round(6)
        array([6.666667])
    """
    n = np.asarray(workers)
    if t_comm.mean_s == 0:
        return n / t_grad.mean_s
    if t_grad.cv == t_comm.cv == 0:
        return np.asarray(n / constant_cycle_s(n, t_grad.mean_s, t_comm.mean_s, up_ratio=up_ratio))
    product = mva_throughput(int(n.max()), t_grad.mean_s, t_comm.mean_s, up_ratio=up_ratio)[n - 1]
    constant = constant_cycle_s(n, t_grad.mean_s, t_comm.mean_s, up_ratio=up_ratio)
    phi = np.where(n > 1, excess_delay(n, t_grad, t_comm).reshape(n.shape), 0.0)
    return np.asarray(n / (constant + phi * (n / product - constant)))


def fair_throughput(workers: ArrayLike, t_grad: Law, t_comm: Law, *, up_ratio: float = 1.0) -> Floats:
    """Return the throughput of equal workers that share the link fairly [batches/s]; see ``mva_throughput``.

    Args:
        workers: Worker counts, shape (K,) or one.
        t_grad: Law of the gradient time; its mean counts.
        t_comm: Law of one transfer, of both directions; its mean counts.
        up_ratio: t_up by the mean of t_up and t_down.
    """
    n = np.asarray(workers)
    return np.asarray(mva_throughput(int(n.max()), t_grad.mean_s, t_comm.mean_s, up_ratio=up_ratio)[n - 1])


def distributed_throughput(workers: ArrayLike, t_grad: Law, t_comm: Law) -> Floats:
    r"""Return the throughput of equal workers that hold equal shares of the weights, out of step [batches/s].

    Equation Q.5, whose source text tells where it comes from; no constant is fitted.

    Args:
        workers: Worker counts, shape (K,) or one.
        t_grad: Law of the gradient time; its mean counts.
        t_comm: Law of one transfer of all weights; its mean counts.

    Example:
        >>> from speedup.laws import Law
        >>> distributed_throughput([1], Law(2.0), Law(0.1))
        array([0.5])
    """
    n = np.asarray(workers, dtype=np.float64)
    z, a = t_grad.mean_s, t_comm.mean_s * (n - 1) / n
    return np.asarray(2 * n / ((z + 3 * a) + np.sqrt((z + 3 * a) ** 2 - 4 * z * a)))
