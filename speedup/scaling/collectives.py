"""What nccl-tests measured of a collective, read from its text or its JSON file, and the link behind it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cluster import Link
from speedup.errors import FitError
from speedup.files import FileError
from speedup.scaling.posterior import Prior, by_name, most_probable
from speedup.units import show_bandwidth, show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SMALLEST_BYTES = 2**20
"""Sizes from here on, or from 1/256 of the largest, make the fit: below, a library changes algorithm and protocol."""
_FEWEST_SIZES = 2
_SNAP = 0.03  # relative: how exactly printed bandwidths tell the factor between them
_RANK = re.compile(r"#\s+Rank\s+(\d+)\s.*?\son\s+(\S+)\s+device")
_SHAPE = re.compile(r"nThread\s+(\d+)\s+nGpus\s+(\d+)")
_PROGRAM = re.compile(r"\b(\w+)_perf\b")
_TAG = re.compile(r"^\[[^\]]*\](?:<\w+>)?:?\s?")  # what mpirun --tag-output puts before a line


@dataclass(frozen=True, slots=True, eq=False)
class CollectiveTest:
    """Times of one collective over many sizes, as nccl-tests printed them.

    Attributes:
        operation: Such as ``all_reduce``; empty if the output does not say.
        ranks: Devices that took part; 0 if the output does not say.
        machines: Hosts that they are in; 0 if the output does not say.
        sizes: Bytes, one a measurement, shape (S,).
        seconds: Time of one call [s], shape (S,).
        bus_ratio: Bus bandwidth by algorithm bandwidth as printed, shape (S,); nan where both round to nothing.
    """

    operation: str
    ranks: int
    machines: int
    sizes: Floats
    seconds: Floats
    bus_ratio: Floats


@dataclass(frozen=True, slots=True)
class LinkFit:
    """Latency and bandwidth behind a collective, with their intervals of 90 %.

    Attributes:
        operation: The collective.
        ranks: Devices that took part.
        machines: Hosts that they are in.
        latency_s: Time of a call without payload [s].
        latency_low_s: Lower end of its interval.
        latency_high_s: Upper end.
        bandwidth_bytes_per_s: Bus bandwidth: bytes per second and direction over each link, whatever the number of
            devices.
        bandwidth_low_bytes_per_s: Lower end of its interval.
        bandwidth_high_bytes_per_s: Upper end.
        factor: Bytes over each link by bytes of the payload, such as 2 (n-1)/n.
        misfit: Standard deviation of the logarithms of times about latency + size / bandwidth.
    """

    operation: str
    ranks: int
    machines: int
    latency_s: float
    latency_low_s: float
    latency_high_s: float
    bandwidth_bytes_per_s: float
    bandwidth_low_bytes_per_s: float
    bandwidth_high_bytes_per_s: float
    factor: float
    misfit: float

    def time_s(self, payload_bytes: float) -> float:
        """Return the time of one call [s]."""
        return self.latency_s + payload_bytes * self.factor / self.bandwidth_bytes_per_s

    @property
    def link(self) -> Link:
        """The link, with the latency of one message: a ring sends 2 (n - 1) of them in a call, one after another."""
        messages = 2 * (self.ranks - 1) if self.ranks > 1 else 1
        return Link(bandwidth_bytes_per_s=self.bandwidth_bytes_per_s, latency_s=self.latency_s / messages)

    def __str__(self) -> str:
        low, high = show_bandwidth(self.bandwidth_low_bytes_per_s), show_bandwidth(self.bandwidth_high_bytes_per_s)
        shortest, longest = show_seconds(self.latency_low_s), show_seconds(self.latency_high_s)
        ranks = f" among {self.ranks} devices" if self.ranks else ""
        machines = f" in {self.machines} machines" if self.machines > 1 else ""
        lines = (
            f"{self.operation or 'collective'}{ranks}{machines}",
            f"bandwidth  {show_bandwidth(self.bandwidth_bytes_per_s)} [{low}, {high}]",
            f"  latency  {show_seconds(self.latency_s)} of a call [{shortest}, {longest}]",
            f"   misfit  {self.misfit:.0%} of a time, one standard deviation",
        )
        return "\n".join(lines)


def read_nccl_tests(path: str | Path) -> CollectiveTest:
    """Read what nccl-tests wrote to a file.

    Args:
        path: File with what the program printed, or that it wrote with ``-J``.

    Raises:
        FileError: The file cannot be read.
        FitError: It has no measurements.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read ({error}). Name the output of all_reduce_perf.") from None
    return parse_nccl_tests(text, str(path))


