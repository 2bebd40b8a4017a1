"""The engine on plain TCP sockets: two connections between each two processes, and no library but Python's own.

One connection carries notes and messages below 64 KiB, the other the longer ones, so that no small message waits behind
a large one. A longer message is offered, and moves when its receiver has asked for it; so its bytes need no header, and
go from one buffer into the other.
"""

from __future__ import annotations

import json
import os
import platform
import select
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import LARGEST_MESSAGE, ClusterError, MessageSizeError, PeerLostError, as_bytes
from .rendezvous import Book, listen, meet

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

SMALL_BYTES = 2**16
"""A message shorter than this travels with the notes."""
_FRAME = struct.Struct("!BxxxiQ")
_READ, _READS = 2**18, 16
# What a process has sent before anybody wants it.
_UNEXPECTED_BYTES = 2**26
_FINISH_S = 5.0


class _Kind(IntEnum):
    SMALL = 1
    """Of the length that the frame gives; the message follows."""
    OFFER = 2
    """A message of that length is ready."""
    ASK = 3
    """Send it."""
    BYE = 4
    """Nothing comes any more."""
    ABORT = 5
    """End, with the tag as exit code."""


_KINDS = {int(kind): kind for kind in _Kind}


class TcpPending:
    """A message under way.

    Args:
        engine: Whose.
        peer: Rank of the other process.
        tag: Which of its messages.
        content: The bytes to send, or the room for those to arrive.
    """

    __slots__ = ("_engine", "content", "done", "error", "peer", "tag")

    def __init__(self, engine: TcpEngine, peer: int, tag: int, content: NDArray[np.uint8]) -> None:
        self._engine, self.peer, self.tag, self.content = engine, peer, tag, content
        self.done = False
        self.error: ClusterError | None = None

    def test(self) -> bool:
        """Return whether it has been sent or received."""
        if not self.done and self.error is None:
            self._engine.progress(0.0)
        if self.error is not None:
            raise self.error
        return self.done

    def cancel(self) -> None:
        """Give it up: what the other process was promised still moves, and nobody waits for it."""
        self._engine.forget(self)


class TcpEngine:
    """The processes that the launcher started, connected with one another.

    Args:
        rank: Number of this process, from 0.
        connections: For each other process the connection for notes and that for long messages.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
        name: What it is built on, with its version.
        descriptors: On which it waits.
        in_turn: Yes: long messages to the same process share one connection.
    """

    in_turn = True

    def __init__(self, rank: int, connections: Mapping[int, tuple[socket.socket, socket.socket]]) -> None:
        self.rank, self.size = rank, len(connections) + 1
        self.name = f"TCP sockets of Python {platform.python_version()}"
        self._poll = select.epoll()
        self.descriptors: tuple[int, ...] = (self._poll.fileno(),)
        self._peers = {peer: _Peer(self, peer, notes, bulk) for peer, (notes, bulk) in connections.items()}
        self._own = _Own()
        self._flows: dict[int, _Flow] = {}
        for one in self._peers.values():
            for flow in (one.notes, one.bulk):
                self._flows[flow.socket.fileno()] = flow
                self._poll.register(flow.socket, select.EPOLLIN)

    def send(self, buffer: NDArray[Any], to: int, tag: int) -> TcpPending:
        """Start to send a buffer."""
        pending = TcpPending(self, to, tag, as_bytes(buffer))
        (self._own if to == self.rank else self._peers[to]).send(pending)
        return pending

    def receive(self, buffer: NDArray[Any], source: int, tag: int) -> TcpPending:
        """Start to receive into a buffer."""
        pending = TcpPending(self, source, tag, as_bytes(buffer))
        (self._own if source == self.rank else self._peers[source]).receive(pending)
        return pending

    def forget(self, pending: TcpPending) -> None:
        """Do not give it a message that comes later."""
        (self._own if pending.peer == self.rank else self._peers[pending.peer]).matches.forget(pending)

    def progress(self, wait_s: float) -> None:
        """Move on what can be moved, and wait for it at most so long [s]."""
        for descriptor, events in self._poll.poll(wait_s):
            flow = self._flows.get(descriptor)
            if flow is not None:
                flow.move(events)

    def wants_to_write(self, flow: _Flow, *, wants: bool) -> None:
        """Wait, or no longer wait, until a connection takes more."""
        self._poll.modify(flow.socket, select.EPOLLIN | (select.EPOLLOUT if wants else 0))

    def drop(self, flow: _Flow) -> None:
        """Close a connection."""
        if self._flows.pop(flow.socket.fileno(), None) is not None:
            self._poll.unregister(flow.socket)
            flow.socket.close()

    def abort(self, code: int) -> None:
        """End every process of the run: they are told, and the launcher sees to the rest."""
        for peer in self._peers.values():
            peer.tell(_Kind.ABORT, code)
        self._close()

    def finish(self) -> None:
        """Leave the run: when all others leave, or some seconds later."""
        for peer in self._peers.values():
            peer.tell(_Kind.BYE)
        end = time.monotonic() + _FINISH_S
        while (left := end - time.monotonic()) > 0 and not all(peer.ended for peer in self._peers.values()):
            self.progress(left)
        self._close()

    def _close(self) -> None:
        for peer in self._peers.values():
            self.drop(peer.notes)
            self.drop(peer.bulk)
        self._poll.close()


