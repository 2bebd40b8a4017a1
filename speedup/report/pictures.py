"""The figures of the page, with what stands for each in words and in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from speedup.cases import describe
from speedup.figures import TEMPLATE, speedup_figure
from speedup.report.live import label
from speedup.report.markup import element, table
from speedup.report.model import thinned
from speedup.text import ratio

if TYPE_CHECKING:
    from speedup.recommendation import Recommendation
    from speedup.report.markup import Markup
    from speedup.report.model import LiveModel

_SHOWN_COUNTS = 12
_RATIOS = np.logspace(-3, 1, 41)
_MAP_ROWS = 32
_FILLS = ("#bbbbbb", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#f0e442")


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
        place = element("div", id=self.name, class_="figure", role="img", aria_label=self.words)
        if self.numbers is None:
            return place
        return element("figure", place, element("details", element("summary", "The same as a table"), self.numbers))


def speedup_picture(answer: Recommendation, model: LiveModel) -> Picture:
    """Return speedup against workers, of every kind of plan in the table."""
    choice = answer.choice
    words = (
        f"Speedup against workers, 1 to {answer.table.workers.max()}, a curve for each kind of plan, with the ideal line. "
        f"Chosen: {describe(choice)}, speedup {ratio(choice.speedup)}."
    )
    return Picture("figure-speedup", speedup_figure(answer.table), words, _speedups(answer, model))


def _speedups(answer: Recommendation, model: LiveModel) -> Markup:
    """Return the speedup of every kind at some counts."""
    counts = thinned(model.counts, _SHOWN_COUNTS, keep={answer.choice.workers})
    places = np.searchsorted(model.counts, counts)
    rows: list[tuple[object, ...]] = []
    for kind in model.kinds:
        of_kind = model.rows(kind)[places]
        speedups = [ratio(float(model.table.speedup[row])) if row >= 0 else "-" for row in of_kind]
        rows.append((label(kind), *speedups))
    return table(("kind of plan", *map(str, counts)), rows, caption="Speedup by number of workers")


def front_picture(answer: Recommendation) -> Picture:
    """Return time against cost of the plans that no other beats in both."""
    raise NotImplementedError


def curves_picture(model: LiveModel) -> Picture:
    """Return the curves that the sliders move; the script puts the numbers in."""
    drawn, figure = speedup_figure(model.table).data, go.Figure()
    counts = model.counts.tolist()
    for kind in model.kinds:
        look = drawn[kind.index]
        style = {"line": look.line, "marker": look.marker, "mode": "lines+markers" if len(counts) < 40 else "lines"}
        figure.add_scatter(x=counts, y=[], name=label(kind), hovertemplate="%{y:.3g}", **style)
    ends = [counts[0], counts[-1]]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="ideal, S = N", line={"color": "#666666", "dash": "dot"}, hoverinfo="skip"
    )
    edge = {"x": counts, "y": [], "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(**edge, showlegend=False)
    figure.add_scatter(**edge, fill="tonexty", fillcolor="rgba(120,120,120,0.25)", name="90 % of draws, best kind")
    star = {"symbol": "star", "size": 16, "color": "#000000"}
    figure.add_scatter(x=[], y=[], mode="markers", name="best", marker=star, hoverinfo="skip")
    figure.update_layout(template=TEMPLATE, height=460, font={"color": "#222222"})
    figure.update_xaxes(title="workers N")
    figure.update_yaxes(title="speedup S")
    return Picture("live-curves", figure, "Speedup against workers of every kind of plan, with the sliders' numbers.")


def map_picture(model: LiveModel) -> Picture:
    """Return the map of the best kind of plan; the script puts the numbers in."""
    figure, counts = go.Figure(), thinned(model.counts, _MAP_ROWS, keep=set())
    steps = [(edge, _fill(index)) for index in range(len(model.kinds)) for edge in _edges(index, len(model.kinds))]
    figure.add_heatmap(
        x=_RATIOS.tolist(),
        y=counts.tolist(),
        z=[],
        zmin=-0.5,
        zmax=len(model.kinds) - 0.5,
        colorscale=steps,
        showscale=False,
        hovertemplate="t_comm / t_grad = %{x:.3g}, %{y} workers<br>%{text}<extra></extra>",
    )
    for index, kind in enumerate(model.kinds):
        figure.add_scatter(
            x=[],
            y=[],
            mode="markers+text",
            text=[chr(ord("A") + index)],
            name=f"{chr(ord('A') + index)} {label(kind)}",
            marker={"symbol": "square", "size": 18, "color": _fill(index), "line": {"color": "#222222", "width": 1}},
            textfont={"color": "#000001"},
            hoverinfo="skip",
        )
    here = {"symbol": "x", "size": 13, "color": "#000001"}
    figure.add_scatter(x=[], y=[], mode="markers", name="now", marker=here, hoverinfo="skip")
    figure.update_layout(template=TEMPLATE, height=460, font={"color": "#222222"}, hovermode="closest")
    figure.update_xaxes(type="log", title="t_comm / t_grad", dtick=1)
    figure.update_yaxes(title="workers N")
    return Picture("live-map", figure, "Best kind of plan by t_comm / t_grad and workers, with the sliders' numbers.")


def _fill(index: int) -> str:
    return _FILLS[index % len(_FILLS)]


def _edges(index: int, count: int) -> tuple[float, float]:
    return index / count, (index + 1) / count
