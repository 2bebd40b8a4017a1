"""What the page's sliders compute: the formula of constant times of every kind of plan of an answer, and its values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from speedup.closed_forms import exchange_formulas, run_formula, symbol_values
from speedup.formulas import symbols
from speedup.formulas.symbols import t_net
from speedup.kinds import AVERAGED
from speedup.numeric import numeric
from speedup.phases import Course, Part
from speedup.plans import PlacementRule, Schedule, ServerKind, UpdateMode, collectives_tried
from speedup.practice import Overlap, OverlapKind
from speedup.tables import FORMULAS, Family

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sympy import Expr

    from speedup.inputs import Inputs
    from speedup.recommendation import Recommendation
    from speedup.tables import EstimateTable, Floats, Integers

MOST_COUNTS = 256
"""Worker counts of the page at most; of more, as many over their logarithm."""
_ORDER = (UpdateMode.SEQUENTIAL, UpdateMode.SYNC_JOIN, UpdateMode.SYNC_SPLIT, UpdateMode.ASYNC)
_OWN = (ServerKind.NONE, ServerKind.DISTRIBUTED, ServerKind.ALLREDUCE)
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class LiveKind:
    """A kind of plan as the sliders have it.

    Attributes:
        family: The kind in the table.
        computed: The kind whose formula stands for it.
        formulas: t_train [s]; of several the fastest counts, one a collective.
        words: What describes it in an answer, one a formula; ``{k}`` is the number of shards.
        index: Of the family in the table.
    """

    family: Family
    computed: Family
    formulas: tuple[Expr, ...]
    words: tuple[str, ...]
    index: int

    @property
    def sharded(self) -> bool:
        """Whether the number of shards is in its formula."""
        return self.family.server in {ServerKind.SHARDED, ServerKind.BYTEPS}

    @property
    def moves(self) -> str:
        """Which transfer W is in its formula: that of gradients alone, the slower direction, or the mean of both."""
        if self.family.server is ServerKind.ALLREDUCE:
            return "up"
        return "slower" if self.family.schedule is Schedule.PIPELINED else "mean"


@dataclass(frozen=True)
class LiveModel:
    """The formulas of an answer's kinds of plan and what their symbols stand for where the sliders start.

    Attributes:
        table: The table of the answer.
        course: The run, one part a phase.
        kinds: The kinds of plan; of those with the same score, an earlier one is taken.
        counts: N.
    """

    table: EstimateTable
    course: Course
    kinds: tuple[LiveKind, ...]
    counts: Integers

    @classmethod
    def of(cls, answer: Recommendation) -> LiveModel:
        """Return the model of an answer."""
        table = answer.table
        course = answer.field.course if answer.field else Course(None, (Part("", table.inputs, table.batches),))
        shown = {answer.choice.workers, *(plan.workers for plan in answer.runners_up)}
        kinds = [_kind(family, index, table) for index, family in enumerate(table.families)]
        kinds.sort(key=lambda one: (_ORDER.index(one.family.mode), one.family.server not in _OWN))
        return cls(table, course, tuple(kinds), thinned(np.unique(table.workers), MOST_COUNTS, keep=shown))

    @property
    def shown(self) -> EstimateTable:
        """The rows of the table at these counts."""
        return self.table.take(np.isin(self.table.workers, self.counts))

    def rows(self, kind: LiveKind) -> Integers:
        """Return the row of the table for each count; -1 where there is none."""
        found = np.full(len(self.counts), -1, dtype=np.int64)
        rows = np.flatnonzero(self.table.family == kind.index)
        _, places, at = np.intersect1d(self.counts, self.table.workers[rows], return_indices=True)
        found[places] = rows[at]
        return found

    def centred(self, inputs: Inputs) -> tuple[Inputs, float]:
        """Return inputs whose t_comm, and the factor by which t_grad, is what the table computes with."""
        if self.table.method in FORMULAS:
            return inputs, 1.0
        return replace(inputs, t_comm_s=inputs.comm_law.mean_s), inputs.grad_law.mean_s / inputs.t_grad_s

    def t_grad_s(self, part: Part) -> float:
        """Return t_grad of a part, as the table computes with it [s]."""
        return part.inputs.t_grad_s if self.table.method in FORMULAS else part.inputs.grad_law.mean_s

    def values(self, kind: LiveKind, part: Part) -> dict[sympy.Symbol, float | NDArray[Any]]:
        """Return what the symbols of a kind's formulas stand for in a part of the run."""
        inputs, centre = self.centred(part.inputs)
        rule = self.table.placement if kind.family.server is ServerKind.DISTRIBUTED else PlacementRule.EQUAL
        found = symbol_values(kind.computed, inputs, self.counts, part.batches, rule, centre=centre)
        used = set().union(*(one.free_symbols for one in kind.formulas))
        return {symbol: value for symbol, value in found.items() if symbol in used}

    def times(self, kind: LiveKind) -> Floats:
        """Return t_train at every count where the sliders start [s]."""
        total = np.zeros(len(self.counts))
        for part in self.course.parts:
            known = self.values(kind, part)
            floats = [np.asarray(value, dtype=np.float64) for value in known.values()]
            tried = [numeric(one, tuple(known))(*floats) * np.ones(len(total)) for one in kind.formulas]
            total += np.min(tried, axis=0)
        return total

    @cached_property
    def difference(self) -> float:
        """The largest relative difference of a formula from the table where the sliders start."""
        found = 0.0
        for kind in self.kinds:
            rows = self.rows(kind)
            told = self.table.time_s[rows[rows >= 0]]
            found = max(found, float(np.max(np.abs(self.times(kind)[rows >= 0] / told - 1), initial=0.0)))
        return found

    @property
    def exact(self) -> bool:
        """Whether the sliders start at the table's own numbers."""
        return self.difference < _SAME

    def missing(self) -> list[str]:
        """Return what the table's numbers have and the formulas of the sliders have not, in words."""
        inputs, practice = self.table.inputs, self.table.inputs.practice
        said = []
        if self.table.method not in FORMULAS and inputs.varies:
            said.append("times that vary (queueing theory and simulation)")
        if practice.overlap.kind is OverlapKind.LAYERS:
            said.append("overlap layer by layer (full overlap of layers alike, O.1, stands for it)")
        said += ["workers of unequal speeds"] * bool(practice.speeds)
        said += ["bounded staleness"] * (practice.staleness is not None)
        said += ["work of the servers"] * bool(practice.t_serve_s or practice.t_update_s)
        return said


