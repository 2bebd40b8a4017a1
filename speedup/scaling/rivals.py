r"""Laws of scaling that others published, with the interface of our own models.

Each is written from its published formula. The laws that speak of speedups are turned into the time of a step: n
workers that do n times the work of one in a step take :math:`n\,t_{grad}(b) / S(n)`, and t_grad(b) comes from the
runs of one worker, as in our own models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from speedup.errors import FitError
from speedup.scaling.compute import Compute
from speedup.scaling.equation import (
    Equation,
    FittedEquation,
    Spread,
    check_usable,
    drift_of,
    fit_equation,
    with_intervals,
)
from speedup.scaling.models import Parameter, Prediction
from speedup.scaling.posterior import Floats, LogTimes, Prior, by_name, robust_spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.scaling.runs import Runs

Overhead: TypeAlias = Callable[[dict[str, Floats], Floats], Floats]
_VAGUE = 3.0


def _fit_overhead(name: str, priors: tuple[Prior, ...], overhead: Overhead, runs: Runs) -> FittedEquation:
    """Fit t_grad(b) h(n), where h is the work of n workers by their speedup."""

    def build(some: Runs) -> Equation:
        compute = Compute.of(some)
        every = (*priors, *compute.priors)

        def bind(asked: Runs) -> LogTimes:
            def log_times(x: Floats) -> Floats:
                p = by_name(every, x)
                return np.asarray(compute.log_time(asked.batch, p) + np.log(overhead(p, asked.workers[None])))

            return log_times

        return Equation(every, bind)

    return fit_equation(name, build, runs)


@dataclass(frozen=True, slots=True)
class Linear:
    r"""Linear scaling: a step takes as long with any number of workers, :math:`T = t_{grad}(b)`.

    Attributes:
        name: Its name.

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> runs = Runs.of(workers=[1, 2], step_s=[0.1, 0.1])
        >>> Linear().fit(runs).predict(Runs.of(workers=[64])).step_s.round(6)
        array([0.1])
    """

    name: str = "linear"

    def fit(self, runs: Runs) -> FittedEquation:
        """Fit the law to measured runs.

        Raises:
            FitError: They are fewer than two.
        """
        return _fit_overhead(self.name, (), lambda _, n: np.ones_like(n), runs)


@dataclass(frozen=True, slots=True)
class Amdahl:
    r"""Amdahl's law: a part :math:`\sigma` of the work is done by one worker at a time.

    .. math:: S(n) = \frac{1}{\sigma + (1 - \sigma)/n}, \qquad T = \frac{n\,t_{grad}(b)}{S(n)}

    Attributes:
        name: Its name.

    Source:
        G. M. Amdahl: Validity of the single processor approach to achieving large scale computing capabilities. AFIPS
        (1967).

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> runs = Runs.of(workers=[1, 2, 4, 8], step_s=[0.1, 0.102, 0.106, 0.114])
        >>> Amdahl().fit(runs).predict(Runs.of(workers=[16])).step_s.round(3)
        array([0.13])
    """

    name: str = "amdahl"

    def fit(self, runs: Runs) -> FittedEquation:
        """Fit the law to measured runs.

        Raises:
            FitError: They are fewer than two.
        """
        return _fit_overhead(self.name, (Prior("serial", 0.05, _VAGUE),), lambda p, n: 1 + p["serial"] * (n - 1), runs)


@dataclass(frozen=True, slots=True)
class UniversalScalability:
    r"""Universal scalability law: contention :math:`\alpha` and pairwise coherency :math:`\beta`.

    .. math:: S(n) = \frac{n}{1 + \alpha (n - 1) + \beta n (n - 1)}, \qquad T = \frac{n\,t_{grad}(b)}{S(n)}

    Attributes:
        name: Its name.

    Source:
        N. J. Gunther: Guerrilla Capacity Planning. Springer (2007).

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> runs = Runs.of(workers=[1, 2, 4, 8], step_s=[0.1, 0.103, 0.112, 0.142])
        >>> UniversalScalability().fit(runs).predict(Runs.of(workers=[16])).step_s.round(2)
        array([0.23])
    """

    name: str = "usl"

    def fit(self, runs: Runs) -> FittedEquation:
        """Fit the law to measured runs.

        Raises:
            FitError: They are fewer than two.
        """
        priors = (Prior("contention", 0.05, _VAGUE), Prior("coherency", 0.001, _VAGUE))
        return _fit_overhead(
            self.name, priors, lambda p, n: 1 + p["contention"] * (n - 1) + p["coherency"] * n * (n - 1), runs
        )


@dataclass(frozen=True, slots=True, eq=False)
class FittedCurve:
    """A law whose parameters were found without priors; its intervals are those of its residuals.

    Attributes:
        name: The law's name.
        parameters: Values of the parameters; their intervals are not known (nan).
        log_time: Takes runs, returns the logarithms of their steps.
        noise: Standard deviation of the logarithms of the runs about the law.
        largest: Largest number of workers of the runs.
        drift: Standard deviation that the first doubling of workers beyond those adds.
    """

    name: str
    parameters: tuple[Parameter, ...]
    log_time: Callable[[Runs], Floats]
    noise: float
    largest: float
    drift: float

    def predict(self, runs: Runs) -> Prediction:
        """Predict the steps of runs, whose ``step_s`` is not read."""
        return with_intervals(_level(self.log_time, self.noise)(runs), runs, self.largest, self.drift)


def _level(log_time: Callable[[Runs], Floats], noise: float) -> Spread:
    return lambda runs: (log_time(runs), np.full(len(runs), noise))


@dataclass(frozen=True, slots=True)
class Ernest:
    r"""Ernest's model: computing on a part of the data, a fixed part, a tree of messages, and messages one by one.

    .. math:: T = \theta_0 + \theta_1 \frac{m}{n} + \theta_2 \log n + \theta_3 n, \qquad \theta \ge 0

    by non-negative least squares, where m/n are the samples of one worker, b.

    Attributes:
        name: Its name.

    Source:
        S. Venkataraman et al.: Ernest: efficient performance prediction for large-scale advanced analytics. NSDI
        (2016).

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> runs = Runs.of(workers=[1, 2, 4, 8], batch=[32, 16, 8, 4], step_s=[0.43, 0.28, 0.22, 0.22])
        >>> Ernest().fit(runs).predict(Runs.of(workers=[16], batch=[2])).step_s.round(2)
        array([0.28])
    """

    name: str = "ernest"

    def fit(self, runs: Runs) -> FittedCurve:
        """Fit the model to measured runs; intervals are from its leave-one-out residuals.

        Raises:
            FitError: They are fewer than two.
        """
        check_usable(runs)
        values, log_time, noise = _ernest(runs)
        units = ("s", "s/sample", "s", "s")
        names = ("fixed_s", "sample_s", "log_workers_s", "worker_s")
        return FittedCurve(
            name=self.name,
            parameters=tuple(
                Parameter(name, float(value), np.nan, np.nan, unit, identified=bool(value > 0))
                for name, value, unit in zip(names, values, units, strict=True)
            ),
            log_time=log_time,
            noise=noise,
            largest=float(runs.workers.max()),
            drift=drift_of(lambda some: _level(*_ernest(some)[1:]), runs),
        )


def _terms(runs: Runs) -> Floats:
    return np.stack([np.ones(len(runs)), runs.batch, np.log(runs.workers), runs.workers], axis=1)


def _ernest(runs: Runs) -> tuple[Floats, Callable[[Runs], Floats], float]:
    """Return the parameters, the logarithm of the times they make, and the leave-one-out spread about these."""
    from scipy.optimize import nnls  # noqa: PLC0415 - SciPy is loaded with the first fit

    columns = _terms(runs)
    size = columns.max(axis=0, initial=1e-12)
    found, _ = nnls(columns / size, runs.step_s)
    values = found / size

    def log_time(asked: Runs) -> Floats:
        return np.asarray(np.log(np.maximum(_terms(asked) @ values, 1e-12 * runs.step_s.min())))

    active = columns[:, values > 0] / size[values > 0]
    leverage = np.einsum("rp,pr->r", active, np.linalg.pinv(active))
    left_out = (log_time(runs) - np.log(runs.step_s)) / np.maximum(1 - leverage, 0.1)
    return values, log_time, robust_spread(left_out, 0)


_POLLUX_NAMES = ("alpha_grad", "beta_grad", "alpha_node", "beta_node", "alpha_local", "beta_local", "gamma")
_POLLUX_UNITS = ("s", "s/sample", "s", "s", "s", "s", "")
_SMALLEST = 1e-8
_ROUNDING = 1e-6  # a square error below which a root's kink would stop the search


@dataclass(frozen=True, slots=True)
class Pollux:
    r"""Pollux's model of seven parameters.

    .. math::
        T = (T_{grad}^\gamma + T_{sync}^\gamma)^{1/\gamma}, \qquad T_{grad} = \alpha_g + \beta_g b, \qquad
        T_{sync} = \begin{cases} 0 & n = 1 \\ \alpha_l + \beta_l (n - 2) & m = 1 \\ \alpha_n + \beta_n (n - 2) & m > 1
        \end{cases}

    with :math:`\gamma` in [1, 10], by minimising the root mean square errors of the logarithms of T and of T_grad and a
    penalty :math:`10^{-3} (\gamma - 1)^2 + 10^{-2} ((\beta_n/\alpha_n)^2 + (\beta_l/\alpha_l)^2)`. Here T_grad is known
    from runs of one worker alone. As published, what no run tells is 0: a network nobody used costs nothing.

    Attributes:
        name: Its name.

    Source:
        A. Qiao et al.: Pollux: co-adaptive cluster scheduling for goodput-optimized deep learning. OSDI (2021).

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> runs = Runs.of(workers=[1, 1, 2, 4, 8], batch=[16, 32, 32, 32, 32], step_s=[0.06, 0.1, 0.13, 0.132, 0.137])
        >>> round(float(Pollux().fit(runs).predict(Runs.of(workers=[6], batch=[32])).step_s[0]), 2)
        0.13
    """

    name: str = "pollux"

    def fit(self, runs: Runs) -> FittedCurve:
        """Fit the model to measured runs.

        Raises:
            FitError: They are fewer than two, or none is of one worker.
        """
        check_usable(runs)
        if not (runs.workers == 1).any():
            raise FitError('no run has 1 worker; the model "pollux" needs one to know the time of a gradient.')
        values, log_time, noise = _pollux(runs)
        return FittedCurve(
            name=self.name,
            parameters=tuple(
                Parameter(name, float(value), np.nan, np.nan, unit, identified=bool(value > 2 * _SMALLEST))
                for name, value, unit in zip(_POLLUX_NAMES, values, _POLLUX_UNITS, strict=True)
            ),
            log_time=log_time,
            noise=noise,
            largest=float(runs.workers.max()),
            drift=drift_of(lambda some: _level(*_pollux(some)[1:]), runs),
        )


def _pollux_times(values: Floats, runs: Runs) -> tuple[Floats, Floats]:
    """Return the logarithms of T_grad and T, each (K, R), of parameters (K, 7)."""
    alpha_grad, beta_grad, alpha_node, beta_node, alpha_local, beta_local, gamma = values.T[:, :, None]
    gradient = np.log(alpha_grad + beta_grad * runs.batch)
    beyond = np.maximum(runs.workers - 2, 0.0)
    sync = np.where(runs.machines > 1, alpha_node + beta_node * beyond, alpha_local + beta_local * beyond)
    sync = np.where(runs.workers == 1, _SMALLEST * np.exp(gradient), sync)
    return gradient, np.logaddexp(gamma * gradient, gamma * np.log(sync)) / gamma


def _pollux(runs: Runs) -> tuple[Floats, Callable[[Runs], Floats], float]:
    """Return the parameters, the logarithm of the times they make, and the spread about these."""
    from scipy.optimize import minimize  # noqa: PLC0415 - SciPy is loaded with the first fit

    observed, alone = np.log(runs.step_s), runs.workers == 1
    free, start = _pollux_start(runs)

    def values(x: Floats) -> Floats:
        full = np.repeat(start[None], len(x), axis=0)
        full[:, free] = x
        return np.concatenate([np.exp(full[:, :6]), full[:, 6:]], axis=1)

    def loss(x: Floats) -> Floats:
        v = values(x)
        gradient, step = _pollux_times(v, runs)
        miss = np.sqrt(np.mean((step - observed) ** 2, axis=1) + _ROUNDING)
        miss += np.sqrt(np.mean((gradient - observed)[:, alone] ** 2, axis=1) + _ROUNDING)
        slopes = (v[:, 3] / v[:, 2]) ** 2 + (v[:, 5] / v[:, 4]) ** 2
        return np.asarray(miss + 1e-3 * (v[:, 6] - 1) ** 2 + 1e-2 * slopes)

    def with_slope(x: Floats) -> tuple[float, Floats]:
        step = 1e-6 * np.eye(len(x))
        around = loss(np.concatenate([x[None], x + step, x - step]))
        return float(around[0]), (around[1 : len(x) + 1] - around[len(x) + 1 :]) / 2e-6

    bounds = [(1.0, 10.0) if place == 6 else (-25.0, 25.0) for place in free]
    starts = [np.where(free == 6, gamma, start[free]) for gamma in (1.5, 4.0)]
    found = [minimize(with_slope, one, jac=True, bounds=bounds, method="L-BFGS-B") for one in starts]
    best = values(min(found, key=lambda one: float(one.fun)).x[None])

    def log_time(asked: Runs) -> Floats:
        return np.asarray(_pollux_times(best, asked)[1][0])

    return best[0], log_time, robust_spread(log_time(runs) - observed, len(free))


def _pollux_start(runs: Runs) -> tuple[NDArray[np.int64], Floats]:
    """Return which parameters are free, and where all of them start: the published rules, on the runs' own scale."""
    t_grad = float(runs.step_s[runs.workers == 1].mean())
    usual = float(runs.step_s.mean())
    start = np.log([t_grad / 2, t_grad / 2 / runs.batch.mean(), usual / 4, usual / 100, usual / 8, usual / 100, np.e])
    across, inside = runs.machines > 1, (runs.machines == 1) & (runs.workers > 1)
    told = {
        0: np.ptp(runs.batch) > 0,
        2: across.any(),
        3: (across & (runs.workers > 2)).any(),
        4: inside.any(),
        5: (inside & (runs.workers > 2)).any(),
    }
    fixed = [place for place, known in told.items() if not known]
    start[[place for place in fixed if place]] = np.log(_SMALLEST * t_grad)
    return np.setdiff1d(np.arange(7), fixed), start
