"""How well models predict runs that they were not fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speedup.errors import FitError, UnknownNameError, suggestion
from speedup.scaling.rivals import Amdahl, Ernest, Linear, Pollux, UniversalScalability
from speedup.scaling.servers import AsynchronousServer, ServerStep
from speedup.scaling.step import AllReduceStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from speedup.scaling.models import ScalingModel
    from speedup.scaling.runs import Runs

    Floats = NDArray[np.float64]

MODELS: dict[str, ScalingModel] = {
    model.name: model
    for model in (
        AllReduceStep(),
        ServerStep(),
        AsynchronousServer(),
        Pollux(),
        Ernest(),
        UniversalScalability(),
        Amdahl(),
        Linear(),
    )
}
"""All models by name."""
SINGLY = 30
"""Up to so many plans, each is left out alone; beyond it, ``FOLDS`` parts of them are."""
FOLDS = 10
_ONLY_ALLREDUCE = frozenset({"speedup", "pollux"})
_ONLY_SERVERS = frozenset({"servers", "async"})


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How well a model predicts runs that were left out.

    Attributes:
        model: Its name.
        error: Mean relative error of the step; nan where nothing could be predicted.
        median: Median of it.
        largest: The largest.
        coverage: Share of the runs that lie in their intervals.
        half_width: Median half-width of these, relative to the prediction.
        runs: How many runs were predicted.
        ahead: Mean relative error of the runs with more than half of the largest number of workers, predicted from the
            others; nan where that cannot be told.
        problem: Why nothing could be predicted, if so.
    """

    model: str
    error: float
    median: float
    largest: float
    coverage: float
    half_width: float
    runs: int
    ahead: float
    problem: str = ""


def model_named(name: str) -> ScalingModel:
    """Return a model by its name.

    Raises:
        UnknownNameError: None has it.

    Example:
        >>> model_named("USL").name
        'usl'
    """
    model = MODELS.get(name.lower())
    if model is None:
        raise UnknownNameError(f'unknown model "{name}". {suggestion(name, MODELS)}Models: {", ".join(MODELS)}.')
    return model


def models_for(runs: Runs) -> tuple[ScalingModel, ...]:
    """Return the models that can be fitted to runs, our own first: those of servers, or of an all-reduce.

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> [model.name for model in models_for(Runs.of(workers=[1, 2]))]
        ['speedup', 'pollux', 'ernest', 'usl', 'amdahl', 'linear']
    """
    served = bool((runs.servers > 0).all())
    without = _ONLY_ALLREDUCE if served else _ONLY_SERVERS
    if (runs.servers > 0).any() and not served:
        without = _ONLY_ALLREDUCE | _ONLY_SERVERS
    return tuple(model for name, model in MODELS.items() if name not in without)


def hold_out(model: ScalingModel, runs: Runs) -> HeldOut:
    """Leave runs out, predict them from the others, and compare.

    Runs of one plan are left out together. Each of up to ``SINGLY`` plans is left out alone, more in ``FOLDS`` parts.
    What cannot be predicted, because the others are too few, is not counted.

    Args:
        model: The model.
        runs: Measured runs.

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> runs = Runs.of(workers=[1, 2, 4, 8, 16], step_s=[0.1, 0.11, 0.13, 0.17, 0.25])
        >>> hold_out(MODELS["amdahl"], runs).error < 0.02 < hold_out(MODELS["linear"], runs).error
        True
    """
    found, problem = [], ""
    for left_out in _parts(runs):
        try:
            found.append(_predict_rest(model, runs, left_out))
        except FitError as error:
            problem = str(error)
    if not found:
        return HeldOut(model.name, *(np.nan,) * 5, runs=0, ahead=np.nan, problem=problem)
    errors, inside, widths = (np.concatenate(part) for part in zip(*found, strict=True))
    return HeldOut(
        model=model.name,
        error=float(errors.mean()),
        median=float(np.median(errors)),
        largest=float(errors.max()),
        coverage=float(inside.mean()),
        half_width=float(np.median(widths)),
        runs=len(errors),
        ahead=_ahead(model, runs),
    )


def compare(runs: Runs, models: Iterable[ScalingModel] | None = None) -> tuple[HeldOut, ...]:
    """Return how well models predict runs left out, the best first.

    Args:
        runs: Measured runs.
        models: Models; all that fit such runs if left out.
    """
    rows = [hold_out(model, runs) for model in models or models_for(runs)]
    return tuple(sorted(rows, key=lambda row: (np.isnan(row.error), row.error)))


def _parts(runs: Runs) -> Iterator[NDArray[np.bool_]]:
    """Yield the runs to leave out together, whatever order they are in."""
    plans, place = np.unique(runs.plans, axis=0, return_inverse=True)
    parts = len(plans) if len(plans) <= SINGLY else FOLDS
    for part in range(parts):
        yield place.ravel() % parts == part


def _predict_rest(model: ScalingModel, runs: Runs, left_out: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Return relative errors of runs left out, whether they are in their intervals, and half-widths of these."""
    rest = runs.take(left_out)
    made = model.fit(runs.take(~left_out)).predict(rest)
    inside = (made.low_s <= rest.step_s) & (rest.step_s <= made.high_s)
    width = (made.high_s - made.low_s) / 2 / made.step_s
    return np.abs(made.step_s / rest.step_s - 1), inside.astype(np.float64), width


def _ahead(model: ScalingModel, runs: Runs) -> float:
    try:
        return float(_predict_rest(model, runs, runs.workers > runs.workers.max() / 2)[0].mean())
    except FitError:
        return np.nan
