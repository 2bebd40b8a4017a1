r"""Synchronous iterations whose times vary: one iteration drawn many times, without an event list.

Everybody pulls at once, computes, and pushes; the iteration ends with the last push. A queue that is never idle while
work waits ends at the same time in whatever order it serves, so with :math:`A_{(1)} \le \dots \le A_{(N)}` the times at
which gradients are ready and :math:`u_{(i)}` the lengths of their pushes,

.. math:: t_{iter} = \max_i \Bigl( A_{(i)} + \sum_{j \ge i} u_{(j)} \Bigr)

for both disciplines. They differ in when the pulls end.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from speedup.plans import Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.laws import Law

    Floats = NDArray[np.float64]

_DRAWS, _FEWEST, _MOST = 20_000, 256, 4096


def draws_for(workers: int) -> int:
    """Return how many iterations to draw: fewer of more workers, so that the work stays the same."""
    return int(np.clip(_DRAWS // workers, _FEWEST, _MOST))


def guarded_pulls(lengths: Floats) -> Floats:
    """Return when pulls that are all asked for at time 0 end behind a semaphore [s], in the order of the columns.

    Args:
        lengths: Of each [s], shape (..., N).
    """
    return np.cumsum(lengths, axis=-1)


def shared_pulls(lengths: Floats) -> Floats:
    r"""Return when pulls that all begin at time 0 end if they share the link equally [s].

    .. math:: F_{(k)} = F_{(k-1)} + (x_{(k)} - x_{(k-1)}) (N - k + 1)

    with :math:`x_{(1)} \le \dots \le x_{(N)}` their lengths.

    Args:
        lengths: Of each [s], shape (..., N).
    """
    order = np.argsort(lengths, axis=-1)
    rising = np.take_along_axis(lengths, order, axis=-1)
    steps = np.diff(rising, axis=-1, prepend=0.0)
    ended = np.cumsum(steps * np.arange(lengths.shape[-1], 0, -1), axis=-1)
    found = np.empty_like(lengths)
    np.put_along_axis(found, order, ended, axis=-1)
    return found


def last_push(ready: Floats, lengths: Floats) -> Floats:
    """Return when the last push ends [s], shape (...).

    Args:
        ready: When each gradient is ready [s], shape (..., N).
        lengths: Of each push [s], shape (..., N).
    """
    order = np.argsort(ready, axis=-1)
    rising = np.take_along_axis(ready, order, axis=-1)
    pushes = np.take_along_axis(lengths, order, axis=-1)
    to_come = np.cumsum(pushes[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray((rising + to_come).max(axis=-1))


@lru_cache(maxsize=256)
def _unit_draws(law: Law, shape: tuple[int, int], seed: int) -> Floats:
    """Return draws of a law of mean 1; they serve every scale of it, and so every neighbour of a question."""
    return law.draw(np.random.default_rng(seed), shape)


def _draws(laws: Sequence[Law], count: int, seed: int) -> Floats:
    """Return draws of the laws of N workers [s], shape (count, N)."""
    first = laws[0]
    if all(law == first for law in laws):
        unit = first.scaled(1 / first.mean_s) if first.mean_s else first
        unit = replace(unit, mean_s=1.0) if first.mean_s else first
        return np.asarray(_unit_draws(unit, (count, len(laws)), seed) * (first.mean_s or 1.0))
    rng = np.random.default_rng(seed)
    return np.stack([law.draw(rng, (count,)) for law in laws], axis=-1)


def _drawn(
    t_grad: Sequence[Law], t_comm: Sequence[Law], up_ratio: float, draws: int | None, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Return pulls, gradients and pushes [s], shape (draws, N) each."""
    varies = any(law.cv > 0 for law in (*t_grad, *t_comm))
    count = (draws or draws_for(len(t_grad))) if varies else 1
    pulls, pushes = (_draws(t_comm, count, 3 * seed + offset) for offset in (0, 2))
    return (2 - up_ratio) * pulls, _draws(t_grad, count, 3 * seed + 1), up_ratio * pushes


def central_iterations(
    t_grad: Sequence[Law],
    t_comm: Sequence[Law],
    schedule: Schedule,
    *,
    up_ratio: float = 1.0,
    draws: int | None = None,
    seed: int = 0,
) -> Floats:
    """Draw t_iter with a central server [s].

    Args:
        t_grad: Law of the gradient time of each worker, shape (N,); for sync-split of its part of a batch.
        t_comm: Law of one transfer of each worker, of both directions, shape (N,).
        schedule: ``semaphore`` or ``fair``.
        up_ratio: t_up by the mean of t_up and t_down.
        draws: How many.
        seed: Seed of the random numbers.

    Returns:
        t_iter, shape (draws,); a single one if no time varies.

    Example:
        >>> from speedup.laws import Law
        >>> central_iterations([Law(1.0)] * 8, [Law(0.1)] * 8, Schedule.FAIR)
        array([2.6])
    """
    pulls, gradients, pushes = _drawn(t_grad, t_comm, up_ratio, draws, seed)
    pulled = guarded_pulls(pulls) if schedule is Schedule.SEMAPHORE else shared_pulls(pulls)
    return last_push(pulled + gradients, pushes)


def distributed_iterations(
    t_grad: Sequence[Law],
    t_comm: Sequence[Law],
    *,
    units: int | None = None,
    up_ratio: float = 1.0,
    draws: int | None = None,
    seed: int = 0,
) -> Floats:
    r"""Draw t_iter with equal shares on the workers [s].

    .. math:: t_{iter} = \max_i \left( \frac{M-1}{M} (c_i + u_i) + g_i \right)

    Pulls do not meet each other, nor do pushes: N - 1 transfers at 1/(N-1) of the rate fill a link just once. Exact if
    transfers are constant; otherwise a lower bound, as an early push may meet a late pull.

    Args:
        t_grad: Law of the gradient time of each worker that takes part, shape (N,).
        t_comm: Law of one transfer of all weights of each, shape (N,).
        units: Workers that hold a share, M; those that take part if left out.
        up_ratio: t_up by the mean of t_up and t_down.
        draws: How many.
        seed: Seed of the random numbers.

    Returns:
        t_iter, shape (draws,); a single one if no time varies.
    """
    pulls, gradients, pushes = _drawn(t_grad, t_comm, up_ratio, draws, seed)
    held = units or len(t_grad)
    return np.asarray(((held - 1) / held * (pulls + pushes) + gradients).max(axis=-1))
