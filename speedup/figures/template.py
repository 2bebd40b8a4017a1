"""What all figures have in common: one template for light and one for dark pages, and colours that everybody can tell.

Nothing in a figure is told by colour alone: a curve has a dash and a marker as well, a bar a pattern.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
YELLOW = "#F0E442"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW)
"""Okabe and Ito's colours, which every kind of colour vision can tell apart; their black is left to the text."""
GREY = "#808080"
"""For what belongs to no kind of plan; readable on a light and on a dark page."""
CONFIG: dict[str, Any] = {
    "showSendToCloud": False,
    "displaylogo": False,
    "responsive": True,
    "toImageButtonOptions": {"format": "svg"},
}
"""What plotly.js is to be told where a figure is put into a page."""

# Plotly 7 puts a button into every figure that uploads it; without the others a narrow title has room beside the rest.
_BUTTONS_LEFT_OUT = ("sendChartToCloud", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d")
_WIDE = 32
_THOUSAND = 1000.0
_LETTERS = 52  # of a line that a narrow page has room for


def _template(ink: str, paper: str, grid: str) -> go.layout.Template:
    axis: dict[str, Any] = {
        "gridcolor": grid,
        "linecolor": ink,
        "zerolinecolor": grid,
        "ticks": "outside",
        "tickcolor": grid,
    }
    axis |= {"automargin": True, "title": {"standoff": 8}}
    return go.layout.Template(
        layout={
            "colorway": COLOURS,
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": ink},
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": paper, "bordercolor": GREY, "font": {"color": ink, "size": 12}, "namelength": -1},
            # Below the curves, where it covers none of them and a narrow page has room for it.
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "xref": "container",
                "x": 0.01,
                "maxheight": 0.32,
                "itemwidth": 40,
                "traceorder": "normal",
                "bgcolor": paper,
                "font": {"size": 12},
            },
            "margin": {"l": 16, "r": 16, "t": 40, "b": 16},
            "modebar": {"remove": _BUTTONS_LEFT_OUT, "bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": ink},
            "paper_bgcolor": paper,
            "plot_bgcolor": paper,
            "title": {
                "x": 0,
                "xref": "container",
                "xanchor": "left",
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "pad": {"l": 16, "t": 12, "b": 20},
                "font": {"size": 16},
                "subtitle": {"font": {"size": 12}},
                "automargin": True,
            },
            "xaxis": axis,
            "yaxis": axis | {"rangemode": "tozero"},
        }
    )


TEMPLATE = _template(ink="#222222", paper="white", grid="#e5e5e5")
"""The template of every figure, registered with Plotly as ``speedup``."""
DARK = _template(ink="#e6e6e6", paper="#16181c", grid="#3a3d42")
"""The same for a dark page, registered as ``speedup_dark``; ``Plotly.relayout(figure, {template})`` changes over."""
pio.templates["speedup"] = TEMPLATE
pio.templates["speedup_dark"] = DARK


def new_figure(title: str, about: str = "", *, x: str, y: str) -> go.Figure:
    """Return an empty figure with its titles.

    Args:
        title: What it shows, in a few words.
        about: What the numbers rest on, in smaller letters.
        x: Title of the axis of x.
        y: Title of the axis of y.
    """
    subtitle = "<br>".join(textwrap.wrap(about, _LETTERS))
    titles = {"text": f"<b>{title}</b>", "subtitle": {"text": subtitle}}
    return go.Figure(layout={"template": TEMPLATE, "title": titles, "xaxis_title": x, "yaxis_title": y})


