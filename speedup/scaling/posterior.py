"""Positive parameters with priors, their most probable values, and how sure these are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from speedup.scaling.models import Parameter
from speedup.units import QUANTILE

Floats: TypeAlias = NDArray[np.float64]
LogTimes: TypeAlias = Callable[[Floats], Floats]

MISFIT = 0.05
"""What a form is expected to miss of a step, relatively; larger errors pull less than their square."""
IDENTIFIED = 0.7
"""A parameter is identified if the runs make its spread less than this part of the prior's."""

_STEP = 1e-5
_LARGEST = 60.0  # of a logarithm: keeps exp() in range with room for products
_STARTS = 3


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed of a positive parameter before any run is seen: a log-normal law.

    Attributes:
        name: The parameter.
        median: Median of the law, above ``floor``.
        spread: Standard deviation of the logarithm.
        unit: Unit of the parameter.
        floor: What is added to the log-normal quantity: 1 for an exponent that is at least 1.
        nuisance: Whether it only takes up what is peculiar to some runs, and is not reported.
    """

    name: str
    median: float
    spread: float
    unit: str = ""
    floor: float = 0.0
    nuisance: bool = False

    def value(self, logarithm: Floats) -> Floats:
        """Return the parameter from the logarithm that is fitted."""
        return np.asarray(self.floor + np.exp(np.clip(logarithm, -_LARGEST, _LARGEST)))


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """The law of parameters after the runs: normal in their logarithms (Laplace's approximation).

    Attributes:
        priors: What was assumed of them, P.
        mode: Most probable logarithms, shape (P,).
        covariance: Their covariance, shape (P, P).
        noise: Standard deviation of the logarithm of a step about the form.
    """

    priors: tuple[Prior, ...]
    mode: Floats
    covariance: Floats
    noise: float

    @property
    def spread(self) -> Floats:
        """Standard deviations of the logarithms, shape (P,)."""
        return np.sqrt(np.diag(self.covariance))

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters with their intervals, nuisances left out."""
        return tuple(
            Parameter(
                name=prior.name,
                value=float(prior.value(centre)),
                low=float(prior.value(centre - QUANTILE * spread)),
                high=float(prior.value(centre + QUANTILE * spread)),
                unit=prior.unit,
                identified=bool(spread < IDENTIFIED * prior.spread),
            )
            for prior, centre, spread in zip(self.priors, self.mode, self.spread, strict=True)
            if not prior.nuisance
        )

    def propagate(self, log_times: LogTimes) -> tuple[Floats, Floats]:
        """Return what the parameters make of a form.

        Args:
            log_times: The form bound to R runs.

        Returns:
            Logarithms of the times at the mode, and their standard deviations that the parameters leave; shape (R,).
        """
        centre, jacobian = linearise(log_times, self.mode)
        variance = np.einsum("rp,pq,rq->r", jacobian, self.covariance, jacobian)
        return centre, np.sqrt(np.maximum(variance, 0.0))


def by_name(priors: tuple[Prior, ...], x: Floats) -> dict[str, Floats]:
    """Return values of parameters by name, each (K, 1), from their logarithms (K, P)."""
    return {prior.name: prior.value(x[:, [place]]) for place, prior in enumerate(priors)}


def linearise(log_times: LogTimes, x: Floats) -> tuple[Floats, Floats]:
    """Return a form at x (R,) and its Jacobian (R, P), by differences that are evaluated all at once."""
    points = np.concatenate([x[None], x + _STEP * np.eye(len(x)), x - _STEP * np.eye(len(x))])
    values = log_times(points)
    ahead, behind = values[1 : len(x) + 1], values[len(x) + 1 :]
    return values[0], (ahead - behind).T / (2 * _STEP)


def most_probable(priors: tuple[Prior, ...], log_times: LogTimes, observed: Floats) -> Posterior:
    r"""Fit parameters to observed times.

    .. math:: \min_x \sum_r \rho\!\left(\frac{f_r(x) - y_r}{\sigma}\right)
        + \sum_p \left(\frac{x_p - \mu_p}{\tau_p}\right)^2, \qquad \rho(e) = 2 (\sqrt{1 + e^2} - 1)

    with logarithms f of the form and y of the observations, :math:`\sigma` = ``MISFIT``, and the priors' medians
    and spreads; from several starting points, of which the first is the priors' medians.

    Args:
        priors: What is assumed of the P parameters.
        log_times: The form bound to the R runs: logarithms of parameters (K, P) to logarithms of times (K, R).
        observed: Logarithms of the observed times, shape (R,).

    Returns:
        The posterior; where nothing is to be fitted, its noise alone.
    """
    from scipy.optimize import least_squares  # noqa: PLC0415 - SciPy is loaded with the first fit

    centre = np.log([prior.median for prior in priors])
    spread = np.array([prior.spread for prior in priors])

    def residuals(x: Floats) -> Floats:
        return np.append(_softened((log_times(x[None])[0] - observed) / MISFIT)[0], (x - centre) / spread)

    def slopes(x: Floats) -> Floats:
        values, jacobian = linearise(log_times, x)
        pull = _softened((values - observed) / MISFIT)[1] / MISFIT
        return np.concatenate([pull[:, None] * jacobian, np.diag(1 / spread)])

    starts = np.random.default_rng(0).normal(size=(_STARTS, len(priors))) * np.minimum(spread, 2.0) / 2
    starts[0] = 0.0
    found = [least_squares(residuals, centre + start, slopes, ftol=1e-7, xtol=1e-7) for start in starts if len(priors)]
    mode = min(found, key=lambda one: float(one.cost)).x if found else centre
    return _laplace(priors, mode, log_times, observed)


def _softened(errors: Floats) -> tuple[Floats, Floats]:
    """Return signed roots of the loss that grows like a square first and then like the error, and their slopes."""
    size = np.sqrt(1 + errors**2)
    root = np.sign(errors) * np.sqrt(2 * errors**2 / (1 + size))
    return root, np.sqrt((1 + size) / 2) / size


def _laplace(priors: tuple[Prior, ...], mode: Floats, log_times: LogTimes, observed: Floats) -> Posterior:
    values, jacobian = linearise(log_times, mode)
    errors = values - observed
    noise = robust_spread(errors, len(priors))
    weights = 1 / np.sqrt(1 + (errors / MISFIT) ** 2)
    precision = (jacobian * weights[:, None]).T @ jacobian / noise**2
    precision += np.diag([prior.spread**-2 for prior in priors])
    return Posterior(priors, mode, np.asarray(np.linalg.inv(precision), dtype=np.float64), noise)


def robust_spread(errors: Floats, fitted: int) -> float:
    """Return the standard deviation that errors stand for, few large ones counting little.

    Args:
        errors: Errors of logarithms; those that are exactly 0 were fitted by construction and say nothing.
        fitted: How many parameters were fitted to them.
    """
    told = np.abs(errors[np.abs(errors) > 1e-9])
    freedom = max(len(told) - fitted, 0)
    # As if four more errors, each of the misfit that forms are expected to have, had been seen.
    size = np.sqrt(np.mean(np.minimum(told, 3 * np.median(told)) ** 2)) if len(told) else 0.0
    inflated = size**2 * len(told) / max(freedom, 1) if freedom else MISFIT**2
    return float(np.sqrt((freedom * inflated + 4 * MISFIT**2) / (freedom + 4)))
