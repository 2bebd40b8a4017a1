"""Does hard pruning remove most of a network during training, and lose nothing against soft pruning?

The claim of document 004, on its network and images: 784-300-100-10 on MNIST, L0 gates on units, once with the units
only gated (``l0``) and once with those that are off taken out for good and the arrays shrunk (``l0_hard``).

    python benchmarks/hard_pruning.py --folder DIR [--seeds 3] [--epochs 50] [--strength 5e-6] [--rule test-gate|map]
"""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import Any

import record

from calibrate.learning import Learner, Settings

WEIGHTS = 266_610
"""Parameters of the network."""


def trained(algorithm: str, seed: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train once, and return a row an epoch."""
    settings = Settings(
        network="nardini_mlp",
        algorithm=algorithm,
        data="mnist",
        folder=options.folder,
        batch=100,
        epochs=options.epochs,
        unit=True,
        strength=options.strength,
        rule=options.rule,
        seed=seed,
    )
    rows = Learner(settings).train()
    last = rows[-1]
    print(
        f"{algorithm} seed {seed}: test accuracy {last.test_accuracy:.2%}, {last.weights:,} weights, t_grad "
        f"{rows[0].t_grad_s * 1e3:.2f} -> {last.t_grad_s * 1e3:.2f} ms, payload {rows[0].payload_bytes:,} -> "
        f"{last.payload_bytes:,} bytes, memory {rows[0].memory_bytes:,} -> {last.memory_bytes:,} bytes, "
        f"{sum(row.time_s for row in rows):.0f} s",
        flush=True,
    )
    about = {"algorithm": algorithm, "rule": options.rule, "strength": options.strength, "training_seed": seed}
    return [{**about, **row.to_dict()} for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare hard with soft pruning on MNIST.")
    parser.add_argument("--folder", required=True, help="where MNIST's files are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--strength", type=float, default=5e-6, help="0.3 by the 60,000 images of MNIST")
    parser.add_argument("--rule", default="test-gate", choices=("test-gate", "map"))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    lost, removed, faster, smaller = [], [], [], []
    for seed in range(options.seeds):
        soft, hard = (trained(name, seed, options) for name in ("l0", "l0_hard"))
        rows += soft + hard
        lost.append(soft[-1]["test_accuracy"] - hard[-1]["test_accuracy"])
        removed.append(1 - hard[-1]["weights"] / WEIGHTS)
        faster.append(soft[-1]["t_grad_s"] / hard[-1]["t_grad_s"])
        smaller.append(hard[-1]["memory_bytes"] / soft[-1]["memory_bytes"])
        path = record.write("hard_pruning", rows, ("jax", "flax", "optax"))
    print(
        f"median of {options.seeds} seeds: {median(removed):.1%} of the weights removed, {median(lost) * 100:+.2f} "
        f"points of test accuracy lost, t_grad {median(faster):.2f} times shorter, memory {median(smaller):.2f} times"
    )
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
