"""Rows of results, and what pages say of many."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = dict[str, str]
DATA = Path(__file__).parents[2] / "data"
RESULTS = DATA / "results"


def read(name: str, folder: Path = RESULTS) -> list[Row]:
    """Return the rows of a table."""
    with (folder / f"{name}.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def measured(name: str) -> bool:
    """Return whether there is such a table."""
    return (RESULTS / f"{name}.csv").exists()


def grouped(rows: Iterable[Row], *columns: str) -> dict[tuple[str, ...], list[Row]]:
    """Return the rows by what they have in some columns, in the order in which that first occurs."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def last_rows(rows: Iterable[Row], column: str = "epoch") -> list[Row]:
    """Return the rows of the last epoch."""
    found = list(rows)
    return [row for row in found if int(row[column]) == max(int(one[column]) for one in found)]


def median_of(rows: Iterable[Row], column: str) -> float:
    """Return the median of a column."""
    return median(float(row[column]) for row in rows)


def spread(rows: Iterable[Row], column: str, form: str) -> str:
    """Return median, smallest and largest of a column."""
    values = [float(row[column]) for row in rows]
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def facts(rows: list[Row]) -> dict[str, str]:
    """Return what rows say of where they were measured."""
    return {
        name: ", ".join(dict.fromkeys(row[name] for row in rows)) for name in ("device", "date", "jax") if rows[0][name]
    }
