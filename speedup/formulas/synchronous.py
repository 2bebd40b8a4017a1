r"""Synchronous training, equations 4.1 to 4.12 of the thesis (section 4.1).

Every function takes the symbols of the model by default and any expression in their place: sync-split, in
which a worker computes 1/N of a batch, is the same formulas with ``t_grad / N`` for ``t_grad`` (section 6.1).
"""

from __future__ import annotations

from sympy import Expr, Max, Rational, Tuple

from speedup.formulas.symbols import (
    I,
    N,
    t_comm,
    t_finish,
    t_grad,
    t_iter,
    t_iter_1,
    t_iter_N,
    t_iter_ps,
    t_prepare,
    t_train,
)


def t_comp(t_prepare: Expr = t_prepare, t_train: Expr = t_train, t_finish: Expr = t_finish) -> Expr:
    r"""Return the time of the whole computation [s], equation 4.1.

    .. math:: t_{comp} = t_{prepare} + t_{train} + t_{finish}

    Example:
        >>> t_comp()
        t_finish + t_prepare + t_train
    """
    return t_prepare + t_train + t_finish


def t_train_sync(iterations: Expr = I, t_iter: Expr = t_iter) -> Expr:
    r"""Return the time of I synchronous iterations [s], equation 4.2.

    .. math:: t_{train} = I\,t_{iter}

    I is D/N for sync-join and D for sync-split (section 6.1).

    Example:
        >>> t_train_sync()
        I*t_iter
    """
    return iterations * t_iter


def t_iter_slowest(t_iter_ps: Expr = t_iter_ps, *t_iter_workers: Expr) -> Expr:
    r"""Return the time of an iteration from those of its units [s], equation 4.3.

    .. math:: t_{iter} = \max(t_{iter,ps}, t_{iter,1}, \dots, t_{iter,N})

    Example:
        >>> t_iter_slowest()
        Max(t_iter_1, t_iter_N, t_iter_ps)
    """
    return Max(t_iter_ps, *(t_iter_workers or (t_iter_1, t_iter_N)))


def t_iter_best_worker(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the best iteration as the last worker sees it [s], equation 4.4.

    .. math:: t_{iter,N}^{BEST} = (N-1)\,t_{comm} + t_{comm} + t_{grad} + t_{comm}

    The last worker waits while the N-1 others pull one after another, then pulls, computes and pushes.

    Example:
        >>> t_iter_best_worker()
        t_comm*(N + 1) + t_grad
    """
    return (N + 1) * t_comm + t_grad


def t_iter_best_server(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the best iteration as the server sees it [s], equation 4.5.

    .. math:: t_{iter,ps}^{BEST} = N\,t_{comm} + t_{grad} + t_{comm}
    """
    return (N + 1) * t_comm + t_grad


def t_iter_best(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the best iteration with a central server [s], equation 4.6.

    .. math:: t_{iter}^{BEST} = t_{iter,ps}^{BEST} = t_{iter,N}^{BEST}

    Example:
        >>> t_iter_best()
        t_comm*(N + 1) + t_grad
    """
    return t_iter_slowest(t_iter_best_server(N, t_comm, t_grad), t_iter_best_worker(N, t_comm, t_grad))


def t_iter_worst_worker(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the worst iteration as any worker sees it [s], equation 4.7.

    .. math:: t_{iter,i}^{WORST} = N\,t_{comm} + t_{grad} + N\,t_{comm}

    All workers share the server's link, so each transfer is N times slower.
    """
    return 2 * N * t_comm + t_grad


def t_iter_worst_server(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the worst iteration as the server sees it [s], equation 4.8.

    .. math:: t_{iter,ps}^{WORST} = N\,t_{comm} + t_{grad} + N\,t_{comm}
    """
    return 2 * N * t_comm + t_grad


def t_iter_worst(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the worst iteration with a central server [s], equation 4.9.

    .. math:: t_{iter}^{WORST} = t_{iter,ps}^{WORST} = t_{iter,N}^{WORST}

    Example:
        >>> t_iter_worst()
        2*N*t_comm + t_grad
    """
    return t_iter_slowest(t_iter_worst_server(N, t_comm, t_grad), t_iter_worst_worker(N, t_comm, t_grad))


def t_iter_bounds(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Tuple:
    r"""Return both ends of the iteration's range [s], equation 4.10.

    .. math:: t_{iter} \in \langle t_{iter}^{BEST}, t_{iter}^{WORST} \rangle

    Holds for constant times; with varying ones the range is no bracket.
    """
    return Tuple(t_iter_best(N, t_comm, t_grad), t_iter_worst(N, t_comm, t_grad))


def halfway(best: Expr, worst: Expr) -> Expr:
    """Return the mean of two cases, term by term."""
    return Rational(1, 2) * best + Rational(1, 2) * worst


def t_iter_mean(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the mean iteration with a central server [s], equation 4.11.

    .. math:: t_{iter} = (t_{iter}^{BEST} + t_{iter}^{WORST}) / 2

    Times are averaged, not speedups.

    Example:
        >>> t_iter_mean()
        N*t_comm + t_comm*(N + 1)/2 + t_grad
    """
    return halfway(t_iter_best(N, t_comm, t_grad), t_iter_worst(N, t_comm, t_grad))


def t_iter_distributed(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return an iteration with a distributed server of equal shares [s], equation 4.12.

    .. math:: t_{iter} = 2\,t_{comm}\frac{N-1}{N} + t_{grad}

    Example:
        >>> t_iter_distributed()
        t_grad + 2*t_comm*(N - 1)/N
    """
    return 2 * t_comm * (N - 1) / N + t_grad
