"""The fully connected network 784-300-100-10 of Nardini's thesis on pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

from .base import Layer, Network
from .layers import dense

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax


class NardiniMLP(Network):
    """Two hidden layers of 300 and 100 units with ReLU: 266,610 parameters in 6 tensors at 10 classes."""

    def __init__(self, rngs: nnx.Rngs, classes: int = 10) -> None:
        self.hidden1 = dense(784, 300, rngs)
        self.hidden2 = dense(300, 100, rngs)
        self.output = nnx.Linear(100, classes, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the three dense layers."""
        yield from (self.hidden1, self.hidden2, self.output)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, 784)``."""
        return self.output(nnx.relu(self.hidden2(nnx.relu(self.hidden1(inputs)))))
