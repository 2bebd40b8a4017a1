"""What the user wants of a plan: little time or money, of the run or until a target is reached, within limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from speedup.cost import cost_of, show_cost
from speedup.efficiency import NoiseScale, Staleness, examples_factor
from speedup.errors import PlanError, UnitError
from speedup.failures import NOTICEABLE, Failures, machines_where, with_failures
from speedup.memory import feasibility_of
from speedup.plans import UpdateMode, one_of
from speedup.prices import Price
from speedup.units import not_negative, positive, show_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedup.memory import Feasibility
    from speedup.tables import EstimateTable, Floats

_ROUNDING, _DIGITS = 1e-12, 10
_NEVER = 1e6
"""Times longer by failures from which on a run counts as one that never finishes."""
_STALENESS = Staleness()


class Objective(StrEnum):
    """What is minimised."""

    TIME = "time"
    """Time of the run."""
    COST = "cost"
    """Cost of the run's machines."""
    TIME_TO_TARGET = "time-to-target"
    """Time until the target is reached that the run's batches reach on one worker."""
    COST_TO_TARGET = "cost-to-target"
    """Cost until then."""


_TO_TARGET = (Objective.TIME_TO_TARGET, Objective.COST_TO_TARGET)
_COST = (Objective.COST, Objective.COST_TO_TARGET)


