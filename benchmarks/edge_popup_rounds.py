"""What do K and M change in distributed edge-popup, by round and by sample?

The fully connected network of document 000 on MNIST, binarised as its published program does: 50,000 samples to train,
scores from zero, focal loss, batches of 4. The baseline is one node that has all samples and passes once over them in a
"round". One process plays all nodes, so that its seconds say nothing of K machines; samples do.

What was played already is kept, so that an interrupted run goes on where it was.

    python benchmarks/edge_popup_rounds.py --folder DIR [--seeds 3] [--rounds 5] [--anew]
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
    Rounds(nodes=10, samples=1000),
    Rounds(nodes=10, samples=2500),
    Rounds(nodes=10, samples=2500, merge="mean"),
    Rounds(nodes=20, samples=5000),
)


def configuration(how: Rounds) -> dict[str, Any]:
    """Return what tells one configuration from another."""
    return {"nodes": how.nodes, "samples": how.samples, "epochs": how.epochs, "merge": how.merge}


def main() -> int:
    parser = argparse.ArgumentParser(description="Vary K and M of distributed edge-popup.")
    parser.add_argument("--folder", required=True, help="where MNIST's files are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--anew", action="store_true", help="forget what was played before")
    options = parser.parse_args()
    whole = load_dataset("mnist", options.folder)
    data = replace(whole, train_inputs=whole.train_inputs[:SAMPLES], train_labels=whole.train_labels[:SAMPLES])
    rows = [] if options.anew else record.read("edge_popup_rounds")
    for how in GRID:
        for seed in range(options.seeds):
            about = {**configuration(how), "training_seed": seed}
            if not record.matching(rows, **about):
                played = DistributedEdgePopup(replace(how, rounds=options.rounds, seed=seed), data)
                rows += [{**about, **played.round().to_dict()} for _ in range(options.rounds)]
                record.write("edge_popup_rounds", rows, ("jax", "flax", "optax"))
        print(line(how, rows), flush=True)
    return 0


def line(how: Rounds, rows: list[dict[str, Any]]) -> str:
    """Return what a configuration reached, round by round, the median over its seeds."""
    reached: dict[int, list[float]] = {}
    for row in record.matching(rows, **configuration(how)):
        reached.setdefault(int(row["round"]), []).append(float(row["test_loss"]))
    losses = " ".join(f"{median(reached[number]):.4f}" for number in sorted(reached))
    seen = how.nodes * how.epochs * how.samples
    return f"K = {how.nodes}, M = {how.samples}, {how.merge}: test loss {losses}; {seen:,} samples a round"


if __name__ == "__main__":
    sys.exit(main())
