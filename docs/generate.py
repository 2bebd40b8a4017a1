"""Write the pages of the docs that are made of the code's own facts: equations, and the thesis's figures.

Run it after a change of either:  python docs/generate.py
"""

from __future__ import annotations

import csv
from pathlib import Path

from speedup import CATALOGUE, estimate
from speedup.files import write_atomically
from speedup.formulas import QUANTITIES

DOCS = Path(__file__).parent
MEASURED = DOCS.parent / "data" / "thesis" / "measured_speedups.csv"

EQUATIONS_HEAD = """\
# Equations

Generated from `speedup.CATALOGUE` by `docs/generate.py`. Numbers 4.1 to 7.3 are those of O. Slampa, *Parallel Deep
Learning*, master's thesis, Brno University of Technology, 2017. `W` are the whole-batch forms and `P` those of unequal
shares; both are this project's ([ADR 0003](adr/0003-whole-batches.md)). `speedup.CATALOGUE["4.12"].expression` is the
SymPy expression, `speedup.formula(mode, server, ...)` the time of a whole run.

## Symbols

| symbol | in code | unit | meaning |
| --- | --- | --- | --- |
"""

THESIS_HEAD = """\
# What the thesis measured, and what its formulas say

Generated from `data/thesis/measured_speedups.csv` by `docs/generate.py`. The formulas 4.12 and 4.21 assume that every
unit of a distributed server holds 1/N of the weights; Algorithm 3.7 places whole tensors, which explains part of the
overestimate. Tests hold these numbers (`tests/reference/test_thesis.py`).

| network | mode | workers | measured | equal shares | difference | Algorithm 3.7 | difference | read in |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
"""


def equations() -> str:
    """Return the page of all equations."""
    symbols = "".join(f"| ${one.latex}$ | `{one.symbol}` | {one.unit} | {one.meaning} |\n" for one in QUANTITIES)
    entries = "".join(f"\n### {one.id}: {one.title}\n\n```math\n{one.latex()}\n```\n" for one in CATALOGUE.values())
    return f"{EQUATIONS_HEAD}{symbols}\n## By number\n{entries}"


def thesis() -> str:
    """Return the page of the thesis's measured speedups beside the predictions."""
    with MEASURED.open(encoding="utf-8") as lines:
        return THESIS_HEAD + "".join(_thesis_row(row) for row in csv.DictReader(lines))


def _thesis_row(row: dict[str, str]) -> str:
    def predicted(placement: str) -> float:
        options = {"modes": row["mode"], "servers": row["server"], "placement": placement}
        return float(estimate(row["network"], workers=int(row["workers"]), **options)[0].speedup)

    was = float(row["speedup"])
    equal, greedy = predicted("equal"), predicted("greedy")
    numbers = f"{was:g} | {equal:.2f} | {equal - was:+.2f} | {greedy:.2f} | {greedy - was:+.2f}"
    return f"| {row['network']} | {row['mode']} | {row['workers']} | {numbers} | {row['source']} |\n"


PAGES = {"equations.md": equations, "thesis.md": thesis}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        print(write_atomically(DOCS / name, page()))


if __name__ == "__main__":
    main()
