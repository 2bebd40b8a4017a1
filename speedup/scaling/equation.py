"""Fitting an equation with priors to runs, and how far its predictions are off: within the runs and beyond them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from speedup.errors import FitError
from speedup.scaling.models import Prediction
from speedup.scaling.posterior import Floats, LogTimes, Posterior, Prior, most_probable
from speedup.scaling.runs import Runs
from speedup.units import QUANTILE

if TYPE_CHECKING:
    from speedup.scaling.models import Parameter

USABLE = 2
"""Runs that a fit needs at least."""
DRIFT = 0.08
"""Relative error (a standard deviation) that the first doubling of workers beyond the runs adds, where the runs
cannot say; one value for all trainings and splits of the Pollux traces, by the coverage of their intervals."""
DRIFT_WEIGHT = 1.0
"""Doublings whose errors that assumption is worth."""


@dataclass(frozen=True, slots=True)
class Equation:
    """Priors of parameters, and what makes times of them.

    Attributes:
        priors: Of the P parameters.
        bind: Takes R runs and returns the function from logarithms of parameters (K, P) to those of steps (K, R).
    """

    priors: tuple[Prior, ...]
    bind: Callable[[Runs], LogTimes]


Build: TypeAlias = Callable[[Runs], Equation]
Spread: TypeAlias = Callable[[Runs], tuple[Floats, Floats]]
"""Takes runs, returns logarithms of their steps and the standard deviations of those within the runs fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedEquation:
    """An equation whose parameters were fitted to runs.

    Attributes:
        name: The model's name.
        parameters: Values, intervals, and whether the runs identify them.
        equation: What was fitted.
        posterior: The law of the parameters.
        largest: Largest number of workers of the runs.
        drift: Standard deviation of the logarithm of a step that the first doubling of workers beyond those adds.
    """

    name: str
    parameters: tuple[Parameter, ...]
    equation: Equation
    posterior: Posterior
    largest: float
    drift: float

    def predict(self, runs: Runs) -> Prediction:
        """Predict the steps of runs, whose ``step_s`` is not read."""
        return with_intervals(within(self.equation, self.posterior)(runs), runs, self.largest, self.drift)


def fit_equation(name: str, build: Build, runs: Runs) -> FittedEquation:
    """Fit an equation to runs.

    Args:
        name: Name of the model.
        build: Makes the equation of the runs it is to be fitted to.
        runs: The runs.

    Raises:
        FitError: See ``check_usable``.
    """
    check_usable(runs)

    def solved(some: Runs) -> tuple[Equation, Posterior]:
        equation = build(some)
        return equation, most_probable(equation.priors, equation.bind(some), np.log(some.step_s))

    equation, posterior = solved(runs)
    return FittedEquation(
        name=name,
        parameters=posterior.parameters(),
        equation=equation,
        posterior=posterior,
        largest=float(runs.workers.max()),
        drift=drift_of(lambda some: within(*solved(some)), runs),
    )


def within(equation: Equation, posterior: Posterior) -> Spread:
    """Return what says how surely an equation predicts runs like those it was fitted to."""

    def spread(runs: Runs) -> tuple[Floats, Floats]:
        centre, doubt = posterior.propagate(equation.bind(runs))
        return centre, np.hypot(doubt, posterior.noise)

    return spread


def with_intervals(logs: tuple[Floats, Floats], runs: Runs, largest: float, drift: float) -> Prediction:
    r"""Return a prediction with its intervals.

    .. math:: \sigma^2 = \sigma_{within}^2 + \delta^2 \log_2(n / n_{max}) \quad (n > n_{max})

    Errors of successive doublings add up like independent ones: with them proportional to the doublings, intervals
    one doubling out were too narrow and those five out too wide.

    Args:
        logs: Logarithms of the steps and their standard deviations within the runs fitted.
        runs: The runs predicted.
        largest: Largest number of workers that was fitted.
        drift: Standard deviation that the first doubling beyond it adds.
    """
    centre, spread = logs
    beyond = np.maximum(np.log2(runs.workers / largest), 0.0)
    half = QUANTILE * np.sqrt(spread**2 + drift**2 * beyond)
    return Prediction(np.exp(centre), np.exp(centre - half), np.exp(centre + half), beyond)


def check_usable(runs: Runs) -> None:
    """Check that runs can be fitted.

    Raises:
        FitError: They are fewer than ``USABLE``, all of one worker or of one plan, or a value is out of its range.
    """
    if len(runs) < USABLE:
        raise FitError(f"runs = {len(runs)}; a fit needs at least {USABLE}. Measure another, with other workers.")
    for name, least in (("workers", 1.0), ("machines", 1.0), ("fullest", 1.0), ("servers", 0.0)):
        _check(name, getattr(runs, name), getattr(runs, name) >= least, f"at least {least:g}")
    for name, unit in (("batch", "samples"), ("step_s", "s")):
        _check(name, getattr(runs, name), getattr(runs, name) > 0, f"above 0 {unit}")
    if runs.workers.max() == 1:
        raise FitError("all runs have 1 worker, which says nothing about scaling. Measure one with 2 workers.")
    if len(np.unique(runs.plans, axis=0)) < USABLE:
        raise FitError(
            f"all {len(runs)} runs are of one plan ({runs.workers[0]:g} workers, batch {runs.batch[0]:g}), which says "
            "nothing about another. Measure one with fewer workers."
        )


def _check(name: str, values: Floats, allowed: object, what: str) -> None:
    wrong = np.flatnonzero(~(np.asarray(allowed) & np.isfinite(values)))
    if wrong.size:
        raise FitError(f"{name} = {values[wrong[0]]:g} in run {wrong[0] + 1}; it must be {what}.")


def drift_of(fit: Callable[[Runs], Spread], runs: Runs) -> float:
    r"""Return by how much errors grow with a doubling of workers beyond those fitted, as the runs show it.

    The runs with at most half of the largest number of workers are fitted alone and predict the others,

    .. math:: \delta^2 = \frac{\max(0, \overline{e^2 - \sigma_{within}^2}) + w\,\delta_0^2}{\overline{d} + w}

    with errors e of logarithms, d doublings and the assumption :math:`\delta_0` = ``DRIFT`` of weight w =
    ``DRIFT_WEIGHT``; that alone where fewer than three runs are left, or only those of one worker.

    Args:
        fit: Fits runs and returns what predicts others.
        runs: All runs.
    """
    few = runs.workers <= runs.workers.max() / 2
    if few.sum() <= USABLE or runs.workers[few].max() == 1:
        return DRIFT
    small, rest = runs.take(few), runs.take(~few)
    centre, spread = fit(small)(rest)
    excess = ((centre - np.log(rest.step_s)) ** 2 - spread**2).mean()
    doublings = np.log2(rest.workers / small.workers.max()).mean()
    return float(np.sqrt((max(excess, 0.0) + DRIFT_WEIGHT * DRIFT**2) / (doublings + DRIFT_WEIGHT)))
