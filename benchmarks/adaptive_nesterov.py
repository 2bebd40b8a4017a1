"""Does adaptive Nesterov reach what Nesterov with a scheduled rate reaches, and sooner?

Document 003's comparison on CIFAR-10 as available: Nesterov with momentum 0.5 and a rate of 0.1, 0.01 after 40 % and
0.001 after 70 % of all updates, against adaptive Nesterov with momentum 0.9, whose rate follows from loss and gradient
between 0.001 and 0.1. The reduced AlexNet of the document takes seconds a batch here, so it sees few samples; the
perceptron 3072-200-200-200-200-10 beside it is trained for longer. The document has batches of 512.

    python benchmarks/adaptive_nesterov.py --folder DIR [--seeds 3] [--networks alexnet_cifar viviano_fc_3072]
"""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import Any

import record

from calibrate.learning import Learner, Settings

METHODS: dict[str, dict[str, Any]] = {
    "scheduled": {"algorithm": "nesterov", "learning_rate": 0.1, "momentum": 0.5, "schedule": "steps"},
    "adaptive": {"algorithm": "adaptive_nesterov", "momentum": 0.9},
}
NETWORKS: dict[str, dict[str, int]] = {
    "alexnet_cifar": {"train_samples": 3000, "batch": 32, "epochs": 8},
    "viviano_fc_3072": {"train_samples": 10_000, "batch": 64, "epochs": 30},
}


def trained(network: str, method: str, seed: int, folder: str) -> list[dict[str, Any]]:
    """Train once, and return a row an epoch."""
    how = METHODS[method]
    settings = Settings(network=network, data="cifar10", folder=folder, seed=seed, **how, **NETWORKS[network])
    learner = Learner(settings)
    rows = learner.train()
    best = max(rows, key=lambda row: row.test_accuracy)
    print(
        f"{network} {method} seed {seed}: test accuracy {rows[-1].test_accuracy:.2%}, best {best.test_accuracy:.2%} in "
        f"epoch {best.epoch}, training loss {rows[-1].loss:.4f}, test loss {rows[-1].test_loss:.4f}, t_grad "
        f"{median(row.t_grad_s for row in rows) * 1e3:.2f} ms",
        flush=True,
    )
    about = {
        "network": network,
        "data": f"cifar10, {learner.note}",
        "method": method,
        "momentum": how["momentum"],
        "batch": settings.samples,
        "epochs": settings.epochs,
        "training_seed": seed,
    }
    return [{**about, **row.to_dict()} for row in rows]


def sooner(scheduled: list[dict[str, Any]], adaptive: list[dict[str, Any]]) -> int | None:
    """Return the epoch in which the adaptive method first has the accuracy that the scheduled one ends with."""
    wanted = scheduled[-1]["test_accuracy"]
    return next((row["epoch"] for row in adaptive if row["test_accuracy"] >= wanted), None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare adaptive with scheduled Nesterov on CIFAR-10.")
    parser.add_argument("--folder", required=True, help="where CIFAR-10's files are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for network in options.networks:
        for seed in range(options.seeds):
            scheduled, adaptive = (trained(network, method, seed, options.folder) for method in METHODS)
            rows += scheduled + adaptive
            reached = sooner(scheduled, adaptive)
            print(
                f"{network} seed {seed}: the adaptive method is as good as the scheduled one's end in epoch {reached}"
            )
            path = record.write("adaptive_nesterov", rows, ("jax", "flax", "optax"))
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
