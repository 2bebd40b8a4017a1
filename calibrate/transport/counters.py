"""What the network interfaces say was sent: whether the bytes of a run went over the wire at all.

Some MPI libraries quietly use shared memory between processes of one machine, whatever they were told.
"""

from __future__ import annotations

import psutil

from ..engine.base import ClusterError

OVERHEAD = 1.25
"""Headers, acknowledgements and signs of life may add so much before other traffic is suspected."""
_SMALL = 2**20


class BypassedWireError(ClusterError):
    """Bytes that did not go where they were to be measured."""


def interface_bytes(*, loopback: bool) -> int:
    """Return the bytes that this host's interfaces have sent: the loopback's, or all others'."""
    counters = psutil.net_io_counters(pernic=True)
    return sum(count.bytes_sent for name, count in counters.items() if name.startswith("lo") == loopback)


def check_counted(sent_bytes: int, counted_bytes: int, where: str) -> str | None:
    """Check what was counted against what was sent, and return a warning where there was other traffic.

    Args:
        sent_bytes: Handed to the engine.
        counted_bytes: Counted at the interfaces.
        where: Whose, for the message.

    Raises:
        BypassedWireError: Fewer bytes were counted than sent.

    Example:
        >>> check_counted(1_000_000, 1_046_000, "rank 0")
        >>> check_counted(100_000_000, 200_000_000, "rank 0")
        'rank 0: 200000000 bytes went over the interface for 100000000 sent; other traffic may have disturbed the run.'
    """
    if counted_bytes < sent_bytes:
        raise BypassedWireError(
            f"{where}: {sent_bytes} bytes were sent, but its network interfaces counted {counted_bytes}. The MPI "
            "library went another way, such as shared memory, so the times are not those of the link. Use the wheel's "
            'Open MPI: pip install "speedup-toolkit[cluster]".'
        )
    if counted_bytes > OVERHEAD * sent_bytes + _SMALL:
        return (
            f"{where}: {counted_bytes} bytes went over the interface for {sent_bytes} sent; other traffic may have "
            "disturbed the run."
        )
    return None
