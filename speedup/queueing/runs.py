r"""Whole asynchronous runs: the first round, the steady state, and the lockstep in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.plans import Schedule
from speedup.queueing.iterations import central_iterations, distributed_iterations
from speedup.queueing.rates import constant_cycle_s, distributed_throughput, fair_throughput, semaphore_throughput

if TYPE_CHECKING:
    from speedup.laws import Law


def lockstep_excess_s(workers: int, batches: int, t_grad: Law, t_comm: Law, steady_cycle_s: float) -> float:
    r"""Return how much longer a run with fair sharing takes because its workers begin in step [s].

    Workers that begin together pull together, each N times slower, until the spread of the times has pulled them
    apart. That takes about

    .. math:: K = 1.85 \ln(1 + s/\sigma)^{1.7}, \qquad \sigma = \sqrt{(c_g Z)^2 + 7 N (c_s s)^2}

    rounds, so that of :math:`m = (D - N)/N` rounds

    .. math:: m\,(1 - e^{-K/m})\,(Z + 2 N s - C)

    are lost, C the steady cycle. Fitted to simulations; with constant times the workers stay in step for ever.
    Below a spread of about a tenth it is rough, and a simulation is better.

    Args:
        workers: N.
        batches: D, above N.
        t_grad: Law of the gradient time.
        t_comm: Law of one transfer.
        steady_cycle_s: Cycle of a worker when out of step [s].
    """
    rounds = (batches - workers) / workers
    lost = t_grad.mean_s + 2 * workers * t_comm.mean_s - steady_cycle_s
    sigma = np.hypot(t_grad.cv * t_grad.mean_s, np.sqrt(7 * workers) * t_comm.cv * t_comm.mean_s)
    if sigma == 0 or t_comm.mean_s == 0:
        return rounds * lost if t_comm.mean_s else 0.0
    lasting = 1.85 * np.log1p(t_comm.mean_s / sigma) ** 1.7
    return float(rounds * -np.expm1(-lasting / rounds) * lost)


def whole_batch_excess_s(
    workers: int, batches: int, t_grad: Law, t_comm: Law, steady_cycle_s: float, *, up_ratio: float = 1.0
) -> float:
    r"""Return how much longer a run behind a semaphore takes because batches come whole [s].

    With constant times a run of D batches is longer, or shorter, than a steady rate would have it, by

    .. math:: E = ((D-1) \bmod N)\,s' + \lfloor (D-1)/N \rfloor \max(Z + 2 s, N s') + Z + 2 s
        - \left[(N-1) s' + 2 s + Z + \tfrac{D-N}{N} \max(Z + 2 s, N s')\right], \quad s' = \max(u, 2-u)\,s

    because all workers begin together and the last round may be short. Spread wears this out like the phase of any
    oscillation, by :math:`\exp(-2.4\,(m + 9.2)\,\sigma^2/C^2)` after :math:`m = (D-N)/N` rounds, with
    :math:`\sigma^2 = (c_g Z)^2 + 2 (c_s s)^2` a cycle and C its length. The two constants were fitted to simulations.

    Args:
        workers: N.
        batches: D, above N.
        t_grad: Law of the gradient time.
        t_comm: Law of one transfer.
        steady_cycle_s: Cycle of a worker in the steady state [s].
        up_ratio: u, t_up by the mean of t_up and t_down.
    """
    z, s = t_grad.mean_s, t_comm.mean_s
    slower, cycle, left = (
        max(up_ratio, 2 - up_ratio) * s,
        float(constant_cycle_s(workers, z, s, up_ratio=up_ratio)),
        batches - 1,
    )
    whole = left % workers * slower + left // workers * cycle + z + 2 * s
    fluid = (workers - 1) * slower + z + 2 * s + (batches - workers) / workers * cycle
    rounds = (batches - workers) / workers
    variance = (t_grad.cv * z) ** 2 + 2 * (t_comm.cv * s) ** 2
    return float((whole - fluid) * np.exp(-2.4 * (rounds + 9.2) * variance / steady_cycle_s**2))


def central_run_s(
    workers: int, batches: int, t_grad: Law, t_comm: Law, schedule: Schedule, *, up_ratio: float = 1.0, seed: int = 0
) -> float:
    r"""Return the mean time of an asynchronous run with a central server and a shared pool of batches [s].

    .. math:: T(D) = E\,t_{iter}(\min(N, D)) + \frac{D - N}{X} \;(+ \text{lockstep, for fair sharing})

    The first N batches take what one synchronous iteration takes, the others come at the steady rate. With constant
    times this is exactly 4.15 for the semaphore and 4.18 for fair sharing where N divides D.

    Args:
        workers: N.
        batches: D.
        t_grad: Law of the gradient time.
        t_comm: Law of one transfer.
        schedule: ``semaphore`` or ``fair``.
        up_ratio: t_up by the mean of t_up and t_down.
        seed: Seed of the draws of the first round.

    Example:
        >>> from speedup.laws import Law
        >>> round(central_run_s(8, 128, Law(1.0), Law(0.1), Schedule.SEMAPHORE), 9)
        19.9
    """
    first = min(workers, batches)
    begin = float(central_iterations([t_grad] * first, [t_comm] * first, schedule, up_ratio=up_ratio, seed=seed).mean())
    if batches <= workers:
        return begin
    if schedule is Schedule.SEMAPHORE:
        cycle = workers / float(semaphore_throughput(workers, t_grad, t_comm, up_ratio=up_ratio))
        steady = (batches - workers) * cycle / workers
        return begin + steady + whole_batch_excess_s(workers, batches, t_grad, t_comm, cycle, up_ratio=up_ratio)
    rate = float(fair_throughput(workers, t_grad, t_comm, up_ratio=up_ratio))
    excess = lockstep_excess_s(workers, batches, t_grad, t_comm, workers / rate)
    return begin + (batches - workers) / rate + excess


def distributed_run_s(
    workers: int, batches: int, t_grad: Law, t_comm: Law, *, up_ratio: float = 1.0, seed: int = 0
) -> float:
    """Return the mean time of an asynchronous run with equal shares on the workers [s].

    Args:
        workers: N.
        batches: D.
        t_grad: Law of the gradient time.
        t_comm: Law of one transfer of all weights.
        up_ratio: t_up by the mean of t_up and t_down; beyond the first round only their sum counts.
        seed: Seed of the draws of the first round.
    """
    taking = min(workers, batches)
    first = distributed_iterations([t_grad] * taking, [t_comm] * taking, units=workers, up_ratio=up_ratio, seed=seed)
    begin = float(first.mean())
    if batches <= workers:
        return begin
    return begin + (batches - workers) / float(distributed_throughput(workers, t_grad, t_comm))
