"""What is judged: each trial fits models to a part of a source and lets them predict another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from speedup.errors import FitError
from speedup.published import contestants
from speedup.published.asynchronous import queued_steps
from speedup.published.judging import Heading, Score, judge, judge_prediction, overall
from speedup.published.nominal import fitted_bandwidth, linear_steps, nominal_steps, paleo_steps, step_times
from speedup.published.records import Series, mxnet_grid, pollux_aws, scaling_series
from speedup.published.sources import SCALING_SOURCES
from speedup.published.splits import POLLUX_SPLITS, Split, halves, left_out
from speedup.scaling.models import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from speedup.scaling.models import ScalingModel
    from speedup.scaling.runs import Runs

    Floats: TypeAlias = NDArray[np.float64]
    Mask: TypeAlias = NDArray[np.bool_]
    Steps: TypeAlias = Callable[[Series, Runs, float], Floats]

CHOSEN_ON = ("bert", "resnet18", "yolov3")
"""Networks of Pollux's traces on which the form of our model was chosen; the others had no part in it."""
CHOSEN_GROUPS = {True: "chosen on", False: "no part in the choice"}
TOGETHER = "all runs together"
"""The group of all runs of a split, each with the same weight."""
OURS = "speedup"
"""Name of our models on the leaderboard, whatever they are of."""
MACHINE_ALONE = "speedup, machine alone"
"""Ours without the step of one accelerator: of one machine, only the step of a full one is known."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A split of a source, with the models that take part in it.

    Attributes:
        source: Key of the source; ``scaling`` for the series of several.
        split: What is fitted and what is tested.
        run: Gives the scores.
    """

    source: str
    split: str
    run: Callable[[], list[Score]]


def trials() -> tuple[Trial, ...]:
    """Return all trials.

    Example:
        >>> sorted({trial.source for trial in trials()})
        ['cm-dare', 'mxnet-grid', 'pollux-aws', 'scaling']
    """
    return (
        *(Trial("pollux-aws", split.name, partial(_pollux, split)) for split in POLLUX_SPLITS),
        Trial("mxnet-grid", HALF, _half_grid),
        *(Trial("cm-dare", name, partial(run, name)) for name, run in _ASYNC.items()),
        *(
            Trial("scaling", f"{name}, {kind}", partial(run, f"{name}, {kind}", code))
            for name, run in _SCALING.items()
            for kind, code in KINDS.items()
        ),
    )


HALF = "fitted on half of the grid"
KINDS = {"servers": "sharded", "all-reduce": "allreduce"}


def predict_parts(model: ScalingModel, runs: Runs, parts: Iterable[tuple[Mask, Mask]]) -> tuple[Floats, Prediction]:
    """Fit a model to parts of runs in turn, and join what it predicts of others.

    Args:
        model: The model.
        runs: All runs.
        parts: Which to fit, and which to predict.

    Returns:
        Measured steps [s] and what was predicted of them.

    Raises:
        FitError: The model cannot be fitted to a part.
    """
    found = []
    for fitted, tested in parts:
        asked = runs.take(tested)
        found.append((asked.step_s, model.fit(runs.take(fitted)).predict(asked)))
    return _joined(found)


def _joined(found: Sequence[tuple[Floats, Prediction]]) -> tuple[Floats, Prediction]:
    measured = np.concatenate([steps for steps, _ in found])
    said = [prediction for _, prediction in found]
    columns = zip(*((one.step_s, one.low_s, one.high_s, one.beyond) for one in said), strict=True)
    return measured, Prediction(*map(np.concatenate, columns))


def contest(
    heading: Heading,
    models: Sequence[ScalingModel],
    groups: Mapping[str, Runs],
    parts: Callable[[Runs], Iterable[tuple[Mask, Mask]]],
) -> Iterator[list[Score]]:
    """Give the scores of each model that can be fitted to all groups, and last that of all their runs together.

    Args:
        heading: Source, split and quantity; the model's name is put in.
        models: Those that take part; the first is ours.
        groups: Runs by name.
        parts: Which runs of a group to fit, and which to predict.
    """
    for index, model in enumerate(models):
        own = replace(heading, model=model.name if index else OURS)
        try:
            found = {name: predict_parts(model, runs, parts(runs)) for name, runs in groups.items()}
        except FitError:
            # A law with more constants than the split has runs: who is not on the board could not be fitted.
            continue
        scores = [judge_prediction(own, name, *one) for name, one in found.items()]
        yield [*scores, judge_prediction(own, TOGETHER, *_joined(list(found.values())))]


def _summed(found: Iterable[list[Score]]) -> list[Score]:
    return [score for scores in found for score in (overall(scores[:-1]), *scores)]


