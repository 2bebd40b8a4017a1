"""All that runs say about a scaling: parameters, how far to trust them, predictions, and the run to make next."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.scaling.advice import STEPS, Suggestion, candidates, suggest, usual
from speedup.scaling.evaluation import HeldOut, compare, model_named, models_for
from speedup.scaling.models import LEVEL
from speedup.scaling.runs import Runs
from speedup.text import aligned, ratio
from speedup.units import positive, show_seconds, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.scaling.collectives import LinkFit
    from speedup.scaling.models import Fitted, Parameter, Prediction, ScalingModel

    Floats = NDArray[np.float64]

SCHEMA = "speedup.fit/1"
_SUGGESTIONS = 3
_WORTH = 0.99  # of the interval that is left once the run is measured


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What was learned from runs.

    Attributes:
        runs: The runs.
        fitted: The model fitted to them.
        comparison: How well models predict runs left out, the best first.
        plans: What was predicted.
        prediction: Their steps.
        alone_s: Predicted step of one worker with the batch of each plan [s].
        suggestions: Runs to make next, the best first; empty if not asked for.
        link: What a collective showed, if one was given.
    """

    runs: Runs
    fitted: Fitted
    comparison: tuple[HeldOut, ...]
    plans: Runs
    prediction: Prediction
    alone_s: Floats
    suggestions: tuple[Suggestion, ...] = ()
    link: LinkFit | None = None

    @property
    def speedup(self) -> Floats:
        """Predicted speedups: samples per second by those of one worker."""
        return self.plans.workers * self.alone_s / self.prediction.step_s

    def to_dict(self) -> dict[str, Any]:
        """Return the study as a plain document; what is not known is None."""
        document = {
            "schema": SCHEMA,
            "model": self.fitted.name,
            "runs": len(self.runs),
            "level": LEVEL,
            "parameters": [asdict(one) for one in self.fitted.parameters],
            "held_out": [asdict(one) for one in self.comparison],
            "predictions": [self._plan(row) for row in range(len(self.plans))],
            "next": [asdict(one) for one in self.suggestions],
            "link": None if self.link is None else asdict(self.link),
        }
        known: dict[str, Any] = _without_nan(document)
        return known

    def to_json(self) -> str:
        """Return the study as JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def _plan(self, row: int) -> dict[str, Any]:
        plans, made = self.plans, self.prediction
        return {
            "workers": int(plans.workers[row]),
            "machines": int(plans.machines[row]),
            "servers": int(plans.servers[row]),
            "batch": float(plans.batch[row]),
            "step_s": float(made.step_s[row]),
            "low_s": float(made.low_s[row]),
            "high_s": float(made.high_s[row]),
            "speedup": float(self.speedup[row]),
            "beyond_doublings": float(made.beyond[row]),
        }

    def __str__(self) -> str:
        counts = self.runs.workers
        lines = [
            f"model {self.fitted.name}, fitted to {len(self.runs)} runs of {counts.min():g} to {counts.max():g} workers"
        ]
        lines += ["", *_parameter_lines(self.fitted.parameters)]
        if self.comparison:
            lines += ["", "predicting runs that were left out", *_comparison_lines(self.comparison)]
        lines += ["", f"predictions, intervals of {LEVEL:.0%}", *self._prediction_lines()]
        if self.suggestions:
            lines += ["", f"next run to make ({STEPS} steps), for {self.plans.workers[-1]:g} workers"]
            lines += [f"  {place}. {one}" for place, one in enumerate(self.suggestions, 1)]
            best = min(one.half_width_after for one in self.suggestions)
            if best > _WORTH * self.suggestions[0].half_width:
                lines.append("  hardly worth it: only runs with more workers, or a larger budget, would help")
        if self.link is not None:
            lines += ["", str(self.link)]
        return "\n".join(lines)

    def _prediction_lines(self) -> list[str]:
        rows = [("workers", "machines", "batch", "step", "interval", "speedup", "efficiency")]
        for row in range(len(self.plans)):
            plan = self._plan(row)
            rows.append(
                (
                    str(plan["workers"]),
                    str(plan["machines"]),
                    f"{plan['batch']:g}",
                    show_seconds(plan["step_s"]),
                    f"{show_seconds(plan['low_s'])} to {show_seconds(plan['high_s'])}",
                    ratio(plan["speedup"]),
                    f"{plan['speedup'] / plan['workers']:.0%}",
                )
            )
        notes = ("", *(caution(*facts) for facts in zip(*self._doubts(), strict=True)))
        return [f"{line}  {note}".rstrip() for line, note in zip(aligned(rows), notes, strict=True)]

    def _doubts(self) -> tuple[Floats, Floats]:
        made = self.prediction
        return made.beyond, np.sqrt(made.high_s / made.low_s) - 1


def caution(beyond: float, half_width: float) -> str:
    """Say how far a prediction lies beyond the runs; empty within them.

    Example:
        >>> caution(2.0, 0.123), caution(0.0, 0.05)
        ('beyond the runs by 2.0 doublings: expect +-12%', '')
    """
    times = "doubling" if beyond == 1 else "doublings"
    return f"beyond the runs by {beyond:.1f} {times}: expect +-{half_width:.0%}" if beyond > 0 else ""


def study(
    runs: Runs,
    *,
    model: str | ScalingModel | None = None,
    predict_workers: Sequence[int] = (),
    batch: float | None = None,
    per_machine: int | None = None,
    servers: int | None = None,
    comparing: bool = True,
    next_runs: bool = False,
    max_workers: int | None = None,
    budget_worker_s: float | None = None,
    link: LinkFit | None = None,
) -> Study:
    """Fit a model to runs, judge it beside the others, predict, and say which run to make next.

    Args:
        runs: Measured runs.
        model: The model, or its name; ours for an all-reduce or for servers if left out.
        predict_workers: Numbers of workers to predict; twice and four times the largest of the runs if left out.
        batch: Samples of one worker; what most runs have if left out.
        per_machine: Workers in a machine; as many as in the fullest of the runs if left out.
        servers: Machines that hold a shard of the weights; as in most runs if left out.
        comparing: Whether to compare models by leaving runs out.
        next_runs: Whether to say which run to make next, for the last of the predictions.
        max_workers: Largest number of workers of such a run; twice that of the runs if left out.
        budget_worker_s: Workers times the time that it may take [s].
        link: What a collective showed, to be stated beside.

    Raises:
        FitError: The runs cannot be fitted.
        UnknownNameError: No model has that name.
        UnitError: A number of workers, machines or servers, or a batch, is out of its range.

    Example:
        >>> found = study(Runs.of(workers=[1, 2, 4], step_s=[0.1, 0.14, 0.142]), predict_workers=[8], comparing=False)
        >>> found.to_dict()["predictions"][0]["beyond_doublings"]
        1.0
    """
    chosen = model_named(model) if isinstance(model, str) else model or models_for(runs)[0]
    fitted = chosen.fit(runs)
    largest = int(runs.workers.max())
    plans = _plans(runs, predict_workers or (2 * largest, 4 * largest), batch, per_machine, servers)
    alone = Runs.of(workers=np.ones(len(plans)), servers=plans.servers, batch=plans.batch)
    suggestions: tuple[Suggestion, ...] = ()
    if next_runs:
        wanted = plans.take(np.array([len(plans) - 1]))
        options = candidates(runs, 2 * largest if max_workers is None else max_workers, wanted)
        suggestions = suggest(fitted, options, wanted, budget_worker_s=budget_worker_s)[:_SUGGESTIONS]
    return Study(
        runs=runs,
        fitted=fitted,
        comparison=_compared(runs, chosen) if comparing else (),
        plans=plans,
        prediction=fitted.predict(plans),
        alone_s=fitted.predict(alone).step_s,
        suggestions=suggestions,
        link=link,
    )


def _plans(
    runs: Runs, workers: Sequence[int], batch: float | None, per_machine: int | None, servers: int | None
) -> Runs:
    counts = np.array([whole("workers", count) for count in workers], dtype=np.float64)
    fill = np.minimum(counts, runs.fullest.max() if per_machine is None else whole("per-machine", per_machine))
    return Runs.of(
        workers=counts,
        machines=np.ceil(counts / fill),
        fullest=fill,
        servers=usual(runs.servers) if servers is None else whole("servers", servers, minimum=0),
        batch=usual(runs.batch) if batch is None else positive("batch", batch, "samples"),
    )


def _compared(runs: Runs, chosen: ScalingModel) -> tuple[HeldOut, ...]:
    others = [model for model in models_for(runs) if model.name != chosen.name]
    return compare(runs, [chosen, *others])


def _parameter_lines(parameters: Sequence[Parameter]) -> list[str]:
    rows = [("parameter", "value", "interval", "unit")]
    notes = [""]
    for one in parameters:
        interval = "" if math.isnan(one.low) else f"{one.low:.3g} to {one.high:.3g}"
        rows.append((one.name, f"{one.value:.3g}", interval, one.unit))
        notes.append("" if one.identified else "not identified: the runs say hardly more than was assumed")
    return [f"{line}  {note}".rstrip() for line, note in zip(aligned(rows), notes, strict=True)]


def _comparison_lines(rows: Sequence[HeldOut]) -> list[str]:
    cells: list[tuple[str, ...]] = [
        ("model", "error", "median", "largest", "within interval", "half-width", "twice the workers")
    ]
    for row in rows:
        numbers = (row.error, row.median, row.largest, row.coverage, row.half_width, row.ahead)
        cells.append((row.model, *("-" if math.isnan(number) else f"{number:.1%}" for number in numbers)))
    notes = ["", *(row.problem if not row.runs else "" for row in rows)]
    return [f"{line}  {note}".rstrip() for line, note in zip(aligned(cells), notes, strict=True)]


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - any part of a document
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
