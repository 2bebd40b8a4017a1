"""The time of copying between the host's memory and a device's, by size and direction.

The host's memory is ordinary (pageable), as that of a NumPy array is. A sample is several copies one after another,
each waited for, so that it is the time until the data can be used and not that of asking for them. What is copied is
random, and never copied twice to the host: JAX keeps what it once brought there.

Where the device is the processor there may be nothing to copy, since JAX can use the host's memory as it is. Whether
it did is seen in the addresses, and then there is no bandwidth.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from speedup.errors import UnitError
from speedup.profile import Provenance, Timing
from speedup.units import positive, whole

from ..timing.statistics import summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

SAMPLE_S = 2e-3
"""Duration that a sample is to have at least, where the most copies in one allow it [s]."""

_MOST_LOOPS = 64
_MOST_BYTES = 2**28
# Where a buffer must begin for JAX to use it without copying. Ordinary allocations begin there by chance, so that the
# same size would be copied in one run and not in the next.
_ALIGNMENT = 64
_NO_COPY = (
    "nothing is copied: the device is the processor, and JAX uses the host's memory as it is; the time is that of the "
    "call alone"
)
_SAME_MEMORY = "the device is the processor: a copy within the host's memory"


class Direction(StrEnum):
    """Where a copy goes."""

    TO_DEVICE = "host-to-device"
    TO_HOST = "device-to-host"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTiming:
    """What copies of one size in one direction took.

    Attributes:
        direction: Where they went.
        device: The device, as its runtime calls it.
        timing: Time of one copy, with ``payload_bytes``.
        copied: Whether bytes were copied at all.
        note: What a reader of the time should know; empty for a copy to another memory.
    """

    direction: Direction
    device: str
    timing: Timing
    copied: bool = True
    note: str = ""

    @property
    def bandwidth_bytes_per_s(self) -> float | None:
        """Bytes by the median time [B/s]; None where nothing was copied."""
        return (self.timing.payload_bytes or 0) / self.timing.median_s if self.copied else None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values for JSON."""
        return asdict(self) | {"bandwidth_bytes_per_s": self.bandwidth_bytes_per_s}


def doubling(first: int, last: int) -> tuple[int, ...]:
    """Return sizes from ``first`` to at most ``last``, each twice the one before [bytes].

    Raises:
        UnitError: A size is no whole number of at least 1, or the last is below the first.

    Example:
        >>> doubling(8, 100)
        (8, 16, 32, 64)
    """
    steps = whole("last", last) // whole("first", first)
    if not steps:
        raise UnitError(f"last = {last} bytes; it must be at least first = {first} bytes.")
    return tuple(first << step for step in range(steps.bit_length()))


COPY_SIZES = doubling(2**12, 2**26)
"""4 KiB to 64 MiB, unless the user says otherwise [bytes]."""


def timing_of(samples_s: Sequence[float], *, payload_bytes: int, loops: int, warmup: int) -> Timing:
    """Return samples of one transfer as they stand in a profile: median, spread, and interval where six are there.

    Args:
        samples_s: Durations [s], each the mean of ``loops`` transfers, in the order taken.
        payload_bytes: Bytes moved by a transfer.
        loops: Transfers a sample.
        warmup: Transfers made and thrown away before the first sample.

    Example:
        >>> timing_of([0.5, 0.4, 0.6], payload_bytes=1000, loops=1, warmup=2).median_s
        0.5
    """
    summary = summarise(samples_s)
    return Timing(
        median_s=summary.median,
        provenance=Provenance.MEASURED,
        low_s=summary.low,
        high_s=summary.high,
        level=None if summary.low is None else summary.level,
        uncontended_s=summary.uncontended,
        cv=summary.cv,
        samples_s=tuple(float(sample) for sample in samples_s),
        loops=loops,
        warmup=warmup,
        payload_bytes=payload_bytes,
    )


