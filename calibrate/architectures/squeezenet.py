"""SqueezeNet 1.0, Table 2.4 of the thesis with SAME padding throughout, or with the padding of the published code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

from .base import Layer, Network
from .layers import conv, halve, max_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

# Squeeze and expand widths of fire 1 to 8; a pool stands before the fires at these positions.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
_POOL_BEFORE = (0, 3, 7)


class Fire(nnx.Module):
    """A 1x1 convolution to ``squeeze`` channels, then a 1x1 and a 3x3 one to ``expand`` channels each."""

    def __init__(self, channels: int, squeeze: int, expand: int, rngs: nnx.Rngs) -> None:
        self.squeeze = conv(channels, squeeze, 1, rngs)
        self.expand1 = conv(squeeze, expand, 1, rngs)
        self.expand3 = conv(squeeze, expand, 3, rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the three convolutions."""
        yield from (self.squeeze, self.expand1, self.expand3)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the two expansions side by side, ``2 * expand`` channels."""
        x = nnx.relu(self.squeeze(x))
        return jnp.concatenate((nnx.relu(self.expand1(x)), nnx.relu(self.expand3(x))), axis=-1)


class SqueezeNet(Network):
    """Eight fire modules between two convolutions: 1,248,424 parameters in 52 tensors at 1000 classes.

    Attributes:
        same: Whether the stem and the pools are padded to half their size, as in Table 2.4 (maps of 112, 56,
            28, 14 places a side), or not, with pools that round up, as in Torchvision (109, 54, 27, 13).
    """

    def __init__(self, rngs: nnx.Rngs, classes: int = 1000, *, same: bool = True) -> None:
        self.same = same
        self.conv1 = conv(3, 96, 7, rngs, stride=2, padding="SAME" if same else "VALID")
        inputs = (96, *(2 * expand for _, expand in _FIRES))
        self.fires = nnx.List([Fire(channels, *widths, rngs) for channels, widths in zip(inputs, _FIRES, strict=False)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        # Small weights, as in the published code: the classifier starts undecided, before its ReLU can lock it.
        self.conv10 = nnx.Conv(512, classes, (1, 1), kernel_init=nnx.initializers.normal(0.01), rngs=rngs)

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
                x = halve(x) if self.same else _pool_rounded_up(x)
            x = fire(x)
        return nnx.relu(self.conv10(self.dropout(x))).mean(axis=(1, 2))


def _pool_rounded_up(x: jax.Array) -> jax.Array:
    # A last window may hang over the edge by the one place that does not fill a stride.
    rows, columns = ((0, (side - 3) % 2) for side in x.shape[1:3])
    return max_pool(x, 3, 2, (rows, columns))
