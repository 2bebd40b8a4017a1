r"""Transfers that are longer one way than the other: gradients up in t_up, weights down in t_down.

Compressed gradients, masks or sub-networks make them differ. Where all transfers go at once, or each worker has links
of its own, only their sum counts: the thesis's equations hold with :math:`t_{comm} = (t_{up} + t_{down})/2`. Where they
go one at a time, the slower direction decides how fast workers follow one another; those equations stand here. With
t_up = t_down = t_comm they are the thesis's.
"""

from __future__ import annotations

from sympy import Expr, Max, Mod, floor

from speedup.formulas.exact import rounds, t_train_lockstep
from speedup.formulas.symbols import D, N, t_down, t_grad, t_up
from speedup.formulas.synchronous import halfway, t_iter_worst


def _mean(t_up: Expr, t_down: Expr) -> Expr:
    return (t_up + t_down) / 2


def t_iter_apart(N: Expr = N, t_up: Expr = t_up, t_down: Expr = t_down, t_grad: Expr = t_grad) -> Expr:
    r"""Return an iteration with a central server and one transfer at a time [s], U.1; replaces 4.6.

    .. math:: t_{iter} = t_{down} + t_{grad} + t_{up} + (N-1) \max(t_{up}, t_{down})

    A flow shop of N equal jobs: each follows the one before at the pace of the slower direction.

    Example:
        >>> t_iter_apart()
        t_down + t_grad + t_up + (N - 1)*Max(t_down, t_up)
    """
    return t_down + t_grad + t_up + (N - 1) * Max(t_up, t_down)


def t_iter_apart_mean(N: Expr = N, t_up: Expr = t_up, t_down: Expr = t_down, t_grad: Expr = t_grad) -> Expr:
    r"""Return the mean iteration with a central server [s], U.2; replaces 4.11.

    .. math:: t_{iter} = (t_{iter}^{U.1} + N (t_{up} + t_{down}) + t_{grad}) / 2
    """
    worst = t_iter_worst(N, _mean(t_up, t_down), t_grad)
    return halfway(t_iter_apart(N, t_up, t_down, t_grad), worst)


def t_train_apart(N: Expr = N, D: Expr = D, t_up: Expr = t_up, t_down: Expr = t_down, t_grad: Expr = t_grad) -> Expr:
    r"""Return an asynchronous run with a central server and one transfer at a time [s], U.3; replaces 4.15.

    .. math:: t_{train} = t_{down} + t_{grad} + t_{up} + (N-1)\,s
        + \left(\frac{D}{N} - 1\right) \max(t_{down} + t_{grad} + t_{up}, N s), \quad s = \max(t_{up}, t_{down})

    The first N batches take U.1; then a batch is done whenever the slower direction, or a worker, is through again.
    """
    cycle, slower = t_down + t_grad + t_up, Max(t_up, t_down)
    return cycle + (N - 1) * slower + (D / N - 1) * Max(cycle, N * slower)


def t_train_apart_mean(
    N: Expr = N, D: Expr = D, t_up: Expr = t_up, t_down: Expr = t_down, t_grad: Expr = t_grad
) -> Expr:
    r"""Return the mean asynchronous run with a central server [s], U.4; replaces 4.20.

    .. math:: t_{train} = \left(t_{train}^{U.3} + \frac{D}{N} (N (t_{up} + t_{down}) + t_{grad})\right) / 2
    """
    worst = D / N * t_iter_worst(N, _mean(t_up, t_down), t_grad)
    return halfway(t_train_apart(N, D, t_up, t_down, t_grad), worst)


def t_train_join_apart(
    N: Expr = N, D: Expr = D, t_up: Expr = t_up, t_down: Expr = t_down, t_grad: Expr = t_grad
) -> Expr:
    r"""Return sync-join over whole batches, one transfer at a time [s], U.5; replaces W.1.

    .. math:: \lfloor D/N \rfloor\, t_{iter}^{U.1}(N) + [r > 0]\, t_{iter}^{U.1}(r), \quad r = D \bmod N
    """
    return rounds(t_iter_apart(t_up=t_up, t_down=t_down, t_grad=t_grad), N, D)


def t_train_join_apart_mean(
    N: Expr = N, D: Expr = D, t_up: Expr = t_up, t_down: Expr = t_down, t_grad: Expr = t_grad
) -> Expr:
    r"""Return sync-join over whole batches, the mean [s], U.6; replaces W.5."""
    best = t_train_join_apart(N, D, t_up, t_down, t_grad)
    return halfway(best, t_train_lockstep(N, D, _mean(t_up, t_down), t_grad))


def t_train_fifo_apart(
    N: Expr = N, D: Expr = D, t_up: Expr = t_up, t_down: Expr = t_down, t_grad: Expr = t_grad
) -> Expr:
    r"""Return an asynchronous run over whole batches, first come first served [s], U.7; replaces W.3.

    .. math:: ((D-1) \bmod N)\,s + \lfloor (D-1)/N \rfloor \max(t_{down} + t_{grad} + t_{up}, N s)
              + t_{down} + t_{grad} + t_{up}, \quad s = \max(t_{up}, t_{down})
    """
    cycle, slower = t_down + t_grad + t_up, Max(t_up, t_down)
    return Mod(D - 1, N) * slower + floor((D - 1) / N) * Max(cycle, N * slower) + cycle


def t_train_fifo_apart_mean(
    N: Expr = N, D: Expr = D, t_up: Expr = t_up, t_down: Expr = t_down, t_grad: Expr = t_grad
) -> Expr:
    r"""Return an asynchronous run over whole batches, the mean [s], U.8; replaces W.6."""
    best = t_train_fifo_apart(N, D, t_up, t_down, t_grad)
    return halfway(best, t_train_lockstep(N, D, _mean(t_up, t_down), t_grad))
