r"""Whole batches and unequal shares: what the thesis's formulas become when nothing is rounded away.

The thesis divides D by N as real numbers. A run has whole batches: these forms are exact for constant times
and every N and D, also where N does not divide D or exceeds it (ADR 0003), and reduce to 4.2, 4.15, 4.18 and
4.21 where N divides D.
"""

from __future__ import annotations

from sympy import Expr, Max, Mod, Piecewise, ceiling, floor

from speedup.formulas.symbols import D, N, f_max, f_min, t_comm, t_grad
from speedup.formulas.synchronous import t_iter_best, t_iter_distributed, t_iter_worst


def rounds(t_iter_of_n: Expr, N: Expr, D: Expr) -> Expr:
    """Return the time of D div N rounds of N workers and one of the D mod N left over [s].

    Args:
        t_iter_of_n: One round [s], in the symbol N.
        N: Workers.
        D: Batches.
    """
    symbol = next(free for free in t_iter_of_n.free_symbols if free.name == "N")
    left_over = Mod(D, N)
    last = Piecewise((t_iter_of_n.subs(symbol, left_over), left_over > 0), (0, True))
    return floor(D / N) * t_iter_of_n.subs(symbol, N) + last


def t_train_join_best(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return sync-join over whole batches, one transfer at a time [s].

    .. math:: \lfloor D/N \rfloor\, t_{iter}^{BEST}(N) + [r > 0]\, t_{iter}^{BEST}(r), \quad r = D \bmod N
    """
    return rounds(t_iter_best(t_comm=t_comm, t_grad=t_grad), N, D)


def t_train_lockstep(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return whole batches with all transfers at once, sync-join or async in lockstep [s].

    .. math:: \lfloor D/N \rfloor\, t_{iter}^{WORST}(N) + [r > 0]\, t_{iter}^{WORST}(r), \quad r = D \bmod N
    """
    return rounds(t_iter_worst(t_comm=t_comm, t_grad=t_grad), N, D)


def t_train_fifo(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return an asynchronous run whose server serves one worker at a time, first come first served [s].

    .. math:: ((D-1) \bmod N)\,t_{comm} + \lfloor (D-1)/N \rfloor \max(2 t_{comm} + t_{grad}, N t_{comm})
              + 2 t_{comm} + t_{grad}

    This is the semaphore of section 7.2 for constant times.
    """
    cycle = 2 * t_comm + t_grad
    return Mod(D - 1, N) * t_comm + floor((D - 1) / N) * Max(cycle, N * t_comm) + cycle


def t_train_whole_rounds(N: Expr = N, D: Expr = D, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return whole rounds with a distributed server of equal shares [s].

    .. math:: \lceil D/N \rceil\, (2\,t_{comm}(N-1)/N + t_{grad})

    The last round is as long as the others even if few workers compute in it: the weights stay on N units,
    and a worker pulls (N-1)/N of them (ADR 0003).

    Example:
        >>> t_train_whole_rounds()
        (t_grad + 2*t_comm*(N - 1)/N)*ceiling(D/N)
    """
    return ceiling(D / N) * t_iter_distributed(N, t_comm, t_grad)


def phase(N: Expr = N, f_max: Expr = f_max, f_min: Expr = f_min) -> Expr:
    r"""Return how long one pull or push phase lasts, in units of t_comm, when shares are unequal.

    .. math:: \varphi = \max_i \max((N-1) f_i, 1 - f_i) = \max((N-1) f_{\max}, 1 - f_{\min})

    The unit with the largest share sends it to N-1 others; the one with the smallest receives the most.
    With f = 1/N this is (N-1)/N, the factor of 4.12.

    Example:
        >>> phase()
        Max(f_max*(N - 1), 1 - f_min)
    """
    return Max((N - 1) * f_max, 1 - f_min)


def t_iter_placed(
    N: Expr = N, t_comm: Expr = t_comm, t_grad: Expr = t_grad, f_max: Expr = f_max, f_min: Expr = f_min
) -> Expr:
    r"""Return an iteration with a distributed server of unequal shares [s]; replaces 4.12.

    .. math:: t_{iter} = 2\,t_{comm}\,\varphi + t_{grad}
    """
    return 2 * t_comm * phase(N, f_max, f_min) + t_grad


def t_train_placed(
    N: Expr = N,
    D: Expr = D,
    t_comm: Expr = t_comm,
    t_grad: Expr = t_grad,
    f_max: Expr = f_max,
    f_min: Expr = f_min,
) -> Expr:
    r"""Return a run of D/N rounds with unequal shares [s]; replaces 4.21, and 4.2 with 4.12.

    .. math:: t_{train} = \frac{D}{N}\left(2\,t_{comm}\,\varphi + t_{grad}\right)
    """
    return D / N * t_iter_placed(N, t_comm, t_grad, f_max, f_min)


def t_train_placed_whole_rounds(
    N: Expr = N,
    D: Expr = D,
    t_comm: Expr = t_comm,
    t_grad: Expr = t_grad,
    f_max: Expr = f_max,
    f_min: Expr = f_min,
) -> Expr:
    r"""Return whole rounds with unequal shares [s].

    .. math:: t_{train} = \lceil D/N \rceil\,(2\,t_{comm}\,\varphi + t_{grad})

    An upper bound for the last round where N does not divide D: which workers are left over is not said,
    and fewer of them may ask the most loaded unit for its share (ADR 0003).
    """
    return ceiling(D / N) * t_iter_placed(N, t_comm, t_grad, f_max, f_min)
