"""What edge-popup sends beside its scores: masks, Viviano's messages, and seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.payloads import Mask, ScoresAndWeights, Seed

from .base import FLOAT, Codec, CodecError, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from speedup.payloads import Shapes

    from .base import Array, Parts

_SEED = np.dtype("<u8")


class MaskCodec(Codec[Mask]):
    """A bit a weight. Values are zeros and ones.

    Example:
        >>> codec = MaskCodec(Mask())
        >>> message = codec.encode([np.eye(3, dtype=np.float32)])
        >>> message.size, codec.decode(message, [(3, 3)])[0].tolist()
        (2, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    """

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return the bits.

        Raises:
            CodecError: A value is neither 0 nor 1.
        """
        bits = np.empty(sum(value.size for value in values), np.bool_)
        for own, value in zip(cut(bits, [value.shape for value in values]), values, strict=True):
            np.not_equal(value, 0, out=own)
            if not np.array_equal(own, value):
                raise CodecError("a mask has entries that are neither 0 nor 1; encode scores as scores.")
        return [np.packbits(bits)]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return zeros and ones."""
        return cut(parts.bits(sum(math.prod(shape) for shape in shapes)).astype(np.float32), shapes)

    def typical(self, shapes: Shapes, seed: int = 0) -> list[Array]:
        """Return masks with half of the weights."""
        return [(value > 0).astype(np.float32) for value in super().typical(shapes, seed)]


class ScoresAndWeightsCodec(Codec[ScoresAndWeights]):
    """Scores, weights, and a number, each a float.

    Args:
        encoding: With the number.
        weights: The frozen weights of the kernels; None for zeros, as in what comes back from clients, whose weights
            nobody reads.

    Example:
        >>> codec = ScoresAndWeightsCodec(ScoresAndWeights(shard=3), [np.full((1, 2), 5, np.float32)])
        >>> message = codec.encode([np.array([[1, 2]], np.float32)])
        >>> message.view(np.float32).tolist(), codec.decode(message, [(1, 2)])[0].tolist()
        ([1.0, 2.0, 5.0, 5.0, 3.0], [[1.0, 2.0]])
    """

    def __init__(self, encoding: ScoresAndWeights, weights: Sequence[Array] | None = None) -> None:
        super().__init__(encoding)
        self._weights = weights

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return scores, weights and the number.

        Raises:
            CodecError: The weights do not have the shapes of the scores.
        """
        weights = [np.zeros_like(value) for value in values] if self._weights is None else self._weights
        shapes = [value.shape for value in values]
        if [np.shape(weight) for weight in weights] != shapes:
            raise CodecError(f"the frozen weights do not have the {len(shapes)} shapes of the scores: {shapes}.")
        return [part.astype(FLOAT, copy=False) for part in (*values, *weights, np.array([self.encoding.shard]))]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the scores."""
        return cut(parts.take(sum(math.prod(shape) for shape in shapes), FLOAT).astype(np.float32), shapes)


def normal_weights(seed: int, shapes: Shapes) -> list[Array]:
    """Return kernels with standard deviation sqrt(2 / fan-in), and zeros for all else.

    Both ends must have the same version of NumPy, which may draw other numbers in another.

    Args:
        seed: Of NumPy's default generator.
        shapes: Of the tensors.

    Example:
        >>> kernel, bias = normal_weights(0, [(50, 40), (40,)])
        >>> round(float(kernel.std()), 1), bias.any()
        (0.2, np.False_)
    """
    rng = np.random.default_rng(seed)

    def drawn(shape: Sequence[int]) -> Array:
        if len(shape) < 2:
            return np.zeros(shape, np.float32)
        return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / math.prod(shape[:-1])))

    return [drawn(shape) for shape in shapes]


class SeedCodec(Codec[Seed]):
    """The seed alone; both ends draw the weights.

    Args:
        encoding: With the seed.
        draw: Returns the weights for a seed and shapes.

    Example:
        >>> codec = SeedCodec(Seed(seed=7))
        >>> message = codec.encode(normal_weights(7, [(2, 2)]))
        >>> message.tolist()
        [7, 0, 0, 0, 0, 0, 0, 0]
    """

    def __init__(self, encoding: Seed, draw: Callable[[int, Shapes], list[Array]] = normal_weights) -> None:
        super().__init__(encoding)
        self._draw = draw

    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return the seed.

        Raises:
            CodecError: The weights are not those that are drawn from it.
        """
        drawn = self._draw(self.encoding.seed, [value.shape for value in values])
        if not all(map(np.array_equal, drawn, values)):
            raise CodecError(f"the weights are not those of seed {self.encoding.seed}; send them as fp32.")
        return [np.array([self.encoding.seed], _SEED)]

    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the weights that are drawn from the seed."""
        return self._draw(int(parts.take(1, _SEED)[0]), shapes)

    def typical(self, shapes: Shapes, seed: int = 0) -> list[Array]:
        """Return the weights of the encoding's own seed."""
        del seed
        return self._draw(self.encoding.seed, shapes)
