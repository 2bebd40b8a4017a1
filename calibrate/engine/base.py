"""What the training patterns need of a message-passing library: four operations that never block.

Everything above stands on this interface, so that another library can be put beneath it. Only buffers of numbers
travel: nothing received is ever executed or unpickled, and a message of another length than expected is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from speedup.errors import SpeedupError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_MESSAGE = 2**31 - 1
"""Bytes of one message, which MPI counts in 32 bits."""


class ClusterError(SpeedupError):
    """A distributed run that cannot go on."""

    exit_code = 6


class PeerLostError(ClusterError):
    """Another process of the run that has ended, or cannot be reached.

    Attributes:
        rank: Which.
    """

    def __init__(self, message: str, rank: int) -> None:
        super().__init__(message)
        self.rank = rank


class MessageSizeError(ClusterError):
    """A message of another length than its receiver expects."""


class Pending(Protocol):
    """A message under way."""

    def test(self) -> bool:
        """Return whether it has been sent or received, and move it on; never wait.

        Raises:
            PeerLostError: The other process is gone.
            MessageSizeError: What arrives is not as long as the buffer.
        """

    def cancel(self) -> None:
        """Give it up."""


class Engine(Protocol):
    """One process among those of a run.

    Attributes:
        rank: Its number, from 0.
        size: Number of processes.
        name: What it is built on, with its version.
        descriptors: Files that can be read when something has arrived; none if it must be asked.
        in_turn: Whether long messages to the same process go one after another, and not pieces of each in turn.
    """

    rank: int
    size: int
    name: str
    descriptors: tuple[int, ...]
    in_turn: bool

    def send(self, buffer: NDArray[Any], to: int, tag: int) -> Pending:
        """Start to send a buffer, which must not change until it has been sent.

        A message of at least 64 KiB moves only when its receiver has asked for it.
        """

    def receive(self, buffer: NDArray[Any], source: int, tag: int) -> Pending:
        """Start to receive into a buffer of exactly the message's length."""

    def abort(self, code: int) -> None:
        """End every process of the run with an exit code."""

    def finish(self) -> None:
        """Leave the run."""


def as_bytes(buffer: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of a contiguous buffer, without a copy.

    Raises:
        MessageSizeError: It is not contiguous, or too long for one message.

    Example:
        >>> as_bytes(np.zeros(3, np.float32)).nbytes
        12
    """
    if not buffer.flags.c_contiguous:
        raise MessageSizeError("a message must be contiguous in memory; send a copy.")
    if buffer.nbytes > LARGEST_MESSAGE:
        raise MessageSizeError(
            f"a message of {buffer.nbytes} bytes; one may have at most {LARGEST_MESSAGE}. Use more servers."
        )
    return buffer.reshape(-1).view(np.uint8)


def explanation(error: Exception) -> SpeedupError:
    """Return the first error of ours among those that came at once.

    Raises:
        ExceptionGroup: There is none.
    """
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, SpeedupError):
            return one
        waiting += one.exceptions if isinstance(one, ExceptionGroup) else ()
    raise error
