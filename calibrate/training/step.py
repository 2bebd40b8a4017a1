"""One training step (loss, gradient, update), compiled once and repeated as training repeats it.

The network is split into arrays and structure once, and the step is a function of flat arrays, compiled
ahead of time. Calling ``nnx.jit`` or passing module states instead costs milliseconds a step in Python,
which is no part of t_grad and exceeds it for a small network. An executable compiled ahead of time cannot
compile again: called with other shapes or types it raises, so no compilation can hide in a sample.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from flax import nnx

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..architectures import Architecture, Network

Leaves: TypeAlias = tuple[jax.Array, ...]
WeightState: TypeAlias = "nnx.State[Any, Any]"

LEARNING_RATE = 1e-4
"""Small enough for the numbers to stay finite over thousands of steps on one batch."""


def synthetic_batch(entry: Architecture, batch: int, classes: int, seed: int) -> tuple[jax.Array, jax.Array]:
    """Return normally distributed samples and uniformly distributed labels, on the default device.

    Args:
        entry: Architecture, for the shape of a sample.
        batch: Number of samples.
        classes: Number of classes.
        seed: The same seed gives the same batch.

    Returns:
        Samples of shape ``(batch, *input_shape)`` and labels of shape ``(batch,)``.
    """
    samples, labels = jax.random.split(jax.random.key(seed))
    return (
        jax.random.normal(samples, (batch, *entry.input_shape)),
        jax.random.randint(labels, (batch,), 0, classes),
    )


def mean_cross_entropy(network: Network, inputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the softmax cross entropy of the network on a batch, averaged over its samples."""
    losses = optax.softmax_cross_entropy_with_integer_labels(network(inputs), labels)
    mean: jax.Array = jnp.mean(losses)
    return mean


class TrainingStep:
    """One worker's training, a step a call.

    The weights, the statistics of batch normalisation, the dropout counters and the optimizer's state are
    handed from step to step, so consecutive calls depend on one another as in training; the batch stays
    on the device. Calls return at once where the device works asynchronously: see ``wait``.

    Args:
        entry: Architecture.
        batch: Samples a batch, at least 1.
        classes: Number of classes; None for the architecture's own.
        seed: Of the weights and the batch.
        learning_rate: Of plain stochastic gradient descent.

    Attributes:
        build_s: Time of making weights and batch [s].
        compile_s: Time of tracing and compiling the step [s].
    """

    def __init__(
        self,
        entry: Architecture,
        *,
        batch: int,
        classes: int | None = None,
        seed: int = 0,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        start = time.perf_counter()
        count = entry.classes if classes is None else classes
        self._batch = synthetic_batch(entry, batch, count, seed)
        step, self._state = flat_step(lambda: entry.build(nnx.Rngs(seed), count), optax.sgd(learning_rate))
        jax.block_until_ready((self._state, self._batch))  # type: ignore[no-untyped-call]
        built = time.perf_counter()
        # Not donated: on a GPU that would save memory, but no time, and nothing else reads the old state.
        self._executable = jax.jit(step).lower(self._state, *self._batch).compile()
        self.build_s, self.compile_s = built - start, time.perf_counter() - built

    def __call__(self) -> jax.Array:
        """Take one step and return its loss, a scalar that may still be being computed."""
        loss: jax.Array
        self._state, loss = self._executable(self._state, *self._batch)
        return loss

    def wait(self, loss: jax.Array) -> None:
        """Return when ``loss`` and everything the step updated are computed."""
        jax.block_until_ready((loss, self._state))  # type: ignore[no-untyped-call]

    @property
    def state(self) -> Leaves:
        """Weights, other state of the network, and the optimizer's state, flat."""
        return self._state


def flat_step(
    build: Callable[[], Network], optimizer: optax.GradientTransformation
) -> tuple[Callable[[Leaves, jax.Array, jax.Array], tuple[Leaves, jax.Array]], Leaves]:
    """Return a pure training step over flat arrays, and the state it starts from.

    Args:
        build: Makes the network; called under ``jax.jit``, because initialising tensor by tensor is slow.
        optimizer: Any Optax transformation.

    Returns:
        ``step(state, inputs, labels) -> (state, loss)``, and the first state.
    """
    graph = nnx.graphdef(nnx.eval_shape(build))

    def initial() -> tuple[object, object, object]:
        weights, rest = nnx.state(build(), nnx.Param, ...)
        return weights, rest, optimizer.init(weights)

    leaves, structure = jax.tree.flatten(jax.jit(initial)())

    def step(state: Leaves, inputs: jax.Array, labels: jax.Array) -> tuple[Leaves, jax.Array]:
        weights, rest, optimizer_state = jax.tree.unflatten(structure, state)

        def loss_of(candidate: WeightState) -> tuple[jax.Array, WeightState]:
            # A copy, because NNX lets a variable change only under the trace it was made in.
            network = nnx.merge(graph, candidate, rest, copy=True)
            loss = mean_cross_entropy(network, inputs, labels)
            return loss, nnx.state(network, nnx.Not(nnx.Param))

        (loss, moved), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, weights)
        new = jax.tree.leaves((optax.apply_updates(weights, updates), moved, optimizer_state))
        return tuple(new), loss

    return step, tuple(leaves)