def parse_nccl_tests(text: str, where: str = "nccl-tests output") -> CollectiveTest:
    """Take the measurements out of what nccl-tests printed, or wrote as JSON.

    Times out of place and in place both count.

    Args:
        text: The output.
        where: What it is called in messages.

    Raises:
        FitError: It has no measurements, or one of them is broken.

    Example:
        >>> test = parse_nccl_tests('''
        ... # nThread 1 nGpus 2 minBytes 1048576 maxBytes 2097152 step: 2(factor) warmup iters: 5 iters: 20
        ... #       size         count      type   redop    root     time   algbw   busbw #wrong
        ... #        (B)    (elements)                               (us)  (GB/s)  (GB/s)
        ...      1048576        262144     float     sum      -1    120.0    8.74    8.74      0
        ...      2097152        524288     float     sum      -1    220.0    9.53    9.53      0
        ... ''')
        >>> test.ranks, test.seconds.round(6).tolist()
        (2, [0.00012, 0.00022])
    """
    test = _of_json(text, where) if text.lstrip().startswith("{") else _of_text(text)
    usable = np.isfinite(test.seconds) & (test.seconds > 0) & (test.sizes > 0)
    if len(np.unique(test.sizes[usable])) < _FEWEST_SIZES:
        raise FitError(
            f"{where} has fewer than {_FEWEST_SIZES} sizes with a time. Give what all_reduce_perf -b 8 -e 128M -f 2 "
            "prints, or the file that it writes with -J."
        )
    return CollectiveTest(
        test.operation,
        test.ranks,
        test.machines,
        test.sizes[usable],
        test.seconds[usable],
        test.bus_ratio[usable],
    )


def _of_json(text: str, where: str) -> CollectiveTest:
    try:
        document: dict[str, Any] = json.loads(text)
        config = document["config"]
        devices = config.get("devices") or []
        points = [
            (float(row["size"]), float(body.get("time", body.get("cpu_time"))), body["alg_bw"], body["bus_bw"])
            for row in document["results"]
            for body in (row.get("out_of_place"), row.get("in_place"))
            if body is not None
        ]
        # Without MPI the file names but the first of the devices.
        ranks = max(len(devices), int(config["nthreads"]) * int(config["ngpus"]))
        hosts = {device["hostname"] for device in devices}
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FitError(
            f"{where} is no JSON file of nccl-tests ({type(error).__name__}: {error}). Write one with -J FILE."
        ) from None
    program = _PROGRAM.search(str((document.get("args") or [""])[0]))
    return _test(program[1] if program else "", ranks, len(hosts), points)


def _of_text(text: str) -> CollectiveTest:
    lines = [_TAG.sub("", line) for line in text.splitlines()]
    found = [match for line in lines if (match := _RANK.search(line))]
    shape = _SHAPE.search(text)
    started = next((line for line in lines if "Collective test starting" in line), "")
    program = _PROGRAM.search(started)
    ranks = max((int(match[1]) + 1 for match in found), default=int(shape[1]) * int(shape[2]) if shape else 0)
    return _test(program[1] if program else "", ranks, len({match[2] for match in found}), list(_rows(lines)))


