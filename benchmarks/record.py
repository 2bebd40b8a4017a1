"""What every benchmark writes beside its numbers."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import platform
from datetime import UTC, datetime
from pathlib import Path

from speedup.files import write_atomically

RESULTS = Path(__file__).parents[1] / "data" / "results"


def processor() -> str:
    """Return the maker's name of the processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write(name: str, rows: list[dict[str, object]], packages: tuple[str, ...], seed: int | None = None) -> Path:
    """Write rows to ``data/results`` with date, device, seed and versions."""
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": processor(),
        "seed": "" if seed is None else seed,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *facts], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **facts} for row in rows)
    return write_atomically(RESULTS / f"{name}.csv", text.getvalue())
