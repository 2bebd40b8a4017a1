"""All plans in, one choice out, with its reasons."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cases import describe, transfer_words
from speedup.certainty import Certainty, Target, certainty
from speedup.choosing import Field, Outcome, choose, field_of, goal_sentences
from speedup.cost import show_cost
from speedup.errors import PlanError
from speedup.estimates import tabulate_parts, worker_counts
from speedup.goals import ANY, Goal, GoalOptions
from speedup.kinds import EXPECTED, check_plan_words
from speedup.phases import DEFAULT_BATCHES, SWITCH_S, best_stages, course_of
from speedup.plans import PlacementRule, Schedule, ServerKind, UpdateMode
from speedup.practice import PracticeOptions
from speedup.profile import Profile
from speedup.reasons import reasons, stage_reasons
from speedup.tables import Estimate, EstimateTable, Family
from speedup.text import HEAD, aligned, cells, ratio
from speedup.units import not_negative, show_bytes, show_seconds, whole
from speedup.validity import validity

if TYPE_CHECKING:
    from typing import Unpack

    import plotly.graph_objects as go

    from speedup.cluster import Link, MeasuredLink
    from speedup.inputs import Inputs
    from speedup.payloads import Encoding
    from speedup.phases import Stage
    from speedup.tables import Integers

DEFAULT_MAX_WORKERS = 8
_SEQUENTIAL = Family(UpdateMode.SEQUENTIAL, ServerKind.NONE, Schedule.NONE)


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
        goal: What was wanted.
        outcomes: What the choice and the runners-up are worth for that, in the same order.
        refused: Plans that would be better, and why they cannot be chosen.
        front: With a price, the plans that no other beats in time and in cost, fastest first.
        field: The plans of the choice's batch size, and what they are worth.
        row: The choice's row there.
        fields: The plans of all batch sizes.
        considered: Plans that were compared, of all batch sizes.
    """

    choice: Estimate
    runners_up: tuple[Estimate, ...]
    reasons: tuple[str, ...]
    validity: tuple[str, ...]
    table: EstimateTable
    stages: tuple[Stage, ...] = ()
    goal: Goal = ANY
    outcomes: tuple[Outcome, ...] = ()
    refused: tuple[Outcome, ...] = ()
    front: tuple[Outcome, ...] = ()
    field: Field | None = None
    row: int = 0
    fields: tuple[Field, ...] = ()
    considered: int = 0

    def certainty(self, *, exact: bool = False) -> Certainty:
        """Say how sure the choice is among the plans that keep all limits, of all batch sizes.

        Args:
            exact: Take numbers that came without an interval as exact; if not, a doubt is assumed for them, and named.

        Raises:
            PlanError: The recommendation was not made by ``recommend``.
        """
        if self.field is None:
            raise PlanError("how sure a choice is can be said of what recommend() returned alone.")
        place, worst = self.fields.index(self.field), self.field.judged.excess[self.row]
        # Of plans that cost nothing, time tells which is better.
        free = self.field.judged.score[self.row] == 0
        kept = [
            np.flatnonzero((one.judged.excess <= worst) & ((one.judged.score == 0) | (not free))) for one in self.fields
        ]
        worth = [one.judged.time_s if free else one.judged.score for one in self.fields]
        factors = [(score / one.table.time_s)[rows] for one, score, rows in zip(self.fields, worth, kept, strict=True)]
        some = [(field, rows) for field, rows in zip(self.fields, kept, strict=True) if rows.size]
        tables = [field.table.take(rows) for field, rows in some]
        return certainty(
            tables,
            sum(map(len, kept[:place])) + int(np.searchsorted(kept[place], self.row)),
            factor=np.concatenate(factors),
            unit="USD" if self.goal.counts_cost and not free else "s",
            exact=exact,
            course=[field.course for field, _ in some],
            target=self._target(tables),
            noise_scale=self.goal.noise_scale if self.goal.to_target else None,
        )

    def _target(self, tables: list[EstimateTable]) -> Target | None:
        goal, reference = self.goal, self.field.reference if self.field else None
        if not goal.to_target or goal.noise_scale is None or goal.noise_scale.value is None or reference is None:
            return None
        samples = np.concatenate([goal.update_samples(table) for table in tables])
        return Target(goal.noise_scale.value, samples, reference)

    @property
    def title(self) -> str:
        """What the answer is about: the workload where there is one, and in a line of its own the two times."""
        return _title(self.table.inputs)

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        plan = self.choice
        if not self.goal.by_time or (self.outcomes and self.outcomes[0].reason):
            return self._headline_for_goal()
        if plan.mode is UpdateMode.SEQUENTIAL:
            return f"Use one worker: {plan.batches} batches take {show_seconds(plan.time_s)}."
        return (
            f"Use {describe(plan)}: speedup {ratio(plan.speedup)}, efficiency {plan.efficiency:.0%}, "
            f"{show_seconds(plan.time_s)} for {plan.batches} batches."
        )

    def _headline_for_goal(self) -> str:
        one, goal = self.outcomes[0], self.goal
        batch = f" with batches of {one.batch}" if one.batch is not None else ""
        until = "to the target" if goal.to_target else f"for {one.plan.batches} batches"
        paid = "" if one.cost is None else f", {show_cost(one.cost)}"
        missed = "No plan keeps all limits; the nearest: " if one.reason else ""
        return f"{missed}Use {describe(one.plan)}{batch}: {show_seconds(one.time_s)} {until}{paid}."

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
            "goal": self.goal.to_dict(),
            "certainty": self.certainty().to_dict() if self.field is not None else None,
            "outcomes": [one.to_dict() for one in self.outcomes],
            "refused": [one.to_dict() for one in self.refused],
            "front": [one.to_dict() for one in self.front],
            "rows": self.table.to_dict()["rows"],
        }

    def to_json(self) -> str:
        """Return the recommendation as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def plot(self) -> go.Figure:
        """Return the choice as a figure: among the speedups of all plans; where cost counts, among times and costs."""
        from speedup.figures import front_figure, speedup_figure  # noqa: PLC0415 - Plotly is for those who look at it

        return front_figure(self) if self.goal.counts_cost else speedup_figure(self.table, choice=self.choice)

    def report(self, path: str | Path) -> Path:
        """Write the recommendation as one HTML page that needs no network: figures, sliders, formulas, origins.

        Args:
            path: Where it goes, such as ``"report.html"``.

        Returns:
            The path.

        Raises:
            FileError: It cannot be written there.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     recommend("squeezenet").report(folder + "/report.html").name
            'report.html'
        """
        from speedup.report import write_report  # noqa: PLC0415 - as plot

        return write_report(self, path)

    def __str__(self) -> str:
        parts = [
            self.title,
            "",
            f"  {self.headline}",
            "",
            *(f"  {line}" for line in aligned(self.cells())),
            "",
        ]
        for title, lines in self._sections():
            parts += [f"{title}:", *(f"  - {line}" for line in lines), ""]
        return "\n".join(parts).rstrip()

    def _repr_html_(self) -> str:
        head, *rows = self.cells()
        table = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        titles = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        lists = "".join(
            f"<p><b>{title}</b></p><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"
            for title, lines in self._sections()
        )
        title = html.escape(self.title).replace("\n", "<br>")
        return (
            f"<p>{title}</p><p><b>{html.escape(self.headline)}</b></p>"
            f"<table><thead><tr>{titles}</tr></thead><tbody>{table}</tbody></table>{lists}"
        )

    def _sections(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the lists that follow the table, with their titles."""
        sure = self.certainty().sentences() if self.field is not None else ()
        sections = [("Why", self.reasons), ("How sure", sure), ("Rests on", self.validity)]
        return [(title, lines) for title, lines in sections if lines]

    def cells(self) -> list[tuple[str, ...]]:
        """Return the table of the choice and its runners-up, its head first."""
        plans = (self.choice, *self.runners_up)
        if self.goal.by_time or not self.outcomes:
            return [HEAD, *map(cells, plans)]
        paid = self.outcomes[0].cost is not None
        head = ("to target" if self.goal.to_target else "run", *(("cost",) if paid else ()), "batch")
        rows = [
            (show_seconds(one.time_s), *((show_cost(one.cost or 0.0),) if paid else ()), str(one.batch or "?"))
            for one in self.outcomes
        ]
        return [(*head, *HEAD), *((*row, *cells(plan)) for row, plan in zip(rows, plans, strict=True))]


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


