r"""Do steps to a target loss follow the noise scale that was measured at one batch size?

Small networks of this project under plain SGD, from the same first weights for a seed, until the loss of held-out
samples is below a target; at each of several batch sizes. Rates are treated in two ways:

* `tuned`: at each batch size the rate with the fewest steps, found by going up and down a ladder of roots of two, with
  a seed that no result has. Nothing here knows of a noise scale.
* `rule`: as theory says, lr = lr_max / (1 + B_n / m) (E.4), where lr_max follows from the tuned rate of the reference
  batch alone. If lr_max were far below what curvature allows, steps would follow the rule whatever B_n is; so this kind
  says whether the rule can replace tuning, and only `tuned` tests B_n.

The prediction for a batch m is S(m0) (1 + B_n / m) / (1 + B_n / m0): steps and noise scale of the reference batch m0,
of the same seed. B_n is the average over the run that `speedup.efficiency.run_average` describes; beside it stand what
other averages would have predicted. What was trained already is kept, so that an interrupted run goes on.

    python benchmarks/noise_scale.py --folder DIR [--seeds 3] [--cases mnist fashion_mnist] [--anew]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import record

from calibrate.architectures import architecture
from calibrate.datasets import load_dataset
from calibrate.noise_scale import NoiseMeter, Pair, training_norms
from calibrate.training.algorithms import algorithm
from calibrate.training.problem import mean_cross_entropy, network_problem
from calibrate.training.step import TrainingRun
from speedup.efficiency import steps_factor

if TYPE_CHECKING:
    from collections.abc import Iterator

LADDER = math.sqrt(2)
HELD_OUT = 2000
PARTS = 8
SMOOTHED = 5
"""Evaluations whose median counts, because a held-out loss goes up and down from step to step."""


@dataclass(frozen=True)
class Case:
    """What is trained, and how far."""

    data: str
    network: str
    target: float
    batches: tuple[int, ...]
    reference: int
    rate: float
    limit: int


CASES = {
    "mnist": Case("mnist", "nardini_mlp", 0.12, (8, 16, 32, 64, 128, 256, 512, 1024, 2048), 64, 0.35, 6000),
    "fashion_mnist": Case("fashion_mnist", "neri_fashion_cnn", 0.55, (8, 16, 32, 64, 128, 256, 512), 64, 0.1, 4000),
}


class Trainer:
    """A network, its samples on the device, and compiled steps."""

    def __init__(self, case: Case, folder: str) -> None:
        self.case, self._entry = case, architecture(case.network)
        data = replace(load_dataset(case.data, folder), unit=False).limited(None, HELD_OUT)
        shape = self._entry.input_shape
        self._inputs, self._labels = jnp.asarray(data.standardised(data.train_inputs, shape)), data.train_labels
        self._labels = jnp.asarray(self._labels)
        self._test = jnp.asarray(data.standardised(data.test_inputs, shape)), jnp.asarray(data.test_labels)
        self._run = TrainingRun(network_problem(self._entry), algorithm("sgd"))
        self._norms = training_norms(self._run, PARTS)

    @cached_property
    def _chunk(self) -> Any:  # noqa: ANN401 - a compiled function
        run = self._run

        def step(carry: Any, rows: jax.Array) -> tuple[Any, None]:  # noqa: ANN401 - a state and a rate
            leaves, rate = carry
            moving = run.unflattened(leaves)
            _, gradient, _ = run.derived(run.frozen, moving, (self._inputs[rows], self._labels[rows]))
            trained = jax.tree.map(lambda weights, slope: weights - rate * slope, moving.trained, gradient)
            return (tuple(jax.tree.leaves(moving._replace(trained=trained))), rate), None

        def chunk(leaves: Any, rate: float, rows: jax.Array) -> tuple[Any, jax.Array]:  # noqa: ANN401 - a state
            (leaves, _), _ = jax.lax.scan(step, (leaves, rate), rows)
            moving = run.unflattened(leaves)
            logits = run.logits(moving.trained, run.frozen, moving, self._test[0])
            return leaves, mean_cross_entropy(logits, self._test[1])

        return jax.jit(chunk)

    def _first(self, seed: int) -> Any:  # noqa: ANN401 - a state
        fresh = TrainingRun(network_problem(self._entry, seed=seed), algorithm("sgd"), seed=seed)
        return fresh.state

    def _rows(self, batch: int, seed: int, first: int) -> Iterator[np.ndarray]:
        """Yield samples of batches, without end: each of all samples once before any comes again."""
        random, left = np.random.default_rng([seed, batch, first]), np.empty(0, np.int64)
        while True:
            while len(left) < batch:
                left = np.concatenate([left, random.permutation(len(self._labels))])
            yield left[:batch]
            left = left[batch:]

    def trained(self, batch: int, rate: float, seed: int, limit: float) -> tuple[float, NoiseMeter, float]:
        """Train to the target; return the steps, infinite beyond the limit, the pairs measured, and the seconds."""
        case, begin = self.case, time.perf_counter()
        each = max(1, 256 // batch)
        meter = NoiseMeter(case.reference, PARTS * case.reference, batch=batch, algorithm="sgd")
        rows, fresh = self._rows(batch, seed, 0), self._rows(PARTS * case.reference, seed, 1)
        leaves, losses, steps = self._first(seed), list[float](), 0
        while steps < limit:
            some = next(fresh)
            small, big, loss = map(
                float, self._norms(self._run.frozen, leaves, (self._inputs[some], self._labels[some]))
            )
            meter.add(Pair(small, big, steps, loss))
            leaves, found = self._chunk(leaves, rate, np.stack([next(rows) for _ in range(each)]))
            steps += each
            losses.append(float(found))
            if not losses[-1] < 20:
                break
            crossed = crossing(losses, case.target)
            if crossed is not None:
                return crossed * each, meter, time.perf_counter() - begin
        return math.inf, meter, time.perf_counter() - begin


def crossing(losses: list[float], target: float) -> float | None:
    """Return at which evaluation, from 1 and with a fraction, the running median falls below the target."""
    half = SMOOTHED // 2
    if len(losses) < SMOOTHED + 1:
        return None
    before, after = median(losses[-SMOOTHED - 1 : -1]), median(losses[-SMOOTHED:])
    if after >= target:
        return None
    share = (before - target) / (before - after) if before > target else 0.0
    return len(losses) - half - 1 + share


def row_of(trainer: Trainer, kind: str, batch: int, rate: float, seed: int, limit: float) -> dict[str, Any]:
    """Train once, and return what was found."""
    steps, meter, time_s = trainer.trained(batch, rate, seed, limit)
    run, latest = meter.over_run(), meter.latest()
    case = trainer.case
    shown = f"{run.value:.0f}" if run.value else "not resolved"
    print(
        f"{case.data} {kind:6} batch {batch:5} rate {rate:<7.3g} seed {seed}: {steps:8.1f} steps, noise {shown}, "
        f"{time_s:.1f} s",
        flush=True,
    )
    return {
        "data": case.data,
        "network": case.network,
        "target": case.target,
        "kind": kind,
        "batch": batch,
        "learning_rate": f"{rate:.4g}",
        "training_seed": seed,
        "steps": f"{steps:.2f}",
        "noise_run": run.value or "",
        "noise_run_low": run.low,
        "noise_run_high": run.high or "",
        "noise_latest": latest.value or "",
        "squared_gradient": run.squared_gradient,
        "variance": run.variance,
        "pairs": run.pairs,
        "time_s": f"{time_s:.2f}",
    }


def tuned(trainer: Trainer, batch: int, start: int, seed: int) -> list[dict[str, Any]]:
    """Go up and down the ladder from a place on it; return all that was tried, the best last."""
    tried = dict[int, dict[str, Any]]()
    limit = float(trainer.case.limit)

    def steps(place: int) -> float:
        if place not in tried:
            known = [float(row["steps"]) for row in tried.values()]
            # Half as many again as the best so far is enough to know that it is no better.
            most = min([limit, *(1.5 * found for found in known)])
            tried[place] = row_of(trainer, "search", batch, trainer.case.rate * LADDER**place, seed, most)
        return float(tried[place]["steps"])

    best = start
    while steps(best) == math.inf:
        best -= 1
    for way in (1, -1):
        while steps(best + way) < steps(best):
            best += way
    return [row for place, row in tried.items() if place != best] + [tried[best]]


def rule_rate(rows: list[dict[str, Any]], case: Case, batch: int) -> float:
    """Return the rate that E.4 says for a batch from the reference's."""
    own = [row for row in rows if row["kind"] == "tuned" and int(row["batch"]) == case.reference]
    noise = median(float(row["noise_run"]) for row in own)
    return float(own[0]["learning_rate"]) * float(steps_factor(noise, case.reference) / steps_factor(noise, batch))


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with what the reference run of the seed predicts for them."""
    found = []
    for row in rows:
        case = CASES[row["data"]]
        own = [
            one
            for one in rows
            if (one["kind"], one["data"], str(one["training_seed"]))
            == ("tuned", row["data"], str(row["training_seed"]))
            and int(one["batch"]) == case.reference
        ]
        predicted = error = ""
        if own and own[0]["noise_run"] and row["kind"] != "search":
            noise = float(own[0]["noise_run"])
            ratio = steps_factor(noise, int(row["batch"])) / steps_factor(noise, case.reference)
            steps = float(own[0]["steps"]) * float(ratio)
            predicted, error = f"{steps:.2f}", f"{steps / float(row['steps']) - 1:.4f}"
        found.append({**row, "predicted": predicted, "error": error})
    return found


def told(rows: list[dict[str, Any]], data: str) -> None:
    """Print measured and predicted steps of each batch size."""
    for kind in ("tuned", "rule"):
        own = [row for row in rows if row["kind"] == kind and row["data"] == data and row["predicted"]]
        for batch in dict.fromkeys(int(row["batch"]) for row in own):
            some = [row for row in own if int(row["batch"]) == batch]
            steps, predicted = (median(float(row[name]) for row in some) for name in ("steps", "predicted"))
            errors = ", ".join(f"{float(row['error']):+.0%}" for row in some)
            print(f"{data} {kind:5} batch {batch:5}: {steps:7.1f} measured, {predicted:7.1f} predicted: {errors}")


def measured(rows: list[dict[str, Any]], trainer: Trainer, seeds: int) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows after each batch size that is done."""
    case = trainer.case

    def have(kind: str, batch: int) -> list[dict[str, Any]]:
        return [row for row in rows if (row["data"], row["kind"], int(row["batch"])) == (case.data, kind, batch)]

    # The reference first, and each batch size from the place of its neighbour.
    for batch in sorted(case.batches, key=lambda one: abs(math.log(one / case.reference))):
        if have("tuned", batch):
            continue
        guess = -round(2 * math.log2((1 + 200 / batch) / (1 + 200 / case.reference)))
        found = tuned(trainer, batch, guess, seeds)
        rate = float(found[-1]["learning_rate"])
        rows += found + [row_of(trainer, "tuned", batch, rate, seed, case.limit) for seed in range(seeds)]
        yield rows
    for batch in case.batches:
        if not have("rule", batch):
            rate = rule_rate([row for row in rows if row["data"] == case.data], case, batch)
            rows += [row_of(trainer, "rule", batch, rate, seed, case.limit) for seed in range(seeds)]
            yield rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Steps to a target loss against batch size.")
    parser.add_argument("--folder", required=True, help="where the files of the data sets are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--anew", action="store_true", help="forget what was trained before")
    options = parser.parse_args()
    rows = [] if options.anew else record.read("noise_scale")
    for name in options.cases:
        for rows in measured(rows, Trainer(CASES[name], options.folder), options.seeds):  # noqa: B020 - they grow
            record.write("noise_scale", judged(rows), ("jax", "flax", "optax"))
        told(judged(rows), name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
