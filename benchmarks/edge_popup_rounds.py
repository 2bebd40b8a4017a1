"""What do K and M change in distributed edge-popup, by round and by sample?

The fully connected network of document 000 on MNIST, binarised as its published program does: 50,000 samples to train,
scores from zero, focal loss, batches of 4. The baseline is one node that has all samples and passes once over them in a
"round". One process plays all nodes, so that its seconds say nothing of K machines; samples do.

    python benchmarks/edge_popup_rounds.py --folder DIR [--seeds 3] [--rounds 5]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from statistics import median
from typing import Any

import record

from calibrate.datasets import load_dataset
from calibrate.learning.distributed import DistributedEdgePopup, Rounds

SAMPLES = 50_000
GRID = (
    Rounds(nodes=1, samples=SAMPLES, epochs=1),
    Rounds(nodes=1, samples=5000),
    Rounds(nodes=5, samples=5000),
    Rounds(nodes=10, samples=5000),
    Rounds(nodes=20, samples=5000),
    Rounds(nodes=10, samples=1000),
    Rounds(nodes=10, samples=2500),
    Rounds(nodes=10, samples=5000, merge="mean"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="Vary K and M of distributed edge-popup.")
    parser.add_argument("--folder", required=True, help="where MNIST's files are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    whole = load_dataset("mnist", options.folder)
    data = replace(whole, train_inputs=whole.train_inputs[:SAMPLES], train_labels=whole.train_labels[:SAMPLES])
    rows: list[dict[str, Any]] = []
    for how in GRID:
        reached: list[list[float]] = [[] for _ in range(options.rounds)]
        for seed in range(options.seeds):
            played = DistributedEdgePopup(replace(how, rounds=options.rounds, seed=seed), data)
            for number in range(options.rounds):
                row = played.round()
                reached[number].append(row.test_loss)
                about = {"nodes": how.nodes, "samples": how.samples, "epochs": how.epochs, "merge": how.merge}
                rows.append({**about, "training_seed": seed, **row.to_dict()})
        losses = " ".join(f"{median(losses):.4f}" for losses in reached)
        seen = how.nodes * how.epochs * how.samples
        print(
            f"K = {how.nodes}, M = {how.samples}, {how.merge}: test loss {losses}; {seen:,} samples a round", flush=True
        )
        path = record.write("edge_popup_rounds", rows, ("jax", "flax", "optax"))
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
