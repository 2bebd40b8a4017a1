"""Predicted against measured: plans that really ran on a cluster, beside what the model says of them.

Networks may be diluted: tensor sizes and t_grad are scaled by the same factor, so that a transfer takes as long as is
convenient to measure and everything keeps its ratio. Each row says by how much.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from speedup.errors import PlanError
from speedup.estimates import estimate
from speedup.plans import (
    TRAINING_MODES,
    Collective,
    PlacementRule,
    Plan,
    Schedule,
    ServerKind,
    UpdateMode,
)
from speedup.profile import Profile, Provenance, Timing
from speedup.text import aligned
from speedup.units import positive, show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import plotly.graph_objects as go

    from speedup.cluster import MeasuredLink
    from speedup.measured import Measured
    from speedup.tables import Estimate

THESIS_NETWORKS = ("vgg16e", "googlenet", "squeezenet", "resnet34")
HEAD = (
    "network",
    "N",
    "mode",
    "server",
    "schedule",
    "measured",
    "predicted",
    "error",
    "interval",
    "hit",
    "thesis",
    "compute",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A plan to be run, and the profile that it is predicted from.

    Attributes:
        profile: Network, t_grad and measured link.
        plan: The plan.
        batches: Batches of the run, D.
        dilution: What tensor sizes and t_grad were multiplied by; 1 for none.
    """

    profile: Profile
    plan: Plan
    batches: int
    dilution: float = 1.0

    @property
    def t_grad_part_s(self) -> float:
        """What one worker computes in an iteration [s]: its part of a batch."""
        parts = self.plan.workers if self.plan.mode is UpdateMode.SYNC_SPLIT else 1
        return self.profile.t_grad_s / parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One plan, measured and predicted.

    Attributes:
        network: What was trained, or stood for it.
        workers: N.
        mode: When gradients met the weights.
        server: Where the weights lived.
        schedule: How the server's link was shared.
        placement: How tensors were placed.
        servers: Machines of a sharded server.
        batches: D.
        t_grad_s: Of a whole batch on one worker [s].
        t_comm_s: Of one transfer of all weights, measured [s].
        dilution: What sizes and t_grad were multiplied by.
        measured_s: Time of the run [s].
        predicted_s: What the model says, from the measured link [s].
        predicted_low_s: Lower end of its interval [s].
        predicted_high_s: Upper end.
        thesis_s: What the thesis's formula says; None where it has none [s].
        method: The estimator.
        equation: The equation.
        compute: ``real`` or ``emulated``.
        wire: What carried the messages.
        engine: What sent them.
    """

    network: str
    workers: int
    mode: str
    server: str
    schedule: str
    placement: str
    servers: int
    batches: int
    t_grad_s: float
    t_comm_s: float
    dilution: float
    measured_s: float
    predicted_s: float
    predicted_low_s: float
    predicted_high_s: float
    thesis_s: float | None
    method: str
    equation: str
    compute: str
    wire: str
    engine: str

    @property
    def error(self) -> float:
        """Measured by predicted, less 1."""
        return self.measured_s / self.predicted_s - 1

    @property
    def hit(self) -> bool:
        """Whether the interval holds what was measured."""
        return self.predicted_low_s <= self.measured_s <= self.predicted_high_s

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a plain document."""
        return {**asdict(self), "error": self.error, "interval_hit": self.hit}


