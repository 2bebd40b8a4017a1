"""How long does the joint choice of workers, batch size, mode and server take, of a million plans?

python benchmarks/joint.py [--repetitions 3]
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median

import numpy as np
import record

from speedup import Device, Profile, Timing, Workload, recommend
from speedup.plans import COLLECTIVES

SIZES = tuple(range(8, 8 + 4 * 60, 4))
COUNTS = np.arange(1, 1501)


def profile() -> Profile:
    """Return a profile with a sweep of batch sizes."""
    sweep = tuple(
        Timing(median_s=0.05 + 0.01 * size, provenance="measured", batch=size) for size in (8, 16, 32, 64, 128, 256)
    )
    return Profile(
        name="made",
        workload=Workload(architecture="made", tensor_elements=(25_000_000,), algorithm="sgd", batch=16),
        t_grad=sweep,
        device=Device(platform="cpu", name="none"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the joint choice among a million plans.")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    made, taken, plans = profile(), [], 0
    for _ in range(options.repetitions + 1):
        begin = time.perf_counter()
        answer = recommend(
            made,
            network="25gbit",
            latency_s=2e-5,
            batch=SIZES,
            batches=10**6,
            workers=COUNTS,
            modes=("sync-join", "sync-split"),
            schedules=("mean", "semaphore", "pipelined"),
            collectives=COLLECTIVES,
            shards=16,
            objective="cost-to-target",
            noise_scale=2000.0,
            price=3.0,
            deadline_s=10**6,
        )
        taken.append(time.perf_counter() - begin)
        plans = answer.considered
    row = {
        "plans": plans,
        "batch_sizes": len(SIZES),
        "most_workers": int(COUNTS.max()),
        "first_s": taken[0],
        "median_s": median(taken[1:]),
        "slowest_s": max(taken[1:]),
        "choice": answer.headline,
    }
    print(f"{plans:,} plans: first {taken[0]:.2f} s, then {row['median_s']:.2f} s (slowest {row['slowest_s']:.2f} s)")
    print(answer.headline)
    print(f"wrote {record.write('joint', [row], ('numpy', 'scipy', 'sympy'))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
