"""Does repeating a calibration change its median by less than its own stated interval?

Some networks are calibrated again and again, interleaved: the visits of all networks take turns, and then the
next repetition begins. So repetitions of one network are minutes apart, and the machine's noise has changed.
For each pair of consecutive repetitions the table says whether the second median lies in the first interval;
the claim is that it does in at least 9 of 10 cases.

    python benchmarks/repeat.py [--networks nardini_mlp:128 ...] [--repetitions 10] [--seconds 20] [--visits 4]
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import record

from calibrate.architectures import ARCHITECTURES
from calibrate.timing.sampler import Rule, Sampler, Samples
from calibrate.training.algorithms import algorithm
from calibrate.training.problem import network_problem
from calibrate.training.step import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NETWORKS = ("nardini_mlp:128", "squeezenet:2", "alexnet_cifar:16", "resnet34_cifar:4")
CLAIM = 0.9


class Step(Protocol):
    """What is calibrated: called for a step, and waited for."""

    def __call__(self) -> Any:  # noqa: ANN401 - whatever the step computes
        """Start a step, and return what to wait for."""

    def wait(self, result: Any) -> object:  # noqa: ANN401 - whatever the step computes
        """Return when it is done."""


@dataclass(frozen=True)
class Calibration:
    """One repetition for one network."""

    network: str
    began_s: float
    samples: Samples


def network_step(network: str) -> Step:
    """Return the training step of ``name:batch`` under plain stochastic gradient descent."""
    name, batch = network.split(":")
    run = TrainingRun(network_problem(ARCHITECTURES[name]), algorithm("sgd"))
    step = run.step(int(batch))
    run.allocate()
    return step


def repetitions(
    steps: dict[str, Step], rule: Rule, seconds: float, count: int, clock: Callable[[], float] = time.perf_counter
) -> Iterable[list[Calibration]]:
    """Yield, repetition by repetition, the calibrations of all networks, whose visits take turns."""
    start = clock()
    for _ in range(count):
        began_s = clock() - start
        samplers = {name: Sampler(step, wait=step.wait, rule=rule) for name, step in steps.items()}
        for _, sampler in itertools.product(range(rule.min_visits), samplers.values()):
            sampler.visit(seconds / rule.min_visits)
        yield [Calibration(name, began_s, sampler.result()) for name, sampler in samplers.items()]


def pair(first: Calibration, second: Calibration) -> dict[str, Any]:
    """Return what the second says of the first."""
    one, other = first.samples, second.samples
    low, high = one.summary.low, one.summary.high
    return {
        "network": first.network,
        "began_s": round(first.began_s, 1),
        "apart_s": round(second.began_s - first.began_s, 1),
        "samples": len(one.samples_s),
        "visits": len(one.visits),
        "stop": one.stop.name.lower(),
        "cv_percent": 100 * one.summary.cv,
        "median_s": one.median_s,
        "low_s": low,
        "high_s": high,
        "half_width_percent": 100 * one.relative_half_width,
        "next_median_s": other.median_s,
        "change_percent": 100 * (other.median_s / one.median_s - 1),
        "uncontended_change_percent": 100 * (other.uncontended_s / one.uncontended_s - 1),
        "within": low is not None and high is not None and low <= other.median_s <= high,
    }


def show(row: dict[str, Any]) -> None:
    """Print one pair."""
    print(
        f"{row['network']:18s} {1e3 * row['median_s']:9.4g} ms +-{row['half_width_percent']:5.2f} % "
        f"({row['samples']} samples, {row['visits']} visits), then {row['change_percent']:+6.2f} %: "
        f"{'within' if row['within'] else 'NOT within'}",
        flush=True,
    )


def main() -> None:
    """Repeat the calibrations, print each pair, and write the table."""
    parser = argparse.ArgumentParser(description="Compare consecutive calibrations with their own intervals.")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME:BATCH")
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each network in each repetition")
    parser.add_argument("--visits", type=int, default=4, help="into which those seconds are divided")
    parser.add_argument("--target", type=float, default=0.02, help="relative half-width at which to stop before")
    options = parser.parse_args()
    if options.repetitions < 2:
        parser.error("--repetitions must be at least 2, to have a pair")
    rule = Rule(target=options.target, max_time_s=options.seconds, min_visits=options.visits)
    steps = {network: network_step(network) for network in options.networks}
    rows, before = list[dict[str, Any]](), list[Calibration]()
    for calibrations in repetitions(steps, rule, options.seconds, options.repetitions):
        for first, second in zip(before, calibrations, strict=False):
            rows.append(pair(first, second))
            show(rows[-1])
        before = calibrations
        if rows:
            # After each repetition: an interrupted run keeps what it has.
            path = record.write("repeat", rows, ("jax", "jaxlib", "flax", "optax", "numpy"))
    for network in steps:
        held = [row["within"] for row in rows if row["network"] == network]
        print(f"{network}: {sum(map(bool, held))} of {len(held)} within")
    share = sum(bool(row["within"]) for row in rows) / len(rows)
    print(f"all: {share:.0%} within, {CLAIM:.0%} claimed")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
