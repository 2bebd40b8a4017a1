r"""Collective operations among all devices of all processes, in the terms of nccl-tests.

With S the ``payload_bytes``, t the median time and n the devices, the bandwidths are

.. math:: \text{algorithm bandwidth} = \frac{S}{t}, \qquad
          \text{bus bandwidth} = \frac{S}{t} \cdot \begin{cases} 2 (n-1)/n & \text{all-reduce} \\
          (n-1)/n & \text{reduce-scatter, all-gather, all-to-all} \end{cases}

The bus bandwidth is what each device must send, and receive, in the best of algorithms, by time: it can be compared
with the bandwidth of a link, whatever n and the operation are. S is the larger of what a device puts in and gets out:

* all-reduce: the array that every device has, before and after,
* reduce-scatter: the array that every device puts in; it gets one n-th of the sum,
* all-gather: the array that every device gets; it puts in one n-th,
* all-to-all: the array that every device puts in; it sends one n-th to each device, itself included.

Every process must make the same calls in the same order. Each sample is the time of the process that took longest, so
that all of them return the same records. One result of each is compared with the right one, to the bit, and its wrong
elements are counted. Right once is not right always: among processors of several processes, JAX 0.10 now and then
returns wrong sums of reduce-scatter on process 0, from about 1 MiB on (jax-ml/jax, issue 40830).

On processors the processes talk through gloo. It tells the others the address that the name of its host resolves to;
where that is a loopback address, as some systems set it up, other hosts try it in vain, and ``join_processes`` says
so. Source of the definitions: NVIDIA, nccl-tests, PERFORMANCE.md.
"""

from __future__ import annotations

import math
import re
import socket
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from speedup.errors import SpeedupError, UnitError
from speedup.units import positive, show_bytes, show_seconds, whole

from .copies import doubling, timing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from speedup.profile import Timing

COLLECTIVE_SIZES = doubling(8, 2**27)
"""8 bytes to 128 MiB, as nccl-tests is mostly run [bytes]."""
SAMPLE_S = 2e-3
"""Duration that a sample is to have at least, where the most calls in one allow it [s]."""

_AXIS = "devices"
_ELEMENT_BYTES = 4
_MOST_LOOPS = 100
# Small enough for the sum over 60 000 devices to be exact in 32 bits.
_MODULUS = 251
# JAX ends the process when it gives up joining. Before that the caller is to have an error, and time to end by itself.
_GRACE_S = 30

Result = TypeVar("Result")


class CollectiveError(SpeedupError):
    """Processes that do not come together, or a collective operation that fails or hangs."""

    exit_code = 5


