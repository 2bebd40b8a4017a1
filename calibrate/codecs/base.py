"""What every codec does: checks what it is given, and leaves out what does not travel."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np

from speedup.errors import SpeedupError
from speedup.payloads import Encoding, is_kernel, payload_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from speedup.payloads import Shapes

    Array: TypeAlias = NDArray[np.float32]
    Message: TypeAlias = NDArray[np.uint8]
else:
    Array = Message = np.ndarray

CHUNK = 2**17
"""Elements to work on at a time where several passes are needed: what a processor's cache holds."""
FLOAT, INDEX = np.dtype("<f4"), np.dtype("<u4")

Kind = TypeVar("Kind", bound=Encoding)


class CodecError(SpeedupError):
    """Values that an encoding cannot send, or a message that is damaged."""


class Parts:
    """A message, read from its beginning.

    Args:
        message: All of it.
        name: Of its encoding, for errors.
    """

    def __init__(self, message: Message, name: str) -> None:
        self._message, self._at, self._name = message, 0, name

    def take(self, count: int, dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """Return the next ``count`` items; no copy."""
        size = count * np.dtype(dtype).itemsize
        part = self._message[self._at : self._at + size].view(dtype)
        self._at += size
        return part

    def bits(self, count: int) -> NDArray[np.uint8]:
        """Return the next ``count`` bits, a 0 or 1 each."""
        return np.unpackbits(self.take(-(-count // 8)), count=count)

    def levels(self, count: int) -> Array:
        """Return the next ``count`` floats, all of them finite."""
        found = self.take(count, FLOAT)
        self.require(bool(np.isfinite(found).all()), "a level is not finite")
        return found

    def require(self, condition: bool, fault: str) -> None:
        """Raise an error unless a condition holds.

        Raises:
            CodecError: It does not.
        """
        if not condition:
            raise CodecError(f"{self._name} message is damaged: {fault}. Send it again.")


class Codec(ABC, Generic[Kind]):
    """Makes messages of tensors and tensors of messages.

    Args:
        encoding: Which encoding, with its figures.
    """

    def __init__(self, encoding: Kind) -> None:
        self.encoding = encoding

    def encode(self, values: Sequence[Array]) -> Message:
        """Return the message for tensors.

        Args:
            values: 32-bit floats of any shapes, at least one tensor.

        Returns:
            As many bytes as ``speedup.payloads.payload_bytes`` says.

        Raises:
            CodecError: A tensor is of another type, or holds what this encoding cannot send.
            UnitError: The shapes are none that this encoding can send.
        """
        arrays = [self._checked(index, value) for index, value in enumerate(values)]
        size = payload_bytes(self.encoding, [array.shape for array in arrays])
        parts = self.pack([array for array in arrays if self._travels(array.shape)])
        message = np.empty(size, np.uint8)
        np.concatenate([_bytes(part) for part in parts], out=message)
        return message

    def decode(self, message: Message | bytes, shapes: Shapes) -> list[Array]:
        """Return the tensors of a message.

        Args:
            message: What ``encode`` returned, or its bytes.
            shapes: Shapes of the tensors that were encoded.

        Returns:
            32-bit floats that share nothing with the message; zeros for tensors that do not travel.

        Raises:
            CodecError: The message is too short or too long, or cannot be right.
            UnitError: The shapes are none that this encoding can send.
        """
        content = _content(message)
        expected, name = payload_bytes(self.encoding, shapes), self.encoding.name
        if content.size != expected:
            raise CodecError(
                f"{name} message of {content.size} bytes; for these {len(shapes)} tensors it has {expected}. It was "
                "cut off, or is of other tensors or figures."
            )
        unpacked = iter(self.unpack(Parts(content, name), [tuple(shape) for shape in shapes if self._travels(shape)]))
        return [next(unpacked) if self._travels(shape) else np.zeros(shape, np.float32) for shape in shapes]

    def typical(self, shapes: Shapes, seed: int = 0) -> list[Array]:
        """Return values of the kind that is sent so: normal ones, unless the encoding asks for others.

        Args:
            shapes: Their shapes.
            seed: Of what is drawn.
        """
        rng = np.random.default_rng(seed)
        return [rng.standard_normal(shape, np.float32) for shape in shapes]

    @abstractmethod
    def pack(self, values: list[Array]) -> Sequence[NDArray[Any]]:
        """Return the parts of a message for the tensors that travel."""

    @abstractmethod
    def unpack(self, parts: Parts, shapes: Shapes) -> Sequence[Array]:
        """Return the tensors that travel, from a message of the right length."""

    def _travels(self, shape: Sequence[int]) -> bool:
        return is_kernel(shape) or not self.encoding.kernels_only

    def _checked(self, index: int, value: Array) -> Array:
        array = np.asarray(value)
        if array.dtype != np.float32:
            raise CodecError(
                f"values[{index}] is of type {array.dtype}; {self.encoding.name} sends float32. Convert it with astype."
            )
        return np.ascontiguousarray(array).reshape(array.shape)


def _bytes(part: NDArray[Any]) -> Message:
    return np.ascontiguousarray(part).reshape(-1).view(np.uint8)


def _content(message: Message | bytes) -> Message:
    if isinstance(message, np.ndarray):
        if message.dtype != np.uint8:
            raise CodecError(f"message of type {message.dtype}; it must be bytes, or an array of uint8.")
        return np.ascontiguousarray(message).reshape(-1)
    return np.frombuffer(message, np.uint8) if len(message) else np.empty(0, np.uint8)


def chunks(size: int, length: int = CHUNK) -> Iterator[slice]:
    """Yield slices that together are so many items, each of a length at most.

    Example:
        >>> [(one.start, one.stop) for one in chunks(5, 2)]
        [(0, 2), (2, 4), (4, 5)]
    """
    for start in range(0, size, length):
        yield slice(start, min(start + length, size))


def flattened(values: Sequence[Array], dtype: DTypeLike = FLOAT, multiple: int = 1) -> NDArray[Any]:
    """Return all entries in one buffer, with zeros at its end up to a multiple of some length.

    Example:
        >>> flattened([np.ones((2, 1), np.float32), np.float32(3)], multiple=4).tolist()
        [1.0, 1.0, 3.0, 0.0]
    """
    sizes = [np.size(value) for value in values]
    flat = np.empty(-(-sum(sizes) // multiple) * multiple, dtype)
    start = 0
    for value, size in zip(values, sizes, strict=True):
        flat[start : start + size] = np.ravel(value)
        start += size
    flat[start:] = 0
    return flat


def cut(flat: NDArray[Any], shapes: Shapes) -> list[NDArray[Any]]:
    """Return the tensors of a flat buffer, as views.

    Example:
        >>> [part.tolist() for part in cut(np.arange(4), [(2,), (), (1, 1)])]
        [[0, 1], 2, [[3]]]
    """
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def finite(levels: NDArray[Any], name: str) -> NDArray[Any]:
    """Return numbers as they are.

    Raises:
        CodecError: One is not finite, and so one of the values that they were computed from was not.
    """
    if not np.isfinite(levels).all():
        raise CodecError(f"values are not all finite; {name} cannot send them. Look where the training diverged.")
    return levels
