"""Residual networks of He et al. 2016: ResNet-34, Table 2.5 of the thesis, its form for CIFAR, and ResNet-50."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx

from .base import Layer, Network
from .layers import ConvNorm, halve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

# Width and number of blocks of the four stages, the same in both depths.
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


class Block(nnx.Module):
    """Two 3x3 convolutions, or a 3x3 one between two 1x1 (``bottleneck``), beside a shortcut."""

    def __init__(
        self, channels: int, width: int, stride: int, *, bottleneck: bool = False, project: bool = True, rngs: nnx.Rngs
    ) -> None:
        # The stride of a bottleneck is on its 3x3 convolution, as is common now ("v1.5"), not on the first 1x1.
        plan = (
            ((1, width, 1), (3, width, stride), (1, 4 * width, 1))
            if bottleneck
            else ((3, width, stride), (3, width, 1))
        )
        path, inputs = [], channels
        for size, outputs, step in plan:
            path.append(ConvNorm(inputs, outputs, size, step, rngs))
            inputs = outputs
        self.path = nnx.List(path)
        resized = channels != inputs
        self.projection = nnx.data(ConvNorm(channels, inputs, 1, stride, rngs) if resized and project else None)
        self.stride = stride
        self.padding = inputs - channels

    def layers(self) -> Iterator[Layer]:
        """Yield the layers of the main path, then those of the shortcut."""
        for unit in self.path:
            yield from unit.layers()
        if self.projection is not None:
            yield from self.projection.layers()

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the block's output, activated."""
        *before, last = self.path
        main = x
        for unit in before:
            main = nnx.relu(unit(main))
        return nnx.relu(last(main) + self._shortcut(x))

    def _shortcut(self, x: jax.Array) -> jax.Array:
        if self.projection is not None:
            return self.projection(x)
        if self.padding:
            return jnp.pad(x[:, :: self.stride, :: self.stride], ((0, 0), (0, 0), (0, 0), (0, self.padding)))
        return x


class ResNet(Network):
    """Sixteen blocks in four stages.

    ResNet-34 has 21,797,672 parameters in 110 tensors at 1000 classes, and 21,623,848 in 101 without
    ``project``; ResNet-50 (``bottleneck``) has 25,557,032 in 161.

    Attributes:
        project: With a 1x1 convolution at a change of size (option B), or with zeros for the new channels
            (option A).
        small: With a 3x3 stem of stride 1 and no pool after it, for images of 32x32, instead of 7x7 of
            stride 2 and a pool.
    """

    def __init__(
        self,
        rngs: nnx.Rngs,
        classes: int = 1000,
        *,
        bottleneck: bool = False,
        project: bool = True,
        small: bool = False,
    ) -> None:
        self.project, self.small = project, small
        self.stem = ConvNorm(3, 64, 3, 1, rngs) if small else ConvNorm(3, 64, 7, 2, rngs)
        blocks, channels = [], 64
        for stage, (width, count) in enumerate(_STAGES):
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(Block(channels, width, stride, bottleneck=bottleneck, project=project, rngs=rngs))
                channels = 4 * width if bottleneck else width
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
        x = nnx.relu(self.stem(inputs))
        x = x if self.small else halve(x)
        for block in self.blocks:
            x = block(x)
        return self.output(x.mean(axis=(1, 2)))
