"""What a distributed run is to do: a plan, what is moved, what is computed. It travels to every process as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from speedup.errors import PlanError, UnitError
from speedup.plans import (
    RUN_SERVERS,
    SIMULATED_SCHEDULES,
    TRAINING_MODES,
    Collective,
    PlacementRule,
    Plan,
    Schedule,
    ServerKind,
    UpdateMode,
    one_of,
)
from speedup.units import not_negative, positive, whole

from .layout import servers_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class Compute(StrEnum):
    """What workers do between receiving weights and sending a gradient."""

    REAL = "real"
    """They compute it."""
    EMULATED = "emulated"
    """They wait as long as it would take; what is sent is no gradient, but the wire is real."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is trained for real.

    Attributes:
        architecture: Name of the network.
        algorithm: Training algorithm.
        batch: Samples in a batch.
        classes: Classes; None for the architecture's own.
        data: Name of a data set; None for one synthetic batch after another.
        folder: Where its files are.
        rate: What the algorithm's steps are multiplied by.
        seed: Of weights and batches.
        cores: Cores of a worker; None for all.
        checkpoint: Folder for checkpoints; None for none.
        every: Updates between two checkpoints.
        resume: Whether to go on from the last one.
        weights: File for the weights after the run, one vector in forward order (``.npy``); None for none.
    """

    architecture: str
    algorithm: str = "sgd"
    batch: int = 16
    classes: int | None = None
    data: str | None = None
    folder: str | None = None
    rate: float = 1.0
    seed: int = 0
    cores: int | None = None
    checkpoint: str | None = None
    every: int = 100
    resume: bool = False
    weights: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One distributed run.

    Attributes:
        plan: Who computes what, and where the weights live.
        batches: Batches of the run, D.
        tensor_elements: Elements of each tensor that travels.
        compute: Whether gradients are computed or waited for.
        t_grad_s: What a worker waits for its part of a batch [s], where it is emulated.
        element_bytes: Bytes of an element on the wire.
        warmup: Iterations of transfers before the run, which open connections and their windows.
        training: What is computed, where it is real.
        up_share: Bytes of a gradient by those of the weights, where computing is emulated; else 1.
    """

    plan: Plan
    batches: int
    tensor_elements: tuple[int, ...]
    compute: Compute = Compute.EMULATED
    t_grad_s: float = 0.0
    element_bytes: int = 4
    warmup: int = 1
    training: Training | None = None
    up_share: float = 1.0

    def __post_init__(self) -> None:
        positive("up_share", self.up_share, "of the weights' bytes")
        if self.up_share != 1.0 and (self.training is not None or self.plan.server is ServerKind.ALLREDUCE):
            raise PlanError("gradients of another size than the weights need a server, and emulated computing.")
        whole("batches", self.batches)
        whole("warmup", self.warmup, minimum=0)
        not_negative("t_grad", self.t_grad_s, "s")
        if not self.tensor_elements:
            raise UnitError("tensor_elements is empty; there is nothing to send.")
        if self.compute == Compute.REAL and self.training is None:
            raise PlanError('compute = "real" needs a network to train.')
        if self.plan.mode is UpdateMode.SYNC_JOIN and self.plan.workers > self.batches:
            raise PlanError(
                f"{self.plan.workers} workers share batches = {self.batches}; give at least as many batches as workers."
            )

    @property
    def payload_bytes(self) -> int:
        """Bytes of all weights, or of all gradients."""
        return sum(self.tensor_elements) * self.element_bytes

    def gradient_elements(self, elements: int) -> int:
        """Return how many elements a gradient has in the place of so many weights.

        Example:
            >>> plan = run_plan(workers=1, mode="async", server="central")
            >>> Job(plan=plan, batches=1, tensor_elements=(100,), up_share=0.25).gradient_elements(100)
            25
        """
        return max(1, round(elements * self.up_share)) if elements else 0

    @property
    def server_ranks(self) -> tuple[int, ...]:
        """Processes that hold weights for others; none for an all-reduce."""
        return () if self.plan.server is ServerKind.ALLREDUCE else tuple(range(servers_of(self.plan)))

    @property
    def worker_ranks(self) -> tuple[int, ...]:
        """Processes that compute."""
        apart = self.plan.server in {ServerKind.CENTRAL, ServerKind.SHARDED}
        first = len(self.server_ranks) if apart else 0
        return tuple(range(first, first + self.plan.workers))

    @property
    def ranks(self) -> tuple[int, ...]:
        """All processes of the run."""
        return tuple(sorted({*self.server_ranks, *self.worker_ranks}))

    def rounds(self, start: int = 0) -> list[tuple[int, tuple[int, ...]]]:
        """Return the synchronous iterations from one on, with who takes part: all, but for what is left in the last."""
        workers = self.worker_ranks
        if self.plan.mode is UpdateMode.SYNC_SPLIT:
            return [(number, workers) for number in range(start, self.batches)]
        full, rest = divmod(self.batches, len(workers))
        everything = [workers] * full + ([workers[:rest]] if rest else [])
        return list(enumerate(everything))[start:]

    def to_dict(self) -> dict[str, Any]:
        """Return the job as a plain document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Job:
        """Return the job of a document that ``to_dict`` made."""
        training = document["training"]
        plan = document["plan"]
        return cls(
            **{
                **document,
                "plan": run_plan(**plan),
                "tensor_elements": tuple(document["tensor_elements"]),
                "compute": one_of("compute", document["compute"], Compute),
                "training": None if training is None else Training(**training),
            }
        )


def run_plan(
    *,
    workers: int,
    mode: str,
    server: str,
    schedule: str = "none",
    placement: str = "equal",
    servers: int = 1,
    collective: str = "ring",
) -> Plan:
    """Return a plan that can be run.

    Args:
        workers: Number of workers N.
        mode: ``sync-join``, ``sync-split`` or ``async``.
        server: ``central``, ``distributed``, ``sharded`` or ``allreduce``.
        schedule: ``semaphore``: one transfer at a time and direction at a server; ``fair``: all at once. ``none``
            means ``fair``.
        placement: ``bytes`` or ``equal`` (to the last element), ``greedy`` (Algorithm 3.7), ``lpt``.
        servers: Machines of a sharded server.
        collective: ``ring``, which is how an all-reduce goes here; ``none`` with a server.

    Raises:
        PlanError: A word is unknown, or two of them do not go together.
        UnitError: A number is no whole number of at least 1.
    """
    kind, when = one_of("server", server, RUN_SERVERS), one_of("mode", mode, TRAINING_MODES)
    rule = one_of("schedule", schedule, (*SIMULATED_SCHEDULES, Schedule.NONE))
    if kind is ServerKind.ALLREDUCE and when is UpdateMode.ASYNC:
        raise PlanError('server = "allreduce" needs every worker at once; mode = "async" has a server instead.')
    if kind is ServerKind.ALLREDUCE and rule is Schedule.SEMAPHORE:
        raise PlanError('schedule = "semaphore" belongs to a server; server = "allreduce" has none.')
    if servers != 1 and kind is not ServerKind.SHARDED:
        raise PlanError(f'servers = {servers} belongs to server = "sharded", not to "{kind}".')
    if rule is Schedule.NONE and kind in {ServerKind.CENTRAL, ServerKind.SHARDED}:
        rule = Schedule.FAIR
    if rule is Schedule.FAIR and kind in {ServerKind.DISTRIBUTED, ServerKind.ALLREDUCE}:
        rule = Schedule.NONE
    one_of("collective", collective, (Collective.RING, Collective.NONE))
    return Plan(
        workers=whole("workers", workers),
        mode=when,
        server=kind,
        schedule=rule,
        placement=one_of("placement", placement, PlacementRule),
        servers=whole("servers", servers),
        collective=Collective.RING if kind is ServerKind.ALLREDUCE else Collective.NONE,
    )
