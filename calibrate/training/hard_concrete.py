r"""L0 regularisation with hard-concrete gates: units are multiplied with gates that can be exactly 0.

A gate is drawn for every batch from a stretched and clipped binary concrete distribution with the parameter
:math:`\log\alpha` (Louizos, Welling, Kingma 2018; constants of the authors' program)

.. math:: s = \sigma\!\left(\frac{\log u - \log(1-u) + \log\alpha}{\beta}\right), \quad
          z = \min(1, \max(0, s(\zeta - \gamma) + \gamma)), \qquad u \sim U(10^{-6}, 1 - 10^{-6})

.. math:: P(z > 0) = \sigma\!\left(\log\alpha - \beta \log\frac{-\gamma}{\zeta}\right)

and the loss grows by :math:`\frac{1}{n} \sum_g \lambda\, |g|\, P(z_g > 0)` over the gates g, each of |g| weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from speedup.errors import UnitError

from .parametrisation import Parametrised, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .parametrisation import Tree

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
"""Temperature, and the ends that the distribution is stretched to."""
SHIFT = BETA * math.log(-GAMMA / ZETA)
"""What :math:`\\log\\alpha` is to equal for P(z > 0) = 1/2: -1.5986."""
TEST_GATE_OFF = math.log(-GAMMA / ZETA)
"""Largest :math:`\\log\\alpha` at which the test gate is 0: -2.3979."""
TAU = 1 / (1 + math.exp(-(1 - BETA) * TEST_GATE_OFF))
"""P(z > 0) there: 0.31018."""

_U_LOW = 1e-6
_CLAMP = (math.log(0.01), math.log(100.0))
_SPREAD = 0.01


def draw(log_alpha: jax.Array, uniform: jax.Array) -> jax.Array:
    """Return gates for uniform noise.

    Args:
        log_alpha: Parameters, any shape.
        uniform: Noise on (0, 1), the same shape.

    Example:
        >>> draw(jnp.array([-9.0, 0.0, 9.0]), jnp.array([0.5, 0.5, 0.5])).tolist()
        [0.0, 0.5, 1.0]
    """
    s = jax.nn.sigmoid((jnp.log(uniform) - jnp.log1p(-uniform) + log_alpha) / BETA)
    return jnp.clip(s * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)


def active_probability(log_alpha: jax.Array) -> jax.Array:
    """Return P(z > 0).

    Example:
        >>> round(float(active_probability(jnp.array(SHIFT))), 6), round(float(active_probability(TEST_GATE_OFF)), 5)
        (0.5, 0.31018)
    """
    return jax.nn.sigmoid(log_alpha - SHIFT)


def test_gate(log_alpha: jax.Array) -> jax.Array:
    """Return the gates of the trained network: without noise, without temperature.

    Example:
        >>> round(float(test_gate(jnp.array(0.0))), 6)
        0.5
    """
    return jnp.clip(jax.nn.sigmoid(log_alpha) * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)


# Its name is the source's; pytest collects what begins so.
test_gate.__test__ = False  # type: ignore[attr-defined]


def uniform_noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return the noise of the gates, bounded away from 0 and 1 as in the authors' program."""
    return jax.random.uniform(key, shape, minval=_U_LOW, maxval=1 - _U_LOW)


def gated_units(shape: tuple[int, ...]) -> int:
    """Return the number of gates of a kernel: input units of a dense one, output maps of a convolution.

    Example:
        >>> gated_units((784, 300)), gated_units((3, 3, 16, 32))
        (784, 32)
    """
    return shape[0] if len(shape) == 2 else shape[-1]


def apply_gates(kernel: jax.Array, gates: jax.Array) -> jax.Array:
    """Return a kernel with its units multiplied by their gates."""
    return kernel * (gates[:, None] if kernel.ndim == 2 else gates)


class UnitState(NamedTuple):
    """What hard pruning knows of the units of one kernel.

    Attributes:
        kept: 1 for each unit that is kept, 0 for one that is off for good.
        active: Steps in which each unit's gate was above 0, since the counts were last set to 0.
    """

    kept: jax.Array
    active: jax.Array

    @classmethod
    def all_kept(cls, units: int) -> UnitState:
        """Return the state before the first step."""
        return cls(jnp.ones(units), jnp.zeros(units, jnp.int32))


class Carried(NamedTuple):
    """What gates carry from step to step.

    Attributes:
        step: Steps taken, which decides the noise.
        key: Data of the key of the noise.
        units: State of the units, one a kernel; empty where no unit can be off for good.
    """

    step: jax.Array
    key: jax.Array
    units: list[UnitState]


