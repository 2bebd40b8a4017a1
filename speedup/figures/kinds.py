"""How kinds of plan look: the mode gives colour and marker, how links are shared its filling, the server the dash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.figures.template import BLUE, GREEN, GREY, VERMILION
from speedup.plans import Collective, Schedule, ServerKind, UpdateMode
from speedup.tables import Family

if TYPE_CHECKING:
    from speedup.tables import EstimateTable

_COLOUR = {UpdateMode.SYNC_JOIN: BLUE, UpdateMode.SYNC_SPLIT: VERMILION, UpdateMode.ASYNC: GREEN}
_DASH = {
    ServerKind.DISTRIBUTED: "solid",
    ServerKind.ALLREDUCE: "dashdot",
    ServerKind.CENTRAL: "dash",
    ServerKind.SHARDED: "longdash",
    ServerKind.BYTEPS: "longdashdot",
}
_SHAPE = {UpdateMode.SYNC_JOIN: "circle", UpdateMode.SYNC_SPLIT: "square", UpdateMode.ASYNC: "diamond"}
_FILLED = {
    Schedule.NONE: "",
    Schedule.MEAN: "-open",
    Schedule.FAIR: "-dot",
    Schedule.SEMAPHORE: "-cross-open",
    Schedule.BEST: "-x-open",
    Schedule.WORST: "-open-dot",
    Schedule.PIPELINED: "-x",
}
# Apart, since the words of a schedule and of a collective may be the same.
_FILLED_IN_ALLREDUCE = {
    Collective.NONE: "",
    Collective.BEST: "",
    Collective.RING: "-open",
    Collective.HALVING_DOUBLING: "-dot",
    Collective.RECURSIVE_DOUBLING: "-cross-open",
    Collective.TREE: "-x-open",
    Collective.HIERARCHICAL: "-open-dot",
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
    if kind.mode not in _SHAPE:
        return "hexagram"
    served = kind.server is not ServerKind.ALLREDUCE
    return _SHAPE[kind.mode] + (_FILLED[kind.schedule] if served else _FILLED_IN_ALLREDUCE[kind.collective])


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


def ranked(table: EstimateTable) -> list[int]:
    """Return the kinds of a table, as indices, by the highest speedup that each of them reaches."""
    speedup = table.speedup
    best = [speedup[table.family == index].max(initial=0.0) for index in range(len(table.families))]
    return [int(index) for index in np.argsort(-np.array(best), kind="stable")]
