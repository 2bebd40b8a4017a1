r"""How far the times may be off: what was measured of that, and what is assumed where nobody said.

Errors are log-normal: the true t_comm is :math:`t_{comm} \, m \, e^{\delta z}` with z standard normal,
:math:`\delta` the doubt and m the median of the factor, which is 1 except for a nominal bandwidth. What is assumed, and
why, says ADR 0025.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from speedup.cluster import Link, MeasuredLink
from speedup.inputs import MODEL_DOUBT
from speedup.units import show_bandwidth

if TYPE_CHECKING:
    from speedup.efficiency import NoiseScale
    from speedup.inputs import Inputs

    _Assumed: TypeAlias = list[tuple["Source", str]]

T_GRAD_DOUBT = 0.05
"""Of a t_grad without an interval: another device of the same kind, a driver, a warmer room."""
T_COMM_DOUBT = 0.1
"""Of a t_comm without an interval, given as a number or printed by others."""
CV_DOUBT = 0.2
"""Of a spread without samples."""
PROPORTIONAL_DOUBT = 0.16
"""Of t_grad in proportion to the batch, by doubling from the one batch size measured.

So far off are the other batch sizes of 25 networks on a CPU (``data/results/batch_sizes.csv``), root of the mean square
over networks."""
NOISE_DOUBT = 0.3
"""Of a noise scale without an interval: one of another network, or read off a figure."""
OTHER_RUN_DOUBT = 0.1
"""Of a measured noise scale, beside its interval: by so much runs of one training at other batch sizes and rates
differed (``data/results/noise_scale.csv``)."""
ASSUMED_MODEL_DOUBT = 2 * MODEL_DOUBT
"""Of a kind of plan where no link was measured, so that nobody knows how several transfers share it."""
_SLOW_BYTES_PER_S, _FAST_BYTES_PER_S = 10e9 / 8, 50e9 / 8
# Frames of 1500 bytes carry 1448 of payload on 1538 of line. Eighteen published runs over 10 Gbit/s that hide nothing
# (data/published/scaling.csv, bsp-*) took 1.056 times in the median; about the frames', 0.079 is the root mean square.
_SLOW_MEDIAN, _SLOW_DOUBT = 1538 / 1448, 0.08
# From 50 Gbit/s on transfers took 2 to 15 times what the bandwidth says; read as the middle 90 %.
_FAST_LOW, _FAST_HIGH, _QUANTILE = 2.0, 15.0, 1.645


class Source(StrEnum):
    """What may be off."""

    T_GRAD = "t_grad"
    """The mean of t_grad."""
    T_COMM = "t_comm"
    """The mean of t_comm."""
    SPREAD = "spread"
    """The coefficients of variation."""
    MODEL = "model"
    """The model of a kind of plan."""
    NOISE_SCALE = "noise_scale"
    """The gradient noise scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeDoubt:
    """How far t_grad of one batch size may be off, besides what all sizes share.

    Attributes:
        t_grad: Standard deviation of its logarithm; below 0 where it errs the other way than others of its group.
        group: Sizes of one group err together.
    """

    t_grad: float
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """How far each number may be off: standard deviations of logarithms.

    Attributes:
        t_grad: Of t_grad, and of all else that goes on inside a machine; of several batch sizes what all share.
        t_comm: Of t_comm, and of all else that goes on between machines.
        t_comm_median: Median of the true t_comm by the one stated.
        cv_grad: Of the coefficient of variation of t_grad.
        cv_comm: Of the coefficient of variation of t_comm.
        model: Of the time of a kind of plan; of one worker alone there is no model.
        noise_scale: Of the gradient noise scale, where what counts is a target reached.
        by_size: What t_grad of each batch size errs besides, where several are compared; empty for nothing.
        assumed: What of these nobody measured, in words, by source.
    """

    t_grad: float = 0.0
    t_comm: float = 0.0
    t_comm_median: float = 1.0
    cv_grad: float = 0.0
    cv_comm: float = 0.0
    model: float = 0.0
    noise_scale: float = 0.0
    by_size: tuple[SizeDoubt, ...] = ()
    assumed: tuple[tuple[Source, str], ...] = ()

    @property
    def ratio(self) -> float:
        """Of t_comm / t_grad, on which all choices between plans of constant times depend."""
        return math.hypot(self.t_grad, self.own, self.t_comm)

    @property
    def own(self) -> float:
        """Of t_grad of the batch size that is known least, besides what all share."""
        return max((abs(one.t_grad) for one in self.by_size), default=0.0)

    def of(self, source: Source) -> float:
        """Return the doubt of a source; of the spread, the larger one."""
        return {
            Source.T_GRAD: math.hypot(self.t_grad, self.own),
            Source.T_COMM: self.t_comm,
            Source.SPREAD: max(self.cv_grad, self.cv_comm),
            Source.MODEL: self.model,
            Source.NOISE_SCALE: self.noise_scale,
        }[source]

    def to_dict(self) -> dict[str, Any]:
        """Return the doubts as a plain dictionary, with what is assumed of them."""
        names = ("t_grad", "t_comm", "t_comm_median", "cv_grad", "cv_comm", "model", "noise_scale")
        document: dict[str, Any] = {name: getattr(self, name) for name in names}
        document["by_size"] = [{"t_grad": one.t_grad, "group": one.group} for one in self.by_size]
        return document | {"assumed": {str(source): words for source, words in self.assumed}}