def _pollux(split: Split) -> list[Score]:
    heading = Heading("pollux-aws", split.name, OURS, split.quantity)
    board: list[Score] = []
    for *scores, together in contest(
        heading, contestants.allreduce(), pollux_aws(), lambda runs: [(split.fitted(runs), split.tested(runs))]
    ):
        chosen = [
            overall([score for score in scores if (score.group in CHOSEN_ON) is which], name)
            for which, name in CHOSEN_GROUPS.items()
        ]
        board += [overall(scores), *chosen, *scores, together]
    return board


def _half_grid() -> list[Score]:
    heading = Heading("mxnet-grid", HALF, OURS)
    return _summed(contest(heading, contestants.servers(), mxnet_grid(), lambda runs: halves(len(runs))))


def _async_series() -> tuple[Series, ...]:
    return tuple(series for series in scaling_series() if series.kind == "async-central")


def _one_bandwidth(series: Series, steps: Steps, runs: Runs) -> float:
    return fitted_bandwidth(lambda rate: steps(series, runs, rate), runs.step_s)


def _rest_of(series: Series, steps: Steps) -> Floats:
    """Return each run between machines as predicted from the bandwidth of the others."""
    runs, found = series.between, []
    for fitted, tested in left_out(np.ones(len(runs), dtype=bool)):
        rate = _one_bandwidth(series, steps, runs.take(fitted))
        found.append(steps(series, runs.take(tested), rate))
    return np.concatenate(found)


def _async_each(split: str) -> list[Score]:
    heading = Heading("cm-dare", split, OURS)
    scores = [
        judge(
            heading,
            one.name,
            one.between.step_s,
            queued_steps(one, one.between, _one_bandwidth(one, queued_steps, one.between)),
        )
        for one in _async_series()
    ]
    return [overall(scores), *scores]


def _async_shared(split: str) -> list[Score]:
    heading, every = Heading("cm-dare", split, OURS), _async_series()
    measured = np.concatenate([one.between.step_s for one in every])
    rate = fitted_bandwidth(
        lambda guess: np.concatenate([queued_steps(one, one.between, guess) for one in every]), measured
    )
    scores = [judge(heading, one.name, one.between.step_s, queued_steps(one, one.between, rate)) for one in every]
    return [overall(scores), *scores]


def _async_left_out(split: str) -> list[Score]:
    runs_of = {one.name: one.runs for one in _async_series()}
    heading = Heading("cm-dare", split, OURS)
    return _summed(contest(heading, contestants.asynchronous(), runs_of, lambda runs: left_out(runs.machines > 1)))


_ASYNC = {
    "one bandwidth a series": _async_each,
    "one bandwidth for all": _async_shared,
    "leave one out": _async_left_out,
}


def _scaling_of(kind: str) -> dict[str, list[Series]]:
    """Return the synchronous series of a kind by source."""
    found: dict[str, list[Series]] = {}
    for series in scaling_series():
        if series.kind == kind and series.source in SCALING_SOURCES:
            found.setdefault(series.source, []).append(series)
    return found


def _by_source(heading: Heading, kind: str, predict: Callable[[Series], Floats]) -> list[Score]:
    scores: list[Score] = []
    for source, many in _scaling_of(kind).items():
        measured = np.concatenate([one.between.step_s for one in many])
        scores.append(judge(heading, source, measured, np.concatenate([predict(one) for one in many])))
    return [overall(scores), *scores]


def _nominal(split: str, kind: str) -> list[Score]:
    said: dict[str, Callable[[Series], Floats]] = {
        OURS: lambda one: nominal_steps(one, one.between),
        MACHINE_ALONE: lambda one: nominal_steps(one, one.between, alone=False),
        "paleo": lambda one: paleo_steps(one, one.between),
        "linear": lambda one: linear_steps(one, one.between),
    }
    return [
        score for name, predict in said.items() for score in _by_source(Heading("scaling", split, name), kind, predict)
    ]


def _fitted(split: str, kind: str) -> list[Score]:
    def predict(one: Series) -> Floats:
        return step_times(one, one.between, _one_bandwidth(one, step_times, one.between))

    return _by_source(Heading("scaling", split, OURS), kind, predict)


def _left_out(split: str, kind: str) -> list[Score]:
    scores = _by_source(Heading("scaling", split, OURS), kind, lambda one: _rest_of(one, step_times))
    for law in contestants.laws():
        try:
            for many in _scaling_of(kind).values():
                # A law that cannot be fitted to a source refuses here, before the long work.
                law.fit(many[0].runs)
            scores += _by_source(Heading("scaling", split, law.name), kind, partial(_rest_by_law, law))
        except FitError:
            continue
    return scores


def _rest_by_law(law: ScalingModel, series: Series) -> Floats:
    runs = series.runs
    _, prediction = predict_parts(law, runs, left_out(runs.machines > 1))
    return prediction.step_s


_SCALING = {
    "nominal bandwidth": _nominal,
    "one bandwidth a series": _fitted,
    "leave one out": _left_out,
}