def thinned(counts: Integers, most: int, *, keep: set[int]) -> Integers:
    """Return counts, or as many of them over their logarithm as may be, the first and last among them.

    Args:
        counts: Worker counts, ascending.
        most: How many to keep.
        keep: Counts that are kept in any case.

    Example:
        >>> thinned(np.arange(1, 101), 8, keep={50}).tolist()
        [1, 2, 4, 7, 14, 27, 50, 52, 100]
    """
    if len(counts) <= most:
        return counts
    wanted = np.geomspace(counts[0], counts[-1], most)
    near = counts[np.abs(counts[:, None] - wanted).argmin(axis=0)] if len(counts) * most < 1e7 else wanted.round()
    return np.union1d(near.astype(np.int64), np.array(sorted(keep), dtype=np.int64))


def _kind(family: Family, index: int, table: EstimateTable) -> LiveKind:
    inputs, computed = table.inputs, _computed(family, table)
    if inputs.practice.overlap.kind is OverlapKind.LAYERS:
        inputs = replace(inputs, practice=replace(inputs.practice, overlap=Overlap.of("full"), backward_s=()))
    equal = table.placement is PlacementRule.EQUAL
    method = "thesis" if table.method == "thesis" else "exact"
    run, _ = run_formula(computed, inputs, method, equal=equal)
    run = run.subs(symbols.L, sympy.oo) if inputs.tensor_elements is None else run
    exchanges = exchange_formulas(computed, inputs, equal=equal)
    formulas = tuple(run.subs(t_net, one) for one, _ in exchanges) or (run,)
    return LiveKind(family, computed, formulas, _words(computed, len(formulas)), index)


def _computed(family: Family, table: EstimateTable) -> Family:
    """Return the kind whose formula stands for another: what to expect of a server that shares its link evenly.

    Where times vary, its workers do not stay in step, which the worst case, fair sharing of constant times, assumes
    (ADR 0013).
    """
    drawn = table.method not in FORMULAS and table.inputs.varies
    even = family.server is ServerKind.CENTRAL and family.schedule is Schedule.FAIR
    return replace(family, schedule=Schedule.MEAN) if drawn and even else family


def _words(family: Family, formulas: int) -> tuple[str, ...]:
    """Describe a kind of plan as answers do, without the number of its workers."""
    if family.mode is UpdateMode.SEQUENTIAL:
        return ("one worker alone",)
    server, schedule = family.server, family.schedule
    if server is ServerKind.ALLREDUCE:
        tried = collectives_tried(family.collective)[:formulas]
        return tuple(f"{family.mode}, all-reduce ({one})" for one in tried)
    shared = {Schedule.SEMAPHORE: " with semaphore", Schedule.PIPELINED: " pipelined"}.get(schedule, "")
    if server is ServerKind.SHARDED:
        return (f"{family.mode}, {{k}}{shared} shards",)
    if server is ServerKind.BYTEPS:
        return (f"{family.mode}, summed by the workers and {{k}} machines more",)
    case = f" ({schedule})" if schedule in {*AVERAGED, Schedule.FAIR} and schedule is not Schedule.MEAN else ""
    return (f"{family.mode}, {server} server{shared}{case}",)
