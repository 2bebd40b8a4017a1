"""A run that changes on the way: what is sent, and what a step takes, from phase to phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.errors import ProfileError
from speedup.figures.template import BLUE, VERMILION, faint, new_figure, seconds_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from speedup.profile import Profile


def phases_figure(profile: Profile) -> go.Figure:
    """Draw the payload, which tells the weights left, and t_grad of every phase against the batches of the run.

    Args:
        profile: One with phases, such as ``speedup train --profile`` writes.

    Returns:
        The figure, to change or save.

    Raises:
        ProfileError: The profile has no phases.

    Example:
        >>> from dataclasses import replace
        >>> from speedup.profile import Phase, Profile
        >>> dense = Profile.load("nardini_mlp-xeon-b128")
        >>> phases = [
        ...     Phase(name=f"epoch {one}", batches=468, t_grad=dense.t_grad_timing, tensor_elements=(266_610 // one,))
        ...     for one in (1, 2)
        ... ]
        >>> [float(sent) for sent in phases_figure(replace(dense, phases=tuple(phases))).data[0].y]
        [1066440.0, 533220.0, 533220.0]
    """
    phases = profile.phases
    if not phases:
        raise ProfileError(
            f'profile "{profile.name}" has no phases. speedup train --profile writes one of a run that changes.'
        )
    sent = [phase.payload_bytes for phase in phases]
    weights = np.array([sum(phase.tensor_elements) for phase in phases])
    times = [phase.t_grad for phase in phases]
    left = weights[-1] / weights[0]
    about = f"{profile.workload.architecture}, {profile.workload.algorithm}: {left:.0%} of the weights left at the end"
    figure = new_figure("A run in phases", about, x="", y="")
    figure.set_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    named = [
        f"{phase.name}, {left:.0%} of the weights" for phase, left in zip(phases, weights / weights[0], strict=True)
    ]
    _add_steps(figure, 1, profile, sent, "payload", BLUE, "%{y:.3s}B", named)
    if any(one.low_s for one in times):
        ends = [[one.low_s or one.median_s for one in times], [one.high_s or one.median_s for one in times]]
        _add_band(figure, profile, *ends)
    _add_steps(figure, 2, profile, [one.median_s for one in times], "t_grad", VERMILION, "%{y:.3s}s", named)
    figure.update_yaxes(title="payload", tickformat="~s", ticksuffix="B", row=1, col=1)
    figure.update_yaxes(title="t_grad", row=2, col=1, **seconds_axis(max(one.median_s for one in times)))
    figure.update_xaxes(title="batches", row=2, col=1)
    return figure


def _stepped(profile: Profile, values: Sequence[float]) -> dict[str, Any]:
    """Return a value a phase as a line that stays until the phase ends."""
    ends = np.cumsum([0, *(phase.batches for phase in profile.phases)])
    return {"x": ends, "y": [*values, values[-1]], "mode": "lines"}


def _add_steps(
    figure: go.Figure,
    row: int,
    profile: Profile,
    values: Sequence[float],
    name: str,
    colour: str,
    form: str,
    named: list[str],
) -> None:
    figure.add_scatter(
        **_stepped(profile, values),
        name=name,
        line={"color": colour, "shape": "hv", "width": 2.5, "dash": "solid" if row == 1 else "dash"},
        customdata=[*named, named[-1]],
        hovertemplate=f"{form} (%{{customdata}})",
        row=row,
        col=1,
        meta="curve",
    )


def _add_band(figure: go.Figure, profile: Profile, low_s: Sequence[float], high_s: Sequence[float]) -> None:
    for edge, values in (("low", low_s), ("high", high_s)):
        figure.add_scatter(
            **_stepped(profile, values),
            showlegend=False,
            line={"width": 0, "shape": "hv", "color": VERMILION},
            fill="tonexty" if edge == "high" else None,
            fillcolor=faint(VERMILION),
            hoverinfo="skip",
            row=2,
            col=1,
            meta=edge,
        )