class Collective(StrEnum):
    """A collective operation."""

    ALL_REDUCE = "all-reduce"
    REDUCE_SCATTER = "reduce-scatter"
    ALL_GATHER = "all-gather"
    ALL_TO_ALL = "all-to-all"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveTiming:
    """What one operation at one size took.

    Attributes:
        operation: Which.
        devices: Devices that took part, n.
        processes: Processes they belong to.
        payload_bytes: Size S as the module's text defines it, a multiple of 4 n.
        timing: Time of one call, that of the slowest process.
        algorithm_bandwidth_bytes_per_s: S by the median time [B/s].
        bus_bandwidth_bytes_per_s: That, times the operation's factor [B/s].
        wrong_elements: Elements of one result that were not right, of the process with most of them.
    """

    operation: Collective
    devices: int
    processes: int
    payload_bytes: int
    timing: Timing
    algorithm_bandwidth_bytes_per_s: float
    bus_bandwidth_bytes_per_s: float
    wrong_elements: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values for JSON."""
        return asdict(self)


def bus_factor(operation: Collective | str, devices: int) -> float:
    """Return the bus bandwidth by the algorithm bandwidth.

    Args:
        operation: Which.
        devices: Devices that take part.

    Raises:
        UnitError: There is no such operation, or ``devices`` is no whole number of at least 1.

    Example:
        >>> bus_factor("all-reduce", 4), bus_factor("all-gather", 4)
        (1.5, 0.75)
    """
    share = (whole("devices", devices) - 1) / devices
    return 2 * share if _operation(operation) is Collective.ALL_REDUCE else share


def _operation(word: str) -> Collective:
    try:
        return Collective(word)
    except ValueError:
        known = ", ".join(Collective)
        raise UnitError(f'collective operation "{word}" does not exist; it is one of {known}.') from None


def join_processes(coordinator: str, processes: int, index: int, *, limit_s: float = 60.0) -> int:
    """Make this process one of several whose devices JAX uses together, and try the way between them.

    Every process calls this once, before it uses JAX for anything else, with the same first two arguments. It returns
    when all have come and a first operation among all devices went well.

    After an error the process is to end: JAX goes on trying in the background, and aborts the process half a minute
    later. Where another process has died, this one ends at most ``limit_s`` after its last statement, and JAX aborts
    it then.

    Args:
        coordinator: Address and port of process 0 that all can reach, such as ``10.0.0.1:1234``; process 0 listens
            there. ``127.0.0.1:1234`` serves processes of one machine.
        processes: How many.
        index: Which of them this is, from 0.
        limit_s: Longest time for each of the two steps [s].

    Returns:
        Devices of all processes together.

    Raises:
        UnitError: An argument is out of its range.
        CollectiveError: JAX is in use already, a process did not come in time, or they cannot talk to each other.
    """
    whole("index", index, minimum=0)
    if index >= whole("processes", processes):
        raise UnitError(f"index = {index}; with {processes} processes it must be 0 to {processes - 1}.")
    if not re.fullmatch(r".+:\d{1,5}", coordinator):
        raise UnitError(f'coordinator "{coordinator}" is no address with a port. Example: 10.0.0.1:1234.')
    positive("limit_s", limit_s, "s")
    who = f"process {index} of {processes}"
    advice = f"All {processes} must be started within that time and reach {coordinator}."
    _within(limit_s, f"joining {coordinator} as {who}", partial(_join, coordinator, processes, index, limit_s), advice)
    try:
        _within(limit_s, f"the first operation of {who}", _try_links, "")
    except CollectiveError as error:
        raise CollectiveError(f"{str(error).rstrip()} {_name_advice()}") from error
    return jax.device_count()


def _join(coordinator: str, processes: int, index: int, limit_s: float) -> None:
    seconds = math.ceil(limit_s) + _GRACE_S
    jax.distributed.initialize(
        coordinator, processes, index, initialization_timeout=seconds, shutdown_timeout_seconds=math.ceil(limit_s)
    )


def _try_links() -> None:
    [found] = _largest(_mesh(), [float(jax.process_index())])
    if found != jax.process_count() - 1:
        raise CollectiveError(f"the largest index of {jax.process_count()} processes came out as {found:g}.")


def _name_advice() -> str:
    """Return what to look at where processes cannot talk to each other."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        return f"This host's name, {name}, does not resolve; name it in /etc/hosts with the address others reach it at."
    cure = " Let it resolve to the address that other hosts reach it at, in /etc/hosts."
    return f"This host's name, {name}, resolves to {address}.{cure if address.startswith('127.') else ''}"


