r"""What a larger batch buys: steps and samples to a target from the gradient noise scale.

A batch of m samples gives the gradient with a variance of :math:`\operatorname{tr}\Sigma / m`. Up to the noise scale
:math:`B_n = \operatorname{tr}\Sigma / |G|^2` a batch twice as large needs about half of the steps; far beyond it as
many steps as before. The equations are E.1 to E.10 of ``speedup.formulas``; here they are functions of arrays.

Sources: McCandlish, Kaplan, Amodei, *An empirical model of large-batch training*, 2018; Qiao et al., *Pollux*, OSDI
2021; Johnson, Agrawal, Gu, Guestrin, *AdaScale SGD*, ICML 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from speedup.errors import UnitError
from speedup.provenance import Provenance
from speedup.units import not_negative, positive, whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64] | np.float64


class Span(StrEnum):
    """Over what a noise scale is an average."""

    LATEST = "latest"
    """The last steps measured: what the training is like now."""
    RUN = "run"
    """All steps from the first one, as the number of steps to a target needs it (``run_average``)."""


def _samples(what: str, value: ArrayLike) -> Floats:
    """Return numbers of samples as floats.

    Raises:
        UnitError: One is not a finite number above 0.
    """
    numbers = np.asarray(value, dtype=np.float64)
    wrong = ~(np.isfinite(numbers) & (numbers > 0))
    if wrong.any():
        raise UnitError(f"{what} = {numbers[wrong].flat[0]:g} samples; it must be finite and > 0.")
    return numbers[()]


def steps_factor(noise_scale: ArrayLike, batch: ArrayLike) -> Floats:
    r"""Return by how much the steps to a target exceed those of an infinite batch, equation E.1.

    .. math:: S / S_{min} = 1 + B_n / m

    Args:
        noise_scale: :math:`B_n` [samples].
        batch: m, samples of one update, those of all workers together; broadcasts.

    Raises:
        UnitError: A number is not above 0.

    Example:
        >>> steps_factor(200, [50, 200, 800]).tolist()
        [5.0, 2.0, 1.25]
    """
    return 1.0 + _samples("noise_scale", noise_scale) / _samples("batch", batch)


def examples_factor(noise_scale: ArrayLike, batch: ArrayLike) -> Floats:
    r"""Return by how much the samples to a target exceed those of the smallest batch, equation E.2.

    .. math:: E / E_{min} = 1 + m / B_n

    Args:
        noise_scale: :math:`B_n` [samples].
        batch: m, samples of one update; broadcasts.

    Raises:
        UnitError: A number is not above 0.

    Example:
        >>> examples_factor(200, [50, 200, 800]).tolist()
        [1.25, 2.0, 5.0]
    """
    return 1.0 + _samples("batch", batch) / _samples("noise_scale", noise_scale)


def statistical_efficiency(noise_scale: ArrayLike, batch: ArrayLike, base: ArrayLike) -> Floats:
    r"""Return what a sample of a batch is worth beside one of a base batch, equation E.5.

    .. math:: e = \frac{B_n + m_0}{B_n + m}

    Source: Qiao et al., *Pollux*, OSDI 2021, equation 7, whose noise scale :math:`\varphi` this is.

    Args:
        noise_scale: :math:`B_n` [samples].
        batch: m, samples of one update; broadcasts.
        base: :math:`m_0`, samples of an update of the base.

    Raises:
        UnitError: A number is not above 0.

    Example:
        >>> statistical_efficiency(100, [100, 300], 100).tolist()
        [1.0, 0.5]
    """
    scale = _samples("noise_scale", noise_scale)
    return (scale + _samples("base", base)) / (scale + _samples("batch", batch))


def adascale_gain(noise_scale: ArrayLike, batch: ArrayLike, base: ArrayLike) -> Floats:
    r"""Return how many steps of a base batch one step is worth, and its learning rate by theirs, equation E.6.

    .. math:: r = \frac{\sigma^2 + \mu^2}{\sigma^2 / s + \mu^2} = s\,\frac{B_n + m_0}{B_n + m}, \qquad s = m / m_0

    with :math:`\mu^2 = |G|^2` and :math:`\sigma^2 = \operatorname{tr}\Sigma / m_0`. Source: Johnson et al., *AdaScale
    SGD*, ICML 2020.

    Args:
        noise_scale: :math:`B_n` [samples].
        batch: m, samples of one update; broadcasts.
        base: :math:`m_0`, samples of an update of the base.

    Raises:
        UnitError: A number is not above 0.

    Example:
        >>> adascale_gain(100, [100, 300], 100).tolist()
        [1.0, 1.5]
    """
    return _samples("batch", batch) / _samples("base", base) * statistical_efficiency(noise_scale, batch, base)


def run_average(noise_scales: ArrayLike, batch: float | None = None) -> float:
    r"""Return the noise scale that stands for a run in which it changed.

    .. math:: B_n = \frac{\sum_i p_i B_i}{\sum_i p_i}, \qquad S(m) = \sum_i p_i (1 + B_i / m)

    with the progress :math:`p_i` of step i, counted in steps of an infinite batch: E.1, added up along the way to the
    target. At a constant learning rate each step goes about equally far, so that this is the mean over the steps. Where
    the rate followed the noise scale as in E.4, it is :math:`p_i = 1 / (1 + B_i / m_0)` at the batch of that run, and
    the noisy end counts less.

    Args:
        noise_scales: :math:`B_i` of steps, or stretches of steps, equally long [samples]; infinite where the mean
            gradient is nothing beside its noise.
        batch: :math:`m_0`, samples of an update, where the rate followed the noise scale; None for a constant rate.

    Returns:
        The noise scale [samples]; infinite if it has no bound.

    Raises:
        UnitError: There is none, one is negative, or the batch is not above 0.

    Example:
        >>> run_average([50.0, 500.0]), round(run_average([50.0, 500.0], batch=100), 1)
        (275.0, 140.0)
    """
    values = np.asarray(noise_scales, dtype=np.float64)
    if not values.size or np.isnan(values).any() or (values < 0).any():
        raise UnitError("noise_scales must be at least one number, none of them below 0.")
    if batch is None:
        return float(values.mean())
    # The weighted mean, solved for, so that an infinite scale counts as no progress.
    share = float(np.mean(1.0 / (1.0 + values / positive("batch", batch, "samples"))))
    return batch * (1.0 / share - 1.0) if share > 0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Staleness:
    r"""What gradients of old weights cost asynchronous training: an assumption, none of it measured.

    .. math:: S = S_{min} \left(1 + \frac{B_n}{b} + c\,(N - 1)\right)

    updates of a batch b each. With N workers a gradient is of weights that are about N - 1 updates old. c = 1 says that
    N gradients on their way are worth one batch of N b, so that async needs exactly the samples of sync-join; c = 0,
    that their age costs nothing. Where noise limits the learning rate (:math:`B_n / b \gg N`) either costs little, as
    it has been seen; where curvature does, a quadratic with a delay of :math:`\tau` updates stays stable up to
    :math:`\sin \frac{\pi}{2 (2 \tau + 1)}` of the rate without one, which is c = :math:`4 / \pi` for many workers.

    Attributes:
        cost: c, at least 0.
        provenance: Where it comes from: assumed, unless you measured it.

    Raises:
        UnitError: c is negative or not finite.

    Example:
        >>> Staleness().steps_factor(200, batch=50, workers=[1, 4, 8]).tolist()
        [5.0, 8.0, 12.0]
        >>> print(Staleness())
        staleness costs 1 (N - 1) steps of an infinite batch (assumed)
    """

    cost: float = 1.0
    provenance: Provenance = Provenance.ASSUMED

    def __post_init__(self) -> None:
        not_negative("cost", self.cost, "")

    def __str__(self) -> str:
        return f"staleness costs {self.cost:g} (N - 1) steps of an infinite batch ({self.provenance})"

    def steps_factor(self, noise_scale: ArrayLike, batch: ArrayLike, workers: ArrayLike) -> Floats:
        """Return the updates to a target by the steps of an infinite batch.

        Args:
            noise_scale: Noise scale [samples].
            batch: Samples in a batch of one worker; broadcasts.
            workers: N, at least 1; broadcasts.

        Raises:
            UnitError: A number is out of its range.
        """
        counts = np.asarray(workers, dtype=np.float64)
        if not (counts >= 1).all():
            raise UnitError("workers must be at least 1.")
        return steps_factor(noise_scale, batch) + self.cost * (counts - 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseScale:
    r"""The gradient noise scale, as it was measured: :math:`B_n = \operatorname{tr}\Sigma / |G|^2`.

    Attributes:
        value: :math:`B_n` [samples]; None where :math:`|G|^2` could not be told from 0.
        low: Lower end of its interval [samples].
        high: Upper end; None where there is none.
        level: Confidence level of the interval, in (0, 1).
        squared_gradient: Average of the estimates of :math:`|G|^2`, which may be negative.
        variance: Average of those of :math:`\operatorname{tr}\Sigma`, the variance of the gradient of one sample.
        small: Samples of the smaller batch, b.
        big: Samples of the bigger one, B.
        pairs: How many pairs of squared norms are in it.
        algorithm: Training algorithm whose weights it was measured at.
        preconditioned: Whether gradients were divided by the root of the optimizer's second moments.
        span: Over what it is an average.
        batch: Samples of an update of the training.
        step: Updates before the last measurement; None outside of a training.
        loss: Loss of the batch there.
        provenance: Where it comes from.

    Raises:
        UnitError: A value is out of its range.

    Example:
        >>> noise = NoiseScale.assumed(200.0)
        >>> noise.steps_factor([50, 200, 800]).tolist(), float(noise.efficiency(600, base=200))
        ([5.0, 2.0, 1.25], 0.5)
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}

    value: float | None = None
    provenance: Provenance
    low: float | None = None
    high: float | None = None
    level: float | None = None
    squared_gradient: float | None = None
    variance: float | None = None
    small: int | None = None
    big: int | None = None
    pairs: int | None = None
    algorithm: str | None = None
    preconditioned: bool = False
    span: Span = Span.LATEST
    batch: int | None = None
    step: int | None = None
    loss: float | None = None

    def __post_init__(self) -> None:
        if self.value is not None:
            positive("noise_scale", self.value, "samples", advice="Leave it out where it is not resolved.")
        low = not_negative("low", self.low, "samples") if self.low is not None else 0.0
        high = positive("high", self.high, "samples") if self.high is not None else math.inf
        middle = low if self.value is None else self.value
        if not low <= middle <= high:
            raise UnitError(f"interval [{low:g}, {high:g}] does not contain the noise scale {middle:g}.")
        if self.level is not None and not 0 < self.level < 1:
            raise UnitError(f"level = {self.level:g}; it must be between 0 and 1.")
        for name in ("small", "big", "pairs", "batch"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))
        if self.small is not None and self.big is not None and self.small >= self.big:
            raise UnitError(f"small = {self.small} samples must be fewer than big = {self.big}.")

    @classmethod
    def assumed(cls, value: float) -> NoiseScale:
        """Return a noise scale that was not measured [samples]."""
        return cls(value=value, provenance=Provenance.ASSUMED)

    @property
    def doubt(self) -> float | None:
        """Standard deviation of its logarithm that the interval stands for; None without one."""
        from statistics import NormalDist  # noqa: PLC0415 - not with the import of the package

        if not self.low or self.high is None or self.level is None:
            return None
        return math.log(self.high / self.low) / (2 * NormalDist().inv_cdf((1 + self.level) / 2))

    @property
    def resolved(self) -> bool:
        """Whether there is a value: whether the mean gradient could be told from noise."""
        return self.value is not None

    def __str__(self) -> str:
        now = "" if self.step is None else f" at update {self.step:,}"
        where = " over the run" if self.span is Span.RUN else now
        kind = "noise scale, preconditioned," if self.preconditioned else "noise scale"
        if self.value is None:
            least = f", at least {self.low:.3g} samples" if self.low else ""
            return f"{kind} not resolved{least}{where} ({self.provenance})"
        if self.low is None or self.level is None:
            return f"{kind} {self.value:.3g} samples{where} ({self.provenance})"
        high = "inf" if self.high is None else f"{self.high:.3g}"
        interval = f"[{self.low:.3g}, {high}] ({self.level:.0%})"
        return f"{kind} {self.value:.3g} samples {interval}{where} ({self.provenance})"

    def _known(self) -> float:
        if self.value is None:
            raise UnitError(
                f"the noise scale is not resolved after {self.pairs or 0} measurements: the mean gradient cannot be "
                "told from its noise. Measure longer, or with a bigger batch; or give NoiseScale.assumed(samples)."
            )
        return self.value

    def steps_factor(self, batch: ArrayLike) -> Floats:
        """Return the steps to a target by those of an infinite batch (E.1).

        Args:
            batch: Samples of one update, those of all workers together.

        Raises:
            UnitError: The noise scale is not resolved, or the batch is not above 0.
        """
        return steps_factor(self._known(), batch)

    def examples_factor(self, batch: ArrayLike) -> Floats:
        """Return the samples to a target by those of the smallest batch (E.2).

        Args:
            batch: Samples of one update.

        Raises:
            UnitError: As ``steps_factor``.
        """
        return examples_factor(self._known(), batch)

    def efficiency(self, batch: ArrayLike, base: ArrayLike) -> Floats:
        """Return what a sample is worth beside one of a base batch (E.5).

        Args:
            batch: Samples of one update.
            base: Those of the base.

        Raises:
            UnitError: As ``steps_factor``.
        """
        return statistical_efficiency(self._known(), batch, base)

    def gain(self, batch: ArrayLike, base: ArrayLike) -> Floats:
        """Return how many steps of a base batch one step is worth (E.6).

        Args:
            batch: Samples of one update.
            base: Those of the base.

        Raises:
            UnitError: As ``steps_factor``.
        """
        return adascale_gain(self._known(), batch, base)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, and whether it is resolved."""
        own = {name: getattr(self, name) for name in self.__slots__}
        return own | {"resolved": self.resolved, "span": str(self.span), "provenance": str(self.provenance)}