def joined(rank: int, address: str) -> TcpEngine:
    """Listen, tell the launcher where, and connect with the processes that it tells of.

    Args:
        rank: Number of this process.
        address: Of this host, on which it listens until all have come.

    Raises:
        ClusterError: The address is not this host's, or the others do not come.
    """
    listener = listen(address)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)  # noqa: T201 - the launcher reads it
    line = sys.stdin.readline()
    if not line:
        raise ClusterError("the launcher has ended.")
    return TcpEngine(rank, meet(rank, listener, Book.from_line(line)))


def end_with_launcher() -> None:
    """End this process when its standard input ends, which is when the launcher does."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class _Matches:
    """Messages of one sender that were expected before they came, or came before they were expected, by tag."""

    def __init__(self) -> None:
        self.expected: dict[int, deque[TcpPending]] = defaultdict(deque)
        self.arrived: dict[int, deque[Any]] = defaultdict(deque)

    def expect(self, pending: TcpPending) -> Any | None:  # noqa: ANN401 - what arrived
        """Return what came for it already; else keep it."""
        if self.arrived[pending.tag]:
            return self.arrived[pending.tag].popleft()
        self.expected[pending.tag].append(pending)
        return None

    def arrive(self, tag: int, what: Any) -> TcpPending | None:  # noqa: ANN401 - what arrived
        """Return who expects it already; else keep it."""
        if self.expected[tag]:
            return self.expected[tag].popleft()
        self.arrived[tag].append(what)
        return None

    def forget(self, pending: TcpPending) -> None:
        """No longer expect what somebody expected."""
        with suppress(ValueError):
            self.expected[pending.tag].remove(pending)


class _Own:
    """Messages of a process to itself."""

    def __init__(self) -> None:
        self.matches = _Matches()

    def send(self, pending: TcpPending) -> None:
        receiver = self.matches.arrive(pending.tag, pending)
        if receiver is not None:
            self._move(pending, receiver)

    def receive(self, pending: TcpPending) -> None:
        sender = self.matches.expect(pending)
        if sender is not None:
            self._move(sender, pending)

    @staticmethod
    def _move(sender: TcpPending, receiver: TcpPending) -> None:
        sender.done = True
        _fill(receiver, sender.content)


class _Peer:
    """Another process: what is on its way to it, and from it.

    Args:
        engine: This process.
        rank: The other's number.
        notes: Connection for notes and small messages.
        bulk: Connection for the long ones.
    """

    def __init__(self, engine: TcpEngine, rank: int, notes: socket.socket, bulk: socket.socket) -> None:
        self.engine, self.rank = engine, rank
        self.notes, self.bulk = _Notes(self, notes), _Bulk(self, bulk)
        self.ended = False
        self._lost: str | None = None
        self.matches = _Matches()
        self._waiting = 0  # bytes that nobody expects yet
        self._offered: dict[int, deque[TcpPending]] = defaultdict(deque)

    def send(self, pending: TcpPending) -> None:
        if self._lost is not None:
            pending.error = self._loss()
            return
        length = pending.content.nbytes
        if length >= SMALL_BYTES:
            self._offered[pending.tag].append(pending)
            self.tell(_Kind.OFFER, pending.tag, length)
        else:
            self.notes.send(_FRAME.pack(_Kind.SMALL, pending.tag, length) + pending.content.tobytes())
            # It is ours now: the buffer may change.
            pending.done = True

    def receive(self, pending: TcpPending) -> None:
        arrived = self.matches.expect(pending)
        if arrived is not None:
            self._waiting -= len(arrived) if isinstance(arrived, bytes) else 0
            self._deliver(pending, arrived)
        elif self._lost is not None:
            pending.error = self._loss()

    def arrived(self, tag: int, what: bytes | int) -> None:
        """Take a small message, or the offer of a long one."""
        pending = self.matches.arrive(tag, what)
        if pending is not None:
            self._deliver(pending, what)
        elif isinstance(what, bytes):
            self._waiting += len(what)
            if self._waiting > _UNEXPECTED_BYTES:
                self.lose(f"it sent {self._waiting} bytes that nobody wants")

    def _deliver(self, pending: TcpPending, what: bytes | int) -> None:
        if isinstance(what, bytes):
            _fill(pending, np.frombuffer(what, np.uint8))
        elif what != pending.content.nbytes:
            pending.error = _wrong_length(pending, what)
        else:
            self.bulk.expect(pending)
            self.tell(_Kind.ASK, pending.tag, what)

    def asked(self, tag: int) -> None:
        """Send the long message that was offered first."""
        if not self._offered[tag]:
            self.lose("it asked for a message that was not offered")
            return
        self.bulk.send(self._offered[tag].popleft())

    def tell(self, kind: _Kind, tag: int = 0, length: int = 0) -> None:
        """Send a note."""
        self.notes.send(_FRAME.pack(kind, tag, length))

    def lose(self, reason: str) -> None:
        """Fail everything that is under way: the process is gone, or not to be trusted."""
        if self._lost is not None:
            return
        self._lost, self.ended = reason, True
        expected = [one for waiting in self.matches.expected.values() for one in waiting]
        offered = [one for waiting in self._offered.values() for one in waiting]
        for pending in (*expected, *offered, *self.bulk.under_way()):
            pending.error = self._loss()
        self.engine.drop(self.notes)
        self.engine.drop(self.bulk)

    def _loss(self) -> PeerLostError:
        return PeerLostError(f"rank {self.rank} has ended or cannot be reached ({self._lost}).", self.rank)


class _Flow(ABC):
    """One connection to another process.

    Args:
        peer: The other process.
        socket: The connection, which never blocks.
    """

    def __init__(self, peer: _Peer, socket: socket.socket) -> None:
        self.socket, self._peer = socket, peer
        self._writing = False

    def move(self, events: int) -> None:
        """Write and read what can be."""
        if events & select.EPOLLOUT:
            self._try(self._write)
        if events & ~select.EPOLLOUT:
            self._try(self._read)

    def push(self) -> None:
        """Write at once what waits, unless something did before."""
        if not self._writing:
            self._try(self._write)

    def _try(self, step: Callable[[], None]) -> None:
        if self.socket.fileno() < 0:
            return
        try:
            step()
        except BlockingIOError:
            pass
        except OSError as error:
            self._peer.lose((error.strerror or str(error)).lower())
        if self.socket.fileno() >= 0 and self._writing != self._waits():
            self._writing = not self._writing
            self._peer.engine.wants_to_write(self, wants=self._writing)

    @abstractmethod
    def _waits(self) -> bool:
        """Return whether there is something to write."""

    @abstractmethod
    def _write(self) -> None:
        """Write what can be."""

    @abstractmethod
    def _read(self) -> None:
        """Read what can be."""


class _Notes(_Flow):
    """The connection for notes and small messages."""

    def __init__(self, peer: _Peer, socket: socket.socket) -> None:
        super().__init__(peer, socket)
        self._out, self._in = bytearray(), bytearray()

    def send(self, frame: bytes) -> None:
        self._out += frame
        self.push()

    def _waits(self) -> bool:
        return bool(self._out)

    def _write(self) -> None:
        del self._out[: self.socket.send(self._out)]

    def _read(self) -> None:
        content = self.socket.recv(_READ)
        if not content:
            self._peer.lose("it closed its connection")
        self._in += content
        begin = 0
        while (end := self._frame(begin)) is not None:
            begin = end
        del self._in[:begin]

    def _frame(self, begin: int) -> int | None:
        """Take the frame that begins there, and return where it ends; None if it has not all come."""
        if len(self._in) - begin < _FRAME.size:
            return None
        number, tag, length = _FRAME.unpack_from(self._in, begin)
        kind = _KINDS.get(number)
        body = length if kind is _Kind.SMALL else 0
        if kind is None or body >= SMALL_BYTES or length > LARGEST_MESSAGE:
            self._peer.lose(f"it sent what is no message: kind {number}, {length} bytes")
            return None
        end = begin + _FRAME.size + body
        if len(self._in) < end:
            return None
        self._take(kind, tag, length, bytes(self._in[end - body : end]))
        return end

    def _take(self, kind: _Kind, tag: int, length: int, body: bytes) -> None:
        if kind is _Kind.SMALL:
            self._peer.arrived(tag, body)
        elif kind is _Kind.OFFER:
            self._peer.arrived(tag, length)
        elif kind is _Kind.ASK:
            self._peer.asked(tag)
        elif kind is _Kind.BYE:
            self._peer.ended = True
        else:
            sys.stderr.flush()
            # Threads that compute must not keep the process alive.
            os._exit(tag)


class _Bulk(_Flow):
    """The connection for long messages, which come in the order in which they were asked for."""

    def __init__(self, peer: _Peer, socket: socket.socket) -> None:
        super().__init__(peer, socket)
        self._out: deque[TcpPending] = deque()
        self._in: deque[TcpPending] = deque()
        self._sent = self._received = 0

    def under_way(self) -> list[TcpPending]:
        """Return the messages that were asked for."""
        return [*self._out, *self._in]

    def send(self, pending: TcpPending) -> None:
        self._out.append(pending)
        self.push()

    def expect(self, pending: TcpPending) -> None:
        self._in.append(pending)

    def _waits(self) -> bool:
        return bool(self._out)

    def _write(self) -> None:
        while self._out:
            content = self._out[0].content
            self._sent += self.socket.send(content[self._sent :].data)
            if self._sent == content.nbytes:
                self._out.popleft().done, self._sent = True, 0

    def _read(self) -> None:
        # Not for ever: other connections have something to say too.
        for _ in range(_READS):
            room = self._in[0].content[self._received :] if self._in else np.empty(1, np.uint8)
            count = self.socket.recv_into(room.data)
            if not count or not self._in:
                self._peer.lose("it sent a message that nobody asked for" if count else "it closed its connection")
                return
            self._received += count
            if self._received == self._in[0].content.nbytes:
                self._in.popleft().done, self._received = True, 0


def _fill(pending: TcpPending, content: NDArray[np.uint8]) -> None:
    if content.nbytes != pending.content.nbytes:
        pending.error = _wrong_length(pending, content.nbytes)
        return
    pending.content[:] = content
    pending.done = True


def _wrong_length(pending: TcpPending, length: int) -> MessageSizeError:
    expected = pending.content.nbytes
    return MessageSizeError(f"a message of {length} bytes from rank {pending.peer}, expected {expected}.")
