r"""Do steps to a target loss follow the noise scale that was measured at one batch size?

A small network of this project, from first weights of the seed, until the loss of held-out samples is below a target;
at each of several batch sizes. Cases differ in data, network and algorithm. Rates are chosen in two ways:

* `tuned`: at each batch size the rate with the fewest steps, found by going up and down a ladder of roots of two, with
  seeds that no result has. Nothing here knows of a noise scale.
* `rule`: as theory says, lr = lr_max / (1 + B_n / m) (E.4), where lr_max follows from the tuned rate of the largest
  batch. Where rates are far below what curvature allows, steps go as 1 / lr, and follow the rule whatever B_n is; so
  this kind says whether the rule can replace tuning, and only `tuned` tests B_n. For the cases of plain SGD on the
  perceptron alone.

The prediction for a batch m is S(m0) (1 + B_n / m) / (1 + B_n / m0): steps and noise scale of the reference batch m0,
of the same seed and kind. B_n is the average over the run that `speedup.efficiency.run_average` describes, of the
gradients that `speedup train --noise-scale` takes: those of Adam are divided by the root of its second moments. Other
readings are measured beside it, from the same samples:

* `plain`: gradients as they are, where the optimizer has second moments.
* `fourth_root`: divided by the fourth root of the second moments, the metric in which Adam's step is plain descent.
* `own_masks`: dropout masks drawn anew for each part of the big batch, so that they are noise like the samples'.

What was trained already is kept, so that an interrupted run goes on where it was.

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
import optax
import record

from calibrate.architectures import architecture
from calibrate.datasets import load_dataset
from calibrate.noise_scale import NoiseMeter, Pair, preconditioned, second_moments
from calibrate.training.algorithms import algorithm
from calibrate.training.problem import mean_cross_entropy, network_problem
from calibrate.training.step import Moving, TrainingRun
from speedup.efficiency import steps_factor

if TYPE_CHECKING:
    from collections.abc import Iterator

LADDER = math.sqrt(2)
PARTS = 8
SMOOTHED = 9
"""Evaluations whose median counts, because a held-out loss goes up and down from step to step."""
READINGS = ("plain", "fourth_root", "own_masks")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained, and how far.

    Attributes:
        data: The data set.
        network: The network.
        algorithm: The training algorithm.
        target: Loss of held-out samples at which a run ends.
        batches: Batch sizes.
        reference: The one whose runs predict the others.
        rate: A place on the ladder of rates.
        limit: Steps at most.
        samples: Samples between two evaluations, if the batch is no larger.
        held_out: Samples whose loss counts.
        searched: Seeds whose steps choose a rate.
        rule: Whether rates as theory says are tried as well.
    """

    data: str
    network: str = "nardini_mlp"
    algorithm: str = "sgd"
    target: float
    batches: tuple[int, ...]
    reference: int = 64
    rate: float
    limit: int
    samples: int = 256
    held_out: int = 2000
    searched: int = 3
    rule: bool = False


_BATCHES = tuple(2**power for power in range(3, 11))
CASES = {
    "mnist": Case(data="mnist", target=0.12, batches=_BATCHES, rate=0.35, limit=6000, rule=True),
    "fashion_mnist": Case(
        data="fashion_mnist", target=0.42, batches=(16, 32, 64, 128, 256, 512), rate=0.12, limit=8000, rule=True
    ),
    "cnn": Case(
        data="fashion_mnist",
        network="neri_fashion_cnn",
        target=0.75,
        batches=(4, 8, 16, 32, 64, 128),
        reference=16,
        rate=0.035,
        limit=2000,
        samples=128,
        held_out=1000,
        searched=2,
    ),
    "momentum": Case(data="mnist", algorithm="momentum", target=0.12, batches=_BATCHES, rate=0.035, limit=6000),
    "adam": Case(
        data="mnist",
        algorithm="adam",
        target=0.12,
        batches=(16, 32, 64, 128, 256, 512),
        rate=0.001,
        limit=6000,
        searched=2,
    ),
}


def other_masks(rest: Any, part: jax.Array) -> Any:  # noqa: ANN401 - pytrees
    """Return what a network carries without a gradient, with other dropout masks ahead for each part."""
    counters = jnp.uint32
    return jax.tree.map(lambda leaf: leaf + part * 65536 if leaf.dtype == counters else leaf, rest)


