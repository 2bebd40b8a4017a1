r"""t_grad of a network that was not measured, from networks that were, on one device.

.. math:: \hat t(b) = \sum_k c_k\, x_k(b), \qquad c_k \ge 0

The x_k are sums over the operations of the step's trace: floating-point operations, bytes and the number of
operations of each kind, each kind having a rate of its own. They are known without running the network. The
c_k minimise the relative error over what was measured. FLOPs alone predict badly across networks, because
the rate a device achieves differs a hundredfold between kinds and shapes; how well this does is said by
leaving families of networks out, and that error stands beside every prediction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from statistics import mean, median
from typing import TYPE_CHECKING

import jax
import numpy as np

from speedup.errors import PlanError
from speedup.profile import Provenance
from speedup.units import show_seconds, whole

from .architectures import ARCHITECTURES, architecture
from .tracing import Operation, OperationKind, operations
from .training.problem import network_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from speedup.profile import Profile

_COUNTED = (
    OperationKind.CONVOLUTION,
    OperationKind.INPUT_GRADIENT,
    OperationKind.KERNEL_GRADIENT,
    OperationKind.PRODUCT,
)
FEATURES = (
    *(f"{kind} {what}" for kind in _COUNTED for what in ("FLOPs", "bytes", "number")),
    *(f"{kind} {what}" for kind in (OperationKind.WINDOW, OperationKind.ELEMENTWISE) for what in ("bytes", "number")),
    "weight bytes",
)
"""What is counted of a step, in the order of the coefficients."""


def features(found: Iterable[Operation], weights_bytes: float) -> NDArray[np.float64]:
    """Return the counts of operations, in the order of ``FEATURES``.

    Example:
        >>> one = Operation(OperationKind.WINDOW, 0.0, 100.0, 50.0, times=2)
        >>> float(features([one], 0.0)[FEATURES.index("window bytes")])
        300.0
    """
    counts = dict.fromkeys(FEATURES, 0.0)
    counts["weight bytes"] = weights_bytes
    for one in found:
        counts[f"{one.kind} bytes"] += one.times * (one.input_bytes + one.output_bytes)
        counts[f"{one.kind} number"] += one.times
        if one.kind in _COUNTED:
            counts[f"{one.kind} FLOPs"] += one.times * one.flops
    return np.array([counts[name] for name in FEATURES])


@cache
def _affine_features(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the counts at batch 1, and what each further sample adds: all of them are affine in the batch."""
    problem = network_problem(architecture(name))
    weights, rest = jax.eval_shape(problem.init)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(weights))

    def at(batch: int) -> NDArray[np.float64]:
        shapes = jax.eval_shape(lambda: problem.make_batch(batch))
        gradient = jax.grad(lambda *arguments: problem.loss(*arguments)[0])
        return features(operations(gradient, weights, rest, shapes), float(size))

    # Batch 1 is special to some traces, which drop an axis of length 1.
    two, four = at(2), at(4)
    return 1.5 * two - 0.5 * four, (four - two) / 2


@dataclass(frozen=True, slots=True)
class Observation:
    """A measured step, or one to be predicted.

    Attributes:
        architecture: Name of the network.
        family: Family of it.
        batch: Samples in the batch.
        seconds: t_grad measured [s]; None for one to be predicted.
        counts: ``FEATURES`` of the step.
    """

    architecture: str
    family: str
    batch: int
    seconds: float | None
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, name: str, batch: int, seconds: float | None = None) -> Observation:
        """Return the observation of a named architecture under plain SGD.

        Raises:
            UnknownNameError: Nobody knows the name.
            UnitError: The batch is no whole number of at least 1.
        """
        entry = architecture(name)
        first, each = _affine_features(entry.name)
        return cls(entry.name, entry.family, batch, seconds, first + (whole("batch", batch) - 1) * each)


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds by operation.

    Attributes:
        coefficients: Seconds by unit of each of ``FEATURES``.
    """

    coefficients: NDArray[np.float64]

    @classmethod
    def fit(cls, known: Sequence[Observation]) -> CostModel:
        """Fit the coefficients by non-negative least squares of the relative error.

        Args:
            known: Measured observations of one device.

        Raises:
            PlanError: There is no measured observation.
        """
        from scipy.optimize import nnls  # noqa: PLC0415

        rows = [one for one in known if one.seconds is not None]
        if not rows:
            raise PlanError(
                "there is nothing to fit; measure some architectures first: speedup calibrate --all --quick"
            )
        matrix = np.array([one.counts for one in rows]) / np.array([[one.seconds] for one in rows])
        scale = matrix.max(axis=0)
        scale[scale == 0] = 1.0
        solution, _ = nnls(matrix / scale, np.ones(len(rows)))
        return cls(solution / scale)

    def seconds(self, one: Observation) -> float:
        """Return the predicted t_grad [s]."""
        return float(self.coefficients @ one.counts)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An observation, and what the model fitted without its family makes of it.

    Attributes:
        observation: What was measured.
        predicted_s: Prediction from the other families [s].
    """

    observation: Observation
    predicted_s: float

    @property
    def relative_error(self) -> float:
        """Predicted by measured, less 1."""
        measured = self.observation.seconds
        return self.predicted_s / measured - 1 if measured else 0.0


