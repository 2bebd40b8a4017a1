r"""Hard pruning: units that are off in training are taken out for good, and the arrays shrink.

Over an epoch the draws of each gate are counted. At its end a gate that is still there is pruned if

.. math:: \hat p + \sqrt{\frac{\ln(1/\delta)}{2T}} < \tau, \qquad
          \tau = \sigma\!\left((1 - \beta) \log\frac{-\gamma}{\zeta}\right) = 0.31018

with the share :math:`\hat p` of its T draws that were above 0. With many draws that removes exactly the units whose
test gate is 0 already, so that the trained network does not change when they go; the margin keeps a unit at or above
:math:`\tau` with probability :math:`1 - \delta` (Hoeffding), because what is pruned never comes back. Nardini's
thesis (004) prunes by the activation probability and leaves the threshold open; :math:`\tau = 1/2` is the choice of
most probable state, which also takes units that the test network still uses.

What is off is deleted from a chain of dense layers with :func:`compact`: row j of a kernel, column j of the kernel
before it, its bias, the gate, and the same places of every moment of the optimizer. Masked and compacted networks
compute the same. Each new shape is compiled anew; :func:`pays` says when that is worth it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from speedup.errors import UnitError, UnknownNameError, suggestion
from speedup.units import positive, whole

from .hard_concrete import TAU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .parametrisation import Tree

    Mask: TypeAlias = NDArray[np.bool_]

THRESHOLDS = {"test-gate": TAU, "map": 0.5}
"""Activation probability below which a unit is pruned, by the name of the rule."""
BUCKET = 8
"""Units that a layer loses together, so that shapes, and compilations, stay few."""


@dataclass(frozen=True, slots=True)
class GateCounts:
    """How often each gate of a layer was above 0.

    Attributes:
        active: Draws above 0, one count a gate.
        draws: Draws.

    Example:
        >>> counts = GateCounts.none(3).plus(np.array([0.0, 0.5, 1.0])).plus(np.array([0.0, 0.0, 1.0]))
        >>> counts.probability.tolist()
        [0.0, 0.5, 1.0]
    """

    active: NDArray[np.int64]
    draws: int

    @classmethod
    def none(cls, gates: int) -> GateCounts:
        """Return the counts before the first draw."""
        return cls(np.zeros(whole("gates", gates), dtype=np.int64), 0)

    def plus(self, gates: Any) -> GateCounts:  # noqa: ANN401 - an array of gates
        """Return the counts with one more draw of every gate."""
        return GateCounts(self.active + (np.asarray(gates) > 0), self.draws + 1)

    def joined(self, other: GateCounts) -> GateCounts:
        """Return the counts of two workers together: what they exchange before they prune alike."""
        return GateCounts(self.active + other.active, self.draws + other.draws)

    @property
    def probability(self) -> NDArray[np.float64]:
        """Share of the draws in which each gate was above 0."""
        if self.draws == 0:
            raise UnitError("no gate was drawn yet; count the draws of an epoch first.")
        return self.active / self.draws


def margin(draws: int, delta: float = 1e-3) -> float:
    r"""Return :math:`\sqrt{\ln(1/\delta) / (2T)}`, what the share of T draws may be too low by.

    Example:
        >>> round(margin(600), 3)
        0.076
    """
    if not 0 < delta < 1:
        raise UnitError(f"delta = {delta:g}; it is a probability, above 0 and below 1.")
    return math.sqrt(math.log(1 / delta) / (2 * whole("draws", draws)))


def prune(
    kept: Mask, counts: GateCounts, *, rule: Literal["test-gate", "map"] = "test-gate", delta: float = 1e-3
) -> Mask:
    """Return which units of a layer are kept after an epoch.

    Args:
        kept: Which were kept before it; what is off stays off.
        counts: Draws of the epoch.
        rule: ``test-gate``, or ``map`` for a threshold of 1/2.
        delta: Probability that a unit at or above the threshold is lost.

    Returns:
        The new mask, with at least one unit: the likeliest stays if all would go.

    Raises:
        UnknownNameError: Nobody knows the rule.
        UnitError: Nothing was drawn, or ``delta`` is out of range.

    Example:
        >>> counts = GateCounts(np.array([0, 100, 900]), 1000)
        >>> prune(np.array([True, True, True]), counts).tolist()
        [False, False, True]
        >>> prune(np.array([True, False, True]), counts, rule="map").tolist()
        [False, False, True]
    """
    if rule not in THRESHOLDS:
        known = ", ".join(THRESHOLDS)
        raise UnknownNameError(f'unknown rule "{rule}". {suggestion(rule, THRESHOLDS)}Known: {known}.')
    probability = counts.probability
    left = kept & (probability + margin(counts.draws, delta) >= THRESHOLDS[rule])
    if not left.any():
        left[np.argmax(np.where(kept, probability, -1.0))] = True
    return left


def bucketed(kept: Mask, probability: NDArray[np.float64], bucket: int = BUCKET) -> Mask:
    """Return the mask with the likeliest of the pruned units put back until a whole number of buckets is left.

    Args:
        kept: Which units are kept.
        probability: How likely each is to be active.
        bucket: Units of a bucket.

    Example:
        >>> bucketed(np.array([True, False, False, False]), np.array([0.9, 0.1, 0.3, 0.2]), bucket=2).tolist()
        [True, False, True, False]
    """
    wanted = min(len(kept), whole("bucket", bucket) * math.ceil(kept.sum() / bucket))
    order = np.lexsort((-probability, ~kept))
    left = np.zeros_like(kept)
    left[order[:wanted]] = True
    return left


def pays(saved_s: float, remaining_steps: int, compile_s: float) -> bool:
    """Return whether shrinking saves more time than compiling the new shape takes.

    Args:
        saved_s: Time that each step becomes shorter [s].
        remaining_steps: Steps still to take.
        compile_s: Time of compiling [s].

    Example:
        >>> pays(1e-3, 1000, 0.5), pays(1e-3, 100, 0.5)
        (True, False)
    """
    return saved_s * whole("remaining_steps", remaining_steps, minimum=0) > positive("compile_s", compile_s, "s")


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What is left of an array: the places kept on each axis, None for all of them."""

    axes: tuple[NDArray[np.int64] | None, ...]

    def __call__(self, array: jax.Array) -> jax.Array:
        """Return the array's rest."""
        for axis, places in enumerate(self.axes):
            if places is not None:
                array = jnp.take(array, places, axis=axis)
        return array


