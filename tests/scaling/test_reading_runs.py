"""Runs from files: what is read, and what is refused with its place."""

import json
import math

import numpy as np
import pytest

from speedup.errors import FitError
from speedup.files import FileError
from speedup.profile import profiles
from speedup.scaling.collectives import CollectiveTest, fit_link, parse_nccl_tests, read_nccl_tests
from speedup.scaling.readers import parse_runs, read_runs, runs_of_profile

HEADING = """\
# nccl-tests version 2.17.6 nccl-headers=22808 nccl-library=22808
# Collective test starting: all_reduce_perf
# nThread 1 nGpus 1 minBytes 1048576 maxBytes 268435456 step: 2(factor) warmup iters: 1 iters: 20 agg iters: 1 graph: 0
#
# Using devices
"""
RANK = "#  Rank {rank:2d} Group  0 Pid {pid:6d} on {host:>10s} device {device:2d} [0000:{device:02x}:00] NVIDIA A100\n"
COLUMNS = """\
NCCL version 2.28.8+cuda12.9
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw  #wrong     time   algbw   busbw  #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)             (us)  (GB/s)  (GB/s)
"""
FOOT = (
    "# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 61.2 \n#\n# Collective test concluded: all_reduce_perf\n"
)
LATENCY_S, BUS = 60e-6, 80e9
SIZES = [2**power for power in range(20, 29)]


def call_s(size, ranks):
    return LATENCY_S + size * 2 * (ranks - 1) / ranks / BUS


def printed(ranks=16, hosts=2, *, heading=HEADING):
    each = ranks // hosts
    text = heading + "".join(
        RANK.format(rank=rank, pid=4000 + rank, host=f"node-{rank // each}", device=rank % each)
        for rank in range(ranks)
    )
    text += COLUMNS
    for size in SIZES:
        seconds = call_s(size, ranks)
        alg = size / seconds / 1e9
        body = f"  {1e6 * seconds:7.1f}  {alg:6.2f}  {alg * 2 * (ranks - 1) / ranks:6.2f}       0"
        text += f"{size:12d}  {size // 4:12d}     float     sum      -1{body}{body}\n"
    return text + FOOT


def written(ranks=8):
    def body(size):
        alg = size / call_s(size, ranks) / 1e9
        return {
            "time": 1e6 * call_s(size, ranks),
            "alg_bw": alg,
            "bus_bw": alg * 2 * (ranks - 1) / ranks,
            "nwrong": 0.0,
        }

    rows = [
        {
            "size": size,
            "count": size // 4,
            "type": "float",
            "redop": "sum",
            "root": "    -1",
            "out_of_place": body(size),
            "in_place": body(size) if size != SIZES[0] else None,
            "actual_iterations": 20,
            "experiment_name": "",
        }
        for size in SIZES
    ]
    device = {"rank": 0, "group": 0, "pid": 1, "hostname": "node-0", "device": 0, "device_hex": "0000:01:00"}
    config = {"nthreads": 1, "ngpus": ranks, "minimum_bytes": SIZES[0], "step_factor": 2, "devices": [device]}
    return {
        "version": 2,
        "args": ["./build/all_reduce_perf", "-J", "out.json"],
        "env": ["HOME=/root"],
        "nccl_version": 22808,
        "config": config,
        "results": rows,
        "out_of_bounds": {"count": 0, "okay": "true"},
        "average_bus_bandwidth": {"bandwidth": 61.2, "okay": "unchecked"},
        "errors": [],
    }


def test_a_table_of_steps_has_the_usual_values_where_none_are_given():
    runs = parse_runs("workers,step_s\n1,0.1\n4,0.125\n")
    assert runs.workers.tolist() == [1, 4]
    assert runs.machines.tolist() == [1, 4]
    assert runs.fullest.tolist() == [1, 1]
    assert runs.servers.tolist() == [0, 0]
    assert runs.batch.tolist() == [1, 1]


def test_throughput_is_turned_into_steps_with_either_batch():
    text = "workers, machines, fullest, batch, global_batch, throughput, remark\n8,2,5,32,,2048,\n8,2,,,256,2048,slow\n"
    runs = parse_runs(text)
    assert runs.step_s == pytest.approx([0.125, 0.125])
    assert runs.batch.tolist() == [32, 32]
    assert runs.fullest.tolist() == [5, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'no column "workers"'),
        ("workers,step_s\n", "has no runs"),
        ("worker,step_s\n1,1\n", 'unknown column "worker". Did you mean "workers"'),
        ("workers,batch_size,step_s\n1,8,1\n", 'Did you mean "batch"'),
        ("workers,batch\n1,8\n", "neither a column"),
        ("workers,throughput\n1,8\n", 'no "batch"'),
        ("workers,step_s\n1,0.1\n2,fast\n", 'line 3: step_s = "fast" is not a number'),
        ("workers,step_s\n1,0.1\n\n2,-1\n", "line 4: step_s = -1; it must be finite and above 0"),
        ("workers,step_s\n1,nan\n", "step_s = nan"),
        ("workers,step_s\n1.5,1\n", "workers = 1.5 is not a whole number"),
        ("workers,step_s\n0,1\n", "workers = 0; it must be finite and at least 1"),
        ("workers,step_s\n,1\n", "workers is empty"),
        ("workers,step_s\n2,\n", "every run needs a time"),
        ("workers,throughput,batch\n2,10,\n", "every run needs a time"),
        ("workers,machines,step_s\n2,3,1\n", "machines = 3 for 2 workers"),
        ("workers,machines,fullest,step_s\n4,2,1,1\n", "fullest = 1 cannot be with 4 workers in 2 machines"),
        ("workers,step_s\n2,1,3\n", "more cells than the heading"),
    ],
)
def test_tables_with_mistakes_are_refused_with_their_place(text, message):
    with pytest.raises(FitError) as refused:
        parse_runs(text, "runs.csv")
    assert message in str(refused.value)
    assert "runs.csv" in str(refused.value)


