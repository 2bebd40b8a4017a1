"""How a link is given its rate."""

from __future__ import annotations

from speedup.errors import UnitError
from speedup.units import bandwidth, show_bandwidth

SLOWEST_BYTES_PER_S, FASTEST_BYTES_PER_S = 100e3 / 8, 100e9 / 8
_LATE_S = (1 << 18) / 125e6  # 256 KiB at 1 Gbit/s
_PIECE_BYTES, _FRAMES_BYTES = 1 << 16, 1 << 12


def link_rate(text: str, *, what: str = "rate") -> float:
    """Read the rate of a link, in bytes per second.

    Raises:
        UnitError: It is no bandwidth, or one that links cannot be shaped to.

    Example:
        >>> link_rate("1gbit")
        125000000.0
    """
    rate = bandwidth(text, what=what)
    if not SLOWEST_BYTES_PER_S <= rate <= FASTEST_BYTES_PER_S:
        raise UnitError(
            f'{what} "{text}" is {show_bandwidth(rate)}; links of a testbed have '
            f"{show_bandwidth(SLOWEST_BYTES_PER_S)} to {show_bandwidth(FASTEST_BYTES_PER_S)}."
        )
    return rate


def burst_bytes(rate_bytes_per_s: float) -> int:
    """Return how many bytes may pass an idle link at once.

    The timer that lets the next packets pass is late by a millisecond or two on a busy machine, and what the link
    could have sent meanwhile is lost unless it fits into the burst: 2.1 ms of the line. A packet as TCP hands it down,
    64 KiB, should pass in one piece; but a burst is what a transfer gets for nothing, so not beyond 5.2 ms.

    Example:
        >>> burst_bytes(link_rate("100mbit")), burst_bytes(link_rate("1gbit")), burst_bytes(link_rate("10gbit"))
        (65536, 262144, 2621440)
    """
    late = rate_bytes_per_s * _LATE_S
    return round(max(late, min(2.5 * late, _PIECE_BYTES), _FRAMES_BYTES))


def token_bucket(rate_bytes_per_s: float) -> str:
    """Return the queueing discipline of one direction of a link, in the words of ``tc``.

    Example:
        >>> token_bucket(link_rate("1gbit"))
        'tbf rate 1000000000bit burst 262144 latency 50ms'
    """
    return f"tbf rate {round(8 * rate_bytes_per_s)}bit burst {burst_bytes(rate_bytes_per_s)} latency 50ms"
