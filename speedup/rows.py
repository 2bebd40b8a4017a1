"""The rows of one kind of plan: its time at every worker count, by a formula, an estimator or an exchange."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cluster import MeasuredLink
from speedup.errors import PlanError
from speedup.exchange import Exchange, Exchanges
from speedup.kinds import AVERAGED
from speedup.laws import LawKind
from speedup.placement import place
from speedup.plans import (
    Collective,
    PlacementRule,
    Schedule,
    ServerKind,
    UpdateMode,
    weight_holders,
)
from speedup.tables import FORMULAS, Family
from speedup.units import QUANTILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from speedup.estimators import Question
    from speedup.inputs import Inputs
    from speedup.tables import Floats, Integers

_STEP = 0.05
_LARGE = 256


@cache
def _time_function(
    mode: UpdateMode, server: ServerKind, schedule: Schedule, method: str, *, equal: bool, apart: bool
) -> tuple[Callable[..., Any], str]:
    # SymPy is loaded on the first estimate, not on import.
    from speedup.formulas import plan_formula  # noqa: PLC0415
    from speedup.formulas.symbols import D, N, f_max, f_min, t_comm, t_down, t_grad, t_up  # noqa: PLC0415
    from speedup.numeric import numeric  # noqa: PLC0415

    expression, equation = plan_formula(mode, server, schedule, method, equal=equal, apart=apart)
    known = (t_up, t_down) if apart else (t_comm,)
    return numeric(expression, (N, D, t_grad, f_max, f_min, *known)), equation


def extreme_shares(inputs: Inputs, rule: PlacementRule, counts: Integers) -> tuple[Floats | float, Floats | float]:
    """Return the largest and smallest share of a unit for each worker count; 0 where no formula asks for them.

    Raises:
        PlanError: The rule places tensors whose sizes nobody gave.
    """
    if rule is PlacementRule.EQUAL:
        return 0.0, 0.0
    if inputs.tensor_elements is None:
        raise PlanError(f'placement = "{rule}" needs tensor sizes: name a profile.')
    shares = [place(inputs.tensor_elements, int(units), rule).shares for units in counts]
    return np.array([max(one) for one in shares]), np.array([min(one) for one in shares])


def _even(shares: tuple[float, ...]) -> bool:
    """Return whether shares are equal, or as equal as whole elements allow."""
    return not shares or max(shares) * len(shares) < 1.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one kind of plan: one value a worker count, or one for all of them.

    Attributes:
        time_s: t_train [s].
        t_grad_worker_s: What one worker computes in an iteration [s].
        low: Lower end of the interval of the speedup.
        high: Upper end.
        equation: Numbers of equations.
        estimator: How the times were found.
        rough: Where no estimator is known to be safe.
        collective: Which all-reduce.
        move_s: What an iteration's transfers take, if nobody else transfers [s].
        straggler_s: How much longer than the mean the slowest worker computes [s].
        hidden_s: How much of the transfers goes on while gradients are computed [s].
    """

    time_s: Floats
    t_grad_worker_s: Floats | float
    low: Floats | float = np.nan
    high: Floats | float = np.nan
    equation: list[str]
    estimator: list[str]
    rough: NDArray[np.bool_] | None = None
    collective: list[Collective] = field(default_factory=lambda: [Collective.NONE])
    move_s: Floats | float = 0.0
    straggler_s: Floats | float = 0.0
    hidden_s: Floats | float = 0.0


