"""AlexNet reduced for CIFAR-10, of Mandatelli's thesis on minibatch persistency.

The thesis prints stride 1 for the first convolution and 2.5 million parameters; only stride 4 gives that
number, as in W. Yang's network that the thesis cites. Both are here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flax import nnx

from .base import Layer, Network
from .layers import conv, dense, max_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

# Maps and sizes of the convolutions after the first.
_CONVS = ((192, 5), (384, 3), (256, 3), (256, 3))
_POOL_AFTER = (0, 1, 4)


class AlexNet(Network):
    """Five convolutions with three 2x2 pools, then 256 features that are classified.

    With stride 4 the last pool leaves one place, so its 256 maps are the features: 2,472,266 parameters in
    12 tensors at 10 classes. With stride 1 it leaves 4x4 places, and a dense layer makes the features:
    3,521,098 in 14.
    """

    def __init__(self, rngs: nnx.Rngs, classes: int = 10, *, stride: int = 4) -> None:
        convs, channels = [conv(3, 64, 11, rngs, stride=stride, padding=((5, 5), (5, 5)))], 64
        for width, size in _CONVS:
            convs.append(conv(channels, width, size, rngs))
            channels = width
        self.convs = nnx.List(convs)
        features = (32 // stride // 2 ** len(_POOL_AFTER)) ** 2 * channels
        self.hidden = nnx.data(dense(features, 256, rngs) if features != 256 else None)
        self.output = nnx.Linear(256, classes, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the convolutions and the dense layers."""
        yield from self.convs
        if self.hidden is not None:
            yield self.hidden
        yield self.output

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, 32, 32, 3)``."""
        x = inputs
        for index, convolution in enumerate(self.convs):
            x = nnx.relu(convolution(x))
            x = max_pool(x, 2, 2) if index in _POOL_AFTER else x
        x = x.reshape(len(x), -1)
        x = x if self.hidden is None else nnx.relu(self.hidden(x))
        return self.output(x)
