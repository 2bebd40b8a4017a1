"""Many networks under many algorithms: a matrix of calibrations that survives being killed.

Every profile is written as soon as one more batch size of it is known, whole and atomically, so that Ctrl-C
or a kill loses at most the point in flight. With ``resume`` whatever the folder already has is kept.
"""

from __future__ import annotations

import gc
import math
import time
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import jax

from speedup.errors import SpeedupError
from speedup.profile import read_profile

from .architectures import architecture, architecture_names
from .calibration import batch_sizes, network_sweep, profile_name
from .sweep import Effort, finished
from .timing.environment import describe_device
from .training.algorithms import algorithm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from speedup.profile import Device, Profile, Timing

    from .architectures import Architecture
    from .timing.sampler import Progress
    from .training.algorithms import Algorithm

QUICK_ALGORITHMS = ("sgd", "momentum", "adam", "edge_popup", "l0")
"""One of each kind: no state, one copy, two copies, frozen weights, gates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One network under one algorithm.

    Attributes:
        architecture: The network.
        algorithm: How it is trained.
        batches: Batch sizes to measure.
    """

    architecture: Architecture
    algorithm: Algorithm
    batches: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.architecture.name} {self.algorithm.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a cell.

    Attributes:
        cell: The cell.
        profile: Its profile; None if nothing could be measured.
        path: File of the profile.
        error: Why nothing could be measured.
        measured: Batch sizes measured now; the others were known.
        elapsed_s: Wall time spent on it [s].
    """

    cell: Cell
    profile: Profile | None
    path: Path
    error: str | None
    measured: tuple[int, ...]
    elapsed_s: float


def cells(
    names: Iterable[str] | None = None,
    algorithms: Iterable[str] | None = None,
    batch: int | Iterable[int] | None = None,
    *,
    quick: bool = False,
) -> tuple[Cell, ...]:
    """Return the cells that the user's words name.

    Args:
        names: Architectures; None for all.
        algorithms: Training algorithms; None for all, or one of each kind if ``quick``.
        batch: Batch sizes; None for a sweep around each architecture's default (``sweep_sizes``), or for an
            eighth of it alone if ``quick``.
        quick: Whether the least is asked for.

    Raises:
        UnknownNameError: Nobody knows an architecture or an algorithm.
        UnitError: A batch size is no whole number of at least 1.

    Example:
        >>> [str(cell) for cell in cells(["nardini_mlp"], ["sgd", "adam"])]
        ['nardini_mlp sgd', 'nardini_mlp adam']
    """
    from .training.algorithms import algorithm_names  # noqa: PLC0415

    known = [architecture(name) for name in names or architecture_names()]
    methods = [algorithm(name) for name in algorithms or (QUICK_ALGORITHMS if quick else algorithm_names())]
    unique = dict.fromkeys(product(known, methods))
    return tuple(
        Cell(architecture=entry, algorithm=method, batches=_batches(entry, batch, quick=quick))
        for entry, method in unique
    )


def sweep_sizes(default: int) -> tuple[int, ...]:
    """Return the batch sizes of a sweep: a quarter, a half, all and twice the default, and three that divide less well.

    What a batch that is odd, or even but no multiple of four, takes besides cannot be learnt from multiples of four.

    Args:
        default: Batch size to sweep around.

    Example:
        >>> sweep_sizes(16), sweep_sizes(1)
        ((4, 6, 8, 15, 16, 31, 32), (1, 2))
    """
    divided = {default // 4, default // 2, default, 2 * default}
    # The largest even number up to a half of the default that is no multiple of four.
    others = {4 * ((default // 2 + 2) // 4) - 2, default - 1, 2 * default - 1}
    return tuple(sorted(size for size in divided | others if size > 0))


def _batches(entry: Architecture, batch: int | Iterable[int] | None, *, quick: bool) -> tuple[int, ...]:
    if batch is not None:
        return batch_sizes(batch, entry.default_batch)
    return (max(1, entry.default_batch // 8),) if quick else sweep_sizes(entry.default_batch)


def calibrate_cells(
    wanted: tuple[Cell, ...],
    folder: Path,
    *,
    effort: Effort,
    resume: bool = False,
    precision: str = "float32",
    classes: int | None = None,
    seed: int = 0,
    on_progress: Callable[[Progress], object] | None = None,
) -> Iterator[Outcome]:
    """Calibrate cell after cell, each into a file of its own in ``folder``.

    A cell that fails is an outcome with an error, and the others go on. A file is written after every visit
    of a batch size.

    Args:
        wanted: The cells.
        folder: Where the profiles go; it must exist.
        effort: How long to measure each batch size.
        resume: Keep the batch sizes that the folder's profiles already have, measured with the same effort.
        precision: Type that the networks compute in.
        classes: Number of classes; None for each architecture's own.
        seed: Of weights and batches.
        on_progress: Called with a ``Progress`` whose label, fraction and time left are those of the matrix.

    Yields:
        An outcome a cell, as soon as it is finished.

    Raises:
        SpeedupError: With ``resume``, a profile in the folder is of another device or is broken.
    """
    device, start, points = describe_device(), time.monotonic(), sum(len(cell.batches) for cell in wanted)
    done = spent = 0.0
    for number, cell in enumerate(wanted, 1):
        if number > 1 and cell.architecture != wanted[number - 2].architecture:
            # Compiled programs and weights of a network are of no use to the next one.
            jax.clear_caches()  # type: ignore[no-untyped-call]
            gc.collect()
        path = folder / f"{_file_name(cell, device, precision, classes)}.json"
        known = _known(path, effort, device, seed) if resume else None
        had = {timing.batch for timing in known.t_grad} if known else set()
        left = tuple(batch for batch in cell.batches if batch not in had)
        points -= len(cell.batches) - len(left)
        shown = _Overall(f"{number}/{len(wanted)} {cell}", done, len(left), points, spent, start, on_progress)
        began = time.monotonic()
        outcome = _calibrate_cell(cell, left, path, known, effort, precision, classes, seed, shown)
        done, spent = done + len(left), spent + time.monotonic() - began
        yield outcome


def _file_name(cell: Cell, device: Device, precision: str, classes: int | None) -> str:
    head = "" if classes in {None, cell.architecture.classes} else f"-c{classes}"
    return profile_name(cell.architecture.name, cell.algorithm.name, device, head=head, precision=precision)


def _known(path: Path, effort: Effort, device: Device, seed: int) -> Profile | None:
    """Return the earlier profile with those timings alone that need not be made again."""
    if not path.is_file():
        return None
    profile = read_profile(path)
    kept: tuple[Timing, ...] = finished(profile, effort, device)
    if not kept or profile.environment.get("seed") != seed:
        return None
    batches = [timing.batch for timing in kept]
    own = profile.workload.batch if profile.workload.batch in batches else batches[-1]
    return replace(profile, t_grad=kept, workload=replace(profile.workload, batch=own))


def _calibrate_cell(
    cell: Cell,
    left: tuple[int, ...],
    path: Path,
    known: Profile | None,
    effort: Effort,
    precision: str,
    classes: int | None,
    seed: int,
    on_progress: Callable[[Progress], object],
) -> Outcome:
    began = time.monotonic()
    profile, error = known, None
    try:
        if left:
            for profile in network_sweep(
                cell.architecture,
                cell.algorithm,
                (),
                classes=classes,
                precision=precision,
                effort=effort,
                known=known,
                seed=seed,
                on_progress=on_progress,
            ).measure(left):
                profile.save(path)
    except SpeedupError as failure:
        error = str(failure)
    return Outcome(
        cell=cell, profile=profile, path=path, error=error, measured=left, elapsed_s=time.monotonic() - began
    )


@dataclass(frozen=True, slots=True)
class _Overall:
    """Turns the progress of a cell into that of the matrix."""

    label: str
    done: float
    batches: int
    points: int
    spent_s: float
    start: float
    show: Callable[[Progress], object] | None

    def __call__(self, progress: Progress) -> None:
        if self.show is None:
            return
        done = self.done + self.batches * progress.fraction
        fraction = min(1.0, done / max(self.points, 1))
        left = self.spent_s / self.done * (self.points - done) if self.done else math.nan
        self.show(
            replace(
                progress,
                label=self.label,
                fraction=fraction,
                elapsed_s=time.monotonic() - self.start,
                remaining_s=max(left, 0.0) if math.isfinite(left) else None,
            )
        )
