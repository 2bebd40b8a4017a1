"""Speedup and efficiency against workers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from speedup.figures.kinds import colour_of, dash_of, label_of, marker_of, ranked
from speedup.figures.template import (
    GREY,
    ORANGE,
    add_line,
    add_star,
    doublings,
    faint,
    new_figure,
    spread_out,
    workers_axis,
)
from speedup.measured import Measured
from speedup.plans import UpdateMode
from speedup.tables import LEVEL, Family
from speedup.units import show_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from speedup.tables import Estimate, EstimateTable, Floats, Integers
    from speedup.validation import Comparison

    Ran: TypeAlias = "Measured | Comparison"

_SHOWN = 6
_MARKED = 9
_WIDTH, _WIDER = 2.0, 3.0
_SAME = 0.01
_RAN = ("triangle-up", "x", "pentagon", "cross", "triangle-down", "hourglass", "star-diamond", "bowtie")
_ROOM = 1.12


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What is drawn against workers, as a function of speedup and workers."""

    title: str
    axis: str
    ideal: str
    text: str
    of: Callable[[Floats, Integers], Floats]


_SPEEDUP = _Quantity("Speedup", "speedup S", "ideal, S = N", ".3g", lambda speedup, _: speedup)
_EFFICIENCY = _Quantity(
    "Efficiency", "efficiency S / N", "ideal, 100%", ".0%", lambda speedup, workers: speedup / workers
)


def speedup_figure(
    table: EstimateTable,
    *,
    choice: Estimate | None = None,
    measured: Iterable[Ran] | None = None,
    measured_up_to: int | None = None,
) -> go.Figure:
    """Draw speedup against workers, one curve a kind of plan, with the ideal S = N.

    The six best kinds are shown, the others wait in the legend. Where the table has intervals, bands show them. Curves
    that lie on each other are drawn one wider than the other.

    Args:
        table: Estimates.
        choice: A plan of the table to mark.
        measured: Runs that were made, drawn over the curves; of several alike the mean, with their range.
        measured_up_to: Workers of the largest run that was made, from which on curves are dotted; by default that of
            ``measured``.

    Returns:
        The figure, to change or save.

    Example:
        >>> from speedup import recommend
        >>> answer = recommend("squeezenet", max_workers=16)
        >>> figure = speedup_figure(answer.table, choice=answer.choice)
        >>> figure.data[0].name, round(float(figure.data[0].y[-1]), 1)
        ('sync-join, distributed server', 14.8)
    """
    return _draw(_SPEEDUP, table, choice, list(measured or ()), measured_up_to)


def efficiency_figure(
    table: EstimateTable,
    *,
    choice: Estimate | None = None,
    measured: Iterable[Ran] | None = None,
    measured_up_to: int | None = None,
) -> go.Figure:
    """Draw efficiency, speedup by workers, against workers; everything else as ``speedup_figure``.

    Args:
        table: Estimates.
        choice: A plan of the table to mark.
        measured: Runs that were made.
        measured_up_to: Workers of the largest run that was made.

    Returns:
        The figure, to change or save.

    Example:
        >>> from speedup import estimate
        >>> figure = efficiency_figure(estimate("squeezenet", servers="distributed"))
        >>> figure.layout.yaxis.title.text
        'efficiency S / N'
    """
    return _draw(_EFFICIENCY, table, choice, list(measured or ()), measured_up_to)


def _draw(
    quantity: _Quantity,
    table: EstimateTable,
    choice: Estimate | None,
    measured: list[Ran],
    measured_up_to: int | None,
) -> go.Figure:
    figure = new_figure(quantity.title, _about(table), x="workers N", y=quantity.axis)
    logarithmic = workers_axis(figure, table.workers)
    if measured_up_to is None and measured:
        measured_up_to = max(_plan_of(one)[1] for one in measured)
    order = _order(table, choice)
    curves = [_Curve(quantity, table, index, measured_up_to) for index in order]
    for place, curve in enumerate(curves):
        curve.draw(figure, curves[place + 1 : _SHOWN], visible=True if place < _SHOWN else "legendonly")
    _add_ideal(figure, quantity, table.workers)
    top = max(curve.top for curve in curves[:_SHOWN])
    if measured:
        top = max(top, _add_measured(figure, quantity, table, measured))
    if choice is not None:
        _add_choice(figure, quantity, choice)
    if measured_up_to is not None and measured_up_to < table.workers.max():
        add_line(figure, measured_up_to, f"measured up to N = {measured_up_to}", "dot", inside=True)
    low = min(curve.bottom for curve in curves[:_SHOWN])
    _scale(figure, quantity, low, top, logarithmic=logarithmic)
    return figure


