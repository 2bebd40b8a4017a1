"""Does adaptive Nesterov reach what Nesterov with a scheduled rate reaches, and sooner?

Document 003's comparison on CIFAR-10 as available: Nesterov with momentum 0.5 and a rate of 0.1, 0.01 after 40 % and
0.001 after 70 % of all updates, against adaptive Nesterov with momentum 0.9, whose rate follows from loss and gradient
between 0.001 and 0.1. The document trains its reduced AlexNet for 100 epochs in batches of 512; on a CPU that network
sees few samples, in small batches. The perceptron 3072-200-200-200-200-10 beside it is trained for longer: in small
batches, and for as many epochs and in batches as the document has.

What was trained already is kept, so that an interrupted run goes on where it was.

    python benchmarks/adaptive_nesterov.py --folder DIR [--seeds 3] [--anew]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import Any

import record

from calibrate.learning import Learner, Settings

METHODS: dict[str, dict[str, Any]] = {
    "scheduled": {"algorithm": "nesterov", "learning_rate": 0.1, "momentum": 0.5, "schedule": "steps"},
    "adaptive": {"algorithm": "adaptive_nesterov", "momentum": 0.9},
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained, and how long.

    Attributes:
        network: Name of the architecture.
        batch: Samples in a batch.
        samples: Training samples.
        epochs: Passes over the training samples.
    """

    network: str
    batch: int
    samples: int
    epochs: int


CASES = (
    Case("viviano_fc_3072", 64, 10_000, 30),
    Case("viviano_fc_3072", 512, 10_000, 100),
    Case("alexnet_cifar", 32, 2000, 5),
)


def about(case: Case, method: str, seed: int) -> dict[str, Any]:
    """Return what tells one training from another."""
    return {
        "network": case.network,
        "batch": case.batch,
        "epochs": case.epochs,
        "method": method,
        "training_seed": seed,
    }


def trained(case: Case, method: str, seed: int, folder: str) -> list[dict[str, Any]]:
    """Train once, and return a row an epoch."""
    how = METHODS[method]
    learner = Learner(
        Settings(
            network=case.network,
            data="cifar10",
            folder=folder,
            train_samples=case.samples,
            batch=case.batch,
            epochs=case.epochs,
            seed=seed,
            **how,
        )
    )
    rows = learner.train()
    best = max(rows, key=lambda row: row.test_accuracy)
    print(
        f"{case.network}, batches of {case.batch}, {method}, seed {seed}: test accuracy {rows[-1].test_accuracy:.2%}, "
        f"best {best.test_accuracy:.2%} in epoch {best.epoch}, training loss {rows[-1].loss:.4f}, test loss "
        f"{rows[-1].test_loss:.4f}, t_grad {median(row.t_grad_s for row in rows) * 1e3:.2f} ms",
        flush=True,
    )
    facts = {**about(case, method, seed), "data": f"cifar10, {learner.note}", "momentum": how["momentum"]}
    return [{**facts, **row.to_dict()} for row in rows]


def sooner(scheduled: list[dict[str, Any]], adaptive: list[dict[str, Any]]) -> int | None:
    """Return the epoch in which the adaptive method first has what the scheduled one ends with, unless it diverged."""
    if not isfinite(float(scheduled[-1]["loss"])):
        return None
    wanted = float(scheduled[-1]["test_accuracy"])
    return next((int(row["epoch"]) for row in adaptive if float(row["test_accuracy"]) >= wanted), None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare adaptive with scheduled Nesterov on CIFAR-10.")
    parser.add_argument("--folder", required=True, help="where CIFAR-10's files are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--anew", action="store_true", help="forget what was trained before")
    options = parser.parse_args()
    rows = [] if options.anew else record.read("adaptive_nesterov")
    for case in CASES:
        for seed in range(options.seeds):
            for method in METHODS:
                if not record.matching(rows, **about(case, method, seed)):
                    rows += trained(case, method, seed, options.folder)
                    record.write("adaptive_nesterov", rows, ("jax", "flax", "optax"))
            reached = sooner(*(record.matching(rows, **about(case, method, seed)) for method in METHODS))
            print(
                f"{case.network}, batches of {case.batch}, seed {seed}: adaptive is as good as the end of scheduled in "
                f"epoch {reached}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
