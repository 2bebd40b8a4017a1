"""Do gradients of another size than the weights take the time that the formulas say?

ResNet34's tensors and ratio of t_grad to t_comm over emulated links of 1 Gbit/s, diluted so that all weights take
0.42 s, as in ``cluster.py``; workers wait t_grad, and as many bytes are sent each way as the encodings say. The link is
measured first, and is all that the predictions know of the network.

    python benchmarks/unlike_times.py [--workers 2 4] [--engine mpi|tcp]
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from statistics import median
from typing import Any

import record

from calibrate.cluster.sessions import emulated_job, measure_link, named_hosts, run_jobs, run_plan, sweep_to
from calibrate.engine.launch import ENGINES
from calibrate.testbed import run_in_testbed
from speedup import estimate
from speedup.inputs import encoded_traffic
from speedup.profile import Profile
from speedup.validation import diluted

RATE, LINE_BYTES_PER_S, T_COMM_S = "1gbit", 125e6, 0.42
WAYS: tuple[dict[str, Any], ...] = (
    {"up": "int8"},
    {"up": "top_k"},
    {"up": "fp32", "down": "bf16"},
    {"up": "int8", "down": "bf16"},
)
PLANS = (
    ("sync-join", "central", "semaphore"),
    ("sync-join", "central", "fair"),
    ("sync-join", "distributed", "none"),
    ("sync-split", "central", "semaphore"),
    ("async", "central", "semaphore"),
    ("async", "central", "fair"),
    ("async", "distributed", "none"),
)


def run(counts: list[int], engine: str) -> list[dict[str, Any]]:
    """Measure the link, run every plan with every way to send, and return a row each."""
    hosts = named_hosts(engine=engine)
    sweep = sweep_to(int(1.1 * T_COMM_S * LINE_BYTES_PER_S), flows=max(counts), exchanges=counts, seconds=0.5)
    link = measure_link(sweep, hosts)
    profile, _ = diluted(Profile.load("resnet34"), link, T_COMM_S)
    cases = [(way, plan, count) for count in counts for way in WAYS for plan in PLANS]
    jobs = []
    for way, (mode, server, schedule), count in cases:
        plan = run_plan(workers=count, mode=mode, server=server, schedule=schedule, placement="bytes")
        batches = 4 if mode == "sync-split" else 4 * count * (1 + (mode == "async"))
        jobs.append(emulated_job(profile, plan, batches, encoded_traffic(profile, **{"up": None, "down": None, **way})))
    rows = []
    for (way, (mode, server, schedule), count), job, measured in zip(cases, jobs, run_jobs(jobs, hosts), strict=True):
        table = estimate(
            replace(profile, link=link),
            **way,
            workers=count,
            batches=job.batches,
            modes=mode,
            servers=server,
            schedules=schedule if server == "central" else None,
            placement="bytes" if server == "distributed" else "equal",
        )
        predicted = table[0]
        about = {"workers": count, "mode": mode, "server": server, "schedule": schedule}
        times = {"t_up_s": table.inputs.t_up_s, "t_down_s": table.inputs.t_down_s, "t_grad_s": profile.t_grad_s}
        row: dict[str, Any] = {"up": "fp32", "down": "fp32"} | way | about | times
        row |= {"measured_s": measured.time_s, "predicted_s": predicted.time_s, "equation": predicted.equation}
        row |= {"error": measured.time_s / predicted.time_s - 1, "method": predicted.method}
        rows.append({**row, "compute": measured.compute, "wire": measured.wire, "engine": measured.engine})
        print(f"{row['up']} up, {row['down']} down, {about}: {row['error']:+.2%} ({row['equation']})", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Run plans whose gradients have another size than the weights.")
    parser.add_argument("--workers", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--engine", choices=ENGINES, default="mpi")
    options = parser.parse_args()
    if "SPEEDUP_HOSTS" not in os.environ:
        return run_in_testbed(max(options.workers) + 1, RATE, [sys.executable, *sys.argv])
    rows = run(options.workers, options.engine)
    for kind in sorted({(row["mode"] == "async", row["server"], row["schedule"]) for row in rows}):
        errors = [abs(row["error"]) for row in rows if (row["mode"] == "async", row["server"], row["schedule"]) == kind]
        words = ("async" if kind[0] else "in step", *kind[1:])
        print(f"{', '.join(words)}: {len(errors)} runs, median {median(errors):.2%}, largest {max(errors):.2%}")
    print(f"wrote {record.write('unlike_times', rows, ('numpy', 'mpi4py', 'openmpi'))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
