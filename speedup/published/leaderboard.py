"""All models on all splits, best first, and the stated accuracies."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from speedup.published.accuracy import STATED, Check, Stated, check, sentence
from speedup.published.judging import ALL, Score
from speedup.published.trials import Trial, trials
from speedup.text import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HEAD = ("model", "mean error", "median error", "in the 90 % interval", "its median width")


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """How well every model foretold published measurements.

    Attributes:
        scores: One a model, split and group.
        checks: What is stated of our models, and what was found.
    """

    scores: tuple[Score, ...]
    checks: tuple[Check, ...]

    @property
    def broken(self) -> tuple[Check, ...]:
        """The stated accuracies that do not hold."""
        return tuple(one for one in self.checks if not one.holds)

    def to_dict(self) -> dict[str, Any]:
        """Return the leaderboard as a plain document."""
        return {
            "schema": "speedup.leaderboard/1",
            "scores": [asdict(score) for score in self.scores],
            "stated": [
                {**asdict(one.stated), "value": None if math.isnan(one.value) else one.value, "holds": one.holds}
                for one in self.checks
            ],
        }

    def to_json(self) -> str:
        """Return the leaderboard as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        lines: list[str] = []
        for (source, split, quantity), scores in _boards(self.scores).items():
            lines += [f"{source}, {split}: error of the {quantity}, {scores[0].runs} runs"]
            lines += [f"  {line}" for line in aligned([HEAD, *map(_cells, scores)])]
            lines += [""]
        lines += ["Stated accuracies of speedup:"]
        lines += [f"  {'holds' if one.holds else 'FAILS'}  {sentence(one)}" for one in self.checks]
        return "\n".join(lines)


def _boards(scores: Iterable[Score]) -> dict[tuple[str, str, str], list[Score]]:
    """Return the sums of each split, smallest mean error first."""
    found: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        if score.group == ALL:
            found.setdefault((score.source, score.split, score.quantity), []).append(score)
    return {key: sorted(some, key=lambda score: score.mean_error) for key, some in found.items()}


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share as percent.

    Example:
        >>> percent(0.0541), percent(None)
        ('5.4 %', '-')
    """
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _cells(score: Score) -> tuple[str, ...]:
    return (
        score.model,
        percent(score.mean_error),
        percent(score.median_error),
        percent(score.coverage, 0),
        percent(score.width, 0),
    )


def judge_all(
    sources: Sequence[str] | None = None,
    *,
    stated: Sequence[Stated] = STATED,
    on_trial: Callable[[int, int, Trial], None] | None = None,
) -> Leaderboard:
    """Fit and judge every model on every split.

    Args:
        sources: Keys of sources, as ``trials`` has them; all by default.
        stated: The accuracies to check.
        on_trial: Called before each trial with its number from 1, how many there are, and the trial.

    Example:
        >>> board = judge_all(["cm-dare"])
        >>> board.broken
        ()
    """
    chosen = [trial for trial in trials() if not sources or trial.source in sources]
    scores: list[Score] = []
    for number, trial in enumerate(chosen, 1):
        if on_trial is not None:
            on_trial(number, len(chosen), trial)
        scores += trial.run()
    return Leaderboard(tuple(scores), check(scores, stated))