class GoalOptions(TypedDict, total=False):
    """The options by which ``recommend`` is told what is wanted.

    Attributes:
        objective: ``time``, ``cost``, ``time-to-target`` or ``cost-to-target``.
        min_efficiency: Consider only plans with at least this speedup / N, in (0, 1].
        noise_scale: Gradient noise scale [samples]; the profile's by default.
        staleness_cost: What an update of age costs an asynchronous run, c of ``speedup.efficiency.Staleness``.
        price: Of a machine-hour [USD], or the name of a machine in the table of prices.
        server_price: Of a machine that only holds weights; as ``price`` by default.
        deadline_s: Consider only plans that are done by then [s].
        budget: Consider only plans that cost at most so much [USD].
        device_bytes: Memory of a device; that of the profile's by default.
        server_bytes: Memory of a machine that holds weights; not checked if left out.
        mtbf_h: Mean time to the failure of one machine [h]; machines do not fail if left out.
        save_s: What saving a checkpoint takes [s].
        restart_s: What starting again from one takes [s].
    """

    objective: str
    min_efficiency: float | None
    noise_scale: float | NoiseScale | None
    staleness_cost: float
    price: str | float | Price | None
    server_price: str | float | Price | None
    deadline_s: float | None
    budget: float | None
    device_bytes: float | None
    server_bytes: float | None
    mtbf_h: float | None
    save_s: float
    restart_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Limit:
    """A limit that plans have to keep, and what each has of what is limited."""

    name: str
    limit: float
    values: Floats
    words: str
    show: Callable[[float], str]

    def excess(self, rows: int | slice = slice(None)) -> Floats:
        """Return by which part of the limit plans are beyond it; 0 within."""
        return np.maximum(self.values[rows] / self.limit - 1 - _ROUNDING, 0.0)

    def told(self, row: int) -> str:
        """Say that a plan is beyond it."""
        return self.words.format(self.show(float(self.values[row])), self.show(self.limit))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the plans of a table are worth, one a row.

    Attributes:
        time_s: Time of the run, or until the target; with what failures cost [s].
        cost: Its cost [USD]; None without a price.
        score: What is minimised.
        limits: What plans have to keep.
        room: What they need of memory and links; None where nobody knows.
        excess: By which part of a limit each plan is beyond it, the largest; infinite where it cannot be run at all.
    """

    time_s: Floats
    cost: Floats | None
    score: Floats
    limits: tuple[_Limit, ...]
    room: Feasibility | None
    excess: Floats

    @property
    def ties(self) -> Floats:
        """What tells plans apart that cost nothing: their time; to ten digits, beyond which it is rounding."""
        free = self.score == 0
        return np.where(free, np.round(np.log(np.where(free, self.time_s, 1.0)), _DIGITS), 0.0)

    @property
    def nearest(self) -> int:
        """The plan that lacks least of what it needs to be run."""
        if self.room is None or not np.isfinite(self.time_s).any():
            return 0
        return int(np.argmin(np.where(np.isfinite(self.time_s), self.room.shortage, np.inf)))

    def reason(self, row: int) -> str:
        """Say why a plan cannot be chosen; empty where it can."""
        if self.excess[row] == 0:
            return ""
        if not np.isfinite(self.time_s[row]):
            return "never finishes: machines fail faster than it gets on"
        tight = "" if self.room is None else self.room.reason(row)
        return tight or "; ".join(limit.told(row) for limit in self.limits if limit.excess(row) > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is wanted.

    Attributes:
        objective: What is minimised.
        min_efficiency: Least speedup / N; 0 for any.
        noise_scale: Gradient noise scale; None where none is known.
        staleness: What asynchronous training pays for old gradients.
        price: Of a worker's machine; None where nobody said.
        server_price: Of a machine that only holds weights.
        deadline_s: Longest time [s]; infinite for any.
        budget: Highest cost [USD]; infinite for any.
        device_bytes: Memory of a device; None for that of the profile's, if it is known.
        server_bytes: Memory of a machine that holds weights; None where nobody knows.
        failures: How machines fail; None for never.
    """

    objective: Objective = Objective.TIME
    min_efficiency: float = 0.0
    noise_scale: NoiseScale | None = None
    staleness: Staleness = _STALENESS
    price: Price | None = None
    server_price: Price | None = None
    deadline_s: float = np.inf
    budget: float = np.inf
    device_bytes: float | None = None
    server_bytes: float | None = None
    failures: Failures | None = None

    def __post_init__(self) -> None:
        if self.objective in _TO_TARGET and (self.noise_scale is None or not self.noise_scale.resolved):
            raise PlanError(
                f'objective = "{self.objective}" needs the gradient noise scale: measure it (speedup train '
                "--noise-scale), or give noise_scale= (samples)."
            )
        if self.price is None and (self.objective in _COST or np.isfinite(self.budget)):
            what = f'objective = "{self.objective}"' if self.objective in _COST else "budget"
            raise PlanError(f"{what} needs a price: give price= (USD per machine-hour, or the name of a machine).")

    @classmethod
    def of(cls, measured: NoiseScale | None = None, **said: Any) -> Goal:  # noqa: ANN401 - of GoalOptions
        """Read a goal from ``GoalOptions``.

        Args:
            measured: The noise scale of the profile, where it has one.
            said: The options.

        Raises:
            PlanError: The objective is unknown, or needs something that nobody gave.
            UnitError: A number is out of its range.
        """
        given = said.get("noise_scale")
        if given is not None:
            measured = given if isinstance(given, NoiseScale) else NoiseScale.assumed(given)
        price, server_price = (_price(said.get(name)) for name in ("price", "server_price"))
        least = said.get("min_efficiency")
        if least is not None and positive("min_efficiency", least, "speedup per worker") > 1:
            raise UnitError(f"min_efficiency = {least}; it must be above 0 and at most 1, such as 0.8.")
        return cls(
            objective=one_of("objective", said.get("objective", Objective.TIME), Objective),
            min_efficiency=least or 0.0,
            noise_scale=measured,
            staleness=Staleness(cost=not_negative("staleness_cost", said.get("staleness_cost", 1.0), "")),
            price=price,
            server_price=server_price or price,
            deadline_s=_limit("deadline", said.get("deadline_s"), "s"),
            budget=_limit("budget", said.get("budget"), "USD"),
            device_bytes=said.get("device_bytes"),
            server_bytes=said.get("server_bytes"),
            failures=_failures(said),
        )

    @property
    def by_time(self) -> bool:
        """Whether the time of the run is all that is asked for."""
        return self.objective is Objective.TIME and self.failures is None and self.price is None

    def to_dict(self) -> dict[str, Any]:
        """Return the goal as a plain dictionary, each number with its provenance."""
        return {
            "objective": str(self.objective),
            "min_efficiency": self.min_efficiency,
            "noise_scale": None if self.noise_scale is None else self.noise_scale.to_dict(),
            "staleness_cost": self.staleness.cost,
            "staleness_provenance": str(self.staleness.provenance),
            "price": None if self.price is None else self.price.to_dict(),
            "server_price": None if self.server_price is None else self.server_price.to_dict(),
            "deadline_s": self.deadline_s if np.isfinite(self.deadline_s) else None,
            "budget": self.budget if np.isfinite(self.budget) else None,
            "device_bytes": self.device_bytes,
            "server_bytes": self.server_bytes,
            "failures": None if self.failures is None else self.failures.to_dict(),
        }

    @property
    def assumption(self) -> str:
        """What the time stands for, in words."""
        parts = ["all machines paid for by the second" if self.price else ""]
        if self.to_target:
            parts.append(f"{self.noise_scale}")
        if self.failures is not None:
            parts.append(f"{self.failures}")
        return "; ".join(filter(None, parts))

    def notes(self, judged: Judged) -> tuple[str, ...]:
        """Return what a judgement rests on.

        Args:
            judged: What the plans were found to be worth.
        """
        found = [f"Price of a machine: {self.price}." if self.price else "", self.price.warning if self.price else ""]
        if self.server_price and self.server_price != self.price:
            found += [f"Price of a machine that only holds weights: {self.server_price}.", self.server_price.warning]
        if self.to_target:
            found.append(
                f"Samples to the target: 1 + B/B_n times the least, with {self.noise_scale}; {self.staleness}."
            )
        elif self.staleness != _STALENESS:
            found.append(f'The cost of staleness counts for a target alone; objective = "{self.objective}" has none.')
        if self.failures is not None:
            found.append(f"Failures: {self.failures}; {_noticed(self.failures)}.")
        if judged.room is not None and self.device_bytes:
            found += judged.room.notes
        return tuple(filter(None, found))

    @property
    def counts_cost(self) -> bool:
        """Whether money is minimised, and not time."""
        return self.objective in _COST

    @property
    def to_target(self) -> bool:
        """Whether what counts is a target reached, and not batches computed."""
        return self.objective in _TO_TARGET

    def update_samples(self, table: EstimateTable) -> Floats:
        r"""Return the samples that an update of each plan is worth: of E.2 the batch.

        N b for sync-join, b for sync-split; for async :math:`b (1 + c (N - 1))`, by the age of its gradients
        (``speedup.efficiency.Staleness``).

        Args:
            table: The plans.

        Raises:
            PlanError: Nobody knows how many samples a batch has.
        """
        size = table.inputs.batch
        if size is None:
            raise PlanError("how many samples a batch has is not known: give batch=, or a profile that says it.")
        awaited = np.maximum(table.workers - table.inputs.practice.backup, 1)
        modes = table.by_family(lambda family: family.mode)
        stale = size * (1 + self.staleness.cost * (table.workers - 1))
        return np.where(modes == UpdateMode.ASYNC, stale, np.where(modes == UpdateMode.SYNC_JOIN, awaited * size, size))

    def samples_factor(self, table: EstimateTable, reference: int) -> Floats:
        r"""Return the samples that each plan needs to the target, by those of one worker.

        .. math:: \frac{1 + M/B_n}{1 + b_0/B_n}

        with M as of ``update_samples``.

        Args:
            table: The plans.
            reference: :math:`b_0`, samples of a batch of the run on one worker that reaches the target.
        """
        if self.noise_scale is None or self.noise_scale.value is None:
            raise PlanError("the samples to a target need the gradient noise scale.")
        noise = self.noise_scale.value
        return np.asarray(examples_factor(noise, self.update_samples(table)) / examples_factor(noise, reference))

    def judge(self, table: EstimateTable, reference: int | None) -> Judged:
        """Return what the plans of a table are worth.

        Args:
            table: The plans, all of which compute as many samples.
            reference: Samples of a batch of the run on one worker that reaches the target; None where nobody said.
        """
        time_s = table.time_s if self.failures is None else _with_failures(table, self.failures)
        if self.to_target:
            time_s = time_s * self.samples_factor(table, reference or table.inputs.batch or 0)
        cost = None if self.price is None else cost_of(table, self.price, self.server_price, time_s=time_s).total
        score = cost if self.objective in _COST and cost is not None else time_s
        inefficiency = 1 / self.min_efficiency if self.min_efficiency else np.inf
        limits = [
            _Limit("deadline", self.deadline_s, time_s, "takes {}, later than {}", show_seconds),
            _Limit("budget", self.budget, time_s if cost is None else cost, "costs {}, more than {}", show_cost),
            _Limit("efficiency", inefficiency, 1 / table.efficiency, "has efficiency {}, below {}", _inverse),
        ]
        kept = tuple(limit for limit in limits if np.isfinite(limit.limit))
        room = self._room(table)
        excess = np.max([np.zeros(len(table)), *(limit.excess() for limit in kept)], axis=0)
        if room is not None:
            excess = np.where(room.feasible, excess, np.inf)
        excess = np.where(np.isfinite(time_s), excess, np.inf)
        return Judged(time_s=time_s, cost=cost, score=score, limits=kept, room=room, excess=excess)

    def _room(self, table: EstimateTable) -> Feasibility | None:
        """Return whether plans fit into memory, where anybody knows."""
        if table.inputs.profile is None:
            if self.device_bytes is not None:
                raise PlanError("device_bytes needs a profile, whose tensors tell what memory a step needs.")
            return None
        return feasibility_of(table, device_bytes=self.device_bytes, server_bytes=self.server_bytes)


