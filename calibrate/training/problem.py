"""What is minimised, as pure functions over pytrees: a network of ours, your own model, or a plain loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from speedup.errors import UnitError, UnknownNameError, suggestion
from speedup.units import whole

from ..architectures import trainable_tensors
from ..tracing import first_uses

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..architectures import Architecture, Network

Weights: TypeAlias = Any
"""A pytree of the arrays that are trained."""
Rest: TypeAlias = Any
"""A pytree of what changes from step to step without a gradient: moving statistics, random streams."""
Batch: TypeAlias = Any
"""A pytree of arrays with the samples along their first axis."""

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A loss to be minimised.

    Attributes:
        name: What it is called.
        init: Makes weights and rest; can be traced, so that shapes are known without allocating.
        first: The same for real, however that is fastest.
        loss: ``loss(weights, rest, batch) -> (loss, rest)``, a scalar in 32 bits and the rest after the step.
        make_batch: Makes a synthetic batch of so many samples; can be traced.
        order: Index of each tensor among the leaves of the weights, in forward order.
        logits: ``logits(weights, rest, inputs)`` as in use, not in training; None where only a loss is known.
    """

    name: str
    init: Callable[[], tuple[Weights, Rest]]
    first: Callable[[], tuple[Weights, Rest]]
    loss: Callable[[Weights, Rest, Batch], tuple[jax.Array, Rest]]
    make_batch: Callable[[int], Batch]
    order: tuple[int, ...]
    logits: Callable[[Weights, Rest, Any], jax.Array] | None = None


@lru_cache(maxsize=1)
def first_values(problem: Problem) -> tuple[Weights, Rest]:
    """Return the first weights and rest in the host's memory.

    Compiling fifty initialisers takes longer than many a step, and one network is often trained by one algorithm after
    another, so those of the last problem are kept.
    """
    values: tuple[Weights, Rest] = jax.device_get(problem.first())
    return values


