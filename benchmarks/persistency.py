"""What does using each batch K times cost, and what does it bring?

Document 003's minibatch persistency on CIFAR-10 as available, with its momentum of 0.5 and its rate of 0.01. An epoch
is measured against n max(t_load, K t_update), which holds where the next batch is loaded while the device computes,
and against n (t_load + K t_update), which would hold where it is not. One core computes and another loads.

What limits is the loader or the network: the perceptron 3072-200-200-200-200-10 has its images once as they are, in
memory, and once packed one by one with xz, so that a batch must be unpacked before it is used, which takes several
updates; the reduced AlexNet of the document takes about a thousand times as long to update as to load.

What was measured already is kept, so that an interrupted run goes on where it was.

    python benchmarks/persistency.py --folder DIR [--seeds 3] [--anew]
"""

from __future__ import annotations

import argparse
import lzma
import os
import sys
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING, Any, cast

CORES = sorted(os.sched_getaffinity(0))
LOADING, COMPUTING = CORES[0], CORES[-1]
# Before JAX makes its threads, which inherit it: a device that computes on a core of its own.
os.sched_setaffinity(0, {COMPUTING})

import jax  # noqa: E402
import numpy as np  # noqa: E402
import record  # noqa: E402

from calibrate.learning import Learner, Settings  # noqa: E402
from calibrate.training.persistency import epoch_time_s  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibrate.datasets import Dataset, Inputs

PERSISTENCY = (1, 2, 5)
BEYOND = 20
"""Where unpacking no longer takes longer than updating."""


@dataclass(frozen=True, slots=True)
class Case:
    """A network, and how it has its images.

    Attributes:
        network: Name of the architecture.
        loader: ``memory``, or ``xz`` for images that are packed one by one.
        samples: Training samples.
        batch: Samples in a batch.
        epochs: Passes over the training samples.
        persistency: All K.
    """

    network: str
    loader: str
    samples: int
    batch: int
    epochs: int
    persistency: tuple[int, ...] = PERSISTENCY


CASES = (
    Case("viviano_fc_3072", "memory", 10_000, 256, 10),
    Case("viviano_fc_3072", "xz", 10_000, 256, 10, (*PERSISTENCY, BEYOND)),
    Case("alexnet_cifar", "memory", 640, 32, 2),
)


class Packed:
    """Images that are kept packed with xz one by one, and unpacked when they are asked for."""

    def __init__(self, images: Inputs) -> None:
        self.shape, self.size, self.ndim, self.dtype = images.shape, images.size, images.ndim, images.dtype
        self._packed = [lzma.compress(image.tobytes()) for image in images]

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        chosen = np.arange(len(self))[rows]
        pixels = b"".join(lzma.decompress(self._packed[row]) for row in chosen)
        return np.frombuffer(pixels, self.dtype).reshape(len(chosen), *self.shape[1:])


def samples(case: Case, settings: Settings) -> Dataset:
    """Return the data set as the loader has it."""
    found = settings.dataset()
    return replace(found, train_inputs=cast("Any", Packed(found.train_inputs))) if case.loader == "xz" else found


def about(case: Case, persistency: int) -> dict[str, Any]:
    """Return what the rows of one case and K have in common."""
    return {"network": case.network, "loader": case.loader, "batch": case.batch, "persistency": persistency}


def measured(case: Case, persistency: int, settings: Settings, data: Dataset) -> list[dict[str, Any]]:
    """Train once, and return a row an epoch, with what the two models say of it."""
    learner = Learner(replace(settings, persistency=persistency), data)
    rows = learner.train()
    batches = case.samples // case.batch
    found = []
    for row, elapsed_s in zip(rows, accumulate(one.time_s for one in rows), strict=True):
        found.append(
            {
                **about(case, persistency),
                "training_seed": settings.seed,
                "data": f"cifar10, {learner.note}",
                "epoch": row.epoch,
                "updates": row.updates,
                "epoch_s": row.time_s,
                "elapsed_s": elapsed_s,
                "t_load_s": row.t_load_s,
                "t_update_s": row.t_grad_s,
                "predicted_s": epoch_time_s(batches, row.t_grad_s, persistency=persistency, t_load_s=row.t_load_s),
                "in_turn_s": batches * (row.t_load_s + persistency * row.t_grad_s),
                "loss": row.loss,
                "test_loss": row.test_loss,
                "test_accuracy": row.test_accuracy,
            }
        )
    return found


def told(rows: list[dict[str, Any]]) -> None:
    """Print what the epochs of one case and K took and reached."""
    first, end = rows[0], max(int(row["epoch"]) for row in rows)

    def middle(column: str, some: list[dict[str, Any]] = rows) -> float:
        return median(float(row[column]) for row in some)

    print(
        f"{first['network']} {first['loader']} K = {first['persistency']}: {middle('epoch_s'):.2f} s an epoch, "
        f"{middle('predicted_s'):.2f} s overlapped, {middle('in_turn_s'):.2f} s in turn; t_load "
        f"{middle('t_load_s') * 1e3:.1f} ms, t_update {middle('t_update_s') * 1e3:.1f} ms; test accuracy "
        f"{middle('test_accuracy', record.matching(rows, epoch=end)):.2%}",
        flush=True,
    )


def write(rows: list[dict[str, Any]]) -> None:
    """Write the rows, with all cores of the machine as the device, and go on loading on one."""
    os.sched_setaffinity(0, CORES)
    record.write("persistency", rows, ("jax", "flax", "optax"))
    os.sched_setaffinity(0, {LOADING})


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure minibatch persistency on CIFAR-10.")
    parser.add_argument("--folder", required=True, help="where CIFAR-10's files are")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--anew", action="store_true", help="forget what was measured before")
    options = parser.parse_args()
    jax.devices()
    os.sched_setaffinity(0, {LOADING})
    rows = [] if options.anew else record.read("persistency")
    for case in CASES:
        settings = Settings(
            network=case.network,
            algorithm="momentum",
            data="cifar10",
            folder=options.folder,
            train_samples=case.samples,
            batch=case.batch,
            epochs=case.epochs,
            learning_rate=0.01,
            momentum=0.5,
        )
        # Packing takes longer than to see that nothing is left to measure.
        data = cache(partial(samples, case, settings))
        for seed in range(options.seeds):
            for persistency in case.persistency:
                if not record.matching(rows, **about(case, persistency), training_seed=seed):
                    rows += measured(case, persistency, replace(settings, seed=seed), data())
                    write(rows)
        for persistency in case.persistency:
            told(record.matching(rows, **about(case, persistency)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
