"""All plans in, one choice out, with its reasons."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cases import describe, transfer_words
from speedup.errors import PlanError, UnitError
from speedup.estimates import tabulate_parts, worker_counts
from speedup.kinds import EXPECTED, check_plan_words
from speedup.phases import SWITCH_S, added_up, best_stages, course_of
from speedup.plans import PlacementRule, Schedule, ServerKind, UpdateMode
from speedup.reasons import reasons, stage_reasons
from speedup.tables import Estimate, EstimateTable, Family, Status, status_index
from speedup.text import HEAD, cells, plan_lines, ratio
from speedup.units import not_negative, positive, show_bytes, show_seconds, whole
from speedup.validity import validity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Unpack

    from numpy.typing import NDArray

    from speedup.cluster import Link, MeasuredLink
    from speedup.inputs import Inputs
    from speedup.payloads import Encoding
    from speedup.phases import Course, Stage
    from speedup.practice import PracticeOptions
    from speedup.profile import Profile
    from speedup.tables import Integers

DEFAULT_MAX_WORKERS = 8
_OBJECTIVES = ("time",)
_SEQUENTIAL = Family(UpdateMode.SEQUENTIAL, ServerKind.NONE, Schedule.NONE)
# Of plans that take the same time, the simpler one: no stale gradients before stale ones.
_PREFERENCE = (UpdateMode.SEQUENTIAL, UpdateMode.SYNC_JOIN, UpdateMode.SYNC_SPLIT, UpdateMode.ASYNC)
_SAME_TIME = _ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to use, why, and what the answer rests on.

    Attributes:
        choice: The plan to use; ``mode`` is ``sequential`` for one worker alone.
        runners_up: The best plan of each other kind that is efficient enough, fastest first.
        reasons: Why, and what would change the answer.
        validity: What the numbers rest on and where they stop.
        table: Every plan that was considered.
        stages: For a run that changes on the way, the fastest sequence of plans; empty for any other.
    """

    choice: Estimate
    runners_up: tuple[Estimate, ...]
    reasons: tuple[str, ...]
    validity: tuple[str, ...]
    table: EstimateTable
    stages: tuple[Stage, ...] = ()

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        plan = self.choice
        if plan.mode is UpdateMode.SEQUENTIAL:
            return f"Use one worker: {plan.batches} batches take {show_seconds(plan.time_s)}."
        return (
            f"Use {describe(plan)}: speedup {ratio(plan.speedup)}, efficiency {plan.efficiency:.0%}, "
            f"{show_seconds(plan.time_s)} for {plan.batches} batches."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the recommendation as one plain document, the table included."""
        return {
            "schema": "speedup.recommendation/1",
            "headline": self.headline,
            "inputs": self.table.inputs.to_dict(),
            "choice": self.choice.to_dict(),
            "runners_up": [plan.to_dict() for plan in self.runners_up],
            "reasons": list(self.reasons),
            "validity": list(self.validity),
            "stages": [stage.to_dict() for stage in self.stages],
            "rows": self.table.to_dict()["rows"],
        }

    def to_json(self) -> str:
        """Return the recommendation as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        parts = [
            _title(self.table.inputs),
            "",
            f"  {self.headline}",
            "",
            *(f"  {line}" for line in plan_lines(self._shown())),
            "",
        ]
        for title, lines in (("Why", self.reasons), ("Rests on", self.validity)):
            parts += [f"{title}:", *(f"  - {line}" for line in lines), ""]
        return "\n".join(parts).rstrip()

    def _repr_html_(self) -> str:
        rows = (cells(plan) for plan in self._shown())
        table = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        titles = "".join(f"<th>{html.escape(cell)}</th>" for cell in HEAD)
        lists = "".join(
            f"<p><b>{title}</b></p><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"
            for title, lines in (("Why", self.reasons), ("Rests on", self.validity))
        )
        title = html.escape(_title(self.table.inputs)).replace("\n", "<br>")
        return (
            f"<p>{title}</p><p><b>{html.escape(self.headline)}</b></p>"
            f"<table><thead><tr>{titles}</tr></thead><tbody>{table}</tbody></table>{lists}"
        )

    def _shown(self) -> tuple[Estimate, ...]:
        return (self.choice, *self.runners_up)


def _title(inputs: Inputs) -> str:
    times = (
        f"t_grad = {show_seconds(inputs.t_grad_s)} ({inputs.t_grad_from}), "
        f"{transfer_words(inputs)} ({inputs.t_comm_from})"
    )
    if inputs.profile is None:
        return times
    load = inputs.profile.workload
    payload = f"{show_bytes(load.payload_bytes)} a transfer{' at first' if inputs.profile.phases else ''}"
    if inputs.traffic is not None:
        sent = inputs.traffic
        payload = (
            f"{show_bytes(sent.up_bytes)} up ({sent.up.name}), {show_bytes(sent.down_bytes)} down ({sent.down.name})"
        )
    return (
        f"{load.architecture}, {load.parameters / 1e6:.3g} M parameters, {payload}; "
        f"profile {inputs.profile.name} ({inputs.profile.device})\n{times}"
    )


def _counts(workers: int | Iterable[int] | None, max_workers: int | None) -> Integers:
    if workers is not None and max_workers is not None:
        raise PlanError("workers and max_workers were both given; workers lists the counts, max_workers means 1 to it.")
    if workers is not None:
        return worker_counts(workers)
    most = DEFAULT_MAX_WORKERS if max_workers is None else whole("max_workers", max_workers)
    return worker_counts(range(1, most + 1))


def _check_objective(objective: str, min_efficiency: float | None) -> None:
    if objective not in _OBJECTIVES:
        raise PlanError(f'objective = "{objective}" is unknown. Allowed: {", ".join(_OBJECTIVES)}.')
    if min_efficiency is not None and positive("min_efficiency", min_efficiency, "speedup per worker") > 1:
        raise UnitError(f"min_efficiency = {min_efficiency}; it must be above 0 and at most 1, such as 0.8.")


def _order(table: EstimateTable) -> NDArray[np.int64]:
    """Return the rows from best to worst; of the same time, fewer workers and simpler modes first."""
    preference = np.array([_PREFERENCE.index(family.mode) for family in table.families])[table.family]
    # Times that differ in the last bits are the same time: rank them by the shortest of their group.
    by_time = np.argsort(table.time_s, kind="stable")
    steps = np.diff(table.time_s[by_time], prepend=table.time_s[by_time[0]])
    groups = np.empty(len(table), dtype=np.int64)
    groups[by_time] = np.cumsum(steps > _SAME_TIME * table.time_s[by_time])
    return np.lexsort((table.family, table.machines, preference, table.workers, groups))


def _choose(table: EstimateTable, min_efficiency: float | None) -> tuple[Estimate, tuple[Estimate, ...]]:
    """Return the best plan and the best of every other family."""
    order = _order(table)
    enough = table.efficiency[order] >= (min_efficiency or 0) - _ROUNDING
    if not enough.any():
        best = float(table.efficiency.max())
        raise PlanError(
            f"no plan reaches min_efficiency = {min_efficiency}; the highest is {best:.3f}. "
            "Lower it, or allow one worker."
        )
    order = order[enough]
    return table[order[0]], _leaders(table, order, order[0])


def _leaders(table: EstimateTable, order: NDArray[np.int64], chosen: int) -> tuple[Estimate, ...]:
    """Return the best row of every other family; a server for a single worker is no rival."""
    alone = [index for index, family in enumerate(table.families) if family.mode is UpdateMode.SEQUENTIAL]
    rivals = order[(table.workers[order] > 1) | np.isin(table.family[order], alone)]
    _, leaders = np.unique(table.family[rivals], return_index=True)
    return tuple(table[row] for row in rivals[np.sort(leaders)] if table.family[row] != table.family[chosen])


def recommend(
    profile_or_name: Profile | str | Path | None = None,
    *,
    t_grad: float | None = None,
    t_comm: float | None = None,
    t_up: float | None = None,
    batch: int | None = None,
    network: str | Link | MeasuredLink | None = None,
    workers: int | Iterable[int] | None = None,
    max_workers: int | None = None,
    batches: int | None = None,
    modes: str | Iterable[str] | None = None,
    servers: str | Iterable[str] | None = None,
    schedules: str | Iterable[str] | None = EXPECTED,
    objective: str = "time",
    min_efficiency: float | None = None,
    method: str = "auto",
    placement: str = "equal",
    latency_s: float = 0.0,
    cv_grad: float | None = None,
    cv_comm: float | None = None,
    up: str | Encoding | None = None,
    down: str | Encoding | None = None,
    deltas: bool = False,
    t_codec: float = 0.0,
    switch_s: float = SWITCH_S,
    collectives: str | Iterable[str] | None = "best",
    **practice: Unpack[PracticeOptions],
) -> Recommendation:
    """Say how many workers to use and with which server, and why.

    The choice has the smallest ``time_s`` of the table, in which one worker alone stands too unless ``workers`` leaves
    it out. Arguments that ``estimate`` has mean the same here.

    Args:
        profile_or_name: Profile, name of a shipped one, or path of a file.
        t_grad: Gradient of one batch on one worker [s].
        t_comm: One transfer of all weights or gradients [s].
        t_up: One transfer of the gradients [s], if that is another time; t_comm then is that of the weights.
        batch: Samples in one batch of one worker.
        network: Bandwidth such as ``"1gbit"``, a ``Link``, a ``MeasuredLink``, or the ``.json`` file of one.
        workers: The counts to consider, one or many.
        max_workers: Consider 1 to this many; 8 if neither is given.
        batches: Batches of the whole run, D; by default 128, or those of the profile's phases.
        modes: Some of ``sync-join``, ``sync-split``, ``async``; all by default.
        servers: Some of ``central``, ``distributed``, ``sharded``, ``byteps``, ``allreduce``; by default those that
            need no further machines, and with ``shards`` all.
        schedules: ``semaphore`` if your central server has one; by default what to expect if it has not.
        objective: ``time``, of the whole run.
        min_efficiency: Consider only plans with at least this speedup / N, in (0, 1].
        method: ``auto``, ``queueing``, ``simulation``, ``thesis`` or ``exact``.
        placement: ``equal`` shares of a distributed server, or ``greedy``, ``lpt``, ``bytes``.
        latency_s: Fixed time of one message [s], with a network given as text.
        cv_grad: Coefficient of variation of t_grad.
        cv_comm: Coefficient of variation of t_comm.
        up: Encoding of the gradients, such as ``int8``.
        down: Encoding of the weights.
        deltas: Whether the server sends changes of the weights.
        t_codec: What a worker takes to encode and decode, once an iteration [s].
        switch_s: What going over to another plan on the way costs [s], besides moving the weights once; for a profile
            with phases.
        collectives: How an all-reduce goes; ``best`` for the fastest at each count.
        **practice: How training is done besides: ``overlap``, ``per_machine``, ``intra``, ``local_steps``, ``backup``,
            ``shards``; see ``speedup.practice.PracticeOptions``.

    Raises:
        SpeedupError: As ``estimate``; a ``PlanError`` also if no plan is efficient enough.

    Example:
        >>> recommend("vgg16e").choice.workers
        1
        >>> print(recommend("squeezenet").headline)
        Use 8 workers, sync-join, distributed server: speedup 7.43, efficiency 93%, 13.1 s for 128 batches.
    """
    _check_objective(objective, min_efficiency)
    counts, paused = _counts(workers, max_workers), not_negative("switch_s", switch_s, "s")
    given: dict[str, Any] = {"t_grad": t_grad, "t_comm": t_comm, "t_up": t_up, "cv_grad": cv_grad, "cv_comm": cv_comm}
    given |= {"up": up, "down": down, "deltas": deltas, "t_codec": t_codec, **practice}
    course = course_of(profile_or_name, batches, **given, batch=batch, network=network, latency_s=latency_s)
    kinds, rule = check_plan_words(
        modes,
        servers,
        schedules,
        method,
        placement,
        practice=course.inputs.practice,
        collectives=collectives,
        varies=course.inputs.varies,
    )
    tables = tabulate_parts(course, kinds, counts, method, rule)
    if workers is None or 1 in counts:
        alone = tabulate_parts(course, [_SEQUENTIAL], worker_counts(1), method, PlacementRule.EQUAL)
        tables = [one.followed_by(other) for one, other in zip(alone, tables, strict=True)]
    return _recommended(course, tables, min_efficiency, paused)


def _recommended(
    course: Course, tables: list[EstimateTable], min_efficiency: float | None, switch_s: float
) -> Recommendation:
    whole_run = added_up(tables, course)
    # Plans in which some workers never compute are no candidates.
    table = whole_run.take(busy := whole_run.status != status_index(Status.IDLE_WORKERS))
    if not len(table):
        batches = table.batches
        raise PlanError(f"workers: all counts exceed batches = {batches}; allow at most as many workers as batches.")
    choice, runners_up = _choose(table, min_efficiency)
    stages: tuple[Stage, ...] = ()
    if len(course.parts) > 1:
        allowed = busy & (whole_run.efficiency >= (min_efficiency or 0) - _ROUNDING)
        stages = best_stages(course, [one.take(allowed) for one in tables], switch_s)
    why = (*reasons(choice, runners_up, table), *stage_reasons(stages, choice, switch_s))
    return Recommendation(choice, runners_up, why, validity(choice, table), table, stages)
