"""From a scenario to its replications, and what they say."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.errors import PlanError, UnitError
from speedup.laws import Law, LawKind
from speedup.plans import Schedule, ServerKind, UpdateMode
from speedup.simulation.codes import (
    BARRIER_WAIT,
    COMPUTING,
    DONE,
    FIRST_MARK,
    FIRST_MARKED,
    IN_BUSY,
    LAST_MARK,
    LAST_MARKED,
    OUT_BUSY,
    PULL_WAIT,
    PUSH_WAIT,
    RUN_TALLIED,
    TALLIED,
    TRACED,
    Discipline,
    Kind,
    Rounds,
)
from speedup.simulation.compiled import load_loops
from speedup.simulation.scenario import Assignment, Scenario
from speedup.text import aligned
from speedup.units import show_seconds, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TRACED_BATCHES = 4
"""Batches by worker that a trace shows."""
_ACTIVITIES = ("pull", "compute", "push")
_TRACE_COLUMNS = ("worker", "batch", "activity", "requested_s", "began_s", "ended_s")


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """The replications of one scenario.

    Attributes:
        scenario: What was simulated.
        seed: Seed of the random numbers.
        time_s: t_train of each replication [s], shape (R,).
        tallies: What each worker did, shape (R, N, 6); columns in ``speedup.simulation.codes``.
        totals: What each run adds up, shape (R, 7).
        rows: The trace of the first replication, shape (M, 6).
    """

    scenario: Scenario
    seed: int
    time_s: NDArray[np.float64]
    tallies: NDArray[np.float64]
    totals: NDArray[np.float64]
    rows: NDArray[np.float64]

    @property
    def mean_s(self) -> float:
        """Mean of t_train [s]."""
        return float(self.time_s.mean())

    @property
    def se_s(self) -> float | None:
        """Standard error of the mean [s]; None for a single replication."""
        return float(self.time_s.std(ddof=1) / math.sqrt(len(self.time_s))) if len(self.time_s) > 1 else None

    def quantile(self, level: float) -> float:
        """Return a quantile of t_train [s]."""
        return float(np.quantile(self.time_s, level))

    @property
    def throughput(self) -> float:
        """D by the mean of t_train [batches/s]."""
        return self.scenario.batches / self.mean_s

    @property
    def steady_throughput(self) -> float | None:
        """Rate between the first quarter and the last N batches of asynchronous runs [batches/s]; None if too short."""
        first, last = _marks(self.scenario)
        if not 0 < first < last:
            return None
        return (last - first) / float((self.totals[:, LAST_MARKED] - self.totals[:, FIRST_MARKED]).mean())

    @property
    def speedup(self) -> float:
        """D t_grad / mean of t_train, with t_grad the mean over the workers (4.23)."""
        gradient = float(np.mean([law.mean_s for law in self.scenario.t_grad]))
        return self.scenario.batches * gradient / self.mean_s

    @property
    def utilisation(self) -> dict[str, Any]:
        """Part of the run that each worker computes, and that the server's links, or the mean unit's, carry data."""
        run = self.time_s[:, None]
        busy = (self.totals / run).mean(axis=0)
        return {
            "workers": (self.tallies[:, :, COMPUTING] / run).mean(axis=0).tolist(),
            "link_out": float(busy[OUT_BUSY]),
            "link_in": float(busy[IN_BUSY]),
        }

    @property
    def wait_s(self) -> dict[str, float]:
        """Mean time lost by batch: queueing for or sharing a link, and at the barrier [s]."""
        sums = self.tallies.sum(axis=(0, 1))
        # A transfer that waits for nobody may come out a rounding error short.
        lost = {"pull": sums[PULL_WAIT], "push": sums[PUSH_WAIT], "barrier": sums[BARRIER_WAIT]}
        return {where: float(max(0.0, seconds) / sums[DONE]) for where, seconds in lost.items()}

    @property
    def batches_by_worker(self) -> list[float]:
        """Batches that each worker did, the mean over the runs; parts of batches where they are split."""
        return [float(done) for done in self.tallies[:, :, DONE].mean(axis=0)]

    @property
    def trace(self) -> list[dict[str, Any]]:
        """The first activities of the first replication, one a row, in the order in which they ended or were served."""
        return [
            dict(
                zip(
                    _TRACE_COLUMNS,
                    (int(row[0]), int(row[1]), _ACTIVITIES[int(row[2])], *map(float, row[3:])),
                    strict=True,
                )
            )
            for row in self.rows
        ]

    def to_frame(self) -> pd.DataFrame:
        """Return the trace as a pandas frame."""
        import pandas as pd  # noqa: PLC0415 - costs more than a simulation

        return pd.DataFrame(self.trace, columns=list(_TRACE_COLUMNS))

    def plot(self) -> go.Figure:
        """Return the first batches of the first run as a chart of who does what when (``speedup.figures``).

        Raises:
            PlanError: The simulation kept no trace.
        """
        from speedup.figures import gantt_figure  # noqa: PLC0415 - Plotly is for those who look at it

        return gantt_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as one plain document."""
        scenario = self.scenario
        return {
            "schema": "speedup.simulation/1",
            "provenance": "simulated",
            "mode": str(scenario.mode),
            "server": str(scenario.server),
            "schedule": str(scenario.schedule),
            "workers": scenario.workers,
            "batches": scenario.batches,
            "assign": str(scenario.assignment),
            "replications": len(self.time_s),
            "seed": self.seed,
            "time_s": {
                "mean": self.mean_s,
                "se": self.se_s,
                "quantiles": {f"{level:g}": self.quantile(level) for level in QUANTILES},
            },
            "speedup": self.speedup,
            "throughput": self.throughput,
            "steady_throughput": self.steady_throughput,
            "utilisation": self.utilisation,
            "wait_s": self.wait_s,
            "batches_by_worker": self.batches_by_worker,
        }

    def to_json(self) -> str:
        """Return the result as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        one, use = self.scenario, self.utilisation
        spread = f", 90 % of runs in [{show_seconds(self.quantile(0.05))}, {show_seconds(self.quantile(0.95))}]"
        workers = use["workers"]
        plan = f"{one.mode}, {one.server} server, {one.schedule}: {one.workers} workers, {one.batches} batches"
        return "\n".join(
            [
                f"{plan}, simulated {len(self.time_s)} times (seed {self.seed})",
                *aligned(
                    [
                        ("t_train", f"{show_seconds(self.mean_s)}{spread if len(self.time_s) > 1 else ''}"),
                        ("speedup", f"{self.speedup:.3g}"),
                        ("throughput", f"{self.throughput:.4g} batches/s"),
                        (
                            "workers compute",
                            f"{np.mean(workers):.0%} of the time ({min(workers):.0%} to {max(workers):.0%})",
                        ),
                        ("server's link", f"out {use['link_out']:.0%}, in {use['link_in']:.0%} of the time"),
                        ("lost by batch", ", ".join(f"{what} {show_seconds(s)}" for what, s in self.wait_s.items())),
                    ]
                ),
            ]
        )


def simulate(
    *,
    workers: int,
    batches: int = 128,
    t_grad: float | Law | Sequence[float | Law],
    t_comm: float | Law | Sequence[float | Law],
    t_up: float | Law | Sequence[float | Law] | None = None,
    mode: str = "async",
    server: str = "central",
    schedule: str = "semaphore",
    cv_grad: float | Sequence[float] | None = None,
    cv_comm: float | Sequence[float] | None = None,
    law: str = "gamma",
    assign: str = "pool",
    shards: int | Sequence[float] = 2,
    join_s: float | Sequence[float] = 0.0,
    leave_s: float | Sequence[float] = math.inf,
    straggler_probability: float = 0.0,
    straggler_slowdown: float = 1.0,
    replications: int = 100,
    seed: int = 0,
    trace: bool = False,
) -> Simulation:
    """Simulate a training run, event by event, many times over.

    Every worker pulls the weights, computes a gradient and pushes it, again and again. A link carries both directions
    at once. ``semaphore``: a link serves one transfer a direction at a time, first come, first served. ``fair``: all
    transfers flow at once and share each link max-min fairly. A central server has one link; ``sharded`` has one a
    shard; of a distributed server every worker holds a share, behind the worker's own link, where its pulls meet the
    pushes of the others.

    Args:
        workers: N.
        batches: Batches of the whole run, D.
        t_grad: Mean time of the gradient of one whole batch [s], or a ``Law`` of it; one, or one a worker. sync-split
            divides it by the number of workers.
        t_comm: Mean time of one transfer of all weights, or gradients, between server and worker, with nobody else
            there [s]; one, or one a worker, whose own link then is that much slower than the fastest.
        t_up: The same of the gradients alone, if that is another time; t_comm then is that of the weights.
        mode: ``sync-join``, ``sync-split`` or ``async``.
        server: ``central``, ``distributed`` or ``sharded``.
        schedule: ``semaphore`` or ``fair``.
        cv_grad: Coefficient of variation of t_grad; 0 if left out, 1 for an exponential law.
        cv_comm: Coefficient of variation of t_comm; likewise.
        law: ``gamma``, ``lognormal``, ``exponential`` or ``constant``. Exponential times have cv 1; if just one of the
            two cvs is 0, that time is constant.
        assign: ``pool``, or ``static`` for D/N batches a worker, in asynchronous runs.
        shards: Units of a sharded server, or the share of each; for a distributed server the share of each worker.
        join_s: When a worker joins [s]; one, one a worker, or one row a replication.
        leave_s: When a worker leaves, after the batch in hand [s].
        straggler_probability: Probability that a gradient takes ``straggler_slowdown`` times as long.
        straggler_slowdown: That factor.
        replications: How many runs.
        seed: The same seed gives the same runs.
        trace: Keep what the workers do in the first batches of the first run.

    Raises:
        UnitError: A number is out of its range, or there are too few or too many of them.
        PlanError: A word is unknown, things do not go together, or all workers leave before the batches are done.

    Example:
        >>> run = simulate(workers=8, batches=128, t_grad=1.0, t_comm=0.1, mode="sync-join", replications=1)
        >>> round(run.mean_s, 9)
        30.4
    """
    scenario = Scenario.of(
        workers=workers,
        batches=batches,
        t_grad=t_grad,
        t_comm=t_comm,
        t_up=t_up,
        mode=mode,
        server=server,
        schedule=schedule,
        cv_grad=cv_grad,
        cv_comm=cv_comm,
        law=law,
        assign=assign,
        shards=shards,
        join_s=join_s,
        leave_s=leave_s,
        straggler_probability=straggler_probability,
        straggler_slowdown=straggler_slowdown,
    )
    return play(scenario, replications=replications, seed=seed, trace=trace)


def play(scenario: Scenario, *, replications: int = 100, seed: int = 0, trace: bool = False) -> Simulation:
    """Simulate a scenario.

    Args:
        scenario: What.
        replications: How often.
        seed: Seed of the random numbers.
        trace: Keep what the workers do in the first batches of the first run.

    Raises:
        UnitError: ``replications`` or ``seed`` is no whole number.
        PlanError: All workers leave before the batches are done.
    """
    count = whole("replications", replications)
    rng = np.random.default_rng(whole("seed", seed, minimum=0))
    loops = load_loops()
    workers, shares = scenario.workers, np.array(scenario.shares)
    join = scenario.join_s if scenario.join_s.ndim == 2 else np.tile(scenario.join_s, (count, 1))
    if len(join) != count:
        raise UnitError(f"join_s has {len(join)} rows for {count} replications; give one row, or one a replication.")
    tallies, totals, times = np.zeros((count, workers, TALLIED)), np.zeros((count, RUN_TALLIED)), np.zeros(count)
    totals[:, FIRST_MARK], totals[:, LAST_MARK] = _marks(scenario)
    laws, tables = law_tables((scenario.pull, scenario.t_grad, scenario.push))
    first = loops.Run(
        laws,
        tables,
        np.array([1.0, scenario.straggling, scenario.slowdown]),
        np.ascontiguousarray(join[0]),
        scenario.leave_s,
        np.zeros(workers, np.int64),
        np.zeros(3, np.int64),
        np.zeros((workers, 5)),
        tallies[0],
        totals[0],
        np.zeros((3 * TRACED_BATCHES * workers if trace else 0, 6)),
        shares,
        scenario.server is ServerKind.DISTRIBUTED,
        np.array(scenario.capacity or np.ones(workers)),
    )
    static = scenario.assignment is Assignment.STATIC
    discipline = _discipline(scenario)
    loops.replicate(
        discipline, _ROUNDS[scenario.mode], scenario.batches, static, first, join, tallies, totals, times, rng
    )
    if not np.isfinite(times).all():
        raise PlanError(
            f"all workers leave before the {scenario.batches} batches are done; let some stay longer, or lower batches."
        )
    rows = first.trace[: int(totals[0, TRACED])]
    return Simulation(scenario, seed, times, tallies, totals, rows)


_ROUNDS = {UpdateMode.ASYNC: Rounds.ASYNC, UpdateMode.SYNC_JOIN: Rounds.JOIN, UpdateMode.SYNC_SPLIT: Rounds.SPLIT}


def _discipline(scenario: Scenario) -> Discipline:
    guarded = scenario.schedule is Schedule.SEMAPHORE
    if scenario.server is ServerKind.CENTRAL and guarded:
        return Discipline.SEMAPHORE
    if scenario.server is ServerKind.CENTRAL and set(scenario.capacity) <= {1.0}:
        return Discipline.FAIR
    return Discipline.GUARDED if guarded else Discipline.SHARED


def _marks(scenario: Scenario) -> tuple[int, int]:
    """Return the batches between which an asynchronous run is steady; zeros if there are too few."""
    first, last = scenario.batches // 4, scenario.batches - scenario.workers
    steady = scenario.mode is UpdateMode.ASYNC and scenario.workers <= first < last
    return (first, last) if steady else (0, 0)


def law_tables(activities: tuple[tuple[Law, ...], ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the laws of pull, gradient and push as the loops read them: see ``Run.laws`` and ``Run.tables``."""
    workers = len(activities[0])
    rows = max(len(law.samples_s) for laws in activities for law in laws)
    numbers, tables = np.ones((3, workers, 3)), np.zeros((3, workers, max(1, rows)))
    for activity, laws in enumerate(activities):
        for worker, law in enumerate(laws):
            numbers[activity, worker] = (Kind[law.kind.name], *_scale_and_shape(law))
            if law.samples_s:
                tables[activity, worker] = _repeated(law, rows)
    return numbers, tables


def _scale_and_shape(law: Law) -> tuple[float, float]:
    match law.kind:
        case LawKind.GAMMA:
            return law.mean_s * law.cv**2, law.cv**-2
        case LawKind.LOGNORMAL:
            return math.exp(law.log_median), law.sigma
        case LawKind.CONSTANT | LawKind.EXPONENTIAL:
            return law.mean_s, 0.0
    return 1.0, 0.0


def _repeated(law: Law, rows: int) -> NDArray[np.float64]:
    if rows % len(law.samples_s):
        raise PlanError(f"laws with {len(law.samples_s)} and {rows} samples do not go together; give equally many.")
    return np.tile(law.samples_s, rows // len(law.samples_s))
