"""Collective operations in the terms of nccl-tests, among real devices and real processes."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrate.transport.collectives import (
    COLLECTIVE_SIZES,
    Collective,
    CollectiveError,
    _elements,
    _mesh,
    _record,
    _right,
    _row,
    _within,
    _wrong_elements,
    bus_factor,
    collective_times,
    join_processes,
)
from calibrate.transport.copies import timing_of
from speedup.errors import UnitError

pytestmark = pytest.mark.device

MEASURE = """
import json
from calibrate.transport.collectives import collective_times
records = collective_times([10, 4096, 2**18], samples=6, warmup=2, limit_s=30)
print(json.dumps([record.to_dict() for record in records]))
"""
JOIN = """
import os, sys, time
from calibrate.transport.collectives import CollectiveError, collective_times, join_processes
port, index, limit_s = sys.argv[1:]
def stop(word):
    print(word, flush=True)
    os._exit(3)
try:
    devices = join_processes(f"127.0.0.1:{port}", 2, int(index), limit_s=float(limit_s))
except CollectiveError as error:
    stop(error)
"""
LOSE = """
if index == "1":
    os._exit(9)
try:
    collective_times([4096], ["all-reduce"], limit_s=5)
except CollectiveError as error:
    stop(error)
"""


@contextlib.contextmanager
def children(*commands, devices=1):
    environ = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    started = []
    try:
        for command in commands:
            line = [sys.executable, "-c", *command]
            started.append(
                subprocess.Popen(line, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def finish(process):
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    # The libraries under JAX print to the same stream.
    return json.loads(output.strip().splitlines()[-1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def gloo():
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        pytest.skip("the name of this host does not resolve, and gloo takes its address from it")


# The bandwidths.


@pytest.mark.parametrize(
    ("operation", "devices", "factor"),
    [
        ("all-reduce", 2, 1.0),
        ("all-reduce", 4, 1.5),
        ("all-reduce", 8, 1.75),
        ("reduce-scatter", 2, 0.5),
        ("reduce-scatter", 4, 0.75),
        ("all-gather", 8, 0.875),
        ("all-to-all", 5, 0.8),
        ("all-reduce", 1, 0.0),
    ],
)
def test_the_bus_bandwidth_has_the_factor_of_nccl_tests(operation, devices, factor):
    assert bus_factor(operation, devices) == pytest.approx(factor)


@given(st.integers(1, 10_000))
def test_an_all_reduce_moves_what_a_reduce_scatter_and_an_all_gather_move(devices):
    parts = bus_factor("reduce-scatter", devices) + bus_factor("all-gather", devices)
    assert bus_factor("all-reduce", devices) == pytest.approx(parts)


@pytest.mark.parametrize(("operation", "bus"), [("all-reduce", 6e9), ("all-to-all", 3e9)])
def test_eight_megabytes_in_two_milliseconds_among_four_devices(operation, bus):
    timing = timing_of([2e-3], payload_bytes=8_000_000, loops=1, warmup=1)
    record = _record(Collective(operation), 4, timing, 0)
    assert record.algorithm_bandwidth_bytes_per_s == pytest.approx(4e9)
    assert record.bus_bandwidth_bytes_per_s == pytest.approx(bus)


def test_an_operation_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(UnitError, match='"all-sum" does not exist; it is one of all-reduce, reduce-scatter'):
        bus_factor("all-sum", 2)


def test_sizes_double_from_8_bytes_to_128_mib_unless_asked_otherwise():
    assert COLLECTIVE_SIZES[:3] == (8, 16, 32)
    assert COLLECTIVE_SIZES[-1] == 128 * 2**20


@given(st.integers(1, 10**9), st.integers(1, 300))
def test_every_device_has_an_equal_part_of_a_size(size, devices):
    length = _elements(size, devices)
    assert length % devices == 0
    assert length == devices or size - 4 * devices < 4 * length <= size


# The right results.


@given(st.sampled_from(Collective), st.integers(1, 9), st.integers(1, 300))
def test_what_is_taken_for_right_is_what_numpy_computes(operation, devices, part):
    length = part * devices
    columns = part if operation is Collective.ALL_GATHER else length
    rows = np.array([_row(device, np.arange(columns, dtype=np.int32)) for device in range(devices)])
    for device in range(devices):
        own = slice(part * device, part * (device + 1))
        right = {
            Collective.ALL_REDUCE: lambda: rows.sum(axis=0),
            Collective.REDUCE_SCATTER: lambda own=own: rows.sum(axis=0)[own],
            Collective.ALL_GATHER: rows.ravel,
            Collective.ALL_TO_ALL: lambda own=own: rows[:, own].ravel(),
        }[operation]()
        assert (_right(operation, device, devices, length) == right).all()


def test_every_device_puts_in_something_else():
    columns = np.arange(1000, dtype=np.int32)
    rows = np.array([_row(device, columns) for device in range(200)])
    assert len(np.unique(rows, axis=0)) == 200
    assert rows.max() < 251


def test_wrong_elements_are_counted():
    right = _right(Collective.ALL_REDUCE, 0, 1, 500)
    wrong = right.copy()
    wrong[[3, 499]] += 1
    counts = [_wrong_elements(Collective.ALL_REDUCE, jax.numpy.asarray(row[None]), 1, 500) for row in (right, wrong)]
    assert counts == [0, 2]


# Limits and refusals.


def test_a_wait_ends_with_its_limit():
    release = threading.Event()
    start = time.perf_counter()
    with pytest.raises(CollectiveError, match=r"waiting did not end within 50 ms\. Do something\."):
        _within(0.05, "waiting", release.wait, "Do something.")
    assert time.perf_counter() - start < 10
    release.set()


def test_what_fails_within_its_limit_says_what_failed():
    def fail():
        raise RuntimeError("UNKNOWN: connection lost\nand a trace")

    with pytest.raises(CollectiveError, match=r"^it failed: UNKNOWN: connection lost\. Look there\.$"):
        _within(5, "it", fail, "Look there.")


def test_what_is_done_within_its_limit_is_returned():
    assert _within(5, "it", lambda: 7, "") == 7


def test_one_device_has_nobody_to_talk_to():
    if _mesh().size > 1:
        pytest.skip("JAX has several devices here")
    with pytest.raises(CollectiveError, match="at least two"):
        collective_times([1024])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": [0]}, "size = 0"),
        ({"operations": ["all"]}, '"all" does not exist'),
        ({"samples": 0}, "samples = 0"),
        ({"warmup": 0}, "warmup = 0"),
        ({"limit_s": 0.0}, "limit_s = 0 s"),
    ],
)
def test_arguments_out_of_range_are_refused(wrong, message):
    with pytest.raises(UnitError, match=message):
        collective_times(**{"sizes": [1024], **wrong})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("10.0.0.1:1234", 2, 2), "index = 2; with 2 processes it must be 0 to 1"),
        (("10.0.0.1:1234", 0, 0), "processes = 0"),
        (("10.0.0.1", 2, 0), r"no address with a port\. Example: 10\.0\.0\.1:1234"),
    ],
)
def test_processes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(UnitError, match=message):
        join_processes(*arguments)


def test_joining_comes_before_all_other_use_of_jax():
    jax.devices()
    with pytest.raises(CollectiveError, match="must be called before any JAX calls"):
        join_processes("127.0.0.1:1", 2, 0, limit_s=10)


# Real ones.


def check(records, devices, processes):
    assert [record["operation"] for record in records] == [str(one) for one in Collective for _ in range(3)]
    assert [record["payload_bytes"] for record in records] == [max(4 * devices, 8), 4096, 2**18] * 4
    for record in records:
        assert (record["devices"], record["processes"], record["wrong_elements"]) == (devices, processes, 0)
        timing = record["timing"]
        assert timing["payload_bytes"] == record["payload_bytes"]
        assert len(timing["samples_s"]) == 6
        assert 0 < timing["low_s"] <= timing["median_s"] <= timing["high_s"]
        rate = record["payload_bytes"] / timing["median_s"]
        assert record["algorithm_bandwidth_bytes_per_s"] == pytest.approx(rate)
        assert record["bus_bandwidth_bytes_per_s"] == pytest.approx(rate * bus_factor(record["operation"], devices))


def test_four_devices_of_one_process_are_right_and_timed():
    with children([MEASURE], devices=4) as [process]:
        check(finish(process), devices=4, processes=1)


@pytest.mark.usefixtures("gloo")
def test_two_processes_are_right_and_agree_on_every_number():
    port = free_port()
    with children(*([JOIN + MEASURE, port, index, "30"] for index in "01")) as processes:
        first, second = (finish(process) for process in processes)
    check(first, devices=2, processes=2)
    assert first == second


def test_a_process_that_waits_alone_gives_up_in_time():
    start = time.perf_counter()
    with children([JOIN, free_port(), "1", "1"]) as [process]:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "as process 1 of 2 did not end within 1 s. All 2 must be started" in output
    assert time.perf_counter() - start < 25


@pytest.mark.usefixtures("gloo")
def test_a_process_that_dies_is_noticed_by_the_others():
    port = free_port()
    with children(*([JOIN + LOSE, port, index, "30"] for index in "01")) as [process, _]:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "all-reduce of 4.1 kB among 2 devices" in output
    assert "Another process is gone" in output
