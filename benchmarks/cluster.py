"""Are the plans as fast on real links as predicted? The figures 6.1 to 6.11 of the thesis again, on a testbed.

Four networks with the tensor lists of Table 6.1 and its ratios of t_grad to t_comm, 1 to 8 workers, three modes,
central and distributed servers and an all-reduce, over emulated links of 1 Gbit/s. Tensor sizes and t_grad are diluted
so that a transfer takes 0.42 s; workers wait t_grad, what is sent is real. The link is measured first, and is all that
the predictions know of the network.

    python benchmarks/cluster.py [--networks resnet34 ...] [--workers 1 2 4 8] [--engine mpi|tcp]
"""

from __future__ import annotations

import argparse
import os
import sys
from statistics import median
from typing import TYPE_CHECKING, Any

import record

from calibrate.cluster.sessions import emulated_job, measure_link, named_hosts, run_jobs, sweep_to
from calibrate.engine.launch import ENGINES
from calibrate.testbed import run_in_testbed
from speedup.profile import Profile
from speedup.validation import THESIS_NETWORKS, Comparison, Validation, compare, diluted, grid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedup.cluster import MeasuredLink

RATE, LINE_BYTES_PER_S, T_COMM_S = "1gbit", 125e6, 0.42
ROUNDS = {"vgg16e": 4, "resnet34": 4, "googlenet": 2, "squeezenet": 1}
"""Batches a worker, twice as many out of step: more where they are short, because whoever takes the last of few batches
decides how long an asynchronous run is."""
LIMITS = {
    "central, semaphore, synchronous": 0.02,
    "central, semaphore, async": 0.03,
    "distributed by bytes": 0.04,
    "distributed by Algorithm 3.7": 0.06,
    "all-reduce": 0.06,
    "central, fair": None,
}


def group(row: Comparison) -> str:
    """Return which claim a row belongs to."""
    if row.server == "allreduce":
        return "all-reduce"
    if row.server == "distributed":
        return "distributed by Algorithm 3.7" if row.placement == "greedy" else "distributed by bytes"
    if row.schedule == "fair":
        return "central, fair"
    return f"central, semaphore, {'async' if row.mode == 'async' else 'synchronous'}"


def summary(rows: Iterable[Comparison]) -> list[str]:
    """Return a line a claim: how far off the runs were, and how often the interval held them."""
    found: dict[str, list[Comparison]] = {name: [] for name in LIMITS}
    for row in rows:
        found[group(row)].append(row)
    lines = []
    for name, limit in LIMITS.items():
        errors = sorted(abs(row.error) for row in found[name])
        if errors:
            held = sum(row.hit for row in found[name])
            within = "" if limit is None else f", {sum(error <= limit for error in errors)} within {limit:.0%}"
            lines.append(
                f"{name}: {len(errors)} runs, median {median(errors):.2%}, largest {errors[-1]:.1%}{within}; "
                f"{held} intervals hold"
            )
    return lines


def run(networks: list[str], workers: list[int], engine: str) -> tuple[list[Comparison], MeasuredLink]:
    """Measure the link, run the grids, and write the table after each network."""
    together = [count for count in workers if count > 1]
    sweep = sweep_to(int(1.1 * T_COMM_S * LINE_BYTES_PER_S), flows=max(together), exchanges=together, seconds=0.5)
    hosts = named_hosts(engine=engine)
    link = measure_link(sweep, hosts)
    print(link, flush=True)
    rows: list[Comparison] = []
    for network in networks:
        profile, dilution = diluted(Profile.load(network), link, T_COMM_S)
        cases = grid(profile, workers, rounds=ROUNDS[network], dilution=dilution)
        jobs = [emulated_job(case.profile, case.plan, case.batches) for case in cases]
        for case, measured in zip(cases, run_jobs(jobs, hosts), strict=True):
            rows.append(compare(case, measured))
            print(f"{network} {measured.plan} {rows[-1].error:+.2%}", flush=True)
        write(rows, link, engine)
    return rows, link


def write(rows: list[Comparison], link: MeasuredLink, engine: str) -> None:
    """Write the table, the link beside each row."""
    known = {"bandwidth_bytes_per_s": link.bandwidth_bytes_per_s, "latency_s": link.latency_s}
    table: list[dict[str, Any]] = [{**row.to_dict(), **known} for row in rows]
    name = "cluster" if engine == "mpi" else f"cluster_{engine}"
    print(f"wrote {record.write(name, table, ('numpy', 'mpi4py', 'openmpi'))}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run plans on a testbed, and compare them with their estimates.")
    parser.add_argument("--networks", nargs="+", choices=THESIS_NETWORKS, default=list(THESIS_NETWORKS))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--engine", choices=ENGINES, default="mpi")
    options = parser.parse_args()
    if "SPEEDUP_HOSTS" not in os.environ:
        return run_in_testbed(max(options.workers) + 1, RATE, [sys.executable, *sys.argv])
    rows, link = run(options.networks, options.workers, options.engine)
    print(Validation(tuple(rows), link))
    print("\n".join(summary(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
