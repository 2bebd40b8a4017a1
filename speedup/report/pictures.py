"""The figures of the page, with what stands for each in words and in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speedup.cases import describe
from speedup.cost import show_cost
from speedup.figures import efficiency_figure, front_figure, limits_figure, speedup_figure
from speedup.figures.kinds import SERVER_WORDS, colour_of, dash_of, label_of, marker_of, ranked
from speedup.figures.servers import LOOK
from speedup.figures.template import GREY, add_star, doublings, faint, new_figure, spread_out, workers_axis
from speedup.plans import ServerKind, UpdateMode
from speedup.report.markup import element, table
from speedup.report.model import thinned
from speedup.text import ratio
from speedup.units import show_seconds

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from speedup.recommendation import Recommendation
    from speedup.report.markup import Markup
    from speedup.report.model import LiveModel

_SHOWN_COUNTS = 12
_RATIOS = np.geomspace(1e-3, 10, 49)
_TOLD_RATIOS = (0.001, 0.01, 0.1, 1, 10)
_MAP_ROWS, _MOST_DOTS = 32, 1000
_MARKED, _DRAWN = 9, 6


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: Its identity in the page.
        figure: The figure.
        words: What it shows, for those who do not see it.
        numbers: The same as a table; None where one stands beside it already.
    """

    name: str
    figure: go.Figure
    words: str
    numbers: Markup | None = None

    def markup(self) -> Markup:
        """Return where the page's script draws it."""
        parts = [element("div", id=self.name, class_="figure")]
        if self.numbers is not None:
            parts.append(element("details", element("summary", "The same as a table"), self.numbers))
        return element("figure", *parts, aria_label=self.words)


def speedup_picture(answer: Recommendation, model: LiveModel) -> Picture:
    """Return speedup against workers, of every kind of plan in the table."""
    choice = answer.choice
    words = (
        f"Speedup against workers, 1 to {answer.table.workers.max()}, a curve for each kind of plan, with the ideal "
        f"line. Chosen: {describe(choice)}, speedup {ratio(choice.speedup)}."
    )
    numbers = _by_count(answer, model, [ratio(one) for one in model.table.speedup], "Speedup by number of workers")
    return Picture("figure-speedup", speedup_figure(model.shown, choice=choice), words, numbers)


def efficiency_picture(answer: Recommendation, model: LiveModel) -> Picture:
    """Return efficiency against workers."""
    choice, table_ = answer.choice, model.table
    words = f"Efficiency against workers. Chosen: {describe(choice)}, {choice.efficiency:.0%}."
    numbers = _by_count(answer, model, [f"{one:.0%}" for one in table_.efficiency], "Efficiency by number of workers")
    return Picture("figure-efficiency", efficiency_figure(model.shown, choice=choice), words, numbers)


def _by_count(answer: Recommendation, model: LiveModel, cells: list[str], caption: str) -> Markup:
    """Return a cell of every row as a table of kinds by some counts."""
    counts = thinned(model.counts, _SHOWN_COUNTS, keep={answer.choice.workers})
    places = np.searchsorted(model.counts, counts)
    rows: list[tuple[object, ...]] = [
        (label_of(kind.family), *(cells[row] if row >= 0 else "-" for row in model.rows(kind)[places]))
        for kind in model.kinds
    ]
    return table(("kind of plan", *map(str, counts)), rows, caption=caption)


def limits_picture(answer: Recommendation) -> Picture | None:
    """Return what an iteration of the chosen kind is made of; None for one worker alone."""
    choice, table_ = answer.choice, answer.table
    if choice.mode is UpdateMode.SEQUENTIAL:
        return None
    figure = limits_figure(table_, choice=choice)
    words = f"What an iteration is made of, against workers: {', '.join(bar.name for bar in figure.data if bar.name)}."
    return Picture("figure-limits", figure, words, _terms(answer))


def _terms(answer: Recommendation) -> Markup:
    table_, choice = answer.table, answer.choice
    rows_of_kind = table_.take(table_.family == table_.index_of(choice))
    counts = thinned(rows_of_kind.workers, _SHOWN_COUNTS, keep={choice.workers})
    head = ("workers", "iteration", "computing", "waiting for the slowest", "moving", "of it hidden", "waiting")
    rows: list[tuple[object, ...]] = []
    for one in rows_of_kind.take(np.isin(rows_of_kind.workers, counts)):
        terms = (one.t_iter_s, one.t_grad_worker_s, one.straggler_s, one.move_s, one.hidden_s, one.wait_s)
        rows.append((str(one.workers), *(show_seconds(term) if term else "-" for term in terms)))
    return table(head, rows, caption="What an iteration is made of")


