"""How far predictions are from what was measured, and whether their intervals hold it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.scaling.models import Prediction

    Floats = NDArray[np.float64]

Quantity = Literal["step", "speedup"]
ALL = "all"
"""The group that sums up the others of a split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well a model did on one group of one split.

    Attributes:
        source: Key of the source.
        split: What was fitted and what was tested.
        model: Name of the model.
        group: A network, a series or a source; ``all`` for the mean over the groups (the median, of medians).
        quantity: ``step`` for the time of a step, ``speedup`` for the speedup.
        runs: Tested runs.
        mean_error: Mean of the absolute relative errors.
        median_error: Median of them.
        coverage: Share of the tested runs within the 90 % interval; None for a model that gives none.
        width: Median of upper less lower end, by the expected value; None likewise.
    """

    source: str
    split: str
    model: str
    group: str
    quantity: Quantity
    runs: int
    mean_error: float
    median_error: float
    coverage: float | None = None
    width: float | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """What the scores of one model on one split have in common."""

    source: str
    split: str
    model: str
    quantity: Quantity = "step"


def judge(heading: Heading, group: str, measured_s: Floats, predicted_s: Floats) -> Score:
    """Return how far predicted steps are off.

    The error of a speedup is that of its reciprocal step: the one worker that both are compared with cancels.

    Args:
        heading: Source, split, model and quantity.
        group: What the runs have in common.
        measured_s: Measured steps [s].
        predicted_s: Predicted steps [s].

    Example:
        >>> import numpy as np
        >>> score = judge(Heading("somewhere", "half", "linear"), "net", np.array([1.0, 2.0]), np.array([1.1, 1.0]))
        >>> round(score.mean_error, 3)
        0.3
    """
    ratio = predicted_s / measured_s if heading.quantity == "step" else measured_s / predicted_s
    errors = np.abs(ratio - 1)
    return Score(
        source=heading.source,
        split=heading.split,
        model=heading.model,
        group=group,
        quantity=heading.quantity,
        runs=len(errors),
        mean_error=float(errors.mean()),
        median_error=float(np.median(errors)),
    )


def judge_prediction(heading: Heading, group: str, measured_s: Floats, prediction: Prediction) -> Score:
    """Return how far a prediction is off, and what its intervals hold.

    Args:
        heading: Source, split, model and quantity.
        group: What the runs have in common.
        measured_s: Measured steps [s].
        prediction: Predicted steps; a low end of NaN, throughout, for a model without intervals.
    """
    score = judge(heading, group, measured_s, prediction.step_s)
    if np.isnan(prediction.low_s).all():
        return score
    held = (prediction.low_s <= measured_s) & (measured_s <= prediction.high_s)
    widths = (prediction.high_s - prediction.low_s) / prediction.step_s
    return replace(score, coverage=float(held.mean()), width=float(np.median(widths)))


def overall(scores: Sequence[Score], group: str = ALL) -> Score:
    """Return the sum of several groups, each with the same weight.

    Args:
        scores: Of one model on one split.
        group: The name of the sum.

    Returns:
        Mean of means, median of medians, mean of coverages, median of widths.
    """
    held = [score.coverage for score in scores if score.coverage is not None]
    widths = [score.width for score in scores if score.width is not None]
    return replace(
        scores[0],
        group=group,
        runs=sum(score.runs for score in scores),
        mean_error=float(np.mean([score.mean_error for score in scores])),
        median_error=float(np.median([score.median_error for score in scores])),
        coverage=float(np.mean(held)) if held else None,
        width=float(np.median(widths)) if widths else None,
    )
