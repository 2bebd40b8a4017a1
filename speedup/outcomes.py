"""Calibrations of many networks as rows: one calibrated network under one algorithm a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speedup.text import aligned
from speedup.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from speedup.profile import Profile

HEAD = ("architecture", "algorithm", "batch", "t_grad", "+-", "payload", "optimizer state", "time", "note")


def outcome_row(outcome: Any) -> dict[str, Any]:  # noqa: ANN401 - calibrate.Outcome, which speedup must not import
    """Return what became of one calibration as a plain row."""
    cell = outcome.cell
    row: dict[str, Any] = {
        "architecture": cell.architecture.name,
        "algorithm": cell.algorithm.name,
        "error": outcome.error,
        "elapsed_s": outcome.elapsed_s,
    }
    return row | (_measured(outcome.profile, str(outcome.path), outcome.measured) if outcome.profile else {})


def _measured(profile: Profile, path: str, now: tuple[int, ...]) -> dict[str, Any]:
    costs = [cost.optimizer_state_bytes for cost in profile.costs]
    return {
        "name": profile.name,
        "path": path,
        "payload_bytes": profile.workload.payload_bytes,
        "optimizer_state_bytes": costs[0] if costs else None,
        "warnings": list(profile.warnings),
        "points": [
            {
                "batch": timing.batch,
                "t_grad_s": timing.median_s,
                "low_s": timing.low_s,
                "high_s": timing.high_s,
                "stable": timing.stable,
                "resumed": timing.batch not in now,
            }
            for timing in profile.t_grad
        ],
    }


def outcome_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows as aligned text, one line a batch size, the head first."""
    return aligned([HEAD, *(line for row in rows for line in _cells(row))])


def outcome_line(row: dict[str, Any]) -> str:
    """Return one finished calibration in a line, without a head."""
    return "; ".join(" ".join(cell for cell in line if cell) for line in _cells(row))


def _cells(row: dict[str, Any]) -> list[tuple[str, ...]]:
    name, method, spent = row["architecture"], row["algorithm"], show_seconds(row["elapsed_s"])
    state = row.get("optimizer_state_bytes")
    lines: list[tuple[str, ...]] = [
        (
            name,
            method,
            f"b{point['batch']}",
            show_seconds(point["t_grad_s"]),
            _half_width(point),
            show_bytes(row["payload_bytes"]),
            "-" if state is None else show_bytes(state),
            spent,
            _note(point),
        )
        for point in row.get("points", ())
    ]
    return [*lines, (name, method, "", "", "", "", "", spent, row["error"])] if row["error"] else lines


def _half_width(point: dict[str, Any]) -> str:
    if point["low_s"] is None:
        return "?"
    return f"{max(point['high_s'] / point['t_grad_s'] - 1, 1 - point['low_s'] / point['t_grad_s']):.1%}"


def _note(point: dict[str, Any]) -> str:
    words = ["resumed"] * point["resumed"] + ["unstable"] * (point["stable"] is False)
    return " ".join(words) or "ok"
