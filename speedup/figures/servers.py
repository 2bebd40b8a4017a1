"""Which server is best, over the links' speed and the number of workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speedup.errors import PlanError, UnitError
from speedup.estimates import tabulate
from speedup.figures.kinds import ALONE, SERVER_WORDS, label_of
from speedup.figures.template import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    add_line,
    add_star,
    doublings,
    faint,
    new_figure,
)
from speedup.limits import with_transfers
from speedup.plans import ServerKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    import plotly.graph_objects as go

    from speedup.tables import Estimate, EstimateTable, Family, Floats, Integers

LOOK = {
    ServerKind.NONE: ("1", GREY),
    ServerKind.CENTRAL: ("C", VERMILION),
    ServerKind.DISTRIBUTED: ("D", BLUE),
    ServerKind.SHARDED: ("S", ORANGE),
    ServerKind.ALLREDUCE: ("A", GREEN),
    ServerKind.BYTEPS: ("B", PURPLE),
}
_SERVERS = tuple(LOOK)
_RATIOS = np.geomspace(1e-3, 10, 65)
_COLUMNS, _ROWS = 11, 7
_SAME = 1 + 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    """The best kind of plan at every ratio and count.

    Attributes:
        kinds: What is compared.
        ratios: t_comm / t_grad, shape (R,).
        workers: Counts, shape (N,).
        best: Index into the kinds, shape (N, R).
        speedup: Its speedup, likewise.
    """

    kinds: list[Family]
    ratios: Floats
    workers: Integers
    best: Integers
    speedup: Floats

    @property
    def servers(self) -> Integers:
        """Index into the servers, shape (N, R)."""
        return np.asarray([_SERVERS.index(kind.server) for kind in self.kinds])[self.best]


def servers_figure(
    table: EstimateTable, *, choice: Estimate | None = None, ratios: Iterable[float] | None = None
) -> go.Figure:
    """Draw the best server over t_comm / t_grad and workers: letters say which, lines where another overtakes it.

    Every column is the table with transfers of another length, all else equal. One worker alone is a rival, too. Of
    servers that are as fast as each other the first of the table is shown. Where times vary, ``auto`` answers by
    queueing theory here and never by simulation; with many workers that takes seconds, and less with fewer ``ratios``.

    Args:
        table: Estimates; its kinds of plan and worker counts are compared.
        choice: A plan of the table to mark.
        ratios: t_comm / t_grad to consider, ascending; by default 0.001 to 10.

    Returns:
        The figure, to change or save.

    Raises:
        UnitError: A ratio is not above 0, or latency alone takes longer.
        PlanError: The table is of a run in phases, each of which has a ratio of its own.

    Example:
        >>> from speedup import estimate
        >>> table = estimate(t_grad=1.0, t_comm=0.1, workers=range(1, 17), shards=4)
        >>> figure = servers_figure(table, ratios=[0.001, 0.01, 0.1, 1])
        >>> figure.data[0].customdata[-1][0][0]
        'sync-join, shards and workers, pipelined'
    """
    if table.phases:
        raise PlanError(
            f"the {len(table.phases)} phases of this run have a ratio each. Draw one of them: "
            "estimate(profile.of_phase(profile.phases[0]), ...)."
        )
    asked = _RATIOS if ratios is None else np.array(sorted(ratios), dtype=np.float64)
    if not (asked.size and np.all(asked > 0)):
        raise UnitError("ratios must be numbers above 0, such as [0.01, 0.1, 1].")
    found = _map(table, asked)
    about = f"the fastest of {len(found.kinds)} kinds of plan, {table.batches:,} batches"
    figure = new_figure("The best server", about, x="t_comm / t_grad", y="workers N")
    _add_cells(figure, found)
    _add_crossovers(figure, found)
    _add_letters(figure, found)
    _scale(figure, found)
    _add_now(figure, table, choice)
    return figure


def _map(table: EstimateTable, ratios: Floats) -> _Map:
    """Return the best kind of plan everywhere, one table a ratio."""
    inputs = table.inputs
    moved_s = ratios * inputs.t_grad_s - inputs.latency_s
    kept = moved_s > 0
    if not kept.any():
        raise UnitError(f"ratios = {ratios[-1]:g} at most; the latency alone is more than that of t_grad.")
    counts, kinds = np.unique(table.workers), list(dict.fromkeys([ALONE, *table.families]))
    # Simulating thousands of cells would take minutes.
    method = "queueing" if inputs.varies and table.method == "auto" else table.method
    best, speedups = [], []
    for factor in moved_s[kept] / (inputs.t_comm_s - inputs.latency_s):
        changed = with_transfers(inputs, float(factor))
        one = tabulate(changed, kinds, counts, table.batches, method, table.placement)
        speedup = one.speedup.reshape(len(kinds), len(counts))
        # The first of those that are as fast as the fastest.
        fastest = np.argmax(speedup * _SAME >= speedup.max(axis=0), axis=0)
        best.append(fastest)
        speedups.append(speedup[fastest, np.arange(len(counts))])
    return _Map(kinds, ratios[kept], counts, np.stack(best, axis=1), np.stack(speedups, axis=1))


def _edges(values: Floats | Integers) -> Floats:
    """Return where the cell of each value begins, and where the last ends: halfway, on a logarithmic axis."""
    if len(values) == 1:
        return np.array([0.9 * values[0], 1.1 * values[0]])
    middle = np.sqrt(values[1:] * values[:-1])
    return np.asarray(np.concatenate([[values[0] ** 2 / middle[0]], middle, [values[-1] ** 2 / middle[-1]]]))


def _add_cells(figure: go.Figure, found: _Map) -> None:
    names = np.array([label_of(kind) for kind in found.kinds])[found.best]
    steps = [place / len(_SERVERS) for place in range(len(_SERVERS) + 1)]
    colours = [faint(colour, 0.35) for _, colour in LOOK.values()]
    figure.add_heatmap(
        x=_edges(found.ratios),
        y=_edges(found.workers),
        z=found.servers,
        zmin=-0.5,
        zmax=len(_SERVERS) - 0.5,
        colorscale=[
            stop
            for low, high, colour in zip(steps, steps[1:], colours, strict=False)
            for stop in ((low, colour), (high, colour))
        ],
        showscale=False,
        customdata=np.dstack([names, np.char.mod("%.3g", found.speedup)]),
        hovertemplate="%{customdata[0]}: speedup %{customdata[1]}<extra></extra>",
    )


def _add_crossovers(figure: go.Figure, found: _Map) -> None:
    """Draw a line along the edges of cells with unlike servers."""
    x, y, servers = _edges(found.ratios), _edges(found.workers), found.servers
    lines: list[tuple[float, float, float, float]] = []
    for row, column in zip(*np.nonzero(np.diff(servers, axis=1)), strict=True):
        lines.append((x[column + 1], x[column + 1], y[row], y[row + 1]))
    for row, column in zip(*np.nonzero(np.diff(servers, axis=0)), strict=True):
        lines.append((x[column], x[column + 1], y[row + 1], y[row + 1]))
    figure.add_scatter(
        x=[end for line in lines for end in (line[0], line[1], None)],
        y=[end for line in lines for end in (line[2], line[3], None)],
        mode="lines",
        name="as fast as each other",
        line={"color": GREY, "width": 2},
        hoverinfo="skip",
        showlegend=False,
        meta="crossovers",
    )


def _add_letters(figure: go.Figure, found: _Map) -> None:
    """Write letters on the regions, at some cells of each, and what they stand for into the legend."""
    grid = np.ix_(_some(found.workers, _ROWS), _some(found.ratios, _COLUMNS))
    x, y = np.meshgrid(found.ratios, found.workers)
    for index in np.unique(found.servers):
        server = _SERVERS[index]
        letter, colour = LOOK[server]
        own = found.servers == index
        shown = np.zeros_like(own)
        shown[grid] = own[grid]
        if not shown.any():
            # A region between the places of the grid has its letter all the same.
            places = np.argwhere(own)
            shown[tuple(places[len(places) // 2])] = True
        figure.add_scatter(
            x=x[shown],
            y=y[shown],
            mode="text",
            text=[f"<b>{letter}</b>"] * int(shown.sum()),
            hoverinfo="skip",
            showlegend=False,
            meta="letters",
        )
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=f"{letter}: {SERVER_WORDS[server]}",
            marker={"symbol": "square", "size": 13, "color": faint(colour, 0.5)},
        )


def _some(values: Floats | Integers, most: int) -> Integers:
    """Return places about evenly taken on a logarithmic axis, none at an edge where there are others."""
    logs = np.log(values.astype(np.float64))
    wanted = logs[0] + (np.arange(most) + 0.5) / most * (logs[-1] - logs[0])
    return np.unique(np.abs(logs[:, None] - wanted).argmin(axis=0))


def _add_now(figure: go.Figure, table: EstimateTable, choice: Estimate | None) -> None:
    ratio = table.inputs.t_comm_s / table.inputs.t_grad_s
    add_line(figure, ratio, f"here {ratio:.3g}", "dash")
    if choice is not None:
        add_star(figure, ratio, choice.workers)


def _scale(figure: go.Figure, found: _Map) -> None:
    x, y = np.log10(_edges(found.ratios)), np.log10(_edges(found.workers))
    figure.update_xaxes(type="log", range=[x[0], x[-1]], dtick=1, exponentformat="none", showgrid=False)
    figure.update_yaxes(
        type="log", range=[y[0], y[-1]], tickvals=doublings(found.workers[0], found.workers[-1]), showgrid=False
    )
    figure.update_layout(hovermode="closest")
