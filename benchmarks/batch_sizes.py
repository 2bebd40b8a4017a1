"""How well is t_grad predicted where it was not measured: at other batch sizes, and for other networks?

Every network is measured under plain SGD at some batch sizes, in turns. Then

* ``held-out``: t_grad(b) is fitted to the batch sizes of the sweep that ``speedup calibrate`` makes by itself, and
  predicts others, even and odd, between them;
* ``held-out, powers of two``: the same from the powers of two alone, to see what the odd ones in a sweep are for;
* ``left-out``: a network's t_grad is predicted from those of other families alone, once by the cost model of
  operations and once by FLOPs alone, as a yardstick.

The profiles are kept in a folder, and measured ones are not measured again, so a run that was interrupted
goes on, and ``--fit-only`` repeats the arithmetic.

    python benchmarks/batch_sizes.py --folder DIR [--names NAME ...] [--max-time-s 4] [--fit-only]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, median

import record

from calibrate.architectures import ARCHITECTURES, architecture, forward_flops
from calibrate.cost_model import FEATURES, LeftOut, Observation, leave_families_out, observations
from calibrate.matrix import Cell, calibrate_cells, sweep_sizes
from calibrate.sweep import Effort
from calibrate.timing.sampler import Rule
from calibrate.training.algorithms import algorithm
from speedup.gradient_time import GradientTime
from speedup.profile import Profile, read_profile
from speedup.store import make_store, stored_paths

LIMIT_PERCENT = 8.0

SIZES = {32: (11, 18, 21, 36, 45, 52), 4: (5, 6), 3: (4,)}
"""Held-out batch sizes by the batch size that the fitted sweep is around."""


def around(name: str) -> int:
    """Return the batch size to sweep around: as many samples as a small machine computes in a second or a few."""
    flops = forward_flops(name)
    return 3 if flops > 1e11 else 4 if flops > 5e8 else 32


def batches(name: str) -> tuple[int, ...]:
    """Return the batch sizes of a network to measure."""
    return tuple(sorted({*sweep_sizes(around(name)), *SIZES[around(name)]}))


def measured(names: list[str], folder: Path, max_time_s: float, *, fit_only: bool) -> list[Profile]:
    """Return the profiles of the networks, measured unless the folder has them."""
    if fit_only:
        return list(map(read_profile, stored_paths(folder).values()))
    cells = tuple(
        Cell(architecture=architecture(name), algorithm=algorithm("sgd"), batches=batches(name)) for name in names
    )
    rule = Rule(target=0.01, max_time_s=max_time_s, min_time_s=max_time_s / 2, min_samples=5, min_visits=2)
    effort = Effort(rule=rule, parts=False)
    found = []
    for outcome in calibrate_cells(cells, make_store(folder), effort=effort, resume=True):
        print(f"{outcome.cell}: {outcome.error or 'measured'} in {outcome.elapsed_s:.0f} s", flush=True)
        if outcome.profile:
            found.append(outcome.profile)
    return found


def held_out(profile: Profile, *, powers: bool = False) -> list[dict[str, object]]:
    """Fit the sweep, or of it the powers of two, predict the batch sizes between, and return a row for each."""
    others = SIZES[around(profile.workload.architecture)]
    fitted = [one for one in profile.t_grad if (one.batch or 0).bit_count() == 1 or not powers]
    curve = GradientTime.fit(one for one in fitted if one.batch not in others)
    rows = list[dict[str, object]]()
    for timing in profile.t_grad:
        if timing.batch not in others or timing.batch > curve.range[1]:
            continue
        predicted = curve.predict(timing.batch)
        rows.append(
            {
                "kind": "held-out, powers of two" if powers else "held-out",
                "architecture": profile.workload.architecture,
                "batch": timing.batch,
                "form": curve.form,
                "measured_s": timing.median_s,
                "predicted_s": predicted.median_s,
                "low_s": predicted.low_s,
                "high_s": predicted.high_s,
                "error_percent": 100 * (predicted.median_s / timing.median_s - 1),
            }
        )
    return rows


def flops_alone(known: list[Observation]) -> list[LeftOut]:
    """Predict each family from the rate that the others achieve, FLOPs by second: the yardstick."""
    operations = [FEATURES.index(name) for name in FEATURES if name.endswith("FLOPs")]

    def flops(one: Observation) -> float:
        return float(one.counts[operations].sum())

    found = []
    for one in known:
        rate = median(flops(other) / (other.seconds or 0) for other in known if other.family != one.family)
        found.append(LeftOut(one, flops(one) / rate))
    return found


def left_out(profiles: list[Profile]) -> list[dict[str, object]]:
    """Predict each network from those of other families, and return a row for each batch size and model."""
    known = observations(profiles)
    return [
        {
            "kind": kind,
            "architecture": one.observation.architecture,
            "batch": one.observation.batch,
            "form": one.observation.family,
            "measured_s": one.observation.seconds,
            "predicted_s": one.predicted_s,
            "low_s": "",
            "high_s": "",
            "error_percent": 100 * one.relative_error,
        }
        for kind, found in (("left-out", leave_families_out(known)), ("left-out, FLOPs alone", flops_alone(known)))
        for one in found
    ]


def show(rows: list[dict[str, object]], kind: str) -> None:
    """Print the errors of one kind by network, and over all."""
    errors = dict[str, list[float]]()
    for row in rows:
        if row["kind"] == kind:
            errors.setdefault(str(row["architecture"]), []).append(abs(float(str(row["error_percent"]))))
    for name, found in errors.items():
        verdict = ""
        if kind.startswith("held-out"):
            verdict = f": {'within' if median(found) <= LIMIT_PERCENT else 'NOT within'} {LIMIT_PERCENT:g} %"
        print(f"{kind}: {name} median {median(found):.1f} %, largest {max(found):.1f} %{verdict}")
    every = [error for found in errors.values() for error in found]
    within = sum(median(found) <= LIMIT_PERCENT for found in errors.values())
    print(f"{kind}: {within} of {len(errors)} networks within {LIMIT_PERCENT:g} % in the median")
    print(f"{kind}: ALL median {median(every):.1f} %, mean {mean(every):.1f} %, largest {max(every):.1f} %")


def main() -> None:
    """Measure, fit, predict, print and write the table."""
    parser = argparse.ArgumentParser(description="Predict t_grad at other batch sizes and of other networks.")
    parser.add_argument("--folder", type=Path, required=True, help="where the profiles are kept")
    parser.add_argument("--names", nargs="*", default=list(ARCHITECTURES), help="networks; all if left out")
    parser.add_argument("--max-time-s", type=float, default=4.0, help="time of each batch size [s]")
    parser.add_argument("--fit-only", action="store_true", help="measure nothing")
    options = parser.parse_args()
    profiles = measured(options.names, options.folder, options.max_time_s, fit_only=options.fit_only)
    rows = [row for powers in (True, False) for profile in profiles for row in held_out(profile, powers=powers)]
    show(rows, "held-out, powers of two")
    show(rows, "held-out")
    if len({ARCHITECTURES[profile.workload.architecture].family for profile in profiles}) > 1:
        rows += left_out(profiles)
        show(rows, "left-out")
        show(rows, "left-out, FLOPs alone")
    print(f"wrote {record.write('batch_sizes', rows, ('numpy', 'scipy', 'jax', 'jaxlib', 'flax', 'optax'), seed=0)}")


if __name__ == "__main__":
    main()
