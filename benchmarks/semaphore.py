"""When does a semaphore at a central server help, and when does it hurt? The figures of ``docs/semaphore.md``.

Eight workers, D = 400 batches, simulated with a semaphore and with fair sharing, over the size and the spread of
transfers. The last case has one link that is ten times slower than the others.

    python benchmarks/semaphore.py [--seed 3]
"""

from __future__ import annotations

import argparse
from itertools import product

import record

from speedup.simulation import simulate

WORKERS, BATCHES, REPLICATIONS = 8, 400, 400
RATIOS, SPREADS = (0.02, 0.1, 0.3), (0.0, 0.5, 1.0, 1.5, 2.0)
SLOW = [0.05] * 7 + [0.5]


def compare(mode: str, name: str, t_comm: float | list[float], cv_comm: float, seed: int) -> dict[str, object]:
    """Return a row with the speedups under both disciplines."""
    speedups = {
        schedule: simulate(
            workers=WORKERS,
            batches=BATCHES,
            t_grad=1.0,
            t_comm=t_comm,
            mode=mode,
            schedule=schedule,
            cv_grad=0.2,
            cv_comm=cv_comm,
            replications=REPLICATIONS,
            seed=seed,
        ).speedup
        for schedule in ("semaphore", "fair")
    }
    gain = 100 * (speedups["semaphore"] / speedups["fair"] - 1)
    return {"mode": mode, "links": name, "cv_comm": cv_comm, **speedups, "gain_percent": gain}


def main() -> None:
    """Simulate, print and write the table."""
    parser = argparse.ArgumentParser(description="Compare a semaphore with fair sharing.")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    rows = [
        compare(mode, f"t_comm = {ratio:g} t_grad", ratio, cv, options.seed)
        for mode, ratio, cv in product(("async", "sync-join"), RATIOS, SPREADS)
    ]
    rows += [compare(mode, "one link ten times slower", SLOW, 0.0, options.seed) for mode in ("async", "sync-join")]
    for row in rows:
        print(
            f"{row['mode']}, {row['links']}, cv of t_comm {row['cv_comm']}: speedup {row['semaphore']:.2f} with a "
            f"semaphore, {row['fair']:.2f} with fair sharing: {row['gain_percent']:+.1f} %"
        )
    print(f"wrote {record.write('semaphore', rows, ('numpy', 'numba'), seed=options.seed)}")


if __name__ == "__main__":
    main()
