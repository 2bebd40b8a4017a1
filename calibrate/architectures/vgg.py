"""VGG: groups of 3x3 convolutions with a pool after each.

Network E of Simonyan and Zisserman, 2015, (16 convolutions, known as VGG19), as in Table 2.1 of the thesis,
and network D (13 convolutions, known as VGG16) with the single dense layer usual on CIFAR.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

from .base import Layer, Network
from .layers import ConvNorm, max_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

_WIDTHS = (64, 128, 256, 512, 512)
VGG_D = (2, 2, 3, 3, 3)
VGG_E = (2, 2, 4, 4, 4)

# As in Torchvision's code: five pools make the activations grow, so that He's weights would start the loss
# far above that of a guess.
_SMALL = nnx.initializers.normal(0.01)


class VGG(Network):
    """Five groups of convolutions, then dense layers; no dropout, as none is printed in the sources.

    Attributes:
        groups: The convolutions group by group; a 2x2 pool follows each group.
        hidden: The dense layers before the last one.
        output: The last dense layer.
    """

    def __init__(
        self,
        rngs: nnx.Rngs,
        classes: int = 1000,
        *,
        side: int = 224,
        counts: tuple[int, ...] = VGG_E,
        hidden: tuple[int, ...] = (4096, 4096),
        norm: bool = False,
    ) -> None:
        groups, channels = [], 3
        for count, width in zip(counts, _WIDTHS, strict=True):
            inputs = (channels, *[width] * (count - 1))
            # Batch norm stands after a convolution that keeps its bias, as in the layout usual on CIFAR.
            groups.append(nnx.List([ConvNorm(size, width, 3, 1, rngs, norm=norm, bias=True) for size in inputs]))
            channels = width
        self.groups = nnx.List(groups)
        widths = ((side // 2 ** len(counts)) ** 2 * channels, *hidden)
        *layers, self.output = (
            nnx.Linear(inputs, outputs, kernel_init=_SMALL, rngs=rngs)
            for inputs, outputs in zip(widths, (*hidden, classes), strict=True)
        )
        self.hidden = nnx.List(layers)

    def layers(self) -> Iterator[Layer]:
        """Yield the convolutions and the dense layers."""
        for group in self.groups:
            for unit in group:
                yield from unit.layers()
        yield from (*self.hidden, self.output)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, side, side, 3)``."""
        x = inputs
        for group in self.groups:
            for unit in group:
                x = nnx.relu(unit(x))
            x = max_pool(x, 2, 2)
        x = x.reshape(len(x), -1)
        for layer in self.hidden:
            x = nnx.relu(layer(x))
        return self.output(x)
