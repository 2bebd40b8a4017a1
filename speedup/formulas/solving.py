"""Formulas turned round: what a link must do for a run to be fast enough."""

from __future__ import annotations

from functools import cache

from sympy import Expr, Max, Min, Symbol, oo, solve

from speedup.formulas.symbols import N, k, t_comm, t_net


def _branches(expression: Expr) -> list[Expr]:
    """Return the expression with every Max replaced by each of its arguments in turn."""
    largest = next(iter(expression.atoms(Max)), None)
    if largest is None:
        return [expression]
    return [branch for choice in largest.args for branch in _branches(expression.subs(largest, choice))]


@cache
def largest_t_comm(t_train: Expr, budget: Symbol) -> Expr:
    r"""Return the longest transfer [s] with which a run still ends within a budget.

    Every t_train of the catalogue is the largest of lines a + b t_comm with b >= 0, so the answer is the
    smallest of the lines' own:

    .. math:: t_{comm} \le \min_k \frac{T - a_k}{b_k}

    A negative value means that no link is fast enough.

    Args:
        t_train: Time of the run [s], in ``t_comm``.
        budget: Symbol of the time T it may take [s].

    Example:
        >>> from speedup.formulas import formula
        >>> largest_t_comm(formula("sync-join", "central", schedule="best"), Symbol("T"))
        N*(-D*t_grad/N + T)/(D*(N + 1))
    """
    limits = []
    for branch in _branches(t_train):
        slope = branch.diff(t_comm)
        limits.append((budget - branch.subs(t_comm, 0)) / slope.factor() if slope != 0 else oo)
    return Min(*limits)


@cache
def fewest_shards() -> Expr:
    r"""Return with how many machines that hold a shard each a pipelined exchange takes t_net; fewer take longer.

    Equation K.2, while the servers' links are full, solved for k.

    Example:
        >>> fewest_shards()
        N*t_comm/t_net
    """
    (found,) = solve(N * t_comm / k - t_net, k)
    return found
