"""t_train of plans beyond the thesis: iterations that all workers take part in, each with an exchange."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import sympy
from sympy import Expr, Min, ceiling

from speedup.formulas import exchanges
from speedup.formulas.catalogue import CATALOGUE, iteration
from speedup.formulas.symbols import B, D, H, N, gamma, r, t_grad, t_net
from speedup.plans import Collective, Schedule, ServerKind, UpdateMode, gradients_alone

if TYPE_CHECKING:
    from collections.abc import Callable

_COLLECTIVE: dict[Collective, tuple[str, Callable[..., Expr]]] = {
    Collective.RING: ("C.6", exchanges.t_flat_ring),
    Collective.HIERARCHICAL: ("C.7", exchanges.t_hierarchical),
    Collective.HALVING_DOUBLING: ("C.2", exchanges.t_halving_doubling),
    Collective.RECURSIVE_DOUBLING: ("C.3", exchanges.t_recursive_doubling),
    Collective.TREE: ("C.4", exchanges.t_tree),
}
_THROUGH_MACHINES = (Collective.RING, Collective.HIERARCHICAL)


@cache
def exchange_formula(
    server: ServerKind, schedule: Schedule, collective: Collective, *, equal: bool = True, single: bool = False
) -> tuple[Expr, str]:
    """Return t_net of a kind of plan [s], all gradients and weights once, and the number of its equation.

    The workers of a machine sum inside it first and pass on what they get (C.5), so that machines are the units of all
    but the flat ring. A central or distributed server's is its iteration without computing.

    Args:
        server: Where the weights live.
        schedule: How links are shared.
        collective: Which all-reduce; ``none`` with a server.
        equal: Whether the shares of a distributed server are.
        single: Whether every worker is a machine of its own, r = 1.
    """
    units = N if single else exchanges.machines()
    within = sympy.S.Zero if single else exchanges.t_within(Min(r, N))
    if server is ServerKind.ALLREDUCE:
        number, function = _COLLECTIVE[collective]
        if single and collective in _THROUGH_MACHINES:
            return exchanges.t_ring(), "C.1"
        return (function(), number) if collective in _THROUGH_MACHINES else (function(units) + within, number)
    if server in {ServerKind.SHARDED, ServerKind.BYTEPS}:
        pipelined = "K.2" if schedule is Schedule.PIPELINED else "K.1"
        number = "K.3" if server is ServerKind.BYTEPS else pipelined
        return CATALOGUE[number].expression.subs(N, units) + within, number
    number, function = iteration(server, schedule, equal=equal)
    return function(N=units, t_grad=sympy.S.Zero) + within, number


@cache
def run_of_exchanges(mode: UpdateMode, server: ServerKind, schedule: Schedule, *, norm: bool) -> Expr:
    """Return t_train of a kind of plan whose workers are in step [s], in t_net.

    Args:
        mode: ``sync-join`` or ``sync-split``.
        server: Where the weights live.
        schedule: How links are shared.
        norm: Whether overlap is known by its exponent (O.2), and not by its share (O.1).
    """
    split = mode is UpdateMode.SYNC_SPLIT
    own = t_grad / N if split else t_grad
    given = t_net if gradients_alone(server, schedule) else t_net / 2
    overlapped = exchanges.t_iter_norm(given, own, gamma) if norm else exchanges.t_iter_hidden(given, own)
    iterations = D if split else ceiling(D / (N - B))
    return iterations * own + ceiling(iterations / H) * (overlapped - own + t_net - given)
