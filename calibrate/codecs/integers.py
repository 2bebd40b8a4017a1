"""8-bit levels of a scale: the largest magnitude is 127 of it, and no error is more than half of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.payloads import Int8, Int8Block

from .base import CHUNK, FLOAT, Codec, chunks, cut, finite, flattened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.payloads import Shapes

    from .base import Array, Parts

LARGEST = 127
# Keeps a scale from being rounded to zero, or to a number with hardly any digits.
_SMALLEST_SCALE = np.finfo(np.float32).tiny
# Keeps 127 of it from being beyond the largest float.
_LARGEST_SCALE = np.nextafter(np.finfo(np.float32).max / np.float32(LARGEST), np.float32(0))


def _quantised(rows: Array, name: str) -> tuple[Array, NDArray[np.int8]]:
    """Return a scale a row, and the rows in units of it."""
    peaks = finite(np.maximum(rows.max(axis=1), -rows.min(axis=1)), name)
    scales = np.clip(peaks / np.float32(LARGEST), _SMALLEST_SCALE, _LARGEST_SCALE).astype(FLOAT)
    levels = np.empty(rows.shape, np.int8)
    for some in chunks(len(rows), max(1, CHUNK // rows.shape[1])):
        for part in chunks(rows.shape[1]):
            scaled = rows[some, part] / scales[some, None]
            levels[some, part] = np.rint(scaled, out=scaled)
    return scales, levels


def _scales(count: int, parts: Parts) -> Array:
    scales = parts.levels(count)
    parts.require(bool((np.abs(scales) <= _LARGEST_SCALE).all()), "a scale is too large")
    return scales


def _checked(levels: NDArray[np.int8], parts: Parts) -> NDArray[np.int8]:
    parts.require(int(levels.min()) >= -LARGEST, f"a level is below -{LARGEST}")
    return levels


class Int8Codec(Codec[Int8]):
    """A scale for each tensor.

    Example:
        >>> codec = Int8Codec(Int8())
        >>> codec.decode(codec.encode([np.array([-254, 3, 100], np.float32)]), [(3,)])[0].tolist()
        [-254.0, 4.0, 100.0]
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return scales, then levels."""
        found = [_quantised(value.reshape(1, -1), self.encoding.name) for value in values]
        return [*(scales for scales, _ in found), *(levels for _, levels in found)]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return levels times scales."""
        scales = _scales(len(shapes), parts)
        levels = [_checked(parts.take(math.prod(shape), np.int8), parts).reshape(shape) for shape in shapes]
        return [np.multiply(level, scale, dtype=np.float32) for level, scale in zip(levels, scales, strict=True)]


class Int8BlockCodec(Codec[Int8Block]):
    """A scale for each block of the flat buffer, the last of which may be shorter.

    Example:
        >>> codec = Int8BlockCodec(Int8Block(block=2))
        >>> codec.decode(codec.encode([np.array([-254, 3, 127], np.float32)]), [(3,)])[0].tolist()
        [-254.0, 4.0, 127.0]
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return scales, then levels."""
        elements, block = sum(value.size for value in values), self.encoding.block
        scales, levels = _quantised(flattened(values, multiple=block).reshape(-1, block), self.encoding.name)
        return [scales, levels.reshape(-1)[:elements]]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return levels times scales."""
        elements, block = sum(math.prod(shape) for shape in shapes), self.encoding.block
        scales = _scales(-(-elements // block), parts)
        levels = _checked(parts.take(elements, np.int8), parts)
        flat, whole = np.empty(elements, np.float32), elements // block * block
        rows = (-1, block)
        np.multiply(levels[:whole].reshape(rows), scales[: whole // block, None], out=flat[:whole].reshape(rows))
        if whole < elements:
            np.multiply(levels[whole:], scales[-1], out=flat[whole:])
        return cut(flat, shapes)
