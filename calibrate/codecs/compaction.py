"""A chain of dense layers without the units that hard pruning took, and the masks that say which are left."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.payloads import Compacted, dense_chain

from .base import FLOAT, Codec, CodecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.payloads import Shapes

    from .base import Array, Parts

    Mask = NDArray[np.bool_]


class CompactedCodec(Codec[Compacted]):
    """Values, then a bit an input unit that tells whether it is left.

    A unit that is off has zeros in its row of the kernel. Its column of the kernel before, and its bias there, are left
    out too, whatever they are: nothing reads them. They arrive as zeros.

    Example:
        >>> codec = CompactedCodec(Compacted((2, 1)))
        >>> mlp = [np.array([[1, 2], [0, 0], [3, 4]]), np.array([5, 6]), np.array([[0], [7]]), np.array([8])]
        >>> values = [value.astype(np.float32) for value in mlp]
        >>> message = codec.encode(values)
        >>> message.size, [value.ravel().tolist() for value in codec.decode(message, [(3, 2), (2,), (2, 1), (1,)])]
        (21, [[0.0, 2.0, 0.0, 0.0, 0.0, 4.0], [0.0, 6.0], [0.0, 7.0], [8.0]])
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return what is left, then the masks.

        Raises:
            CodecError: More units of a layer are on than are to be left.
        """
        weights, biases = values[::2], values[1::2]
        left = self.encoding.units or tuple(len(kernel) for kernel in weights)
        masks = [_mask(layer, kernel, count) for layer, (kernel, count) in enumerate(zip(weights, left, strict=True))]
        parts: list[NDArray[Any]] = []
        for kernel, bias, (rows, columns) in zip(weights, biases, _cuts(masks, biases[-1].size), strict=True):
            parts += [kernel[np.ix_(rows, columns)].astype(FLOAT, copy=False), bias[columns].astype(FLOAT, copy=False)]
        return [*parts, np.packbits(np.concatenate(masks))]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the whole chain, with zeros for what is off."""
        layers, inputs = self.encoding.layers(shapes), dense_chain(shapes)
        flat = [(parts.take(rows * columns, FLOAT), parts.take(columns, FLOAT)) for rows, columns in layers]
        bits = parts.bits(sum(inputs)).view(np.bool_)
        masks = np.split(bits, np.cumsum(inputs)[:-1])
        for layer, (mask, (rows, _)) in enumerate(zip(masks, layers, strict=True)):
            found = int(mask.sum())
            parts.require(found == rows, f"the mask of layer {layer} has {found} units and not {rows}")
        tensors = [np.zeros(shape, np.float32) for shape in shapes]
        for index, (on, read) in enumerate(_cuts(masks, shapes[-1][0])):
            kernel, bias = flat[index]
            tensors[2 * index][np.ix_(on, read)] = kernel.reshape(layers[index])
            tensors[2 * index + 1][read] = bias
        return tensors

    def typical(self, shapes: Shapes, seed: int = 0) -> list[Array]:
        """Return weights with zeros for units that are off, drawn at random."""
        rng, values = np.random.default_rng(seed), super().typical(shapes, seed)
        masks = [
            np.isin(np.arange(all_), rng.permutation(all_)[:some])
            for all_, (some, _) in zip(dense_chain(shapes), self.encoding.layers(shapes), strict=True)
        ]
        for index, (rows, columns) in enumerate(_cuts(masks, shapes[-1][0])):
            values[2 * index] *= np.outer(rows, columns)
            values[2 * index + 1] *= columns
        return values


def _mask(layer: int, kernel: Array, count: int) -> Mask:
    """Return which input units of a layer are left: those that are on and, if these are fewer, the first others."""
    mask: Mask = np.any(kernel, axis=1)
    missing = count - int(mask.sum())
    if missing < 0:
        raise CodecError(
            f"{count - missing} units of layer {layer} are on, and {count} are to be left. Set the rows of the others "
            "to zero, or leave more."
        )
    mask[np.flatnonzero(~mask)[:missing]] = True
    return mask


def _cuts(masks: Sequence[Mask], outputs: int) -> list[tuple[Mask, Mask]]:
    """Return the rows and columns that are left of each kernel."""
    return list(pairwise([*masks, np.ones(outputs, np.bool_)]))