def _with_failures(table: EstimateTable, failures: Failures) -> Floats:
    """Return the times with failures; infinite where a run would be longer beyond all measure."""
    time_s = with_failures(table, failures).time_s
    return np.where(time_s <= _NEVER * table.time_s, time_s, np.inf)


def _noticed(failures: Failures) -> str:
    machines = machines_where(failures)
    if machines is None:
        return f"runs in step are not made {NOTICEABLE:.0%} longer by them at any number of machines"
    return f"runs in step take {NOTICEABLE:.0%} longer by them from {machines} machines up"


def _inverse(value: float) -> str:
    return f"{1 / value:.1%}"


def _price(said: str | float | Price | None) -> Price | None:
    return None if said is None else Price.of(said)


def _failures(said: dict[str, Any]) -> Failures | None:
    if said.get("mtbf_h") is None:
        if said.get("save_s") or said.get("restart_s"):
            raise PlanError(
                "save_s and restart_s are what failures cost: give mtbf_h=, the hours to a machine's failure."
            )
        return None
    return Failures(mtbf_h=said["mtbf_h"], save_s=said.get("save_s", 0.0), restart_s=said.get("restart_s", 0.0))


def _limit(what: str, value: float | None, unit: str) -> float:
    return np.inf if value is None else positive(what, value, unit)


ANY = Goal()
"""As little time as possible, with no limits."""