def copy_times(
    sizes: Iterable[int] = COPY_SIZES,
    *,
    device: jax.Device | None = None,
    directions: Iterable[Direction | str] = tuple(Direction),
    samples: int = 20,
    warmup: int = 3,
    max_time_s: float = 10.0,
) -> tuple[CopyTiming, ...]:
    """Time copies between the host and a device, one after another and with nothing beside them.

    Args:
        sizes: Bytes of a copy.
        device: The device; None for JAX's first.
        directions: Which ways, ``host-to-device`` or ``device-to-host``.
        samples: Samples for each size and direction.
        warmup: Copies thrown away before them, at least one.
        max_time_s: Time after which no further sample of a size and direction is begun [s]. There is always one.

    Returns:
        One record a direction and size, in the order given.

    Raises:
        UnitError: A number is out of its range, or there is no such direction.

    Example:
        >>> [record] = copy_times([4096], directions=["device-to-host"], samples=6)
        >>> record.timing.payload_bytes, record.timing.median_s > 0
        (4096, True)
    """
    target = device or jax.devices()[0]
    ways = [_direction(way) for way in directions]
    wanted = [whole("size", size) for size in sizes]
    whole("samples", samples)
    whole("warmup", warmup)
    positive("max_time_s", max_time_s, "s")
    return tuple(_measure(way, size, target, samples, warmup, max_time_s) for way in ways for size in wanted)


def _direction(word: str) -> Direction:
    try:
        return Direction(word)
    except ValueError:
        known = " or ".join(f'"{way}"' for way in Direction)
        raise UnitError(f'direction "{word}" does not exist; it is {known}.') from None


class _ToDevice:
    """Copies of one array of the host to a device."""

    def __init__(self, host: NDArray[np.uint8], device: jax.Device) -> None:
        self._host, self._device = host, device

    def prepare(self, copies: int) -> list[NDArray[np.uint8]]:
        return [self._host] * copies

    def copy(self, source: Any) -> jax.Array:  # noqa: ANN401 - what prepare made
        placed: jax.Array = jax.device_put(source, self._device)
        return placed.block_until_ready()

    def copied(self, source: NDArray[np.uint8], result: jax.Array) -> bool:
        return result.unsafe_buffer_pointer() != source.ctypes.data


class _ToHost:
    """Copies of arrays of a device to the host."""

    def __init__(self, host: NDArray[np.uint8], device: jax.Device) -> None:
        self._first = jax.device_put(host, device)
        self._again = jax.jit(jnp.copy).lower(self._first).compile()

    def prepare(self, copies: int) -> list[jax.Array]:
        fresh: list[jax.Array] = [self._again(self._first) for _ in range(copies)]
        for array in fresh:
            array.block_until_ready()
        return fresh

    def copy(self, source: Any) -> NDArray[np.uint8]:  # noqa: ANN401 - what prepare made
        return np.asarray(source)

    def copied(self, source: jax.Array, result: NDArray[np.uint8]) -> bool:
        return source.unsafe_buffer_pointer() != result.ctypes.data


def _measure(
    direction: Direction, size: int, device: jax.Device, samples: int, warmup: int, max_time_s: float
) -> CopyTiming:
    begin = time.perf_counter()
    kind: type[_ToDevice | _ToHost] = _ToDevice if direction is Direction.TO_DEVICE else _ToHost
    way = kind(_host_array(size), device)
    loops = _loops(median(_sample(way, 1) for _ in range(warmup)), size)
    durations = [_sample(way, loops)]
    while len(durations) < samples and time.perf_counter() - begin < max_time_s:
        durations.append(_sample(way, loops))
    # Another platform's pointers are of another memory, and not every runtime gives them away.
    copied = device.platform != "cpu" or _copied(way)
    timing = timing_of(durations, payload_bytes=size, loops=loops, warmup=warmup)
    name = device.device_kind
    return CopyTiming(direction=direction, device=name, timing=timing, copied=copied, note=_note(device, copied))


def _note(device: jax.Device, copied: bool) -> str:
    if not copied:
        return _NO_COPY
    return _SAME_MEMORY if device.platform == "cpu" else ""


def _host_array(size: int) -> NDArray[np.uint8]:
    """Return random bytes: links and memories may be faster with zeros."""
    spare = np.random.default_rng(0).integers(0, 256, size + _ALIGNMENT, dtype=np.uint8)
    start = -spare.ctypes.data % _ALIGNMENT
    return spare[start : start + size]


def _loops(one_s: float, size: int) -> int:
    return max(1, min(math.ceil(SAMPLE_S / one_s), _MOST_LOOPS, _MOST_BYTES // size))


def _sample(way: _ToDevice | _ToHost, loops: int) -> float:
    sources = way.prepare(loops)
    copy: Callable[[Any], Any] = way.copy
    start = time.perf_counter()
    # Kept until the clock has been read, because freeing is no part of a copy.
    results = [copy(source) for source in sources]
    duration = time.perf_counter() - start
    return duration / len(results)


def _copied(way: Any) -> bool:  # noqa: ANN401 - either way
    [source] = way.prepare(1)
    return bool(way.copied(source, way.copy(source)))
