"""Why a plan was chosen and what would change the answer, in sentences made from numbers of the table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cluster import MeasuredLink
from speedup.estimates import estimate_plan, extreme_shares, tabulate, worker_counts
from speedup.gradient_time import GradientTime
from speedup.plans import PlacementRule, Schedule, ServerKind, UpdateMode
from speedup.profile import Provenance
from speedup.tables import FORMULAS, Estimate, EstimateTable, Status, status_index
from speedup.text import ratio
from speedup.units import show_bandwidth, show_bytes, show_seconds

if TYPE_CHECKING:
    from speedup.inputs import Inputs
    from speedup.phases import Stage

EFFICIENT = 0.8
"""Efficiency for which the required link is worked out."""
MOST_WORKERS = 4096
"""Largest count that is tried when no allowed one beats one worker."""


@dataclass(frozen=True, slots=True)
class Case:
    """A choice and the table it was made from."""

    choice: Estimate
    table: EstimateTable

    @property
    def inputs(self) -> Inputs:
        """The two times of the model."""
        return self.table.inputs

    @property
    def family(self) -> EstimateTable:
        """The rows that differ from the choice in the number of workers only."""
        same = [
            (one.mode, one.server, one.schedule) == (self.choice.mode, self.choice.server, self.choice.schedule)
            for one in self.table.families
        ]
        return self.table.take(np.array(same)[self.table.family])

    @property
    def formulas(self) -> str:
        """The formulas in place of the table's method where an equation is solved or thousands of counts are tried."""
        return self.table.method if self.table.method in FORMULAS else "exact"

    def variant(self, **changes: Any) -> Estimate:  # noqa: ANN401 - the fields of Plan
        """Return the chosen plan with some of its fields changed."""
        choice = self.choice
        return estimate_plan(replace(choice.plan, **changes), self.inputs, choice.batches, self.table.method)


def describe(plan: Estimate) -> str:
    """Name a plan in words."""
    if plan.mode is UpdateMode.SEQUENTIAL:
        return "one worker alone"
    server = f"{plan.server} server" + (" with semaphore" if plan.schedule is Schedule.SEMAPHORE else "")
    return f"{plan.workers} worker{'s' if plan.workers != 1 else ''}, {plan.mode}, {server}"


def reasons(choice: Estimate, runners_up: tuple[Estimate, ...], table: EstimateTable) -> tuple[str, ...]:
    """Return why the choice was made and what would change it."""
    case = Case(choice, table)
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
        _link_for_efficiency(case),
    ]
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
    compute = plan.t_grad_worker_s
    network = plan.t_iter_s - compute
    limited = "the network" if network > compute else "computing"
    return (
        f"Limited by {limited}: of {show_seconds(plan.t_iter_s)} an iteration, {show_seconds(compute)} "
        f"({compute / plan.t_iter_s:.0%}) compute and {show_seconds(network)} ({network / plan.t_iter_s:.0%}) move "
        "weights and gradients or wait for them."
    )


def _more_workers(case: Case) -> str:
    family, plan = case.family, case.choice
    more = family.workers > plan.workers
    if more.any():
        other = family.take(more)[0]
        verdict = "More workers do not pay" if other.time_s >= plan.time_s else "More workers are less efficient"
        return f"{verdict}: {other.workers} give speedup {ratio(other.speedup)}, efficiency {other.efficiency:.1%}."
    if plan.mode is not UpdateMode.SYNC_SPLIT and plan.workers >= plan.batches:
        return f"{plan.batches} batches keep at most {plan.batches} workers busy."
    other = case.variant(workers=2 * plan.workers)
    if other.time_s >= plan.time_s or other.status is Status.IDLE_WORKERS:
        return ""
    return f"{plan.workers} is the largest count allowed; {other.workers} would give speedup {ratio(other.speedup)}."