@dataclass(frozen=True, slots=True)
class Validation:
    """Plans that ran, beside their predictions.

    Attributes:
        rows: One a plan.
        link: The link that they ran over.
    """

    rows: tuple[Comparison, ...]
    link: MeasuredLink

    @property
    def median_error(self) -> float:
        """Median of the absolute errors."""
        return statistics.median(abs(row.error) for row in self.rows)

    @property
    def coverage(self) -> float:
        """Share of the rows whose interval holds what was measured."""
        return statistics.fmean(row.hit for row in self.rows)

    def fastest(self) -> list[dict[str, Any]]:
        """Return, for each network, the plan with the shortest time a batch as predicted, and how fast it really was.

        A plan is compared with others of as many workers: its time a batch over that of the fastest one measured.
        """
        found = []
        for network in dict.fromkeys(row.network for row in self.rows):
            rows = [row for row in self.rows if row.network == network]
            chosen = min(rows, key=lambda row: row.predicted_s / row.batches)
            best = min(rows, key=lambda row: row.measured_s / row.batches)
            ratio = (chosen.measured_s / chosen.batches) / (best.measured_s / best.batches)
            found.append(
                {"network": network, "recommended": _words(chosen), "fastest": _words(best), "slower": ratio - 1}
            )
        return found

    def plot(self) -> go.Figure:
        """Return measured against predicted times as a figure (``speedup.figures``)."""
        from speedup.figures import accuracy_figure  # noqa: PLC0415 - Plotly is for those who look at it

        return accuracy_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the validation as a plain document."""
        return {
            "schema": "speedup.validation/1",
            "median_error": self.median_error,
            "coverage": self.coverage,
            "fastest": self.fastest(),
            "link": {
                "latency_s": self.link.latency_s,
                "bandwidth_bytes_per_s": self.link.bandwidth_bytes_per_s,
                "wire": self.link.wire,
            },
            "rows": [row.to_dict() for row in self.rows],
        }

    def to_json(self) -> str:
        """Return the validation as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        lines = aligned([HEAD, *(row_cells(row) for row in self.rows)])
        lines += [
            "",
            f"median error {self.median_error:.2%}; {self.coverage:.0%} of the intervals hold what was measured",
        ]
        lines += [
            f"{one['network']}: {one['recommended']} is recommended; the fastest measured is {one['fastest']}, "
            + (f"{one['slower']:.1%} faster" if one["slower"] > 0 else "the same")
            for one in self.fastest()
        ]
        return "\n".join([*lines, f"wire: {self.link.wire}", str(self.link)])


def _words(row: Comparison) -> str:
    extra = [word for word in (row.schedule, row.placement) if word not in {"none", "equal"}]
    return " ".join([f"{row.workers} workers", row.mode, row.server, *extra])


def row_cells(row: Comparison) -> tuple[str, ...]:
    """Return a row as text."""
    server = row.server if row.placement == "equal" else f"{row.server} {row.placement}"
    return (
        row.network,
        str(row.workers),
        row.mode,
        server,
        row.schedule,
        show_seconds(row.measured_s),
        show_seconds(row.predicted_s),
        f"{row.error:+.1%}",
        f"{show_seconds(row.predicted_low_s)} to {show_seconds(row.predicted_high_s)}",
        "yes" if row.hit else "no",
        "" if row.thesis_s is None else f"{row.measured_s / row.thesis_s - 1:+.1%}",
        row.compute,
    )


def diluted(profile: Profile, link: MeasuredLink, t_comm_s: float) -> tuple[Profile, float]:
    """Return a profile of the same ratio of t_grad to t_comm whose transfer takes about ``t_comm_s`` over a link.

    Args:
        profile: With t_grad and t_comm, measured or published.
        link: The link that it is to run over.
        t_comm_s: What a transfer is to take [s].

    Raises:
        PlanError: The profile has no t_comm.

    Returns:
        The profile, and the factor by which sizes and times were multiplied.
    """
    if profile.t_comm is None:
        raise PlanError(f'profile "{profile.name}" has no t_comm, so nothing says what its ratio is to be.')
    ratio = profile.t_grad_s / profile.t_comm.median_s
    share = positive("t_comm", t_comm_s, "s") * link.bandwidth_bytes_per_s / profile.workload.payload_bytes
    elements = tuple(max(1, round(size * share)) for size in profile.workload.tensor_elements)
    workload = replace(profile.workload, tensor_elements=elements, tensor_shapes=None)
    seconds = ratio * link.transfer_time_s(workload.payload_bytes)
    waited = Timing(median_s=seconds, provenance=Provenance.ASSUMED, batch=workload.batch)
    return replace(profile, workload=workload, t_grad=(waited,), t_comm=None, link=link), share


def grid(
    profile: Profile,
    workers: Sequence[int],
    *,
    modes: Iterable[UpdateMode] = TRAINING_MODES,
    kinds: Iterable[tuple[ServerKind, Schedule, PlacementRule]] | None = None,
    rounds: int = 2,
    dilution: float = 1.0,
) -> list[Case]:
    """Return the plans of a grid.

    Args:
        profile: What is trained.
        workers: Worker counts.
        modes: Modes.
        kinds: Server, schedule and placement of each kind; all that can run by default.
        rounds: Batches a worker; split batches, for sync-split.
        dilution: See ``Case``.
    """
    found = []
    for count, mode, (server, schedule, placement) in product(workers, modes, kinds or KINDS):
        if server is ServerKind.ALLREDUCE and mode is UpdateMode.ASYNC:
            continue
        if count == 1 and (server is not ServerKind.CENTRAL or schedule is Schedule.FAIR):
            # One worker has nobody to share with.
            continue
        plan = Plan(workers=count, mode=mode, server=server, schedule=schedule, placement=placement)
        batches = rounds if mode is UpdateMode.SYNC_SPLIT else rounds * count * (2 if mode is UpdateMode.ASYNC else 1)
        found.append(Case(profile, plan, batches, dilution))
    return found


