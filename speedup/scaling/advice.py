"""Which run to measure next, so that a prediction gets surer for the least cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speedup.errors import FitError
from speedup.scaling.equation import FittedEquation
from speedup.scaling.models import LEVEL
from speedup.scaling.posterior import linearise
from speedup.scaling.runs import Runs
from speedup.units import QUANTILE, positive, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.scaling.models import Fitted

    Floats = NDArray[np.float64]

STEPS = 100
"""Steps that a run is measured over."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A run to measure.

    Attributes:
        workers: Its workers.
        machines: Machines that they are in.
        servers: Machines that hold a shard of the weights.
        batch: Samples of one worker in a step.
        cost_worker_s: Workers times the time of the run [s].
        half_width: Relative half-width of the interval of the plan wanted, now.
        half_width_after: The same once the run is measured.
        level: Probability that the interval states.
    """

    workers: int
    machines: int
    servers: int
    batch: float
    cost_worker_s: float
    half_width: float
    half_width_after: float
    level: float = LEVEL

    def __str__(self) -> str:
        where = _counted(self.machines, "machine") + (f", {_counted(self.servers, 'server')}" if self.servers else "")
        return (
            f"{_counted(self.workers, 'worker')} in {where}, batch {self.batch:g}: "
            f"{self.cost_worker_s:.3g} worker-seconds, interval from +-{self.half_width:.1%} to "
            f"+-{self.half_width_after:.1%}"
        )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def candidates(runs: Runs, largest: int, wanted: Runs) -> Runs:
    """Return runs that could be measured: filled like those there are, with up to so many workers.

    Numbers of workers are powers of two and halfway between, in machines filled as in the runs, with the batch and the
    number of servers of the plan wanted.

    Args:
        runs: The runs there are.
        largest: Largest number of workers.
        wanted: The plan whose prediction counts, one run.

    Raises:
        UnitError: The number is no whole number of at least 1.

    Example:
        >>> candidates(Runs.of(workers=[1, 2], batch=32), 8, Runs.of(workers=[16], batch=32)).workers
        array([1., 2., 3., 4., 6., 8.])
    """
    count = whole("max-workers", largest)
    powers = 2.0 ** np.arange(np.log2(count) + 1)
    counts = np.unique(np.concatenate([powers, 1.5 * powers[1:]]))
    counts = counts[counts <= count]
    fills = np.unique(runs.fullest)
    n, fill = (grid.ravel() for grid in np.meshgrid(counts, fills, indexing="ij"))
    made = Runs.of(
        workers=n,
        machines=np.ceil(n / fill),
        fullest=np.minimum(n, fill),
        servers=wanted.servers[0],
        batch=wanted.batch[0],
    )
    _, first = np.unique(made.plans, axis=0, return_index=True)
    return made.take(np.sort(first))


def usual(values: Floats) -> float:
    """Return the most frequent value, the largest of several.

    Example:
        >>> usual(np.array([8.0, 16.0, 16.0, 8.0]))
        16.0
    """
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts == counts.max()][-1])


def suggest(
    fitted: Fitted, options: Runs, wanted: Runs, *, budget_worker_s: float | None = None, steps: int = STEPS
) -> tuple[Suggestion, ...]:
    r"""Return the runs worth measuring, the best first.

    A run c lowers the variance of the prediction of a plan t by

    .. math:: \frac{(h_t^T \Sigma h_c + \delta^2 \min(d_t, d_c))^2}{h_c^T \Sigma h_c + \sigma^2 + \delta^2 d_c}

    with the gradients h of the logarithms of their steps, the covariance :math:`\Sigma` of the parameters, the spread
    :math:`\sigma` of a run, and the drift :math:`\delta` over d doublings of workers beyond the runs. Within a budget
    the largest reduction is best, without one the largest per cost.

    Args:
        fitted: A model fitted to the runs there are.
        options: Runs that could be measured.
        wanted: The plan whose prediction counts, one run.
        budget_worker_s: Workers times the time of a run that may be spent [s].
        steps: Steps that a run is measured over.

    Raises:
        FitError: The model has no posterior, or no run is within the budget.

    Example:
        >>> from speedup.scaling.step import AllReduceStep
        >>> fitted = AllReduceStep().fit(Runs.of(workers=[1, 2, 4], step_s=[0.1, 0.14, 0.142]))
        >>> best = suggest(fitted, Runs.of(workers=[2, 8]), Runs.of(workers=[16]), budget_worker_s=1000)[0]
        >>> best.workers, best.half_width_after < best.half_width
        (8, True)
    """
    if not isinstance(fitted, FittedEquation):
        raise FitError(f'the model "{fitted.name}" has no posterior to plan with; use "speedup" or "servers".')
    cost = options.workers * fitted.predict(options).step_s * whole("steps", steps)
    before, after = _variances(fitted, options, wanted)
    gain = before - after
    order = np.argsort(-gain / cost, kind="stable")
    if budget_worker_s is not None:
        limit = positive("budget", budget_worker_s, "worker-seconds")
        order = np.argsort(-gain, kind="stable")
        order = order[cost[order] <= limit]
        if not order.size:
            raise FitError(
                f"budget = {limit:g} worker-seconds; the cheapest run costs {cost.min():.3g}. Raise it, or measure "
                "fewer steps."
            )
    return tuple(
        Suggestion(
            workers=int(options.workers[row]),
            machines=int(options.machines[row]),
            servers=int(options.servers[row]),
            batch=float(options.batch[row]),
            cost_worker_s=float(cost[row]),
            half_width=_half_width(before),
            half_width_after=_half_width(float(after[row])),
        )
        for row in order
    )


def _half_width(variance: float) -> float:
    return float(np.expm1(QUANTILE * np.sqrt(variance)))


def _variances(fitted: FittedEquation, options: Runs, wanted: Runs) -> tuple[float, Floats]:
    """Return the variance of the logarithm of the plan wanted, now and once each of the options is measured."""
    noise = fitted.posterior.noise**2
    both = options.joined(wanted.take(np.array([0])))
    beyond = np.maximum(np.log2(both.workers / fitted.largest), 0.0)
    _, slopes = linearise(fitted.equation.bind(both), fitted.posterior.mode)
    shared = slopes @ fitted.posterior.covariance @ slopes[-1] + fitted.drift**2 * np.minimum(beyond, beyond[-1])
    own = np.einsum("rp,pq,rq->r", slopes, fitted.posterior.covariance, slopes) + fitted.drift**2 * beyond + noise
    return float(own[-1]), own[-1] - shared[:-1] ** 2 / own[:-1]
