"""How kinds of plan look: the mode gives the colour, the server the dash, and how links are shared the marker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from speedup.figures.template import BLUE, GREEN, GREY, VERMILION
from speedup.plans import Collective, Schedule, ServerKind, UpdateMode
from speedup.tables import Family

if TYPE_CHECKING:
    from speedup.tables import Estimate, EstimateTable

_COLOUR = {UpdateMode.SYNC_JOIN: BLUE, UpdateMode.SYNC_SPLIT: VERMILION, UpdateMode.ASYNC: GREEN}
_DASH = {
    ServerKind.DISTRIBUTED: "solid",
    ServerKind.ALLREDUCE: "dashdot",
    ServerKind.CENTRAL: "dash",
    ServerKind.SHARDED: "longdash",
    ServerKind.BYTEPS: "longdashdot",
}
_MARKERS = {
    Schedule.BEST: "triangle-up",
    Schedule.WORST: "triangle-down",
    Schedule.MEAN: "circle",
    Schedule.SEMAPHORE: "square",
    Schedule.FAIR: "cross",
    Schedule.PIPELINED: "hexagon",
    Schedule.NONE: "diamond",
    Collective.BEST: "star",
    Collective.RING: "circle-open",
    Collective.HALVING_DOUBLING: "square-open",
    Collective.RECURSIVE_DOUBLING: "triangle-up-open",
    Collective.TREE: "triangle-down-open",
    Collective.HIERARCHICAL: "hexagon-open",
}
ALONE = Family(UpdateMode.SEQUENTIAL, ServerKind.NONE, Schedule.NONE)
SERVER_WORDS = {
    ServerKind.CENTRAL: "central server",
    ServerKind.DISTRIBUTED: "distributed server",
    ServerKind.SHARDED: "sharded server",
    ServerKind.ALLREDUCE: "all-reduce",
    ServerKind.BYTEPS: "shards and workers",
    ServerKind.NONE: "one worker alone",
}


def colour_of(kind: Family) -> str:
    """Return the colour of a kind of plan."""
    return _COLOUR.get(kind.mode, GREY)


def dash_of(kind: Family) -> str:
    """Return the dash of a kind of plan."""
    return _DASH.get(kind.server, "dot")


def marker_of(kind: Family) -> str:
    """Return the marker of a kind of plan."""
    return _MARKERS[kind.collective if kind.server is ServerKind.ALLREDUCE else kind.schedule]


def label_of(kind: Family) -> str:
    """Name a kind of plan.

    Example:
        >>> label_of(Family(UpdateMode.ASYNC, ServerKind.CENTRAL, Schedule.FAIR))
        'async, central server, fair'
    """
    if kind.mode is UpdateMode.SEQUENTIAL:
        return "one worker alone"
    refined = [str(one) for one in (kind.schedule, kind.collective) if one not in {"none", "best"}]
    if kind.schedule is Schedule.BEST:
        refined.append("best")
    return ", ".join([str(kind.mode), SERVER_WORDS[kind.server], *refined])


def index_of(table: EstimateTable, plan: Estimate) -> int:
    """Return the place of a plan's kind among those of a table; an all-reduce may have been chosen as the best one."""
    own = Family(plan.mode, plan.server, plan.schedule)
    return [replace(one, collective=own.collective) for one in table.families].index(own)


def ranked(table: EstimateTable) -> list[int]:
    """Return the kinds of a table, as indices, by the highest speedup that each of them reaches."""
    speedup = table.speedup
    best = [speedup[table.family == index].max(initial=0.0) for index in range(len(table.families))]
    return [int(index) for index in np.argsort(-np.array(best), kind="stable")]
