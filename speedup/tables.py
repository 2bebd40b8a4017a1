"""Estimates as a table: one plan a row, one fact a column."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from speedup.files import write_atomically
from speedup.plans import Collective, PlacementRule, Plan, Schedule, ServerKind, UpdateMode, weight_holders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from speedup.inputs import Inputs

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]


class Status(StrEnum):
    """Whether a plan lies where its formula holds."""

    OK = "ok"
    """Inside."""
    FRACTIONAL_ROUNDS = "fractional-rounds"
    """N does not divide D: the printed formula counts D/N rounds, a run needs whole ones; ``exact`` has them."""
    IDLE_WORKERS = "idle-workers"
    """More workers than batches, or for sync-split than samples in a batch: some never compute, and the printed
    formulas do not hold (best may exceed worst)."""
    ROUGH = "rough"
    """No estimator is known to be safe here, and a simulation would take too long; ``method="simulation"`` does it."""


_STATUSES = tuple(Status)
_COLLECTIVES = tuple(Collective)
_EXTRA_MACHINES = {ServerKind.CENTRAL, ServerKind.SHARDED, ServerKind.BYTEPS}
_ROUNDING = 1e-9


def collective_index(collective: Collective) -> int:
    """Return the number that stands for a collective in ``EstimateTable.collective``."""
    return _COLLECTIVES.index(collective)


def status_index(status: Status) -> int:
    """Return the number that stands for a status in ``EstimateTable.status``."""
    return _STATUSES.index(status)


@dataclass(frozen=True, slots=True)
class Family:
    """What the rows of one curve have in common.

    Attributes:
        mode: When gradients meet the weights.
        server: Where the weights live.
        schedule: How a server's links are shared.
        collective: Which all-reduce; ``none`` with a server.
    """

    mode: UpdateMode
    server: ServerKind
    schedule: Schedule
    collective: Collective = Collective.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One plan and what the model says of it; a row of the table.

    Attributes:
        workers: N.
        mode: When gradients meet the weights.
        server: Where the weights live.
        schedule: How a server's links are shared.
        collective: Which all-reduce; ``none`` with a server.
        placement: How a distributed server's weights are placed.
        servers: Machines, or workers, that hold a shard of the weights; 0 without a server.
        machines: Those of the workers, and those that only hold weights.
        time_s: t_train, time of the whole run [s].
        t_iter_s: Time of one iteration [s]; for async, in which every worker does one batch.
        speedup: D t_grad / t_train (4.23).
        speedup_low: Lower end of the interval in which the speedup of one run lies with probability ``level``; None
            where neither the spread of the times nor the uncertainty of the calibration is known.
        speedup_high: Upper end of it.
        level: That probability.
        efficiency: speedup / N.
        equation: Number of the equation in ``speedup.CATALOGUE``; ``recursion`` or ``simulation`` where there is none.
        status: Whether the plan lies where its estimator holds; see ``Status``.
        method: How the time was found; see ``speedup.estimators.Estimator``.
        batches: D.
        t_grad_s: Gradient of one batch on one worker [s]; where times vary, its mean.
        t_grad_worker_s: What one worker computes in an iteration [s]: for sync-split its part of a batch.
        t_comm_s: One transfer [s].
        move_s: What an iteration's transfers take, if nobody else transfers [s].
        straggler_s: How much longer than the mean the slowest worker computes [s].
        hidden_s: How much of the transfers goes on while gradients are computed [s].
        wait_s: The rest of the iteration: waiting for links, for a server, or for a batch [s].
    """

    workers: int
    mode: UpdateMode
    server: ServerKind
    schedule: Schedule
    collective: Collective
    placement: PlacementRule
    servers: int
    machines: int
    time_s: float
    t_iter_s: float
    speedup: float
    speedup_low: float | None
    speedup_high: float | None
    level: float
    efficiency: float
    equation: str
    status: Status
    method: str
    batches: int
    t_grad_s: float
    t_grad_worker_s: float
    t_comm_s: float
    move_s: float
    straggler_s: float
    hidden_s: float
    wait_s: float

    @property
    def plan(self) -> Plan:
        """The plan alone."""
        return Plan(
            workers=self.workers,
            mode=self.mode,
            server=self.server,
            schedule=self.schedule,
            placement=self.placement,
            servers=self.servers if self.server in {ServerKind.SHARDED, ServerKind.BYTEPS} else 1,
            collective=self.collective,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a plain dictionary."""
        return {name: _plain(getattr(self, name)) for name in COLUMNS}


COLUMNS = tuple(field.name for field in fields(Estimate))


LEVEL = 0.9
"""Probability with which the speedup of a run lies in its interval."""
FORMULAS = ("thesis", "exact")
"""Methods that are formulas of constant times."""
_BY_ROW = (
    "workers",
    "time_s",
    "t_grad_worker_s",
    "status",
    "equation",
    "estimator",
    "low",
    "high",
    "collective",
    "move_s",
    "straggler_s",
    "hidden_s",
)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any cell of the table
    return str(value) if isinstance(value, StrEnum) else value


@dataclass(frozen=True, slots=True, eq=False)
class EstimateTable:
    """Estimates, one a row: families one after another, each in the order of its worker counts.

    Attributes:
        families: The curves.
        family: Index into ``families``, one a row.
        workers: N, one a row.
        time_s: t_train [s], one a row.
        t_grad_worker_s: What one worker computes in an iteration [s], one a row.
        status: Index into the members of ``Status``, one a row.
        equation: Number of the equation, an index into ``words``, one a row.
        estimator: How the time was found, likewise.
        words: What these indices stand for.
        low: Lower end of the interval of the speedup, one a row; not a number where none is known.
        high: Upper end of it.
        inputs: The two times and where they come from.
        batches: D.
        method: What was asked for: ``auto``, ``queueing``, ``simulation``, ``thesis`` or ``exact``.
        placement: How a distributed server's weights are placed.
        collective: Which all-reduce, an index into the members of ``Collective``, one a row.
        move_s: What an iteration's transfers take, if nobody else transfers [s], one a row.
        straggler_s: How much longer than the mean the slowest worker computes [s], one a row.
        hidden_s: How much of the transfers goes on while gradients are computed [s], one a row.
        phases: Names of the parts of a run that changes on the way; empty for one that does not.

    Example:
        >>> from speedup import estimate
        >>> table = estimate(t_grad=0.758, t_comm=0.033, modes="sync-join", servers="distributed")
        >>> round(table[7].speedup, 4)
        7.4337
    """

    families: tuple[Family, ...]
    family: NDArray[np.int16]
    workers: Integers
    time_s: Floats
    t_grad_worker_s: Floats
    status: NDArray[np.int8]
    equation: NDArray[np.int8]
    estimator: NDArray[np.int8]
    words: tuple[str, ...]
    low: Floats
    high: Floats
    collective: NDArray[np.int8]
    move_s: Floats
    straggler_s: Floats
    hidden_s: Floats
    inputs: Inputs
    batches: int
    method: str
    placement: PlacementRule
    phases: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.workers)

    def __iter__(self) -> Iterator[Estimate]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Estimate:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a table of {len(self)} rows")
        one = self.take(np.array([row]))
        family = self.families[one.family[0]]
        return Estimate(
            workers=int(one.workers[0]),
            mode=family.mode,
            server=family.server,
            schedule=family.schedule,
            collective=_COLLECTIVES[one.collective[0]],
            placement=self._placements()[one.family[0]],
            servers=int(one.servers[0]),
            machines=int(one.machines[0]),
            time_s=float(one.time_s[0]),
            t_iter_s=float(one.t_iter_s[0]),
            speedup=float(one.speedup[0]),
            speedup_low=_known(one.low[0]),
            speedup_high=_known(one.high[0]),
            level=LEVEL,
            efficiency=float(one.efficiency[0]),
            equation=self.words[one.equation[0]],
            status=_STATUSES[one.status[0]],
            method=self.words[one.estimator[0]],
            batches=self.batches,
            t_grad_s=self.t_grad_s,
            t_grad_worker_s=float(one.t_grad_worker_s[0]),
            t_comm_s=self.t_comm_s,
            move_s=float(one.move_s[0]),
            straggler_s=float(one.straggler_s[0]),
            hidden_s=float(one.hidden_s[0]),
            wait_s=float(one.wait_s[0]),
        )

    @property
    def t_grad_s(self) -> float:
        """Gradient of one batch on one worker [s]: the centre for a formula, else the mean, which a run adds up."""
        return self.inputs.t_grad_s if self.method in FORMULAS else self.inputs.grad_law.mean_s

    @property
    def t_comm_s(self) -> float:
        """One transfer [s]; likewise."""
        return self.inputs.t_comm_s if self.method in FORMULAS else self.inputs.comm_law.mean_s

    @property
    def speedup(self) -> Floats:
        """D t_grad / t_train, one a row (4.23)."""
        return self.batches * self.t_grad_s / self.time_s

    @property
    def efficiency(self) -> Floats:
        """Speedup / N, one a row."""
        return self.speedup / self.workers

    @property
    def servers(self) -> Integers:
        """Machines, or workers, that hold a shard of the weights, one a row."""
        found, of_row = np.zeros(len(self), dtype=np.int64), self.by_family(lambda family: family.server)
        for server in {family.server for family in self.families}:
            held = weight_holders(server, self.workers, self.inputs.practice.shards)
            found = np.where(of_row == server, held, found)
        return found

    @property
    def machines(self) -> Integers:
        """Machines used, one a row: the workers' and those that only hold weights."""
        own = -(-self.workers // self.inputs.practice.per_machine)
        extra = self.by_family(lambda family: family.server in _EXTRA_MACHINES)
        return np.asarray(own + np.where(extra, self.servers, 0))

    @property
    def t_iter_s(self) -> Floats:
        """Time of one iteration [s], one a row."""
        a_batch = self.by_family(lambda family: family.mode is UpdateMode.SYNC_SPLIT)
        return self.time_s / self.batches * np.where(a_batch, 1, self.workers)

    @property
    def wait_s(self) -> Floats:
        """What is left of an iteration [s], one a row: waiting for links, for a server, or for a batch."""
        known = self.t_grad_worker_s + self.move_s + self.straggler_s - self.hidden_s
        left = self.t_iter_s - known
        # Two sums of the same terms differ in their last bits.
        return np.where(np.abs(left) < _ROUNDING * self.t_iter_s, 0.0, left)

    def by_family(self, value: Callable[[Family], Any]) -> NDArray[Any]:
        """Return something that each kind of plan has, one a row."""
        return np.array([value(family) for family in self.families])[self.family]

    def index_of(self, plan: Estimate) -> int:
        """Return the place of a plan's kind among the families; an all-reduce may be that of the best one."""
        own = Family(plan.mode, plan.server, plan.schedule, plan.collective)
        best = replace(own, collective=Collective.BEST)
        return self.families.index(own if own in self.families else best)

    def _placements(self) -> list[PlacementRule]:
        distributed = ServerKind.DISTRIBUTED
        return [self.placement if one.server is distributed else PlacementRule.EQUAL for one in self.families]

    def take(self, rows: Integers | NDArray[np.bool_]) -> EstimateTable:
        """Return the table of some rows, by index or by mask."""
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in _BY_ROW}
        return replace(self, family=self.family[rows], **chosen)

    def followed_by(self, other: EstimateTable) -> EstimateTable:
        """Return this table with the rows of another of the same inputs after its own."""
        moved = len(self.words)
        later = replace(other, equation=other.equation + np.int8(moved), estimator=other.estimator + np.int8(moved))
        both: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(later, name)]) for name in _BY_ROW}
        return replace(
            other,
            families=(*self.families, *other.families),
            family=np.concatenate([self.family, other.family + np.int16(len(self.families))]),
            words=(*self.words, *other.words),
            **both,
        )

    def to_columns(self) -> dict[str, list[Any]]:
        """Return the columns as lists of plain Python values."""

        def words(of_family: list[str]) -> list[str]:
            return [of_family[index] for index in self.family]

        rows = len(self)
        columns: dict[str, list[Any]] = {
            "workers": self.workers.tolist(),
            "mode": words([str(family.mode) for family in self.families]),
            "server": words([str(family.server) for family in self.families]),
            "schedule": words([str(family.schedule) for family in self.families]),
            "collective": [str(_COLLECTIVES[index]) for index in self.collective],
            "placement": words([str(rule) for rule in self._placements()]),
            "servers": self.servers.tolist(),
            "machines": self.machines.tolist(),
            "time_s": self.time_s.tolist(),
            "t_iter_s": self.t_iter_s.tolist(),
            "speedup": self.speedup.tolist(),
            "speedup_low": [_known(value) for value in self.low],
            "speedup_high": [_known(value) for value in self.high],
            "level": [LEVEL] * rows,
            "efficiency": self.efficiency.tolist(),
            "equation": [self.words[index] for index in self.equation],
            "status": [str(_STATUSES[index]) for index in self.status],
            "method": [self.words[index] for index in self.estimator],
            "batches": [self.batches] * rows,
            "t_grad_s": [self.t_grad_s] * rows,
            "t_grad_worker_s": self.t_grad_worker_s.tolist(),
            "t_comm_s": [self.t_comm_s] * rows,
            "move_s": self.move_s.tolist(),
            "straggler_s": self.straggler_s.tolist(),
            "hidden_s": self.hidden_s.tolist(),
            "wait_s": self.wait_s.tolist(),
        }
        return {name: columns[name] for name in COLUMNS}

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas frame with the columns of ``Estimate``."""
        import pandas as pd  # noqa: PLC0415 - costs more than every estimate together

        intervals = {"speedup_low": self.low, "speedup_high": self.high}
        return pd.DataFrame(self.to_columns() | intervals)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as one plain document: schema, inputs, rows."""
        return {
            "schema": "speedup.estimate/1",
            "inputs": self.inputs.to_dict(),
            "rows": [dict(zip(COLUMNS, row, strict=True)) for row in zip(*self.to_columns().values(), strict=True)],
        }

    def to_json(self) -> str:
        """Return the table as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the table as CSV with a header, and write it to ``path`` atomically if one is given.

        Raises:
            FileError: It cannot be written there.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(zip(*self.to_columns().values(), strict=True))
        if path is not None:
            write_atomically(path, text.getvalue())
        return text.getvalue()

    def plot(self) -> go.Figure:
        """Return the speedup of every kind of plan against workers as a figure (``speedup.figures``)."""
        from speedup.figures import speedup_figure  # noqa: PLC0415 - Plotly is for those who look at it

        return speedup_figure(self)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False, max_rows=20))
