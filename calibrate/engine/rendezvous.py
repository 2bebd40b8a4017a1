"""How processes of a run find one another: each listens on its own address until all others have come, and no longer.

A process tells its launcher at which port it listens, and is told in return where the others are and a secret that only
processes of this run know. Both go through the pipes between launcher and process.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import socket
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .base import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

START_S = 60.0
"""Time in which all processes must have found one another [s]."""
_HELLO = struct.Struct("!32sIB")
_HELLO_S = 5.0
_NOTES, _BULK = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Where the processes of a run are.

    Attributes:
        places: Address and port of each, by rank.
        secret: Known to the processes of this run only, in hexadecimal digits.
        send_buffer: Bytes that a sender hands to the system ahead of the wire.
    """

    places: tuple[tuple[str, int], ...]
    secret: str
    send_buffer: int

    @classmethod
    def of(cls, addresses: Sequence[str], ports: Sequence[int], send_buffer: int) -> Book:
        """Return the book of a new run."""
        return cls(
            places=tuple(zip(addresses, ports, strict=True)), secret=secrets.token_hex(32), send_buffer=send_buffer
        )

    @classmethod
    def from_line(cls, line: str) -> Book:
        """Return the book that ``to_line`` wrote."""
        told = json.loads(line)
        return cls(**{**told, "places": tuple((address, port) for address, port in told["places"])})

    def to_line(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self)) + "\n"


def listen(address: str) -> socket.socket:
    """Return a socket that listens on one address of this host, at any port.

    Raises:
        ClusterError: The address is not one of this host's.
    """
    try:
        family, *_, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family)
    except OSError as error:
        raise ClusterError(
            f"host {socket.gethostname()} cannot listen on {address} ({error.strerror}). Name each host by an address, "
            "or a name with an address, that is its own and that the others reach."
        ) from None


def meet(rank: int, listener: socket.socket, book: Book) -> dict[int, tuple[socket.socket, socket.socket]]:
    """Connect a process with all others, and listen no longer.

    Args:
        rank: Its number.
        listener: Where those of higher rank come.
        book: Where those of lower rank are.

    Returns:
        For each other process the connection for notes and that for long messages, which do not block.

    Raises:
        ClusterError: Not all came in time.
    """
    meeting = _Meeting(rank, book)
    with listener:
        asyncio.run(meeting.hold(listener))
    return {peer: (meeting.found[peer, _NOTES], meeting.found[peer, _BULK]) for peer in meeting.peers}


class _Meeting:
    """A process while it looks for the others.

    Args:
        rank: Its number.
        book: Where they are.
    """

    def __init__(self, rank: int, book: Book) -> None:
        self.peers = [peer for peer in range(len(book.places)) if peer != rank]
        self.found: dict[tuple[int, int], socket.socket] = {}
        self._rank, self._book, self._secret = rank, book, bytes.fromhex(book.secret)
        self._wanted = {(peer, kind) for peer in self.peers for kind in (_NOTES, _BULK)}
        self._complete = asyncio.Event()
        self._greetings: set[asyncio.Task[None]] = set()

    async def hold(self, listener: socket.socket) -> None:
        """Return when all have been found."""
        accepting = asyncio.create_task(self._accept(listener))
        try:
            async with asyncio.timeout(START_S):
                await asyncio.gather(*(self._call(*who) for who in self._wanted if who[0] < self._rank))
                if self._wanted:
                    await self._complete.wait()
        except TimeoutError:
            self._close()
            missing = sorted({peer for peer, _ in self._wanted - set(self.found)})
            raise ClusterError(
                f"rank {self._rank} waited {START_S:.0f} s for rank {', '.join(map(str, missing))}. Do the hosts reach "
                "one another's addresses?"
            ) from None
        finally:
            for task in (accepting, *self._greetings):
                task.cancel()

    async def _call(self, peer: int, kind: int) -> None:
        """Connect to a process of lower rank."""
        loop = asyncio.get_running_loop()
        address, port = self._book.places[peer]
        family, *_, place = (await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM))[0]
        connection = self._prepared(socket.socket(family, socket.SOCK_STREAM))
        try:
            await loop.sock_connect(connection, place)
            await loop.sock_sendall(connection, _HELLO.pack(self._secret, self._rank, kind))
        except OSError as error:
            connection.close()
            raise ClusterError(
                f"rank {self._rank} cannot reach rank {peer} at {address} ({error.strerror}). Do the hosts reach one "
                "another's addresses?"
            ) from None
        self._take((peer, kind), connection)

    async def _accept(self, listener: socket.socket) -> None:
        """Greet whoever comes, all at once: who says nothing keeps nobody waiting."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(self._greet(self._prepared(connection)))
            self._greetings.add(task)
            task.add_done_callback(self._greetings.discard)

    async def _greet(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(_HELLO_S):
                secret, *who = _HELLO.unpack(await self._hello(connection))
        except (OSError, TimeoutError, asyncio.CancelledError):
            connection.close()
            return
        peer, kind = who
        known = hmac.compare_digest(secret, self._secret) and (peer, kind) in self._wanted - set(self.found)
        if known and peer > self._rank:
            self._take((peer, kind), connection)
        else:
            connection.close()

    @staticmethod
    async def _hello(connection: socket.socket) -> bytes:
        loop, hello = asyncio.get_running_loop(), b""
        while len(hello) < _HELLO.size:
            more = await loop.sock_recv(connection, _HELLO.size - len(hello))
            if not more:
                raise ConnectionError("it said nothing")
            hello += more
        return hello

    def _close(self) -> None:
        for connection in self.found.values():
            connection.close()

    def _take(self, who: tuple[int, int], connection: socket.socket) -> None:
        self.found[who] = connection
        if len(self.found) == len(self._wanted):
            self._complete.set()

    def _prepared(self, connection: socket.socket) -> socket.socket:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._book.send_buffer)
        return connection
