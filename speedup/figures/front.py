"""Time against cost: the plans that no other beats in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.cases import describe
from speedup.cost import show_cost
from speedup.errors import PlanError
from speedup.figures.template import BLUE, GREY, VERMILION, add_line, add_star, logarithmic, new_figure
from speedup.units import show_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from speedup.choosing import Outcome
    from speedup.recommendation import Recommendation

_ROOM = 1.4


def front_figure(recommendation: Recommendation) -> go.Figure:
    """Draw cost against time: the plans that no other beats in both, the choice, and what was refused, hollow.

    Small dots are all plans of the choice's batch size that may be chosen.

    Args:
        recommendation: One that was asked for with a price.

    Returns:
        The figure, to change or save.

    Raises:
        PlanError: It has no price, so that nothing has a cost.

    Example:
        >>> from speedup import recommend
        >>> answer = recommend("squeezenet", network="1gbit", price=2.5, objective="cost", deadline_s=60)
        >>> [trace.name for trace in front_figure(answer).data]
        ['other plans', 'no other is faster and cheaper', 'refused', 'the choice']
    """
    if not recommendation.front:
        raise PlanError("without a price there is no cost to draw: recommend(..., price=2.5).")
    goal = recommendation.goal
    figure = new_figure(
        "Time and cost", goal.assumption, x="time to the target" if goal.to_target else "time of the run", y="cost"
    )
    _add_others(figure, recommendation)
    _add_outcomes(figure, recommendation.front, "no other is faster and cheaper", "circle", BLUE)
    if recommendation.refused:
        _add_outcomes(figure, recommendation.refused, "refused", "diamond-open", VERMILION)
    choice = recommendation.outcomes[0]
    name = describe(choice.plan).split(",", maxsplit=1)[0]
    # Below and left of the front there is no plan, and so there is room.
    add_star(figure, choice.time_s, choice.cost or 0.0, name, position="bottom left")
    shown = (*recommendation.front, *recommendation.refused, choice)
    figure.update_xaxes(logarithmic([one.time_s for one in shown], show_seconds, room=_ROOM))
    figure.update_yaxes(logarithmic([one.cost or np.nan for one in shown], show_cost, room=_ROOM))
    _add_limits(figure, goal.deadline_s, goal.budget)
    figure.update_layout(hovermode="closest")
    return figure


def _add_others(figure: go.Figure, recommendation: Recommendation) -> None:
    field = recommendation.field
    if field is None or field.judged.cost is None:
        return
    kept = field.judged.excess == 0
    figure.add_scatter(
        x=field.judged.time_s[kept],
        y=field.judged.cost[kept],
        mode="markers",
        name="other plans",
        marker={"symbol": "circle", "size": 4, "color": GREY, "opacity": 0.5},
        hoverinfo="skip",
        meta="others",
    )


def _add_outcomes(figure: go.Figure, outcomes: Sequence[Outcome], name: str, symbol: str, colour: str) -> None:
    figure.add_scatter(
        x=[one.time_s for one in outcomes],
        y=[one.cost for one in outcomes],
        mode="markers" if symbol.endswith("open") else "lines+markers",
        name=name,
        line={"color": colour, "shape": "hv", "width": 1.5},
        marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2}},
        customdata=[_words(one) for one in outcomes],
        hovertemplate="%{customdata}<extra></extra>",
        meta="refused" if symbol.endswith("open") else "front",
    )


def _words(one: Outcome) -> str:
    batch = "" if one.batch is None else f", batches of {one.batch}"
    worth = f"{show_seconds(one.time_s)}, {show_cost(one.cost or 0.0)}"
    return "<br>".join(filter(None, (f"{describe(one.plan)}{batch}", worth, one.reason)))


def _add_limits(figure: go.Figure, deadline_s: float, budget: float) -> None:
    if np.isfinite(deadline_s):
        add_line(figure, deadline_s, "deadline", "dot")
    if np.isfinite(budget):
        figure.add_hline(y=budget, line={"color": GREY, "dash": "dot", "width": 1.5})
        figure.add_annotation(
            y=np.log10(budget), x=1, xref="paper", xanchor="right", yanchor="bottom", showarrow=False, text="budget"
        )