def faint(colour: str, alpha: float = 0.2) -> str:
    """Return a colour that lets through what is under it.

    Example:
        >>> faint("#0072B2")
        'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def seconds_axis(longest_s: float) -> dict[str, str]:
    """Return what a linear axis of times needs to say 20ms and not 0.02, but 2,000 s and not 2ks."""
    if longest_s >= _THOUSAND:
        return {"tickformat": ",", "ticksuffix": " s"}
    return {"tickformat": "~s", "ticksuffix": "s"}


def logarithmic(values: ArrayLike, show: Callable[[float], str], *, room: float = 1.15) -> dict[str, Any]:
    """Return what a logarithmic axis needs: its range, and ticks that do not crowd a narrow page.

    Args:
        values: What is to be seen.
        show: How a tick is written.
        room: What the range goes beyond the values on each side, as a factor.

    Example:
        >>> axis = logarithmic([3, 70], lambda value: f"{value:g} s")
        >>> axis["ticktext"]
        ('5 s', '10 s', '20 s', '50 s')
    """
    low, high = float(np.nanmin(values)) / room, float(np.nanmax(values)) * room
    decades = np.log10(high / low)
    digits = (1,) if decades > 3 else (1, 2, 5) if decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))))
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    shown = [tick for tick in ticks if low <= tick <= high]
    if len(shown) < 2:
        shown = np.geomspace(low * room, high / room, 3).tolist() if high > low * room**2 else [low * room]
    text = tuple(show(tick) for tick in shown)
    return {"type": "log", "range": np.log10([low, high]), "tickvals": shown, "ticktext": text}


def spread_out(counts: ArrayLike) -> bool:
    """Return whether numbers span so much that they belong on a logarithmic axis."""
    return bool(np.max(counts) > _WIDE)


def doublings(low: float, high: float) -> NDArray[np.float64]:
    """Return the powers of two in a range, not more than a narrow axis has room for.

    Example:
        >>> doublings(1, 9).tolist(), len(doublings(1e-3, 1e3))
        ([1.0, 2.0, 4.0, 8.0], 9)
    """
    powers = np.arange(np.ceil(np.log2(low) - 1e-9), np.floor(np.log2(high) + 1e-9) + 1)
    step = int(np.ceil(len(powers) / 10))
    return np.asarray(2.0 ** powers[np.round(powers) % step == 0 if step > 1 else slice(None)])


def workers_axis(figure: go.Figure, counts: ArrayLike) -> bool:
    """Give the axis of x the ticks of worker counts, and return whether it became logarithmic."""
    low, high = float(np.min(counts)), float(np.max(counts))
    if spread_out(counts):
        figure.update_xaxes(type="log", tickvals=doublings(low, high), range=np.log10([low / 1.06, high * 1.06]))
        return True
    margin = max(0.25, 0.02 * (high - low))
    figure.update_xaxes(range=[low - margin, high + margin], tickformat="d", dtick=1 if high - low < 9 else None)
    return False


def add_star(figure: go.Figure, x: object, y: float, text: str = "", *, position: str = "top center") -> None:
    """Mark the choice."""
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers+text",
        name="the choice",
        text=[f"<b>{text}</b>"],
        textposition=position,
        cliponaxis=False,
        marker={"symbol": "star", "size": 15, "color": YELLOW, "line": {"color": "#000000", "width": 1.5}},
        hoverinfo="skip",
        meta="choice",
    )


def add_line(figure: go.Figure, x: float, text: str, dash: str, *, inside: bool = False) -> None:
    """Draw an upright line with a text above the curves, or inside at their foot; on the side that has more room."""
    figure.add_vline(x=x, line={"color": GREY, "dash": dash, "width": 1.5})
    # Plotly takes the logarithm of a shape's place by itself, but not of an annotation's.
    place = float(np.log10(x)) if figure.layout.xaxis.type == "log" else x
    low, high = figure.layout.xaxis.range
    share = (place - low) / (high - low)
    figure.add_annotation(
        x=place,
        xanchor="left" if share < 0.3 or inside else "right" if share > 0.7 else "center",
        y=0 if inside else 1,
        yref="paper",
        yanchor="bottom",
        yshift=4,
        showarrow=False,
        text=text,
    )