def _within(limit_s: float, what: str, work: Callable[[], Result], advice: str) -> Result:
    """Return what ``work`` returns, or raise an error when the time is over.

    Nothing interrupts a collective operation that waits for a process which is gone. It is left behind in a thread
    that does not keep this process from ending.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # whatever it is, it is raised where it was asked for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name=what).start()
    try:
        return future.result(limit_s)
    except TimeoutError:
        raise CollectiveError(f"{what} did not end within {show_seconds(limit_s)}. {advice}") from None
    except RuntimeError as error:
        said = str(error).strip().splitlines()[0].rstrip(".")
        raise CollectiveError(f"{what} failed: {said}. {advice}") from error


def collective_times(
    sizes: Iterable[int] = COLLECTIVE_SIZES,
    operations: Iterable[Collective | str] = tuple(Collective),
    *,
    samples: int = 20,
    warmup: int = 5,
    limit_s: float = 60.0,
) -> tuple[CollectiveTiming, ...]:
    """Time collective operations among all devices of all processes.

    Args:
        sizes: Sizes S of 32-bit floats [bytes], each taken down to a multiple of 4 n, or up to the first; sizes that
            become equal are one.
        operations: Which.
        samples: Samples for each operation and size; fewer where they would take more than half of ``limit_s``.
        warmup: Calls thrown away before them, at least one; one where more would take long.
        limit_s: Longest time for one operation at one size, with compiling it and checking its result [s].

    Returns:
        One record an operation and size, in the order given; the same in every process.

    Raises:
        UnitError: A number is out of its range, or there is no such operation.
        CollectiveError: There is only one device, an operation failed, or the limit was reached.
    """
    whole("samples", samples)
    whole("warmup", warmup)
    positive("limit_s", limit_s, "s")
    wanted = [_operation(word) for word in operations]
    given = [whole("size", size) for size in sizes]
    mesh = _mesh()
    if mesh.size < 2:
        raise CollectiveError(
            "there is one device; a collective operation needs at least two. Join processes first, or split the "
            "processor: XLA_FLAGS=--xla_force_host_platform_device_count=4."
        )
    lengths = list(dict.fromkeys(_elements(size, mesh.size) for size in given))
    plan = partial(_measure, mesh, samples=samples, warmup=warmup, limit_s=limit_s)
    return tuple(_limited(plan, operation, length, limit_s) for operation in wanted for length in lengths)


def _elements(size: int, devices: int) -> int:
    return max(size // _ELEMENT_BYTES // devices, 1) * devices


def _limited(
    plan: Callable[..., CollectiveTiming], operation: Collective, length: int, limit_s: float
) -> CollectiveTiming:
    what = f"{operation} of {show_bytes(_ELEMENT_BYTES * length)} among {jax.device_count()} devices"
    advice = "Another process is gone, late or makes other calls, or the links are slow: end all, and raise limit_s."
    return _within(limit_s, what, partial(plan, operation, length), advice)


def _mesh() -> Mesh:
    return Mesh(np.array(jax.devices()), (_AXIS,))


# JAX has no types for these. A device has a row of shape (1, length).
_SPLIT: PartitionSpec = PartitionSpec(_AXIS)  # type: ignore[no-untyped-call]
_WHOLE: PartitionSpec = PartitionSpec()  # type: ignore[no-untyped-call]
_BODIES: dict[Collective, tuple[Callable[[jax.Array], jax.Array], PartitionSpec]] = {
    Collective.ALL_REDUCE: (partial(lax.psum, axis_name=_AXIS), _WHOLE),
    Collective.REDUCE_SCATTER: (partial(lax.psum_scatter, axis_name=_AXIS, scatter_dimension=1, tiled=True), _SPLIT),
    Collective.ALL_GATHER: (partial(lax.all_gather, axis_name=_AXIS, axis=1, tiled=True), _SPLIT),
    Collective.ALL_TO_ALL: (
        partial(lax.all_to_all, axis_name=_AXIS, split_axis=1, concat_axis=1, tiled=True),
        _SPLIT,
    ),
}


def _row(device: int, columns: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return what a device puts in, at some places."""
    return ((columns + np.int32(31 * device)) % _MODULUS).astype(np.float32)


