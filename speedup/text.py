"""Tables of plans as aligned text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedup.units import show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from speedup.tables import Estimate

HEAD = (
    "workers",
    "machines",
    "mode",
    "server",
    "schedule",
    "speedup",
    "efficiency",
    "time",
    "iteration",
    "equation",
    "status",
)


def ratio(value: float) -> str:
    """Write a speedup with three digits.

    Example:
        >>> ratio(7.4337), ratio(0.0922), ratio(12345.6)
        ('7.43', '0.0922', '12,346')
    """
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def cells(plan: Estimate) -> tuple[str, ...]:
    """Return the cells of one plan, under ``HEAD``."""
    return (
        str(plan.workers),
        str(plan.machines),
        str(plan.mode),
        str(plan.server),
        str(plan.schedule if plan.schedule != "none" else plan.collective),
        ratio(plan.speedup),
        f"{plan.efficiency:.0%}",
        show_seconds(plan.time_s),
        show_seconds(plan.t_iter_s),
        plan.equation,
        str(plan.status),
    )


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows of cells as lines whose columns stand under each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def plan_lines(plans: Iterable[Estimate]) -> list[str]:
    """Return a table of plans, its head first."""
    return aligned([HEAD, *(cells(plan) for plan in plans)])
