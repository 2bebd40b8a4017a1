"""The formula of constant times for every kind of plan, and what its symbols stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speedup.errors import PlanError
from speedup.exchange import backward_share, layers, moved_s
from speedup.formulas import CATALOGUE, exchange_formula, plan_formula, run_of_exchanges, symbols
from speedup.formulas.symbols import D, N, f_max, f_min, t_comm
from speedup.plans import (
    PlacementRule,
    Schedule,
    ServerKind,
    UpdateMode,
    collectives_tried,
    weight_holders,
)
from speedup.practice import OverlapKind
from speedup.rows import extreme_shares

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr, Symbol

    from speedup.inputs import Inputs
    from speedup.tables import Family, Integers


def _has_exchange(kind: Family, inputs: Inputs) -> bool:
    """Return whether a kind's formula has an exchange, t_net, of its own."""
    return not inputs.of_the_thesis(kind.server) and kind.mode not in {UpdateMode.ASYNC, UpdateMode.SEQUENTIAL}


def run_formula(kind: Family, inputs: Inputs, method: str, *, equal: bool) -> tuple[Expr, str]:
    """Return t_train of a kind of plan [s] and the number of its equation; what is not made use of is left out of it.

    Args:
        kind: The kind of plan.
        inputs: The times and the practice.
        method: ``thesis`` or ``exact``.
        equal: Whether the shares of a distributed server are.

    Raises:
        PlanError: Overlap is worked out layer by layer, for which there is no formula.
    """
    practice = inputs.practice
    if kind.mode is UpdateMode.ASYNC and not inputs.of_the_thesis(kind.server):
        number = "K.6" if kind.schedule is Schedule.PIPELINED else "K.4"
        # Its own share a worker of a distributed server has already.
        own = {t_comm: t_comm * (1 - 1 / N)} if kind.server is ServerKind.DISTRIBUTED else {}
        return CATALOGUE[number].expression.subs(own), number
    if not _has_exchange(kind, inputs):
        return plan_formula(kind.mode, kind.server, kind.schedule, method, equal=equal, apart=inputs.apart)
    if practice.overlap.kind is OverlapKind.LAYERS:
        raise PlanError('overlap = "layers" is worked out layer by layer and has no formula. Use overlap="full".')
    norm = practice.overlap.kind is OverlapKind.NORM
    expression = run_of_exchanges(kind.mode, kind.server, kind.schedule, norm=norm)
    unused: dict[Any, int] = {symbols.H: 1} if practice.local_steps == 1 else {}
    unused |= {} if practice.backup else {symbols.B: 0}
    unused |= {} if practice.overlap else {symbols.omega: 0}
    overlapped = "O.2 in O.3" if norm else "O.1 in O.3"
    return expression.subs(unused), overlapped if practice.overlap else "O.3"


def exchange_formulas(kind: Family, inputs: Inputs, *, equal: bool) -> tuple[tuple[Expr, str], ...]:
    """Return t_net of a kind of plan [s] with the number of its equation; several where the fastest counts.

    Nothing is returned for a kind whose formula has no t_net.
    """
    if not _has_exchange(kind, inputs):
        return ()
    single = inputs.practice.per_machine == 1
    tried = collectives_tried(kind.collective)
    return tuple(exchange_formula(kind.server, kind.schedule, one, equal=equal, single=single) for one in tried)


def symbol_values(
    kind: Family, inputs: Inputs, counts: Integers, batches: int, rule: PlacementRule, *, centre: float = 1.0
) -> dict[Symbol, float | np.ndarray[Any, Any]]:
    """Return what the symbols of a kind's formula stand for: a number, or one for each worker count.

    Args:
        kind: The kind of plan.
        inputs: The times and the practice.
        counts: N, shape (K,).
        batches: D.
        rule: How a distributed server's weights are placed.
        centre: The mean of t_grad by its centre, where means count.
    """
    practice, placed = inputs.practice, kind.server is ServerKind.DISTRIBUTED
    largest, smallest = extreme_shares(inputs, rule, counts) if placed else (0.0, 0.0)
    return {
        N: counts,
        D: batches,
        symbols.t_grad: inputs.formula_t_grad_s(kind.mode, counts, centre),
        t_comm: moved_s(inputs, kind.server, kind.schedule),
        symbols.t_up: inputs.t_up_s,
        symbols.t_down: inputs.t_down_s,
        f_max: largest,
        f_min: smallest,
        symbols.k: weight_holders(kind.server, counts, practice.shards),
        symbols.r: practice.per_machine,
        symbols.a: inputs.latency_s,
        symbols.a_intra: practice.latency_intra_s,
        symbols.t_intra: practice.t_intra_s,
        symbols.L: layers(inputs),
        symbols.H: practice.local_steps,
        symbols.B: (counts - 1).clip(max=practice.backup),
        symbols.f_back: backward_share(inputs),
        symbols.omega: practice.overlap.value,
        symbols.gamma: practice.overlap.value,
    }