def chain_cuts(trained: Tree, masks: Sequence[Mask]) -> Tree:
    """Return the cut of every array of a chain of dense layers, in the structure of what is trained.

    Args:
        trained: What ``HardConcrete`` trains: for each layer ``(kernel, log_alpha)`` and ``(bias,)``.
        masks: Which input units of each layer are kept.

    Raises:
        UnitError: It is no chain of dense layers, or the masks do not fit it.
    """
    kernels, biases = trained[::2], trained[1::2]
    is_chain = len(kernels) == len(biases) == len(masks) and all(
        len(layer) == 2 and layer[0].ndim == 2 and len(bias) == 1 for layer, bias in zip(kernels, biases, strict=True)
    )
    if not is_chain:
        raise UnitError("only a chain of dense layers with biases can be compacted, with a mask for each of them.")
    for number, (layer, mask) in enumerate(zip(kernels, masks, strict=True)):
        if mask.shape != (layer[0].shape[0],) or not mask.any():
            raise UnitError(
                f"masks[{number}] keeps {int(mask.sum())} of {mask.size} units; layer {number} has "
                f"{layer[0].shape[0]}, and at least one must stay."
            )
    inputs = [np.flatnonzero(mask) for mask in masks]
    outputs = [*inputs[1:], None]
    return [
        cut
        for rows, columns in zip(inputs, outputs, strict=True)
        for cut in ((Cut((rows, columns)), Cut((rows,))), (Cut((columns,)),))
    ]


def compact(trained: Tree, masks: Sequence[Mask]) -> tuple[Tree, NDArray[np.int64]]:
    """Return a chain of dense layers without the units that are off, and which input features it still reads.

    Args:
        trained: What ``HardConcrete`` trains: for each layer ``(kernel, log_alpha)`` and ``(bias,)``.
        masks: Which input units of each layer are kept.

    Raises:
        UnitError: It is no chain of dense layers, or the masks do not fit it.

    Example:
        >>> chain = [(jnp.ones((4, 3)), jnp.zeros(4)), (jnp.ones(3),), (jnp.ones((3, 2)), jnp.zeros(3)), (jnp.ones(2),)]
        >>> smaller, features = compact(chain, [np.array([1, 0, 1, 1], bool), np.array([1, 1, 0], bool)])
        >>> [array.shape for array in jax.tree.leaves(smaller)], features.tolist()
        ([(3, 2), (3,), (2,), (2, 2), (2,), (2,)], [0, 2, 3])
    """
    smaller = jax.tree.map(lambda cut, array: cut(array), chain_cuts(trained, masks), trained)
    return smaller, np.flatnonzero(masks[0])


def compact_state(optimizer: optax.GradientTransformation, state: Tree, trained: Tree, masks: Sequence[Mask]) -> Tree:
    """Return the optimizer's state without the places of the units that are off.

    Args:
        optimizer: The optimizer.
        state: Its state for ``trained``.
        trained: The chain before it is compacted.
        masks: Which input units of each layer are kept.
    """
    cuts = chain_cuts(trained, masks)
    return optax.tree_utils.tree_map_params(optimizer, lambda moment, cut: cut(moment), state, cuts)
