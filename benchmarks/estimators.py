"""How far are the estimators from the simulation, beside the thesis's mean of best and worst?

A grid that nothing was fitted to: worker counts, ratios and spreads between the round numbers that one would choose.
Every case is simulated until its standard error is small against the differences that count.

* ``rate``: asynchronous throughput in the steady state, central server, fair share and semaphore;
* ``run``: whole asynchronous runs of D batches;
* ``iteration``: synchronous iterations;
* ``distributed``: asynchronous throughput with equal shares on the workers, links shared fairly.

    python benchmarks/estimators.py [--kinds rate run iteration distributed] [--seed 1]
"""

from __future__ import annotations

import argparse
from itertools import product
from statistics import mean, median
from typing import TYPE_CHECKING

import numpy as np
import record

from speedup import estimate
from speedup.laws import Law
from speedup.plans import Schedule
from speedup.queueing.iterations import central_iterations, distributed_iterations
from speedup.queueing.rates import distributed_throughput, fair_throughput, semaphore_throughput
from speedup.queueing.runs import central_run_s
from speedup.simulation import simulate
from speedup.simulation.codes import FIRST_MARKED, LAST_MARKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedup.simulation import Simulation

WORKERS = (2, 3, 6, 12, 23, 45, 64)
RATIOS = (0.013, 0.04, 0.11, 0.27, 0.8, 2.7)
CV_GRAD = (0.1, 0.25, 0.6, 1.4)
CV_COMM = (0.0, 0.2, 0.55, 0.9, 1.4)
SCHEDULES = (Schedule.FAIR, Schedule.SEMAPHORE)


def thesis_s(workers: int, batches: int, ratio: float, mode: str, server: str) -> float:
    """Return t_train as the thesis has it [s]: the mean of best and worst for a central server."""
    table = estimate(
        t_grad=1.0,
        t_comm=ratio,
        workers=workers,
        batches=batches,
        modes=mode,
        servers=server,
        schedules="mean",
        method="thesis",
    )
    return table[0].time_s


def case(kind: str, schedule: str, workers: int, ratio: float, cv_grad: float, cv_comm: float) -> dict[str, object]:
    """Return the columns that name a case."""
    return {
        "kind": kind,
        "schedule": str(schedule),
        "workers": workers,
        "t_comm_by_t_grad": ratio,
        "cv_grad": cv_grad,
        "cv_comm": cv_comm,
    }


def against(row: dict[str, object], simulated: float, se: float, ours: float, thesis: float) -> dict[str, object]:
    """Return a row with the errors of both."""
    return row | {
        "simulated": simulated,
        "se_percent": 100 * se / simulated,
        "ours": ours,
        "error_percent": 100 * (ours / simulated - 1),
        "thesis": thesis,
        "thesis_error_percent": 100 * (thesis / simulated - 1),
    }


def steady(runs: Simulation) -> tuple[float, float]:
    """Return the steady throughput and its standard error [batches/s]."""
    spans = runs.totals[:, LAST_MARKED] - runs.totals[:, FIRST_MARKED]
    rate = runs.steady_throughput or 0.0
    return rate, rate * float(spans.std(ddof=1) / spans.mean() / np.sqrt(len(spans)))


def rates(seed: int) -> Iterator[dict[str, object]]:
    """Compare steady throughputs."""
    for schedule, workers, ratio, cg, cs in product(SCHEDULES, WORKERS, RATIOS, CV_GRAD, CV_COMM):
        grad, comm = Law.named("gamma", 1.0, cg), Law.named("gamma", ratio, cs)
        batches = 600 * workers
        runs = simulate(
            workers=workers, batches=batches, t_grad=grad, t_comm=comm, schedule=schedule, replications=16, seed=seed
        )
        rate, se = steady(runs)
        rule = fair_throughput if schedule is Schedule.FAIR else semaphore_throughput
        thesis = batches / thesis_s(workers, batches, ratio, "async", "central")
        yield against(
            case("rate", schedule, workers, ratio, cg, cs), rate, se, float(rule(workers, grad, comm)), thesis
        )


