r"""One or two bits an element, and the levels that they stand for.

Both levels of a column in ``one_bit``, and the level of a tensor in ``ternary``, are the means of the entries, or of
their magnitudes, that they stand for. So the sum of each column is preserved, or that of the magnitudes that are sent,
and no other levels have a smaller squared error.

TernGrad draws its three values at random so that their expectation is the gradient. Here they follow from the values:
errors are then smaller than what is sent, which error feedback needs to converge.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.payloads import OneBit, Ternary

from .base import CHUNK, FLOAT, Codec, chunks, cut, finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.payloads import Shapes

    from .base import Array, Parts

THRESHOLD = 0.7
"""By the mean magnitude of a tensor: what exceeds it is sent. Li and Liu, *Ternary weight networks*, 2016, section 2.2:
the best threshold for uniform and for normal values, or nearly so."""


class TernaryCodec(Codec[Ternary]):
    """Two bits an element: whether it is sent, and whether it is negative.

    Example:
        >>> codec = TernaryCodec(Ternary())
        >>> codec.decode(codec.encode([np.array([-4, 0, 6, 1], np.float32)]), [(4,)])[0].tolist()
        [-5.0, 0.0, 5.0, 0.0]
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return levels, then bits."""
        levels = np.empty(len(values), FLOAT)
        bits = np.empty((sum(value.size for value in values), 2), np.bool_)
        start = 0
        for index, value in enumerate(values):
            own = bits[start : start + value.size]
            start += value.size
            levels[index] = _ternary(value.reshape(-1), own, self.encoding.name)
        return [levels, np.packbits(bits)]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return -1, 0 or 1 times the levels."""
        levels = parts.levels(len(shapes))
        elements = sum(math.prod(shape) for shape in shapes)
        packed = parts.take(-(-elements // 4))
        parts.require(not _WRONG[packed].any(), "an element is negative and not sent")
        found = cut(np.take(_SIGNS, packed, axis=0).reshape(-1)[:elements], shapes)
        return [np.multiply(sign, level, out=sign) for sign, level in zip(found, levels, strict=True)]


# The four elements of each byte, a bit for "is sent" before a bit for "is negative"; and whether no encoder makes it.
_SENT, _NEGATIVE = np.moveaxis(np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(256, 4, 2), -1, 0)
_SIGNS = np.where(_NEGATIVE, np.float32(-1), _SENT.astype(np.float32))
_WRONG = np.any(_NEGATIVE > _SENT, axis=1)


def _ternary(flat: Array, bits: NDArray[np.bool_], name: str) -> float:
    """Write the bits of a tensor, and return its level."""
    magnitudes = [np.abs(flat[some]).sum(dtype=np.float64) for some in chunks(flat.size)]
    threshold, total, count = THRESHOLD * float(sum(finite(np.array(magnitudes), name))) / flat.size, 0.0, 0
    for some in chunks(flat.size):
        sizes = np.abs(flat[some])
        sent = sizes > threshold
        bits[some, 0], bits[some, 1] = sent, sent & (flat[some] < 0)
        total += float((sizes * sent).sum(dtype=np.float64))
        count += int(np.count_nonzero(sent))
    return total / max(count, 1)


class OneBitCodec(Codec[OneBit]):
    """One bit an element: whether it is above zero.

    Example:
        >>> codec = OneBitCodec(OneBit())
        >>> codec.decode(codec.encode([np.array([[1, -1], [3, -2], [-4, 0]], np.float32)]), [(3, 2)])[0].tolist()
        [[2.0, -1.0], [2.0, -1.0], [-4.0, -1.0]]
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return both levels of all columns of each tensor, then bits."""
        bits = np.empty(sum(value.size for value in values), np.bool_)
        levels, start = [], 0
        for value in values:
            own = bits[start : start + value.size]
            start += value.size
            levels.append(_two_levels(self._rows(value), own))
        return [finite(np.concatenate(levels, axis=None), self.encoding.name).astype(FLOAT), np.packbits(bits)]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the level of each bit."""
        columns = [self.encoding.columns(shape) for shape in shapes]
        levels = cut(parts.levels(2 * sum(columns)).astype(np.float32), [(2, count) for count in columns])
        bits = cut(parts.bits(sum(math.prod(shape) for shape in shapes)).view(np.bool_), shapes)
        return [_chosen(self._rows(own), *pair).reshape(own.shape) for own, pair in zip(bits, levels, strict=True)]

    def _rows(self, value: NDArray[Any]) -> NDArray[Any]:
        return value.reshape(-1, self.encoding.columns(value.shape))


def _two_levels(rows: Array, bits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Write the bits of a tensor, and return the lower and the higher level of each column."""
    above, columns = bits.reshape(rows.shape), rows.shape[1]
    sums, many = np.zeros((2, columns)), np.zeros(columns, np.int64)
    for some in chunks(len(rows), max(1, CHUNK // columns)):
        part = rows[some]
        many += np.greater(part, 0, out=above[some]).sum(axis=0)
        sums[0] += np.minimum(part, 0).sum(axis=0, dtype=np.float64)
        sums[1] += np.maximum(part, 0).sum(axis=0, dtype=np.float64)
    return sums / np.maximum([len(rows) - many, many], 1)


def _chosen(above: NDArray[np.bool_], low: Array, high: Array) -> Array:
    """Return ``np.where(above, high, low)`` with a level a column, in about a quarter of the time.

    Of the bits in which the levels differ, those of the higher one are taken under a mask: vector instructions do that.
    """
    found = np.empty(above.shape, np.int32)
    base, difference = low.view(np.int32), low.view(np.int32) ^ high.view(np.int32)
    for some in chunks(len(above), max(1, CHUNK // above.shape[1])):
        part = found[some]
        np.negative(above[some], out=part, dtype=np.int32)
        part &= difference
        part ^= base
    return found.view(np.float32)
