"""The law of a duration: its mean, its spread and its shape.

The same value is read by the queueing estimators, which need moments, and by the simulation, which needs draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from speedup.errors import PlanError, UnitError
from speedup.plans import one_of
from speedup.units import not_negative

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class LawKind(StrEnum):
    """How a duration is distributed about its mean."""

    CONSTANT = "constant"
    """Always the mean."""
    EXPONENTIAL = "exponential"
    """Memoryless; its coefficient of variation is 1."""
    GAMMA = "gamma"
    """Any coefficient of variation, a light tail."""
    LOGNORMAL = "lognormal"
    """Any coefficient of variation, a heavier tail: what steps on shared machines look like."""
    EMPIRICAL = "empirical"
    """Drawn from samples, with replacement."""
    SEQUENCE = "sequence"
    """Samples in their order, and from the beginning again."""


NAMED_LAWS = (LawKind.GAMMA, LawKind.LOGNORMAL, LawKind.EXPONENTIAL, LawKind.CONSTANT)
"""The laws that a mean and a coefficient of variation determine."""


@dataclass(frozen=True, slots=True)
class Law:
    """The law of one duration.

    Attributes:
        mean_s: Mean [s], at least 0.
        cv: Coefficient of variation, at least 0.
        kind: Shape; constant whenever cv is 0.
        samples_s: The samples of an empirical law or a sequence [s].

    Example:
        >>> Law.named("gamma", 0.5, 0.2)
        Law(mean_s=0.5, cv=0.2, kind=<LawKind.GAMMA: 'gamma'>, samples_s=())
    """

    mean_s: float
    cv: float = 0.0
    kind: LawKind = LawKind.CONSTANT
    samples_s: tuple[float, ...] = ()

    @classmethod
    def named(cls, kind: str, mean_s: float, cv: float | None = None) -> Law:
        """Return a law by its name.

        Args:
            kind: ``gamma``, ``lognormal``, ``exponential`` or ``constant``.
            mean_s: Mean [s].
            cv: Coefficient of variation; 1 for an exponential and 0 for the others if left out. 0 makes every
                law constant.

        Raises:
            PlanError: No law has that name, or the law cannot have that coefficient of variation.
            UnitError: The mean or the coefficient of variation is negative or not finite.
        """
        chosen = one_of("law", kind, NAMED_LAWS)
        if cv is None:
            cv = 1.0 if chosen is LawKind.EXPONENTIAL else 0.0
        mean, spread = not_negative("mean", mean_s, "s"), not_negative("cv", cv, "")
        if chosen is LawKind.CONSTANT and spread > 0:
            raise PlanError(f'cv = {spread:g}, but law = "constant" has none; use gamma or lognormal.')
        if chosen is LawKind.EXPONENTIAL and spread not in {0.0, 1.0}:
            raise PlanError(f'cv = {spread:g}, but law = "exponential" has cv 1; use gamma or lognormal.')
        return cls(mean, spread, chosen if spread > 0 and mean > 0 else LawKind.CONSTANT)

    @classmethod
    def of_samples(cls, samples_s: Sequence[float], *, in_order: bool = False) -> Law:
        """Return the law of measured durations.

        Args:
            samples_s: The samples [s].
            in_order: Play them back one after another instead of drawing among them.

        Raises:
            UnitError: There is none, or one is negative or not finite.
        """
        values = np.asarray(samples_s, dtype=np.float64).ravel()
        if not values.size:
            raise UnitError("there are no samples; give at least one duration [s].")
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise UnitError("every sample must be a finite number of seconds, at least 0.")
        mean = float(values.mean())
        cv = float(values.std() / mean) if mean > 0 else 0.0
        return cls(mean, cv, LawKind.SEQUENCE if in_order else LawKind.EMPIRICAL, tuple(values.tolist()))

    def scaled(self, factor: float) -> Law:
        """Return the law of ``factor`` times the duration."""
        return Law(self.mean_s * factor, self.cv, self.kind, tuple(factor * one for one in self.samples_s))

    def later_by(self, seconds: float) -> Law:
        """Return the law of the duration and a constant one after it.

        Example:
            >>> Law.named("gamma", 1.0, 0.2).later_by(1.0)
            Law(mean_s=2.0, cv=0.1, kind=<LawKind.GAMMA: 'gamma'>, samples_s=())
        """
        if not seconds:
            return self
        mean = self.mean_s + seconds
        kind = LawKind.GAMMA if self.kind is LawKind.EXPONENTIAL else self.kind
        return Law(mean, self.cv * self.mean_s / mean, kind, tuple(one + seconds for one in self.samples_s))

    def spread_by(self, factor: float) -> Law:
        """Return a law of the same mean whose coefficient of variation is ``factor`` times as large."""
        if self.samples_s:
            moved = self.mean_s + factor * (np.asarray(self.samples_s) - self.mean_s)
            return Law.of_samples(np.maximum(moved, 0.0).tolist(), in_order=self.kind is LawKind.SEQUENCE)
        kind = LawKind.GAMMA if self.kind is LawKind.EXPONENTIAL else self.kind
        return Law(self.mean_s, self.cv * factor, kind)

    @property
    def gini(self) -> float:
        r"""Half the expected difference of two draws by the mean, :math:`E|X_1 - X_2| / (2 E X)`.

        Example:
            >>> Law.named("exponential", 2.0).gini
            0.5
        """
        match self.kind:
            case LawKind.CONSTANT:
                return 0.0
            case LawKind.EXPONENTIAL:
                return 0.5
            case LawKind.GAMMA:
                shape = self.cv**-2
                return math.exp(math.lgamma(shape + 0.5) - math.lgamma(shape + 1)) / math.sqrt(math.pi)
            case LawKind.LOGNORMAL:
                return math.erf(math.sqrt(math.log1p(self.cv**2)) / 2)
            case _:
                ordered = np.sort(self.samples_s)
                rank = np.arange(1, len(ordered) + 1)
                total = ordered.sum()
                return float((2 * rank - len(ordered) - 1) @ ordered / (len(ordered) * total)) if total else 0.0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return independent draws [s]; for a sequence, those of its samples too."""
        match self.kind:
            case LawKind.CONSTANT:
                return np.full(shape, self.mean_s)
            case LawKind.EXPONENTIAL:
                return rng.exponential(self.mean_s, shape)
            case LawKind.GAMMA:
                return rng.gamma(self.cv**-2, self.mean_s * self.cv**2, shape)
            case LawKind.LOGNORMAL:
                return rng.lognormal(self.log_median, self.sigma, shape)
            case _:
                return rng.choice(np.asarray(self.samples_s), shape)

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm, if lognormal."""
        return math.sqrt(math.log1p(self.cv**2))

    @property
    def log_median(self) -> float:
        """Logarithm of the median [s], if lognormal."""
        return math.log(self.mean_s) - math.log1p(self.cv**2) / 2
