"""The first batches of a simulated run as a Gantt chart: a figure, rows, or a file for a trace viewer."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speedup.errors import PlanError, UnitError
from speedup.figures.saving import save_figure
from speedup.figures.template import BLUE, GREEN, VERMILION, new_figure, seconds_axis
from speedup.files import write_atomically

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from speedup.simulation import Simulation

_LOOK = {"pull": (BLUE, "/"), "compute": (GREEN, ""), "push": (VERMILION, "\\"), "wait": ("#BBBBBB", ".")}


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

    These are the sequence diagrams 4.1 to 4.6 of the thesis: a row a worker, with the number of its batch in each bar.

    Args:
        simulation: One that kept its trace.

    Returns:
        The figure, to change or save.

    Raises:
        PlanError: The simulation kept no trace.

    Example:
        >>> from speedup.simulation import simulate
        >>> run = simulate(workers=2, batches=4, t_grad=1.0, t_comm=0.5, replications=1, trace=True)
        >>> [bar.name for bar in gantt_figure(run).data]
        ['pull', 'compute', 'push', 'wait']
    """
    rows, one = spans(simulation), simulation.scenario
    if not rows:
        raise PlanError("this simulation kept no trace, so there is nothing to draw: simulate(..., trace=True).")
    about = f"{one.mode}, {one.server} server, {one.schedule}: the first batches, simulated"
    figure = new_figure("Who does what when", about, x="time", y="")
    for activity in _LOOK:
        chosen = [row for row in rows if row["activity"] == activity]
        if chosen:
            _add_bars(figure, activity, chosen)
    figure.update_layout(barmode="overlay", hovermode="closest", uniformtext={"mode": "hide", "minsize": 9}, bargap=0.3)
    figure.update_xaxes(**seconds_axis(max(row["ended_s"] for row in rows)))
    names = [f"worker {worker}" for worker in range(one.workers)]
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=names)
    return figure


def _add_bars(figure: go.Figure, activity: str, rows: list[dict[str, Any]]) -> None:
    colour, pattern = _LOOK[activity]
    figure.add_bar(
        name=activity,
        orientation="h",
        y=[f"worker {row['worker']}" for row in rows],
        base=[row["began_s"] for row in rows],
        x=[row["ended_s"] - row["began_s"] for row in rows],
        marker={"color": colour, "pattern": {"shape": pattern, "fillmode": "overlay", "solidity": 0.25}},
        customdata=[[row["batch"], row["began_s"], row["ended_s"]] for row in rows],
        text=[str(row["batch"]) if activity == "compute" else "" for row in rows],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        hovertemplate=f"%{{y}}, {activity}, its batch %{{customdata[0]}}: "
        "%{customdata[1]:.4s}s to %{customdata[2]:.4s}s<extra></extra>",
    )


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