def test_files_are_read_and_missing_ones_named(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("\ufeffworkers,step_s\n1,0.1\n2,0.2\n", encoding="utf-8")
    assert len(read_runs(path)) == 2
    for read in (read_runs, read_nccl_tests):
        with pytest.raises(FileError, match="missing"):
            read(tmp_path / "missing")


def test_a_profile_is_runs_of_one_worker():
    runs = runs_of_profile(profiles()["resnet34-xeon-b4"], servers=2)
    assert (runs.workers.tolist(), runs.batch.tolist(), runs.servers.tolist()) == ([1], [4], [2])
    with pytest.raises(FitError, match="states its batch size"):
        runs_of_profile(profiles()["resnet34"])


@pytest.mark.parametrize(("ranks", "hosts"), [(2, 1), (8, 1), (16, 2), (64, 8)])
def test_latency_and_bandwidth_come_out_of_printed_text(ranks, hosts):
    test = parse_nccl_tests(printed(ranks, hosts))
    assert (test.operation, test.ranks, test.machines) == ("all_reduce", ranks, hosts)
    assert len(test.sizes) == 2 * len(SIZES)
    fit = fit_link(test)
    assert fit.bandwidth_bytes_per_s == pytest.approx(BUS, rel=0.01)
    assert fit.latency_s == pytest.approx(LATENCY_S, rel=0.02)
    assert fit.bandwidth_low_bytes_per_s < BUS < fit.bandwidth_high_bytes_per_s
    assert fit.latency_low_s < LATENCY_S < fit.latency_high_s
    assert fit.time_s(1e8) == pytest.approx(call_s(1e8, ranks), rel=0.01)
    assert fit.link.latency_s == pytest.approx(LATENCY_S / (2 * (ranks - 1)), rel=0.02)


def test_the_json_file_says_the_same_as_the_text():
    test = parse_nccl_tests(json.dumps(written()))
    assert (test.operation, test.ranks, test.machines) == ("all_reduce", 8, 1)
    assert len(test.sizes) == 2 * len(SIZES) - 1
    assert fit_link(test).bandwidth_bytes_per_s == pytest.approx(BUS, rel=0.01)


def test_older_text_and_what_mpirun_puts_before_lines_are_read():
    lines = printed(heading="# nThread 1 nGpus 1 minBytes 8\n").replace("#wrong", " error").splitlines()
    test = parse_nccl_tests("\n".join(["Warning: added host", *(f"[1,0]<stdout>:{line}" for line in lines)]))
    assert (test.operation, test.ranks) == ("", 16)
    assert fit_link(test).factor == pytest.approx(2 * 15 / 16)
    assert fit_link(test).bandwidth_bytes_per_s == pytest.approx(BUS, rel=0.02)


def test_a_few_wild_times_do_not_matter():
    sizes = np.array(SIZES, dtype=float)
    seconds = np.array([call_s(size, 8) for size in sizes])
    seconds[3] *= 8
    fit = fit_link(CollectiveTest("all_reduce", 8, 1, sizes, seconds, np.full(len(sizes), math.nan)))
    assert fit.bandwidth_bytes_per_s == pytest.approx(BUS, rel=0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "fewer than 2 sizes"),
        (
            HEADING + COLUMNS + "     1048576        262144     float     sum      -1   100.0   10.0   10.0   0\n",
            "fewer than 2",
        ),
        ("{}", "KeyError"),
        ('{"config": ', "JSONDecodeError"),
        (json.dumps(written() | {"results": [{"size": 8}]}), "fewer than 2 sizes"),
        (json.dumps(written() | {"results": [{"size": "x", "out_of_place": {"time": 1}}]}), "no JSON file"),
    ],
)
def test_output_without_measurements_is_refused(text, message):
    with pytest.raises(FitError, match=message):
        parse_nccl_tests(text)


def test_bytes_over_a_link_must_be_known():
    test = CollectiveTest("", 0, 0, np.array([8.0, 16.0]), np.array([1e-5, 1e-5]), np.full(2, math.nan))
    with pytest.raises(FitError, match="names neither"):
        fit_link(test)