def _about(table: EstimateTable) -> str:
    bands = f"; bands: {LEVEL:.0%} intervals" if np.isfinite(table.low).any() else ""
    times = f"t_grad = {show_seconds(table.t_grad_s)}, t_comm = {show_seconds(table.t_comm_s)}"
    return f"{times}, {table.batches:,} batches{bands}"


def _order(table: EstimateTable, choice: Estimate | None) -> list[int]:
    """Return the kinds in the order of the legend: the chosen one, then from best to worst."""
    order = ranked(table)
    if choice is None:
        return order
    first = table.index_of(choice)
    return [first, *(index for index in order if index != first)]


class _Curve:
    """One kind of plan: its curve, and its band."""

    def __init__(self, quantity: _Quantity, table: EstimateTable, index: int, measured_up_to: int | None) -> None:
        rows = table.take(table.family == index)
        self.kind = table.families[index]
        self.name, self.text, self.x = label_of(self.kind), quantity.text, rows.workers
        self.y, self.low, self.high = (quantity.of(one, rows.workers) for one in (rows.speedup, rows.low, rows.high))
        self.known = self.x <= (np.inf if measured_up_to is None else measured_up_to)

    @property
    def top(self) -> float:
        """The highest value, band included."""
        return float(np.nanmax([self.y, self.high]))

    @property
    def bottom(self) -> float:
        """The lowest value, band included."""
        return float(np.nanmin([self.y, self.low]))

    def draw(self, figure: go.Figure, later: list[_Curve], *, visible: bool | str) -> None:
        """Add the traces; of a curve that later ones will cover, an edge stays to be seen."""
        # Those that are not shown come last in the legend, 1000 being the rank of all others.
        rank = 1000 if visible is True else 2000
        in_group = {"name": self.name, "legendgroup": self.name, "visible": visible, "legendrank": rank}
        if np.isfinite(self.low).any():
            self._draw_band(figure, in_group)
        width = _WIDTH + _WIDER * sum(self._same(one) for one in later)
        line = {"color": colour_of(self.kind), "width": width}
        if self.known.any():
            self._draw_part(figure, self.known, line | {"dash": dash_of(self.kind)}, in_group, "curve")
        if not self.known.all():
            self._draw_part(figure, ~self.known, line | {"dash": "dot"}, in_group, "extrapolated")
            self._draw_bridge(figure, line | {"dash": "dot"}, in_group)

    def _same(self, other: _Curve) -> bool:
        return np.array_equal(self.x, other.x) and np.allclose(self.y, other.y, rtol=_SAME, atol=0)

    def _draw_part(
        self, figure: go.Figure, rows: NDArray[np.bool_], line: dict[str, Any], in_group: dict[str, Any], meta: str
    ) -> None:
        figure.add_scatter(
            x=self.x[rows],
            y=self.y[rows],
            mode="lines+markers",
            showlegend=meta == "curve" or not self.known.any(),
            line=line,
            marker={"symbol": marker_of(self.kind), "size": 7 + line["width"], "maxdisplayed": _MARKED},
            customdata=self._intervals(rows),
            hovertemplate=f"%{{y:{self.text}}}%{{customdata}}",
            meta=meta,
            **in_group,
        )

    def _draw_bridge(self, figure: go.Figure, line: dict[str, Any], in_group: dict[str, Any]) -> None:
        """Join the two parts by a line of its own, so that the mouse reads the point between them once."""
        ends = np.flatnonzero(np.diff(self.known))
        for end in ends:
            figure.add_scatter(
                x=self.x[end : end + 2],
                y=self.y[end : end + 2],
                mode="lines",
                showlegend=False,
                line=line,
                hoverinfo="skip",
                meta="bridge",
                **in_group,
            )

    def _intervals(self, rows: NDArray[np.bool_]) -> list[str]:
        """Return the interval of each point in words; nothing where none is known."""
        return [
            f" [{low:{self.text}}, {high:{self.text}}]" if np.isfinite(low) else ""
            for low, high in zip(self.low[rows], self.high[rows], strict=True)
        ]

    def _draw_band(self, figure: go.Figure, in_group: dict[str, Any]) -> None:
        for edge, values in (("low", self.low), ("high", self.high)):
            figure.add_scatter(
                x=self.x,
                y=values,
                mode="lines",
                showlegend=False,
                line={"width": 0, "color": colour_of(self.kind)},
                fill="tonexty" if edge == "high" else None,
                fillcolor=faint(colour_of(self.kind)),
                hoverinfo="skip",
                meta=edge,
                **in_group,
            )


