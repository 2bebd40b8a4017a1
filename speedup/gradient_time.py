"""t_grad as a function of the batch size, fitted to the batch sizes that were measured.

A measured batch size has its own measurement. What any other has, and how surely that is known, is decided by
leaving out each measured one in turn and predicting it from the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from speedup.batch_curves import Form, Points, affine, between, choose, is_odd, proportional
from speedup.errors import ProfileError, UnitError
from speedup.profile import Provenance, Timing
from speedup.units import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike, NDArray

    from speedup.profile import Profile

    Floats: TypeAlias = NDArray[np.float64]
    Curve: TypeAlias = Callable[[Floats], Floats]

LEVEL = 0.95
"""Confidence level of the intervals."""
UNCHECKED = 0.25
"""Relative half-width of the interval from two batch sizes, which leave nothing to check a line with.

It holds 95 % of what pairs of batch sizes of those networks predict for the others, each network counted alike."""
UNSEEN = 0.25
"""What is added, in quadrature, to the half-width at an odd batch size if fewer than two odd ones were measured.

Of what odd batch sizes took more than the mean of their neighbours, 90 % was within it, for twelve networks on a CPU,
each counted alike."""

_SEEN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTime(Timing):
    """t_grad at one batch size: a timing without its samples, or a time that none was measured for.

    Attributes:
        extrapolated: Whether the batch size lies outside the measured ones.

    Example:
        >>> print(BatchTime(median_s=0.02, low_s=0.019, high_s=0.022, level=0.95, provenance=Provenance.FITTED))
        20 ms [19 ms, 22 ms] (95%)
    """

    extrapolated: bool = False

    @classmethod
    def of(cls, timing: Timing) -> BatchTime:
        """Return the summary of a timing."""
        return cls(
            median_s=timing.median_s,
            provenance=timing.provenance,
            batch=timing.batch,
            low_s=timing.low_s,
            high_s=timing.high_s,
            level=timing.level,
        )


@dataclass(frozen=True, slots=True)
class HeldOutError:
    """Relative errors of predicting each measured batch size from the others.

    Attributes:
        median: Their median.
        largest: The largest of them; most often an end of the sweep, which the others extrapolate to.
    """

    median: float
    largest: float

    def __str__(self) -> str:
        return f"median {self.median:.1%}, at most {self.largest:.1%}"


def _spread(points: Points, errors: Floats) -> float:
    """Return the relative half-width of the interval of a fitted time inside the measured sizes.

    The ends of a sweep were predicted from outside; their errors count by as much less as an interval there is wider.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - see Points.rising

    ends = np.array([points.some(np.arange(len(points)) != one).outside(points.batches[[one]])[0] for one in (0, -1)])
    distance = np.zeros(len(points))
    distance[[0, -1]] = ends
    scale = float(np.sqrt(np.mean((errors / (1 + distance)) ** 2)))
    return float(stdtrit(len(points) - 1, (1 + LEVEL) / 2)) * scale