def runs(seed: int) -> Iterator[dict[str, object]]:
    """Compare whole asynchronous runs, some of a few rounds and some of many, N not always dividing D."""
    sizes = (40, 128, 500)
    for index, (schedule, workers, ratio, cg, cs) in enumerate(product(SCHEDULES, WORKERS, RATIOS, CV_GRAD, CV_COMM)):
        batches = sizes[index % 3]
        grad, comm = Law.named("gamma", 1.0, cg), Law.named("gamma", ratio, cs)
        found = simulate(
            workers=workers, batches=batches, t_grad=grad, t_comm=comm, schedule=schedule, replications=400, seed=seed
        )
        ours = central_run_s(workers, batches, grad, comm, schedule)
        thesis = thesis_s(workers, batches, ratio, "async", "central")
        row = case("run", schedule, workers, ratio, cg, cs) | {"batches": batches}
        yield against(row, found.mean_s, found.se_s or 0.0, ours, thesis)


def iterations(seed: int) -> Iterator[dict[str, object]]:
    """Compare synchronous iterations."""
    for schedule, workers, ratio, cg, cs in product(SCHEDULES, WORKERS, RATIOS, CV_GRAD, CV_COMM):
        grad, comm = Law.named("gamma", 1.0, cg), Law.named("gamma", ratio, cs)
        found = simulate(
            workers=workers,
            batches=workers,
            t_grad=grad,
            t_comm=comm,
            mode="sync-join",
            schedule=schedule,
            replications=8000,
            seed=seed,
        )
        drawn = central_iterations([grad] * workers, [comm] * workers, schedule, draws=8000, seed=seed + 1)
        se = float(np.hypot(found.se_s or 0.0, drawn.std() / np.sqrt(len(drawn))))
        thesis = thesis_s(workers, workers, ratio, "sync-join", "central")
        yield against(
            case("iteration", schedule, workers, ratio, cg, cs), found.mean_s, se, float(drawn.mean()), thesis
        )


def distributed(seed: int) -> Iterator[dict[str, object]]:
    """Compare steady throughputs and synchronous iterations with equal shares on the workers."""
    for workers, ratio, cg, cs in product((2, 3, 6, 12, 20), RATIOS, (0.1, 0.4, 1.4), (0.0, 0.5, 1.4)):
        grad, comm = Law.named("gamma", 1.0, cg), Law.named("gamma", ratio, cs)
        batches = 100 * workers
        common = {"workers": workers, "t_grad": grad, "t_comm": comm, "server": "distributed", "schedule": "fair"}
        found = simulate(batches=batches, replications=6, seed=seed, **common)
        rate, se = steady(found)
        thesis = batches / thesis_s(workers, batches, ratio, "async", "distributed")
        ours = float(distributed_throughput(workers, grad, comm))
        yield against(case("distributed", "fair", workers, ratio, cg, cs), rate, se, ours, thesis)
        rounds = simulate(batches=workers, mode="sync-join", replications=200, seed=seed, **common)
        drawn = distributed_iterations([grad] * workers, [comm] * workers, draws=8000)
        thesis = thesis_s(workers, workers, ratio, "sync-join", "distributed")
        yield against(
            case("distributed iteration", "fair", workers, ratio, cg, cs),
            rounds.mean_s,
            rounds.se_s or 0.0,
            float(drawn.mean()),
            thesis,
        )


KINDS = {"rate": rates, "run": runs, "iteration": iterations, "distributed": distributed}


def show(rows: list[dict[str, object]]) -> None:
    """Print mean, median and largest errors of each kind and schedule."""
    groups = dict[tuple[str, str], list[dict[str, object]]]()
    for row in rows:
        groups.setdefault((str(row["kind"]), str(row["schedule"])), []).append(row)
    for (kind, schedule), found in groups.items():

        def column(name: str, chosen: list[dict[str, object]] = found) -> list[float]:
            return [abs(float(str(row[name]))) for row in chosen]

        ours, thesis, noise = column("error_percent"), column("thesis_error_percent"), column("se_percent")
        print(
            f"{kind}, {schedule}: {len(found)} cases; ours mean {mean(ours):.2f} %, median {median(ours):.2f} %, "
            f"largest {max(ours):.1f} %; thesis mean {mean(thesis):.1f} %, largest {max(thesis):.0f} %; "
            f"standard error of the simulation {mean(noise):.2f} %"
        )


def main() -> None:
    """Compare, print and write the table."""
    parser = argparse.ArgumentParser(description="Compare the estimators with the simulation.")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = [row for kind in options.kinds for row in KINDS[kind](options.seed)]
    show(rows)
    columns = dict.fromkeys(name for row in rows for name in row)
    table = [{name: row.get(name, "") for name in columns} for row in rows]
    print(f"wrote {record.write('estimators', table, ('numpy', 'scipy', 'numba'), seed=options.seed)}")


if __name__ == "__main__":
    main()
