"""Every element as a float: of 32 bits, or rounded to 16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from speedup.payloads import BFloat16, Float32, Scores

from .base import FLOAT, Codec, cut, flattened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.payloads import Shapes

    from .base import Array, Parts


class Float32Codec(Codec[Float32 | Scores]):
    """All elements as they are; for ``scores``, those of the kernels.

    Example:
        >>> codec = Float32Codec(Float32())
        >>> message = codec.encode([np.array([1.5, 2.5], np.float32)])
        >>> message.size, codec.decode(message, [(2,)])[0].tolist()
        (8, [1.5, 2.5])
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return the elements."""
        return [value.astype(FLOAT, copy=False) for value in values]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the elements."""
        flat = parts.take(sum(int(np.prod(shape)) for shape in shapes), FLOAT)
        return cut(flat.astype(np.float32), shapes)


class BFloat16Codec(Codec[BFloat16]):
    """All elements, rounded to the nearest 16-bit float with ties to even.

    Example:
        >>> codec = BFloat16Codec(BFloat16())
        >>> codec.decode(codec.encode([np.array([1.5, 1.001], np.float32)]), [(2,)])[0].tolist()
        [1.5, 1.0]
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return the elements, rounded."""
        return [flattened(values, ml_dtypes.bfloat16)]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the elements."""
        flat = parts.take(sum(int(np.prod(shape)) for shape in shapes), ml_dtypes.bfloat16)
        return cut(flat.astype(np.float32), shapes)
