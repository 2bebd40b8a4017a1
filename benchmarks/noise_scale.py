r"""Do steps to a target loss follow the noise scale that was measured at one batch size?

A small network of this project under plain SGD, from first weights of the seed, until the loss of held-out samples is
below a target; at each of several batch sizes. Rates are chosen in two ways:

* `tuned`: at each batch size the rate with the fewest steps, found by going up and down a ladder of roots of two, with
  seeds that no result has. Nothing here knows of a noise scale.
* `rule`: as theory says, lr = lr_max / (1 + B_n / m) (E.4), where lr_max follows from the tuned rate of the largest
  batch. Where rates are far below what curvature allows, steps go as 1 / lr, and follow the rule whatever B_n is; so
  this kind says whether the rule can replace tuning, and only `tuned` tests B_n.

The prediction for a batch m is S(m0) (1 + B_n / m) / (1 + B_n / m0): steps and noise scale of the reference batch m0,
of the same seed and kind. B_n is the average over the run that `speedup.efficiency.run_average` describes. What was
trained already is kept, so that an interrupted run goes on where it was.

    python benchmarks/noise_scale.py --folder DIR [--seeds 5] [--cases mnist fashion_mnist] [--anew]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, median
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
SEARCHED = 3
"""Seeds whose steps choose a rate."""
PARTS = 8
SMOOTHED = 9
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


_BATCHES = tuple(2**power for power in range(3, 11))
CASES = {
    "mnist": Case("mnist", "nardini_mlp", 0.12, _BATCHES, 64, 0.35, 6000),
    "fashion_mnist": Case("fashion_mnist", "nardini_mlp", 0.42, (16, 32, 64, 128, 256, 512), 64, 0.12, 8000),
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
        self._states = dict[int, Any]()

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
        if seed not in self._states:
            fresh = TrainingRun(network_problem(self._entry, seed=seed), algorithm("sgd"), seed=seed)
            self._states[seed] = fresh.state
        return self._states[seed]

    def _rows(self, batch: int, seed: int, first: int) -> Iterator[np.ndarray]:
        """Yield samples of batches, without end: each of all samples once before any comes again."""
        random, left = np.random.default_rng([seed, batch, first]), np.empty(0, np.int64)
        while True:
            while len(left) < batch:
                left = np.concatenate([left, random.permutation(len(self._labels))])
            yield left[:batch]
            left = left[batch:]

    def _measure(self, meter: NoiseMeter, leaves: Any, steps: int, some: np.ndarray) -> None:  # noqa: ANN401 - a state
        small, big, loss = self._norms(self._run.frozen, leaves, (self._inputs[some], self._labels[some]))
        meter.add(Pair(float(small), float(big), steps, float(loss)))

    def trained(
        self, batch: int, rate: float, seed: int, limit: float, *, noise: bool
    ) -> tuple[float, NoiseMeter | None, float]:
        """Train to the target; return the steps, infinite beyond the limit, the pairs measured, and the seconds."""
        case, begin = self.case, time.perf_counter()
        each = max(1, 256 // batch)
        meter = NoiseMeter(case.reference, PARTS * case.reference, batch=batch, algorithm="sgd") if noise else None
        rows, fresh = self._rows(batch, seed, 0), self._rows(PARTS * case.reference, seed, 1)
        leaves, losses, steps = self._first(seed), list[float](), 0
        while steps < limit:
            if meter:
                self._measure(meter, leaves, steps, next(fresh))
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
    steps, meter, time_s = trainer.trained(batch, rate, seed, limit, noise=kind != "search")
    case, noise = trainer.case, {} if meter is None else meter.over_run().to_dict()
    shown = f", noise scale {noise['value'] or math.nan:.0f}" if noise else ""
    about = f"{case.data} {kind:6} batch {batch:5} rate {rate:<7.3g} seed {seed}"
    print(f"{about}: {steps:8.1f} steps{shown}, {time_s:.1f} s", flush=True)
    return {
        "data": case.data,
        "network": case.network,
        "target": case.target,
        "kind": kind,
        "batch": batch,
        "learning_rate": f"{rate:.4g}",
        "training_seed": seed,
        "steps": f"{steps:.2f}",
        "noise_scale": noise.get("value"),
        "low": noise.get("low"),
        "high": noise.get("high"),
        "adapted": None if meter is None else meter.over_run(adapted=True).value,
        "latest": None if meter is None else meter.latest().value,
        "squared_gradient": noise.get("squared_gradient"),
        "variance": noise.get("variance"),
        "pairs": noise.get("pairs"),
        "time_s": f"{time_s:.2f}",
    }


def tuned(trainer: Trainer, batch: int, start: int, seeds: range) -> list[dict[str, Any]]:
    """Go up and down the ladder from a place on it; return all that was tried, the best last."""
    tried, found = dict[int, list[dict[str, Any]]](), dict[int, float]()
    limit = float(trainer.case.limit)

    def steps(place: int) -> float:
        if place not in found:
            # Half as many again as the best so far is enough to know that it is no better.
            most, rate = min([limit, *(1.5 * known for known in found.values())]), trainer.case.rate * LADDER**place
            tried[place], found[place] = [], math.inf
            for seed in seeds:
                tried[place].append(row_of(trainer, "search", batch, rate, seed, most))
                if math.isinf(float(tried[place][-1]["steps"])):
                    return math.inf
            found[place] = math.exp(fmean(math.log(float(row["steps"])) for row in tried[place]))
        return found[place]

    best = start
    while steps(best) == math.inf:
        best -= 1
    for way in (1, -1):
        # The next rung but one as well: steps differ by more from seed to seed than from rung to rung.
        while steps(near := min((best + way, best + 2 * way), key=steps)) < steps(best):
            best = near
    return [row for place in sorted(tried, key=lambda one: one == best) for row in tried[place]]


def rule_rate(rows: list[dict[str, Any]], case: Case, batch: int) -> float:
    """Return the rate that E.4 says for a batch, from the rate of the largest and the noise scale of the reference."""

    def own(size: int) -> list[dict[str, Any]]:
        return [row for row in rows if row["kind"] == "tuned" and int(row["batch"]) == size]

    largest = max(case.batches)
    noise = median(float(row["noise_scale"]) for row in own(case.reference))
    return float(own(largest)[0]["learning_rate"]) * float(steps_factor(noise, largest) / steps_factor(noise, batch))


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with what the reference run of their seed predicts for them."""

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return row["data"], row["kind"], str(row["training_seed"])

    references = {key(row): row for row in rows if int(row["batch"]) == CASES[row["data"]].reference}
    found = []
    for row in rows:
        reference, columns = references.get(key(row)), {"predicted": "", "error": ""}
        if reference and reference["noise_scale"]:
            noise, base = float(reference["noise_scale"]), int(reference["batch"])
            ratio = steps_factor(noise, int(row["batch"])) / steps_factor(noise, base)
            steps = float(reference["steps"]) * float(ratio)
            # A run that diverged has no steps to be wrong about.
            error = "" if math.isinf(float(row["steps"])) else f"{steps / float(row['steps']) - 1:.4f}"
            columns = {"predicted": f"{steps:.2f}", "error": error}
        found.append(row | columns)
    return found