def _next_best(case: Case, runners_up: tuple[Estimate, ...]) -> str:
    if not runners_up:
        return ""
    other, plan = runners_up[0], case.choice
    longer = other.time_s / plan.time_s - 1
    if longer > 1e-9:
        slower = f"{longer:.1%} slower" if longer < 1 else f"{ratio(1 + longer)} times the time"
        return f"Next best: {describe(other)}, {slower}."
    why = ", whose gradients are never stale" if other.mode is UpdateMode.ASYNC else ""
    return f"{describe(other).capitalize()} is predicted to take the same time; {plan.mode} is preferred{why}."


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


def transfer_words(inputs: Inputs) -> str:
    """Say what a transfer takes, each way where they differ."""
    if not inputs.apart:
        return f"t_comm = {show_seconds(inputs.t_comm_s)}"
    return f"t_up = {show_seconds(inputs.t_up_s)}, t_down = {show_seconds(inputs.t_down_s)}"


def _t_comm_limit(case: Case, plan: Estimate, time_s: float) -> float:
    """Return the longest transfer with which a plan still ends in ``time_s``."""
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


def _link_words(case: Case, t_comm_s: float) -> str:
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


def _link_for_efficiency(case: Case) -> str:
    plan = case.choice
    if plan.efficiency >= EFFICIENT or plan.workers == 1:
        return ""
    limit = _t_comm_limit(case, plan, plan.batches * plan.t_grad_s / (EFFICIENT * plan.workers))
    if limit <= 0:
        return f"No link gives this plan {EFFICIENT:.0%} efficiency."
    return f"For {EFFICIENT:.0%} efficiency at {plan.workers} workers, {_link_words(case, limit)}."


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


def _kinds(case: Case) -> list[tuple[UpdateMode, ServerKind, Schedule]]:
    found = [(family.mode, family.server, family.schedule) for family in case.table.families]
    return [kind for kind in found if kind[0] is not UpdateMode.SEQUENTIAL]


def _link_to_scale(case: Case, runners_up: tuple[Estimate, ...]) -> str:
    """Say which link would make more than one worker pay, and with which plan."""
    slower = [plan for plan in runners_up if plan.speedup <= 1]
    if not slower:
        return ""
    limits = [(_t_comm_limit(case, plan, plan.batches * plan.t_grad_s), plan) for plan in slower]
    limit, plan = max(limits, key=lambda pair: pair[0])
    return f"For {describe(plan)} to be faster than one worker, {_link_words(case, limit)}." if limit > 0 else ""


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


_METHOD_WORDS = {
    "thesis": "formulas as printed",
    "exact": "whole batches",
    "closed-form": "whole batches",
    "mva": "queueing theory, within about 1 % of simulation",
    "recursion": "iterations drawn one by one",
    "simulation": "simulated event by event",
}


def _spread_words(table: EstimateTable) -> str:
    inputs = table.inputs
    if table.method in FORMULAS or not inputs.varies:
        return "with constant times"
    return f"whose t_grad varies by {inputs.grad_law.cv:.0%} and t_comm by {inputs.comm_law.cv:.0%} (cv)"


def validity(choice: Estimate, table: EstimateTable) -> tuple[str, ...]:
    """Return what the numbers rest on and where they stop."""
    inputs = table.inputs
    notes = [_t_grad_origin(inputs), _t_comm_origin(inputs)]
    notes.append(
        f"Model: equal workers and links {_spread_words(table)}, no overlap of transfers with computing, weight update "
        f"at the server neglected; {_METHOD_WORDS[choice.method]}."
    )
    if table.phases:
        notes.append(
            f"These times are means over {len(table.phases)} phases, {table.phases[0]} to {table.phases[-1]}; each was "
            "estimated with its own, and all are added up."
        )
    notes += _encoding_notes(inputs)
    if choice.status is Status.ROUGH:
        notes.append('Status rough: no fast estimator is known to be safe here; method="simulation" is.')
    elif choice.status is not Status.OK:
        notes.append(
            f"Status {choice.status}: {choice.batches} batches on {choice.workers} workers do not come out "
            'whole; method="exact" counts whole batches.'
        )
    if choice.mode is UpdateMode.SYNC_SPLIT:
        notes.append(_part_of_a_batch(choice, inputs))
    if choice.mode is UpdateMode.SYNC_JOIN:
        notes.append(f"Speedup counts batches, not accuracy: an update here averages {choice.workers} batches.")
    if choice.mode is UpdateMode.ASYNC:
        notes.append(
            f"Speedup counts batches, not accuracy: gradients here are about {choice.workers - 1} updates old."
        )
    if choice.efficiency > 1:
        notes.append(
            "An efficiency above 100 % is no slip: a part of a batch takes less than its share of the time here."
        )
    return (*notes, *inputs.warnings, *(inputs.profile.warnings if inputs.profile else ()))