def leave_families_out(known: Sequence[Observation]) -> list[LeftOut]:
    """Predict each family of networks from the others.

    Whole families are left out, not single networks: to predict a network from its own variant is no test.

    Args:
        known: Measured observations of one device, of at least two families.

    Raises:
        PlanError: They are of one family only.
    """
    families = dict.fromkeys(one.family for one in known)
    if len(families) < 2:
        raise PlanError(
            f"all measured networks are of one family ({', '.join(families) or 'none'}); measure others too."
        )
    found = list[LeftOut]()
    for family in families:
        model = CostModel.fit([one for one in known if one.family != family])
        found += [LeftOut(one, model.seconds(one)) for one in known if one.family == family]
    return found


@dataclass(frozen=True, slots=True)
class Prediction:
    """t_grad of a network nobody measured, and how far such predictions have been off.

    Attributes:
        architecture: Name of the network.
        batch: Samples in the batch.
        t_grad_s: Predicted time of a step of plain SGD [s].
        median_error: Median relative error when a family is left out.
        mean_error: Mean relative error when a family is left out.
        networks: Networks it rests on.
        device: What they were measured on.
    """

    architecture: str
    batch: int
    t_grad_s: float
    median_error: float
    mean_error: float
    networks: tuple[str, ...]
    device: str

    def to_dict(self) -> dict[str, object]:
        """Return the prediction as one plain document."""
        return {"schema": "speedup.prediction/1", **asdict(self), "provenance": str(Provenance.FITTED)}

    def __str__(self) -> str:
        return (
            f"{self.architecture}, batch {self.batch}: t_grad {show_seconds(self.t_grad_s)} (fitted, not measured), "
            f"from {len(self.networks)} networks measured on {self.device}.\nWhen a family of networks is left out, "
            f"such predictions are off by {self.median_error:.0%} in the median and {self.mean_error:.0%} in the mean. "
            f"Measure it: speedup calibrate {self.architecture}"
        )


def usable(profile: Profile) -> bool:
    """Return whether a profile is of a named architecture under plain SGD in single precision, measured."""
    load = profile.workload
    return (
        (load.algorithm, load.precision) == ("sgd", "float32")
        and load.architecture in ARCHITECTURES
        and all(timing.provenance is Provenance.MEASURED for timing in profile.t_grad)
    )


def observations(profiles: Iterable[Profile]) -> list[Observation]:
    """Return what the usable ones of some profiles say.

    Raises:
        PlanError: They are of different devices.
    """
    used = [profile for profile in profiles if usable(profile)]
    devices = {str(profile.device) for profile in used}
    if len(devices) > 1:
        raise PlanError(f"the profiles are of different devices: {', '.join(sorted(devices))}. Choose one.")
    return [
        Observation.of(profile.workload.architecture, timing.batch, timing.median_s)
        for profile in used
        for timing in profile.t_grad
        if timing.batch
    ]


def predict(name: str, batch: int | None, profiles: Iterable[Profile]) -> Prediction:
    """Predict t_grad of a network from profiles of others on the same device.

    Args:
        name: The architecture; profiles of itself are not used.
        batch: Samples in the batch; None for the architecture's default.
        profiles: Profiles of one device, of at least two families.

    Raises:
        UnknownNameError: Nobody knows the architecture.
        PlanError: The profiles are too few, or of different devices.
    """
    entry, given = architecture(name), list(profiles)
    target = Observation.of(name, entry.default_batch if batch is None else batch)
    known = [one for one in observations(given) if one.architecture != target.architecture]
    errors = [abs(one.relative_error) for one in leave_families_out(known)]
    return Prediction(
        target.architecture,
        target.batch,
        CostModel.fit(known).seconds(target),
        median(errors),
        mean(errors),
        tuple(dict.fromkeys(one.architecture for one in known)),
        next(str(profile.device) for profile in given if usable(profile)),
    )
