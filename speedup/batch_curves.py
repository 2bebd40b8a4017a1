r"""Time against the batch size: a law, and what the measured points say beyond it.

.. math:: t(b) = L(b) \, e^{s(b)} \, e^{u(b) [b \text{ odd}]}

The law L has a part that does not depend on the batch (launching, updating the weights) and one that grows with
it, more slowly than the batch as long as the device is not full. What it misses is the correction s: caches and
buffers that become too small, kernels that are chosen anew. And an odd number of samples does not divide among
cores or lanes, and may take longer than one sample more (tile and wave quantisation, as the vendors of
accelerators call it): the correction u.

Both corrections are the posterior means of Gaussian processes over log2 b, with the kernels :math:`σ_s^2 e^{-d/r}`
and :math:`σ_u^2 g(b) g(b') e^{-d/3}` at d doublings, where g is 1, if odd batches take the same share of their time
besides, or proportional to 1/L(b), if it is the same time (a remainder that is worked off slowly). They are averaged
over σ, r and g with their posterior probabilities, so the points decide whether there is anything to correct, and
are constant beyond the measured batch sizes; s is straight in log2 b between them. (Kriging with a trend: Rasmussen
and Williams, Gaussian Processes for Machine Learning, 2006, section 2.7.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]
    Curve: TypeAlias = Callable[[Floats], Floats]

CLEARLY_BETTER = 1.5
"""A less simple law is taken if the simpler one's held-out error is more than this many times its own.

On the sweeps of twelve networks, six of them published (Pollux, OSDI 2021), factors from 1.25 to 2 predict equally
well; without one, errors beyond the measured batch sizes are a tenth larger."""
MISFIT = 0.03
"""What a law misses even where nothing is noisy; timings known better than that weigh no more."""
NOISE = 0.01
"""Standard deviation that even a timing which claims less is not corrected for."""

_LARGEST_POWER = 1.5
_ROUNDING = 1e-9
# Standard deviations of what a law misses, and how many doublings it lasts.
_SMOOTH, _REACHES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4), (1.0, 3.0)
# Of what odd batch sizes take besides, with prior probabilities: for many networks, nothing.
_ODD, _ODD_REACH = ((0.0, 0.55), (0.03, 0.15), (0.1, 0.2), (0.3, 0.1)), 3.0
_SHOWN = 0.005


class Form(StrEnum):
    """How t_grad depends on the batch size b, but for corrections."""

    PROPORTIONAL = "proportional"
    """c b: all that one batch size allows to say."""
    AFFINE = "affine"
    """a + c b."""
    FLOOR = "floor"
    """max(f, a + c b): a device that is not full takes the same time for fewer samples."""
    POWER = "power"
    """a + c b^p."""


def is_odd(batches: Floats) -> Flags:
    """Return which batch sizes are odd; those between two whole ones are not."""
    return np.asarray(batches % 2 == 1)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Measured batch sizes in ascending order, times [s], and how surely these are known.

    Attributes:
        batches: Batch sizes.
        seconds: Times [s].
        doubts: Half-widths of their intervals, of the logarithm.
    """

    batches: Floats
    seconds: Floats
    doubts: Floats

    def __len__(self) -> int:
        return len(self.batches)

    def some(self, rows: slice | Flags) -> Points:
        """Return some of the points."""
        return Points(self.batches[rows], self.seconds[rows], self.doubts[rows])

    @property
    def weights(self) -> Floats:
        """How much each point pulls at a law."""
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
class Law:
    """max(floor, fixed + slope b^power) [s]: all the forms."""

    floor: float
    fixed: float
    slope: float
    power: float

    def __call__(self, batches: Floats) -> Floats:
        """Return the times [s]."""
        return np.maximum(self.floor, self.fixed + self.slope * batches**self.power)

    def __str__(self) -> str:
        samples = "s/sample x batch" if self.power == 1 else "s x batch^" + f"{self.power:.3g}"
        terms = [f"{self.fixed:.3g} s"] if self.fixed else []
        terms += [f"{self.slope:.3g} {samples}"] if self.slope else []
        line = " + ".join(terms)
        return f"max({self.floor:.3g} s, {line})" if self.floor else line


def _without_rounding(terms: NDArray[Any]) -> Floats:
    """Return the terms of a sum, those that are but a rounding error of the others as 0."""
    return np.where(np.abs(terms) > _ROUNDING * np.abs(terms).max(), terms, 0.0)


