"""Is a plan that is called 90 % sure the best 90 % of the time, and is the stated regret the one that comes true?

Random worlds. In each, a device and a network have true times; a measurement of known doubt is off by some of it; plans
are tabulated from what was measured, the best of them is chosen, and ``speedup.certainty`` says how sure that is. Then
the same plans are tabulated from the true times, each kind of plan times an error of its own, and it shows whether the
choice was the best. Scores are the time, the cost, or the time to a target; some networks are nominal, and slower.

In a part of the worlds the batch size is chosen too: t_grad of each size errs by itself or with its neighbour, besides
what all share, and the noise scale behind the time or the cost to a target is in doubt as well.

    python benchmarks/certainty.py [--worlds 5000] [--spread 200] [--sizes 1500] [--seed 11]
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from speedup import estimate, recommend
from speedup.certainty import Certainty, Target, certainty
from speedup.doubts import Doubts, SizeDoubt
from speedup.efficiency import NoiseScale
from speedup.goals import Goal, Objective
from speedup.tables import Status, status_index

if TYPE_CHECKING:
    from speedup import EstimateTable

BINS = (0.0, 0.35, 0.55, 0.75, 0.85, 0.95, 1.0)
SERVERS = ("central", "distributed", "allreduce")
MODES = ("sync-join", "sync-split", "async")


@dataclass(frozen=True)
class World:
    """True times, what was measured of them, and the plans.

    Attributes:
        true: Arguments of ``estimate`` in this world.
        measured: The same, as measured.
        plans: Which plans are allowed.
        doubts: How far the measurement may be off.
        price: Of a machine, where the score is the cost.
        samples: Workers from which on more of them see more samples than they save, where it is the time to a target.
        kind: Which score: ``time``, ``cost`` or ``target``.
    """

    true: dict[str, float]
    measured: dict[str, float]
    plans: dict[str, Any]
    doubts: Doubts
    price: float
    samples: float
    kind: str

    def factor(self, table: EstimateTable) -> np.ndarray:
        """Return what each row's time is multiplied by."""
        if self.kind == "cost":
            return self.price * table.machines
        if self.kind == "target":
            join = table.by_family(lambda family: family.mode != "sync-split")
            return np.where(join, 1 + table.workers / self.samples, 1.0)
        return np.ones(len(table))

    def table(self, times: dict[str, float]) -> EstimateTable:
        """Return the plans in which all workers compute."""
        found = estimate(**times, **self.plans)
        return found.take(found.status != status_index(Status.IDLE_WORKERS))


def a_world(rng: np.random.Generator, *, spread: bool = False, among: tuple[str, ...] = SERVERS) -> World:
    """Draw a world."""
    t_grad = float(np.exp(rng.uniform(np.log(0.02), np.log(2))))
    t_comm = t_grad * float(np.exp(rng.uniform(np.log(0.001), np.log(50))))
    nominal = not spread and rng.random() < 0.25
    doubts = Doubts(
        t_grad=rng.uniform(0.01, 0.15),
        t_comm=rng.uniform(0.02, 0.4) if not nominal else rng.uniform(0.2, 0.6),
        t_comm_median=rng.uniform(1, 5) if nominal else 1.0,
        cv_grad=rng.uniform(0.05, 0.3) if spread else 0.0,
        cv_comm=rng.uniform(0.05, 0.3) if spread else 0.0,
        model=rng.uniform(0.002, 0.04),
    )
    true = {"t_grad": t_grad, "t_comm": t_comm}
    off = {"t_grad": doubts.t_grad, "t_comm": doubts.t_comm}
    if spread:
        true |= {"cv_grad": rng.uniform(0.02, 0.4), "cv_comm": rng.uniform(0.02, 0.4)}
        off |= {"cv_grad": doubts.cv_grad, "cv_comm": doubts.cv_comm}
    measured = {name: value * math.exp(-off[name] * rng.normal()) for name, value in true.items()}
    measured["t_comm"] /= doubts.t_comm_median
    servers = rng.choice(among, rng.integers(2, len(among) + 1), replace=False).tolist()
    modes = rng.choice(MODES, rng.integers(1, 3), replace=False).tolist()
    most = int(np.exp(rng.uniform(np.log(2), np.log(12 if spread else 128))))
    plans: dict[str, Any] = {"modes": modes, "servers": servers, "schedules": "expected"}
    if spread:
        plans |= {"method": "queueing", "schedules": "fair"}
    plans |= {"workers": range(1, most + 1), "batches": int(rng.integers(1, 20)) * most}
    kind = str(rng.choice(["time", "cost", "target"]))
    return World(true, measured, plans, doubts, 3.0, float(np.exp(rng.uniform(np.log(2), np.log(200)))), kind)


