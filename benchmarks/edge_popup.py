"""What does edge-popup's mask cost?

``step``: for each network the training step under momentum and under edge-popup take turns, at batch 16; reported
are their medians and the ratio with its spread over the turns. Edge-popup may cost at most 2.5 times the dense step
for networks of a million parameters or more.

``selection``: the mask of one tensor by a full argsort, by a sort and the k-th value, by 31 rounds of bisection, and by
``select_top``. All give the same mask.

    python benchmarks/edge_popup.py [--quick]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import record
from flax import nnx
from jax import lax

from calibrate.architectures import ARCHITECTURES, Architecture, Network
from calibrate.training.algorithms import algorithm
from calibrate.training.problem import network_problem
from calibrate.training.selection import select_top
from calibrate.training.step import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH, TURNS, TURN_S, LIMIT = 16, 15, 0.3, 2.5
SELECTED = 1_000_000


class Perceptron(Network):
    """Dense layers of given widths, whose step is limited by memory: the hardest case for the mask."""

    def __init__(self, rngs: nnx.Rngs, classes: int, *, widths: tuple[int, ...]) -> None:
        ends = (*widths[1:], classes)
        self.dense = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in zip(widths, ends, strict=True)])

    def layers(self) -> Iterator[nnx.Linear]:
        """Yield the dense layers."""
        yield from self.dense

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits."""
        for layer in self.dense[:-1]:
            inputs = nnx.relu(layer(inputs))
        return self.dense[-1](inputs)


def networks(*, quick: bool) -> list[Architecture]:
    """Return the networks, memory-bound ones first."""
    found = [
        Architecture("mlp_784_1000_1000", partial(Perceptron, widths=(784, 1000, 1000)), (784,), BATCH, 10, "mlp"),
        Architecture("mlp_784_4000_4000", partial(Perceptron, widths=(784, 4000, 4000)), (784,), BATCH, 10, "mlp"),
        Architecture("mlp_3072_4096x3", partial(Perceptron, widths=(3072, *[4096] * 3)), (3072,), BATCH, 10, "mlp"),
        ARCHITECTURES["alexnet_cifar"],
    ]
    return (
        found if quick else [*found, *(ARCHITECTURES[name] for name in ("vgg16_cifar", "resnet34_cifar", "squeezenet"))]
    )


def turn(call: Callable[[], object], loops: int) -> float:
    """Return the seconds a call takes, the mean of so many."""
    start = time.perf_counter()
    for _ in range(loops):
        result = call()
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / loops


def alternate(calls: list[Callable[[], object]]) -> list[list[float]]:
    """Time calls in turns; return the seconds of each, a turn an entry."""
    for call in calls:
        turn(call, 3)
    loops = [max(1, int(TURN_S / turn(call, 2))) for call in calls]
    turns = [[turn(call, count) for call, count in zip(calls, loops, strict=True)] for _ in range(TURNS)]
    return [list(series) for series in zip(*turns, strict=True)]


def row(kind: str, name: str, ours: list[float], theirs: list[float], yardstick: str) -> dict[str, object]:
    """Return one comparison."""
    ratios = np.array(ours) / np.array(theirs)
    low, high = np.quantile(ratios, [0.05, 0.95])
    found = {"kind": kind, "name": name, "yardstick": yardstick, "seconds": median(ours), "yardstick_s": median(theirs)}
    found |= {"ratio": float(np.median(ratios)), "ratio_p5": float(low), "ratio_p95": float(high)}
    print(f"{kind} {name}: {1e3 * median(ours):.3g} ms, {yardstick} {1e3 * median(theirs):.3g} ms, ratio ", end="")
    print(f"{found['ratio']:.2f} [{low:.2f}, {high:.2f}]", flush=True)
    return found


def steps(entry: Architecture) -> dict[str, object]:
    """Compare the training steps of one network."""
    runs = [TrainingRun(network_problem(entry), algorithm(name)) for name in ("edge_popup", "momentum")]
    found = row("step", entry.name, *alternate([run.step(BATCH) for run in runs]), "momentum")
    verdict = "within" if float(str(found["ratio"])) <= LIMIT else "NOT within"
    print(f"  {runs[1].weights_bytes / 4e6:.2f} M parameters: {verdict} {LIMIT}")
    return found


def by_argsort(scores: jax.Array, kept: int) -> jax.Array:
    places = jnp.argsort(jnp.abs(scores), stable=True)
    return jnp.ones(scores.shape, bool).at[places[: scores.size - kept]].set(False)


def by_sort(scores: jax.Array, kept: int) -> jax.Array:
    return jnp.abs(scores) >= jnp.sort(jnp.abs(scores))[scores.size - kept]


def by_bisection(scores: jax.Array, kept: int) -> jax.Array:
    keys = lax.bitcast_convert_type(jnp.abs(scores), jnp.int32)

    def halve(turn: int, threshold: jax.Array) -> jax.Array:
        candidate = threshold | (1 << (30 - turn))
        return jnp.where(jnp.sum(keys >= candidate) >= kept, candidate, threshold)

    return keys >= lax.fori_loop(0, 31, halve, jnp.int32(0))


def selections() -> list[dict[str, object]]:
    """Compare ways to select half of a million scores."""
    kept = SELECTED // 2
    scores = jax.random.normal(jax.random.key(0), (SELECTED,))
    ways = {"argsort": by_argsort, "sort": by_sort, "bisection": by_bisection, "select_top": select_top}
    compiled = {name: jax.jit(way, static_argnums=1) for name, way in ways.items()}
    masks = [np.asarray(way(scores, kept)) for way in compiled.values()]
    if not all((mask == masks[0]).all() for mask in masks):
        raise SystemExit("the masks differ")
    *others, ours = alternate([partial(way, scores, kept) for way in compiled.values()])
    return [row("selection", name, ours, series, name) for name, series in zip(ways, others, strict=False)]


def main() -> None:
    """Run the comparisons and write the table."""
    parser = argparse.ArgumentParser(description="Time edge-popup's step and its selection.")
    parser.add_argument("--quick", action="store_true", help="three networks")
    options = parser.parse_args()
    rows = selections() + [steps(entry) for entry in networks(quick=options.quick)]
    print(f"wrote {record.write('edge_popup', rows, ('numpy', 'jax', 'jaxlib', 'flax', 'optax'), seed=0)}")


if __name__ == "__main__":
    main()
