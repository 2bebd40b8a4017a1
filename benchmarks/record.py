"""What every benchmark writes beside its numbers."""

from __future__ import annotations

import csv
import importlib.metadata
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from calibrate import describe_device
from speedup.files import write_rows

RESULTS = Path(__file__).parents[1] / "data" / "results"


def read(name: str) -> list[dict[str, Any]]:
    """Return the rows of an earlier run; none if there was none."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [dict(row) for row in csv.DictReader(file)]


def matching(rows: list[dict[str, Any]], **about: object) -> list[dict[str, Any]]:
    """Return the rows that say all of this, whether they come from a file, where all is text, or not."""
    return [row for row in rows if all(str(row[name]) == str(value) for name, value in about.items())]


def write(name: str, rows: list[dict[str, object]], packages: tuple[str, ...], seed: int | None = None) -> Path:
    """Write rows to ``data/results`` with date, device, seed and versions; those of an earlier run keep theirs."""
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": str(describe_device()),
        "seed": "" if seed is None else seed,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }
    return write_rows(RESULTS / f"{name}.csv", [{**row, **facts, **row} for row in rows])
