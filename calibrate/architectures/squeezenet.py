"""SqueezeNet 1.0, Table 2.4 of the thesis, with SAME padding throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

from .base import Layer, Network, halve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

# Squeeze and expand widths of fire 1 to 8; a pool stands before the fires at these positions.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
_POOL_BEFORE = (0, 3, 7)


class Fire(nnx.Module):
    """A 1x1 convolution to ``squeeze`` channels, then a 1x1 and a 3x3 one to ``expand`` channels each."""

    def __init__(self, channels: int, squeeze: int, expand: int, rngs: nnx.Rngs) -> None:
        self.squeeze = nnx.Conv(channels, squeeze, (1, 1), rngs=rngs)
        self.expand1 = nnx.Conv(squeeze, expand, (1, 1), rngs=rngs)
        self.expand3 = nnx.Conv(squeeze, expand, (3, 3), rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the three convolutions."""
        yield from (self.squeeze, self.expand1, self.expand3)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the two expansions side by side, ``2 * expand`` channels."""
        x = nnx.relu(self.squeeze(x))
        return jnp.concatenate((nnx.relu(self.expand1(x)), nnx.relu(self.expand3(x))), axis=-1)


class SqueezeNet(Network):
    """Eight fire modules between two convolutions: 1,248,424 parameters in 52 tensors at 1000 classes."""

    def __init__(self, rngs: nnx.Rngs, classes: int = 1000) -> None:
        self.conv1 = nnx.Conv(3, 96, (7, 7), strides=2, rngs=rngs)
        inputs = (96, *(2 * expand for _, expand in _FIRES))
        self.fires = nnx.List([Fire(channels, *widths, rngs) for channels, widths in zip(inputs, _FIRES, strict=False)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.conv10 = nnx.Conv(512, classes, (1, 1), rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the 26 convolutions."""
        yield self.conv1
        for fire in self.fires:
            yield from fire.layers()
        yield self.conv10

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, height, width, 3)``."""
        x = nnx.relu(self.conv1(inputs))
        for index, fire in enumerate(self.fires):
            if index in _POOL_BEFORE:
                x = halve(x)
            x = fire(x)
        return nnx.relu(self.conv10(self.dropout(x))).mean(axis=(1, 2))
