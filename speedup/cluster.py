"""What connects the workers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from speedup.errors import UnitError
from speedup.units import bandwidth, positive, show_bandwidth, show_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A full-duplex link between a worker and its server.

    Attributes:
        bandwidth_bytes_per_s: Payload bytes per second and direction, > 0.
        latency_s: Fixed time of one message [s], >= 0.

    Raises:
        UnitError: A value is out of its range.

    Example:
        >>> Link(bandwidth_bytes_per_s=125e6, latency_s=1e-3).transfer_time_s(3_469_060)
        0.02875248
    """

    bandwidth_bytes_per_s: float
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        positive("bandwidth", self.bandwidth_bytes_per_s, "B/s")
        if not (math.isfinite(self.latency_s) and self.latency_s >= 0):
            raise UnitError(f"latency = {self.latency_s:g} s; it must be finite and at least 0 s.")

    @classmethod
    def parse(cls, text: str, *, latency_s: float = 0.0) -> Link:
        """Read a link from its bandwidth, such as ``1gbit``.

        Raises:
            UnitError: The text is no bandwidth, or is ambiguous.

        Example:
            >>> Link.parse("10gbit").bandwidth_bytes_per_s
            1250000000.0
        """
        return cls(bandwidth_bytes_per_s=bandwidth(text), latency_s=latency_s)

    def transfer_time_s(self, payload_bytes: float) -> float:
        r"""Return the time [s] of one transfer of ``payload_bytes``.

        .. math:: t_{comm} = a + W / \beta

        with latency a and bandwidth \beta.
        """
        return self.latency_s + payload_bytes / self.bandwidth_bytes_per_s

    def __str__(self) -> str:
        latency = f", latency {show_seconds(self.latency_s)}" if self.latency_s else ""
        return f"{show_bandwidth(self.bandwidth_bytes_per_s)}{latency}"