def mean_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the softmax cross entropy, averaged over all labels.

    Args:
        logits: Shape ``(..., classes)``.
        labels: Whole numbers below the number of classes, shape ``(...)``.

    Example:
        >>> round(float(mean_cross_entropy(jnp.zeros((4, 10)), jnp.arange(4))), 4)
        2.3026
    """
    mean: jax.Array = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
    return mean


def focal_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    r"""Return Viviano's focal loss, averaged over the samples.

    .. math:: L = -\sum_c (1 - p_{t,c})^2 \log p_{t,c}, \qquad
              p_{t,c} = \begin{cases} p_c & c \text{ is the class} \\ 1 - p_c & \text{otherwise} \end{cases}

    with the softmax outputs p of all classes. Source: G. Viviano's thesis on distributed edge-popup, whose program
    sums over the outputs. It is Optax's sigmoid focal loss of :math:`\operatorname{logit}(p)`, which is computed
    from logarithms here: p may be 0 or 1 to the precision of a float.

    Args:
        logits: Shape ``(..., classes)``, at least two classes.
        labels: Whole numbers below the number of classes, shape ``(...)``.

    Example:
        >>> round(float(focal_loss(jnp.zeros((4, 10)), jnp.arange(4))), 4)
        1.8746
    """
    logp = jax.nn.log_softmax(logits)
    classes = logits.shape[-1]
    # log(1 - p_c) is the log-sum-exp of the other classes: exact where p_c rounds to 1.
    others = jnp.where(jnp.eye(classes, dtype=bool), -jnp.inf, logp[..., None, :])
    logit = logp - jax.nn.logsumexp(others, axis=-1)
    wanted = jax.nn.one_hot(labels, classes)
    losses = optax.losses.sigmoid_focal_loss(logit, wanted, gamma=2.0).sum(axis=-1)
    mean: jax.Array = jnp.mean(losses)
    return mean


@lru_cache(maxsize=1)
def network_problem(
    entry: Architecture,
    *,
    classes: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    criterion: Callable[[jax.Array, jax.Array], jax.Array] = mean_cross_entropy,
) -> Problem:
    """Return the training of an architecture on synthetic batches.

    The loss is the sum over the network's heads of weight times criterion. A batch is normally distributed
    samples and uniformly distributed labels, or uniformly distributed tokens with a label a position.

    Args:
        entry: The architecture.
        classes: Number of classes; None for the architecture's own.
        seed: Of weights and batches.
        precision: ``float32``; or ``bfloat16``, to which weights and inputs are rounded inside the loss, while the
            weights that are updated, the logits and the loss stay in 32 bits.
        criterion: Loss of logits and labels.

    Raises:
        UnitError: ``classes`` is no whole number of at least 1.
        UnknownNameError: Nobody knows the precision.
    """
    count = entry.classes if classes is None else whole("classes", classes)
    lower = _rounded(precision)

    def build() -> Network:
        # This generator compiles in half the time of the default one.
        return entry.build(nnx.Rngs(jax.random.key(seed, impl="rbg")), count)

    abstract = nnx.eval_shape(build)
    graph, order = nnx.graphdef(abstract), _forward_order(abstract)

    def init() -> tuple[Weights, Rest]:
        weights, rest = nnx.state(build(), nnx.Param, ...)
        return weights, rest

    def loss(weights: Weights, rest: Rest, batch: Batch) -> tuple[jax.Array, Rest]:
        inputs, labels = batch
        # A copy, because NNX lets a variable change only under the trace it was made in.
        network = nnx.merge(graph, lower(weights), rest, copy=True)
        heads = network.heads(lower(inputs))
        total = sum(weight * criterion(logits.astype(jnp.float32), labels) for weight, logits in heads)
        return jnp.asarray(total), _as_before(rest, nnx.state(network, nnx.Not(nnx.Param)))

    def make_batch(size: int) -> Batch:
        inputs, labels = jax.random.split(jax.random.key(seed))
        shape = (size, *entry.input_shape)
        if entry.tokens:
            return jax.random.randint(inputs, shape, 0, count), jax.random.randint(labels, shape, 0, count)
        return jax.random.normal(inputs, shape), jax.random.randint(labels, (size,), 0, count)

    def logits(weights: Weights, rest: Rest, inputs: jax.Array) -> jax.Array:
        network = nnx.merge(graph, lower(weights), rest, copy=True)
        network.eval()
        found: jax.Array = network(lower(inputs)).astype(jnp.float32)
        return found

    # Initialising tensor by tensor is slow.
    return Problem(entry.name, init, jax.jit(init), loss, make_batch, order, logits)


def _rounded(precision: str) -> Callable[[Any], Any]:
    if precision not in PRECISIONS:
        raise UnknownNameError(
            f'unknown precision "{precision}". {suggestion(precision, PRECISIONS)}It is "float32" or "bfloat16".'
        )
    if precision == "float32":
        return lambda tree: tree

    def lower(leaf: jax.Array) -> jax.Array:
        return leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return lambda tree: jax.tree.map(lower, tree)


def _as_before(before: Rest, after: Rest) -> Rest:
    """Return the rest in the types it had: statistics computed in fewer bits are kept in as many as before."""
    return jax.tree.map(lambda old, new: new.astype(old.dtype) if new.dtype != old.dtype else new, before, after)


def _forward_order(network: Network) -> tuple[int, ...]:
    tensors = trainable_tensors(network)
    for place, tensor in enumerate(tensors):
        tensor.set_value(jnp.asarray(place))
    places = [int(place) for place in jax.tree.leaves(nnx.state(network, nnx.Param))]
    return tuple(int(leaf) for leaf in np.argsort(places))


def model_problem(
    model: nnx.Module, batch: Batch, loss: Callable[[Any, Any], jax.Array], *, name: str = "model"
) -> Problem:
    """Return the training of your own NNX model on batches made of yours.

    Args:
        model: The model; it is copied, not changed.
        batch: A pytree of arrays with the samples along their first axis.
        loss: ``loss(model, batch)``, a scalar.
        name: What it is called.
    """
    graph, *first = nnx.split(model, nnx.Param, ...)
    first_weights, first_rest = first

    def loss_of(weights: Weights, rest: Rest, batch: Batch) -> tuple[jax.Array, Rest]:
        own = nnx.merge(graph, weights, rest, copy=True)
        value = loss(own, batch)
        return _scalar(value), _as_before(rest, nnx.state(own, nnx.Not(nnx.Param)))

    def init() -> tuple[Weights, Rest]:
        return first_weights, first_rest

    order = first_uses(loss_of, first_weights, first_rest, batch)
    return Problem(name, init, init, loss_of, _repeater(batch), order)


def loss_problem(
    loss_fn: Callable[[Any, Any], jax.Array], params: Weights, batch: Batch, *, name: str = "model"
) -> Problem:
    """Return the training of plain parameters on batches made of yours.

    Args:
        loss_fn: ``loss_fn(params, batch)``, a scalar.
        params: A pytree of arrays.
        batch: A pytree of arrays with the samples along their first axis.
        name: What it is called.
    """
    arrays = jax.tree.map(jnp.asarray, params)

    def loss_of(weights: Weights, rest: Rest, batch: Batch) -> tuple[jax.Array, Rest]:
        return _scalar(loss_fn(weights, batch)), rest

    def init() -> tuple[Weights, Rest]:
        return arrays, ()

    return Problem(name, init, init, loss_of, _repeater(batch), first_uses(loss_of, arrays, (), batch))


def _scalar(value: jax.Array) -> jax.Array:
    if getattr(value, "shape", None) != ():
        shape = getattr(value, "shape", type(value).__name__)
        raise UnitError(f"the loss has shape {shape}; it must be a scalar. Average it over the batch.")
    return value.astype(jnp.float32)


def _repeater(batch: Batch) -> Callable[[int], Batch]:
    """Return a function that cuts or repeats the user's batch to any number of samples."""

    def resized(leaf: jax.Array, size: int) -> jax.Array:
        whole_batch = jnp.asarray(leaf)
        return jnp.resize(whole_batch, (size,) + whole_batch.shape[1:])  # noqa: RUF005 - mypy knows no unpacked shape

    def make(size: int) -> Batch:
        return jax.tree.map(lambda leaf: resized(leaf, size), batch)

    return make
