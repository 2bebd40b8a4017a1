"""Tabulate the excess delay of a semaphore by simulation: how much of the product form's queueing delay it has.

The table is what ``speedup.queueing.rates.excess_delay`` interpolates. Its nodes are not the cases of
``benchmarks/estimators.py``, which judges the result. Writes ``speedup/queueing/excess_delay.npz``.

    python benchmarks/excess_delay.py [--seed 2026]
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np

from speedup.laws import Law
from speedup.queueing.mva import mva_throughput
from speedup.queueing.rates import CV_COMM_NODES, CV_GRAD_NODES, LOAD_NODES, TABLED_LAWS, WORKER_NODES, constant_cycle_s
from speedup.simulation import simulate

TARGET = Path(__file__).parents[1] / "speedup" / "queueing" / "excess_delay.npz"
NEAREST = 0.97
"""Part of the largest load, N/2, at which a node beyond it is simulated."""
BATCHES, REPLICATIONS = 6000, 8


def simulated(node: tuple[int, float, float, float, str, int]) -> float:
    """Return the excess delay at a node."""
    workers, load, cv_grad, cv_comm, law, seed = node
    load = min(load, NEAREST * workers / 2)
    # x = N s / (Z + 2 s), with Z = 1.
    t_comm = load / (workers - 2 * load)
    runs = simulate(
        workers=workers,
        batches=BATCHES + 600 * workers,
        t_grad=Law.named("gamma", 1.0, cv_grad),
        t_comm=Law.named(law, t_comm, cv_comm),
        replications=REPLICATIONS if cv_grad or cv_comm else 1,
        seed=seed,
    )
    cycle, constant = workers / (runs.steady_throughput or 0.0), float(constant_cycle_s(workers, 1.0, t_comm))
    product_form = workers / float(mva_throughput(workers, 1.0, t_comm)[-1])
    return (cycle - constant) / (product_form - constant)


def main() -> None:
    """Simulate every node and write the table."""
    parser = argparse.ArgumentParser(description="Tabulate the excess delay of a semaphore.")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    axes = (WORKER_NODES, LOAD_NODES, CV_GRAD_NODES, CV_COMM_NODES, TABLED_LAWS)
    nodes = [(*node, options.seed + index) for index, node in enumerate(product(*axes))]
    with ProcessPoolExecutor() as workers:
        values = list(workers.map(simulated, nodes, chunksize=64))
    table = np.clip(np.reshape(values, [len(axis) for axis in axes]), 0.0, None).astype(np.float32)
    np.savez_compressed(TARGET, table=table)
    print(f"wrote {len(values)} nodes to {TARGET}")


if __name__ == "__main__":
    main()
