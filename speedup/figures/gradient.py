"""t_grad against the batch size: what was measured, and the curve through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.figures.template import BLUE, GREY, VERMILION, doublings, faint, logarithmic, new_figure
from speedup.gradient_time import LEVEL, GradientTime
from speedup.units import show_seconds

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from speedup.gradient_time import BatchTime
    from speedup.profile import Profile

_POINTS = 80
_BEYOND = 2
_APART = 0.01


def gradient_time_figure(profile: Profile) -> go.Figure:
    """Draw t_grad against the batch size: samples, medians with intervals, and the fitted curve with its band.

    Beyond the batch sizes that were measured the curve is dotted. It is that of even batch sizes; where odd ones take
    another time, they have a curve of their own.

    Args:
        profile: One whose timings state their batch sizes.

    Returns:
        The figure, to change or save.

    Raises:
        ProfileError: None of the timings states its batch size.

    Example:
        >>> from speedup import Profile
        >>> [trace.name for trace in gradient_time_figure(Profile.load("squeezenet-xeon-b16")).data]
        ['assumed', 'samples', 'measured']
    """
    time = GradientTime.of(profile)
    low, high = time.range
    about = f"{profile.workload.architecture} on {profile.device}: {time.formula}"
    figure = new_figure("Gradient of a batch", about, x="batch size b", y="t_grad")
    _add_curve(figure, time)
    _add_samples(figure, profile)
    _add_medians(figure, time)
    ends = np.array([max(1, low / _BEYOND), high * _BEYOND])
    figure.update_xaxes(type="log", tickvals=doublings(*ends), range=np.log10(ends * [0.94, 1.06]))
    shown = [one for trace in figure.data for one in trace.y if one]
    figure.update_yaxes(logarithmic(shown, show_seconds))
    return figure


def _add_curve(figure: go.Figure, time: GradientTime) -> None:
    """Draw the curve: through the measured range, and dotted on either side of it."""
    low, high = time.range
    halves = np.unique(np.geomspace(max(1, low // _BEYOND), high * _BEYOND, _POINTS).round().astype(int) // 2)
    sizes = 2 * halves[halves > 0]
    # A size that was measured has its measurement for its time, which may lie beside the curve.
    points = [time.predict(int(size)) for size in sizes if size not in time.batches or len(time.batches) == 1]
    inside = [one for one in points if not one.extrapolated]
    below = [one for one in points if one.extrapolated and (one.batch or 0) <= low]
    above = [one for one in points if one.extrapolated and (one.batch or 0) > low]
    if len(time.batches) == 1:
        _add_part(figure, points, "assumed", "dot")
        return
    _add_band(figure, points)
    _add_part(figure, inside, "fitted", "solid")
    _add_part(figure, below + inside[:1], "extrapolated", "dot", shown=not above)
    _add_part(figure, inside[-1:] + above, "extrapolated", "dot")
    if abs(time.for_odd) > _APART:
        odd = [time.predict(one.batch + 1) for one in inside if one.batch and one.batch + 1 not in time.batches]
        _add_part(figure, odd, "fitted, odd batches", "dash")


def _add_part(figure: go.Figure, points: list[BatchTime], name: str, dash: str, *, shown: bool = True) -> None:
    if not points:
        return
    figure.add_scatter(
        x=[one.batch for one in points],
        y=[one.median_s for one in points],
        mode="lines",
        name=name,
        legendgroup=name,
        showlegend=shown,
        line={"color": BLUE, "dash": dash, "width": 2},
        hovertemplate="%{y:.3s}s",
        meta="curve",
    )


def _add_band(figure: go.Figure, points: list[BatchTime]) -> None:
    for edge in ("low", "high"):
        figure.add_scatter(
            x=[one.batch for one in points],
            y=[getattr(one, f"{edge}_s") for one in points],
            mode="lines",
            name=f"{LEVEL:.0%} interval",
            showlegend=edge == "high",
            line={"width": 0, "color": BLUE},
            fill="tonexty" if edge == "high" else None,
            fillcolor=faint(BLUE),
            hoverinfo="skip",
            meta=edge,
        )


def _add_samples(figure: go.Figure, profile: Profile) -> None:
    taken = [(one.batch, sample) for one in profile.t_grad if one.batch for sample in one.samples_s]
    if taken:
        figure.add_scatter(
            x=[batch for batch, _ in taken],
            y=[seconds for _, seconds in taken],
            mode="markers",
            name="samples",
            marker={"symbol": "line-ew-open", "size": 14, "color": GREY, "opacity": 0.6},
            hoverinfo="skip",
            meta="samples",
        )


def _add_medians(figure: go.Figure, time: GradientTime) -> None:
    medians = [time.predict(batch) for batch in time.batches]
    figure.add_scatter(
        x=[one.batch for one in medians],
        y=[one.median_s for one in medians],
        mode="markers",
        name="measured",
        marker={"symbol": "circle", "size": 9, "color": VERMILION, "line": {"color": GREY, "width": 1}},
        error_y={
            "array": [(one.high_s or one.median_s) - one.median_s for one in medians],
            "arrayminus": [one.median_s - (one.low_s or one.median_s) for one in medians],
            "color": VERMILION,
        },
        hovertemplate="%{y:.3s}s",
        meta="measured",
    )
