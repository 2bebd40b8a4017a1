"""What limits: the terms of an iteration against workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.figures.kinds import label_of
from speedup.figures.template import BLUE, GREEN, ORANGE, PURPLE, SKY, add_star, new_figure, seconds_axis
from speedup.units import show_seconds

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from speedup.tables import Estimate, EstimateTable, Floats, Integers

_BARS = 24
_LOOK = {
    "computing": (GREEN, ""),
    "waiting for the slowest": (ORANGE, "x"),
    "moving": (BLUE, "/"),
    "waiting": (PURPLE, "."),
    "moving, hidden behind computing": (SKY, "\\"),
}


def limits_figure(table: EstimateTable, *, choice: Estimate | None = None) -> go.Figure:
    """Draw what an iteration of one kind of plan is made of, against workers.

    The bars above 0 add up to the iteration. What is moved while gradients are computed takes no time of its own, and
    stands below.

    Args:
        table: Estimates.
        choice: The plan whose kind is drawn, and marked; by default the fastest of the table, unmarked.

    Returns:
        The figure, to change or save.

    Example:
        >>> from speedup import estimate
        >>> figure = limits_figure(estimate("resnet34", network="1gbit", modes="sync-join", servers="central"))
        >>> [bar.name for bar in figure.data]
        ['computing', 'moving', 'waiting']
    """
    plan = choice or table[int(np.argmin(table.time_s))]
    index = table.index_of(plan)
    rows = table.take(table.family == index)
    rows = rows.take(np.isin(rows.workers, _few(rows.workers, plan.workers)))
    figure = new_figure("Parts of an iteration", label_of(table.families[index]), x="workers N", y="iteration")
    counts = [str(count) for count in rows.workers]
    for name, seconds in _terms(rows).items():
        colour, pattern = _LOOK[name]
        figure.add_bar(
            x=counts,
            y=seconds,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern, "fillmode": "overlay", "solidity": 0.25}},
            customdata=np.abs(seconds) / rows.t_iter_s,
            hovertemplate="%{y:.3s}s, %{customdata:.0%}",
        )
    if choice is not None:
        _mark(figure, rows, choice)
    figure.update_layout(barmode="relative", bargap=0.25)
    figure.update_xaxes(type="category")
    figure.update_yaxes(**seconds_axis(float(rows.t_iter_s.max())))
    return figure


def _few(counts: Integers, wanted: int) -> Integers:
    """Return the counts that a narrow page has room for, evenly taken, the wanted one among them."""
    if len(counts) <= _BARS:
        return counts
    places = np.unique(np.geomspace(1, len(counts), _BARS).round().astype(int)) - 1
    return np.union1d(np.sort(counts)[places], wanted)


def _terms(rows: EstimateTable) -> dict[str, Floats]:
    """Return the terms [s] by name; those that are nothing everywhere are left out."""
    terms = {
        "computing": rows.t_grad_worker_s,
        "waiting for the slowest": rows.straggler_s,
        "moving": rows.move_s - rows.hidden_s,
        "waiting": rows.wait_s,
        "moving, hidden behind computing": -rows.hidden_s,
    }
    return {name: seconds for name, seconds in terms.items() if np.any(seconds)}


def _mark(figure: go.Figure, rows: EstimateTable, choice: Estimate) -> None:
    top_s = float(rows.t_iter_s[rows.workers == choice.workers][0])
    add_star(figure, str(choice.workers), top_s, show_seconds(choice.t_iter_s))
