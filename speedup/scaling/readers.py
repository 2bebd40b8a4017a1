"""Runs from files: tables that users keep, and profiles."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from speedup.errors import FitError, suggestion
from speedup.files import FileError
from speedup.scaling.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speedup.profile import Profile

COLUMNS = ("workers", "step_s", "throughput", "batch", "global_batch", "machines", "fullest", "servers")
"""Columns that are read; others are left alone."""
_EXAMPLE = "workers,batch,step_s"


def read_runs(path: str | Path) -> Runs:
    """Read measured runs from a CSV file with a heading.

    Columns: ``workers``; ``step_s``, the time of a step [s], or ``throughput`` of all workers [samples/s] with
    ``batch``; ``batch``, samples of one worker in a step (1 if left out), or ``global_batch`` of all; ``machines`` (one
    for each worker), ``fullest``, workers in the machine that has the most (evenly spread), ``servers`` (0:
    all-reduce). An empty cell counts as left out; other columns are left alone.

    Args:
        path: The file.

    Raises:
        FileError: The file cannot be read.
        FitError: A column is missing or misspelt, or a value cannot be; with its line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read ({error}). Name a CSV file with columns {_EXAMPLE}.") from None
    return parse_runs(text, str(path))


def parse_runs(text: str, where: str = "runs") -> Runs:
    r"""Read measured runs from the text of a CSV file, as ``read_runs`` does.

    Args:
        text: The table.
        where: What it is called in messages.

    Raises:
        FitError: A column is missing or misspelt, or a value cannot be; with its line.

    Example:
        >>> parse_runs("workers,batch,throughput\n1,32,320\n4,32,1024").step_s
        array([0.1  , 0.125])
    """
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    names = [(name or "").strip() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    _check_columns(names, where)
    rows = [_row(cells, f"{where}, line {reader.line_num}") for cells in reader if any(cells.values())]
    if not rows:
        raise FitError(f"{where} has no runs. Give one a line under the heading {_EXAMPLE}.")
    columns = zip(*rows, strict=True)
    return Runs.of(**dict(zip(("workers", "machines", "fullest", "servers", "batch", "step_s"), columns, strict=True)))


def _check_columns(names: list[str], where: str) -> None:
    for name in names:
        if name not in COLUMNS and (near := suggestion(name, COLUMNS)):
            raise FitError(f'{where}: unknown column "{name}". {near}Columns: {", ".join(COLUMNS)}.')
    if "workers" not in names:
        raise FitError(f'{where} has no column "workers". Columns: {", ".join(COLUMNS)}.')
    if "step_s" not in names and "throughput" not in names:
        raise FitError(f'{where} has neither a column "step_s" [s] nor "throughput" [samples/s]; give one of them.')
    if "step_s" not in names and not {"batch", "global_batch"} & set(names):
        raise FitError(
            f'{where} has "throughput" but no "batch" (samples of one worker) nor "global_batch", which turn it into a '
            "step."
        )


def _row(cells: Mapping[str, str | None], where: str) -> tuple[float, float, float, float, float, float]:
    """Return workers, machines, fullest, servers, batch and step_s of one line."""
    if None in cells:
        raise FitError(f"{where} has more cells than the heading has columns.")
    workers = _number(cells, "workers", where, least=1, whole=True)
    if math.isnan(workers):
        raise FitError(f"{where}: workers is empty; every run needs it.")
    machines = _or(_number(cells, "machines", where, least=1, whole=True), workers)
    if machines > workers:
        raise FitError(
            f"{where}: machines = {machines:g} for {workers:g} workers; each machine has at least 1 of them."
        )
    fullest = _or(_number(cells, "fullest", where, least=1, whole=True), math.ceil(workers / machines))
    if not math.ceil(workers / machines) <= fullest <= workers - machines + 1:
        raise FitError(
            f"{where}: fullest = {fullest:g} cannot be with {workers:g} workers in {machines:g} machines; it is the "
            "number of workers in the machine that has the most."
        )
    servers = _or(_number(cells, "servers", where, least=0, whole=True), 0.0)
    batch = _or(_number(cells, "batch", where), _number(cells, "global_batch", where) / workers)
    step_s = _or(_number(cells, "step_s", where), workers * batch / _number(cells, "throughput", where))
    if math.isnan(step_s):
        raise FitError(f"{where}: neither step_s, nor throughput and batch, have a value; every run needs a time.")
    return workers, machines, fullest, servers, _or(batch, 1.0), step_s


def _number(
    cells: Mapping[str, str | None], name: str, where: str, *, least: float = 0.0, whole: bool = False
) -> float:
    """Return the number in a cell, nan if it is empty."""
    text = (cells.get(name) or "").strip()
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise FitError(f'{where}: {name} = "{text}" is not a number.') from None
    if not math.isfinite(value) or value < least or (value <= 0 and not whole):
        raise FitError(
            f"{where}: {name} = {text}; it must be finite and {f'at least {least:g}' if whole else 'above 0'}."
        )
    if whole and value != int(value):
        raise FitError(f"{where}: {name} = {text} is not a whole number.")
    return value


def _or(value: float, default: float) -> float:
    return default if math.isnan(value) else value


def runs_of_profile(profile: Profile, *, servers: float = 0.0) -> Runs:
    """Return the timings of t_grad as runs of one worker.

    Args:
        profile: A profile; its timings without a batch size are left out.
        servers: Servers of the runs that they are put beside; t_grad has no part in them.

    Raises:
        FitError: None of its timings states its batch size.

    Example:
        >>> from speedup.profile import profiles
        >>> runs_of_profile(profiles()["squeezenet-xeon-b16"]).batch
        array([16.])
    """
    timings = [timing for timing in profile.t_grad if timing.batch]
    if not timings:
        raise FitError(
            "no timing of t_grad in the profile states its batch size; measure some: speedup calibrate NAME."
        )
    return Runs.of(
        workers=[1.0] * len(timings),
        batch=[float(timing.batch or 1) for timing in timings],
        servers=servers,
        step_s=[timing.median_s for timing in timings],
    )
