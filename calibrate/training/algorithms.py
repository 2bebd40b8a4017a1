"""The training algorithms that can be calibrated, by name; adding one is an entry here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import optax

from speedup.errors import UnitError, look_up

from . import optimizers
from .edge_popup import EdgePopup
from .hard_concrete import HardConcrete
from .parametrisation import Dense, Parametrisation
from .persistency import PERSISTENCY
from .problem import focal_loss, mean_cross_entropy
from .schedules import triangular2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import jax


RATE = 1e-4
"""Learning rate of the timed steps of plain descent: the numbers stay finite over thousands of steps on one batch.

The time of a step does not depend on it. Velocities add up to ten times the rate, and steps of the adaptive
optimizers are as large as the rate whatever the gradient, so both get a tenth of it."""

_SMALLER = RATE / 10


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A way to train.

    Attributes:
        name: Its name here.
        summary: What it is, in a line.
        source: Where its definition comes from.
        optimizer: How what is trained changes.
        parametrisation: What is trained in place of the weights.
        criterion: Loss of logits and labels.
        persistency: The batch is loaded anew every so many updates; None for a batch that stays on the device.
        rate: The learning rate that the optimizer has; steps are proportional to it.
        indivisible: Whether a step needs all gradients at once, so that no server can take it for a part of them.
        velocity: Makes the optimizer with another decay of its velocity; None where the source has none to choose.
    """

    name: str
    summary: str
    source: str
    optimizer: optax.GradientTransformation
    parametrisation: Parametrisation = field(default_factory=Dense)
    criterion: Callable[[jax.Array, jax.Array], jax.Array] = mean_cross_entropy
    persistency: int | None = None
    rate: float = _SMALLER
    indivisible: bool = False
    velocity: Callable[[float], optax.GradientTransformation] | None = None

    def at_rate(self, learning_rate: float | optax.Schedule) -> Algorithm:
        """Return the algorithm with another learning rate, or one that changes from step to step.

        Example:
            >>> import jax.numpy as jnp
            >>> descent = algorithm("sgd").at_rate(0.5).optimizer
            >>> float(descent.update(jnp.array(1.0), descent.init(jnp.array(0.0)))[0])
            -0.5
        """
        if callable(learning_rate):
            schedule, own = learning_rate, self.rate
            scale = optax.scale_by_schedule(lambda step: schedule(step) / own)
        else:
            scale = optax.scale(learning_rate / self.rate)
        return replace(self, optimizer=optax.chain(self.optimizer, scale))

    def at_momentum(self, momentum: float) -> Algorithm:
        """Return the algorithm with another decay of its velocity, at the rate of the registry.

        Args:
            momentum: At least 0, below 1.

        Raises:
            UnitError: It is out of its range, or the algorithm has no velocity.

        Example:
            >>> algorithm("sgd").at_momentum(0.5)
            Traceback (most recent call last):
            speedup.errors.UnitError: momentum = 0.5; sgd has no velocity. It is for momentum, nesterov, ...
        """
        if not 0 <= momentum < 1:
            raise UnitError(f"momentum = {momentum:g}; it must be at least 0 and below 1.")
        if self.velocity is None:
            having = ", ".join(one.name for one in ALGORITHMS.values() if one.velocity is not None)
            raise UnitError(f"momentum = {momentum:g}; {self.name} has no velocity. It is for {having}.")
        return replace(self, optimizer=self.velocity(momentum))


def _with_velocity(
    name: str,
    summary: str,
    source: str,
    velocity: Callable[[float], optax.GradientTransformation],
    *,
    rate: float = _SMALLER,
    persistency: int | None = None,
    indivisible: bool = False,
) -> Algorithm:
    """Return an algorithm with a velocity, at the decay that is usual."""
    return Algorithm(
        name,
        summary,
        source,
        velocity(optimizers.MOMENTUM),
        persistency=persistency,
        rate=rate,
        indivisible=indivisible,
        velocity=velocity,
    )


