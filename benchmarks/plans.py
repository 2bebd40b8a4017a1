"""How long does a table of many plans take on one core: all servers, all collectives, encodings, up to 65,536 workers?

python benchmarks/plans.py [--repetitions 5]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import numpy as np  # noqa: E402
import record  # noqa: E402

from speedup import estimate  # noqa: E402
from speedup.plans import COLLECTIVES, SERVERS  # noqa: E402

ENCODINGS = ("fp32", "bf16", "int8", "ternary")
COUNTS = np.unique(np.geomspace(1, 65_536, 2600).astype(int))


def tables(cv_grad: float) -> int:
    """Estimate everything, and return how many plans that were."""
    plans = 0
    for encoding in ENCODINGS:
        for per_machine in (1, 8):
            plans += len(
                estimate(
                    "vgg16e",
                    network="100gbit",
                    latency_s=1e-5,
                    workers=COUNTS,
                    batches=65_536,
                    servers=SERVERS,
                    schedules=("mean" if not cv_grad else "fair", "pipelined"),
                    collectives=COLLECTIVES,
                    shards=16,
                    up=encoding,
                    per_machine=per_machine,
                    intra="2400gbit",
                    overlap="full" if per_machine == 1 else 0.5,
                    cv_grad=cv_grad,
                )
            )
    return plans


def main() -> int:
    parser = argparse.ArgumentParser(description="Time a table of many plans on one core.")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for cv_grad in (0.0, 0.1):
        begin = time.perf_counter()
        plans = tables(cv_grad)
        first_s = time.perf_counter() - begin
        taken = []
        for _ in range(options.repetitions):
            begin = time.perf_counter()
            tables(cv_grad)
            taken.append(time.perf_counter() - begin)
        row = {
            "cv_grad": cv_grad,
            "plans": plans,
            "most_workers": int(COUNTS.max()),
            "first_s": first_s,
            "median_s": median(taken),
            "slowest_s": max(taken),
            "plans_per_s": plans / median(taken),
        }
        rows.append(row)
        print(
            f"cv_grad {cv_grad}: {plans:,} plans, first {first_s:.2f} s (SymPy's compilation), then "
            f"{row['median_s']:.3f} s (slowest {row['slowest_s']:.3f} s)"
        )
    print(f"wrote {record.write('plans', rows, ('numpy', 'scipy', 'sympy'))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