@dataclass(frozen=True, slots=True, eq=False)
class GradientTime:
    r"""t_grad of any batch size, from the batch sizes of a sweep.

    A measured batch size has its own measurement. Any other has the value of a law

    .. math:: L(b) = c b, \quad a + c b, \quad \max(f, a + c b), \quad a + c b^p,

    whose parameters minimise relative errors, weighted by how surely each timing is known; from three batch sizes on
    with corrections for what the law misses at the measured ones, and for odd batch sizes, which may not divide
    evenly among a device's cores (``speedup.batch_curves``). Times of even batch sizes are held between the measured
    ones on either side.

    Every measured batch size is left out in turn and predicted from the others. The simplest law is taken that no
    other is clearly better than. The same errors make the intervals: Student's, with one degree of freedom fewer than
    points, times one plus the doublings between a batch size and the nearest measured one if it lies outside, and in
    quadrature the timings' own intervals and, for an odd batch size where fewer than two odd ones were measured,
    ``UNSEEN``. At 95 %, such intervals from 3 to 6 batch sizes of twelve networks, six of them published (Pollux, OSDI
    2021), held 95 % of the times measured between them, and 94 % of those up to two doublings outside.

    Attributes:
        form: Which law was taken.
        formula: The law with its parameters [s], and how large its corrections are.
        held_out_error: Relative errors of the batch sizes left out; None with fewer than three, which leave none to
            check with.
        for_odd: What an odd batch size takes besides, as a share of the time; 0 where nothing says so.

    Example:
        >>> from speedup import Timing
        >>> sweep = [Timing(median_s=0.002 + 0.001 * b, batch=b, provenance="measured") for b in (8, 16, 32, 64)]
        >>> line = GradientTime.fit(sweep)
        >>> line.formula, line.range
        ('0.002 s + 0.001 s/sample x batch', (8, 64))
        >>> print(line.predict(24).provenance, round(line.predict(24).median_s, 6))
        fitted 0.026
    """

    form: Form
    formula: str
    held_out_error: HeldOutError | None
    for_odd: float
    _measured: dict[int, BatchTime] = field(repr=False)
    _points: Points = field(repr=False)
    _curve: Curve = field(repr=False)
    _half_width: float | None = field(repr=False)

    def __str__(self) -> str:
        if len(self.batches) == 1:
            return f"proportional to the batch, {self.formula}, from batch size {self.batches[0]} alone"
        checked = f"; held-out error {self.held_out_error}" if self.held_out_error else ""
        return f"{self.formula}, from batch sizes {', '.join(map(str, self.batches))}{checked}"

    @classmethod
    def fit(cls, timings: Iterable[Timing]) -> GradientTime:
        """Fit the timings of a sweep; of two at one batch size the first counts.

        Args:
            timings: Timings of t_grad, those without a batch size are left out.

        Raises:
            ProfileError: No timing states its batch size.
        """
        points = {timing.batch: BatchTime.of(timing) for timing in reversed(tuple(timings)) if timing.batch}
        if not points:
            raise ProfileError("no timing of t_grad states its batch size; measure some: speedup calibrate NAME.")
        return _fitted(tuple(points[batch] for batch in sorted(points)))

    @classmethod
    def of(cls, profile: Profile) -> GradientTime:
        """Fit the sweep of a profile.

        Raises:
            ProfileError: None of its timings states its batch size.
        """
        return cls.fit(profile.t_grad)

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest measured batch size."""
        return min(self._measured), max(self._measured)

    @property
    def batches(self) -> tuple[int, ...]:
        """The measured batch sizes, ascending."""
        return tuple(self._measured)

    def seconds(self, batches: ArrayLike) -> Floats:
        """Return t_grad of each batch size [s].

        Args:
            batches: Batch sizes, any shape, each above 0.

        Returns:
            Times [s] of that shape: measured where they were, else fitted.

        Raises:
            UnitError: A batch size is not above 0.

        Example:
            >>> from speedup import Timing
            >>> sweep = [Timing(median_s=0.1 * b, batch=b, provenance="measured") for b in (1, 2)]
            >>> GradientTime.fit(sweep).seconds([1, 2, 4]).round(6).tolist()
            [0.1, 0.2, 0.4]
        """
        asked = np.asarray(batches, dtype=np.float64)
        if not np.all(asked > 0):
            raise UnitError(f"batch = {float(np.min(asked)):g}; it must be above 0 samples.")
        place = np.searchsorted(self._points.batches, asked).clip(max=len(self._points) - 1)
        measured = self._points.batches[place] == asked
        return np.where(measured, self._points.seconds[place], self._curve(asked))

    def predict(self, batch: int) -> BatchTime:
        """Return t_grad of one batch size with its interval and where it comes from.

        Args:
            batch: Samples in the batch.

        Raises:
            UnitError: It is not a whole number of at least 1.
        """
        size = whole("batch", batch)
        if size in self._measured:
            return self._measured[size]
        median = float(self.seconds(size))
        doublings = float(self._points.outside(np.array([size], dtype=np.float64))[0])
        if self._half_width is None:
            return BatchTime(median_s=median, provenance=Provenance.ASSUMED, batch=size, extrapolated=True)
        factor = float(np.exp(np.hypot(self._half_width * (1 + doublings), self._doubt(size))))
        return BatchTime(
            median_s=median,
            provenance=Provenance.FITTED,
            batch=size,
            low_s=median / factor,
            high_s=median * factor,
            level=LEVEL,
            extrapolated=doublings > 0,
        )

    def _doubt(self, size: int) -> float:
        """Return how badly all times are known together, and those of its kind of batch sizes."""
        own = float(np.sqrt(np.mean(self._points.doubts**2)))
        unseen = size % 2 == 1 and is_odd(self._points.batches).sum() < _SEEN
        return float(np.hypot(own, UNSEEN)) if unseen else own


def _log_half_width(point: BatchTime) -> float:
    if point.low_s is None or point.high_s is None:
        return 0.0
    return float(np.log(max(point.high_s / point.median_s, point.median_s / point.low_s)))


@lru_cache(maxsize=256)
def _fitted(measured: tuple[BatchTime, ...]) -> GradientTime:
    points = Points(
        np.array([point.batch for point in measured], dtype=np.float64),
        np.array([point.median_s for point in measured]),
        np.array([_log_half_width(point) for point in measured]),
    )
    by_batch = {point.batch: point for point in measured if point.batch}
    if len(points) == 1:
        law = proportional(points)
        return GradientTime(Form.PROPORTIONAL, str(law), None, 0.0, by_batch, points, law, None)
    if len(points) == 2:
        line = affine(points)
        return GradientTime(
            Form.AFFINE, str(line), None, 0.0, by_batch, points, lambda b: between(points, b, line(b)), UNCHECKED
        )
    form, curve, errors = choose(points)
    relative = np.abs(np.expm1(errors))
    held_out = HeldOutError(float(np.median(relative)), float(relative.max()))
    return GradientTime(form, str(curve), held_out, curve.for_odd, by_batch, points, curve, _spread(points, errors))
