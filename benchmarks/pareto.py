"""How long do the front of time and cost, and failures, take for a million plans on one core?

python benchmarks/pareto.py [--rows 1000000] [--repetitions 5]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import numpy as np  # noqa: E402
import record  # noqa: E402

from speedup.cost import pareto_front  # noqa: E402
from speedup.failures import Failures, synchronous_s  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 0
POLICY = Failures(mtbf_h=5000, save_s=60, restart_s=600)


def timed(work: Callable[[], object], repetitions: int) -> float:
    """Return the median time of some calls, after one that is thrown away [s]."""
    work()
    taken = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return median(taken)


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the front of time and cost on one core.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(SEED)
    machines = rng.integers(1, 65_536, options.rows)
    time_s = rng.lognormal(10, 1, options.rows) / machines**0.9
    kinds = {
        # Plans of one cluster: cost is machines by time.
        "plans": machines * time_s * 2.0 / 3600,
        # All on the front, and none but one.
        "opposed": -time_s + time_s.max(),
        "aligned": time_s.copy(),
    }
    sorting_s = timed(lambda: np.sort(time_s), options.repetitions)
    work: dict[str, Callable[[], object]] = {
        f"front, {name}": (lambda cost=cost: pareto_front(time_s, cost)) for name, cost in kinds.items()
    }
    work["failures"] = lambda: synchronous_s(time_s, machines, POLICY)
    rows: list[dict[str, Any]] = []
    for name, call in work.items():
        taken_s = timed(call, options.repetitions)
        front = pareto_front(time_s, kinds[name.removeprefix("front, ")]).size if name.startswith("front") else ""
        rows.append(
            {
                "what": name,
                "rows": options.rows,
                "front": front,
                "median_s": taken_s,
                "sorting_s": sorting_s,
                "ratio": taken_s / sorting_s,
            }
        )
        print(f"{name}: {options.rows:,} rows in {taken_s:.3f} s, {taken_s / sorting_s:.1f} times a sort of them")
    print(f"wrote {record.write('pareto', rows, ('numpy',), SEED)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