def told(rows: list[dict[str, Any]], data: str) -> None:
    """Print measured and predicted steps of each batch size."""
    for kind in ("tuned", "rule"):
        own = [row for row in rows if row["kind"] == kind and row["data"] == data and row["predicted"]]
        for batch in dict.fromkeys(int(row["batch"]) for row in own):
            some = [row for row in own if int(row["batch"]) == batch]
            steps, predicted = (median(float(row[name]) for row in some) for name in ("steps", "predicted"))
            errors = ", ".join(f"{float(row['error']):+.0%}" if row["error"] else "diverged" for row in some)
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
        found = [] if have("search", batch) else tuned(trainer, batch, guess, range(seeds, seeds + SEARCHED))
        rows += found
        rate = float(have("search", batch)[-1]["learning_rate"])
        rows += [row_of(trainer, "tuned", batch, rate, seed, case.limit) for seed in range(seeds)]
        yield rows
    for batch in case.batches:
        if not have("rule", batch):
            rate = rule_rate([row for row in rows if row["data"] == case.data], case, batch)
            rows += [row_of(trainer, "rule", batch, rate, seed, case.limit) for seed in range(seeds)]
            yield rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Steps to a target loss against batch size.")
    parser.add_argument("--folder", required=True, help="where the files of the data sets are")
    parser.add_argument("--seeds", type=int, default=5)
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
