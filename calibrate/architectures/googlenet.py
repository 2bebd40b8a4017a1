"""GoogLeNet, Tables 2.2 and 2.3 of the thesis: inception modules, with or without auxiliary heads.

Source: Szegedy et al. 2015. The forms with batch normalisation and with 3x3 in place of 5x5 are those of
Torchvision's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import jax.numpy as jnp
from flax import nnx

from .base import Layer, Network
from .layers import ConvNorm, dense, halve, local_response_norm, max_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

# Maps of an inception module: 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, after the pool.
Widths: TypeAlias = tuple[int, int, int, int, int, int]

MODULES: dict[str, Widths] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Widths of the modules by name, in forward order."""

_POOL_AFTER = ("3b", "4e")
_AUXILIARY_AFTER = ("4a", "4d")
_AUXILIARY_WEIGHT = 0.3  # Szegedy et al. 2015, section 5


def width_of(widths: Widths) -> int:
    """Return the maps that a module of these widths puts out.

    Example:
        >>> width_of(MODULES["3a"])
        256
    """
    one, _, three, _, five, pooled = widths
    return one + three + five + pooled


class Inception(nnx.Module):
    """Four paths side by side: 1x1; 1x1 then 3x3; 1x1 then 5x5 (or ``five``); 3x3 maxima then 1x1."""

    def __init__(self, channels: int, widths: Widths, rngs: nnx.Rngs, *, norm: bool = False, five: int = 5) -> None:
        one, three_reduced, three, five_reduced, five_width, pooled = widths

        def unit(inputs: int, width: int, size: int) -> ConvNorm:
            return ConvNorm(inputs, width, size, 1, rngs, norm=norm)

        self.one = unit(channels, one, 1)
        self.three_reduce = unit(channels, three_reduced, 1)
        self.three = unit(three_reduced, three, 3)
        self.five_reduce = unit(channels, five_reduced, 1)
        self.five = unit(five_reduced, five_width, five)
        self.pooled = unit(channels, pooled, 1)

    def layers(self) -> Iterator[Layer]:
        """Yield the layers path by path."""
        for unit in (self.one, self.three_reduce, self.three, self.five_reduce, self.five, self.pooled):
            yield from unit.layers()

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the four paths' activations side by side."""
        paths = (
            self.one(x),
            self.three(nnx.relu(self.three_reduce(x))),
            self.five(nnx.relu(self.five_reduce(x))),
            self.pooled(max_pool(x, 3, 1)),
        )
        return nnx.relu(jnp.concatenate(paths, axis=-1))


class AuxiliaryHead(nnx.Module):
    """A classifier on maps of 14x14 places inside the network, which sends gradients there in training."""

    def __init__(self, channels: int, classes: int, rngs: nnx.Rngs, *, norm: bool = False) -> None:
        self.reduce = ConvNorm(channels, 128, 1, 1, rngs, norm=norm)
        self.hidden = dense(4 * 4 * 128, 1024, rngs)
        self.dropout = nnx.Dropout(0.7, rngs=rngs)
        self.output = nnx.Linear(1024, classes, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the convolution and the two dense layers."""
        yield from (*self.reduce.layers(), self.hidden, self.output)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits of ``x``, of shape ``(batch, 14, 14, channels)``."""
        means: jax.Array = nnx.avg_pool(x, (5, 5), strides=(3, 3))  # type: ignore[no-untyped-call]
        x = nnx.relu(self.reduce(means))
        x = nnx.relu(self.hidden(x.reshape(len(x), -1)))
        return self.output(self.dropout(x))


class GoogLeNet(Network):
    """Nine inception modules: 13,378,280 parameters in 128 tensors at 1000 classes.

    The auxiliary heads count 0.3 each in the training loss; a call computes the main head alone.

    Attributes:
        norm: With batch normalisation in place of the biases of convolutions. Without it, local response
            normalisation stands at two places, as in the original.
        auxiliary: The auxiliary heads by the module they stand after; empty without ``auxiliary``.
    """

    def __init__(
        self, rngs: nnx.Rngs, classes: int = 1000, *, auxiliary: bool = True, norm: bool = False, five: int = 5
    ) -> None:
        self.norm = norm
        self.conv1 = ConvNorm(3, 64, 7, 2, rngs, norm=norm)
        self.conv2_reduce = ConvNorm(64, 64, 1, 1, rngs, norm=norm)
        self.conv2 = ConvNorm(64, 192, 3, 1, rngs, norm=norm)
        modules, heads, channels = {}, {}, 192
        for name, widths in MODULES.items():
            modules[name] = Inception(channels, widths, rngs, norm=norm, five=five)
            channels = width_of(widths)
            if auxiliary and name in _AUXILIARY_AFTER:
                heads[name] = AuxiliaryHead(channels, classes, rngs, norm=norm)
        self.modules_by_name = nnx.Dict(modules)
        self.auxiliary = nnx.Dict(heads)
        self.dropout = nnx.Dropout(0.4, rngs=rngs)
        self.output = nnx.Linear(channels, classes, rngs=rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the stem, the modules, each with the head that stands after it, and the classifier."""
        for unit in (self.conv1, self.conv2_reduce, self.conv2):
            yield from unit.layers()
        for name in MODULES:
            yield from self.modules_by_name[name].layers()
            if name in self.auxiliary:
                yield from self.auxiliary[name].layers()
        yield self.output

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of ``inputs``, of shape ``(batch, height, width, 3)``, of the main head."""
        return self._classify(self._maps(inputs)["5b"])

    def heads(self, inputs: jax.Array) -> tuple[tuple[float, jax.Array], ...]:
        """Return the main head with weight 1, then the auxiliary heads with 0.3 each."""
        maps = self._maps(inputs)
        sides = ((_AUXILIARY_WEIGHT, self.auxiliary[name](maps[name])) for name in MODULES if name in self.auxiliary)
        return ((1.0, self._classify(maps["5b"])), *sides)

    def _maps(self, inputs: jax.Array) -> dict[str, jax.Array]:
        """Return what each module puts out, by its name."""
        x = self._normalised(halve(nnx.relu(self.conv1(inputs))))
        x = nnx.relu(self.conv2(nnx.relu(self.conv2_reduce(x))))
        x = halve(self._normalised(x))
        maps = {}
        for name in MODULES:
            maps[name] = self.modules_by_name[name](x)
            x = halve(maps[name]) if name in _POOL_AFTER else maps[name]
        return maps

    def _normalised(self, x: jax.Array) -> jax.Array:
        return x if self.norm else local_response_norm(x)

    def _classify(self, maps: jax.Array) -> jax.Array:
        return self.output(self.dropout(maps.mean(axis=(1, 2))))