class RecommendOptions(PracticeOptions, GoalOptions, total=False):
    """The options of ``recommend`` besides its own: how training is done, and what is wanted."""


def recommend(
    profile_or_name: Profile | str | Path | None = None,
    *,
    t_grad: float | None = None,
    t_comm: float | None = None,
    t_up: float | None = None,
    batch: int | Iterable[int] | None = None,
    network: str | Link | MeasuredLink | None = None,
    workers: int | Iterable[int] | None = None,
    max_workers: int | None = None,
    batches: int | None = None,
    modes: str | Iterable[str] | None = None,
    servers: str | Iterable[str] | None = None,
    schedules: str | Iterable[str] | None = EXPECTED,
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
    **options: Unpack[RecommendOptions],
) -> Recommendation:
    """Say how many workers to use and with which server, and why.

    The choice has the smallest ``time_s`` of the table, in which one worker alone stands too unless ``workers`` leaves
    it out. Arguments that ``estimate`` has mean the same here.

    Args:
        profile_or_name: Profile, name of a shipped one, or path of a file.
        t_grad: Gradient of one batch on one worker [s].
        t_comm: One transfer of all weights or gradients [s].
        t_up: One transfer of the gradients [s], if that is another time; t_comm then is that of the weights.
        batch: Samples in one batch of one worker; several sizes are considered together, for as many samples.
        network: Bandwidth such as ``"1gbit"``, a ``Link``, a ``MeasuredLink``, or the ``.json`` file of one.
        workers: The counts to consider, one or many.
        max_workers: Consider 1 to this many; 8 if neither is given.
        batches: Batches of the whole run, D; by default 128, or those of the profile's phases.
        modes: Some of ``sync-join``, ``sync-split``, ``async``; all by default.
        servers: Some of ``central``, ``distributed``, ``sharded``, ``byteps``, ``allreduce``; by default those that
            need no further machines, and with ``shards`` all.
        schedules: ``semaphore`` if your central server has one; by default what to expect if it has not.
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
        **options: What is wanted: ``objective`` (``time``, ``cost``, ``time-to-target``, ``cost-to-target``),
            ``min_efficiency``, ``noise_scale``, ``price``, ``deadline_s``, ``budget``, ``device_bytes``, ``mtbf_h``...;
            see ``speedup.goals.GoalOptions``. And how training is done besides: ``overlap``, ``per_machine``...; see
            ``speedup.practice.PracticeOptions``.

    Raises:
        SpeedupError: As ``estimate``; a ``PlanError`` also if no plan is efficient enough, or none can be run.

    Example:
        >>> recommend("vgg16e").choice.workers
        1
        >>> print(recommend("squeezenet").headline)
        Use 8 workers, sync-join, distributed server: speedup 7.43, efficiency 93%, 13.1 s for 128 batches.
    """
    counts, paused = _counts(workers, max_workers), not_negative("switch_s", switch_s, "s")
    goals = {name: value for name, value in options.items() if name in GoalOptions.__annotations__}
    practice = {name: value for name, value in options.items() if name not in goals}
    given: dict[str, Any] = {"t_grad": t_grad, "t_comm": t_comm, "t_up": t_up, "cv_grad": cv_grad, "cv_comm": cv_comm}
    given |= {"up": up, "down": down, "deltas": deltas, "t_codec": t_codec, "network": network, "latency_s": latency_s}
    profile = Profile.load(profile_or_name) if isinstance(profile_or_name, (str, Path)) else profile_or_name
    goal = Goal.of(profile.noise_scale if profile else None, **goals)
    if t_grad is not None and isinstance(batch, Iterable):
        raise PlanError("t_grad is that of one batch size; for several, name a profile that has it of each.")
    fields = []
    for size, runs in _sizes(profile, batch, batches):
        course = course_of(profile, runs, **given, **practice, batch=size)
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
        fields.append(field_of(course, tables, goal, _reference(profile, batch)))
    return _recommended(fields, goal, paused)


