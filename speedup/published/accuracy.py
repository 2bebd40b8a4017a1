"""The accuracies that the package states, and whether they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from speedup.published.judging import ALL, Score
from speedup.published.trials import HALF, MACHINE_ALONE, OURS, TOGETHER
from speedup.scaling.models import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

Measure = Literal["mean error", "median error", "coverage", "width"]


@dataclass(frozen=True, slots=True)
class Stated:
    """A range in which a score of a model of ours is to lie.

    Attributes:
        source: Key of the source; ``everything`` for all splits whose intervals are judged.
        split: The split.
        measure: Which number of the score.
        low: Smallest value.
        high: Largest value.
        goal: What was wanted, where it is not met; empty where it is.
        group: The group of the score.
        model: The model's name on the leaderboard.
    """

    source: str
    split: str
    measure: Measure
    low: float
    high: float
    goal: str = ""
    group: str = ALL
    model: str = OURS


@dataclass(frozen=True, slots=True)
class Check:
    """A stated accuracy and what was found.

    Attributes:
        stated: What was stated.
        value: What was found.
    """

    stated: Stated
    value: float

    @property
    def holds(self) -> bool:
        """Whether the value lies in the stated range."""
        return self.stated.low <= self.value <= self.stated.high


EVERYTHING = "everything"
HELD_BACK = "all held-back runs"


def _error(source: str, split: str, high: float, measure: Measure = "mean error", goal: str = "") -> Stated:
    return Stated(source, split, measure, 0.0, high, goal)


def _intervals(source: str, split: str, high: float, width: float, goal: str = "") -> tuple[Stated, Stated]:
    return (
        Stated(source, split, "coverage", 0.85, high, goal),
        Stated(source, split, "width", 0.0, width),
    )


STATED = (
    _error("pollux-aws", "fitted n <= 8, tested 9-16", 0.06),
    *_intervals("pollux-aws", "fitted n <= 8, tested 9-16", 0.95, 0.3),
    _error("pollux-aws", "fitted n <= 8, tested 16-64", 0.12),
    *_intervals("pollux-aws", "fitted n <= 8, tested 16-64", 0.95, 0.4),
    _error("pollux-aws", "fitted n <= 4, tested 5-8", 0.10),
    *_intervals("pollux-aws", "fitted n <= 4, tested 5-8", 0.95, 0.25),
    _error("pollux-aws", "fitted n <= 2, tested 4-16 machines", 0.13),
    *_intervals("pollux-aws", "fitted n <= 2, tested 4-16 machines", 0.99, 0.65, "85 to 95 %"),
    _error("mxnet-grid", HALF, 0.05, goal="at most 4 % on the mean"),
    Stated("mxnet-grid", HALF, "median error", 0.0, 0.04, group=TOGETHER),
    *_intervals("mxnet-grid", HALF, 0.96, 0.35, "85 to 95 %"),
    _error("cm-dare", "one bandwidth a series", 0.05),
    _error("cm-dare", "one bandwidth for all", 0.05),
    _error("cm-dare", "leave one out", 0.05),
    *_intervals("cm-dare", "leave one out", 1.0, 0.15, "85 to 95 %, of which 42 runs can tell little"),
    _error("scaling", "nominal bandwidth, servers", 0.04, "median error"),
    _error("scaling", "nominal bandwidth, all-reduce", 0.07, "median error"),
    Stated("scaling", "nominal bandwidth, servers", "median error", 0.0, 0.04, model=MACHINE_ALONE),
    Stated("scaling", "nominal bandwidth, all-reduce", "median error", 0.0, 0.07, model=MACHINE_ALONE),
    _error("scaling", "one bandwidth a series, servers", 0.03, "median error"),
    _error("scaling", "one bandwidth a series, all-reduce", 0.03, "median error"),
    Stated(EVERYTHING, HELD_BACK, "coverage", 0.85, 0.95),
)
"""What is stated of our models: the goals where they are met, else what was measured, rounded up."""


def check(scores: Sequence[Score], stated: Sequence[Stated] = STATED) -> tuple[Check, ...]:
    """Return what was stated beside what was found, for the splits that were judged.

    Args:
        scores: Of any models and sources.
        stated: The accuracies.
    """
    found = {(score.source, score.split, score.group, score.model): score for score in scores}
    checks = []
    for one in stated:
        key = (one.source, one.split, one.group, one.model)
        if one.source == EVERYTHING:
            checks += _everything(one, scores)
        elif key in found:
            checks.append(Check(one, _value(found[key], one.measure)))
    return tuple(checks)


def _value(score: Score, measure: Measure) -> float:
    # A model that no longer gives intervals fails what is stated of them.
    values = {
        "mean error": score.mean_error,
        "median error": score.median_error,
        "coverage": score.coverage,
        "width": score.width,
    }
    found = values[measure]
    return float("nan") if found is None else found


def _everything(stated: Stated, scores: Sequence[Score]) -> list[Check]:
    own = [score for score in scores if score.model == OURS and score.group == TOGETHER]
    held = [(score.coverage, score.runs) for score in own if score.coverage is not None]
    if len({score.source for score in own}) < 2:
        return []
    return [Check(stated, sum(share * runs for share, runs in held) / sum(runs for _, runs in held))]


def sentence(check: Check) -> str:
    """Say a check in words.

    Example:
        >>> sentence(Check(Stated("cm-dare", "leave one out", "mean error", 0.0, 0.05), 0.027))
        'cm-dare, leave one out: mean error 2.7 %, stated at most 5.0 %'
    """
    stated = check.stated
    bound = f"at most {stated.high:.1%}" if stated.low == 0 else f"{stated.low:.0%} to {stated.high:.0%}"
    what = f"coverage of {LEVEL:.0%} intervals" if stated.measure == "coverage" else stated.measure
    which = [word for word in (stated.group, stated.model) if word not in {ALL, OURS}]
    apart = f" ({', '.join(which)})" if which else ""
    text = f"{stated.source}, {stated.split}{apart}: {what} {check.value:.1%}, stated {bound}"
    goal = f" (the goal was {stated.goal})" if stated.goal else ""
    return re.sub(r"(?<! )%", " %", text + goal)
