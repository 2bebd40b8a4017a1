"""What was predicted beside what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.errors import PlanError
from speedup.figures.template import COLOURS, GREY, faint, logarithmic, new_figure
from speedup.units import show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    import plotly.graph_objects as go

    from speedup.validation import Comparison, Validation

_MARKERS = ("circle", "diamond", "square", "triangle-up", "cross", "star", "hexagon", "triangle-down")
_WITHIN = 0.1
_ROOM = 1.3


def accuracy_figure(
    rows: Validation | Iterable[Comparison | Mapping[str, Any]], *, by: str = "server", within: float = _WITHIN
) -> go.Figure:
    """Draw measured against predicted times, with the line on which both are equal and a band beside it.

    Args:
        rows: A validation, its rows, or rows of a file with the columns ``predicted_s`` and ``measured_s``, and
            ``predicted_low_s`` and ``predicted_high_s`` where there are intervals.
        by: The column that gives points their colour and marker, such as ``server``, ``mode`` or ``network``.
        within: Half-width of the band, relative.

    Returns:
        The figure, to change or save.

    Raises:
        PlanError: There are no rows, or no column of that name.

    Example:
        >>> rows = [{"server": "central", "predicted_s": 2.0, "measured_s": 2.1}]
        >>> [trace.name for trace in accuracy_figure(rows).data if trace.name]
        ['equal', 'within 10%', 'central']
    """
    found = _documents(rows)
    if not found:
        raise PlanError("rows is empty; there is nothing to compare.")
    if by not in found[0]:
        raise PlanError(f'by = "{by}" is no column; there are {", ".join(found[0])}.')
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        groups[str(row[by])].append(row)
    predicted, measured = (np.array([float(row[name]) for row in found]) for name in ("predicted_s", "measured_s"))
    errors = np.abs(measured / predicted - 1)
    about = f"{len(found)} runs, median error {np.median(errors):.1%}, at most {errors.max():.0%}"
    figure = new_figure("Predicted and measured", about, x="predicted time", y="measured time")
    _add_band(figure, float(predicted.min()), float(predicted.max()), within)
    for place, (name, own) in enumerate(groups.items()):
        _add_points(figure, name, own, place)
    figure.update_xaxes(logarithmic(predicted, show_seconds))
    figure.update_yaxes(logarithmic(measured, show_seconds))
    figure.update_layout(hovermode="closest")
    return figure


def _documents(rows: Validation | Iterable[Comparison | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of any kind as plain documents."""
    many: Any = rows
    many = getattr(many, "rows", many)
    return [dict(row) if isinstance(row, Mapping) else row.to_dict() for row in many]


def _add_band(figure: go.Figure, low: float, high: float, within: float) -> None:
    ends = np.array([low / _ROOM, high * _ROOM])
    edge = {"mode": "lines", "line": {"width": 0, "color": GREY}, "hoverinfo": "skip"}
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="equal", line={"color": GREY, "dash": "dash"}, hoverinfo="skip", meta="equal"
    )
    figure.add_scatter(x=ends, y=ends * (1 - within), showlegend=False, meta="low", **edge)
    figure.add_scatter(
        x=ends,
        y=ends * (1 + within),
        name=f"within {within:.0%}",
        fill="tonexty",
        fillcolor=faint(GREY),
        meta="high",
        **edge,
    )


def _add_points(figure: go.Figure, name: str, rows: list[dict[str, Any]], place: int) -> None:
    def column(key: str) -> np.ndarray:
        return np.array([float(row.get(key) or np.nan) for row in rows])

    predicted = column("predicted_s")
    figure.add_scatter(
        x=predicted,
        y=column("measured_s"),
        mode="markers",
        name=name,
        marker={"symbol": _MARKERS[place % len(_MARKERS)], "size": 8, "color": COLOURS[place % len(COLOURS)]},
        opacity=0.8,
        error_x={
            "array": column("predicted_high_s") - predicted,
            "arrayminus": predicted - column("predicted_low_s"),
            "thickness": 1,
            "width": 0,
        },
        customdata=[
            [_words(row), error] for row, error in zip(rows, column("measured_s") / predicted - 1, strict=True)
        ],
        hovertemplate="%{customdata[0]}<br>predicted %{x:.3s}s, measured %{y:.3s}s (%{customdata[1]:+.1%})",
        meta="measured",
    )


def _words(row: dict[str, Any]) -> str:
    """Name the plan of a row by the columns it has."""
    named = [str(row[key]) for key in ("network", "mode", "server", "schedule") if row.get(key) not in {None, "none"}]
    return ", ".join([*named, *([f"{row['workers']} workers"] if "workers" in row else [])])
