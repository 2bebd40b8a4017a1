"""Why a plan was chosen and what would change the answer, in sentences made from numbers of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.cases import Case, describe
from speedup.estimates import tabulate, worker_counts
from speedup.limits import link_for_efficiency, link_words, overtaking, shards_to_match, t_comm_limit
from speedup.plans import PlacementRule, Schedule, ServerKind, UpdateMode
from speedup.tables import Estimate, EstimateTable, Family, Status, status_index
from speedup.text import ratio
from speedup.units import show_seconds

if TYPE_CHECKING:
    from speedup.phases import Stage

_NEGLIGIBLE, _SAME_TIME = 0.005, 1e-9
MOST_WORKERS = 4096
"""Largest count that is tried when no allowed one beats one worker."""


def reasons(
    choice: Estimate, runners_up: tuple[Estimate, ...], table: EstimateTable, *, by_time: bool = True
) -> tuple[str, ...]:
    """Return why the choice was made and what would change it.

    Args:
        choice: The plan.
        runners_up: The best of every other kind.
        table: What it was chosen from.
        by_time: Whether the time of the run is what counts; if not, nothing is said of which plan is faster.
    """
    case = Case(choice, table)
    if not by_time:
        return _reasons_besides_time(case)
    if table.phases:
        return tuple(filter(None, _reasons_over_phases(case, runners_up)))
    if choice.mode is UpdateMode.SEQUENTIAL:
        found = [_nothing_beats_one(case), _one_worker_limit(case), _link_to_scale(case, runners_up)]
        if case.table.speedup.max() <= 1:
            found.append(_machines_to_scale(case))
        return tuple(filter(None, found))
    found = [
        _gain(case),
        _limit(case),
        _more_workers(case),
        _next_best(case, runners_up),
        _bracket(case),
        _semaphore(case),
        _placed(case),
        overtaking(case),
        shards_to_match(case),
        link_for_efficiency(case),
    ]
    return tuple(filter(None, found))


def _reasons_besides_time(case: Case) -> tuple[str, ...]:
    if case.choice.mode is UpdateMode.SEQUENTIAL:
        fastest = case.table[int(np.argmin(case.table.time_s))]
        if fastest.mode is UpdateMode.SEQUENTIAL:
            return (_nothing_beats_one(case),)
        return (f"The fastest plan, {describe(fastest)}, takes {show_seconds(fastest.time_s)} for the run.",)
    found = [_gain(case), _limit(case), _semaphore(case), _placed(case), link_for_efficiency(case)]
    return tuple(filter(None, found))


def _reasons_over_phases(case: Case, runners_up: tuple[Estimate, ...]) -> list[str]:
    if case.choice.mode is UpdateMode.SEQUENTIAL:
        return [_nothing_beats_one(case)]
    return [_gain(case), _limit(case), _next_best(case, runners_up)]


def stage_reasons(stages: tuple[Stage, ...], choice: Estimate, switch_s: float) -> tuple[str, ...]:
    """Say what the fastest sequence of plans is and what it gains over the best single one."""
    if not stages:
        return ()
    cost = f"a switch costs {show_seconds(switch_s)} and moving the weights once"
    if len(stages) == 1:
        return (f"No change of plan on the way would gain anything; {cost}.",)
    time_s = sum(stage.plan.time_s + stage.switch_s for stage in stages)
    way = "; then ".join(f"{stage.name}: {describe(stage.plan)}" for stage in stages)
    said = (
        f"Changing the plan on the way takes {show_seconds(time_s)} instead of {show_seconds(choice.time_s)}, "
        f"{1 - time_s / choice.time_s:.1%} less: {way} ({cost})."
    )
    return (said,)


def _gain(case: Case) -> str:
    plan = case.choice
    alone = plan.batches * plan.t_grad_s
    verb = "finishes" if plan.workers == 1 else "finish"
    gained = f"speedup {ratio(plan.speedup)}{_interval(plan)}, efficiency {plan.efficiency:.0%}"
    return (
        f"{describe(plan).capitalize()} {verb} {plan.batches} batches in {show_seconds(plan.time_s)}; one worker alone "
        f"takes {show_seconds(alone)}: {gained}."
    )


def _interval(plan: Estimate) -> str:
    if plan.speedup_low is None or plan.speedup_high is None:
        return ""
    return f" (a run is in [{ratio(plan.speedup_low)}, {ratio(plan.speedup_high)}] with {plan.level:.0%})"


def _limit(case: Case) -> str:
    plan = case.choice
    compute = plan.t_grad_worker_s + plan.straggler_s
    network = plan.t_iter_s - compute
    limited = "the network" if network > compute else "computing"
    return (
        f"Limited by {limited}: of {show_seconds(plan.t_iter_s)} an iteration, {show_seconds(compute)} "
        f"({compute / plan.t_iter_s:.0%}) compute and {show_seconds(network)} ({network / plan.t_iter_s:.0%}) move "
        f"weights and gradients or wait for them.{_parts(plan)}"
    )


def _parts(plan: Estimate) -> str:
    """Say what else is in these two numbers, where it is anything."""
    parts = {
        "waiting for links or servers": plan.wait_s,
        "waiting for the slowest worker": plan.straggler_s,
        "hidden behind computing": plan.hidden_s,
    }
    said = [f"{show_seconds(value)} {name}" for name, value in parts.items() if value > _NEGLIGIBLE * plan.t_iter_s]
    return f" In an iteration: {show_seconds(plan.move_s)} moving, {', '.join(said)}." if said else ""


def _more_workers(case: Case) -> str:
    family, plan = case.family, case.choice
    more = family.workers > plan.workers
    if more.any():
        other = family.take(more)[0]
        verdict = "More workers do not pay" if other.time_s >= plan.time_s else "More workers are less efficient"
        return f"{verdict}: {other.workers} give speedup {ratio(other.speedup)}, efficiency {other.efficiency:.1%}."
    if plan.mode is not UpdateMode.SYNC_SPLIT and plan.workers >= plan.batches:
        return f"{plan.batches} batches keep at most {plan.batches} workers busy."
    speeds = case.inputs.practice.speeds
    if speeds and len(speeds) < 2 * plan.workers:
        return ""
    other = case.variant(workers=2 * plan.workers)
    if other.time_s >= plan.time_s or other.status is Status.IDLE_WORKERS:
        return ""
    return f"{plan.workers} is the largest count allowed; {other.workers} would give speedup {ratio(other.speedup)}."


def _next_best(case: Case, runners_up: tuple[Estimate, ...]) -> str:
    if not runners_up:
        return ""
    other, plan = runners_up[0], case.choice
    longer = other.time_s / plan.time_s - 1
    if longer > _SAME_TIME:
        slower = f"{longer:.1%} slower" if longer < 1 else f"{ratio(1 + longer)} times the time"
        return f"Next best: {describe(other)}, {slower}."
    same = [one for one in runners_up if one.time_s <= plan.time_s * (1 + _SAME_TIME)]
    verb = "is" if len(same) == 1 else "are"
    said = f"{'; '.join(map(describe, same)).capitalize()} {verb} predicted to take the same time"
    if all(one.mode is plan.mode for one in same):
        return f"{said}."
    why = ", whose gradients are never stale" if any(one.mode is UpdateMode.ASYNC for one in same) else ""
    return f"{said}; {plan.mode} is preferred{why}."


def _bracket(case: Case) -> str:
    if case.choice.server is not ServerKind.CENTRAL or case.choice.schedule is not Schedule.MEAN:
        return ""
    worst, best = case.variant(schedule=Schedule.WORST), case.variant(schedule=Schedule.BEST)
    return (
        f"Nothing orders the transfers at this central server: speedup {ratio(worst.speedup)} if all transfer at once "
        f"({worst.equation}), {ratio(best.speedup)} if one at a time ({best.equation}), which a semaphore would ensure."
    )


def _semaphore(case: Case) -> str:
    plan = case.choice
    if plan.schedule is not Schedule.FAIR or plan.workers == 1:
        return ""
    guarded = case.variant(schedule=Schedule.SEMAPHORE)
    verb = "would help" if guarded.time_s < 0.99 * plan.time_s else "would not help"
    return f"A semaphore at the server {verb}: speedup {ratio(guarded.speedup)} instead of {ratio(plan.speedup)}."


def _placed(case: Case) -> str:
    plan = case.choice
    if plan.server is not ServerKind.DISTRIBUTED or plan.placement is not PlacementRule.EQUAL:
        return ""
    if case.inputs.tensor_elements is None or plan.workers == 1:
        return ""
    greedy = case.variant(placement=PlacementRule.GREEDY)
    if greedy.time_s < 1.01 * plan.time_s:
        return ""
    return (
        f"Assumes equal shares of the weights: whole tensors placed by Algorithm 3.7 give speedup "
        f"{ratio(greedy.speedup)} instead of {ratio(plan.speedup)}. Split tensors by bytes."
    )


def _nothing_beats_one(case: Case) -> str:
    rivals = case.table.take(case.table.workers > 1)
    if not len(rivals):
        return "One worker alone: no other plan was allowed."
    best = rivals[int(np.argmin(rivals.time_s))]
    if best.speedup > 1:
        return (
            f"{describe(best).capitalize()} reach speedup {ratio(best.speedup)}, but at {best.efficiency:.1%} "
            "efficiency, less than was asked for."
        )
    return (
        f"No plan with up to {rivals.workers.max()} workers beats one worker alone: the best, {describe(best)}, "
        f"reaches speedup {ratio(best.speedup)}."
    )


def _one_worker_limit(case: Case) -> str:
    t_comm, t_grad = case.inputs.t_comm_s, case.inputs.t_grad_s
    if t_comm < t_grad:
        return ""
    return (
        f"The network is the limit: a transfer takes {show_seconds(t_comm)}, "
        f"{ratio(t_comm / t_grad)} times the {show_seconds(t_grad)} of computing a batch."
    )


def _kinds(case: Case) -> list[Family]:
    return [kind for kind in case.table.families if kind.mode is not UpdateMode.SEQUENTIAL]


def _link_to_scale(case: Case, runners_up: tuple[Estimate, ...]) -> str:
    """Say which link would make more than one worker pay, and with which plan."""
    slower = [plan for plan in runners_up if plan.speedup <= 1]
    if not slower:
        return ""
    limits = [(t_comm_limit(case, plan, plan.batches * plan.t_grad_s), plan) for plan in slower]
    limit, plan = max(limits, key=lambda pair: pair[0])
    return f"For {describe(plan)} to be faster than one worker, {link_words(case, limit)}." if limit > 0 else ""


def _machines_to_scale(case: Case) -> str:
    """Say from which worker count on, beyond those allowed, some plan beats one worker."""
    plan, tried = case.choice, int(case.table.workers.max())
    most = min(plan.batches, MOST_WORKERS)
    if most <= tried:
        return ""
    counts = worker_counts(range(tried + 1, most + 1))
    beyond = tabulate(case.inputs, _kinds(case), counts, plan.batches, case.formulas, case.table.placement)
    faster = beyond.take((beyond.speedup > 1) & (beyond.status != status_index(Status.IDLE_WORKERS)))
    if not len(faster):
        return f"No count up to {most} beats one worker either."
    fewest = faster.take(faster.workers == faster.workers.min())
    first = fewest[int(np.argmin(fewest.time_s))]
    return f"The smallest count that beats one worker: {describe(first)}, speedup {ratio(first.speedup)}."
