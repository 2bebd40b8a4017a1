"""Messages as coroutines: one thread that waits for all of them at once, and never spins.

Transfers, waiting and computing overlap as tasks of one asyncio loop. Where the engine names descriptors that tell when
something has arrived, the loop sleeps on them; while much arrives, and with an engine that names none, it sleeps for a
fixed time between two looks, which bounds both the processor time that waiting takes and the delay that it adds.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .base import ClusterError, MessageSizeError, PeerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from numpy.typing import NDArray

    from .base import Engine, Pending

    Result = TypeVar("Result")

LOOK_S = 0.0005
"""Sleep between two looks at the messages under way [s]."""
QUIET_LOOK_S = 0.02
"""The same where nothing is under way but signs of life, or descriptors tell when to look [s]: a core that computes
should not be disturbed."""
LARGEST_DOCUMENT = 256 * 2**20
"""Bytes of the longest document that is accepted."""
_BARRIER, _LENGTH, _DOCUMENT = 101, 102, 103
# Callbacks of a message that ended may start others: look again at once, a few times.
_RESTLESS = 4
# So often in a row was there something to read and yet no message complete: one of many bytes is on its way.
_BULK = 3


@dataclass(slots=True)
class _Message:
    pending: Pending
    future: asyncio.Future[None]
    peer: int
    quiet: bool


class Exchange:
    """The messages of one process.

    Args:
        engine: What carries them.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
        lost: Ranks that are gone, with the reason.
        sent_bytes: Bytes sent to other processes so far.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.rank, self.size = engine, engine.rank, engine.size
        self.lost: dict[int, str] = {}
        self.sent_bytes = 0
        self._under_way: list[_Message] = []
        self._wake: asyncio.Event | None = None
        self._restless = self._stirred = 0

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine to its end, and move messages meanwhile."""
        return asyncio.run(self._main(main))

    async def _main(self, main: Coroutine[Any, Any, Result]) -> Result:
        self._wake = asyncio.Event()
        for descriptor in self.engine.descriptors:
            asyncio.get_running_loop().add_reader(descriptor, self._stir)
        progress = asyncio.create_task(self._progress())
        task = asyncio.ensure_future(main)
        # A fault of the loop itself must end the run, not leave it waiting.
        await asyncio.wait({task, progress}, return_when=asyncio.FIRST_COMPLETED)
        if progress.done():
            task.cancel()
            progress.result()
        progress.cancel()
        with suppress(asyncio.CancelledError):
            await progress
        return task.result()

    async def _progress(self) -> None:
        wake = self._wake
        if wake is None:
            raise ClusterError("messages move only inside Exchange.run.")
        while True:
            wake.clear()
            if self._look():
                self._restless, self._stirred = _RESTLESS, 0
            if self._restless <= 0:
                await self._rest(wake)
            self._restless -= 1
            await asyncio.sleep(0)

    async def _rest(self, wake: asyncio.Event) -> None:
        """Sleep until there may be something to see."""
        hurried = not all(message.quiet for message in self._under_way)
        if hurried and (self._stirred >= _BULK or not self.engine.descriptors):
            time.sleep(LOOK_S)  # timers wait for the next look, by design
        if self.engine.descriptors or not hurried:
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), QUIET_LOOK_S if self._under_way else None)

    def _stir(self) -> None:
        """Look again: something can be read."""
        self._stirred += 1
        self._restless = _RESTLESS if self._stirred < _BULK else 1
        if self._wake is not None:
            self._wake.set()

    def _look(self) -> bool:
        """Settle what has ended, and return whether anything has."""
        before, self._under_way = self._under_way, []
        left = [message for message in before if not self._settled(message)]
        self._under_way = left + self._under_way
        return len(left) < len(before)

    def _settled(self, message: _Message) -> bool:
        if message.future.done():
            message.pending.cancel()
            return True
        try:
            if not message.pending.test():
                return False
        except PeerLostError as error:
            self.lost.setdefault(message.peer, str(error))
            message.future.set_exception(error)
        except ClusterError as error:
            message.future.set_exception(error)
        else:
            message.future.set_result(None)
        return True

    def lose(self, peer: int, reason: str) -> None:
        """Give a process up: every message to or from it fails from now on."""
        self.lost.setdefault(peer, reason)
        for message in self._under_way:
            if message.peer == peer and not message.future.done():
                message.future.set_exception(PeerLostError(self.lost[peer], peer))

    async def send(self, buffer: NDArray[Any], to: int, tag: int, *, quiet: bool = False) -> None:
        """Send a buffer, and return when it may change again.

        Args:
            buffer: Contiguous numbers.
            to: Rank of the receiver.
            tag: Which of its messages.
            quiet: Whether it may wait a little.

        Raises:
            PeerLostError: The receiver is gone.
        """
        self.sent_bytes += buffer.nbytes if to != self.rank else 0
        await self._carry(to, lambda: self.engine.send(buffer, to, tag), quiet=quiet)

    async def receive(self, buffer: NDArray[Any], source: int, tag: int, *, quiet: bool = False) -> None:
        """Fill a buffer with a message of exactly its length.

        Args:
            buffer: Contiguous numbers.
            source: Rank of the sender.
            tag: Which of its messages.
            quiet: Whether nobody is in a hurry for it.

        Raises:
            PeerLostError: The sender is gone.
            MessageSizeError: The message has another length.
        """
        await self._carry(source, lambda: self.engine.receive(buffer, source, tag), quiet=quiet)

    async def _carry(self, peer: int, start: Callable[[], Pending], *, quiet: bool) -> None:
        if peer in self.lost:
            raise PeerLostError(self.lost[peer], peer)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.append(_Message(start(), future, peer, quiet))
        self._restless = _RESTLESS
        # The loop sleeps until woken where nothing is under way, and until its next look where all is quiet.
        if self._wake is not None and (not quiet or len(self._under_way) == 1):
            self._wake.set()
        await future

    async def barrier(self, ranks: Iterable[int] | None = None, *, quiet: bool = False) -> None:
        """Return when every process, or each of some, has come here.

        Args:
            ranks: Which, this one among them; None for all.
            quiet: Look less often, because the others may take long.
        """
        first, *others = sorted(range(self.size) if ranks is None else ranks)
        here, there = np.zeros(1, np.int64), np.zeros(self.size, np.int64)
        if self.rank != first:
            await self.send(here, first, _BARRIER)
            await self.receive(there[:1], first, _BARRIER, quiet=quiet)
            return
        await asyncio.gather(*(self.receive(there[r : r + 1], r, _BARRIER, quiet=quiet) for r in others))
        await asyncio.gather(*(self.send(here, other, _BARRIER) for other in others))

    async def send_document(self, document: Any, to: int) -> None:  # noqa: ANN401 - whatever JSON can say
        """Send a JSON document."""
        content = np.frombuffer(json.dumps(document, allow_nan=False).encode(), np.uint8)
        await self.send(np.array([content.size], np.int64), to, _LENGTH)
        await self.send(content, to, _DOCUMENT)

    async def receive_document(self, source: int) -> Any:  # noqa: ANN401 - whatever JSON can say
        """Receive a JSON document.

        Raises:
            MessageSizeError: It is longer than any that is sent.
        """
        length = np.zeros(1, np.int64)
        await self.receive(length, source, _LENGTH)
        if not 0 < length[0] <= LARGEST_DOCUMENT:
            raise MessageSizeError(
                f"rank {source} announces a document of {length[0]} bytes; at most {LARGEST_DOCUMENT} are accepted."
            )
        content = np.zeros(int(length[0]), np.uint8)
        await self.receive(content, source, _DOCUMENT)
        return json.loads(content.tobytes())

    async def broadcast_document(self, document: Any, ranks: Iterable[int] | None = None) -> Any:  # noqa: ANN401
        """Return the document that the lowest rank of all processes, or of some, has."""
        first, *others = sorted(range(self.size) if ranks is None else ranks)
        if self.rank != first:
            return await self.receive_document(first)
        await asyncio.gather(*(self.send_document(document, other) for other in others))
        return document

    async def gather_documents(self, document: Any, ranks: Iterable[int] | None = None) -> list[Any]:  # noqa: ANN401
        """Return the documents of all processes, or of some, at the lowest rank; nothing elsewhere."""
        first, *others = sorted(range(self.size) if ranks is None else ranks)
        if self.rank != first:
            await self.send_document(document, first)
            return []
        return [document, *await asyncio.gather(*(self.receive_document(other) for other in others))]
