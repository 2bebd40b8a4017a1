"""Figures of results: Plotly, one template, readable without colour, nothing loaded from a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from speedup.files import write_atomically
from speedup.plans import Collective, Schedule, ServerKind, UpdateMode

if TYPE_CHECKING:
    from pathlib import Path

    from speedup.tables import EstimateTable, Family

# Okabe and Ito's colours tell apart for every kind of colour vision; the dash tells the server as well.
_COLOUR = {UpdateMode.SYNC_JOIN: "#0072B2", UpdateMode.SYNC_SPLIT: "#D55E00", UpdateMode.ASYNC: "#009E73"}
_DASH = {
    ServerKind.CENTRAL: "dash",
    ServerKind.DISTRIBUTED: "solid",
    ServerKind.SHARDED: "longdash",
    ServerKind.BYTEPS: "longdashdot",
    ServerKind.ALLREDUCE: "dashdot",
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, sans-serif", "size": 14},
        "hovermode": "x unified",
        "legend": {"title": "mode, server, schedule or collective"},
        "margin": {"l": 60, "r": 20, "t": 60, "b": 60},
        # Plotly 7 puts a button into every figure that uploads it.
        "modebar": {"remove": ["sendChartToCloud"]},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": {"gridcolor": "#e5e5e5", "linecolor": "#666666", "ticks": "outside"},
        "yaxis": {"gridcolor": "#e5e5e5", "linecolor": "#666666", "ticks": "outside", "rangemode": "tozero"},
    }
)


def speedup_figure(table: EstimateTable) -> go.Figure:
    """Draw speedup against workers, one curve a kind of plan, with the ideal S = N.

    Args:
        table: Estimates.

    Returns:
        The figure, to change or save.

    Example:
        >>> from speedup import estimate
        >>> len(speedup_figure(estimate("squeezenet", servers="distributed")).data)
        4
    """
    figure = go.Figure()
    for index, family in enumerate(table.families):
        curve = table.take(table.family == index)
        figure.add_scatter(
            x=curve.workers,
            y=curve.speedup,
            mode="lines+markers" if len(curve) < 40 else "lines",
            name=_label(family),
            line={"color": _COLOUR.get(family.mode, "#000000"), "dash": _DASH.get(family.server, "dot")},
            marker={"symbol": _marker(family)},
            hovertemplate="%{y:.3g}",
        )
    ends = [int(table.workers.min()), int(table.workers.max())]
    figure.add_scatter(x=ends, y=ends, mode="lines", name="ideal, S = N", line={"color": "#666666", "dash": "dot"})
    times = f"t_grad = {table.t_grad_s:g} s, t_comm = {table.t_comm_s:g} s, D = {table.batches}"
    figure.update_layout(template=TEMPLATE, title=f"Predicted speedup<br><sub>{times}</sub>")
    figure.update_xaxes(title="workers N")
    figure.update_yaxes(title="speedup S")
    return figure


def _label(family: Family) -> str:
    refined = [str(one) for one in (family.schedule, family.collective) if one != "none"]
    return ", ".join([str(family.mode), str(family.server), *refined])


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


def _marker(family: Family) -> str:
    if family.server is ServerKind.ALLREDUCE:
        return _MARKERS[family.collective]
    return _MARKERS[family.schedule]


def save_figure(figure: go.Figure, path: str | Path) -> Path:
    """Write a figure as one self-contained HTML page, atomically.

    Raises:
        FileError: It cannot be written there.
    """
    page = figure.to_html(include_plotlyjs=True, config={"displaylogo": False, "responsive": True})
    return write_atomically(path, page)
