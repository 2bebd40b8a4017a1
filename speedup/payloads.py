r"""What one transfer takes, in bytes, under each encoding: up (gradients, worker to server) and down (weights) apart.

For P elements in T tensors, of which W are the weights of kernels and k the entries that are sent:

======================  ===========================  ======================================================
name                    bytes                        what is sent
======================  ===========================  ======================================================
``fp32``                4 P                          every element
``bf16``                2 P                          every element, rounded
``int8``                P + 4 T                      levels, and a scale for each tensor
``int8_block``          P + 4 ceil(P / block)        levels, and a scale for each block of the flat buffer
``ternary``             ceil(P / 4) + 4 T            2 bits an element, and a level for each tensor
``one_bit``             ceil(P / 8) + 8 columns      1 bit an element, and two levels for each column
``top_k``               8 k                          32-bit index and 32-bit value of the largest entries
``strom``               4 k + 4 T                    31-bit index and sign of them, a level for each tensor
``top_k_bitmap``        ceil(P / 8) + 4 k            a bit an element for where they are, and their values
``scores``              4 W                          scores of kernels: no biases, no norms
``mask``                ceil(W / 8)                  which weights of kernels are used
``scores_and_weights``  4 (2 W + 1)                  scores, frozen weights, and a number
``seed``                8, once                      what all weights are drawn from
``compacted``           4 P(left) + ceil(units / 8)  the network that is left, and which units those are
======================  ===========================  ======================================================

Indices beat the bitmap when k / P < 1/32.

Not modelled: that a server may encode what it sends in the same way. The sum of sparse messages of N workers has up to
N times as many entries, and the sum of 1-bit messages is no 1-bit message: both become dense at the server. So the way
down is dense here, unless it is said to carry changes of the weights that were encoded anew.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from speedup.errors import PlanError, UnitError, UnknownNameError, suggestion
from speedup.units import show_bytes, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Shapes: TypeAlias = Sequence[Sequence[int]]

SEED_BYTES = 8
_INDEX_BITS = 32


class Use(StrEnum):
    """What an encoding is for."""

    GRADIENTS = "gradients"
    """What workers send up, and changes of the weights."""
    WEIGHTS = "weights"
    """What the server sends down."""
    BOTH = "both"


def _elements(shapes: Shapes) -> int:
    return sum(map(math.prod, shapes))


def is_kernel(shape: Sequence[int]) -> bool:
    """Return whether a tensor of that shape counts as a kernel: two axes or more.

    Biases and norms have one. An embedding has two and counts, though edge-popup leaves it alone: leave its shape out.

    Example:
        >>> is_kernel((784, 300)), is_kernel((300,))
        (True, False)
    """
    return len(shape) >= 2


def kernels(shapes: Shapes) -> list[Sequence[int]]:
    """Return the shapes of the kernels among tensors.

    Example:
        >>> kernels([(784, 300), (300,)])
        [(784, 300)]
    """
    return [shape for shape in shapes if is_kernel(shape)]


@dataclass(frozen=True, slots=True)
class Encoding(ABC):
    """How tensors become bytes. What a kind of encoding can be asked is a field of its class.

    Attributes:
        name: Its name.
        use: What it is for.
        lossy: Whether what arrives may differ from what was sent.
        summary: What it sends, in a line.
        source: Where its definition comes from.
        kernels_only: Whether only kernels travel; other tensors arrive as zeros.
        once: Whether it is sent once in a run, and not in every iteration.
        needs_shapes: Whether the sizes of the tensors do not tell its bytes.
    """

    name: ClassVar[str]
    use: ClassVar[Use]
    lossy: ClassVar[bool]
    summary: ClassVar[str]
    source: ClassVar[str]
    kernels_only: ClassVar[bool] = False
    once: ClassVar[bool] = False
    needs_shapes: ClassVar[bool] = False

    @abstractmethod
    def size(self, shapes: Shapes) -> int:
        """Return the bytes of a message for tensors of these shapes, which ``payload_bytes`` has checked."""


@dataclass(frozen=True, slots=True)
class Float32(Encoding):
    """Every element as it is: 4 P bytes."""

    name = "fp32"
    use = Use.BOTH
    lossy = False
    summary = "32-bit floats"
    source = "IEEE 754"

    def size(self, shapes: Shapes) -> int:
        """Return 4 P."""
        return 4 * _elements(shapes)


@dataclass(frozen=True, slots=True)
class BFloat16(Encoding):
    """Every element rounded to 8 bits of precision: 2 P bytes. Weights are often kept so, hence it is for both ways."""

    name = "bf16"
    use = Use.BOTH
    lossy = True
    summary = "16-bit floats with the exponent of 32-bit ones"
    source = "Kalamkar et al. 2019"

    def size(self, shapes: Shapes) -> int:
        """Return 2 P."""
        return 2 * _elements(shapes)


@dataclass(frozen=True, slots=True)
class Int8(Encoding):
    """255 levels of a scale that each tensor has: P + 4 T bytes."""

    name = "int8"
    use = Use.GRADIENTS
    lossy = True
    summary = "8-bit levels, a scale a tensor"
    source = "Dettmers 2016, linear"

    def size(self, shapes: Shapes) -> int:
        """Return P + 4 T."""
        return _elements(shapes) + 4 * len(shapes)


@dataclass(frozen=True, slots=True)
class Int8Block(Encoding):
    """255 levels of a scale that each block of the flat buffer has: P + 4 ceil(P / block) bytes.

    Attributes:
        block: Elements of a block.

    Raises:
        UnitError: It is no whole number of at least 1.
    """

    block: int = 4096

    name = "int8_block"
    use = Use.GRADIENTS
    lossy = True
    summary = "8-bit levels, a scale a block"
    source = "Dettmers et al. 2022, linear"

    def __post_init__(self) -> None:
        whole("block", self.block)

    def size(self, shapes: Shapes) -> int:
        """Return P + 4 ceil(P / block)."""
        elements = _elements(shapes)
        return elements + 4 * -(-elements // self.block)


@dataclass(frozen=True, slots=True)
class Ternary(Encoding):
    """-1, 0 or 1 times a level that each tensor has: ceil(P / 4) + 4 T bytes."""

    name = "ternary"
    use = Use.GRADIENTS
    lossy = True
    summary = "2 bits an element, a level a tensor"
    source = "Li and Liu 2016; as many bytes as TernGrad, Wen et al. 2017"

    def size(self, shapes: Shapes) -> int:
        """Return ceil(P / 4) + 4 T."""
        return -(-_elements(shapes) // 4) + 4 * len(shapes)


@dataclass(frozen=True, slots=True)
class OneBit(Encoding):
    """One of two levels that each column has: ceil(P / 8) + 8 columns bytes.

    The columns of a tensor are along its last axis: a kernel has one for each of its outputs. A vector of n elements is
    a row of n columns, which costs more than its floats would; as ``whole_vectors`` it is one column. A scalar is one.

    Attributes:
        whole_vectors: Whether a vector is one column.
    """

    whole_vectors: bool = False

    name = "one_bit"
    use = Use.GRADIENTS
    lossy = True
    summary = "1 bit an element, two levels a column"
    source = "Seide et al. 2014"
    needs_shapes = True

    def columns(self, shape: Sequence[int]) -> int:
        """Return the columns of a tensor.

        Example:
            >>> OneBit().columns((3, 3, 16, 32)), OneBit().columns((32,)), OneBit(whole_vectors=True).columns((32,))
            (32, 32, 1)
        """
        if self.whole_vectors and not is_kernel(shape):
            return 1
        return shape[-1] if shape else 1

    def size(self, shapes: Shapes) -> int:
        """Return ceil(P / 8) + 8 columns."""
        return -(-_elements(shapes) // 8) + 8 * sum(map(self.columns, shapes))


@dataclass(frozen=True, slots=True)
class Sparse(Encoding):
    """The parent of what sends the largest entries of the flat buffer of all tensors, and nothing of the others.

    Attributes:
        fraction: Part of the entries that is sent.

    Raises:
        UnitError: It is not above 0 and at most 1.
    """

    fraction: float = 0.01

    use = Use.GRADIENTS
    lossy = True

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise UnitError(f"fraction = {self.fraction:g}; it is a part of the entries, above 0 and at most 1.")

    def count(self, elements: int) -> int:
        """Return how many of so many entries are sent: k, the fraction of them rounded up.

        Example:
            >>> TopK().count(700), TopK().count(701)
            (7, 8)
        """
        # As it is written: as a float, 0.01 is a little more than a hundredth, and 700 entries would send 8.
        return math.ceil(Fraction(repr(float(self.fraction))) * elements)


def _indexed(elements: int, bits: int) -> int:
    if elements > 2**bits:
        raise UnitError(f"{elements} entries cannot be told apart by {bits} bits; send fewer tensors in one message.")
    return elements


@dataclass(frozen=True, slots=True)
class TopK(Sparse):
    """Index and value, 32 bits each: 8 k bytes."""

    name = "top_k"
    summary = "index and value of the largest entries"
    source = "Aji and Heafield 2017"

    def size(self, shapes: Shapes) -> int:
        """Return 8 k."""
        return 8 * self.count(_indexed(_elements(shapes), _INDEX_BITS))


@dataclass(frozen=True, slots=True)
class Strom(Sparse):
    """31-bit index and sign, and a level that each tensor has: 4 k + 4 T bytes.

    Strom sends what exceeds a constant threshold, as many entries as that may be. Here their number is given.
    """

    name = "strom"
    summary = "index and sign of the largest entries, a level a tensor"
    source = "Strom 2015"

    def size(self, shapes: Shapes) -> int:
        """Return 4 k + 4 T."""
        return 4 * self.count(_indexed(_elements(shapes), _INDEX_BITS - 1)) + 4 * len(shapes)


@dataclass(frozen=True, slots=True)
class TopKBitmap(Sparse):
    """A bit an element for where the values belong: ceil(P / 8) + 4 k bytes."""

    name = "top_k_bitmap"
    summary = "where the largest entries are, a bit each, and their values"
    source = "Aji and Heafield 2017, with a bitmap for the indices"

    def size(self, shapes: Shapes) -> int:
        """Return ceil(P / 8) + 4 k."""
        elements = _elements(shapes)
        return -(-elements // 8) + 4 * self.count(elements)


@dataclass(frozen=True, slots=True)
class Scores(Encoding):
    """Scores of the kernels' weights, or their gradients: 4 W bytes."""

    name = "scores"
    use = Use.BOTH
    lossy = False
    summary = "edge-popup's scores as 32-bit floats"
    source = "Ramanujan et al. 2020"
    kernels_only = True
    needs_shapes = True

    def size(self, shapes: Shapes) -> int:
        """Return 4 W."""
        return 4 * _elements(kernels(shapes))