def _add_ideal(figure: go.Figure, quantity: _Quantity, counts: Integers) -> None:
    ends = np.unique(counts)
    figure.add_scatter(
        x=ends,
        y=quantity.of(ends.astype(np.float64), ends),
        mode="lines",
        name=quantity.ideal,
        line={"color": GREY, "dash": "dash", "width": 1.5},
        hoverinfo="skip",
        meta="ideal",
    )


def _add_choice(figure: go.Figure, quantity: _Quantity, choice: Estimate) -> None:
    value = float(quantity.of(np.array([choice.speedup]), np.array([choice.workers]))[0])
    text = f"<b>{choice.workers} worker{'s' * (choice.workers != 1)}: {value:{quantity.text}}</b>"
    add_line(figure, choice.workers, text, "longdash")
    add_star(figure, choice.workers, value)


def _plan_of(one: Ran) -> tuple[Family, int, float]:
    """Return the kind of plan of a run, its workers, and its batches per second."""
    if isinstance(one, Measured):
        plan = one.plan
        return Family(plan.mode, plan.server, plan.schedule), plan.workers, one.throughput
    from speedup.plans import Schedule, ServerKind  # noqa: PLC0415

    kind = Family(UpdateMode(one.mode), ServerKind(one.server), Schedule(one.schedule))
    return kind, one.workers, one.batches / one.measured_s


def _add_measured(figure: go.Figure, quantity: _Quantity, table: EstimateTable, measured: list[Ran]) -> float:
    """Add a trace of points for each kind of plan that ran, and return the highest point."""
    speedups: dict[Family, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in measured:
        kind, workers, rate = _plan_of(one)
        speedups[kind][workers].append(rate * table.t_grad_s)
    for place, (kind, by_count) in enumerate(speedups.items()):
        counts = np.array(sorted(by_count))
        low, mean, high = (
            quantity.of(np.array([end(by_count[count]) for count in counts]), counts) for end in (min, np.mean, max)
        )
        figure.add_scatter(
            x=counts,
            y=mean,
            mode="markers",
            name=f"measured: {label_of(kind)}",
            marker={
                # A point has no dash to tell its server.
                "symbol": _RAN[place % len(_RAN)],
                "size": 12,
                "color": ORANGE,
                "line": {"color": colour_of(kind), "width": 2},
            },
            error_y={"array": high - mean, "arrayminus": mean - low, "color": GREY, "thickness": 1.5},
            hovertemplate=f"%{{y:{quantity.text}}}",
            meta="measured",
        )
    return max(float(trace.y.max()) for trace in figure.data if trace.meta == "measured")


def _scale(figure: go.Figure, quantity: _Quantity, low: float, top: float, *, logarithmic: bool) -> None:
    if quantity is _EFFICIENCY:
        figure.update_yaxes(range=[0, max(1.0, top) * 1.05], tickformat=".0%")
    elif logarithmic and spread_out(top / low * 4):
        figure.update_yaxes(type="log", tickvals=doublings(low, top * _ROOM), range=np.log10([low, top * _ROOM**2]))
    else:
        figure.update_yaxes(range=[0, top * _ROOM])
