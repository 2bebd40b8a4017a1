"""The first batches of a simulated run as a Gantt chart: a figure, rows, or a file for a trace viewer."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from speedup.errors import UnitError
from speedup.figures import TEMPLATE, save_figure
from speedup.files import write_atomically

if TYPE_CHECKING:
    from speedup.simulation import Simulation

_LOOK = {"pull": ("#0072B2", "/"), "compute": ("#009E73", ""), "push": ("#D55E00", "\\"), "wait": ("#BBBBBB", ".")}


def spans(simulation: Simulation) -> list[dict[str, Any]]:
    """Return the spans of a trace, one a row: activities, and the waits before them.

    Args:
        simulation: One that kept its trace.
    """
    found = []
    for row in simulation.trace:
        if row["began_s"] > row["requested_s"]:
            found.append(row | {"activity": "wait", "began_s": row["requested_s"], "ended_s": row["began_s"]})
        found.append(row)
    return found


def gantt_figure(simulation: Simulation) -> go.Figure:
    """Draw what each worker does in the first batches of the first run.

    Args:
        simulation: One that kept its trace.

    Returns:
        The figure, to change or save.

    Example:
        >>> from speedup.simulation import simulate
        >>> run = simulate(workers=2, batches=4, t_grad=1.0, t_comm=0.5, replications=1, trace=True)
        >>> [bar.name for bar in gantt_figure(run).data]
        ['pull', 'compute', 'push', 'wait']
    """
    figure, rows = go.Figure(), spans(simulation)
    for activity, (colour, pattern) in _LOOK.items():
        chosen = [row for row in rows if row["activity"] == activity]
        figure.add_bar(
            name=activity,
            orientation="h",
            y=[f"worker {row['worker']}" for row in chosen],
            base=[row["began_s"] for row in chosen],
            x=[row["ended_s"] - row["began_s"] for row in chosen],
            marker={"color": colour, "pattern": {"shape": pattern}},
            customdata=[row["batch"] for row in chosen],
            hovertemplate="%{y}, its batch %{customdata}: %{base:.4g} s + %{x:.4g} s",
        )
    one = simulation.scenario
    figure.update_layout(
        template=TEMPLATE,
        barmode="overlay",
        hovermode="closest",
        title=f"{one.mode}, {one.server} server, {one.schedule} (simulated)",
        xaxis_title="time [s]",
        legend_title="",
        yaxis={
            "automargin": True,
            "autorange": "reversed",
            "categoryorder": "array",
            "categoryarray": [f"worker {i}" for i in range(one.workers)],
        },
    )
    return figure


def save_trace(simulation: Simulation, path: str | Path) -> Path:
    """Write the trace: ``.html`` a figure, ``.csv`` rows, ``.json`` for Perfetto or chrome://tracing.

    Raises:
        UnitError: The name ends in none of these.
        FileError: The file cannot be written.
    """
    target = Path(path)
    match target.suffix.lower():
        case ".html":
            return save_figure(gantt_figure(simulation), target)
        case ".csv":
            text = io.StringIO()
            writer = csv.DictWriter(text, list(simulation.trace[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(simulation.trace)
            return write_atomically(target, text.getvalue())
        case ".json":
            return write_atomically(target, json.dumps({"traceEvents": _events(simulation)}))
    raise UnitError(f"{target}: a trace is written as .html, .csv or .json.")


def _events(simulation: Simulation) -> list[dict[str, Any]]:
    return [
        {
            "name": row["activity"],
            "ph": "X",
            "ts": 1e6 * row["began_s"],
            "dur": 1e6 * (row["ended_s"] - row["began_s"]),
            "pid": 0,
            "tid": row["worker"],
            "args": {"batch": row["batch"]},
        }
        for row in spans(simulation)
    ]
