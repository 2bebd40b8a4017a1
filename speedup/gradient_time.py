"""t_grad as a function of the batch size, fitted to the batch sizes that were measured.

A step has a part that does not depend on the batch (launching, updating the weights) and one that grows
with it, more slowly than the batch as long as the device is not full. Five forms say so, the simplest first;
which one a sweep gets is decided by leaving out each batch size in turn and predicting it from the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

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
CLEARLY_BETTER = 1.5
"""A less simple form is taken if the simpler one's held-out error is more than this many times its own.

On the sweeps of twelve networks, six of them published (Pollux, OSDI 2021), factors from 1.25 to 2 predict equally
well; without one, errors beyond the measured batch sizes are a tenth larger."""
UNCHECKED = 0.25
"""Relative half-width of the interval from two batch sizes, which leave nothing to check a line with.

It holds 95 % of what pairs of batch sizes of those networks predict for the others, each network counted alike."""
MISFIT = 0.03
"""What a form misses even where nothing is noisy; timings known better than that weigh no more."""

_LARGEST_POWER = 1.5
_ROUNDING = 1e-9


class Form(StrEnum):
    """How t_grad depends on the batch size b."""

    PROPORTIONAL = "proportional"
    """c b: all that one batch size allows to say."""
    AFFINE = "affine"
    """a + c b."""
    FLOOR = "floor"
    """max(f, a + c b): a device that is not full takes the same time for fewer samples."""
    POWER = "power"
    """a + c b^p."""
    INTERPOLATION = "interpolation"
    """Straight lines between the points on logarithmic axes."""


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


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """Measured batch sizes in ascending order, times [s], and how surely these are known."""

    batches: Floats
    seconds: Floats
    doubts: Floats  # half-width of the interval, of the logarithm

    def __len__(self) -> int:
        return len(self.batches)

    def some(self, rows: slice | NDArray[np.bool_]) -> _Points:
        return _Points(self.batches[rows], self.seconds[rows], self.doubts[rows])

    @property
    def weights(self) -> Floats:
        return MISFIT / np.hypot(self.doubts, MISFIT)

    def outside(self, batches: Floats) -> Floats:
        """Return how far batch sizes lie outside the measured ones, in doublings."""
        below, above = self.batches[0] / batches, batches / self.batches[-1]
        return np.asarray(np.log2(np.maximum(1.0, np.maximum(below, above))))

    def rising(self) -> Floats:
        """Return the nearest times that never fall with the batch size [s]."""
        from scipy.optimize import isotonic_regression  # noqa: PLC0415 - SciPy is loaded with the first fit

        return np.asarray(np.exp(isotonic_regression(np.log(self.seconds), weights=self.weights**2).x))


@dataclass(frozen=True, slots=True)
class _Law:
    """max(floor, fixed + slope b^power) [s]: four of the forms."""

    floor: float
    fixed: float
    slope: float
    power: float

    def __call__(self, batches: Floats) -> Floats:
        return np.maximum(self.floor, self.fixed + self.slope * batches**self.power)

    def __str__(self) -> str:
        samples = "s/sample x batch" if self.power == 1 else "s x batch^" + f"{self.power:.3g}"
        terms = [f"{self.fixed:.3g} s"] if self.fixed else []
        terms += [f"{self.slope:.3g} {samples}"] if self.slope else []
        line = " + ".join(terms)
        return f"max({self.floor:.3g} s, {line})" if self.floor else line


@dataclass(frozen=True, slots=True, eq=False)
class _Interpolation:
    """Straight lines through points on logarithmic axes, going on beyond them with a slope within [0, 1]."""

    log_batches: Floats
    log_seconds: Floats

    def __call__(self, batches: Floats) -> Floats:
        x, known = np.log(batches), self.log_batches
        slopes = np.clip(np.diff(self.log_seconds) / np.diff(known), 0.0, 1.0)
        beyond = slopes[0] * np.minimum(x - known[0], 0) + slopes[-1] * np.maximum(x - known[-1], 0)
        return np.asarray(np.exp(np.interp(x, known, self.log_seconds) + beyond))

    def __str__(self) -> str:
        return f"log-log interpolation of {len(self.log_batches)} batch sizes"


def _without_rounding(terms: NDArray[Any]) -> Floats:
    """Return the terms of a sum, those that are but a rounding error of the others as 0."""
    return np.where(np.abs(terms) > _ROUNDING * np.abs(terms).max(), terms, 0.0)


def _line(points: _Points, power: float = 1.0) -> tuple[_Law, float]:
    """Return the law with the smallest relative misfit, fixed part and slope at least 0, and that misfit."""
    from scipy.optimize import nnls  # noqa: PLC0415 - see _Points.rising

    # In units of the largest point, so that the two columns are of one size.
    size, unit = points.batches[-1] ** power, points.seconds[-1]
    columns = np.stack([np.ones(len(points)), points.batches**power / size], axis=1)
    terms, misfit = nnls(columns * (points.weights * unit / points.seconds)[:, None], points.weights)
    fixed, slope = _without_rounding(terms)
    return _Law(0.0, float(fixed * unit), float(slope * unit / size), power), float(misfit)


def _proportional(points: _Points) -> _Law:
    return _Law(0.0, 0.0, float(points.seconds[0] / points.batches[0]), 1.0)


def _affine(points: _Points) -> _Law:
    return _line(points)[0]


def _floor(points: _Points) -> _Law:
    """Try every number of points on the floor; the others are on a line, whose fixed part may be negative."""
    best, least = _affine(points), np.inf
    for flat in range(1, len(points) - 1):
        low, high = points.some(slice(flat)), points.some(slice(flat, None))
        pull = low.weights**2 / low.seconds
        unit = high.batches[-1]
        columns = np.stack([np.ones(len(high)), high.batches / unit], axis=1)
        scaled = columns * (high.weights / high.seconds)[:, None]
        fixed, slope = _without_rounding(np.linalg.lstsq(scaled, high.weights)[0])
        floor = float(pull.sum() / (pull / low.seconds).sum())
        law = _Law(floor, float(fixed), float(slope / unit), 1.0)
        misfit = float(np.linalg.norm(points.weights * (law(points.batches) / points.seconds - 1)))
        if slope >= 0 and misfit < least:
            best, least = law, misfit
    return best


def _power(points: _Points) -> _Law:
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - see _Points.rising

    found = minimize_scalar(lambda power: _line(points, power)[1], bounds=(0.0, _LARGEST_POWER), method="bounded")
    return _line(points, float(found.x))[0]


def _interpolation(points: _Points) -> _Interpolation:
    return _Interpolation(np.log(points.batches), np.log(points.rising()))


# The least number of points a form needs stands beside it; leaving one out must leave as many.
_FITS: dict[Form, tuple[Callable[[_Points], _Law | _Interpolation], int]] = {
    Form.AFFINE: (_affine, 2),
    Form.FLOOR: (_floor, 3),
    Form.POWER: (_power, 3),
    Form.INTERPOLATION: (_interpolation, 2),
}


def _between(points: _Points, curve: Curve) -> Curve:
    """Return the curve held between the measured times on either side: more samples never take less time."""
    rising = points.rising()
    floors, ceilings = np.append(0.0, rising), np.append(rising, np.inf)

    def held(batches: Floats) -> Floats:
        place = np.searchsorted(points.batches, batches)
        return np.clip(curve(batches), floors[place], ceilings[place])

    return held


def _held_out(points: _Points, fit: Callable[[_Points], Curve]) -> Floats:
    """Return the logarithm of predicted over measured time of each point, predicted from the others."""
    errors = []
    for left_out in range(len(points)):
        rest = points.some(np.arange(len(points)) != left_out)
        predicted = _between(rest, fit(rest))(points.batches[left_out : left_out + 1])
        errors.append(float(np.log(predicted[0] / points.seconds[left_out])))
    return np.array(errors)


def _choose(points: _Points) -> tuple[Form, Floats]:
    """Return the simplest form that no other is clearly better than, and its held-out errors."""
    errors = {form: _held_out(points, fit) for form, (fit, least) in _FITS.items() if len(points) > least}
    means = {form: float(np.abs(found).mean()) for form, found in errors.items()}
    # Errors that differ by less than the timings are known to are equal.
    enough = CLEARLY_BETTER * min(means.values()) + float(points.doubts.mean())
    form = next(form for form in errors if means[form] <= enough)
    return form, errors[form]


def _spread(points: _Points, errors: Floats) -> float:
    """Return the relative half-width of the interval of a fitted time inside the measured sizes.

    The ends of a sweep were predicted from outside; their errors count by as much less as an interval there is wider.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - see _Points.rising

    ends = np.array([points.some(np.arange(len(points)) != one).outside(points.batches[[one]])[0] for one in (0, -1)])
    distance = np.zeros(len(points))
    distance[[0, -1]] = ends
    scale = float(np.sqrt(np.mean((errors / (1 + distance)) ** 2)))
    return float(stdtrit(len(points) - 1, (1 + LEVEL) / 2)) * scale