def nominal_doubt(bandwidth_bytes_per_s: float) -> tuple[float, float]:
    r"""Return the median and the doubt of what a transfer takes, by what a nominal bandwidth says.

    Up to 10 Gbit/s, links give what frames leave of them; from 50 Gbit/s on they took 2 to 15 times as long. Between
    the two, both are interpolated in the logarithm of the bandwidth.

    Args:
        bandwidth_bytes_per_s: Nominal bandwidth [B/s].

    Returns:
        Median of true by stated time, and the standard deviation of its logarithm.

    Example:
        >>> [tuple(round(one, 3) for one in nominal_doubt(gbit * 1e9 / 8)) for gbit in (1, 25, 100)]
        [(1.062, 0.08), (2.702, 0.383), (5.477, 0.612)]
    """
    way = math.log(bandwidth_bytes_per_s / _SLOW_BYTES_PER_S) / math.log(_FAST_BYTES_PER_S / _SLOW_BYTES_PER_S)
    way = min(max(way, 0.0), 1.0)
    slow, fast = math.log(_SLOW_MEDIAN), math.log(_FAST_LOW * _FAST_HIGH) / 2
    fast_doubt = math.log(_FAST_HIGH / _FAST_LOW) / (2 * _QUANTILE)
    return math.exp(slow + way * (fast - slow)), _SLOW_DOUBT + way * (fast_doubt - _SLOW_DOUBT)


def doubts_of(
    inputs: Inputs | Sequence[Inputs], *, exact: bool = False, noise_scale: NoiseScale | None = None
) -> Doubts:
    """Return how far the times of a model may be off.

    Args:
        inputs: The times; what calibration says of their doubt is taken. Of several batch sizes those of each.
        exact: Take numbers without an interval as exact; if not, a doubt is assumed.
        noise_scale: The gradient noise scale, where what counts is a target reached.

    Example:
        >>> from speedup import estimate
        >>> found = doubts_of(estimate(t_grad=1.0, t_comm=0.1).inputs)
        >>> found.t_grad, found.t_comm, found.model
        (0.05, 0.1, 0.02)
    """
    every = list(inputs) if isinstance(inputs, Sequence) else [inputs]
    # Batch sizes have one network; the spread is that of the size that is known least.
    first = every[0]
    found: dict[str, Any] = {
        name: max(getattr(one.doubt, name) for one in every) for name in ("t_comm", "cv_grad", "cv_comm", "model")
    }
    t_grad, by_size, assumed = _t_grad_doubts(every, exact=exact)
    noise = _noise_doubt(noise_scale, exact=exact)
    if exact:
        return Doubts(**found, t_grad=t_grad, by_size=by_size, noise_scale=noise)
    median = 1.0
    if not found["t_comm"]:
        median, found["t_comm"], words = _t_comm_doubt(first)
        assumed.append((Source.T_COMM, words))
    spreads = {"cv_grad": first.grad_law.cv, "cv_comm": first.comm_law.cv}
    unknown = [name for name, cv in spreads.items() if cv and not found[name]]
    if unknown:
        found |= dict.fromkeys(unknown, CV_DOUBT)
        verb = "has no samples" if len(unknown) == 1 else "have no samples"
        assumed.append((Source.SPREAD, f"{' and '.join(unknown)} {verb}; off by {CV_DOUBT:.0%}"))
    if not found["model"] and not isinstance(first.link, MeasuredLink):
        found["model"] = ASSUMED_MODEL_DOUBT
        assumed.append((Source.MODEL, f"no link was measured; each kind of plan is off by {ASSUMED_MODEL_DOUBT:.0%}"))
    if noise_scale is not None and noise_scale.doubt is None:
        words = f"the noise scale is {noise_scale.provenance} without an interval; off by {NOISE_DOUBT:.0%}"
        assumed.append((Source.NOISE_SCALE, words))
    return Doubts(
        **found, t_grad=t_grad, by_size=by_size, noise_scale=noise, t_comm_median=median, assumed=tuple(assumed)
    )


