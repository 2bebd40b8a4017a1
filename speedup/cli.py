"""The command ``speedup``: parses, calls the library, prints.

Standard output carries the result alone; progress and warnings go to standard error. Nothing slow is
imported before a command is chosen.

Exit codes: 0 answered, 1 a stated accuracy does not hold, 2 bad usage or value, 3 bad file, 4 something missing,
5 too unstable, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from speedup import __version__
from speedup.cli_shared import (
    CONSIDERED,
    ESTIMATION,
    MODEL,
    WANTED,
    Collective,
    Considered,
    Estimation,
    Json,
    Mode,
    Model,
    OneSchedule,
    OneServer,
    OptionalProfile,
    Type,
    Wanted,
    asked,
    fail,
    largest,
)
from speedup.errors import PlanError, SpeedupError, UnitError
from speedup.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speedup.tables import EstimateTable

SimulatedServer = Literal["central", "distributed", "sharded"]
SimulatedSchedule = Literal["semaphore", "fair"]
NamedLaw = Literal["gamma", "lognormal", "exponential", "constant"]
Output = Literal["table", "single", "csv", "plot", "json"]

app = App(
    name="speedup",
    help="Before you rent the cluster, know what it buys you.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),
    group_commands=Group("Commands", sort_key=0),
    result_action="return_value",
)


@app.command
def estimate(
    profile: OptionalProfile = None,
    /,
    *,
    type_: Type = "sync-join",
    server: OneServer = "central",
    schedule: OneSchedule = None,
    collective: Annotated[Collective, Parameter(help="How an all-reduce goes; best for the fastest.")] = "best",
    workers: Annotated[int, Parameter(help="Largest number of workers, N.")] = 8,
    output: Annotated[
        Output,
        Parameter(help="table; single: the speedup at N alone; csv, json: a row for each count; plot: a page."),
    ] = "table",
    out: Annotated[Path, Parameter(help="Where plot writes: .html a page, or .svg, .png, .pdf.")] = Path(
        "speedup-estimate.html"
    ),
    json_: Json = False,
    model: Model = MODEL,
    estimation: Estimation = ESTIMATION,
) -> None:
    """Estimate the speedup for 1 to N workers."""
    import speedup  # noqa: PLC0415
    from speedup.kinds import EXPECTED  # noqa: PLC0415

    if schedule is not None and server in {"distributed", "allreduce"}:
        raise PlanError(f'--schedule "{schedule}" belongs to a central server; {server} has none.')
    table = speedup.estimate(
        profile,
        workers=range(1, largest("--workers", workers) + 1),
        modes=type_,
        servers=server,
        schedules=schedule or EXPECTED,
        collectives=collective,
        **vars(model),
        **vars(estimation),
    )
    _show_table(table, "json" if json_ else output, out)


def _show_table(table: EstimateTable, output: Output, out: Path) -> None:
    for warning in table.inputs.warnings:
        print(f"warning: {warning}", file=sys.stderr)
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


@app.command
def recommend(
    profile: OptionalProfile = None,
    /,
    *,
    considered: Considered = CONSIDERED,
    plot: Annotated[
        Path | None, Parameter(help="Write the choice among all plans as a figure: .html, or .svg, .png, .pdf.")
    ] = None,
    json_: Json = False,
    wanted: Wanted = WANTED,
    model: Model = MODEL,
    estimation: Estimation = ESTIMATION,
) -> None:
    """Say how many workers to use, with which server, and why."""
    import speedup  # noqa: PLC0415

    if plot is not None:
        check_writable(plot)
    answer = speedup.recommend(profile, **asked(considered, wanted, model, estimation))
    print(answer.to_json() if json_ else answer)
    if plot is not None:
        from speedup.figures import save_figure  # noqa: PLC0415

        print(save_figure(answer.plot(), plot), file=sys.stderr if json_ else sys.stdout)


@app.command
def explain(
    profile: OptionalProfile = None,
    /,
    *,
    type_: Type = "sync-join",
    server: OneServer = "distributed",
    schedule: OneSchedule = None,
    collective: Annotated[Collective, Parameter(help="How an all-reduce goes; best for the fastest.")] = "best",
    workers: Annotated[int, Parameter(alias="-n", help="Number of workers, N.")] = 8,
    method: Annotated[
        Literal["thesis", "exact"] | None,
        Parameter(help="Formulas as printed, or exact for whole batches; printed where the thesis has the plan."),
    ] = None,
    json_: Json = False,
    model: Model = MODEL,
) -> None:
    """Show the formula of one plan with the numbers put in."""
    import speedup  # noqa: PLC0415

    explanation = speedup.explain(
        profile,
        workers=largest("--workers", workers),
        mode=type_,
        server=server,
        schedule=schedule,
        collective=collective,
        method=method,
        **vars(model),
    )
    print(explanation.to_json() if json_ else explanation)


@app.command
def simulate(
    trace_file: Annotated[
        Path, Parameter(help="Where --trace writes: .html a figure, .csv rows, .json for Perfetto or chrome://tracing.")
    ] = Path("speedup-trace.html"),
    /,
    *,
    t_grad: Annotated[str, Parameter(help="Gradient of one whole batch [s]; one value, or one a worker: 1,1,2.")],
    t_comm: Annotated[str, Parameter(help="One transfer of all weights [s]; one value, or one a worker.")],
    mode: Annotated[Mode, Parameter(help="Mode of training.")] = "async",
    server: Annotated[SimulatedServer, Parameter(help="Where the weights live.")] = "central",
    schedule: Annotated[SimulatedSchedule, Parameter(help="How links are shared.")] = "semaphore",
    workers: Annotated[int, Parameter(help="Number of workers, N.")] = 8,
    batches: Annotated[int, Parameter(help="Batches of the whole run, D.")] = 128,
    cv_grad: Annotated[str | None, Parameter(help="Coefficient of variation of t_grad, 0 if left out.")] = None,
    cv_comm: Annotated[str | None, Parameter(help="Coefficient of variation of t_comm, 0 if left out.")] = None,
    law: Annotated[NamedLaw, Parameter(help="Law of both times; an exponential has cv 1.")] = "gamma",
    assign: Annotated[
        Literal["pool", "static"], Parameter(help="Batches of async: one shared pool, or D/N a worker.")
    ] = "pool",
    shards: Annotated[str, Parameter(help="Shards of a sharded server, or the share of each: 0.5,0.3,0.2.")] = "2",
    join: Annotated[str, Parameter(help="When workers join [s].")] = "0",
    leave: Annotated[str, Parameter(help="When workers leave, after the batch in hand [s].")] = "inf",
    straggler_probability: Annotated[float, Parameter(help="Probability that a gradient straggles.")] = 0.0,
    straggler_slowdown: Annotated[float, Parameter(help="How many times as long it takes then.")] = 1.0,
    replications: Annotated[int, Parameter(help="Runs.")] = 100,
    seed: Annotated[int, Parameter(help="The same seed gives the same runs.")] = 0,
    trace: Annotated[bool, Parameter(help="Write the first batches of the first run, as a Gantt chart.")] = False,
    json_: Json = False,
) -> None:
    """Simulate a run event by event: its time, its spread, and where the time goes."""
    from speedup.simulation import simulate as simulated  # noqa: PLC0415

    if trace:
        check_writable(trace_file)
    result = simulated(
        workers=workers,
        batches=batches,
        t_grad=_numbers("--t-grad", t_grad),
        t_comm=_numbers("--t-comm", t_comm),
        mode=mode,
        server=server,
        schedule=schedule,
        cv_grad=None if cv_grad is None else _numbers("--cv-grad", cv_grad),
        cv_comm=None if cv_comm is None else _numbers("--cv-comm", cv_comm),
        law=law,
        assign=assign,
        shards=int(shards) if shards.strip().isdigit() else _numbers("--shards", shards),
        join_s=_numbers("--join", join),
        leave_s=_numbers("--leave", leave),
        straggler_probability=straggler_probability,
        straggler_slowdown=straggler_slowdown,
        replications=replications,
        seed=seed,
        trace=trace,
    )
    print(result.to_json() if json_ else result)
    if trace:
        from speedup.figures import save_trace  # noqa: PLC0415

        print(save_trace(result, trace_file), file=sys.stderr if json_ else sys.stdout)


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UnitError(
            f'{option} "{text}" is no number, nor numbers with commas between, such as 0.5 or 1,1,2.'
        ) from None


@app.command
def compare(
    a: Annotated[str, Parameter(help="Profile, shipped or a file.")],
    b: Annotated[str, Parameter(help="Another of the same network on the same device.")],
    /,
    *,
    json_: Json = False,
) -> None:
    """Compare two profiles of one network on one device."""
    from speedup.comparison import compare as compared  # noqa: PLC0415

    comparison = compared(a, b)
    print(comparison.to_json() if json_ else comparison)


def _show_rows(kind: str, rows: list[dict[str, Any]], *, json_: bool) -> None:
    from speedup.listings import row_lines  # noqa: PLC0415

    print(json.dumps({"schema": f"speedup.{kind}/1", kind: rows}, indent=1) if json_ else "\n".join(row_lines(rows)))


@app.command
def profiles(*, json_: Json = False) -> None:
    """List the shipped profiles and those measured here."""
    from speedup.listings import profile_rows  # noqa: PLC0415

    rows, faults = profile_rows()
    for fault in faults:
        print(f"warning: {fault}", file=sys.stderr)
    _show_rows("profiles", rows, json_=json_)


@app.command
def models(*, json_: Json = False) -> None:
    """List the architectures that can be calibrated."""
    from speedup.bridge import load_calibrate  # noqa: PLC0415

    _show_rows("models", load_calibrate().describe_architectures(), json_=json_)


@app.command
def algorithms(*, json_: Json = False) -> None:
    """List the training algorithms that can be calibrated."""
    from speedup.bridge import load_calibrate  # noqa: PLC0415

    _show_rows("algorithms", load_calibrate().describe_algorithms(), json_=json_)


@app.command
def encodings(profile: OptionalProfile = None, /, *, json_: Json = False) -> None:
    """List the encodings of gradients and weights; with a profile, what they make of its payload."""
    from speedup.listings import encoding_rows  # noqa: PLC0415
    from speedup.profile import Profile  # noqa: PLC0415

    load = None if profile is None else Profile.load(profile).workload
    _show_rows("encodings", encoding_rows(load), json_=json_)


@app.command
def doctor(*, json_: Json = False) -> int:
    """Show versions and devices, and what stands in the way."""
    from speedup.doctor import examine  # noqa: PLC0415

    checkup = examine()
    print(json.dumps(checkup.to_dict(), indent=1) if json_ else checkup)
    return 4 if checkup.problems else 0


app.command("speedup.cli_calibrate:calibrate", name="calibrate")
app.command("speedup.cli_calibrate:predict", name="predict")
app.command("speedup.cli_fit:fit", name="fit")
app.command("speedup.cli_report:report", name="report")
app.command("speedup.cli_report:explore", name="explore")
app.command("speedup.cli_train:train", name="train")
app.command("speedup.cli_cluster:transport", name="transport")
app.command("speedup.cli_cluster:run", name="run")
app.command("speedup.cli_cluster:testbed", name="testbed")
app.command("speedup.cli_validate:validate", name="validate")


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        return fail(str(error), 2)
    except SpeedupError as error:
        return fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return fail("interrupted; nothing was written.", 130)
    except BrokenPipeError:
        # The reader has gone, as in `speedup estimate ... | head -1`; the interpreter must not flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))