def outcome(world: World, rng: np.random.Generator) -> tuple[Certainty, bool, float]:
    """Return what was said of the choice, whether it was the best, and the relative regret that came true."""
    table = world.table(world.measured)
    factor = world.factor(table)
    chosen = int(np.argmin(table.time_s * factor))
    said = certainty(table, chosen, factor=factor, doubts=world.doubts)
    alone = (table.workers == 1) & (table.move_s == 0)
    errors = np.exp(world.doubts.model * rng.standard_normal(len(table.families)))[table.family]
    scores = world.table(world.true).time_s * factor * np.where(alone, 1.0, errors)
    regret = float(scores[chosen] / scores.min() - 1)
    return said, regret <= 1e-12, regret


@dataclass(frozen=True)
class SizesWorld:
    """A world in which the batch size is chosen too.

    Attributes:
        sizes: Batch sizes.
        true: t_grad of each, then t_comm, then the noise scale.
        measured: The same, as measured.
        plans: Which plans are allowed.
        doubts: How far the measurement may be off.
        samples: Samples of the run on one worker.
        kind: Which score: ``time to target`` or ``cost to target``.
    """

    sizes: tuple[int, ...]
    true: list[float]
    measured: list[float]
    plans: dict[str, Any]
    doubts: Doubts
    samples: int
    kind: str

    def goal(self, noise: float) -> Goal:
        """Return what is wanted, with a noise scale."""
        return Goal(objective=Objective.TIME_TO_TARGET, noise_scale=NoiseScale.assumed(noise))

    def tables(self, numbers: list[float]) -> list[EstimateTable]:
        """Return the plans of each batch size in which all workers compute."""
        found = []
        for size, t_grad in zip(self.sizes, numbers, strict=False):
            batches = max(1, round(self.samples / size))
            table = estimate(t_grad=t_grad, t_comm=numbers[-2], batch=size, batches=batches, **self.plans)
            found.append(table.take(table.status != status_index(Status.IDLE_WORKERS)))
        return found

    def factor(self, tables: list[EstimateTable], noise: float) -> np.ndarray:
        """Return what each row's time is multiplied by."""
        needed = [self.goal(noise).samples_factor(table, self.sizes[0]) for table in tables]
        if self.kind == "cost to target":
            needed = [one * table.machines for one, table in zip(needed, tables, strict=True)]
        return np.concatenate(needed)


