"""A link as if it had been measured."""

from speedup.cluster import Exchanges, MeasuredLink, Transfers

RATE = 119.6e6


def link(*, latency_s=1e-3, rate=RATE, spread=0.0, **more):
    sizes = (10**5, 10**6, 10**7, 10**8)
    transfers = tuple(
        Transfers(
            payload_bytes=size,
            direction=direction,
            samples_s=tuple((latency_s + size / rate) * (1 + spread * way) for way in (-1, 0, 1)),
        )
        for size in sizes
        for direction in ("forward", "backward", "both")
    )
    return MeasuredLink(
        latency_s=latency_s,
        bandwidth_bytes_per_s=rate,
        latency_low_s=0.9 * latency_s,
        latency_high_s=1.1 * latency_s,
        bandwidth_low_bytes_per_s=0.99 * rate,
        bandwidth_high_bytes_per_s=1.01 * rate,
        level=0.95,
        transfers=transfers,
        wire="emulated links of 1gbit",
        engine="an engine",
        **more,
    )


EXCHANGES = (
    Exchanges(hosts=2, payload_bytes=10**8, aligned_s=((0.43, 0.42),), staggered_s=((0.43, 0.42),)),
    Exchanges(hosts=8, payload_bytes=10**8, aligned_s=((0.76, 0.75),), staggered_s=((0.9, 0.7),)),
)
