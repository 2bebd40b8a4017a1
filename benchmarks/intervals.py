"""Do the stated 90 % intervals hold the speedup of a run 90 % of the time?

Random cases. In each, a device and a link have true laws of their times; a calibration sees a few dozen samples of
each; ``estimate`` makes its interval from these samples alone; and one run is simulated under the true laws. The
interval should hold that run's speedup, D t_grad / t_train with the true mean of t_grad, in 85 to 95 % of the cases,
and not by being wide.

    python benchmarks/intervals.py [--cases 1000] [--seed 7]
"""

from __future__ import annotations

import argparse
from statistics import median

import numpy as np
import record

from speedup import Profile, Timing, Workload, estimate
from speedup.laws import Law
from speedup.profile import Device, Provenance
from speedup.simulation import simulate

KINDS = (
    ("sync-join", "central", "fair"),
    ("sync-join", "central", "semaphore"),
    ("sync-join", "distributed", "none"),
    ("sync-split", "central", "fair"),
    ("sync-split", "central", "semaphore"),
    ("sync-split", "distributed", "none"),
    ("async", "central", "fair"),
    ("async", "central", "semaphore"),
    ("async", "distributed", "none"),
)


def timing(law: Law, count: int, rng: np.random.Generator, **what: int) -> Timing:
    """Return what a calibration of ``count`` samples would say."""
    samples = law.draw(rng, (count,))
    return Timing(
        median_s=float(np.median(samples)),
        samples_s=tuple(samples.tolist()),
        provenance=Provenance.MEASURED,
        **what,
    )


def one_case(index: int, rng: np.random.Generator) -> dict[str, object]:
    """Make a case, estimate it from samples, and simulate one run of it."""
    mode, server, schedule = KINDS[index % len(KINDS)]
    most = 12 if server == "distributed" else 32
    workers = int(np.exp(rng.uniform(np.log(2), np.log(most + 1))))
    batches = int(rng.integers(2 * workers, 30 * workers))
    grad_law, comm_law = rng.choice(["gamma", "lognormal"], 2)
    cv_grad, cv_comm = rng.uniform(0.02, 0.8), rng.uniform(0.02, 0.8)
    ratio = float(np.exp(rng.uniform(np.log(0.01), np.log(1.5))))
    grad, comm = Law.named(grad_law, 1.0, cv_grad), Law.named(comm_law, ratio, cv_comm)
    count = int(rng.integers(20, 300))
    profile = Profile(
        name="case",
        workload=Workload(architecture="case", tensor_elements=(1000,)),
        t_grad=(timing(grad, count, rng),),
        t_comm=timing(comm, count, rng, payload_bytes=4000),
        device=Device(platform="cpu", name="made up"),
    )
    schedules = None if server == "distributed" else schedule
    row = estimate(profile, workers=workers, batches=batches, modes=mode, servers=server, schedules=schedules)[0]
    run = simulate(
        workers=workers,
        batches=batches,
        t_grad=grad,
        t_comm=comm,
        mode=mode,
        server=server,
        schedule="fair" if schedule == "none" else schedule,
        replications=1,
        seed=int(rng.integers(2**31)),
    )
    low, high = row.speedup_low or 0.0, row.speedup_high or 0.0
    return {
        "mode": mode,
        "server": server,
        "schedule": schedule,
        "workers": workers,
        "batches": batches,
        "t_comm_by_t_grad": ratio,
        "cv_grad": cv_grad,
        "cv_comm": cv_comm,
        "samples": count,
        "method": row.method,
        "speedup": row.speedup,
        "low": low,
        "high": high,
        "simulated": run.speedup,
        "held": int(low <= run.speedup <= high),
        "width_percent": 100 * (high / low - 1),
    }


def show(name: str, rows: list[dict[str, object]]) -> None:
    """Print coverage and width of some cases."""
    held = 100 * sum(int(str(row["held"])) for row in rows) / len(rows)
    widths = [float(str(row["width_percent"])) for row in rows]
    print(
        f"{name}: {len(rows)} cases, {held:.1f} % held, "
        f"width median {median(widths):.1f} %, largest {max(widths):.0f} %"
    )


def main() -> None:
    """Run the cases, print and write the table."""
    parser = argparse.ArgumentParser(description="Check the coverage of the stated intervals.")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows = [one_case(index, rng) for index in range(options.cases)]
    for key in ("method", "mode"):
        for name in dict.fromkeys(str(row[key]) for row in rows):
            show(name, [row for row in rows if row[key] == name])
    show("ALL", rows)
    print(f"wrote {record.write('intervals', rows, ('numpy', 'scipy', 'numba'), seed=options.seed)}")


if __name__ == "__main__":
    main()