KINDS = (
    (ServerKind.CENTRAL, Schedule.SEMAPHORE, PlacementRule.EQUAL),
    (ServerKind.CENTRAL, Schedule.FAIR, PlacementRule.EQUAL),
    (ServerKind.DISTRIBUTED, Schedule.NONE, PlacementRule.BYTES),
    (ServerKind.DISTRIBUTED, Schedule.NONE, PlacementRule.GREEDY),
    (ServerKind.ALLREDUCE, Schedule.NONE, PlacementRule.EQUAL),
)


def predict(case: Case, method: str = "auto") -> Estimate:
    """Return what the model says of a plan, from the profile's measured link."""
    plan = case.plan
    # The thesis has no all-reduce; what a ring moves is what equal shares of a distributed server move.
    printed = method == "thesis" and plan.server is ServerKind.ALLREDUCE
    table = estimate(
        case.profile,
        workers=plan.workers,
        batches=case.batches,
        modes=plan.mode,
        servers=ServerKind.DISTRIBUTED if printed else plan.server,
        schedules=_schedule(plan, method) if plan.server is ServerKind.CENTRAL else None,
        collectives=Collective.RING,
        shards=plan.servers if plan.server is ServerKind.SHARDED else None,
        placement=plan.placement,
        method=method,
    )
    return table[0]


def _schedule(plan: Plan, method: str) -> Schedule:
    if method == "thesis" and plan.schedule is Schedule.FAIR:
        return Schedule.MEAN
    return plan.schedule


def compare(case: Case, measured: Measured) -> Comparison:
    """Return a plan that ran beside what the model says of it."""
    predicted, thesis, plan = predict(case), predict(case, "thesis"), case.plan
    sequential = case.batches * predicted.t_grad_s
    low, high = predicted.speedup_low, predicted.speedup_high
    link = case.profile.link
    return Comparison(
        network=case.profile.workload.architecture,
        workers=plan.workers,
        mode=str(plan.mode),
        server=str(plan.server),
        schedule=str(plan.schedule),
        placement=str(plan.placement),
        servers=plan.servers,
        batches=case.batches,
        t_grad_s=case.profile.t_grad_s,
        t_comm_s=link.transfer_time_s(case.profile.workload.payload_bytes) if link else 0.0,
        dilution=case.dilution,
        measured_s=measured.time_s,
        predicted_s=predicted.time_s,
        predicted_low_s=predicted.time_s if high is None else sequential / high,
        predicted_high_s=predicted.time_s if low is None else sequential / low,
        thesis_s=thesis.time_s,
        method=str(predicted.method),
        equation=predicted.equation,
        compute=measured.compute,
        wire=measured.wire,
        engine=measured.engine,
    )


def cases_of(
    networks: Sequence[str] | None, workers: Sequence[int], link: MeasuredLink, rounds: int, t_comm_s: float
) -> list[Case]:
    """Return the grids of several networks, diluted so that a transfer takes about ``t_comm_s``.

    Args:
        networks: Profiles with t_grad and t_comm; None for the four of the thesis.
        workers: Worker counts.
        link: Over which they are to run.
        rounds: Batches a worker.
        t_comm_s: What a transfer is to take [s].
    """
    found = []
    for name in networks or THESIS_NETWORKS:
        profile, dilution = diluted(Profile.load(name), link, t_comm_s)
        found += grid(profile, workers, rounds=rounds, dilution=dilution)
    return found


def waiting(name: str, t_grad_s: float | None) -> Profile:
    """Return the profile of an emulated run: workers wait its t_grad, or the one given."""
    profile = Profile.load(name)
    if t_grad_s is not None:
        given = Timing(
            median_s=positive("t_grad", t_grad_s, "s"), provenance=Provenance.ASSUMED, batch=profile.workload.batch
        )
        profile = replace(profile, t_grad=(given,))
    return profile