def _line(points: Points, power: float = 1.0) -> tuple[Law, float]:
    """Return the law with the smallest relative misfit, fixed part and slope at least 0, and that misfit."""
    from scipy.optimize import nnls  # noqa: PLC0415 - see Points.rising

    # In units of the largest point, so that the two columns are of one size.
    size, unit = points.batches[-1] ** power, points.seconds[-1]
    columns = np.stack([np.ones(len(points)), points.batches**power / size], axis=1)
    terms, misfit = nnls(columns * (points.weights * unit / points.seconds)[:, None], points.weights)
    fixed, slope = _without_rounding(terms)
    return Law(0.0, float(fixed * unit), float(slope * unit / size), power), float(misfit)


def proportional(points: Points) -> Law:
    """Return the law through the first point and zero."""
    return Law(0.0, 0.0, float(points.seconds[0] / points.batches[0]), 1.0)


def affine(points: Points) -> Law:
    """Return the line of at least two points."""
    return _line(points)[0]


def _floor(points: Points) -> Law:
    """Try every number of points on the floor; the others are on a line, whose fixed part may be negative."""
    best, least = affine(points), np.inf
    for flat in range(1, len(points) - 1):
        low, high = points.some(slice(flat)), points.some(slice(flat, None))
        pull = low.weights**2 / low.seconds
        unit = high.batches[-1]
        columns = np.stack([np.ones(len(high)), high.batches / unit], axis=1)
        scaled = columns * (high.weights / high.seconds)[:, None]
        fixed, slope = _without_rounding(np.linalg.lstsq(scaled, high.weights)[0])
        floor = float(pull.sum() / (pull / low.seconds).sum())
        law = Law(floor, float(fixed), float(slope / unit), 1.0)
        misfit = float(np.linalg.norm(points.weights * (law(points.batches) / points.seconds - 1)))
        if slope >= 0 and misfit < least:
            best, least = law, misfit
    return best


def _power(points: Points) -> Law:
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - see Points.rising

    found = minimize_scalar(lambda power: _line(points, power)[1], bounds=(0.0, _LARGEST_POWER), method="bounded")
    return _line(points, float(found.x))[0]


# The least number of points a form needs stands beside it; leaving one out must leave as many.
_FITS: dict[Form, tuple[Callable[[Points], Law], int]] = {
    Form.AFFINE: (affine, 2),
    Form.FLOOR: (_floor, 3),
    Form.POWER: (_power, 3),
}


def between(points: Points, batches: Floats, seconds: Floats) -> Floats:
    """Return the times held between the measured ones on either side: more samples never take less time."""
    rising, place = points.rising(), np.searchsorted(points.batches, batches)
    return np.clip(seconds, np.append(0.0, rising)[place], np.append(rising, np.inf)[place])


@dataclass(frozen=True, slots=True, eq=False)
class Uneven:
    """What an odd batch size takes besides, as a logarithm: the same share of any batch, the same time, or both.

    Attributes:
        law: The law.
        unit: A time [s] such as the measured odd batch sizes take.
        doublings: log2 of the measured batch sizes.
        pulls: How much each of these pulls, first of the share and then of the time.
    """

    law: Law
    unit: float
    doublings: Floats
    pulls: Floats

    def shares(self, batches: Floats) -> Floats:
        """Return how what is besides grows with the batch size, as a share and as a time, along a first axis."""
        return np.stack([np.ones_like(batches), self.unit / self.law(batches)])

    def __call__(self, batches: Floats) -> Floats:
        """Return it at batch sizes, as if they were all odd; constant beyond the measured ones."""
        wanted = np.clip(np.log2(batches), self.doublings[0], self.doublings[-1])
        near = np.exp(-np.abs(wanted[..., None] - self.doublings) / _ODD_REACH)
        return np.asarray(np.einsum("k...,...j,kj->...", self.shares(2.0**wanted), near, self.pulls))


