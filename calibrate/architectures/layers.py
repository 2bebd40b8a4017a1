"""The layers that several families share: convolutions and dense layers made for ReLU, pools, and norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Layer

Padding: TypeAlias = str | tuple[tuple[int, int], tuple[int, int]]

# He et al. 2015: weights of variance 2 / fan_in keep the size of the activations through layers with ReLU.
# Compiled, so that a shape is traced once for all the layers and networks that have it.
_HE = jax.jit(nnx.initializers.he_normal(), static_argnums=(1, 2))

# Krizhevsky et al. 2012, section 3.3; the sources of GoogLeNet here print the equation without constants.
_LRN_K, _LRN_SIZE, _LRN_ALPHA = 2.0, 5, 1e-4


def conv(
    channels: int,
    width: int,
    size: int,
    rngs: nnx.Rngs,
    *,
    stride: int = 1,
    padding: Padding = "SAME",
    bias: bool = True,
) -> nnx.Conv:
    """Return a ``size`` x ``size`` convolution from ``channels`` to ``width`` maps, with He's weights."""
    return nnx.Conv(
        channels,
        width,
        (size, size),
        strides=stride,
        padding=padding,
        use_bias=bias,
        kernel_init=_HE,
        rngs=rngs,
    )


def dense(inputs: int, outputs: int, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a dense layer that an activation follows, with He's weights."""
    return nnx.Linear(inputs, outputs, kernel_init=_HE, rngs=rngs)


def max_pool(x: jax.Array, size: int, stride: int, padding: Padding = "SAME") -> jax.Array:
    """Return the ``size`` x ``size`` maxima at every ``stride``-th place of ``x``, ``(batch, h, w, channels)``."""
    pooled: jax.Array = nnx.max_pool(  # type: ignore[no-untyped-call]
        x, (size, size), strides=(stride, stride), padding=padding
    )
    return pooled


def halve(x: jax.Array) -> jax.Array:
    """Return the 3x3 maxima at every second place of ``x``, of shape ``(batch, h, w, channels)``."""
    return max_pool(x, 3, 2)


def local_response_norm(x: jax.Array) -> jax.Array:
    r"""Divide each activation by a power of the squares of its five neighbours in channel.

    .. math:: b_c = a_c \left(k + \alpha \sum_{j=c-2}^{c+2} a_j^2\right)^{-\beta},
        \quad k = 2, \ \alpha = 10^{-4}, \ \beta = 3/4

    Channels beyond the first and the last count as 0, and the sum is not divided by 5. Source: Krizhevsky et
    al. 2012, section 3.3.

    Args:
        x: Activations, of shape ``(batch, height, width, channels)``.

    Returns:
        The same shape.

    Example:
        >>> local_response_norm(jnp.zeros((1, 2, 2, 8))).shape
        (1, 2, 2, 8)
    """
    # A window, not five shifted slices: as fast forward, and its gradient is another window (three times
    # as fast on a CPU). Two reciprocal roots are four times as fast there as a power of -0.75.
    squares = lax.reduce_window(jnp.square(x), 0.0, lax.add, (1, 1, 1, _LRN_SIZE), (1, 1, 1, 1), "SAME")
    root = lax.rsqrt(_LRN_K + _LRN_ALPHA * squares)
    return x * root * jnp.sqrt(root)


class ConvNorm(nnx.Module):
    """A convolution without bias and the batch normalisation that takes the bias's place.

    Attributes:
        conv: The convolution; ``bias`` gives it a bias of its own all the same.
        norm: The normalisation; None without ``norm``, which leaves a plain convolution with bias.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        size: int,
        stride: int,
        rngs: nnx.Rngs,
        *,
        norm: bool = True,
        bias: bool = False,
    ) -> None:
        self.conv = conv(channels, width, size, rngs, stride=stride, bias=bias or not norm)
        self.norm = nnx.data(nnx.BatchNorm(width, momentum=0.9, rngs=rngs) if norm else None)

    def layers(self) -> Iterator[Layer]:
        """Yield the convolution, then the normalisation."""
        yield self.conv
        if self.norm is not None:
            yield self.norm

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the normalised convolution of ``x``."""
        x = self.conv(x)
        # The statistics have 32 bits and raise what they meet to that: back to the precision of the network.
        return x if self.norm is None else self.norm(x).astype(x.dtype)
