"""What would change an answer: the link, the count or the number of servers from which on another plan is better."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from speedup.cases import describe
from speedup.estimates import estimate_plan, worker_counts
from speedup.plans import PlacementRule, ServerKind, UpdateMode
from speedup.rows import extreme_shares
from speedup.units import show_bandwidth, show_bytes, show_seconds

if TYPE_CHECKING:
    from speedup.cases import Case
    from speedup.inputs import Inputs
    from speedup.tables import Estimate

_LEAST, _MOST = 1e-9, 1e9
_SAME = 1 + 1e-9
EFFICIENT = 0.8
"""Efficiency for which the required link is worked out."""


def t_comm_limit(case: Case, plan: Estimate, time_s: float) -> float:
    """Return the longest transfer with which a plan still ends in ``time_s``; negative where no link is fast enough."""
    if not case.inputs.of_the_thesis(plan.server):
        return _searched_limit(case, plan, time_s)
    from sympy import Symbol  # noqa: PLC0415 - loaded with the first estimate, not with this module

    from speedup.formulas import largest_t_comm, plan_formula  # noqa: PLC0415
    from speedup.formulas.symbols import D, N, f_max, f_min, t_comm, t_down, t_grad, t_up  # noqa: PLC0415
    from speedup.numeric import numeric  # noqa: PLC0415

    equal = plan.placement is PlacementRule.EQUAL
    budget = Symbol("t_budget", positive=True)
    apart, ratio = case.inputs.apart, Symbol("r", positive=True)
    expression, _ = plan_formula(plan.mode, plan.server, plan.schedule, case.formulas, equal=equal, apart=apart)
    # Both directions become longer or shorter together.
    expression = expression.subs({t_up: ratio * t_comm, t_down: (2 - ratio) * t_comm})
    counts = worker_counts(plan.workers)
    gradient = case.inputs.formula_t_grad_s(plan.mode, counts)
    largest, smallest = extreme_shares(case.inputs, plan.placement, counts)
    function = numeric(largest_t_comm(expression, budget), (N, D, t_grad, budget, f_max, f_min, ratio))
    known = (float(plan.workers), float(plan.batches), gradient, time_s, largest, smallest)
    limit = function(*known, case.inputs.up_ratio)
    return float(np.squeeze(limit))


def link_words(case: Case, t_comm_s: float) -> str:
    """Say how long a transfer may take and, where the payload is known, which link that needs."""
    which = "the mean of t_up and t_down" if case.inputs.apart else "one transfer"
    words = f"{which} must take at most {show_seconds(t_comm_s)} (now {show_seconds(case.inputs.t_comm_s)})"
    if case.inputs.profile is None:
        return words
    sent, load = case.inputs.traffic, case.inputs.profile.workload
    payload = (sent.up_bytes + sent.down_bytes) // 2 if sent else load.payload_bytes
    latency = case.inputs.link.latency_s if case.inputs.link else 0.0
    if t_comm_s <= latency:
        return f"{words}, less than the link's latency alone"
    return f"{words}: {show_bytes(payload)} over {show_bandwidth(payload / (t_comm_s - latency))}"


def link_for_efficiency(case: Case) -> str:
    """Say which link would give the plan 80 % efficiency."""
    plan = case.choice
    if plan.efficiency >= EFFICIENT or plan.workers == 1:
        return ""
    limit = t_comm_limit(case, plan, plan.batches * plan.t_grad_s / (EFFICIENT * plan.workers))
    if limit <= 0:
        return f"No link gives this plan {EFFICIENT:.0%} efficiency."
    return f"For {EFFICIENT:.0%} efficiency at {plan.workers} workers, {link_words(case, limit)}."


def _searched_limit(case: Case, plan: Estimate, time_s: float) -> float:
    """Return the same for plans whose formula has more than lines in t_comm, found by bisection."""
    from scipy.optimize import brentq  # noqa: PLC0415 - for plans beyond the thesis alone

    inputs, most = case.inputs, 1.0

    def late_s(factor: float) -> float:
        slower = with_transfers(inputs, factor)
        return estimate_plan(plan.plan, slower, plan.batches, case.table.method).time_s - time_s

    if late_s(_LEAST) >= 0:
        return -1.0
    while late_s(most) < 0 and most < _MOST:
        most *= 8
    factor = most if late_s(most) < 0 else float(brentq(late_s, _LEAST, most, xtol=_LEAST))
    return with_transfers(inputs, factor).t_comm_s


def with_transfers(inputs: Inputs, factor: float) -> Inputs:
    """Return inputs whose bytes take ``factor`` times as long; latency stays.

    Args:
        inputs: The times.
        factor: That factor, above 0.
    """
    latency_s = inputs.latency_s
    t_comm_s = latency_s + (inputs.t_comm_s - latency_s) * factor
    return replace(inputs, t_comm_s=t_comm_s, comm_law=inputs.comm_law.scaled(t_comm_s / inputs.t_comm_s))


def overtaking(case: Case) -> str:
    """Say from which count on the chosen kind of plan is faster than one that is faster with fewer workers."""
    table, choice = case.table, case.choice
    found = []
    for index, kind in enumerate(table.families):
        if kind.mode is not choice.mode or kind.server is choice.server:
            continue
        ours, theirs = case.family, table.take(table.family == index)
        shared = np.intersect1d(ours.workers, theirs.workers)
        # One worker with a server has nobody to wait for: that it is slower than one alone is no overtaking.
        shared = shared[shared > 1]
        own = ours.time_s[np.isin(ours.workers, shared)]
        other = theirs.time_s[np.isin(theirs.workers, shared)]
        behind = np.flatnonzero(own > other * _SAME)
        if behind.size and behind[-1] + 1 < shared.size:
            found.append((int(shared[behind[-1] + 1]), describe(theirs[0]).split(", ", 2)[2]))
    if not found:
        return ""
    count, rival = max(found)
    return f"It overtakes {rival} from {count} workers up."


def shards_to_match(case: Case) -> str:
    """Say how many machines with a shard each would be as quick as an exchange between the workers alone."""
    plan = case.choice
    if plan.server not in {ServerKind.ALLREDUCE, ServerKind.DISTRIBUTED} or plan.workers == 1:
        return ""
    if plan.mode is UpdateMode.ASYNC or plan.move_s <= 0:
        return ""
    from speedup.formulas import fewest_shards  # noqa: PLC0415 - loaded with the first estimate, not with this module
    from speedup.formulas.symbols import N, t_comm, t_net  # noqa: PLC0415

    machines = -(-plan.workers // case.inputs.practice.per_machine)
    t_net_s = plan.move_s * case.inputs.practice.local_steps
    fewest = float(fewest_shards().subs({N: machines, t_comm: case.inputs.t_comm_s, t_net: t_net_s}))
    # A worker's own link is full before.
    if t_net_s <= case.inputs.t_comm_s or fewest > machines:
        return ""
    count = math.ceil(fewest * (1 - 1e-9))
    return f"Pipelined shards on machines of their own overtake it from {count} of them up (K.2)."
