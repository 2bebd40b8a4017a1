"""Rows of results, and what pages say of many."""

from __future__ import annotations

import csv
import textwrap
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    """Return median, smallest and largest of a column, and how many others are no numbers."""
    found = [float(row[column]) for row in rows]
    values = [value for value in found if isfinite(value)]
    lost = f", {len(found) - len(values)} diverged" if len(values) < len(found) else ""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}}){lost}"


def seeds(groups: Mapping[str, list[Row]]) -> str:
    """Return how many seeds the groups have, and which have fewer."""
    counts = {name: len({row["training_seed"] for row in rows}) for name, rows in groups.items()}
    usual = max(counts.values())
    fewer = "; ".join(f"{count} for {name}" for name, count in counts.items() if count < usual)
    return f"{usual} {'seed' if usual == 1 else 'seeds'}{f' ({fewer})' if fewer else ''}"


def facts(rows: list[Row]) -> dict[str, str]:
    """Return what rows say of where they were measured."""
    return {
        name: " and ".join(dict.fromkeys(row[name] for row in rows))
        for name in ("device", "date", "jax")
        if rows[0][name]
    }


def filled(page: str) -> str:
    """Return a page whose prose is in lines of 120 characters; titles and tables stay as they are."""
    return "\n\n".join(_filled(block) for block in page.rstrip("\n").split("\n\n")) + "\n"


def _filled(block: str) -> str:
    if block.lstrip().startswith(("#", "|")):
        return block
    first, *bullets = block.split("\n- ") if block.startswith("- ") else [block]
    paragraphs = [(first.removeprefix("- "), "- " if first.startswith("- ") else ""), *((one, "- ") for one in bullets)]
    return "\n".join(
        textwrap.fill(
            " ".join(text.split()),
            width=120,
            initial_indent=lead,
            subsequent_indent=" " * len(lead),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for text, lead in paragraphs
    )
