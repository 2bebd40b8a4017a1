"""The two networks of Viviano's thesis on federated edge-popup, at the sizes of its code and of its text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flax import nnx

from .base import Layer, Network
from .layers import conv, dense, max_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

_leaky_relu = partial(nnx.leaky_relu, negative_slope=0.1)


class VivianoDense(Network):
    """Four hidden layers of 200 units with ReLU: 279,610 parameters in 10 tensors at 784 inputs and 10 classes."""

    def __init__(self, rngs: nnx.Rngs, classes: int = 10, *, inputs: int = 784) -> None:
        self.hidden = nnx.List([dense(size, 200, rngs) for size in (inputs, 200, 200, 200)])
        self.output = nnx.Linear(200, classes, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the five dense layers."""
        yield from (*self.hidden, self.output)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, inputs)``."""
        x = inputs
        for layer in self.hidden:
            x = nnx.relu(layer(x))
        return self.output(x)


class VivianoConv(Network):
    """A convolution, two residual blocks of two, and two dense layers, all with leaky ReLU of slope 0.1.

    422,230 parameters in 14 tensors at 28x28x1 and 10 classes. A block's output is activated after the
    shortcut has been added.
    """

    def __init__(self, rngs: nnx.Rngs, classes: int = 10, *, side: int = 28, channels: int = 1) -> None:
        self.stem = conv(channels, 20, 3, rngs)
        self.blocks = nnx.List([nnx.List([conv(20, 40, 3, rngs), conv(40, 20, 3, rngs)]) for _ in range(2)])
        self.hidden = dense((side // 2) ** 2 * 20, 100, rngs)
        self.output = nnx.Linear(100, classes, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the five convolutions and the two dense layers."""
        yield self.stem
        for block in self.blocks:
            yield from block
        yield from (self.hidden, self.output)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, side, side, channels)``."""
        x = max_pool(_leaky_relu(self.stem(inputs)), 2, 2)
        for wide, narrow in self.blocks:
            x = _leaky_relu(x + narrow(_leaky_relu(wide(x))))
        return self.output(_leaky_relu(self.hidden(x.reshape(len(x), -1))))
