r"""The optimizers of the sources with the sources' own definitions, from Optax wherever it has them.

Defaults of libraries differ from the sources and from one another: where the small constant epsilon stands, what
an accumulator starts at, whether the learning rate is inside the momentum buffer. Each function here fixes that.
One transformation is our own: the clipped Polyak step of adaptive Nesterov.

Sources: V. Neri's thesis (optimizers compared in Keras, "002" below), M. Mandatelli's on minibatch persistency and
adaptive Nesterov ("003"), O. Slampa's *Parallel Deep Learning* ("001").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import optax

if TYPE_CHECKING:
    from collections.abc import Callable

    from .parametrisation import Tree

MOMENTUM = 0.9


def momentum(rate: float | optax.Schedule, beta: float = MOMENTUM) -> optax.GradientTransformation:
    r"""Return momentum with the learning rate inside the buffer, as 002 and 003 define it.

    .. math:: v \leftarrow \beta v + \eta g, \qquad w \leftarrow w - v

    With a constant rate this is ``optax.sgd``; with a schedule it is not, because Optax and PyTorch keep the rate
    outside, where a drop of it shrinks the old velocity as well.

    Args:
        rate: Learning rate, or a schedule of it.
        beta: Decay of the velocity.
    """
    return optax.chain(optax.scale_by_learning_rate(rate), optax.trace(beta))


def nesterov(rate: float, beta: float = MOMENTUM) -> optax.GradientTransformation:
    r"""Return Nesterov's momentum of 002 and 003, whose iterates here are the points looked ahead to.

    .. math:: v \leftarrow \beta v + \eta \nabla f(w - \beta v), \qquad w \leftarrow w - v

    Args:
        rate: Learning rate.
        beta: Decay of the velocity.
    """
    return optax.sgd(rate, beta, nesterov=True)


def adagrad(rate: float, epsilon: float = 1e-7) -> optax.GradientTransformation:
    r"""Return AdaGrad of 002 and 003: the sum of squares starts at 0, epsilon stands under the root.

    .. math:: G \leftarrow G + g^2, \qquad w \leftarrow w - \frac{\eta}{\sqrt{G + \epsilon}}\, g

    Args:
        rate: Learning rate.
        epsilon: Added to the sum of squares.
    """
    return optax.adagrad(rate, initial_accumulator_value=0.0, eps=epsilon)


def rmsprop(rate: float, decay: float = 0.9, epsilon: float = 1e-8) -> optax.GradientTransformation:
    r"""Return RMSProp of 002, which 003 calls AdaDelta: epsilon stands under the root.

    .. math:: E \leftarrow \rho E + (1 - \rho) g^2, \qquad w \leftarrow w - \frac{\eta}{\sqrt{E + \epsilon}}\, g

    Args:
        rate: Learning rate.
        decay: Decay of the mean of squares.
        epsilon: Added to the mean of squares.
    """
    return optax.rmsprop(rate, decay=decay, eps=epsilon)


def adadelta(rate: float = 1.0, decay: float = 0.9, epsilon: float = 1e-6) -> optax.GradientTransformation:
    r"""Return Zeiler's AdaDelta.

    .. math:: \Delta w = -\frac{\sqrt{E[\Delta w^2] + \epsilon}}{\sqrt{E[g^2] + \epsilon}}\, g

    Args:
        rate: Learning rate; without one Optax would climb.
        decay: Decay of both means.
        epsilon: Added to both means of squares.
    """
    return optax.adadelta(rate, rho=decay, eps=epsilon)


def adam(rate: float, epsilon: float = 1e-8) -> optax.GradientTransformation:
    r"""Return Adam as published and in 003: epsilon outside the root of the corrected mean.

    .. math:: w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}

    Args:
        rate: Learning rate.
        epsilon: Added to the root.
    """
    return optax.adam(rate, eps=epsilon)


def adam_eps_root(rate: float, epsilon: float = 1e-8) -> optax.GradientTransformation:
    r"""Return Adam of 001, Algorithm 3.2: epsilon under the root.

    .. math:: w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v + \epsilon}}

    The algorithm's print multiplies the gradient by the rate too, which is read as a slip.

    Args:
        rate: Learning rate.
        epsilon: Added under the root.
    """
    return optax.adam(rate, eps=0.0, eps_root=epsilon)


def adam_hat(rate: float, epsilon: float = 1e-7, beta2: float = 0.999) -> optax.GradientTransformation:
    r"""Return Adam of 002, which is that of Keras and TensorFlow: epsilon added before the correction of v.

    .. math:: w \leftarrow w - \eta\, \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}\, \frac{m}{\sqrt{v} + \epsilon}

    Args:
        rate: Learning rate.
        epsilon: Added to the root of the uncorrected mean of squares.
        beta2: Decay of the mean of squares.
    """

    def epsilon_of(count: jax.Array) -> jax.Array:
        return epsilon / jnp.sqrt(1.0 - beta2 ** (count + 1.0))

    wrapped: Callable[..., optax.GradientTransformation] = optax.inject_hyperparams(optax.adam)
    return wrapped(rate, b2=beta2, eps=epsilon_of)


def scale_by_clipped_polyak(
    gamma: float = 1.0, *, squares: tuple[float, float] = (1e-4, 1e10), rates: tuple[float, float] = (1e-3, 0.1)
) -> optax.GradientTransformationExtraArgs:
    r"""Return Polyak's step size with the two clips of 003, equation 3.3.5.

    .. math:: q = \operatorname{clip}(\|g\|^2, 10^{-4}, 10^{10}), \qquad
              \eta = \operatorname{clip}(\gamma\, |L| / q, 10^{-3}, 0.1), \qquad g \leftarrow \eta\, g

    with the norm over all tensors together and the smallest loss f* = 0. Both clips belong to the method: without
    them a flat place gives a step without bound. Optax's own ``scale_by_polyak`` has neither the clip of q nor the
    lower bound. In a distributed server each unit knows part of the norm, so two numbers are exchanged an iteration.

    Args:
        gamma: Factor of the step.
        squares: Bounds of the squared norm.
        rates: Bounds of the step size.

    Returns:
        A transformation whose update takes ``value``, the loss.

    Example:
        >>> scale = scale_by_clipped_polyak()
        >>> gradient = jnp.array([3.0, 4.0])
        >>> updates, _ = scale.update(gradient, scale.init(gradient), value=jnp.array(1.0))
        >>> [round(float(update), 4) for update in updates]
        [0.12, 0.16]
    """

    def update(
        updates: Tree, state: optax.EmptyState, params: Tree = None, *, value: jax.Array, **extra: object
    ) -> tuple[Tree, optax.EmptyState]:
        del params, extra
        square = jnp.clip(optax.tree_utils.tree_norm(updates, squared=True), *squares)
        rate = jnp.clip(gamma * jnp.abs(value) / square, *rates)
        return jax.tree.map(lambda one: rate * one, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def adaptive_nesterov(gamma: float = 1.0, beta: float = MOMENTUM) -> optax.GradientTransformationExtraArgs:
    r"""Return adaptive Nesterov of 003, section 3.4, whose iterates here are the points looked ahead to.

    .. math:: p = \theta - \beta v, \quad v \leftarrow \beta v + \eta\, \nabla L(p), \quad \theta \leftarrow \theta - v

    with the step size :math:`\eta` of ``scale_by_clipped_polyak`` at p. The parameters are p: that is where loss and
    gradient are evaluated, and :math:`\theta = p + \beta v`.

    Args:
        gamma: Factor of the step.
        beta: Decay of the velocity.
    """
    return optax.chain(scale_by_clipped_polyak(gamma), optax.trace(beta, nesterov=True), optax.scale(-1.0))