def a_world_of_sizes(rng: np.random.Generator, among: tuple[str, ...] = SERVERS, *, line: bool = False) -> SizesWorld:
    """Draw a world in which the batch size is chosen too.

    What is said of a choice takes nothing for known before the measurement. So t_grad of each size is drawn by itself,
    over a wide range. Else, with ``line``, all sizes lie on a line, as those of real devices nearly do, of which what
    is said knows nothing: the size that was measured too short is chosen too often.
    """
    first = int(2 ** rng.integers(2, 6))
    sizes = tuple(first * 2**power for power in range(int(rng.integers(2, 6))))
    per_sample = float(np.exp(rng.uniform(np.log(0.002), np.log(0.05))))
    fixed = per_sample * first * float(np.exp(rng.uniform(np.log(0.05), np.log(5))))
    t_comm = (fixed + per_sample * first) * float(np.exp(rng.uniform(np.log(0.001), np.log(5))))
    together = int(rng.integers(1, 3))
    doubts = Doubts(
        t_grad=rng.uniform(0.0, 0.1),
        t_comm=rng.uniform(0.02, 0.4),
        model=rng.uniform(0.002, 0.04),
        noise_scale=rng.uniform(0.05, 0.5),
        by_size=tuple(
            SizeDoubt(t_grad=rng.uniform(0.005, 0.1), group=place // together) for place in range(len(sizes))
        ),
    )
    apart = np.zeros(len(sizes)) if line else rng.uniform(-1, 1, len(sizes))
    true = [(fixed + per_sample * size) * math.exp(one) for size, one in zip(sizes, apart, strict=True)]
    true += [t_comm, first * float(np.exp(rng.uniform(np.log(2), np.log(500))))]
    shared, groups = rng.normal(), rng.standard_normal(len(sizes))
    off = [doubts.t_grad * shared + one.t_grad * groups[one.group] for one in doubts.by_size]
    off += [doubts.t_comm * rng.normal(), doubts.noise_scale * rng.normal()]
    measured = [value * math.exp(-error) for value, error in zip(true, off, strict=True)]
    most = int(np.exp(rng.uniform(np.log(2), np.log(64))))
    plans: dict[str, Any] = {
        "modes": rng.choice(MODES, rng.integers(1, 4), replace=False).tolist(),
        "servers": rng.choice(among, rng.integers(2, len(among) + 1), replace=False).tolist(),
        "schedules": "expected",
        "workers": range(1, most + 1),
    }
    kind = str(rng.choice(["time to target", "cost to target"]))
    return SizesWorld(sizes, true, measured, plans, doubts, int(rng.integers(1, 20)) * most * sizes[-1], kind)


def outcome_of_sizes(world: SizesWorld, rng: np.random.Generator) -> tuple[Certainty, bool, float]:
    """Return what was said of the choice, whether it was the best, and the relative regret that came true."""
    tables, noise = world.tables(world.measured), world.measured[-1]
    factor = world.factor(tables, noise)
    chosen = int(np.argmin(np.concatenate([table.time_s for table in tables]) * factor))
    samples = np.concatenate([world.goal(noise).update_samples(table) for table in tables])
    target = Target(noise, samples, world.sizes[0])
    said = certainty(tables, chosen, factor=factor, doubts=world.doubts, target=target)
    errors = world.doubts.model * rng.standard_normal(len(tables[0].families))
    truly = world.tables(world.true)
    times = [
        table.time_s * np.where((table.workers == 1) & (table.move_s == 0), 1.0, np.exp(errors[table.family]))
        for table in truly
    ]
    scores = np.concatenate(times) * world.factor(truly, world.true[-1])
    regret = float(scores[chosen] / scores.min() - 1)
    return said, regret <= 1e-12, regret


def reliability(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each bin of the stated probability how often the choice was the best, and the regrets."""
    found = []
    for low, high in pairwise(BINS):
        own = [row for row in rows if low <= row["probability"] < high or row["probability"] == high == 1.0]
        if own:
            found.append(
                {
                    "low": low,
                    "high": high,
                    "worlds": len(own),
                    "stated": float(np.mean([row["probability"] for row in own])),
                    "best": float(np.mean([row["best"] for row in own])),
                    "expected_regret": float(np.mean([row["expected_regret"] for row in own])),
                    "realised_regret": float(np.mean([row["regret"] for row in own])),
                    "median_s": median(row["taken_s"] for row in own),
                }
            )
    return found


def calibration(
    worlds: int, seed: int, *, spread: bool = False, sizes: str = "", servers: tuple[str, ...] = SERVERS
) -> list[dict[str, Any]]:
    """Return one row a world; ``sizes`` is "apart" or "line" where the batch size is chosen too."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(worlds):
        world = (
            a_world_of_sizes(rng, servers, line=sizes == "line")
            if sizes
            else a_world(rng, spread=spread, among=servers)
        )
        begin = time.perf_counter()
        said, best, regret = outcome_of_sizes(world, rng) if isinstance(world, SizesWorld) else outcome(world, rng)
        rows.append(
            {
                "probability": said.probability_best,
                "best": best,
                "expected_regret": said.expected_regret,
                "regret": regret,
                "score": world.kind,
                "taken_s": time.perf_counter() - begin,
            }
        )
    return rows


TIMED: dict[str, dict[str, Any]] = {
    "8 workers": {"t_grad": 1.0, "t_comm": 0.1, "max_workers": 8},
    "64 workers, 100 Gbit/s": {
        "profile_or_name": "resnet34",
        "network": "100gbit",
        "max_workers": 64,
        "batches": 1024,
    },
    "4096 workers": {"profile_or_name": "resnet34", "network": "10gbit", "max_workers": 4096, "batches": 65_536},
    "8 workers, times vary": {"t_grad": 1.0, "t_comm": 0.1, "max_workers": 8, "cv_grad": 0.1, "cv_comm": 0.1},
    "64 workers, times vary": {
        "t_grad": 1.0,
        "t_comm": 0.01,
        "max_workers": 64,
        "batches": 1024,
        "cv_grad": 0.1,
        "cv_comm": 0.1,
        "method": "queueing",
        "servers": ["central", "distributed"],
    },
}


def timings(repetitions: int) -> list[dict[str, Any]]:
    """Return how long the certainty of some recommendations takes beside the recommendation itself."""
    found = []
    for name, asked in TIMED.items():
        begin = time.perf_counter()
        answer = recommend(**asked)
        recommend_s = time.perf_counter() - begin
        chosen = int(np.argmin(answer.table.time_s))
        taken, computed = [], []
        for _ in range(repetitions + 1):
            begin, began = time.perf_counter(), time.process_time()
            certainty(answer.table, chosen)
            taken.append(time.perf_counter() - begin)
            computed.append(time.process_time() - began)
        found.append(
            {
                "case": name,
                "rows": len(answer.table),
                "recommend_s": recommend_s,
                "first_s": taken[0],
                "median_s": median(taken[1:]),
                "fastest_s": min(taken[1:]),
                "cpu_s": median(computed[1:]),
            }
        )
    return found


def main() -> None:
    """Run the worlds, print and write the tables."""
    parser = argparse.ArgumentParser(description="Check how sure choices are against how often they are right.")
    parser.add_argument("--worlds", type=int, default=5000)
    parser.add_argument("--spread", type=int, default=200)
    parser.add_argument("--sizes", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--repetitions", type=int, default=9)
    options = parser.parse_args()
    import record  # noqa: PLC0415 - loads the calibration, which drawing worlds does without

    written: list[dict[str, object]] = []
    cases: dict[str, tuple[int, dict[str, Any]]] = {
        "constant times": (options.worlds, {}),
        "times vary": (options.spread, {"spread": True}),
        "several batch sizes": (options.sizes, {"sizes": "apart"}),
        "several batch sizes on a line": (options.sizes, {"sizes": "line"}),
    }
    for name, (count, which) in cases.items():
        rows = calibration(count, options.seed, **which)
        print(f"{name}, {count} worlds")
        for row in reliability(rows):
            print(
                f"  called {row['low']:.0%} to {row['high']:.0%}: {row['worlds']} worlds, stated {row['stated']:.1%}, "
                f"best {row['best']:.1%}; regret expected {row['expected_regret']:.2%}, "
                f"realised {row['realised_regret']:.2%}"
            )
            written.append({"table": "reliability", "case": name, **row})
    keys = dict.fromkeys(key for row in written for key in row)
    for row in timings(options.repetitions):
        print(
            f"{row['case']}: {row['rows']} rows, recommend {1e3 * row['recommend_s']:.0f} ms, certainty "
            f"{1e3 * row['median_s']:.0f} ms (fastest {1e3 * row['fastest_s']:.0f} ms, "
            f"of the processor {1e3 * row['cpu_s']:.0f} ms)"
        )
        written.append({"table": "timing", **row})
    keys |= dict.fromkeys(key for row in written for key in row)
    rows = [{key: row.get(key, "") for key in keys} for row in written]
    print(f"wrote {record.write('certainty', rows, ('numpy',), seed=options.seed)}")


if __name__ == "__main__":
    main()
