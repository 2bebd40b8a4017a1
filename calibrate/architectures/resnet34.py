"""ResNet-34, Table 2.5 of the thesis, with either of the two shortcuts at a change of size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

from .base import Layer, Network, halve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


class ConvNorm(nnx.Module):
    """A convolution without bias and the batch normalisation that takes the bias's place."""

    def __init__(self, channels: int, width: int, size: int, stride: int, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(channels, width, (size, size), strides=stride, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(width, momentum=0.9, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the convolution, then the normalisation."""
        yield from (self.conv, self.norm)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the normalised convolution of ``x``."""
        normalised: jax.Array = self.norm(self.conv(x))
        return normalised


class Block(nnx.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int, *, project: bool, rngs: nnx.Rngs) -> None:
        self.first = ConvNorm(channels, width, 3, stride, rngs)
        self.second = ConvNorm(width, width, 3, 1, rngs)
        resized = channels != width
        self.projection = nnx.data(ConvNorm(channels, width, 1, stride, rngs) if resized and project else None)
        self.stride = stride
        self.padding = width - channels

    def layers(self) -> Iterator[Layer]:
        """Yield the layers of the main path, then those of the shortcut."""
        yield from (*self.first.layers(), *self.second.layers())
        if self.projection is not None:
            yield from self.projection.layers()

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the block's output, activated."""
        return nnx.relu(self.second(nnx.relu(self.first(x))) + self._shortcut(x))

    def _shortcut(self, x: jax.Array) -> jax.Array:
        if self.projection is not None:
            return self.projection(x)
        if self.padding:
            return jnp.pad(x[:, :: self.stride, :: self.stride], ((0, 0), (0, 0), (0, 0), (0, self.padding)))
        return x


class ResNet34(Network):
    """Sixteen blocks in four stages.

    Attributes:
        project: With a 1x1 convolution at a change of size (option B, 21,797,672 parameters in 110
            tensors at 1000 classes), or with zeros for the new channels (option A, 21,623,848 in 101).
    """

    def __init__(self, rngs: nnx.Rngs, classes: int = 1000, *, project: bool = True) -> None:
        self.project = project
        self.stem = ConvNorm(3, 64, 7, 2, rngs)
        blocks, channels = [], 64
        for width, count in _STAGES:
            for _ in range(count):
                stride = 2 if channels != width else 1
                blocks.append(Block(channels, width, stride, project=project, rngs=rngs))
                channels = width
        self.blocks = nnx.List(blocks)
        self.output = nnx.Linear(channels, classes, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the stem, the blocks and the classifier."""
        yield from self.stem.layers()
        for block in self.blocks:
            yield from block.layers()
        yield self.output

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, height, width, 3)``."""
        x = halve(nnx.relu(self.stem(inputs)))
        for block in self.blocks:
            x = block(x)
        return self.output(x.mean(axis=(1, 2)))