class Trainer:
    """A network, its samples on the device, and compiled steps."""

    def __init__(self, case: Case, folder: str) -> None:
        self.case, self._entry = case, architecture(case.network)
        # Steps are proportional to the rate, so that one compiled step serves all of them.
        self._algorithm = algorithm(case.algorithm).at_rate(1.0)
        data = replace(load_dataset(case.data, folder), unit=False).limited(None, case.held_out)
        shape = self._entry.input_shape
        self._inputs, self._labels = jnp.asarray(data.standardised(data.train_inputs, shape)), data.train_labels
        self._labels = jnp.asarray(self._labels)
        self._test = jnp.asarray(data.standardised(data.test_inputs, shape)), jnp.asarray(data.test_labels)
        self._run = TrainingRun(network_problem(self._entry), self._algorithm)
        self._masked = bool(jax.tree.leaves(self._run.unflattened(self._run.state).rest))
        self._states = dict[int, Any]()

    @cached_property
    def _step(self) -> Any:  # noqa: ANN401 - a compiled function
        # One step a call: inside a loop that XLA compiles for a CPU, convolutions take several times as long.
        run, optimizer = self._run, optax.with_extra_args_support(self._algorithm.optimizer)

        def step(leaves: Any, rate: float, rows: jax.Array) -> Any:  # noqa: ANN401 - a state
            moving = run.unflattened(leaves)
            batch = self._inputs[rows], self._labels[rows]
            value, gradient, (carried, rest) = run.derived(run.frozen, moving, batch)
            updates, state = optimizer.update(gradient, moving.optimizer, moving.trained, value=value)
            trained = optax.apply_updates(moving.trained, jax.tree.map(lambda one: rate * one, updates))
            return tuple(jax.tree.leaves(Moving(trained, carried, rest, state)))

        return jax.jit(step)

    @cached_property
    def _held_out(self) -> Any:  # noqa: ANN401 - a compiled function
        run = self._run

        def loss(leaves: Any) -> jax.Array:  # noqa: ANN401 - a state
            moving = run.unflattened(leaves)
            return mean_cross_entropy(run.logits(moving.trained, run.frozen, moving, self._test[0]), self._test[1])

        return jax.jit(loss)

    @cached_property
    def _gradients(self) -> Any:  # noqa: ANN401 - a compiled function
        """Loss and gradients of a part of a batch, by how they are read; the first is what the product takes."""
        run = self._run

        def gradients(leaves: Any, rows: jax.Array, part: jax.Array) -> tuple[jax.Array, dict[str, Any]]:  # noqa: ANN401
            moving = run.unflattened(leaves)
            batch = self._inputs[rows], self._labels[rows]
            value, plain, _ = run.derived(run.frozen, moving, batch)
            moments = second_moments(moving.optimizer)
            if moments is not None:
                roots = jax.tree.map(jnp.sqrt, moments)
                own = {"noise_scale": preconditioned(plain, moments), "fourth_root": preconditioned(plain, roots)}
                return value, own | {"plain": plain}
            if not self._masked:
                return value, {"noise_scale": plain}
            other = moving._replace(rest=other_masks(moving.rest, part))
            return value, {"noise_scale": plain, "own_masks": run.derived(run.frozen, other, batch)[1]}

        return jax.jit(gradients)

    def _first(self, seed: int) -> Any:  # noqa: ANN401 - a state
        if seed not in self._states:
            fresh = TrainingRun(network_problem(self._entry, seed=seed), self._algorithm, seed=seed)
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

    def _measure(self, meters: dict[str, NoiseMeter], leaves: Any, steps: int, some: np.ndarray) -> None:  # noqa: ANN401
        """Add a pair to each reading's meter; what `calibrate.noise_scale.squared_norms` does in a compiled loop."""
        found = [self._gradients(leaves, rows, part) for part, rows in enumerate(np.split(some, PARTS))]
        loss = fmean(float(value) for value, _ in found)
        for name in found[0][1]:
            own = [gradients[name] for _, gradients in found]
            small = fmean(float(optax.tree_utils.tree_norm(one, squared=True)) for one in own)
            mean = jax.tree.map(lambda *parts: sum(parts) / PARTS, *own)
            big = float(optax.tree_utils.tree_norm(mean, squared=True))
            if name not in meters:
                meters[name] = NoiseMeter(len(some) // PARTS, len(some), algorithm=self.case.algorithm)
            meters[name].add(Pair(small, big, steps, loss))

    def trained(
        self, batch: int, rate: float, seed: int, limit: float, *, noise: bool
    ) -> tuple[float, dict[str, NoiseMeter], float]:
        """Train to the target; return the steps, infinite beyond the limit, the pairs measured, and the seconds."""
        case, begin = self.case, time.perf_counter()
        each, meters = max(1, case.samples // batch), dict[str, NoiseMeter]()
        rows, fresh = self._rows(batch, seed, 0), self._rows(PARTS * case.reference, seed, 1)
        leaves, losses, steps = self._first(seed), list[float](), 0
        while steps < limit:
            if noise:
                self._measure(meters, leaves, steps, next(fresh))
            for _ in range(each):
                leaves = self._step(leaves, rate, next(rows))
            steps += each
            losses.append(float(self._held_out(leaves)))
            if not losses[-1] < 20:
                break
            crossed = crossing(losses, case.target)
            if crossed is not None:
                return crossed * each, meters, time.perf_counter() - begin
        return math.inf, meters, time.perf_counter() - begin


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


def row_of(trainer: Trainer, name: str, kind: str, batch: int, rate: float, seed: int, limit: float) -> dict[str, Any]:
    """Train once, and return what was found."""
    steps, meters, time_s = trainer.trained(batch, rate, seed, limit, noise=kind != "search")
    case, meter = trainer.case, meters.get("noise_scale")
    noise = {} if meter is None else meter.over_run().to_dict()
    shown = f", noise scale {noise['value'] or math.nan:.0f}" if noise else ""
    about = f"{name} {kind:6} batch {batch:5} rate {rate:<7.3g} seed {seed}"
    print(f"{about}: {steps:8.1f} steps{shown}, {time_s:.1f} s", flush=True)
    return {
        "case": name,
        "data": case.data,
        "network": case.network,
        "algorithm": case.algorithm,
        "target": case.target,
        "reference": case.reference,
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
        **{reading: meters[reading].over_run().value if reading in meters else None for reading in READINGS},
        "squared_gradient": noise.get("squared_gradient"),
        "variance": noise.get("variance"),
        "pairs": noise.get("pairs"),
        "time_s": f"{time_s:.2f}",
    }


def tuned(trainer: Trainer, name: str, batch: int, start: int, limit: float, seeds: range) -> list[dict[str, Any]]:
    """Go up and down the ladder from a place on it; return all that was tried, the best last."""
    tried, found = dict[int, list[dict[str, Any]]](), dict[int, float]()

    def steps(place: int) -> float:
        if place not in found:
            # Half as many again as the best so far is enough to know that it is no better.
            most, rate = min([limit, *(1.5 * known for known in found.values())]), trainer.case.rate * LADDER**place
            tried[place], found[place] = [], math.inf
            for seed in seeds:
                tried[place].append(row_of(trainer, name, "search", batch, rate, seed, most))
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
        return row["case"], row["kind"], str(row["training_seed"])

    references = {key(row): row for row in rows if int(row["batch"]) == CASES[row["case"]].reference}
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


def told(rows: list[dict[str, Any]], name: str) -> None:
    """Print measured and predicted steps of each batch size."""
    for kind in ("tuned", "rule"):
        own = [row for row in rows if row["kind"] == kind and row["case"] == name and row["predicted"]]
        for batch in dict.fromkeys(int(row["batch"]) for row in own):
            some = [row for row in own if int(row["batch"]) == batch]
            steps, predicted = (median(float(row[name]) for row in some) for name in ("steps", "predicted"))
            errors = ", ".join(f"{float(row['error']):+.0%}" if row["error"] else "diverged" for row in some)
            print(f"{name} {kind:5} batch {batch:5}: {steps:7.1f} measured, {predicted:7.1f} predicted: {errors}")


def start_of(rows: list[dict[str, Any]], name: str, batch: int) -> tuple[int, float]:
    """Return where on the ladder the search begins, and the steps it may take at most, from the nearest batch size."""
    case = CASES[name]
    done = [row for row in rows if row["case"] == name and row["kind"] == "tuned"]
    if not done:
        return 0, float(case.limit)
    near = min((int(row["batch"]) for row in done), key=lambda one: abs(math.log(one / batch)))
    own = [row for row in done if int(row["batch"]) == near]
    place = round(math.log(float(own[0]["learning_rate"]) / case.rate, LADDER))
    # Half of the batch needs at most twice the steps; a run that is lost shall not go on for long.
    return place, min(float(case.limit), 3.0 * median(float(row["steps"]) for row in own))


def measured(rows: list[dict[str, Any]], name: str, trainer: Trainer, seeds: int) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows after each batch size that is done."""
    case = trainer.case

    def have(kind: str, batch: int) -> list[dict[str, Any]]:
        return [row for row in rows if (row["case"], row["kind"], int(row["batch"])) == (name, kind, batch)]

    # The reference first, and each batch size from the place of its neighbour.
    for batch in sorted(case.batches, key=lambda one: abs(math.log(one / case.reference))):
        if have("tuned", batch):
            continue
        if not have("search", batch):
            rows += tuned(trainer, name, batch, *start_of(rows, name, batch), range(seeds, seeds + case.searched))
        rate = float(have("search", batch)[-1]["learning_rate"])
        rows += [row_of(trainer, name, "tuned", batch, rate, seed, case.limit) for seed in range(seeds)]
        yield rows
    for batch in case.batches if case.rule else ():
        if not have("rule", batch):
            rate = rule_rate([row for row in rows if row["case"] == name], case, batch)
            rows += [row_of(trainer, name, "rule", batch, rate, seed, case.limit) for seed in range(seeds)]
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
        trainer = Trainer(CASES[name], options.folder)
        for rows in measured(rows, name, trainer, options.seeds):  # noqa: B020 - they grow
            record.write("noise_scale", judged(rows), ("jax", "flax", "optax"))
        told(judged(rows), name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