def _corrections(points: Points, law: Law) -> tuple[Floats, Uneven]:
    """Return the smooth correction at the measured batch sizes, and what an odd one takes besides."""
    doublings, odd = np.log2(points.batches), is_odd(points.batches)
    missed = np.log(points.seconds / law(points.batches))
    distance = np.abs(doublings[:, None] - doublings)
    # Without both kinds of batch sizes, what is odd about one cannot be told from the rest.
    told = odd.any() and not odd.all()
    unit = float(np.exp(np.log(law(points.batches[odd if told else slice(None)])).mean()))
    uneven = Uneven(law, unit, doublings, np.zeros((2, len(points))))
    shares = uneven.shares(points.batches) * odd
    grid = np.array(
        [(*one, *of_odd) for *one, of_odd in product(_SMOOTH, _REACHES, (0, 1), _ODD if told else _ODD[:1])]
    )
    size, reach, kind, of_odd, prior = grid.T[..., None, None]
    share = shares[kind[:, 0, 0].astype(int)]
    smooth = size**2 * np.exp(-distance / reach)
    apart = of_odd**2 * np.exp(-distance / _ODD_REACH) * share[:, :, None] * share[:, None, :]
    whole = smooth + apart + np.diag(np.hypot(points.doubts / 2, NOISE) ** 2)
    solved = np.linalg.solve(whole, np.tile(missed[:, None], (len(grid), 1, 1)))[..., 0]
    logs = np.log(prior[:, 0, 0]) - (solved @ missed + np.linalg.slogdet(whole)[1]) / 2
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    pulls = (weights * of_odd[:, 0, 0] ** 2)[:, None] * share * solved
    of_kind = [pulls[kind[:, 0, 0] == one].sum(axis=0) for one in (0, 1)]
    return np.einsum("m,mij,mj->i", weights, smooth, solved), replace(uneven, pulls=np.array(of_kind))


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """A law with its corrections.

    Attributes:
        law: The law.
        points: The measured times, less what odd batch sizes take besides.
        nodes: The law's corrected times at the measured batch sizes, which never fall.
        smooth: Logarithm of these times by the law's.
        uneven: What an odd batch size takes besides.
    """

    law: Law
    points: Points
    nodes: Points
    smooth: Floats
    uneven: Uneven

    @classmethod
    def of(cls, points: Points, law: Law) -> Corrected:
        """Return the law with the corrections that the points ask for."""
        smooth, uneven = _corrections(points, law)
        seconds, besides = law(points.batches), is_odd(points.batches) * uneven(points.batches)
        even = replace(points, seconds=points.seconds * np.exp(-besides))
        nodes = replace(points, seconds=replace(points, seconds=seconds * np.exp(smooth)).rising())
        return cls(law, even, nodes, np.log(nodes.seconds / seconds), uneven)

    def __call__(self, batches: Floats) -> Floats:
        """Return the times [s] of batch sizes above 0."""
        smooth = np.interp(np.log2(batches), np.log2(self.points.batches), self.smooth)
        # Between two nodes a law may dip; between two measured sizes times must agree with both.
        held = between(self.nodes, batches, self.law(batches) * np.exp(smooth))
        return between(self.points, batches, held) * np.exp(is_odd(batches) * self.uneven(batches))

    @property
    def for_odd(self) -> float:
        """What an odd batch size takes besides, as a share; the median of the measured batch sizes."""
        return float(np.expm1(np.median(self.uneven(self.points.batches))))

    def __str__(self) -> str:
        largest = float(np.abs(np.expm1(self.smooth)).max())
        parts = [str(self.law)]
        parts += [f"corrected by up to {largest:.1%}"] if largest > _SHOWN else []
        parts += [f"{self.for_odd:+.1%} for an odd batch"] if abs(self.for_odd) > _SHOWN else []
        return ", ".join(parts)


def _held_out(points: Points, fit: Callable[[Points], Law]) -> Floats:
    """Return the logarithm of predicted over measured time of each point, predicted from the others."""
    errors = []
    for left_out in range(len(points)):
        rest = points.some(np.arange(len(points)) != left_out)
        predicted = Corrected.of(rest, fit(rest))(points.batches[left_out : left_out + 1])
        errors.append(float(np.log(predicted[0] / points.seconds[left_out])))
    return np.array(errors)


def choose(points: Points) -> tuple[Form, Corrected, Floats]:
    """Return the simplest form that no other is clearly better than, its curve, and its held-out errors.

    Args:
        points: At least three.
    """
    errors = {form: _held_out(points, fit) for form, (fit, least) in _FITS.items() if len(points) > least}
    means = {form: float(np.abs(found).mean()) for form, found in errors.items()}
    # Errors that differ by less than the timings are known to are equal.
    enough = CLEARLY_BETTER * min(means.values()) + float(points.doubts.mean())
    form = next(form for form in errors if means[form] <= enough)
    return form, Corrected.of(points, _FITS[form][0](points)), errors[form]