@dataclass(frozen=True, slots=True)
class Mask(Encoding):
    """Which of the kernels' weights are used: ceil(W / 8) bytes."""

    name = "mask"
    use = Use.WEIGHTS
    lossy = False
    summary = "edge-popup's mask, 1 bit a weight"
    source = "Ramanujan et al. 2020"
    kernels_only = True
    needs_shapes = True

    def size(self, shapes: Shapes) -> int:
        """Return ceil(W / 8)."""
        return -(-_elements(kernels(shapes)) // 8)


@dataclass(frozen=True, slots=True)
class ScoresAndWeights(Encoding):
    """Scores, frozen weights and the number of a client's data, all as floats: 4 (2 W + 1) bytes.

    What the program of Viviano's thesis sends each way, though the scores alone would do.

    Attributes:
        shard: The number.
    """

    shard: int = 0

    name = "scores_and_weights"
    use = Use.BOTH
    lossy = False
    summary = "scores, frozen weights and a number as 32-bit floats"
    source = "Viviano's thesis (000)"
    kernels_only = True
    needs_shapes = True

    def size(self, shapes: Shapes) -> int:
        """Return 4 (2 W + 1)."""
        return 4 * (2 * _elements(kernels(shapes)) + 1)


@dataclass(frozen=True, slots=True)
class Seed(Encoding):
    """What both ends draw the same weights from: 8 bytes, once before training and in no iteration.

    Attributes:
        seed: The seed.

    Raises:
        UnitError: It is no whole number that 64 bits hold.
    """

    seed: int = 0

    name = "seed"
    use = Use.WEIGHTS
    lossy = False
    summary = "the seed that all weights are drawn from, once"
    source = "Ramanujan et al. 2020"
    once = True

    def __post_init__(self) -> None:
        if whole("seed", self.seed, minimum=0) >= 2 ** (8 * SEED_BYTES):
            raise UnitError(f"seed = {self.seed}; it must be below 2^{8 * SEED_BYTES}.")

    def size(self, shapes: Shapes) -> int:
        """Return 8, whatever the shapes."""
        del shapes
        return SEED_BYTES


@dataclass(frozen=True, slots=True)
class Compacted(Encoding):
    """A chain of dense layers without the units that hard pruning took: 4 P(left) + ceil(units / 8) bytes.

    A mask tells which input units of each layer are left, a bit for each that there was. Gates that are still trained
    are not part of it.

    Attributes:
        units: Input units left in each layer; None for all of them.
    """

    units: tuple[int, ...] | None = None

    name = "compacted"
    use = Use.BOTH
    lossy = False
    summary = "what hard pruning left, and which units that is"
    source = "Nardini's thesis (004)"

    def layers(self, shapes: Shapes) -> tuple[tuple[int, int], ...]:
        """Return what is left of each layer: input units and outputs.

        Args:
            shapes: Kernel and bias of each layer, in forward order.

        Raises:
            UnitError: That is no chain of dense layers, or ``units`` does not fit it.

        Example:
            >>> mlp = [(784, 300), (300,), (300, 100), (100,), (100, 10), (10,)]
            >>> Compacted((219, 214, 100)).layers(mlp)
            ((219, 214), (214, 100), (100, 10))
        """
        inputs = dense_chain(shapes)
        left = inputs if self.units is None else self.units
        if len(left) != len(inputs):
            raise UnitError(f"units has {len(left)} numbers for {len(inputs)} layers; give one for each.")
        for layer, (some, all_) in enumerate(zip(left, inputs, strict=True)):
            if whole(f"units[{layer}]", some) > all_:
                raise UnitError(f"units[{layer}] = {some}; layer {layer} has only {all_} input units.")
        return tuple(zip(left, (*left[1:], shapes[-1][0]), strict=True))

    def size(self, shapes: Shapes) -> int:
        """Return 4 P(left) + ceil(units / 8)."""
        parameters = sum(rows * columns + columns for rows, columns in self.layers(shapes))
        return 4 * parameters + -(-sum(dense_chain(shapes)) // 8)


def dense_chain(shapes: Shapes) -> tuple[int, ...]:
    """Return the input units of each layer of a chain of dense layers.

    Args:
        shapes: Kernel and bias of each layer, in forward order.

    Raises:
        UnitError: The shapes are those of something else.

    Example:
        >>> dense_chain([(784, 300), (300,), (300, 10), (10,)])
        (784, 300)
    """
    weights, biases = [tuple(shape) for shape in shapes[::2]], [tuple(shape) for shape in shapes[1::2]]
    chained = len(weights) == len(biases) and all(map(is_kernel, weights))
    outputs = [shape[-1:] for shape in weights]
    inputs = [shape[:-1] for shape in weights]
    if not (chained and outputs == biases and inputs[1:] == outputs[:-1] and len(inputs[0]) == 1):
        raise UnitError("only a chain of dense layers with biases can be compacted: a kernel and a bias for each.")
    return tuple(units for (units,) in inputs)


ENCODINGS: Mapping[str, Encoding] = MappingProxyType(
    {
        one.name: one
        for one in (
            Float32(),
            BFloat16(),
            Int8(),
            Int8Block(),
            Ternary(),
            OneBit(),
            TopK(),
            Strom(),
            TopKBitmap(),
            Scores(),
            Mask(),
            ScoresAndWeights(),
            Seed(),
            Compacted(),
        )
    }
)
"""Every encoding by its name, with its usual figures."""


def encoding(name: str | Encoding) -> Encoding:
    """Return the encoding of that name.

    Args:
        name: A name, upper or lower case, ``-`` or ``_``; or an encoding, which is returned as it is.

    Raises:
        UnknownNameError: Nobody knows the name.

    Example:
        >>> encoding("top-k"), encoding(TopK(fraction=0.001))
        (TopK(fraction=0.01), TopK(fraction=0.001))
    """
    if isinstance(name, Encoding):
        return name
    found = ENCODINGS.get(name.lower().replace("-", "_"))
    if found is None:
        known = ", ".join(ENCODINGS)
        raise UnknownNameError(f'unknown encoding "{name}". {suggestion(name, ENCODINGS)}Known: {known}.')
    return found


def payload_bytes(kind: str | Encoding, shapes: Shapes) -> int:
    """Return the exact bytes of one transfer in one direction.

    Args:
        kind: An encoding, or the name of one.
        shapes: Shape of each tensor that travels, in forward order; ``()`` is a scalar.

    Returns:
        Bytes of the message alone, without what the transport adds.

    Raises:
        UnitError: There is no tensor, a shape makes no sense, or the encoding cannot send these tensors.
        UnknownNameError: Nobody knows the name.

    Example:
        >>> mlp = [(784, 300), (300,), (300, 100), (100,), (100, 10), (10,)]
        >>> payload_bytes("fp32", mlp), payload_bytes("one-bit", mlp), payload_bytes(TopK(fraction=0.001), mlp)
        (1066440, 39887, 2136)
    """
    chosen = encoding(kind)
    if not len(shapes):
        raise UnitError("shapes is empty; list the shape of every tensor that travels.")
    for index, shape in enumerate(shapes):
        _check_shape(f"shapes[{index}]", shape)
    if chosen.kernels_only and not kernels(shapes):
        raise UnitError(f'encoding "{chosen.name}" sends kernels, and no tensor here has two axes or more.')
    return chosen.size(shapes)


def _check_shape(what: str, shape: object) -> None:
    if not isinstance(shape, tuple | list):
        raise UnitError(f"{what} = {shape!r} is no shape; give a tuple such as (784, 300).")
    for axis, length in enumerate(shape):
        whole(f"{what}[{axis}]", length)


TRAINS_SCORES = ("edge_popup", "viviano")
"""Algorithms that train scores of kernels and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a worker and the server send each other in one iteration.

    Attributes:
        algorithm: Training algorithm.
        up: Encoding of the gradients.
        down: Encoding of the weights.
        up_bytes: Bytes from a worker to the server.
        down_bytes: Bytes from the server to a worker.
        dense_bytes: Bytes of all tensors as 32-bit floats, one way.
        deltas: Whether changes of the weights go down in the place of the weights.
    """

    algorithm: str
    up: Encoding
    down: Encoding
    up_bytes: int
    down_bytes: int
    dense_bytes: int
    deltas: bool = False

    @property
    def share(self) -> float:
        """Bytes of both ways by those of 32-bit floats both ways."""
        return (self.up_bytes + self.down_bytes) / (2 * self.dense_bytes)

    def __str__(self) -> str:
        ways = f"{show_bytes(self.up_bytes)} up ({self.up.name}), {show_bytes(self.down_bytes)} down ({self.down.name})"
        return f"{self.algorithm}: {ways}, {self.share:.0%} of 32-bit floats both ways"


def traffic(
    algorithm: str,
    shapes: Shapes,
    *,
    up: str | Encoding | None = None,
    down: str | Encoding | None = None,
    deltas: bool = False,
) -> Traffic:
    """Return what an algorithm sends each way, and refuse what would not train.

    Args:
        algorithm: Name of the training algorithm. ``edge_popup`` and ``viviano`` train scores; every other name is
            taken for one that trains all tensors.
        shapes: Shape of each tensor that is trained, in forward order.
        up: Encoding of the gradients; None for the algorithm's own, ``scores`` or ``fp32``.
        down: Encoding of the weights; None for the same.
        deltas: Whether the server sends the changes of the weights since a worker last had them, with an error feedback
            of its own. Then the way down may lose as much as the way up. The first weights are not counted.

    Returns:
        The bytes of one iteration. A server that adds up sparse messages has a dense sum; see the module's text.

    Raises:
        PlanError: An encoding is not for that way, or not for that algorithm.
        UnitError: A shape makes no sense.
        UnknownNameError: Nobody knows an encoding.

    Example:
        >>> mlp = [(784, 300), (300,), (300, 100), (100,), (100, 10), (10,)]
        >>> print(traffic("sgd", mlp, up="top_k"))
        sgd: 21.3 kB up (top_k), 1.07 MB down (fp32), 51% of 32-bit floats both ways
        >>> print(traffic("edge_popup", mlp))
        edge_popup: 1.06 MB up (scores), 1.06 MB down (scores), 100% of 32-bit floats both ways
    """
    plain = algorithm.lower().replace("-", "_")
    own = "scores" if plain in TRAINS_SCORES else "fp32"
    rising, falling = encoding(own if up is None else up), encoding(own if down is None else down)
    for way, chosen in (("up", rising), ("down", falling)):
        _check_way(plain, way, chosen)
    if rising.use is Use.WEIGHTS:
        raise PlanError(f'up = "{rising.name}" is for weights, and workers send gradients. {_allowed(Use.GRADIENTS)}')
    if falling.use is Use.GRADIENTS and not deltas:
        raise PlanError(
            f'down = "{falling.name}" is for gradients, whose losses later gradients make up for; weights would stay '
            f"wrong. {_allowed(Use.WEIGHTS)} If the server sends changes of the weights, say deltas=True."
        )
    return Traffic(
        algorithm=algorithm,
        up=rising,
        down=falling,
        up_bytes=payload_bytes(rising, shapes),
        down_bytes=payload_bytes(falling, shapes),
        dense_bytes=payload_bytes(Float32(), shapes),
        deltas=deltas,
    )


def _check_way(algorithm: str, way: str, chosen: Encoding) -> None:
    if chosen.once:
        raise PlanError(f'{way} = "{chosen.name}" is sent once, before training; an iteration needs another encoding.')
    if chosen.kernels_only and algorithm not in TRAINS_SCORES:
        raise PlanError(
            f'{way} = "{chosen.name}" sends kernels alone, and algorithm = "{algorithm}" trains every tensor. It goes '
            f"with {' and '.join(TRAINS_SCORES)}."
        )


def _allowed(use: Use) -> str:
    names = [one.name for one in ENCODINGS.values() if one.use in {use, Use.BOTH} and not one.once]
    return f"Allowed: {', '.join(names)}."
