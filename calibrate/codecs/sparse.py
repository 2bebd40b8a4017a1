"""The largest entries of all tensors together, and nothing of the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.payloads import Sparse, Strom, TopK, TopKBitmap

from .base import FLOAT, INDEX, Codec, cut, finite, flattened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.payloads import Shapes

    from .base import Array, Parts

    Places = NDArray[np.intp]

_SIGN_BIT = np.uint32(1 << 31)


def largest(flat: Array, count: int, name: str) -> Places:
    """Return the places of the largest magnitudes, ascending; of equal ones at the limit, the first.

    Args:
        flat: Values.
        count: How many, from 1 to all.
        name: Of the encoding, for errors.

    Raises:
        CodecError: A value among the largest is not finite.

    Example:
        >>> largest(np.array([1, -3, 2, 2], np.float32), 2, "top_k").tolist()
        [1, 2]
    """
    sizes = np.abs(flat)
    first = flat.size - count
    # What is not a number is sorted to the end, so that it is among the largest.
    chosen = np.partition(sizes, first)[first:]
    least = finite(chosen, name)[0]
    above, equal = np.flatnonzero(sizes > least), np.flatnonzero(sizes == least)
    return np.sort(np.concatenate([above, equal[: count - above.size]]))


def _placed(places: NDArray[Any], values: Array, shapes: Shapes, parts: Parts) -> list[Array]:
    """Return tensors with values at some places and zeros elsewhere."""
    flat = np.zeros(sum(math.prod(shape) for shape in shapes), np.float32)
    parts.require(bool((places[1:] > places[:-1]).all()), "its indices do not ascend")
    parts.require(int(places[-1]) < flat.size, f"it has the index {int(places[-1])} of {flat.size} entries")
    flat[places] = values
    return cut(flat, shapes)


def _counts(encoding: Sparse, shapes: Shapes) -> tuple[int, int]:
    """Return all entries, and how many of them are sent."""
    elements = sum(math.prod(shape) for shape in shapes)
    return elements, encoding.count(elements)


class TopKCodec(Codec[TopK]):
    """Indices, then values.

    Example:
        >>> codec = TopKCodec(TopK(fraction=0.5))
        >>> codec.decode(codec.encode([np.array([-4, 1], np.float32), np.array([[2, 3]], np.float32)]), [(2,), (1, 2)])
        [array([-4.,  0.], dtype=float32), array([[0., 3.]], dtype=float32)]
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return indices and values."""
        flat = flattened(values)
        places = largest(flat, self.encoding.count(flat.size), self.encoding.name)
        return [places.astype(INDEX), flat[places]]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the values at the indices."""
        _, count = _counts(self.encoding, shapes)
        places = parts.take(count, INDEX)
        return _placed(places, parts.levels(count), shapes, parts)


class TopKBitmapCodec(Codec[TopKBitmap]):
    """Values, then a bit an entry that tells whether it has one.

    Example:
        >>> codec = TopKBitmapCodec(TopKBitmap(fraction=0.5))
        >>> codec.decode(codec.encode([np.array([-4, 1, 2, 3], np.float32)]), [(4,)])[0].tolist()
        [-4.0, 0.0, 0.0, 3.0]
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return values and bits."""
        flat = flattened(values)
        places = largest(flat, self.encoding.count(flat.size), self.encoding.name)
        has = np.zeros(flat.size, np.bool_)
        has[places] = True
        return [flat[places], np.packbits(has)]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the values where the bits are."""
        elements, count = _counts(self.encoding, shapes)
        values = parts.levels(count)
        places = np.flatnonzero(parts.bits(elements))
        parts.require(places.size == count, f"its bitmap has {places.size} entries and not {count}")
        return _placed(places, values, shapes, parts)


class StromCodec(Codec[Strom]):
    """A level a tensor, then a word an entry: its index, and its sign in the highest bit.

    The level is the mean magnitude of what a tensor sends. Strom's is a threshold that the user sets, below which all
    entries must stay; with the mean, error feedback converges whatever the gradient.

    Example:
        >>> codec = StromCodec(Strom(fraction=0.5))
        >>> codec.decode(codec.encode([np.array([-4, 1, 2, 3], np.float32)]), [(4,)])[0].tolist()
        [-3.5, 0.0, 0.0, 3.5]
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return levels and words."""
        flat = flattened(values)
        places = largest(flat, self.encoding.count(flat.size), self.encoding.name)
        sent = flat[places]
        tensors = _tensors_of(places, [value.size for value in values])
        sums = np.bincount(tensors, np.abs(sent), minlength=len(values))
        many = np.bincount(tensors, minlength=len(values))
        words = places.astype(INDEX) | np.where(sent < 0, _SIGN_BIT, np.uint32(0))
        return [(sums / np.maximum(many, 1)).astype(FLOAT), words]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the levels with their signs at the indices."""
        levels = parts.levels(len(shapes))
        words = parts.take(_counts(self.encoding, shapes)[1], INDEX)
        places, sizes = words & ~_SIGN_BIT, [math.prod(shape) for shape in shapes]
        parts.require(int(places.max()) < sum(sizes), f"it has the index {places.max()} of {sum(sizes)} entries")
        sent = levels[_tensors_of(places, sizes)]
        return _placed(places, np.where(words & _SIGN_BIT, -sent, sent), shapes, parts)


def _tensors_of(places: NDArray[Any], sizes: list[int]) -> Places:
    """Return the tensor of each place of the flat buffer."""
    return np.searchsorted(np.cumsum(sizes), places, side="right")
