"""What is simulated: the run, its workers, its server and its laws, checked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from speedup.errors import PlanError, UnitError
from speedup.laws import Law, LawKind
from speedup.plans import (
    SIMULATED_SCHEDULES,
    SIMULATED_SERVERS,
    TRAINING_MODES,
    Schedule,
    ServerKind,
    UpdateMode,
    one_of,
)
from speedup.units import not_negative, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Assignment(StrEnum):
    """How the batches of an asynchronous run reach the workers."""

    POOL = "pool"
    """One shared pool: whoever is ready takes the next."""
    STATIC = "static"
    """D/N for each worker, the first D mod N of them one more."""


Item = TypeVar("Item")


def one_a_worker(what: str, values: Item | Sequence[Item], workers: int) -> list[Item]:
    """Return one value a worker from one for all or a list of them.

    Raises:
        UnitError: The list has another length.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        return [values] * workers
    found = list(values)
    if len(found) == 1:
        return found * workers
    if len(found) != workers:
        raise UnitError(f"{what} has {len(found)} values for {workers} workers; give one, or one a worker.")
    return found


def laws(
    what: str, seconds: float | Law | Sequence[float | Law], cv: float | Sequence[float] | None, kind: str, workers: int
) -> tuple[Law, ...]:
    """Return the law of a duration for every worker.

    Args:
        what: Its name, for messages.
        seconds: Mean [s], or the law itself; one, or one a worker.
        cv: Coefficient of variation; one, or one a worker; None for the law's own default.
        kind: Name of the law of those that are no ``Law``.
        workers: N.

    Raises:
        UnitError: A number is out of its range, or there are too few or too many of them.
        PlanError: The law is unknown or cannot have that coefficient of variation.
    """
    means, spreads = one_a_worker(what, seconds, workers), one_a_worker(f"cv of {what}", cv, workers)
    return tuple(
        mean if isinstance(mean, Law) else Law.named(kind, not_negative(what, mean, "s"), spread)
        for mean, spread in zip(means, spreads, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A run to be simulated.

    Attributes:
        mode: When gradients meet the weights.
        server: Where the weights live.
        schedule: ``semaphore`` or ``fair``.
        batches: D.
        t_grad: Law of a whole batch's gradient, one a worker; sync-split divides its draws by the workers present.
        pull: Law of one transfer of all weights with nobody else there, one a worker.
        push: Law of one transfer of all gradients, one a worker.
        assignment: How asynchronous workers get their batches.
        shares: Share of the weights on each unit of the server; they add up to 1.
        join_s: When each worker joins [s]; shape (N,), or (R, N) for one row a replication.
        leave_s: When each worker leaves [s], shape (N,); it finishes the batch in hand.
        straggling: Probability that a gradient straggles.
        slowdown: How many times as long it takes then.
        capacity: Rate of each worker's link, 1 for the fastest, shape (N,); equal links if left out.

    Raises:
        PlanError: The parts do not go together.
        UnitError: A number is out of its range.
    """

    mode: UpdateMode
    server: ServerKind
    schedule: Schedule
    batches: int
    t_grad: tuple[Law, ...]
    pull: tuple[Law, ...]
    push: tuple[Law, ...]
    assignment: Assignment = Assignment.POOL
    shares: tuple[float, ...] = (1.0,)
    join_s: NDArray[np.float64]
    leave_s: NDArray[np.float64]
    straggling: float = 0.0
    slowdown: float = 1.0
    capacity: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not math.isclose(sum(self.shares), 1.0, abs_tol=1e-9) or min(self.shares) < 0:
            raise UnitError(
                f"shares = {self.shares} add up to {sum(self.shares):g}; they must be >= 0 and add up to 1."
            )
        if self.server is ServerKind.DISTRIBUTED and len(self.shares) != self.workers:
            raise PlanError(
                f"{len(self.shares)} shares for {self.workers} workers; a distributed server has one a worker."
            )
        if self.server is ServerKind.CENTRAL and len(self.shares) != 1:
            raise PlanError(f'{len(self.shares)} shares, but server = "central" holds all weights; use "sharded".')
        if not 0 <= self.straggling <= 1:
            raise UnitError(f"straggler_probability = {self.straggling:g}; it must be between 0 and 1.")
        if not self.slowdown > 0:
            raise UnitError(f"straggler_slowdown = {self.slowdown:g}; it must be > 0.")
        if self.join_s.shape[-1] != self.workers or not (np.isfinite(self.join_s).all() and (self.join_s >= 0).all()):
            raise UnitError(f"join_s must be one finite time of at least 0 s for each of the {self.workers} workers.")
        if self.leave_s.shape != (self.workers,) or not (self.leave_s > 0).all():
            raise UnitError(f"leave_s must be one time above 0 s for each of the {self.workers} workers.")
        leaving = np.isfinite(self.leave_s).any()
        if leaving and self.assignment is Assignment.STATIC and self.mode is UpdateMode.ASYNC:
            raise PlanError('a worker that leaves keeps its batches if assign = "static"; use assign = "pool".')

    @property
    def workers(self) -> int:
        """N."""
        return len(self.t_grad)

    @classmethod
    def of(
        cls,
        *,
        workers: int,
        batches: int,
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
    ) -> Scenario:
        """Return the scenario that the user's words and numbers describe; see ``simulate``."""
        count = whole("workers", workers)
        kind = one_of("server", server, SIMULATED_SERVERS)
        if law == LawKind.EXPONENTIAL and not (_any(cv_grad) or _any(cv_comm)):
            cv_grad = cv_comm = None
        comm = laws("t_comm", t_comm, cv_comm, law, count)
        return cls(
            mode=one_of("mode", mode, TRAINING_MODES),
            server=kind,
            schedule=one_of("schedule", schedule, SIMULATED_SCHEDULES),
            batches=whole("batches", batches),
            t_grad=laws("t_grad", t_grad, cv_grad, law, count),
            pull=comm,
            push=comm if t_up is None else laws("t_up", t_up, cv_comm, law, count),
            assignment=one_of("assign", assign, Assignment),
            shares=_shares(kind, shards, count),
            join_s=_times("join_s", join_s, count),
            leave_s=_times("leave_s", leave_s, count),
            straggling=not_negative("straggler_probability", straggler_probability, ""),
            slowdown=not_negative("straggler_slowdown", straggler_slowdown, ""),
            capacity=_capacities(comm),
        )


def _any(cv: float | Sequence[float] | None) -> bool:
    return cv is not None and bool(np.any(np.asarray(cv) != 0))


def _capacities(t_comm: tuple[Law, ...]) -> tuple[float, ...]:
    """Return the rates of links whose transfers take as long as these, by the rate of the fastest."""
    means = [law.mean_s for law in t_comm]
    fastest = min(means)
    if fastest == 0 < max(means):
        raise UnitError("t_comm = 0 s for some workers and more for others; give all of them a time, or none.")
    return tuple(fastest / mean if mean else 1.0 for mean in means)


def _shares(server: ServerKind, shards: int | Sequence[float], workers: int) -> tuple[float, ...]:
    if server is ServerKind.CENTRAL:
        return (1.0,)
    if isinstance(shards, (Sequence, np.ndarray)):
        return tuple(not_negative("shards", share, "") for share in shards)
    units = workers if server is ServerKind.DISTRIBUTED else whole("shards", shards)
    return (1.0 / units,) * units


def _times(what: str, values: float | Sequence[float], workers: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2:
        return array
    return np.array(one_a_worker(what, values, workers), dtype=np.float64)