def _encoding_notes(inputs: Inputs) -> list[str]:
    """Say what the encodings cost besides bytes."""
    sent = inputs.traffic
    notes = []
    if inputs.t_codec_s:
        notes.append(f"A worker takes {show_seconds(inputs.t_codec_s)} an iteration to encode and decode.")
    elif sent is not None and {sent.up.name, sent.down.name} != {"fp32"}:
        notes.append("Encoding and decoding take no time here; give t_codec if they do.")
    lossy = [one.name for one in dict.fromkeys((sent.up, sent.down)) if one.lossy] if sent else []
    if lossy:
        notes.append(f"What {' and '.join(lossy)} lose is not part of the speedup: it counts batches, not accuracy.")
    return notes


def _part_of_a_batch(choice: Estimate, inputs: Inputs) -> str:
    """Say what one worker's part of a batch takes, and how that is known."""
    part, sweep = inputs.part(choice.workers), inputs.gradient_time
    if part is None or sweep is None:
        return f"Assumes that 1/{choice.workers} of a batch takes 1/{choice.workers} of its time."
    said = (
        f"A worker computes ceil({inputs.batch}/{choice.workers}) = {part.batch} samples in {part}, "
        f"{part.median_s / choice.t_grad_s:.0%} of the time of a batch of {inputs.batch}"
    )
    if part.provenance is not Provenance.FITTED:
        return f"{said}: {part.provenance}."
    checked = f"held-out error {sweep.held_out_error}" if sweep.held_out_error else "too few batch sizes to check it"
    below = f" Extrapolated: the smallest measured batch size is {sweep.range[0]}." if part.extrapolated else ""
    return f"{said}: fitted, t = {sweep.formula}, {checked}.{below}"


def _t_grad_origin(inputs: Inputs) -> str:
    profile, time = inputs.profile, inputs.t_grad
    if profile is None or inputs.t_grad_given:
        known = profile.workload.batch if profile else None
        size = f", batch {time.batch}" if time.batch != known else ""
        return f"t_grad = {show_seconds(inputs.t_grad_s)}, {inputs.t_grad_from} (given){size}."
    said = f"t_grad = {time}, {inputs.t_grad_from} on {profile.device}, {_batch(inputs)}"
    measured = any(timing.batch == time.batch for timing in profile.t_grad)
    return f"{said}." if measured else f"{said}: {GradientTime.of(profile)}."


def _batch(inputs: Inputs) -> str:
    return f"batch {inputs.batch}" if inputs.batch else "batch size not stated"


def _t_comm_origin(inputs: Inputs) -> str:
    text = f"{transfer_words(inputs)}, {inputs.t_comm_from}"
    if inputs.link and inputs.profile:
        payload = show_bytes(inputs.profile.workload.payload_bytes)
        if inputs.traffic:
            payload = f"{show_bytes(inputs.traffic.up_bytes)} up and {show_bytes(inputs.traffic.down_bytes)} down"
        if isinstance(inputs.link, MeasuredLink):
            link = inputs.link
            rate = show_bandwidth(link.bandwidth_bytes_per_s)
            return f"{text}: {payload} over a measured link, {rate}, {link.wire}."
        return (
            f"{text}: {payload} over {inputs.link}, the full line rate; TCP over Ethernet delivers up to 94 % of it. "
            "Measure the link to be sure."
        )
    return f"{text} (given)." if inputs.t_comm_from is Provenance.ASSUMED else f"{text}."
