"""The small convolutional network for Fashion-MNIST of Neri's thesis on optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

from .base import Layer, Network
from .layers import conv, dense, max_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax


class NeriFashionCNN(Network):
    """Two 2x2 convolutions, of 64 and 32 maps, and a hidden layer of 256 units, with dropout after each.

    412,778 parameters in 8 tensors at 10 classes.
    """

    def __init__(self, rngs: nnx.Rngs, classes: int = 10) -> None:
        self.conv1 = conv(1, 64, 2, rngs)
        self.conv2 = conv(64, 32, 2, rngs)
        self.hidden = dense(7 * 7 * 32, 256, rngs)
        self.output = nnx.Linear(256, classes, rngs=rngs)
        self.after_pool = nnx.Dropout(0.3, rngs=rngs)
        self.after_hidden = nnx.Dropout(0.5, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the convolutions and the dense layers."""
        yield from (self.conv1, self.conv2, self.hidden, self.output)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, 28, 28, 1)``."""
        x = inputs
        for convolution in (self.conv1, self.conv2):
            x = self.after_pool(max_pool(nnx.relu(convolution(x)), 2, 2))
        x = nnx.relu(self.hidden(x.reshape(len(x), -1)))
        return self.output(self.after_hidden(x))
