"""The command ``speedup``: parses, calls the library, prints.

Standard output carries the result alone; progress and warnings go to standard error. Nothing slow is
imported before a command is chosen.

Exit codes: 0 answered, 2 bad usage or value, 3 bad file, 4 something missing, 5 too unstable, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from speedup import __version__
from speedup.errors import PlanError, SpeedupError, UnstableTimingError
from speedup.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedup.profile import Profile
    from speedup.tables import EstimateTable

Mode = Literal["sync-join", "sync-split", "async"]
Server = Literal["central", "distributed"]
Schedule = Literal["best", "worst", "mean", "semaphore"]
Output = Literal["table", "single", "csv", "plot", "json"]
OptionalProfile = Annotated[
    str | None, Parameter(help="Shipped profile (speedup profiles) or profile file (speedup calibrate).")
]
Type = Annotated[Mode, Parameter(name="--type", help="Mode of training.")]
OneServer = Annotated[Server, Parameter(help="Where the weights live.")]
OneSchedule = Annotated[
    Schedule | None,
    Parameter(help="How a central server's link is shared; mean of best and worst if left out."),
]
Json = Annotated[bool, Parameter(name="--json", help="One JSON document.")]

app = App(
    name="speedup",
    help="Before you rent the cluster, know what it buys you.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),
    group_commands=Group("Commands", sort_key=0),
    result_action="return_value",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Model:
    """The options that every question of the model has."""

    t_grad: Annotated[float | None, Parameter(help="Gradient of one batch on one worker [s].")] = None
    t_comm: Annotated[float | None, Parameter(help="One transfer of all weights [s].")] = None
    network: Annotated[
        str | None, Parameter(help="Bandwidth such as 1gbit or 12.5GB/s; gives t_comm with a profile.")
    ] = None
    latency_s: Annotated[float, Parameter(help="Fixed time of one message [s], with --network.")] = 0.0
    batches: Annotated[int, Parameter(help="Batches of the whole run, D.")] = 128
    method: Annotated[
        Literal["thesis", "exact"], Parameter(help="Formulas as printed, or exact for whole batches.")
    ] = "thesis"
    placement: Annotated[
        Literal["equal", "greedy", "lpt", "bytes"],
        Parameter(help="How a distributed server's tensors are placed."),
    ] = "equal"


_MODEL = Model()


@app.command
def estimate(
    profile: OptionalProfile = None,
    /,
    *,
    type_: Type = "sync-join",
    server: OneServer = "central",
    schedule: OneSchedule = None,
    workers: Annotated[int, Parameter(help="Largest number of workers, N.")] = 8,
    output: Annotated[
        Output,
        Parameter(help="table; single: the speedup at N alone; csv, json: a row for each count; plot: a page."),
    ] = "table",
    out: Annotated[Path, Parameter(help="Where plot writes its page.")] = Path("speedup-estimate.html"),
    json_: Json = False,
    model: Model = _MODEL,
) -> None:
    """Estimate the speedup for 1 to N workers."""
    import speedup  # noqa: PLC0415

    if schedule is not None and server == "distributed":
        raise PlanError(f'--schedule "{schedule}" belongs to a central server; a distributed one has none.')
    table = speedup.estimate(
        profile,
        workers=range(1, _largest("--workers", workers) + 1),
        modes=type_,
        servers=server,
        schedules=schedule or "mean",
        **vars(model),
    )
    _show_table(table, "json" if json_ else output, out)


def _show_table(table: EstimateTable, output: Output, out: Path) -> None:
    match output:
        case "single":
            print(table[-1].speedup)
        case "csv":
            print(table.to_csv(), end="")
        case "json":
            print(table.to_json())
        case "plot":
            from speedup.figures import save_figure, speedup_figure  # noqa: PLC0415

            print(save_figure(speedup_figure(table), check_writable(out)))
        case "table":
            from speedup.text import plan_lines  # noqa: PLC0415

            print("\n".join(plan_lines(table)))


def _largest(option: str, count: int) -> int:
    if count < 1:
        raise PlanError(f"{option} must be at least 1, got {count}.")
    return count


@app.command
def recommend(
    profile: OptionalProfile = None,
    /,
    *,
    max_workers: Annotated[int, Parameter(help="Largest number of workers to consider.")] = 8,
    modes: Annotated[
        list[Mode] | None, Parameter(consume_multiple=True, help="Modes to consider; all if left out.")
    ] = None,
    servers: Annotated[
        list[Server] | None, Parameter(consume_multiple=True, help="Servers to consider; all if left out.")
    ] = None,
    schedules: Annotated[
        list[Schedule] | None, Parameter(consume_multiple=True, help="How a central server's link is shared.")
    ] = None,
    objective: Annotated[Literal["time"], Parameter(help="What to minimise.")] = "time",
    min_efficiency: Annotated[
        float | None, Parameter(help="Consider only plans with this speedup per worker, such as 0.8.")
    ] = None,
    json_: Json = False,
    model: Model = _MODEL,
) -> None:
    """Say how many workers to use, with which server, and why."""
    import speedup  # noqa: PLC0415

    answer = speedup.recommend(
        profile,
        max_workers=_largest("--max-workers", max_workers),
        modes=modes,
        servers=servers,
        schedules=schedules or "mean",
        objective=objective,
        min_efficiency=min_efficiency,
        **vars(model),
    )
    print(answer.to_json() if json_ else answer)


@app.command
def explain(
    profile: OptionalProfile = None,
    /,
    *,
    type_: Type = "sync-join",
    server: OneServer = "distributed",
    schedule: OneSchedule = None,
    workers: Annotated[int, Parameter(alias="-n", help="Number of workers, N.")] = 8,
    json_: Json = False,
    model: Model = _MODEL,
) -> None:
    """Show the formula of one plan with the numbers put in."""
    import speedup  # noqa: PLC0415

    explanation = speedup.explain(
        profile,
        workers=_largest("--workers", workers),
        mode=type_,
        server=server,
        schedule=schedule,
        **vars(model),
    )
    print(explanation.to_json() if json_ else explanation)


@app.command
def profiles(*, json_: Json = False) -> None:
    """List the shipped profiles."""
    from speedup.profile import profiles as shipped  # noqa: PLC0415
    from speedup.text import aligned  # noqa: PLC0415
    from speedup.units import show_bytes, show_seconds  # noqa: PLC0415

    rows = [_profile_row(one) for one in shipped().values()]
    if json_:
        print(json.dumps({"schema": "speedup.profiles/1", "profiles": rows}, indent=1))
        return
    head = ("name", "parameters", "payload", "batch", "t_grad", "t_comm", "provenance", "device")
    show: dict[str, Callable[[Any], str]] = {
        "parameters": "{:,}".format,
        "payload_bytes": show_bytes,
        "t_grad_s": show_seconds,
        "t_comm_s": show_seconds,
    }
    cells = [tuple("-" if cell is None else show.get(key, str)(cell) for key, cell in row.items()) for row in rows]
    print("\n".join(aligned([head, *cells])))


def _profile_row(profile: Profile) -> dict[str, Any]:
    load = profile.workload
    return {
        "name": profile.name,
        "parameters": load.parameters,
        "payload_bytes": load.payload_bytes,
        "batch": load.batch,
        "t_grad_s": profile.t_grad_s,
        "t_comm_s": profile.t_comm.median_s if profile.t_comm else None,
        "provenance": str(profile.t_grad_timing.provenance),
        "device": str(profile.device),
    }


@app.command
def models(*, json_: Json = False) -> None:
    """List the architectures that can be calibrated."""
    from speedup.bridge import load_calibrate  # noqa: PLC0415
    from speedup.text import aligned  # noqa: PLC0415

    rows = load_calibrate().describe_architectures()
    if json_:
        print(json.dumps({"schema": "speedup.models/1", "models": rows}, indent=1))
        return
    cells = [
        tuple("x".join(map(str, cell)) if isinstance(cell, (list, tuple)) else str(cell) for cell in row.values())
        for row in rows
    ]
    print("\n".join(aligned([tuple(rows[0]), *cells])))


@app.command
def calibrate(
    name: Annotated[str, Parameter(help="Architecture (speedup models).")],
    /,
    *,
    batch: Annotated[int | None, Parameter(help="Samples in a batch; the architecture's default if left out.")] = None,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="File to write; NAME-DEVICE-bBATCH.json here if left out."),
    ] = None,
    max_time_s: Annotated[float, Parameter(help="Stop sampling after this time [s].")] = 60.0,
    seed: Annotated[int, Parameter(help="Seed of the weights and of the synthetic batch.")] = 0,
    quiet: Annotated[bool, Parameter(help="No progress.")] = False,
    json_: Json = False,
) -> int:
    """Measure t_grad of a network on this machine's device and save the profile."""
    import speedup  # noqa: PLC0415
    from speedup.progress import showing_progress  # noqa: PLC0415

    if output is not None:
        check_writable(output)
    with showing_progress(quiet=quiet) as on_progress:
        profile = speedup.calibrate(name, batch=batch, max_time_s=max_time_s, seed=seed, on_progress=on_progress)
    path = profile.save(output or Path(f"{profile.name}.json"))
    timing = profile.t_grad_timing
    for warning in profile.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if json_:
        print(profile.to_json(), end="")
    else:
        print(f"t_grad {timing}, batch {profile.workload.batch}, {profile.device}")
        print(f"saved {path}")
    return 0 if timing.stable else UnstableTimingError.exit_code


@app.command
def doctor(*, json_: Json = False) -> int:
    """Show versions and devices, and what stands in the way."""
    from speedup.doctor import examine  # noqa: PLC0415

    checkup = examine()
    print(json.dumps(checkup.to_dict(), indent=1) if json_ else checkup)
    return 4 if checkup.problems else 0


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(str(error), 2)
    except SpeedupError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written.", 130)
    except BrokenPipeError:
        # The reader has gone, as in `speedup estimate ... | head -1`; the interpreter must not flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))
