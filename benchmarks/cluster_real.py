"""Is real training on a cluster as fast as predicted from one device and one link?

SqueezeNet and a perceptron, one core a worker, on hosts of a testbed over emulated links of 1 Gbit/s: t_grad is
calibrated on one core, the link is measured, and 1 and 2 workers train for real with a central server, in step and out
of step. With a data set, the perceptron also trains to its test accuracy, beside one worker alone.

    python benchmarks/cluster_real.py [--repeats 3] [--data fashion_mnist --folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import record

from calibrate.cluster.sessions import measure_link, real_job, run_jobs, run_plan, sweep_to
from calibrate.testbed import run_in_testbed
from speedup.profile import Profile
from speedup.validation import Case, compare

if TYPE_CHECKING:
    from speedup.measured import Measured

RATE = "1gbit"
NETWORKS = (("squeezenet", 16, 8), ("nardini_mlp", 128, 100))
"""Network, batch, and batches a worker."""
CALIBRATION = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from calibrate import calibrate
calibrate(sys.argv[1], batch=int(sys.argv[2]), max_time_s=20).save(sys.argv[3])
"""


def one_core_profile(network: str, batch: int) -> Profile:
    """Calibrate a network on one core, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.json"
        subprocess.run([sys.executable, "-c", CALIBRATION, network, str(batch), str(path)], check=True)
        return Profile.load(path)


def measured(plan_words: dict[str, Any], network: str, batches: int, **training: Any) -> Measured:  # noqa: ANN401 - those of real_job
    """Run one plan for real."""
    plan = run_plan(server="central", **plan_words)
    (result,) = run_jobs([real_job(plan, network, batches, cores=1, **training)])
    return result


def timings(repeats: int) -> list[dict[str, Any]]:
    """Return predicted and measured times."""
    rows: list[dict[str, Any]] = []
    for network, batch, rounds in NETWORKS:
        for repeat in range(repeats):
            # Each time anew: what else the machine does changes within minutes.
            profile = one_core_profile(network, batch)
            payload = profile.workload.payload_bytes
            link = measure_link(sweep_to(max(4 * payload, 10**7), [payload], seconds=0.5))
            for workers, mode in product((1, 2), ("sync-join", "async")):
                words = {"workers": workers, "mode": mode, "schedule": "semaphore"}
                result = measured(words, network, rounds * workers, batch=batch)
                row = compare(Case(replace(profile, link=link), result.plan, rounds * workers), result).to_dict()
                rows.append({**row, "batch": batch, "repeat": repeat, "t_grad_run_s": result.t_grad_s})
                print(
                    f"{network} {workers} {mode}: measured {result.time_s:.4g} s, predicted "
                    f"{row['predicted_s']:.4g} s, {row['error']:+.1%}; t_grad {profile.t_grad_s:.4g} s calibrated, "
                    f"{result.t_grad_s:.4g} s in the run",
                    flush=True,
                )
    _summarise(rows)
    return rows


def _summarise(rows: list[dict[str, Any]]) -> None:
    kinds = {(row["network"], row["workers"], row["mode"]) for row in rows}
    for kind in sorted(kinds):
        errors = [row["error"] for row in rows if (row["network"], row["workers"], row["mode"]) == kind]
        print(*kind, f"median {median(errors):+.1%} of {len(errors)}, {min(errors):+.1%} to {max(errors):+.1%}")


def accuracies(data: str, folder: str | None) -> list[dict[str, Any]]:
    """Return the test accuracy after as many samples by one worker, by two in step, and by two out of step."""
    rows = []
    training = {"data": data, "data_folder": Path(folder) if folder else None, "rate": 1000.0, "algorithm": "sgd"}
    for workers, mode, batch, batches in (
        (1, "sync-join", 64, 4000),
        (2, "sync-join", 32, 8000),
        (2, "sync-split", 64, 4000),
        (2, "async", 64, 4000),
    ):
        result = measured({"workers": workers, "mode": mode}, "nardini_mlp", batches, batch=batch, **training)
        rows.append(
            {
                "workers": workers,
                "mode": mode,
                "batch": batch,
                "batches": batches,
                "data": data,
                "test_accuracy": result.facts["test_accuracy"],
                "last_loss": result.losses[-1],
                "time_s": result.time_s,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare real training on a testbed with its prediction.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", help="train to this data set's test accuracy instead")
    parser.add_argument("--folder", help="where its files are")
    options = parser.parse_args()
    if "SPEEDUP_HOSTS" not in os.environ:
        return run_in_testbed(3, RATE, [sys.executable, *sys.argv])
    if options.data:
        path = record.write("cluster_accuracy", accuracies(options.data, options.folder), ("jax", "mpi4py", "openmpi"))
    else:
        path = record.write("cluster_real", timings(options.repeats), ("jax", "mpi4py", "openmpi"))
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