def _side_by_side(few: Rows, many: Rows, large: NDArray[np.bool_]) -> Rows:
    """Return the rows of some worker counts and those of the others, in the order of the counts."""
    found: dict[str, Any] = {}
    for name in (one.name for one in fields(Rows)):
        parts = [getattr(rows, name) for rows in (few, many)]
        if name == "rough":
            parts = [False if part is None else part for part in parts]
        words = isinstance(parts[0], list)
        whole = np.empty(len(large), dtype=object if words else np.asarray(parts[0]).dtype)
        for part, chosen in zip(parts, (~large, large), strict=True):
            whole[chosen] = part[0] if words and len(part) == 1 else part
        found[name] = whole.tolist() if words else whole
    return Rows(**found)


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes the rows of kinds of plan that have times, worker counts and a method in common.

    Attributes:
        inputs: The times.
        counts: N, shape (K,).
        batches: D.
        method: What was asked for.
        placement: How a distributed server's weights are placed.
        shares: Largest and smallest share of its units.
        known: Times that formulas gave: some kinds share one, such as best and semaphore.
    """

    inputs: Inputs
    counts: Integers
    batches: int
    method: str
    placement: PlacementRule
    shares: tuple[Floats | float, Floats | float]
    # Sync-split alone may have a time of its own for t_grad, so that the formula does not tell its value.
    known: dict[tuple[Callable[..., Any], bool], Floats] = field(default_factory=dict)

    def rows(self, kind: Family) -> Rows:
        """Return the rows of a kind of plan.

        Raises:
            PlanError: There is no speed for every worker.
        """
        speeds = self.inputs.practice.speeds
        if speeds and self.counts.max() > len(speeds):
            raise PlanError(
                f"speeds has {len(speeds)} values, but there are up to {self.counts.max()} workers; give one for each, "
                "or fewer workers."
            )
        if kind.mode is UpdateMode.SEQUENTIAL:
            return self._by_formula(kind)
        if not self.inputs.of_the_thesis(kind.server) and self.method != "simulation":
            return self._by_rate(kind) if kind.mode is UpdateMode.ASYNC else self._by_exchange(kind)
        made = self._by_formula(kind) if self._is_formula(kind) else self._by_size(kind)
        return replace(made, move_s=self._moved_s(kind), straggler_s=self._straggler_s(kind.mode))

    def _is_formula(self, kind: Family) -> bool:
        if self.method in FORMULAS:
            return True
        return self.method == "auto" and (kind.schedule in AVERAGED or not self.inputs.varies)

    def _by_size(self, kind: Family) -> Rows:
        """By an estimator; for very many workers by the slowest one's mean, as sure as drawing their iterations."""
        even = self.placement is PlacementRule.EQUAL and not isinstance(self.inputs.link, MeasuredLink)
        in_step = kind.mode is not UpdateMode.ASYNC and self.method != "simulation"
        several = even and in_step and kind.server is ServerKind.DISTRIBUTED
        large = (self.counts >= _LARGE) & several
        if not large.any():
            return self._by_estimator(kind)
        many = RowMaker._by_exchange(replace(self, counts=self.counts[large]), kind)
        if large.all():
            return many
        few = RowMaker._by_estimator(replace(self, counts=self.counts[~large]), kind)
        return _side_by_side(few, many, large)

    @property
    def _workers(self) -> Floats:
        return self.counts.astype(np.float64)

    def _computed_s(self, mode: UpdateMode) -> Floats:
        """Return what one worker computes in an iteration [s], one a worker count."""
        gradient = self.inputs.formula_t_grad_s(mode, self.counts, self._centre) * np.ones(len(self.counts))
        return np.asarray(gradient / self._workers if mode is UpdateMode.SYNC_SPLIT else gradient)

    def _by_formula(self, kind: Family) -> Rows:
        mode, server, schedule = kind.mode, kind.server, kind.schedule
        exact = "thesis" if self.method == "thesis" else "exact"
        equal = self.placement is PlacementRule.EQUAL
        function, equation = _time_function(mode, server, schedule, exact, equal=equal, apart=self.inputs.apart)
        gradient = self.inputs.formula_t_grad_s(mode, self.counts, self._centre)
        workers, others = self._workers, (*self.shares, *self._transfers_s)
        split = mode is UpdateMode.SYNC_SPLIT
        if (function, split) not in self.known:
            self.known[function, split] = function(workers, float(self.batches), gradient, *others)
        times = self.known[function, split]
        low: Floats | float = np.nan
        high: Floats | float = np.nan
        if self.method not in FORMULAS and self.inputs.doubt and mode is not UpdateMode.SEQUENTIAL:
            longer = function(workers, float(self.batches), gradient * (1 + _STEP), *others)
            low, high = self._interval(times, longer)
        named = self.method if self.method in FORMULAS else "closed-form"
        computed = gradient / workers if split else gradient
        return Rows(time_s=times, t_grad_worker_s=computed, low=low, high=high, equation=[equation], estimator=[named])

    @property
    def _transfers_s(self) -> tuple[float, ...]:
        """t_comm, or t_up and t_down where they differ; means, where means count [s]."""
        mean, ratio = self._t_comm_s, self.inputs.up_ratio
        return (ratio * mean, (2 - ratio) * mean) if self.inputs.apart else (mean,)

    @property
    def _t_comm_s(self) -> float:
        return self.inputs.t_comm_s if self.method in FORMULAS else self.inputs.comm_law.mean_s

    @property
    def _centre(self) -> float:
        """The mean of t_grad by its centre, where means count."""
        return 1.0 if self.method in FORMULAS else self.inputs.grad_law.mean_s / self.inputs.t_grad_s

    def _interval(self, times: Floats, longer: Floats, spread: Floats | float = 0.0) -> tuple[Floats, Floats]:
        """Return the interval of the speedup that a run's spread and the uncertainty of the two times make.

        Args:
            times: t_train [s].
            longer: t_train with a t_grad that is longer by ``_STEP`` [s].
            spread: Relative standard deviation of t_train from run to run.
        """
        doubt, by_time = self.inputs.doubt, np.log(longer / times) / np.log1p(_STEP)
        of_times = np.abs(1 - by_time) * np.hypot(doubt.t_grad, doubt.t_comm)
        half = QUANTILE * np.sqrt(of_times**2 + doubt.model**2 + np.square(spread))
        speedup = self.batches * self.inputs.t_grad_s * self._centre / times
        return speedup * np.exp(-half), speedup * np.exp(half)

    def _moved_s(self, kind: Family) -> Floats | float:
        """Return what the transfers of one worker with a server take if nobody else transfers [s]."""
        ways = 1 if kind.schedule is Schedule.PIPELINED else 2
        both = ways * self._t_comm_s
        return both * (1 - 1 / self._workers) if kind.server is ServerKind.DISTRIBUTED else both

    def _straggler_s(self, mode: UpdateMode, *, steps: int = 1) -> Floats | float:
        """Return how much longer than the mean the slowest worker computes in an iteration [s]."""
        law, speeds = self.inputs.grad_law, self.inputs.practice.speeds
        if self.method in FORMULAS:
            law = replace(law, cv=0.0, kind=LawKind.CONSTANT, samples_s=())
        if mode is UpdateMode.ASYNC or not (law.cv or speeds):
            return 0.0
        from speedup.queueing.stragglers import join_s, kth_s, local_steps_law, split_s  # noqa: PLC0415 - SciPy

        several, computed = local_steps_law(law, steps), self._computed_s(mode)
        if not speeds:
            return np.asarray((kth_s(self.counts, several, self._unawaited) / several.mean_s - 1) * computed)
        rule = split_s if mode is UpdateMode.SYNC_SPLIT else join_s
        slowest = np.array([rule(speeds[:count], several) for count in self.counts]) / several.mean_s
        whole = computed * (self._workers if mode is UpdateMode.SYNC_SPLIT else 1.0)
        return np.asarray(slowest * whole - computed)

    @property
    def _unawaited(self) -> Integers:
        """Workers that nobody waits for; one at least is waited for."""
        return np.minimum(self.inputs.practice.backup, self.counts - 1)

    def _by_exchange(self, kind: Family) -> Rows:
        """Iterations that all workers take part in: computing, the slowest of them, and an exchange."""
        shares = self.shares if kind.server is ServerKind.DISTRIBUTED else (0.0, 0.0)
        inputs = replace(self.inputs, t_comm_s=self._t_comm_s)
        exchanges = Exchanges(inputs, kind.server, kind.schedule, kind.collective, shares)
        exchange = exchanges.of(self.counts)
        computed, served = self._computed_s(kind.mode), self._served_s(kind)
        straggling = self._straggler_s(kind.mode, steps=self.inputs.practice.local_steps) * np.ones(len(self.counts))
        times, hidden = self._iterations(kind.mode, exchanges, exchange, computed, straggling, served)
        rows = Rows(
            time_s=times,
            t_grad_worker_s=computed,
            equation=exchange.equation,
            estimator=[self._exchange_estimator],
            collective=exchange.collective,
            move_s=self._alone_s(kind, exchange) / self.inputs.practice.local_steps,
            straggler_s=straggling,
            hidden_s=hidden / self.inputs.practice.local_steps,
        )
        if self.method in FORMULAS or not (self.inputs.doubt or self.inputs.varies):
            return rows
        scaled = 1 + _STEP
        longer, _ = self._iterations(kind.mode, exchanges, exchange, computed * scaled, straggling * scaled, served)
        iterations = self._iteration_count(kind.mode)
        spread = self.inputs.grad_law.cv * computed / (times / iterations) / np.sqrt(iterations)
        low, high = self._interval(times, longer, spread)
        return replace(rows, low=low, high=high)

    def _alone_s(self, kind: Family, exchange: Exchange) -> Floats:
        """Return what of an exchange is moving: all of it where the workers' own links are what is full."""
        if kind.server in {ServerKind.ALLREDUCE, ServerKind.BYTEPS}:
            return exchange.time_s
        return np.minimum(exchange.time_s, self._moved_s(kind))

    @property
    def _exchange_estimator(self) -> str:
        if self.method in FORMULAS:
            return self.method
        return "order-statistics" if self.inputs.grad_law.cv else "closed-form"

    def _iteration_count(self, mode: UpdateMode) -> Floats:
        awaited = self.counts - self._unawaited
        return np.asarray(self.batches if mode is UpdateMode.SYNC_SPLIT else np.ceil(self.batches / awaited))

    def _served_s(self, kind: Family) -> Floats:
        """Return what servers work in an iteration for all workers in step [s]."""
        practice = self.inputs.practice
        work = self._workers * practice.t_serve_s + practice.t_update_s
        return np.asarray(work / self._servers(kind) if kind.server is not ServerKind.ALLREDUCE else 0.0 * work)

    def _servers(self, kind: Family) -> Integers:
        """Return how many machines, or workers, hold a share of the weights, one a worker count."""
        return weight_holders(kind.server, self.counts, self.inputs.practice.shards)

    def _iterations(
        self,
        mode: UpdateMode,
        exchanges: Exchanges,
        exchange: Exchange,
        computed: Floats,
        straggling: Floats,
        served: Floats,
    ) -> tuple[Floats, Floats]:
        """Return t_train and how much of an exchange is hidden [s]."""
        iterations = self._iteration_count(mode)
        hidden = exchanges.hidden_s(self.counts, exchange, computed)
        rounds = np.ceil(iterations / self.inputs.practice.local_steps)
        return iterations * (computed + straggling) + rounds * (exchange.time_s + served - hidden), hidden

    def _by_rate(self, kind: Family) -> Rows:
        """Workers out of step: their own link is a delay, the links and the work of the servers are stations."""
        from speedup.queueing.mva import approximate_throughput  # noqa: PLC0415 - as in _by_estimator
        from speedup.queueing.rates import constant_cycle_s  # noqa: PLC0415

        practice, servers = self.inputs.practice, self._servers(kind)
        computed, moved = self._computed_s(kind.mode), self._moved_s(kind) * np.ones(len(self.counts))
        # In a pipeline both directions of a server's link are busy at once with the same pieces: one station, not two.
        ways = 1 if kind.schedule is Schedule.PIPELINED else 2
        queued, served = moved / ways / servers, (practice.t_serve_s + practice.t_update_s) / servers
        varies = self.method not in FORMULAS and self.inputs.varies

        def times(gradient: Floats) -> Floats:
            alone = self._paced_s(gradient) + moved - ways * queued
            if varies or served.any():
                cycle = self._workers / approximate_throughput(self.counts, alone, *[queued] * ways, served)
            else:
                cycle = constant_cycle_s(self.counts, alone + (ways - 2) * queued, queued)
            bounded = self._bounded_s(gradient, moved, ways * self._t_comm_s)
            return np.asarray(self.batches / self._workers * np.maximum(cycle, bounded))

        found = times(computed)
        rows = Rows(
            time_s=found,
            t_grad_worker_s=computed,
            equation=["Q.6" if varies or served.any() else "K.6" if ways == 1 else "K.4"],
            estimator=["mva" if varies or served.any() else self._exchange_estimator],
            move_s=moved,
        )
        if self.method in FORMULAS or not (self.inputs.doubt or varies):
            return rows
        spread = self.inputs.grad_law.cv / np.sqrt(self.batches)
        low, high = self._interval(found, times(computed * (1 + _STEP)), spread)
        return replace(rows, low=low, high=high)

    def _paced_s(self, gradient: Floats) -> Floats:
        """Return t_grad of a worker of the mean speed, as the sum of their rates has it [s], X.7."""
        speeds = self.inputs.practice.speeds
        if not speeds:
            return gradient
        return np.asarray(gradient * self._workers / np.cumsum(speeds)[self.counts - 1])

    def _bounded_s(self, gradient: Floats, moved: Floats, longest: float) -> Floats | float:
        """Return the shortest cycle of workers of which none may be far ahead of the others [s]."""
        staleness = self.inputs.practice.staleness
        if staleness is None:
            return 0.0
        slowest = np.array([min(self.inputs.practice.speeds[:n], default=1.0) for n in self.counts])
        law = self.inputs.grad_law
        if self.method in FORMULAS or not law.cv:
            return np.asarray(gradient / slowest + moved)
        from speedup.queueing.staleness import stale_rate  # noqa: PLC0415 - as in _by_estimator

        # One bound for those that are alike, and one for the slowest, whom nobody may leave behind.
        # A distributed server's transfers grow a little with the workers; what these wait for each other hardly does.
        alike = 1 / stale_rate(self.counts, law, staleness, t_comm_s=longest) - longest + moved
        return np.asarray(np.maximum(alike, gradient / slowest + moved))

    def _by_estimator(self, kind: Family) -> Rows:
        from speedup.estimators import answer, speedup_interval  # noqa: PLC0415 - only where times vary

        questions = [self._question(kind, int(count)) for count in self.counts]
        found = [answer(question, self.method) for question in questions]
        sequential = self.batches * self.inputs.grad_law.mean_s
        intervals = [
            speedup_interval(
                question,
                one,
                sequential,
                self.inputs.plan_doubt(question.mode, question.server, question.workers, equal=_even(question.shares)),
            )
            for question, one in zip(questions, found, strict=True)
        ]
        return Rows(
            time_s=np.array([one.time_s for one in found]),
            t_grad_worker_s=np.array([question.t_grad.mean_s for question in questions]),
            low=np.array([low for low, _ in intervals]),
            high=np.array([high for _, high in intervals]),
            equation=[one.equation for one in found],
            estimator=[str(one.estimator) for one in found],
            rough=np.array([not one.safe for one in found]),
        )

    def _question(self, kind: Family, workers: int) -> Question:
        from speedup.estimators import Question  # noqa: PLC0415 - see _by_estimator

        mode, server = kind.mode, kind.server
        shares = self._unit_shares(server, workers)
        return Question(
            mode=mode,
            server=server,
            schedule=self.inputs.sharing(mode) if server is ServerKind.DISTRIBUTED else kind.schedule,
            workers=workers,
            batches=self.batches,
            t_grad=self.inputs.compute_law(mode, workers),
            t_comm=self.inputs.transfer_law(mode, server, kind.schedule, workers, equal=_even(shares)),
            shares=shares,
            up_ratio=self.inputs.up_ratio,
        )

    def _unit_shares(self, server: ServerKind, workers: int) -> tuple[float, ...]:
        if server is ServerKind.SHARDED:
            shards = weight_holders(server, workers, self.inputs.practice.shards)
            return (1 / shards,) * shards
        if server is ServerKind.DISTRIBUTED and self.placement is not PlacementRule.EQUAL:
            return place(self.inputs.tensor_elements or (), workers, self.placement).shares
        return ()