def _sizes(
    profile: Profile | None, batch: int | Iterable[int] | None, batches: int | None
) -> list[tuple[int | None, int | None]]:
    """Return the batch sizes to consider, and how many batches of each the run has: of as many samples."""
    if not isinstance(batch, Iterable):
        return [(batch, batches)]
    sizes = [whole("batch", size) for size in batch]
    if not sizes:
        raise PlanError("batch is empty; give at least one size, such as batch=[16, 32].")
    if profile is not None and profile.phases:
        raise PlanError("several batch sizes cannot be given for a profile with phases, which have their own.")
    reference = _reference(profile, sizes)
    samples = (DEFAULT_BATCHES if batches is None else whole("batches", batches)) * (reference or sizes[0])
    return [(size, max(1, round(samples / size))) for size in sizes]


def _reference(profile: Profile | None, batch: int | Iterable[int] | None) -> int | None:
    """Return the batch size of the run on one worker that ``batches`` counts."""
    if batch is not None and not isinstance(batch, Iterable):
        return batch
    known = profile.workload.batch if profile is not None else None
    if known is None and isinstance(batch, Iterable):
        return next(iter(batch), None)
    return known


def _recommended(fields: list[Field], goal: Goal, switch_s: float) -> Recommendation:
    chosen = choose(fields, goal)
    field, choice, table = chosen.field, chosen.outcome.plan, chosen.field.table
    stages: tuple[Stage, ...] = ()
    if len(field.course.parts) > 1:
        allowed = field.judged.excess == 0
        stages = best_stages(field.course, [one.take(allowed) for one in field.parts], switch_s)
    rivals = tuple(one.plan for one in chosen.runners_up if one.plan.batches == choice.batches)
    why = (*reasons(choice, rivals, table, by_time=goal.by_time), *stage_reasons(stages, choice, switch_s))
    return Recommendation(
        choice=choice,
        runners_up=tuple(one.plan for one in chosen.runners_up),
        reasons=(*goal_sentences(chosen, goal), *why),
        validity=(*validity(choice, table), *goal.notes(field.judged)),
        table=table,
        stages=stages,
        goal=goal,
        outcomes=(chosen.outcome, *chosen.runners_up),
        refused=chosen.refused,
        front=chosen.front,
        field=field,
        row=chosen.row,
        fields=tuple(fields),
        considered=sum(len(one.table) for one in fields),
    )