def _sum(devices: int, columns: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the sum of what all devices put in, at some places."""
    period = np.arange(_MODULUS, dtype=np.int32)
    total = np.zeros(_MODULUS, np.float32)
    for device in range(devices):
        total += _row(device, period)
    return total[columns % _MODULUS]


def _right(operation: Collective, device: int, devices: int, length: int) -> NDArray[np.float32]:
    """Return what a device must get."""
    part = length // devices
    own = np.arange(part * device, part * (device + 1), dtype=np.int32)
    if operation is Collective.ALL_REDUCE:
        return _sum(devices, np.arange(length, dtype=np.int32))
    if operation is Collective.REDUCE_SCATTER:
        return _sum(devices, own)
    columns = np.arange(part, dtype=np.int32) if operation is Collective.ALL_GATHER else own
    return np.concatenate([_row(other, columns) for other in range(devices)])


def _inputs(mesh: Mesh, operation: Collective, length: int) -> jax.Array:
    columns = length // mesh.size if operation is Collective.ALL_GATHER else length

    def row(index: Any) -> NDArray[np.float32]:  # noqa: ANN401 - slices, or None where there is nothing to slice
        return _row(index[0].start or 0, np.arange(columns, dtype=np.int32))[np.newaxis]

    return jax.make_array_from_callback((mesh.size, columns), NamedSharding(mesh, _SPLIT), row)


def _wrong_elements(operation: Collective, result: jax.Array, devices: int, length: int) -> int:
    wrong = 0
    for shard in result.addressable_shards:
        right = _right(operation, shard.index[0].start or 0, devices, length)
        wrong += int(np.count_nonzero(np.asarray(shard.data)[0] != right))
    return wrong


@cache
def _maximum(mesh: Mesh) -> Callable[[jax.Array], jax.Array]:
    body = jax.shard_map(partial(lax.pmax, axis_name=_AXIS), mesh=mesh, in_specs=_SPLIT, out_specs=_WHOLE)
    return jax.jit(body)


def _largest(mesh: Mesh, values: Sequence[float]) -> list[float]:
    """Return, element by element, the largest of all processes' values: what all of them can decide by."""
    own = np.asarray(values, np.float32)[np.newaxis]
    shape = (mesh.size, own.shape[1])
    everyone = jax.make_array_from_callback(shape, NamedSharding(mesh, _SPLIT), lambda _index: own)
    return [float(value) for value in np.asarray(_maximum(mesh)(everyone).addressable_data(0))[0]]


def _measure(
    mesh: Mesh, operation: Collective, length: int, *, samples: int, warmup: int, limit_s: float
) -> CollectiveTiming:
    body, out = _BODIES[operation]
    inputs = _inputs(mesh, operation, length)
    step = jax.jit(jax.shard_map(body, mesh=mesh, in_specs=_SPLIT, out_specs=out)).lower(inputs).compile()
    wrong = _wrong_elements(operation, step(inputs), mesh.size, length)
    # Every process must make as many calls as the others, so all decide by the same numbers.
    first_s, most_wrong = _largest(mesh, [_sample(step, inputs, 1), wrong])
    more = min(warmup - 1, int(limit_s / 10 / first_s))
    [call_s] = _largest(mesh, [min([first_s, *(_sample(step, inputs, 1) for _ in range(more))])])
    loops = max(1, min(math.ceil(SAMPLE_S / call_s), _MOST_LOOPS))
    count = max(1, min(samples, int(limit_s / 2 / (loops * call_s))))
    durations = _largest(mesh, [_sample(step, inputs, loops) for _ in range(count)])
    timing = timing_of(durations, payload_bytes=_ELEMENT_BYTES * length, loops=loops, warmup=2 + more)
    return _record(operation, mesh.size, timing, int(most_wrong))


def _sample(step: Callable[[jax.Array], jax.Array], inputs: jax.Array, loops: int) -> float:
    # Calls queue up on a GPU. On processors, operations under way at once could wait for each other's threads.
    queued = inputs.sharding.mesh.devices.flat[0].platform != "cpu"  # type: ignore[attr-defined]
    start = time.perf_counter()
    for _ in range(loops):
        result = step(inputs)
        if not queued:
            result.block_until_ready()
    result.block_until_ready()
    return (time.perf_counter() - start) / loops


def _record(operation: Collective, devices: int, timing: Timing, wrong: int) -> CollectiveTiming:
    rate = (timing.payload_bytes or 0) / timing.median_s
    return CollectiveTiming(
        operation=operation,
        devices=devices,
        processes=jax.process_count(),
        payload_bytes=timing.payload_bytes or 0,
        timing=timing,
        algorithm_bandwidth_bytes_per_s=rate,
        bus_bandwidth_bytes_per_s=rate * bus_factor(operation, devices),
        wrong_elements=wrong,
    )
