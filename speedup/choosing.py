"""From plans and what is wanted to one choice, the best of every other kind, and those that cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cases import describe
from speedup.cost import pareto_front, show_cost
from speedup.errors import PlanError
from speedup.goals import Objective
from speedup.memory import MemoryModel
from speedup.phases import added_up
from speedup.plans import ServerKind, UpdateMode
from speedup.tables import Status, status_index
from speedup.units import show_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.goals import Goal, Judged
    from speedup.phases import Course
    from speedup.tables import Estimate, EstimateTable, Floats

    Rows = NDArray[np.int64]

# Of plans that are worth the same, the simpler one: no stale gradients before stale ones.
_PREFERENCE = (UpdateMode.SEQUENTIAL, UpdateMode.SYNC_JOIN, UpdateMode.SYNC_SPLIT, UpdateMode.ASYNC)
_OWN_WEIGHTS = (ServerKind.DISTRIBUTED, ServerKind.ALLREDUCE)
_SAME = 1e-12
_MOST_REFUSED, _TOLD = 5, 3
_NEGLIGIBLE = 0.0005


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The plans of one batch size, and what they are worth.

    Attributes:
        course: The run.
        parts: Their tables, one a part of the run, with the same rows.
        table: The table of the whole run.
        judged: What its rows are worth.
        reference: Samples of a batch of the run on one worker that reaches the target; None where nobody said.
    """

    course: Course
    parts: list[EstimateTable]
    table: EstimateTable
    judged: Judged
    reference: int | None = None

    @property
    def order(self) -> Rows:
        """The rows from best to worst; of the same score fewer workers and simpler modes first.

        What breaks a limit comes after what does not, the nearest to it first.
        """
        table, score = self.table, self._score
        preference = table.by_family(lambda family: _PREFERENCE.index(family.mode))
        # Scores that differ in the last bits are the same: rank them by the lowest of their group.
        by_score = np.argsort(score, kind="stable")
        with np.errstate(invalid="ignore"):  # runs that never finish are all alike
            steps = np.diff(score[by_score], prepend=score[by_score[0]])
        groups = np.empty(len(table), dtype=np.int64)
        groups[by_score] = np.cumsum(steps > _SAME * score[by_score])
        judged = self.judged
        return np.lexsort((table.family, table.machines, preference, table.workers, judged.ties, groups, judged.excess))

    @property
    def _score(self) -> Floats:
        """The scores; one worker that holds all weights itself is one worker alone, whatever an estimator drew."""
        table, score = self.table, self.judged.score
        alone = table.by_family(lambda family: family.mode is UpdateMode.SEQUENTIAL)
        own = table.by_family(lambda family: family.server in _OWN_WEIGHTS)
        if not alone.any():
            return score
        return np.where(own & (table.workers == 1), np.maximum(score, score[alone].min()), score)

    def leaders(self, order: Rows) -> Rows:
        """Return the best row of every kind of plan; a server for a single worker is no rival."""
        table = self.table
        alone = table.by_family(lambda family: family.mode is UpdateMode.SEQUENTIAL)
        rivals = order[(table.workers[order] > 1) | alone[order]]
        _, first = np.unique(table.family[rivals], return_index=True)
        return np.asarray(rivals[np.sort(first)])

    def outcome(self, row: int) -> Outcome:
        """Return a row and what it is worth."""
        judged, inputs = self.judged, self.table.inputs
        return Outcome(
            plan=self.table[row],
            batch=inputs.batch,
            score=float(judged.score[row]),
            time_s=float(judged.time_s[row]),
            cost=None if judged.cost is None else float(judged.cost[row]),
            excess=float(judged.excess[row]),
            reason=judged.reason(row),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A plan and what it is worth.

    Attributes:
        plan: The plan with its estimate.
        batch: Samples of a batch of one worker; None where nobody said.
        score: What is minimised.
        time_s: Time of the run, or until the target; with what failures cost [s].
        cost: Its cost [USD]; None without a price.
        excess: By which part of a limit it is beyond it; infinite where it cannot be run.
        reason: Why it cannot be chosen; empty where it can.
    """

    plan: Estimate
    batch: int | None
    score: float
    time_s: float
    cost: float | None
    excess: float
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as a plain dictionary."""
        return {
            "plan": self.plan.to_dict(),
            "batch": self.batch,
            "score": self.score,
            "time_s": self.time_s,
            "cost": self.cost,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Chosen:
    """A choice.

    Attributes:
        field: The plans it is one of.
        row: Its row there.
        outcome: What it is worth.
        runners_up: The best of every other kind that keeps all limits, best first.
        refused: The best of kinds that would be better than the choice, if they could be run.
        front: Plans that no other beats in time and in cost, fastest first; empty without a price.
    """

    field: Field
    row: int
    outcome: Outcome
    runners_up: tuple[Outcome, ...]
    refused: tuple[Outcome, ...]
    front: tuple[Outcome, ...]


def field_of(course: Course, parts: list[EstimateTable], goal: Goal, reference: int | None) -> Field:
    """Return the plans of a run in which every worker computes.

    Args:
        course: The run.
        parts: Tables of its parts.
        goal: What is wanted.
        reference: Samples of a batch of the run on one worker that reaches the target.

    Raises:
        PlanError: In every plan some worker has nothing to compute.
    """
    whole_run = added_up(parts, course)
    busy = whole_run.status != status_index(Status.IDLE_WORKERS)
    if not busy.any():
        raise PlanError(
            f"workers: all counts exceed batches = {whole_run.batches}; allow at most as many workers as batches."
        )
    table = whole_run.take(busy)
    known = reference or table.inputs.batch
    return Field(course, [one.take(busy) for one in parts], table, goal.judge(table, known), known)


def choose(fields: list[Field], goal: Goal) -> Chosen:
    """Choose among the plans of one or several batch sizes.

    Args:
        fields: The plans, one field a batch size.
        goal: What is wanted.

    Raises:
        PlanError: No plan is efficient enough, or none fits into memory.
    """
    _check_efficiency(fields, goal)
    orders = [field.order for field in fields]
    firsts = [
        (field.judged.excess[order[0]], field.judged.score[order[0]], field.judged.time_s[order[0]])
        for field, order in zip(fields, orders, strict=True)
    ]
    best = min(range(len(fields)), key=lambda index: firsts[index])
    field, row = fields[best], int(orders[best][0])
    outcome = field.outcome(row)
    if not np.isfinite(outcome.excess):
        raise PlanError(_impossible(fields, goal))
    runners_up, refused = _rivals(fields, orders, outcome)
    return Chosen(field=field, row=row, outcome=outcome, runners_up=runners_up, refused=refused, front=_front(fields))


def _impossible(fields: list[Field], goal: Goal) -> str:
    """Say why no plan can be run, of the one that lacks least, and what would help."""
    nearest = [field.outcome(field.judged.nearest) for field in fields]
    rooms = [field.judged.room for field in fields]
    lacks = [
        np.inf if room is None else float(room.shortage[field.judged.nearest])
        for field, room in zip(fields, rooms, strict=True)
    ]
    one = nearest[int(np.argmin(lacks))]
    head = f"no plan can be run. The nearest, {describe(one.plan)}: {one.reason}."
    if not np.isfinite(one.time_s):
        return f"{head} Take machines that fail less often, or save and restart sooner (mtbf_h, save_s, restart_s)."
    return f"{head} {_batch_that_fits(fields[0], goal)}"


def _batch_that_fits(field: Field, goal: Goal) -> str:
    """Say which batch a device has room for."""
    profile, room = field.table.inputs.profile, field.judged.room
    if profile is None or room is None or room.device_limit is None or (room.worker_bytes <= room.device_limit).any():
        return "Take a machine with more memory, or a faster link, for the servers."
    largest = MemoryModel.of(profile).largest_batch(room.device_limit, state=False)
    if not largest:
        return "Weights, gradients and one sample need more than the device has: take one with more memory."
    return f"Take batches of at most {largest}, or a device with more memory."


def _check_efficiency(fields: list[Field], goal: Goal) -> None:
    best = max(float(field.table.efficiency.max()) for field in fields)
    if best < goal.min_efficiency * (1 - _SAME):
        raise PlanError(
            f"no plan reaches min_efficiency = {goal.min_efficiency}; the highest is {best:.3f}. "
            "Lower it, or allow one worker."
        )


def _rivals(
    fields: list[Field], orders: list[Rows], choice: Outcome
) -> tuple[tuple[Outcome, ...], tuple[Outcome, ...]]:
    """Return the best of every other kind that may be chosen, and of those that would be better but may not."""
    found: dict[Any, Outcome] = {}
    wished: dict[Any, Outcome] = {}
    own = _kind(choice.plan)
    for field, order in zip(fields, orders, strict=True):
        allowed = field.judged.excess[order] == 0
        for rows, kept in ((order[allowed], found), (order[~allowed], wished)):
            for row in field.leaders(rows) if rows.size else ():
                one = field.outcome(int(row))
                kind = _kind(one.plan)
                if kind not in kept or one.score < kept[kind].score:
                    kept[kind] = one
    found.pop(own, None)
    runners_up = tuple(sorted(found.values(), key=lambda one: one.score))
    better = [one for one in wished.values() if one.score < choice.score and one is not choice]
    return runners_up, tuple(sorted(better, key=lambda one: one.score))[:_MOST_REFUSED]


def _kind(plan: Estimate) -> tuple[str, ...]:
    collective = "" if plan.server == "allreduce" else str(plan.collective)
    return str(plan.mode), str(plan.server), str(plan.schedule), collective


def _front(fields: list[Field]) -> tuple[Outcome, ...]:
    """Return the plans that no other beats in time and in cost."""
    judged = [field.judged for field in fields]
    costs = [one.cost for one in judged if one.cost is not None]
    if not costs:
        return ()
    kept = [np.flatnonzero(one.excess == 0) for one in judged]
    owner, rows = np.repeat(np.arange(len(fields)), [part.size for part in kept]), np.concatenate(kept)
    time_s = np.concatenate([one.time_s[part] for one, part in zip(judged, kept, strict=True)])
    cost = np.concatenate([one[part] for one, part in zip(costs, kept, strict=True)])
    return tuple(fields[owner[one]].outcome(int(rows[one])) for one in pareto_front(time_s, cost))


def _beside(other: Outcome, one: Outcome) -> str:
    """Name a plan beside another one: its batch too, where that differs."""
    return describe(other.plan) + (f" with batches of {other.batch}" if other.batch != one.batch else "")


def goal_sentences(chosen: Chosen, goal: Goal) -> tuple[str, ...]:
    """Say what the choice is worth for what is wanted, and what could not be."""
    said = []
    one = chosen.outcome
    if one.reason:
        said.append(f"No plan keeps all limits. The nearest: it {one.reason}.")
    if goal.objective is not Objective.TIME or goal.failures is not None:
        until = "until the target" if goal.to_target else "of the run"
        paid = "" if one.cost is None else f", {show_cost(one.cost)}"
        said.append(f"Time {until}, {goal.assumption}: {show_seconds(one.time_s)}{paid}.")
    if goal.counts_cost and not one.score:
        said.append("It costs nothing, and so do others: of those, the fastest is chosen.")
    if chosen.runners_up and not goal.by_time:
        other = chosen.runners_up[0]
        more = other.score / one.score - 1 if one.score else other.time_s / one.time_s - 1
        wanted = "of what is wanted" if one.score else "time, for nothing as well"
        worth = "worth as much" if more < _NEGLIGIBLE else f"{more:.1%} more {wanted}"
        said.append(f"Next best: {_beside(other, one)}, {worth}.")
    if not one.reason:
        said += [
            f"Better, but not possible: {_beside(other, one)}: {other.reason}." for other in chosen.refused[:_TOLD]
        ]
    return tuple(said)
