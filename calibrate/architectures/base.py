"""What every network here is to the rest of the package: a module that knows its layers in forward order."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeAlias

from flax import nnx

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

Layer: TypeAlias = nnx.Conv | nnx.Linear | nnx.BatchNorm


class Network(nnx.Module):
    """A network that maps a batch of samples to logits.

    ``layers`` exists because NNX sorts attribute names when it flattens a module, so that ``bias`` comes
    before ``kernel`` and ``conv10`` before ``conv2``; the order in which tensors are sent does not.
    """

    @abstractmethod
    def layers(self) -> Iterator[Layer]:
        """Yield the layers that have trainable tensors, in forward order."""

    @abstractmethod
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits, of shape ``(batch, classes)``, of ``inputs``, of shape ``(batch, *sample)``."""


def halve(x: jax.Array) -> jax.Array:
    """Return the 3x3 maxima at every second place of ``x``, of shape ``(batch, h, w, channels)``."""
    pooled: jax.Array = nnx.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")  # type: ignore[no-untyped-call]
    return pooled


def trainable_tensors(network: Network) -> list[nnx.Param[jax.Array]]:
    """Return the trainable tensors in forward order, kernel before bias, scale before offset.

    Args:
        network: Any network of this package.

    Returns:
        One parameter a tensor; moving statistics are not among them.
    """
    pairs = (
        (layer.scale, layer.bias) if isinstance(layer, nnx.BatchNorm) else (layer.kernel, layer.bias)
        for layer in network.layers()
    )
    return [tensor for pair in pairs for tensor in pair if isinstance(tensor, nnx.Param)]
