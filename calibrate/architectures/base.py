"""What every network here is to the rest of the package: a module that knows its layers in forward order."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeAlias

from flax import nnx

if TYPE_CHECKING:
    from collections.abc import Iterator

    import jax

Layer: TypeAlias = nnx.Conv | nnx.Linear | nnx.BatchNorm | nnx.LayerNorm | nnx.Embed


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
        """Return the logits of the main head for ``inputs``, of shape ``(batch, *sample)``.

        Their shape is ``(batch, classes)``, or ``(batch, length, classes)`` where a sample is a row of tokens.
        """

    def heads(self, inputs: jax.Array) -> tuple[tuple[float, jax.Array], ...]:
        """Return the weight and the logits of every head that the training loss counts.

        The loss is the sum over the heads of weight times loss. Most networks have one head of weight 1.
        """
        return ((1.0, self(inputs)),)


def trainable_tensors(network: Network) -> list[nnx.Param[jax.Array]]:
    """Return the trainable tensors in forward order, kernel before bias, scale before offset.

    Args:
        network: Any network of this package.

    Returns:
        One parameter a tensor; moving statistics are not among them.
    """
    return [tensor for layer in network.layers() for tensor in _tensors(layer) if isinstance(tensor, nnx.Param)]


def _tensors(layer: Layer) -> tuple[object, ...]:
    if isinstance(layer, nnx.Embed):
        return (layer.embedding,)
    if isinstance(layer, nnx.BatchNorm | nnx.LayerNorm):
        return layer.scale, layer.bias
    return layer.kernel, layer.bias
