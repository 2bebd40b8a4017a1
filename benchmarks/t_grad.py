"""Is the t_grad that is reported the t_grad of training?

For each network the sampler and plain training loops, written as users write them, take turns, so that
whatever else the machine does hits all alike. After every sample of the sampler

* ``arrays`` trains ten times as long: ``params, state, opt_state, loss = train_step(...)`` under ``jax.jit``,
  the parameters in plain dictionaries of arrays. This is the loop that t_grad must agree with to 3 %;
* ``nnx-state`` trains as long as the sample: the same with NNX's own states, whose handling costs Python time;
* ``nnx-jit`` trains as long as the sample: modules and ``nnx.Optimizer`` under ``nnx.jit``, which costs more.

Reported: the median of each, their ratio with the spread of the paired ratios, and the loop's mean, which is
what a training run pays in the end.

    python benchmarks/t_grad.py [--quick] [--seed 0] [--output data/results/t_grad_honest.csv]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax
import record
from flax import nnx

from calibrate.architectures import ARCHITECTURES
from calibrate.timing.environment import describe_device, environment
from calibrate.timing.sampler import Progress, Samples, Stage, sample
from calibrate.training.algorithms import RATE, algorithm
from calibrate.training.problem import network_problem
from calibrate.training.step import TrainingRun
from speedup.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from calibrate.architectures import Architecture

TIMES_AS_LONG = 10
LIMIT_PERCENT = 3.0


def cross_entropy(model: Any, images: jax.Array, labels: jax.Array) -> Any:  # noqa: ANN401 - NNX is untyped here
    return optax.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()


def functional_loop(entry: Architecture, batch: int, seed: int, *, plain: bool) -> Callable[[int], float]:
    """Return a function that trains some steps under ``jax.jit`` and returns the seconds they took.

    With ``plain`` the parameters are dictionaries of arrays between steps, else NNX's states.
    """
    graph, first_params, first_state = nnx.split(entry.build(nnx.Rngs(seed), entry.classes), nnx.Param, ...)
    outside = nnx.to_pure_dict if plain else lambda states: states
    params, state = outside(first_params), outside(first_state)
    optimizer = optax.sgd(RATE)
    opt_state = optimizer.init(params)
    images, labels = network_problem(entry, seed=seed).make_batch(batch)

    @jax.jit
    def train_step(params: Any, state: Any, opt_state: Any, images: jax.Array, labels: jax.Array) -> Any:  # noqa: ANN401
        def loss_fn(params: Any) -> Any:  # noqa: ANN401
            model = nnx.merge(graph, params, state, copy=True)
            return cross_entropy(model, images, labels), outside(nnx.state(model, nnx.Not(nnx.Param)))

        (loss, new_state), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), new_state, opt_state, loss

    def train(steps: int) -> float:
        nonlocal params, state, opt_state
        start = time.perf_counter()
        for _ in range(steps):
            params, state, opt_state, loss = train_step(params, state, opt_state, images, labels)
        jax.block_until_ready(loss)
        return time.perf_counter() - start

    return train


def object_loop(entry: Architecture, batch: int, seed: int) -> Callable[[int], float]:
    """Return the same for modules and an optimizer object under ``nnx.jit``."""
    model = entry.build(nnx.Rngs(seed), entry.classes)
    optimizer = nnx.Optimizer(model, optax.sgd(RATE), wrt=nnx.Param)
    images, labels = network_problem(entry, seed=seed).make_batch(batch)

    @nnx.jit
    def train_step(model: Any, optimizer: Any, images: jax.Array, labels: jax.Array) -> Any:  # noqa: ANN401
        loss, gradients = nnx.value_and_grad(cross_entropy)(model, images, labels)
        optimizer.update(model, gradients)
        return loss

    def train(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            loss = train_step(model, optimizer, images, labels)
        jax.block_until_ready(loss)
        return time.perf_counter() - start

    return train


@dataclass
class Loop:
    """One way to train: how long it trains in its turn, and what its turns took."""

    train: Callable[[int], float]
    times_as_long: int
    steps: int = 0
    seconds: float = 0.0
    per_step: list[float] = field(default_factory=list)

    def turn(self, loops: int) -> None:
        """Train in proportion to a sample of so many calls."""
        count = self.times_as_long * loops
        taken = self.train(count)
        self.steps, self.seconds = self.steps + count, self.seconds + taken
        self.per_step.append(taken / count)


def make_loops(entry: Architecture, batch: int, seed: int) -> dict[str, Loop]:
    """Build and compile the loops."""
    loops = {
        "arrays": Loop(functional_loop(entry, batch, seed, plain=True), TIMES_AS_LONG),
        "nnx-state": Loop(functional_loop(entry, batch, seed, plain=False), 1),
        "nnx-jit": Loop(object_loop(entry, batch, seed), 1),
    }
    for loop in loops.values():
        loop.train(3)
    return loops


def spread(ratios: list[float], seed: int, turns: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of the median ratio, resampling blocks of neighbours because noise drifts."""
    rng, n = np.random.default_rng(seed), len(ratios)
    length = max(1, round(n ** (1 / 3)))
    starts = rng.integers(0, n, size=(turns, -(-n // length)))
    indices = ((starts[..., None] + np.arange(length)) % n).reshape(turns, -1)[:, :n]
    low, high = np.quantile(np.median(np.asarray(ratios)[indices], axis=1), [0.025, 0.975])
    return float(low), float(high)


def compare(name: str, batch: int, budget_s: float, seed: int) -> list[dict[str, object]]:
    """Measure one network in all ways and return a row a loop."""
    entry = ARCHITECTURES[name]
    step = TrainingRun(network_problem(entry, seed=seed), algorithm("sgd"), seed=seed).step(batch)
    loops = make_loops(entry, batch, seed)
    # A trial tells how many calls the sampler puts in a sample, which the loops' turns go by.
    calls = sample(step, wait=step.wait, min_samples=1, max_samples=1, min_time_s=0, max_time_s=10).loops

    def turns(progress: Progress) -> None:
        if progress.stage is Stage.SAMPLING:
            for loop in loops.values():
                loop.turn(calls)

    # The loops' turns are part of the wall time the sampler sees, hence the equal limits.
    taken = sample(step, wait=step.wait, min_time_s=budget_s, max_time_s=budget_s, on_progress=turns)
    facts = {"architecture": name, "batch": batch, "seed": seed}
    return [{**facts, "loop": kind, **_numbers(taken, loop, seed), **_facts()} for kind, loop in loops.items()]


def _numbers(taken: Samples, loop: Loop, seed: int) -> dict[str, object]:
    ratios = [ours / theirs for ours, theirs in zip(taken.samples_s, loop.per_step, strict=True)]
    low, high = spread(ratios, seed)
    centre, mean = median(loop.per_step), loop.seconds / loop.steps
    return {
        "sampler_median_s": taken.median_s,
        "sampler_mean_s": sum(taken.samples_s) / len(taken.samples_s),
        "sampler_samples": len(taken.samples_s),
        "sampler_loops": taken.loops,
        "sampler_cv": taken.summary.cv,
        "loop_median_s": centre,
        "loop_mean_s": mean,
        "loop_steps": loop.steps,
        "loop_time_s": loop.seconds,
        "difference_percent": 100 * (taken.median_s / centre - 1),
        "difference_of_mean_percent": 100 * (taken.median_s / mean - 1),
        "paired_ratio": median(ratios),
        "paired_ratio_low": low,
        "paired_ratio_high": high,
    }


def _facts() -> dict[str, object]:
    facts = environment()
    names = (
        "load_1min",
        "python",
        "version_numpy",
        "version_jax",
        "version_jaxlib",
        "version_flax",
        "version_optax",
    )
    return {
        "device": str(describe_device()),
        "date": datetime.now(UTC).date().isoformat(),
        **{name.removeprefix("version_"): facts[name] for name in names},
    }


def show(row: dict[str, Any]) -> None:
    """Print one comparison; the loop that t_grad must agree with gets a verdict."""
    within = "within" if abs(row["difference_percent"]) <= LIMIT_PERCENT else "NOT within"
    print(
        f"{row['architecture']} batch {row['batch']}: sampler {1e3 * row['sampler_median_s']:.4g} ms "
        f"({row['sampler_samples']} samples of {row['sampler_loops']}, cv {100 * row['sampler_cv']:.2g} %), "
        f"{row['loop']} {1e3 * row['loop_median_s']:.4g} ms median, {1e3 * row['loop_mean_s']:.4g} ms mean "
        f"({row['loop_steps']} steps in {row['loop_time_s']:.3g} s)\n"
        f"  difference {row['difference_percent']:+.2f} % of the median, "
        f"{row['difference_of_mean_percent']:+.2f} % of the mean; paired ratio {row['paired_ratio']:.4f} "
        f"[{row['paired_ratio_low']:.4f}, {row['paired_ratio_high']:.4f}]"
        + (f": {within} {LIMIT_PERCENT:g} %" if row["loop"] == "arrays" else ""),
        flush=True,
    )


def cases(*, quick: bool) -> Iterator[tuple[str, int, float]]:
    """Yield network, batch and seconds of each comparison.

    A turn takes some ten seconds, and the median of n samples with a spread of 6 % is uncertain by
    7.5 % / sqrt(n): on a busy machine minutes are needed to tell 3 %.
    """
    yield ("nardini_mlp", 128, 15.0 if quick else 330.0)
    yield ("squeezenet", 2 if quick else 4, 30.0 if quick else 330.0)
    if not quick:
        yield ("resnet34", 2, 330.0)


def main() -> None:
    """Run the comparisons, print them, and write the table."""
    parser = argparse.ArgumentParser(description="Compare the sampler with a plain training loop.")
    parser.add_argument("--quick", action="store_true", help="less than a minute and a half, smaller batch")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batch and resampling")
    parser.add_argument("--output", type=Path, default=Path("data/results/t_grad_honest.csv"))
    options = parser.parse_args()
    check_writable(options.output)
    rows = []
    for name, batch, budget_s in cases(quick=options.quick):
        found = compare(name, batch, budget_s, options.seed)
        rows += found
        for row in found:
            show(row)
    print(f"wrote {record.write_rows(options.output, rows)}")


if __name__ == "__main__":
    main()
