"""How fast is the compiled simulation, beside SimPy and Ciw, on the same runs?

One thread. Eight workers behind a semaphore, asynchronous, t_comm = t_grad / 10. Counted are completed transfers by
second, with every replication begun differently, so that a result copied from another would show: distinct times are
counted.
Then the cost of a transfer for growing numbers of workers.

    python benchmarks/simulation.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import TYPE_CHECKING

import ciw
import numpy as np
import record
import simpy

from speedup.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS, T_GRAD, T_COMM = 8, 1.0, 0.1
PEER_BATCHES, BATCHES, REPLICATIONS = 5000, 5000, 100
GROWING = (2, 8, 32, 64, 128, 256, 1024, 4096, 10_000)


def simpy_run(draw: Callable[[float], float], start_s: np.ndarray) -> float:
    """Run the model in SimPy and return its end [s]."""
    environment = simpy.Environment()
    down, up = simpy.Resource(environment), simpy.Resource(environment)
    left = [PEER_BATCHES]

    def worker(own: int) -> object:
        yield environment.timeout(start_s[own])
        while left[0] > 0:
            left[0] -= 1
            with down.request() as guard:
                yield guard
                yield environment.timeout(draw(T_COMM))
            yield environment.timeout(draw(T_GRAD))
            with up.request() as guard:
                yield guard
                yield environment.timeout(draw(T_COMM))

    for own in range(WORKERS):
        environment.process(worker(own))
    environment.run()
    return float(environment.now)


def ciw_run(law: str) -> float:
    """Run the model in Ciw for as long as the batches take, and return the transfers it completed."""

    def times(mean: float) -> ciw.dists.Distribution:
        return ciw.dists.Exponential(1 / mean) if law == "exponential" else ciw.dists.Deterministic(mean)

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([0.0, float("inf")]), None, None],
        batching_distributions=[ciw.dists.Sequential([WORKERS, 1]), None, None],
        service_distributions=[times(T_COMM), times(T_GRAD), times(T_COMM)],
        routing=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
        number_of_servers=[1, float("inf"), 1],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(PEER_BATCHES / 6.0)
    return sum(one.node in {1, 3} for one in simulation.get_all_records())


def ours(law: str, workers: int, batches: int, replications: int, seed: int) -> tuple[float, int]:
    """Return transfers by second, and how many different times there are."""
    start = np.random.default_rng(seed).uniform(0, T_GRAD, (replications, workers))
    options = {"workers": workers, "batches": batches, "t_grad": T_GRAD, "law": law, "join_s": start}
    options["t_comm"] = T_COMM * min(1.0, WORKERS / workers)
    begin = time.perf_counter()
    runs = simulate(**options, replications=replications, seed=seed)
    return 2 * batches * replications / (time.perf_counter() - begin), len(set(runs.time_s.tolist()))


def peers(law: str, seed: int) -> tuple[float, float]:
    """Return the transfers by second of SimPy and of Ciw."""
    rng = np.random.default_rng(seed)
    # Drawn beforehand, so that the peer is not charged for single draws.
    pool = iter(rng.exponential(1.0, 3 * PEER_BATCHES + 100).tolist())

    def draw(mean: float) -> float:
        return mean * next(pool) if law == "exponential" else mean

    begin = time.perf_counter()
    simpy_run(draw, rng.uniform(0, T_GRAD, WORKERS))
    simpy_rate = 2 * PEER_BATCHES / (time.perf_counter() - begin)
    begin = time.perf_counter()
    transfers = ciw_run(law)
    return simpy_rate, transfers / (time.perf_counter() - begin)


def main() -> None:
    """Measure in turns, print and write the table."""
    parser = argparse.ArgumentParser(description="Compare the simulation's speed with SimPy's and Ciw's.")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = list[dict[str, object]]()
    for law in ("constant", "exponential"):
        ours(law, WORKERS, 100, 2, 0)
        found = [
            (*ours(law, WORKERS, BATCHES, REPLICATIONS, seed), *peers(law, seed)) for seed in range(options.rounds)
        ]
        rate, simpy_rate, ciw_rate = (median(row[place] for row in found) for place in (0, 2, 3))
        ratios = sorted(row[0] / row[2] for row in found)
        print(
            f"{law}: {rate:.3g} transfers/s, {found[0][1]} of {REPLICATIONS} results distinct; SimPy {simpy_rate:.3g}, "
            f"Ciw {ciw_rate:.3g}; {median(ratios):.0f} times SimPy [{ratios[0]:.0f}, {ratios[-1]:.0f}], "
            f"{rate / ciw_rate:.0f} times Ciw"
        )
        facts = {"simpy_per_s": simpy_rate, "ciw_per_s": ciw_rate, "ratio_to_simpy": median(ratios)}
        rows.append({"law": law, "workers": WORKERS, "transfers_per_s": rate, "distinct": found[0][1]} | facts)
    for workers in GROWING:
        batches = max(20_000, 20 * workers)
        rate = median(ours("exponential", workers, batches, 3, seed)[0] for seed in range(options.rounds))
        print(f"exponential, {workers} workers: {1e9 / rate:.1f} ns a transfer")
        rows.append({"law": "exponential", "workers": workers, "transfers_per_s": rate})
    columns = dict.fromkeys(name for row in rows for name in row)
    table = [{name: row.get(name, "") for name in columns} for row in rows]
    print(f"wrote {record.write('simulation', table, ('numpy', 'numba', 'simpy', 'ciw'), seed=0)}")


if __name__ == "__main__":
    main()
