"""Published measurements as values: series, traces and grids."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speedup.scaling.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

Row = dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Runs of one training by one framework, which differ only in how many accelerators took part.

    Attributes:
        source: Key of its source.
        name: Its name within the source.
        network: What was trained.
        kind: ``allreduce``, ``sharded`` (parameter servers) or ``async-central``.
        overlaps: Whether the framework sends gradients while it computes others.
        dedicated: Whether servers have machines of their own.
        precision: Of the computation; gradients are sent in 4 bytes.
        payload_bytes: All gradients [B].
        bandwidth_bytes_s: Nominal, of a machine's link and direction [B/s]; NaN where it is not stated.
        per_machine: Accelerators of a machine.
        runs: What was measured, fewest workers first. ``servers`` is 0 where nothing crosses a network.
    """

    source: str
    name: str
    network: str
    kind: str
    overlaps: bool
    dedicated: bool
    precision: str
    payload_bytes: float
    bandwidth_bytes_s: float
    per_machine: int
    runs: Runs

    @property
    def between(self) -> Runs:
        """The runs in which several machines took part."""
        return self.runs.take(self.runs.machines > 1)

    @property
    def machine_step_s(self) -> float:
        """Step of one full machine [s]."""
        full = (self.runs.machines == 1) & (self.runs.workers == self.per_machine)
        return float(self.runs.step_s[full][0])

    @property
    def alone_step_s(self) -> float:
        """Step of one accelerator [s]; that of a full machine where no other is published or it is no shorter."""
        alone = self.runs.step_s[self.runs.workers == 1]
        return min(float(alone[0]), self.machine_step_s) if len(alone) else self.machine_step_s


def data_folder() -> Path:
    """Return the folder of the published figures: inside a wheel, or beside an editable installation."""
    packaged = Path(str(resources.files("speedup"))) / "_data" / "published"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "data" / "published"


def _rows(name: str) -> list[Row]:
    with (data_folder() / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _groups(rows: Iterable[Row], *columns: str) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def _column(rows: Iterable[Row], value: Callable[[Row], float]) -> NDArray[np.float64]:
    column = np.array([value(row) for row in rows])
    # Everybody shares the loaded figures.
    column.flags.writeable = False
    return column


@cache
def pollux_aws() -> Mapping[str, Runs]:
    """Return the steps of PyTorch's data-parallel training on AWS, by network.

    Example:
        >>> sorted(pollux_aws())
        ['bert', 'deepspeech2', 'neumf', 'resnet18', 'resnet50', 'yolov3']
    """
    return {network: _trace(rows) for (network,), rows in _groups(_rows("pollux_aws"), "network").items()}


def _trace(rows: list[Row]) -> Runs:
    return Runs(
        workers=_column(rows, lambda row: float(row["workers"])),
        machines=_column(rows, lambda row: float(row["machines"])),
        fullest=_column(rows, lambda row: float(row["fullest"])),
        servers=_column(rows, lambda _: 0.0),
        batch=_column(rows, lambda row: float(row["batch"])),
        step_s=_column(rows, lambda row: float(row["step_s"])),
    )


@cache
def mxnet_grid() -> Mapping[str, Runs]:
    """Return the steps of MXNet by workers and servers, by network; the batch of all workers is fixed.

    Example:
        >>> runs = mxnet_grid()["resnet-50"]
        >>> len(runs), int(runs.servers.max())
        (210, 23)
    """
    return {network: _grid(rows) for (network,), rows in _groups(_rows("mxnet_grid"), "network").items()}


def _grid(rows: list[Row]) -> Runs:
    workers = _column(rows, lambda row: float(row["workers"]))
    return Runs(
        workers=workers,
        machines=workers,
        fullest=_column(rows, lambda _: 1.0),
        servers=_column(rows, lambda row: float(row["servers"])),
        batch=_column(rows, lambda row: float(row["batch"]) / float(row["workers"])),
        step_s=_column(rows, lambda row: float(row["batch"]) / float(row["throughput"])),
    )


@cache
def scaling_series() -> tuple[Series, ...]:
    """Return the series of throughput by number of machines.

    Example:
        >>> one = scaling_series()[0]
        >>> one.source, one.name, one.kind
        ('cm-dare', 'k80-res15', 'async-central')
    """
    return tuple(_series(rows) for rows in _groups(_rows("scaling"), "source", "series").values())


def _series(rows: list[Row]) -> Series:
    rows = sorted(rows, key=lambda row: int(row["workers"]))
    first = rows[0]
    return Series(
        source=first["source"],
        name=first["series"],
        network=first["network"],
        kind=first["kind"],
        overlaps=first["overlap"] == "yes",
        dedicated=first["dedicated"] == "yes",
        precision=first["precision"],
        payload_bytes=4.0 * int(first["parameters"]),
        bandwidth_bytes_s=float(first["bandwidth_bit_s"] or "nan") / 8,
        per_machine=int(first["per_machine"]),
        runs=Runs(
            workers=_column(rows, lambda row: float(row["workers"])),
            machines=_column(rows, lambda row: float(row["machines"])),
            fullest=_column(rows, lambda row: min(float(row["workers"]), float(row["per_machine"]))),
            servers=_column(rows, lambda row: float(row["servers"])),
            batch=_column(rows, lambda row: float(row["batch"])),
            step_s=_column(rows, _step_s),
        ),
    )


def _step_s(row: Row) -> float:
    """Return the step of one worker, whether samples or steps were counted."""
    samples = float(row["batch"]) if row["unit"] == "samples/s" else 1.0
    return int(row["workers"]) * samples / float(row["throughput"])
