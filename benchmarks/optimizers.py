"""Do the optimizers of document 002 rank as it says, at the rates it prints and at rates of their own?

Its network on Fashion-MNIST, in batches of 64, pixels between 0 and 1, all optimizers for as many updates. An order at
one rate says as much about the rate as about the optimizers. So each is also trained at a rate that was chosen for it:
from the printed one up or down by roots of ten for as long as the loss of training samples that were held out falls,
with a seed that no result has. What was trained already is kept, so that an interrupted run goes on where it was.

    python benchmarks/optimizers.py --folder DIR [--seeds 3] [--epochs 3] [--samples 8000] [--held-out 2000] [--anew]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from statistics import median
from typing import Any

import record

from calibrate.learning import Learner, Settings

PRINTED = {
    "sgd": (1e-3, "002"),
    "momentum": (1e-3, "002"),
    "nesterov": (1e-3, "002"),
    "rmsprop": (1e-3, "002"),
    "adam_hat": (1e-3, "002"),
    # 002 names it and prints no rate.
    "adagrad": (1e-2, "003"),
    # Not in 002; its author's version has no rate to choose, which is a rate of 1.
    "adadelta": (1.0, "Zeiler"),
}
LADDER = 10**0.5


def trained(settings: Settings, kind: str, source: str) -> list[dict[str, Any]]:
    """Train once, and return a row an epoch."""
    learner = Learner(settings)
    rows = learner.train()
    last = rows[-1]
    print(
        f"{kind:8} {settings.algorithm:9} rate {settings.learning_rate:<8.3g} seed {settings.seed}: test accuracy "
        f"{last.test_accuracy:.2%}, training loss {last.loss:.4f}, test loss {last.test_loss:.4f}, "
        f"{sum(row.time_s for row in rows):.0f} s",
        flush=True,
    )
    about = {
        "kind": kind,
        "algorithm": settings.algorithm,
        "learning_rate": settings.learning_rate,
        "rate_from": source,
        "batch": settings.samples,
        "train_samples": settings.train_samples,
        "held_out": 0 if settings.held_out is None else settings.held_out,
        "training_seed": settings.seed,
    }
    return [{**about, **row.to_dict()} for row in rows]


def search(settings: Settings, held_out: int) -> tuple[float, list[dict[str, Any]]]:
    """Return the rate at which the loss of held-out samples is lowest among its neighbours, and all that was tried."""
    start, tried = settings.learning_rate or 1.0, dict[int, list[dict[str, Any]]]()

    def loss(place: int) -> float:
        if place not in tried:
            rate = float(f"{start * LADDER**place:.3g}")
            tried[place] = trained(replace(settings, held_out=held_out, learning_rate=rate), "search", "ladder")
        return float(tried[place][-1]["test_loss"])

    best = 0
    for way in (1, -1):
        while loss(best + way) < loss(best):
            best += way
    return float(tried[best][-1]["learning_rate"]), [row for rows in tried.values() for row in rows]


def told(rows: list[dict[str, Any]], kind: str) -> None:
    """Print the order of the last epochs."""
    end = max(int(row["epoch"]) for row in rows)
    last = [row for row in rows if row["kind"] == kind and int(row["epoch"]) == end]
    reached = {name: [row for row in last if row["algorithm"] == name] for name in PRINTED}
    for column, better in (("test_accuracy", -1), ("loss", 1)):
        names = sorted(reached, key=lambda name: better * median(float(row[column]) for row in reached[name]))
        print(f"{kind}, by {column}: {', '.join(names)}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Rank optimizers on Fashion-MNIST.")
    parser.add_argument("--folder", required=True, help="where Fashion-MNIST's files are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=8000, help="training samples")
    parser.add_argument("--held-out", type=int, default=2000, help="training samples that choose the rates")
    parser.add_argument("--anew", action="store_true", help="forget what was trained before")
    options = parser.parse_args()
    rows = [] if options.anew else record.read("optimizers")
    for name, (rate, source) in PRINTED.items():
        if record.matching(rows, algorithm=name):
            continue
        settings = Settings(
            network="neri_fashion_cnn",
            algorithm=name,
            data="fashion_mnist",
            folder=options.folder,
            unit=True,
            train_samples=options.samples,
            batch=64,
            epochs=options.epochs,
            learning_rate=rate,
            seed=options.seeds,
        )
        chosen, tried = search(settings, options.held_out)
        rows += tried
        for kind, own, origin in (("printed", rate, source), ("chosen", chosen, "held-out samples")):
            for seed in range(options.seeds):
                rows += trained(replace(settings, learning_rate=own, seed=seed), kind, origin)
        print(f"wrote {record.write('optimizers', rows, ('jax', 'flax', 'optax'))}", flush=True)
    for kind in ("printed", "chosen"):
        told(rows, kind)
    return 0


if __name__ == "__main__":
    sys.exit(main())