def front_picture(answer: Recommendation) -> Picture | None:
    """Return cost against time; None without a price."""
    if not answer.front:
        return None
    words = f"Cost against time, {len(answer.front)} plans that no other beats in both, and the choice."
    figure = front_figure(answer)
    for cloud in figure.select_traces({"meta": "others"}):
        step = -(-len(cloud.x) // _MOST_DOTS)
        cloud.update(x=cloud.x[::step], y=cloud.y[::step])
    until = "to target" if answer.goal.to_target else "run"
    rows: list[tuple[object, ...]] = [
        (describe(one.plan), str(one.batch or "?"), show_seconds(one.time_s), show_cost(one.cost or 0.0))
        for one in answer.front
    ]
    numbers = table(("plan", "batch", until, "cost"), rows, caption="Plans that no other beats in time and in cost")
    return Picture("figure-front", figure, words, numbers)


def curves_picture(model: LiveModel) -> Picture:
    """Return the curves that the sliders move; the script puts the numbers in."""
    figure, counts = new_figure("Speedup", x="workers N", y="speedup S"), model.counts.tolist()
    workers_axis(figure, model.counts)
    edge = {"x": counts, "y": [], "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(**edge, showlegend=False, meta="low")
    band = {"fill": "tonexty", "fillcolor": faint(GREY, 0.3), "name": "90 % of draws, best kind"}
    figure.add_scatter(**edge, **band, meta="high")
    first = ranked(model.table)[:_DRAWN]
    for kind in model.kinds:
        figure.add_scatter(
            x=counts,
            y=[],
            mode="lines+markers",
            name=label_of(kind.computed),
            line={"color": colour_of(kind.computed), "dash": dash_of(kind.computed)},
            marker={"symbol": marker_of(kind.computed), "size": 7, "maxdisplayed": _MARKED},
            hovertemplate="%{y:.3g}",
            visible=True if kind.index in first else "legendonly",
            meta="curve",
        )
    dashed = {"color": GREY, "dash": "dash", "width": 1.5}
    figure.add_scatter(
        x=counts, y=counts, mode="lines", name="ideal, S = N", line=dashed, hoverinfo="skip", meta="ideal"
    )
    add_star(figure, None, 0.0, "")
    figure.data[-1].update(name="the best now")
    figure.add_vline(x=counts[-1], line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_layout(legend_traceorder="normal")
    head = ("kind of plan", *map(str, thinned(model.counts, _SHOWN_COUNTS, keep=set())))
    numbers = table(head, [], caption="Speedup by number of workers", id_="live-curves-table")
    words = "Speedup against workers of every kind of plan, with the sliders' numbers."
    return Picture("live-curves", figure, words, numbers)


def map_picture(model: LiveModel) -> Picture:
    """Return the map of the best server; the script puts the numbers in."""
    figure = new_figure("The best server", x="t_comm / t_grad", y="workers N")
    counts = thinned(model.counts, _MAP_ROWS, keep=set())
    used = [server for server in LOOK if server in {kind.family.server for kind in model.kinds} | {ServerKind.NONE}]
    fills = [faint(LOOK[server][1], 0.35) for server in used]
    steps = [(edge / len(used), fill) for place, fill in enumerate(fills) for edge in (place, place + 1)]
    figure.add_heatmap(
        x=_RATIOS.tolist(),
        y=counts.tolist(),
        z=[],
        zmin=-0.5,
        zmax=len(used) - 0.5,
        colorscale=steps,
        showscale=False,
        hovertemplate="t_comm / t_grad = %{x:.3g}, %{y} workers<br>%{text}<extra></extra>",
        meta="cells",
    )
    for server in used:
        letter, colour = LOOK[server]
        figure.add_scatter(
            x=[], y=[], mode="text", text=f"<b>{letter}</b>", hoverinfo="skip", showlegend=False, meta="letters"
        )
        square = {"symbol": "square", "size": 13, "color": faint(colour, 0.5)}
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=f"{letter}: {SERVER_WORDS[server]}", marker=square, meta="key"
        )
    add_star(figure, None, 0.0, "")
    figure.data[-1].update(name="now")
    ends = np.log10([_RATIOS[0], _RATIOS[-1]])
    figure.update_xaxes(type="log", range=ends, dtick=1, exponentformat="none", showgrid=False)
    low, high = float(counts[0]), float(counts[-1])
    figure.update_yaxes(showgrid=False, rangemode="normal")
    if spread_out(counts):
        figure.update_yaxes(type="log", tickvals=doublings(low, high), range=np.log10([low / 1.35, high * 1.12]))
    figure.update_layout(hovermode="closest")
    head = ("workers", *(f"{one:g}" for one in _TOLD_RATIOS))
    numbers = table(head, [], caption="Best kind of plan by workers and t_comm / t_grad", id_="live-map-table")
    words = "The best server by t_comm / t_grad and workers, with the sliders' numbers."
    return Picture("live-map", figure, words, numbers)