def _rows(lines: list[str]) -> Iterator[tuple[float, float, float, float]]:
    """Yield size, time [us] and both bandwidths of each measurement; columns are where the heading names them."""
    columns: list[str] = []
    for line in lines:
        words = line.split()
        if words[:2] == ["#", "size"]:
            columns = words[1:]
        if not columns or not words or not words[0].isdigit():
            continue
        for place, name in enumerate(columns):
            if name not in {"time", "cputime"} or place + 2 >= len(words):
                continue
            try:
                numbers = [float(word) for word in (words[0], *words[place : place + 3])]
            except ValueError:  # N/A, or a message of another program in between
                continue
            yield numbers[0], numbers[1], numbers[2], numbers[3]


def _test(operation: str, ranks: int, machines: int, points: list[tuple[float, Any, Any, Any]]) -> CollectiveTest:
    rows = np.array(points, dtype=np.float64).reshape(-1, 4)
    told = (rows[:, 2] >= 1) & np.isfinite(rows[:, 3])
    ratio = np.where(told, rows[:, 3] / np.where(told, rows[:, 2], 1.0), np.nan)
    return CollectiveTest(operation, ranks, machines, rows[:, 0], 1e-6 * rows[:, 1], ratio)


def fit_link(test: CollectiveTest) -> LinkFit:
    r"""Fit latency and bandwidth to the times of a collective.

    .. math:: t(s) = a + \frac{f\,s}{B}

    with relative errors, few large ones counting little, over the sizes that gradients have (``SMALLEST_BYTES``), from
    which the latency is that of such calls: small ones use another algorithm and are sooner through. f is known
    from the operation and the number of devices.

    Args:
        test: What was measured.

    Raises:
        FitError: The number of devices is not known, so that bytes over a link cannot be told.

    Example:
        >>> sizes = 2.0 ** np.arange(10, 28)
        >>> test = CollectiveTest("all_reduce", 8, 1, sizes, 20e-6 + sizes * 1.75 / 100e9, np.full(18, 1.75))
        >>> fit = fit_link(test)
        >>> round(fit.bandwidth_bytes_per_s / 1e9), round(1e6 * fit.latency_s), round(1e6 * fit.link.latency_s, 2)
        (100, 20, 1.43)
    """
    factor = _factor(test)
    large = test.sizes >= min(SMALLEST_BYTES, test.sizes.max() / 256)
    if len(np.unique(test.sizes[large])) < _FEWEST_SIZES:
        large[:] = True
    moved, seconds = factor * test.sizes[large], test.seconds[large]
    latency = Prior("latency_s", float(test.seconds.min()), 3.0, "s")
    bandwidth = Prior("bandwidth", float((moved / seconds).max()), 3.0, "B/s")
    priors = (latency, bandwidth)

    def log_times(x: Floats) -> Floats:
        p = by_name(priors, x)
        return np.asarray(np.log(p["latency_s"] + moved / p["bandwidth"]))

    posterior = most_probable(priors, log_times, np.log(seconds))
    a, b = posterior.parameters()
    return LinkFit(
        operation=test.operation,
        ranks=test.ranks,
        machines=test.machines,
        latency_s=a.value,
        latency_low_s=a.low,
        latency_high_s=a.high,
        bandwidth_bytes_per_s=b.value,
        bandwidth_low_bytes_per_s=b.low,
        bandwidth_high_bytes_per_s=b.high,
        factor=factor,
        misfit=posterior.noise,
    )


def _factor(test: CollectiveTest) -> float:
    """Return bytes over each link by bytes of the payload: exactly if possible, else as the printed bandwidths say."""
    n = test.ranks
    known = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "alltoall": 1.0}.get(test.operation)
    if known is not None and n > 1:
        return known * (n - 1) / n
    printed = test.bus_ratio[np.isfinite(test.bus_ratio)]
    if not printed.size:
        raise FitError(
            "the output names neither its operation and devices nor bandwidths of 1 GB/s or more. Keep the lines that "
            "begin with #, or measure larger sizes: -e 1G."
        )
    ratio = float(np.median(printed))
    exact = (2 * (n - 1) / n, (n - 1) / n) if n > 1 else ()
    return next((value for value in exact if abs(ratio / value - 1) < _SNAP), ratio)
