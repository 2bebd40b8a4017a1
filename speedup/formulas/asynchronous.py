r"""Asynchronous training and the semaphore, equations 4.13 to 4.23 and 7.1 to 7.3 of the thesis."""

from __future__ import annotations

from sympy import Expr, Max, Tuple

from speedup.formulas.symbols import D, N, t_comm, t_grad, t_parallel, t_serial
from speedup.formulas.synchronous import halfway, t_iter_distributed, t_iter_worst


def t_train_best_worker(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the best run as the last worker sees it [s], equation 4.13.

    .. math:: t_{train,N}^{BEST} = (N-1)\,t_{comm} + \frac{D}{N}(2\,t_{comm} + t_{grad})

    Example:
        >>> t_train_best_worker()
        D*(2*t_comm + t_grad)/N + t_comm*(N - 1)
    """
    return (N - 1) * t_comm + D / N * (2 * t_comm + t_grad)


def t_train_best_server(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the best run as the server sees it [s], equation 4.14.

    .. math:: t_{train,ps}^{BEST} = N\frac{D}{N}\,t_{comm} + t_{grad} + t_{comm}
    """
    return N * (D / N) * t_comm + t_grad + t_comm


def t_train_best(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the best run with a central server [s], equation 4.15.

    .. math:: t_{train}^{BEST} = \max(t_{train,ps}^{BEST}, t_{train,N}^{BEST})
    """
    return Max(t_train_best_server(N, D, t_comm, t_grad), t_train_best_worker(N, D, t_comm, t_grad))


def t_train_worst_worker(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the worst run as any worker sees it [s], equation 4.16.

    .. math:: t_{train,i}^{WORST} = \frac{D}{N}(N\,t_{comm} + t_{grad} + N\,t_{comm})

    Example:
        >>> t_train_worst_worker()
        D*(2*N*t_comm + t_grad)/N
    """
    return D / N * t_iter_worst(N, t_comm, t_grad)


def t_train_worst_server(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the worst run as the server sees it [s], equation 4.17.

    .. math:: t_{train,ps}^{WORST} = \frac{D}{N}(N\,t_{comm} + t_{grad} + N\,t_{comm})
    """
    return D / N * t_iter_worst(N, t_comm, t_grad)


def t_train_worst(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the worst run with a central server [s], equation 4.18.

    .. math:: t_{train}^{WORST} = t_{train,ps}^{WORST} = t_{train,N}^{WORST}
    """
    return Max(t_train_worst_server(N, D, t_comm, t_grad), t_train_worst_worker(N, D, t_comm, t_grad))


def t_train_bounds(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Tuple:
    r"""Return both ends of the run's range [s], equation 4.19.

    .. math:: t_{train} \in \langle t_{train}^{BEST}, t_{train}^{WORST} \rangle

    The ends are in this order for N <= D; beyond, best may exceed worst (ADR 0003).
    """
    return Tuple(t_train_best(N, D, t_comm, t_grad), t_train_worst(N, D, t_comm, t_grad))


def t_train_mean(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the mean run with a central server [s], equation 4.20.

    .. math:: t_{train} = (t_{train}^{BEST} + t_{train}^{WORST}) / 2
    """
    return halfway(t_train_best(N, D, t_comm, t_grad), t_train_worst(N, D, t_comm, t_grad))


def t_train_distributed(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the run with a distributed server of equal shares [s], equation 4.21.

    .. math:: t_{train} = \frac{D}{N}\left(2\,t_{comm}\frac{N-1}{N} + t_{grad}\right)

    Exact only while the workers stay in lockstep.

    Example:
        >>> t_train_distributed()
        D*(t_grad + 2*t_comm*(N - 1)/N)/N
    """
    return D / N * t_iter_distributed(N, t_comm, t_grad)


def speedup(t_serial: Expr = t_serial, t_parallel: Expr = t_parallel) -> Expr:
    r"""Return the speedup of a parallel run, equation 4.22.

    .. math:: S = t_{serial} / t_{parallel}

    Example:
        >>> speedup()
        t_serial/t_parallel
    """
    return t_serial / t_parallel


def speedup_over_sequential(D: Expr = D, t_grad: Expr = t_grad, t_parallel: Expr = t_parallel) -> Expr:
    r"""Return the speedup over D batches on one worker without a server, equation 4.23.

    .. math:: S = D\,t_{grad} / t_{parallel}

    Example:
        >>> speedup_over_sequential()
        D*t_grad/t_parallel
    """
    return speedup(D * t_grad, t_parallel)


def t_sem_best(t_comm: Expr = t_comm) -> Expr:
    r"""Return a guarded transfer with an empty queue [s], equation 7.1.

    .. math:: t_{sem}^{BEST} = 0\,t_{comm} + t_{comm}
    """
    return 0 * t_comm + t_comm


def t_sem_worst(N: Expr = N, t_comm: Expr = t_comm) -> Expr:
    r"""Return a guarded transfer behind N-1 others [s], equation 7.2.

    .. math:: t_{sem}^{WORST} = (N-1)\,t_{comm} + t_{comm} = t_{par}

    Example:
        >>> t_sem_worst()
        t_comm*(N - 1) + t_comm
    """
    return (N - 1) * t_comm + t_comm


def t_sem_bounds(N: Expr = N, t_comm: Expr = t_comm) -> Tuple:
    r"""Return both ends of a guarded transfer's range [s], equation 7.3.

    .. math:: t_{sem} \in \langle t_{sem}^{BEST}, t_{sem}^{WORST} \rangle

    Holds for transfers of equal length.
    """
    return Tuple(t_sem_best(t_comm), t_sem_worst(N, t_comm))
