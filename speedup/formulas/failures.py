r"""Runs on machines that fail, equations F.1 to F.7.

Machines fail independently of each other after exponential times of mean t_fail, so that any of m of them fails after
:math:`M = t_{fail} / m` on average. A run saves its state every :math:`\tau` of work, which takes t_save, and goes on
from there after a failure, which takes t_restart; failures come while it saves and while it restarts as well.
"""

from __future__ import annotations

from sympy import Expr, Piecewise, Rational, exp, sqrt

from speedup.formulas.symbols import k, m_stop, t_fail, t_iter, t_restart, t_save, t_train, tau


def interval_young(m: Expr = m_stop, t_fail: Expr = t_fail, t_save: Expr = t_save) -> Expr:
    r"""Return Young's interval between checkpoints [s], equation F.1.

    .. math:: \tau = \sqrt{2\,t_{save} M}

    It balances what is saved in vain and what is computed again, to the first order: where t_save and t_restart are
    short beside M.

    Source:
        J. W. Young: A first order approximation to the optimum checkpoint interval. Comm. ACM 17(9), 1974.

    Example:
        >>> interval_young().subs({m_stop: 8, t_fail: 3600, t_save: 4})
        60
    """
    return sqrt(2 * t_save * t_fail / m)


def interval_daly(m: Expr = m_stop, t_fail: Expr = t_fail, t_save: Expr = t_save) -> Expr:
    r"""Return Daly's interval between checkpoints [s], equation F.2.

    .. math:: \tau = \sqrt{2\,t_{save} M}
        \left(1 + \frac{1}{3} \sqrt{\frac{t_{save}}{2 M}} + \frac{t_{save}}{18 M}\right) - t_{save}
        \quad\text{if}\quad t_{save} < 2 M, \quad\text{else}\quad \tau = M

    Very nearly the interval of the shortest run of F.3.

    Source:
        J. T. Daly: A higher order estimate of the optimum checkpoint interval for restart dumps. Future Generation
        Computer Systems 22(3), 2006.

    Example:
        >>> round(interval_daly().subs({m_stop: 1, t_fail: 24 * 60, t_save: 5}).evalf())
        117
    """
    mean = t_fail / m
    half = t_save / (2 * mean)
    near = sqrt(2 * t_save * mean) * (1 + sqrt(half) / 3 + half * Rational(1, 9)) - t_save
    return Piecewise((near, t_save < 2 * mean), (mean, True))


def t_wall_checkpoints(
    t_train: Expr = t_train,
    tau: Expr = tau,
    m: Expr = m_stop,
    t_fail: Expr = t_fail,
    t_save: Expr = t_save,
    t_restart: Expr = t_restart,
) -> Expr:
    r"""Return the mean time of a run that any of m machines stops, with checkpoints [s], equation F.3.

    .. math:: t_{wall} = \frac{t_{train}}{\tau}\, M\, e^{t_{restart} / M} \left(e^{(\tau + t_{save}) / M} - 1\right)

    Exact where tau divides t_train and the end is saved too: each of the pieces is tried until no failure comes.

    Source:
        J. T. Daly (2006) as for F.2.

    Example:
        >>> round(t_wall_checkpoints(3600, 600, 1, 3600, 0, 0).evalf())
        3917
    """
    mean = t_fail / m
    return t_train / tau * mean * exp(t_restart / mean) * (exp((tau + t_save) / mean) - 1)


def t_wall_from_scratch(
    t_train: Expr = t_train, m: Expr = m_stop, t_fail: Expr = t_fail, t_restart: Expr = t_restart
) -> Expr:
    r"""Return the mean time of a run that any of m machines stops, without checkpoints [s], equation F.4.

    .. math:: t_{wall} = M\, e^{t_{restart} / M} \left(e^{t_{train} / M} - 1\right)

    F.3 with one piece that is not saved.

    Example:
        >>> round(t_wall_from_scratch(3600, 1, 3600, 0).evalf())
        6186
    """
    return t_wall_checkpoints(t_train, t_train, m, t_fail, 0, t_restart)


def t_train_missing(
    t_train: Expr = t_train, t_iter: Expr = t_iter, t_fail: Expr = t_fail, t_restart: Expr = t_restart
) -> Expr:
    r"""Return the mean time of an asynchronous run whose workers fail and come back [s], equation F.5.

    .. math:: \frac{t_{train}}{t_{iter}}\, t_{fail}\, e^{t_{restart} / t_{fail}}
        \left(e^{t_{iter} / t_{fail}} - 1\right)

    A failed worker is missing for t_restart, and its batch is lost; the others go on. For each worker it is F.3 with
    one machine and a batch as the piece, which the server holds as soon as it is done.

    Example:
        >>> round(t_train_missing(1000, 1, 900, 100).evalf())
        1118
    """
    return t_wall_checkpoints(t_train, t_iter, 1, t_fail, 0, t_restart)


def t_wall_asynchronous(
    t_train: Expr = t_train,
    t_iter: Expr = t_iter,
    tau: Expr = tau,
    k: Expr = k,
    t_fail: Expr = t_fail,
    t_save: Expr = t_save,
    t_restart: Expr = t_restart,
) -> Expr:
    r"""Return the mean time of an asynchronous run that only its k server machines stop [s], equation F.6.

    F.3 of those machines, for the time of F.5 that workers take who fail now and then.
    """
    return t_wall_checkpoints(t_train_missing(t_train, t_iter, t_fail, t_restart), tau, k, t_fail, t_save, t_restart)


def overhead_first_order(
    m: Expr = m_stop, t_fail: Expr = t_fail, t_save: Expr = t_save, t_restart: Expr = t_restart
) -> Expr:
    r"""Return by which part failures make a run longer at Young's interval, to the first order, equation F.7.

    .. math:: \frac{t_{wall}}{t_{train}} - 1 \approx \frac{t_{save}}{\tau} + \frac{\tau}{2 M} + \frac{t_{restart}}{M}
        = \sqrt{\frac{2\,t_{save}}{M}} + \frac{t_{restart}}{M}

    It grows with the root of the machines, then with the machines.

    Source:
        J. W. Young (1974) as for F.1.

    Example:
        >>> overhead_first_order().subs({m_stop: 8, t_fail: 3600, t_save: 1, t_restart: 0})
        1/15
    """
    return sqrt(2 * t_save * m / t_fail) + t_restart * m / t_fail
