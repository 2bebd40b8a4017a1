"""The candidates: who computes what, where the weights live, and how the server's link is shared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from speedup.errors import PlanError, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray


class UpdateMode(StrEnum):
    """When gradients meet the weights (section 6.1 of the thesis)."""

    SYNC_JOIN = "sync-join"
    """Every worker computes one whole batch an iteration; a barrier joins them."""
    SYNC_SPLIT = "sync-split"
    """Every worker computes 1/N of one batch an iteration; equals sequential training."""
    ASYNC = "async"
    """No barrier: every worker pulls, computes and pushes at its own pace (Downpour SGD)."""
    SEQUENTIAL = "sequential"
    """One worker and no server: the training that every speedup is relative to."""


class ServerKind(StrEnum):
    """Where the weights live."""

    CENTRAL = "central"
    """One extra machine holds all weights."""
    DISTRIBUTED = "distributed"
    """Every worker holds a share of the weights (section 3.3.3)."""
    SHARDED = "sharded"
    """Several extra machines hold a shard of the weights each."""
    ALLREDUCE = "allreduce"
    """No server: every worker holds all weights, and the gradients are summed around a ring."""
    BYTEPS = "byteps"
    """Shards on several extra machines and on the workers, in the proportion in which all links are full (BytePS)."""
    NONE = "none"
    """No server: sequential training."""


class Schedule(StrEnum):
    """How transfers share the link of a central server."""

    BEST = "best"
    """One worker at a time and direction, in perfect order: the thesis's best case."""
    WORST = "worst"
    """All workers at once, each N times slower: the thesis's worst case."""
    MEAN = "mean"
    """The mean time of best and worst: what the thesis expects of an uncontrolled server."""
    SEMAPHORE = "semaphore"
    """One worker at a time and direction, kept by a queued semaphore (section 7.2)."""
    FAIR = "fair"
    """All transfers of a direction at once, each with an equal share of the link: what an uncontrolled server does."""
    PIPELINED = "pipelined"
    """Piece by piece: what is summed is sent back while the rest arrives, so that both directions are busy."""
    NONE = "none"
    """Nothing to schedule: distributed shares, or a single worker."""


class Collective(StrEnum):
    """How workers sum their gradients without a server."""

    BEST = "best"
    """The fastest of those below for the plan at hand."""
    RING = "ring"
    """Around a ring through all of them (C.6)."""
    HALVING_DOUBLING = "halving-doubling"
    """By recursive halving and doubling (C.2), between machines."""
    RECURSIVE_DOUBLING = "recursive-doubling"
    """Whole messages, by recursive doubling (C.3), between machines."""
    TREE = "tree"
    """Over two binary trees (C.4), between machines."""
    HIERARCHICAL = "hierarchical"
    """Inside each machine, then around a ring of machines (C.7)."""
    NONE = "none"
    """No all-reduce: there is a server."""


class PlacementRule(StrEnum):
    """How weight tensors are shared out over the units of a distributed server."""

    EQUAL = "equal"
    """1/N of the weights on every unit, as equation 4.12 assumes."""
    GREEDY = "greedy"
    """Algorithm 3.7: tensors in list order, each to the least loaded unit."""
    LPT = "lpt"
    """The same with the largest tensor first (longest processing time)."""
    BYTES = "bytes"
    """One flat buffer cut into N pieces that differ by one element at most."""


TRAINING_MODES = (UpdateMode.SYNC_JOIN, UpdateMode.SYNC_SPLIT, UpdateMode.ASYNC)
THESIS_SERVERS = (ServerKind.CENTRAL, ServerKind.DISTRIBUTED)
SERVERS = (*THESIS_SERVERS, ServerKind.SHARDED, ServerKind.BYTEPS, ServerKind.ALLREDUCE)
DEFAULT_SERVERS = (*THESIS_SERVERS, ServerKind.ALLREDUCE)
"""Servers that need no machines whose number nobody said."""
COLLECTIVES = tuple(one for one in Collective if one is not Collective.NONE)
THESIS_SCHEDULES = (Schedule.BEST, Schedule.WORST, Schedule.MEAN, Schedule.SEMAPHORE)
CENTRAL_SCHEDULES = (*THESIS_SCHEDULES, Schedule.FAIR)
SHARDED_SCHEDULES = (Schedule.FAIR, Schedule.PIPELINED)
SCHEDULES = (*CENTRAL_SCHEDULES, Schedule.PIPELINED)
SIMULATED_SERVERS = (ServerKind.CENTRAL, ServerKind.DISTRIBUTED, ServerKind.SHARDED)
SIMULATED_SCHEDULES = (Schedule.SEMAPHORE, Schedule.FAIR)
RUN_SERVERS = (ServerKind.CENTRAL, ServerKind.DISTRIBUTED, ServerKind.SHARDED, ServerKind.ALLREDUCE)
RUN_PLACEMENTS = (PlacementRule.BYTES, PlacementRule.GREEDY, PlacementRule.LPT)
"""Placements that real tensors can have: equal to the last element is what ``bytes`` means."""


