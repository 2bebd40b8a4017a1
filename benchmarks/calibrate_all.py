"""How long does the whole matrix take, and what does it say?

Runs ``speedup calibrate --all --quick``, as a user does, in a process of its own and into an empty folder,
and writes a row for each network under each algorithm. ``docs/generate`` makes the table of the docs of it.

    python benchmarks/calibrate_all.py [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import record

from speedup.profile import read_profile

LIMIT_S = 20 * 60


def rows(folder: Path) -> tuple[list[dict[str, object]], float]:
    """Calibrate everything into ``folder`` and return a row for each profile, and the wall time [s]."""
    command = [sys.executable, "-m", "speedup", "calibrate", "--all", "--quick", "--json", "-o", str(folder)]
    start = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    taken = time.perf_counter() - start
    found = json.loads(ended.stdout)["calibrations"]
    for one in found:
        if one["error"]:
            print(f"NOT measured: {one['architecture']} {one['algorithm']}: {one['error']}")
    return [_row(one) for one in found if not one["error"]], taken


def _row(one: dict[str, object]) -> dict[str, object]:
    profile = read_profile(Path(str(one["path"])))
    timing, load = profile.t_grad_timing, profile.workload
    cost = next(cost for cost in profile.costs if cost.batch == timing.batch)
    return {
        "architecture": load.architecture,
        "algorithm": load.algorithm,
        "batch": timing.batch,
        "t_grad_s": timing.median_s,
        "t_grad_low_s": timing.low_s,
        "t_grad_high_s": timing.high_s,
        "uncontended_s": timing.uncontended_s,
        "samples": len(timing.samples_s),
        "stable": timing.stable,
        "compile_s": profile.compile_s,
        "parameters": load.parameters,
        "payload_bytes": load.payload_bytes,
        "weights_bytes": cost.weights_bytes,
        "optimizer_state_bytes": cost.optimizer_state_bytes,
        "activations_bytes": cost.activations_bytes,
        "xla_flops": cost.flops,
        "elapsed_s": one["elapsed_s"],
    }


def main() -> None:
    """Run the matrix, print what it took, and write the table."""
    parser = argparse.ArgumentParser(description="Time speedup calibrate --all --quick.")
    parser.add_argument("--folder", type=Path, help="where the profiles go; a temporary folder if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found, taken = rows(options.folder or Path(temporary))
    networks = {row["architecture"] for row in found}
    print(
        f"{len(found)} profiles of {len(networks)} networks in {taken / 60:.1f} min: "
        f"{'within' if taken <= LIMIT_S else 'NOT within'} {LIMIT_S / 60:.0f} min"
    )
    print(f"wrote {record.write('calibrations', found, ('numpy', 'jax', 'jaxlib', 'flax', 'optax'), seed=0)}")


if __name__ == "__main__":
    main()