def _descents() -> Iterator[Algorithm]:
    plain = "one step against the gradient of "
    yield Algorithm(
        "gradient_descent", plain + "all samples: sgd with the data as its batch", "002", optax.sgd(RATE), rate=RATE
    )
    yield Algorithm("sgd", plain + "a batch", "002, 003", optax.sgd(RATE), rate=RATE)
    yield Algorithm("minibatch", plain + "a batch: another name of sgd", "002", optax.sgd(RATE), rate=RATE)
    yield _with_velocity("momentum", "velocity 0.9, rate inside it", "002, 003", partial(optimizers.momentum, _SMALLER))
    yield _with_velocity("nesterov", "velocity 0.9 looking ahead", "002, 003", partial(optimizers.nesterov, _SMALLER))
    yield _with_velocity(
        "adaptive_nesterov",
        "Nesterov with a clipped Polyak step size",
        "003",
        # The source's smallest step would let large networks diverge on one synthetic batch.
        lambda beta: optax.chain(optimizers.adaptive_nesterov(beta=beta), optax.scale(1e-3)),
        rate=1e-3,
        indivisible=True,
    )
    yield _with_velocity(
        "clr",
        "momentum with a cyclical learning rate, halved every cycle",
        "003",
        partial(optimizers.momentum, triangular2(_SMALLER / 10, _SMALLER)),
    )
    yield _with_velocity(
        "persistency",
        f"momentum, each batch loaded once for {PERSISTENCY} updates; the time includes loading",
        "003",
        partial(optimizers.momentum, _SMALLER),
        persistency=PERSISTENCY,
    )


def _adaptive() -> Iterator[Algorithm]:
    yield Algorithm("adagrad", "rate by the root of the sum of squares", "002, 003", optimizers.adagrad(_SMALLER))
    yield Algorithm("rmsprop", "rate by the root of the mean of squares", "002", optimizers.rmsprop(_SMALLER))
    yield Algorithm("adadelta", "Zeiler's, without a rate to choose", "002, 003", optimizers.adadelta(_SMALLER))
    yield Algorithm("adam", "corrected means of gradient and square", "003", optimizers.adam(_SMALLER))
    yield Algorithm("adam_eps_root", "adam, epsilon under the root", "001", optimizers.adam_eps_root(_SMALLER))
    yield Algorithm("adam_hat", "adam, epsilon before the correction", "002", optimizers.adam_hat(_SMALLER))
    yield Algorithm("adamw", "adam with decoupled weight decay", "Optax", optax.adamw(_SMALLER))


def _subnetworks() -> Iterator[Algorithm]:
    coupled = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(0.1, momentum=optimizers.MOMENTUM))
    yield Algorithm(
        "edge_popup", "scores of frozen weights, top half kept", "Ramanujan 2020, 000", coupled, EdgePopup(), rate=0.1
    )
    yield Algorithm(
        "viviano",
        "edge-popup by raw score from zero, focal loss, Nesterov",
        "000",
        optax.sgd(0.01, optimizers.MOMENTUM, nesterov=True),
        EdgePopup(rank="raw", scores="zeros", last_kept=1.0),
        focal_loss,
        rate=0.01,
    )
    yield Algorithm(
        "l0",
        "hard-concrete gates on units, soft pruning",
        "Louizos 2018, 004",
        optax.adam(_SMALLER),
        HardConcrete(),
        indivisible=True,
    )
    yield Algorithm(
        "l0_hard",
        "the same with a mask of units that are off for good",
        "004",
        optax.adam(_SMALLER),
        HardConcrete(hard=True),
        indivisible=True,
    )


ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {entry.name: entry for entries in (_descents(), _adaptive(), _subnetworks()) for entry in entries}
)
"""Every algorithm by its name."""


def algorithm_names() -> tuple[str, ...]:
    """Return the names, in the order of the registry."""
    return tuple(ALGORITHMS)


def algorithm(name: str) -> Algorithm:
    """Return the algorithm of that name.

    Args:
        name: A name, upper or lower case, ``-`` or ``_``.

    Raises:
        UnknownNameError: Nobody knows the name.

    Example:
        >>> algorithm("Edge-Popup").name
        'edge_popup'
    """
    return look_up("algorithm", name, ALGORITHMS)


def describe_algorithms() -> list[dict[str, str]]:
    """Return one row an algorithm: name, summary, source."""
    return [{"name": one.name, "source": one.source, "summary": one.summary} for one in ALGORITHMS.values()]