def collectives_tried(collective: Collective) -> tuple[Collective, ...]:
    """Return the collectives that are compared for one, all of them for the best.

    Example:
        >>> [str(one) for one in collectives_tried(Collective.RING)], len(collectives_tried(Collective.BEST))
        (['ring'], 5)
    """
    if collective is not Collective.BEST:
        return (collective,)
    return tuple(one for one in COLLECTIVES if one is not Collective.BEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One candidate.

    Attributes:
        workers: Number of workers N, at least 1.
        mode: When gradients meet the weights.
        server: Where the weights live.
        schedule: How the central server's link is shared; ``none`` elsewhere.
        placement: How a distributed server's tensors are placed; ``equal`` elsewhere.
        servers: Machines that hold a shard each, for a sharded server; 1 elsewhere.
        collective: How an all-reduce goes; ``none`` elsewhere.
    """

    workers: int
    mode: UpdateMode
    server: ServerKind
    schedule: Schedule = Schedule.NONE
    placement: PlacementRule = PlacementRule.EQUAL
    servers: int = 1
    collective: Collective = Collective.NONE


Count = TypeVar("Count", int, "NDArray[np.int64]")


def gradients_alone(server: ServerKind, schedule: Schedule) -> bool:
    """Return whether all of an exchange may go on behind the backward pass, and not its half of gradients alone.

    Weights that are fetched before a batch, and gradients that are given after it, are two halves.
    """
    return server is ServerKind.ALLREDUCE or schedule is Schedule.PIPELINED


def weight_holders(server: ServerKind, workers: Count, shards: int | None) -> Count:
    """Return how many machines, or workers, hold a share of the weights; 0 without a server.

    Args:
        server: Where the weights live.
        workers: N, one or an array.
        shards: Machines of a server that has several; None for as many as workers.

    Example:
        >>> weight_holders(ServerKind.CENTRAL, 8, None), weight_holders(ServerKind.SHARDED, 8, 3)
        (1, 3)
    """
    if server is ServerKind.DISTRIBUTED:
        return workers
    if server in {ServerKind.SHARDED, ServerKind.BYTEPS}:
        return workers if shards is None else workers * 0 + shards
    return workers * 0 + (server is ServerKind.CENTRAL)


Word = TypeVar("Word", bound=str)


def one_of(what: str, value: str, allowed: Iterable[Word]) -> Word:
    """Return the member of ``allowed`` that ``value`` names.

    Raises:
        PlanError: ``value`` is none of them.

    Example:
        >>> one_of("mode", "async", TRAINING_MODES)
        <UpdateMode.ASYNC: 'async'>
    """
    words = {str(member): member for member in allowed}
    found = words.get(str(value))
    if found is None:
        hint = suggestion(str(value), words)
        raise PlanError(f'{what} = "{value}" is unknown. {hint}Allowed: {", ".join(words)}.')
    return found


def some_of(what: str, values: str | Iterable[str] | None, allowed: tuple[Word, ...]) -> tuple[Word, ...]:
    """Return the members of ``allowed`` that ``values`` names; all of them for None.

    Raises:
        PlanError: A value is none of them, or there is none at all.
    """
    if values is None:
        return allowed
    names = (values,) if isinstance(values, str) else tuple(values)
    if not names:
        raise PlanError(f"{what} is empty; give at least one of {', '.join(allowed)}.")
    return tuple(dict.fromkeys(one_of(what, name, allowed) for name in names))
