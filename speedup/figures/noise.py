"""What a larger batch buys: steps and samples to a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.efficiency import NoiseScale, examples_factor
from speedup.figures.template import BLUE, GREEN, GREY, VERMILION, add_line, doublings, faint, new_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from speedup.gradient_time import GradientTime

_SPAN, _POINTS = 64, 129


def noise_scale_figure(
    noise_scale: NoiseScale | float, *, batch: int | None = None, gradient_time: GradientTime | None = None
) -> go.Figure:
    """Draw steps and samples to a target against the samples of an update, with the noise scale marked.

    Steps are relative to those of an infinite batch (E.1), samples to those of the smallest (E.2): at the noise scale
    both are twice the least.

    Args:
        noise_scale: The gradient noise scale [samples].
        batch: Samples of an update of your training, to mark.
        gradient_time: t_grad against the batch, with which the time on one worker is drawn, too, by its least.

    Returns:
        The figure, to change or save.

    Raises:
        UnitError: The noise scale is not resolved, or not above 0.

    Example:
        >>> [trace.name for trace in noise_scale_figure(500, batch=64).data]
        ['steps', 'samples', 'batch 64']
    """
    noise = noise_scale if isinstance(noise_scale, NoiseScale) else NoiseScale.assumed(noise_scale)
    middle = noise.value or 1.0
    sizes = np.geomspace(max(1.0, middle / _SPAN), middle * _SPAN, _POINTS)
    figure = new_figure("What a larger batch buys", _about(noise), x="samples of an update", y="by the least possible")
    curves = {
        "steps": (noise.steps_factor(sizes), BLUE, "solid"),
        "samples": (noise.examples_factor(sizes), VERMILION, "dash"),
    }
    if gradient_time is not None:
        seconds = gradient_time.seconds(sizes) * noise.steps_factor(sizes)
        curves["time on one worker"] = (seconds / seconds.min(), GREEN, "dashdot")
    for name, (factors, colour, dash) in curves.items():
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(
            x=sizes, y=factors, mode="lines", name=name, line=line, hovertemplate="%{y:.3g}", meta="curve"
        )
    if batch is not None:
        _mark_batch(figure, noise, batch)
    ends = np.log10(sizes[[0, -1]])
    figure.update_xaxes(
        type="log", range=ends, tickvals=doublings(sizes[0], sizes[-1]), tickformat=",d", hoverformat=",.0f"
    )
    figure.update_yaxes(type="log", tickvals=[1, 2, 4, 8, 16, 32, 64], range=np.log10([0.9, 1.2 * _SPAN]))
    _mark_noise(figure, noise, middle)
    return figure


def _about(noise: NoiseScale) -> str:
    if not noise.low or not noise.high or not noise.level:
        return f"noise scale {noise.value or 0:,.0f} samples ({noise.provenance})"
    interval = f"{noise.low:,.0f} to {noise.high:,.0f} at {noise.level:.0%}"
    return f"noise scale {noise.value or 0:,.0f} samples, {interval} ({noise.provenance})"


def _mark_noise(figure: go.Figure, noise: NoiseScale, middle: float) -> None:
    add_line(figure, middle, f"noise scale {middle:,.0f}", "longdash")
    if noise.low and noise.high:
        figure.add_vrect(x0=noise.low, x1=noise.high, fillcolor=faint(GREY), line_width=0, layer="below")


def _mark_batch(figure: go.Figure, noise: NoiseScale, batch: int) -> None:
    steps, samples = float(noise.steps_factor(batch)), float(examples_factor(noise.value or 1.0, batch))
    figure.add_scatter(
        x=[batch, batch],
        y=[steps, samples],
        mode="markers",
        name=f"batch {batch}",
        marker={"symbol": "circle-open", "size": 12, "color": GREY, "line": {"width": 2.5}},
        hoverinfo="skip",
        meta="batch",
    )
