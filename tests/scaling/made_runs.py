"""Runs made from known parameters, for tests that fit them."""

import numpy as np

from speedup.scaling.runs import Runs

PLANS = [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (8, 2), (8, 4), (8, 8), (16, 4), (16, 8), (16, 16)]
BATCHES = (16, 32, 64)


def grid(plans=PLANS, batches=BATCHES):
    n, m, b = np.array([(n, m, b) for n, m in plans for b in batches], dtype=float).T
    return Runs.of(workers=n, machines=m, batch=b)


def allreduce_step(runs, *, inter=0.12, intra=0.02, latency=0.004, overlap=2.0, pair=0.8, growth=0.15, scale=1.0):
    """T of the all-reduce model, written out once more."""
    n, m, r = runs.workers, runs.machines, runs.fullest
    compute = (0.02 + 0.004 * runs.batch) * (1 + 0.03 * (r - 1))
    slower = np.where(m == 2, 1 + pair, 1) * (1 + growth * np.log(np.maximum(m, 2) / 2)) * (1 + 0.2 * (r - 1) / r)
    between = 2 * (n - 1) / n * inter * slower + latency * np.log2(n)
    network = np.where(m > 1, between, 2 * (n - 1) / n * intra + 0.001 * (n - 1))
    return scale * (compute**overlap + network**overlap) ** (1 / overlap)


def with_steps(runs, step_s, *, noise=0.0, seed=0):
    spread = np.exp(noise * np.random.default_rng(seed).normal(size=len(runs)))
    return Runs.of(
        workers=runs.workers,
        machines=runs.machines,
        fullest=runs.fullest,
        servers=runs.servers,
        batch=runs.batch,
        step_s=step_s * spread,
    )


def measured(noise=0.02, seed=0, **parameters):
    runs = grid()
    return with_steps(runs, allreduce_step(runs, **parameters), noise=noise, seed=seed)


def upto(runs, workers):
    return runs.take(runs.workers <= workers)
