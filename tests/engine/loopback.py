"""Engines on real sockets of the loopback interface, several in one process."""

import threading

from calibrate.engine.rendezvous import Book, listen, meet
from calibrate.engine.tcp import TcpEngine


def connected(count, *, listeners=None):
    """Return engines that found one another."""
    listeners = listeners or [listen("127.0.0.1") for _ in range(count)]
    book = Book.of(["127.0.0.1"] * count, [one.getsockname()[1] for one in listeners], 2**17)
    engines = {}

    def join(rank):
        engines[rank] = TcpEngine(rank, meet(rank, listeners[rank], book))

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [engines[rank] for rank in range(count)]