@dataclass(frozen=True, slots=True, kw_only=True)
class HardConcrete:
    r"""Weights and gates, a gate a unit of every kernel.

    A unit is an input of a dense kernel (a row) or an output map of a convolution. Other tensors have no gates. A
    step draws one gate a unit for the whole batch. The penalty's :math:`\lambda / n` is one number here.

    Attributes:
        strength: :math:`\lambda / n`, weight of the expected number of active weights in the loss. The default is
            Louizos' :math:`\lambda = 0.1` for the 60,000 images of MNIST.
        hard: Whether units can be off for good: which are kept, and how often each gate was above 0, is carried
            along. ``pruning.prune`` reads the counts after an epoch and decides.
        drop_input: Fraction of the units of the first kernel that start off.
        drop: Fraction of the others'.

    Raises:
        UnitError: A value is out of range.
    """

    strength: float = 0.1 / 60_000
    hard: bool = False
    drop_input: float = 0.2
    drop: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise UnitError(f"strength = {self.strength:g}; it must be finite and at least 0.")
        for name in ("drop_input", "drop"):
            if not 0 < getattr(self, name) < 1:
                raise UnitError(f"{name} = {getattr(self, name):g}; it is a fraction, above 0 and below 1.")

    def start(self, tensors: Sequence[Tensor], key: jax.Array) -> Parametrised:
        """Return every tensor, and after each kernel its gates' parameters.

        Raises:
            UnitError: There is no kernel.
        """
        units = [gated_units(tensor.value.shape) for tensor in tensors if tensor.is_kernel]
        if not units:
            raise UnitError("L0 needs a kernel: the model has no tensor of two or more dimensions to gate.")
        starts = [_log_odds(self.drop)] * len(units)
        starts[0] = _log_odds(self.drop_input)
        noise = jnp.split(_SPREAD * jax.random.normal(key, (sum(units),)), np.cumsum(units)[:-1])
        gates = [start + own for start, own in zip(starts, noise, strict=True)]
        own = iter(gates)
        trained = [(tensor.value, next(own)) if tensor.is_kernel else (tensor.value,) for tensor in tensors]
        units_kept = [UnitState.all_kept(gate.size) for gate in gates] if self.hard else []
        counter = jnp.zeros((), jnp.uint32)
        return Parametrised(trained, (), Carried(counter, jax.random.key_data(key), units_kept))

    def weights(self, now: Parametrised) -> tuple[list[jax.Array], Carried]:
        """Return the weights with this step's gates multiplied in, and what is carried on.

        The counter of the noise moves on; where units can be off for good, each gate above 0 is counted.
        """
        carried: Carried = now.carried
        sizes = [one[1].size for one in now.trained if len(one) == 2]
        # One draw for all gates: fifty draws take seconds to compile.
        noise = uniform_noise(jax.random.fold_in(jax.random.wrap_key_data(carried.key), carried.step), (sum(sizes),))
        own, units = iter(jnp.split(noise, np.cumsum(sizes)[:-1])), iter(carried.units)
        tensors, moved = list[jax.Array](), list[UnitState]()
        for one in now.trained:
            if len(one) == 1:
                tensors.append(one[0])
                continue
            gates = draw(one[1], next(own))
            if carried.units:
                unit = next(units)
                gates = gates * unit.kept
                moved.append(unit._replace(active=unit.active + (gates > 0)))
            tensors.append(apply_gates(one[0], gates))
        return tensors, Carried(carried.step + 1, carried.key, moved)

    def deployed(self, now: Parametrised) -> list[jax.Array]:
        """Return the weights with their test gates multiplied in; those of units that are off for good are 0."""
        kept = iter([unit.kept for unit in now.carried.units] or [1.0] * len(now.trained))
        return [one[0] if len(one) == 1 else apply_gates(one[0], test_gate(one[1]) * next(kept)) for one in now.trained]

    def penalty(self, now: Parametrised) -> jax.Array:
        """Return the expected number of active weights, of units that are off for good none, times the strength."""
        return self.strength * expected_l0(now.trained, [unit.kept for unit in now.carried.units] or None)

    def project(self, trained: Tree) -> Tree:
        """Return the gates' parameters clamped to [log 0.01, log 100], the weights as they are."""
        return [one if len(one) == 1 else (one[0], jnp.clip(one[1], *_CLAMP)) for one in trained]


def _log_odds(dropped: float) -> float:
    return math.log((1 - dropped) / dropped)


def expected_l0(trained: Tree, kept: Sequence[jax.Array] | None = None) -> jax.Array:
    r"""Return the expected number of active weights, :math:`\sum_g |g|\, P(z_g > 0)`.

    Args:
        trained: Tensors, each alone or with the parameters of its gates.
        kept: 1 for each unit that is kept and 0 for one that is off, an array a kernel; None if all are kept.

    Example:
        >>> round(float(expected_l0([(jnp.ones((2, 10)), jnp.array([SHIFT, SHIFT])), (jnp.ones(10),)])), 3)
        10.0
    """
    gated = [one for one in trained if len(one) == 2]
    masks = [jnp.ones(())] * len(gated) if kept is None else kept
    active = [
        kernel.size // log_alpha.size * jnp.sum(active_probability(log_alpha) * mask)
        for (kernel, log_alpha), mask in zip(gated, masks, strict=True)
    ]
    return jnp.asarray(sum(active))
