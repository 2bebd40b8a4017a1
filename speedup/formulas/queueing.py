r"""Asynchronous throughput in closed form, equations Q.1 to Q.6: the server's link as a queue.

Workers go round between a delay, the gradient, and stations that all share, the link's two directions.
"""

from __future__ import annotations

from sympy import Expr, Min, Sum, Symbol, ff, sqrt

from speedup.formulas.symbols import D, N, X, t_comm, t_grad, t_iter

_n = Symbol("n", integer=True, nonnegative=True)


def throughput_one_direction(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the throughput of N workers that use one direction only [batches/s], Q.1: M/M/1//N.

    .. math:: X = \frac{1}{t_{comm}} \left(1 - \left[\sum_{n=0}^{N} \frac{N!}{(N-n)!}
        \left(\frac{t_{comm}}{t_{grad}}\right)^n\right]^{-1}\right)

    The machine repairman: exact for exponential transfers behind a semaphore, whatever the law of the gradients, and
    for fair sharing whatever both laws. ``speedup.queueing.machine_repairman_throughput`` evaluates it for any N.

    Source:
        E. D. Lazowska et al.: Quantitative System Performance (1984), chapter 6.

    Example:
        >>> throughput_one_direction().subs({N: 2, t_comm: 1, t_grad: 1}).doit()
        4/5
    """
    states = Sum(ff(N, _n) * (t_comm / t_grad) ** _n, (_n, 0, N))
    return (1 - 1 / states) / t_comm


def throughput_bound(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the asymptotic upper bound of the throughput [batches/s], Q.2.

    .. math:: X \le \min\left(\frac{N}{t_{grad} + 2 t_{comm}}, \frac{1}{t_{comm}}\right)

    Nobody waits, or the link never rests. Constant times behind a semaphore reach it.

    Example:
        >>> throughput_bound().subs({N: 8, t_comm: 1, t_grad: 2})
        1
    """
    return Min(N / (t_grad + 2 * t_comm), 1 / t_comm)


def throughput_balanced_upper(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the balanced-job upper bound of the throughput with fair sharing [batches/s], Q.3.

    .. math:: X \le \min\left(\frac{1}{t_{comm}},
        \frac{N}{t_{grad} + 2 t_{comm} + \frac{(N-1)\,t_{comm}}{1 + t_{grad}/(2 t_{comm})}}\right)

    Source:
        J. Zahorjan et al.: Balanced job bound analysis of queueing networks. CACM 25 (1982).
    """
    return Min(1 / t_comm, N / (t_grad + 2 * t_comm + (N - 1) * t_comm / (1 + t_grad / (2 * t_comm))))


def throughput_balanced_lower(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the balanced-job lower bound of the throughput with fair sharing [batches/s], Q.4.

    .. math:: X \ge \frac{N}{t_{grad} + 2 t_{comm} + \frac{(N-1)\,t_{comm}}{1 + t_{grad}/(2 N t_{comm})}}

    Source:
        J. Zahorjan et al.: Balanced job bound analysis of queueing networks. CACM 25 (1982).
    """
    return N / (t_grad + 2 * t_comm + (N - 1) * t_comm / (1 + t_grad / (2 * N * t_comm)))


def throughput_distributed(N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return the throughput with equal shares on the workers, out of step [batches/s], Q.5.

    .. math:: X = \frac{2 N}{(t_{grad} + 3 a) + \sqrt{(t_{grad} + 3 a)^2 - 4\,t_{grad}\,a}}, \qquad
        a = t_{comm} \frac{N-1}{N}

    A worker alone needs t_grad + 2 a; the opposite traffic of the others takes up to another a from its links, less the
    more time all of them compute. In place of 4.21, which is exact in lockstep only. No constant is fitted.

    Example:
        >>> throughput_distributed().subs({N: 1, t_comm: 1, t_grad: 2})
        1/2
    """
    a = t_comm * (N - 1) / N
    alone = t_grad + 3 * a
    return 2 * N / (alone + sqrt(alone**2 - 4 * t_grad * a))


def t_train_from_rate(N: Expr = N, D: Expr = D, X: Expr = X, t_iter: Expr = t_iter) -> Expr:
    r"""Return an asynchronous run over a shared pool of batches [s], Q.6.

    .. math:: t_{train} = t_{iter} + \frac{D - N}{X}

    The first N batches take what one synchronous iteration of N workers takes, the others come at the steady rate X.

    Example:
        >>> t_train_from_rate()
        t_iter + (D - N)/X
    """
    return t_iter + (D - N) / X