@dataclass(frozen=True, slots=True, eq=False)
class GradientTime:
    r"""t_grad of any batch size, from the batch sizes of a sweep.

    A measured batch size has its own measurement. Any other has the value of the form

    .. math:: t(b) = c b, \quad a + c b, \quad \max(f, a + c b), \quad a + c b^p,

    or of straight lines between the points on logarithmic axes, held between the times measured at the batch sizes on
    either side. The parameters minimise relative errors, weighted by how surely each timing is known.

    Every measured batch size is left out in turn and predicted from the others. The simplest form is taken that no
    other is clearly better than (``CLEARLY_BETTER``). The same errors make the intervals: Student's, with one degree of
    freedom fewer than points, times one plus the doublings between a batch size and the nearest measured one if it
    lies outside, and the timings' own intervals in quadrature. At 95 %, such intervals from 3 to 6 batch sizes of the
    twelve networks held 93 % of the times measured between them, and 85 % of those up to two doublings outside.

    Attributes:
        form: Which form was taken.
        formula: The form with its parameters [s].
        held_out_error: Relative errors of the batch sizes left out; None with fewer than three, which leave none to
            check with.

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
    _measured: dict[int, BatchTime] = field(repr=False)
    _points: _Points = field(repr=False)
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
        own = float(np.sqrt(np.mean(self._points.doubts**2)))
        factor = float(np.exp(np.hypot(self._half_width * (1 + doublings), own)))
        return BatchTime(
            median_s=median,
            provenance=Provenance.FITTED,
            batch=size,
            low_s=median / factor,
            high_s=median * factor,
            level=LEVEL,
            extrapolated=doublings > 0,
        )


def _doubt(point: BatchTime) -> float:
    if point.low_s is None or point.high_s is None:
        return 0.0
    return float(np.log(max(point.high_s / point.median_s, point.median_s / point.low_s)))


@lru_cache(maxsize=256)
def _fitted(measured: tuple[BatchTime, ...]) -> GradientTime:
    points = _Points(
        np.array([point.batch for point in measured], dtype=np.float64),
        np.array([point.median_s for point in measured]),
        np.array([_doubt(point) for point in measured]),
    )
    by_batch = {point.batch: point for point in measured if point.batch}
    if len(points) == 1:
        law = _proportional(points)
        return GradientTime(Form.PROPORTIONAL, str(law), None, by_batch, points, law, None)
    if len(points) == 2:
        law = _affine(points)
        return GradientTime(Form.AFFINE, str(law), None, by_batch, points, _between(points, law), UNCHECKED)
    form, errors = _choose(points)
    curve = _FITS[form][0](points)
    relative = np.abs(np.expm1(errors))
    held_out = HeldOutError(float(np.median(relative)), float(relative.max()))
    return GradientTime(form, str(curve), held_out, by_batch, points, _between(points, curve), _spread(points, errors))
