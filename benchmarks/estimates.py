"""How fast is ``estimate``? Against hand-written NumPy, and against SymPy's ``subs`` point by point.

The yardstick computes the same table from the same formulas: time, speedup and efficiency of 15 kinds of plan at
4,096 worker counts. Both are timed in turn, so that what disturbs one disturbs the other.
"""

from __future__ import annotations

import statistics
import time
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import record

import speedup
from speedup.formulas.symbols import D, N, t_comm, t_grad

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = 4096
BATCHES = 128
Z, S = 0.758, 0.033
REPEATS = 200
SUBS_POINTS = 200


def by_hand(counts: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return time, speedup and efficiency of every plan, as a person would write them down."""
    n = np.arange(counts.start, counts.stop, dtype=float)
    best, worst = (n + 1) * S, 2 * n * S
    spread = 2 * S * (n - 1) / n
    rounds = BATCHES / n
    async_best = np.maximum((n - 1) * S + rounds * (2 * S + Z), (BATCHES + 1) * S + Z)
    async_worst = rounds * (worst + Z)
    join = [rounds * (best + Z), rounds * (worst + Z), rounds * ((best + worst) / 2 + Z), rounds * (best + Z)]
    split = [
        BATCHES * (best + Z / n),
        BATCHES * (worst + Z / n),
        BATCHES * ((best + worst) / 2 + Z / n),
        BATCHES * (best + Z / n),
    ]
    asynchronous = [async_best, async_worst, (async_best + async_worst) / 2, async_best]
    distributed = [rounds * (spread + Z), BATCHES * (spread + Z / n), rounds * (spread + Z)]
    times = np.concatenate(
        [*join, distributed[0], *split, distributed[1], *asynchronous, distributed[2]],
    )
    gain = BATCHES * Z / times
    return times, gain, gain / np.tile(n, 15)


def by_estimate(counts: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the same through the library."""
    table = speedup.estimate(t_grad=Z, t_comm=S, workers=counts, batches=BATCHES, method="thesis")
    return table.time_s, table.speedup, table.efficiency


def by_subs(points: int) -> float:
    """Return the seconds that SymPy's ``subs`` takes for one row."""
    kinds = list(product(("sync-join", "sync-split", "async"), ("best", "worst", "mean", "semaphore")))
    started = time.perf_counter()
    for point in range(points):
        mode, schedule = kinds[point % len(kinds)]
        expression = speedup.formula(mode, "central", schedule=schedule)
        float(expression.subs({N: 1 + point, D: BATCHES, t_grad: Z, t_comm: S}))
    return (time.perf_counter() - started) / points


def timed(function: Callable[[range], object], counts: range) -> float:
    started = time.perf_counter()
    function(counts)
    return time.perf_counter() - started


def main() -> None:
    counts = range(1, COUNTS + 1)
    for mine, theirs in zip(by_estimate(counts), by_hand(counts), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    pairs = [(timed(by_estimate, counts), timed(by_hand, counts)) for _ in range(REPEATS)]
    ratios = sorted(mine / theirs for mine, theirs in pairs)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    low, high = ratios[REPEATS // 20], ratios[-REPEATS // 20]
    rows = 15 * COUNTS
    subs = by_subs(SUBS_POINTS) * rows / mine
    print(f"estimate, {rows:,} rows       {mine * 1e3:8.3f} ms")
    print(f"by hand in NumPy            {theirs * 1e3:8.3f} ms")
    print(f"ratio, median [5 %, 95 %]   {statistics.median(ratios):8.2f} [{low:.2f}, {high:.2f}]   (at most 3)")
    print(f"subs point by point         {subs:8.0f} times as long   (at least 1000)")
    row = {
        "rows": rows,
        "estimate_s": mine,
        "by_hand_s": theirs,
        "ratio_median": statistics.median(ratios),
        "ratio_p5": low,
        "ratio_p95": high,
        "subs_ratio": subs,
    }
    print(record.write("estimates", [row], ("speedup-toolkit", "numpy", "sympy")))


if __name__ == "__main__":
    main()