def _noise_doubt(noise_scale: NoiseScale | None, *, exact: bool) -> float:
    if noise_scale is None:
        return 0.0
    stated = noise_scale.doubt
    if exact:
        return stated or 0.0
    return NOISE_DOUBT if stated is None else math.hypot(stated, OTHER_RUN_DOUBT)


def _t_grad_doubts(every: Sequence[Inputs], *, exact: bool) -> tuple[float, tuple[SizeDoubt, ...], _Assumed]:
    """Return what all batch sizes err together, what each errs besides, and what of that is assumed."""
    assumed: _Assumed = []
    shared = 0.0
    if not exact and not all(one.doubt.t_grad for one in every):
        shared = T_GRAD_DOUBT
        assumed.append(
            (Source.T_GRAD, f"t_grad is {every[0].t_grad_from} without an interval; off by {T_GRAD_DOUBT:.0%}")
        )
    if not exact and any(map(_doublings, every)):
        words = f"t_grad is measured at one batch size alone; off by {PROPORTIONAL_DOUBT:.0%} a doubling from it"
        assumed.append((Source.T_GRAD, words))
    own = [_own_doubt(one, exact=exact) for one in every]
    if len(every) == 1:
        return math.hypot(shared, own[0].t_grad), (), assumed
    return shared, tuple(own) if any(one.t_grad for one in own) else (), assumed


def _own_doubt(inputs: Inputs, *, exact: bool) -> SizeDoubt:
    """Return how far t_grad of a batch size is off by itself.

    Measured sizes err each by itself, fitted ones with those between the same two measured sizes.
    """
    doublings = _doublings(inputs)
    if doublings:
        return SizeDoubt(t_grad=0.0 if exact else PROPORTIONAL_DOUBT * doublings, group=0)
    sizes = _measured_sizes(inputs)
    place = 2 * bisect_left(sizes, inputs.batch or 0) + (0 if inputs.batch in sizes else -1)
    return SizeDoubt(t_grad=inputs.doubt.t_grad, group=place + 1)


def _measured_sizes(inputs: Inputs) -> list[int]:
    if inputs.profile is None or inputs.t_grad_given:
        return []
    return sorted({timing.batch for timing in inputs.profile.t_grad if timing.batch})


def _doublings(inputs: Inputs) -> float:
    """Return how many times a batch is twice the only one measured; 0 where it is that or several were."""
    sizes = _measured_sizes(inputs)
    return math.log2(inputs.batch / sizes[0]) if len(sizes) == 1 and inputs.batch else 0.0


def _t_comm_doubt(inputs: Inputs) -> tuple[float, float, str]:
    """Return the median and the doubt of a t_comm without an interval, and the words for it."""
    if not isinstance(inputs.link, Link):
        return 1.0, T_COMM_DOUBT, f"t_comm is {inputs.t_comm_from} without an interval; off by {T_COMM_DOUBT:.0%}"
    rate = inputs.link.bandwidth_bytes_per_s
    median, doubt = nominal_doubt(rate)
    words = (
        f"t_comm is that of a nominal {show_bandwidth(rate)}; transfers over links as fast took about {median:.3g} "
        f"times as long, give or take a factor of {math.exp(doubt):.3g}"
    )
    return median, doubt, words
