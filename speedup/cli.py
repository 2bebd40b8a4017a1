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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from speedup import __version__
from speedup.errors import PlanError, SpeedupError, UnitError, UnstableTimingError
from speedup.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speedup.profile import Profile
    from speedup.tables import EstimateTable

Mode = Literal["sync-join", "sync-split", "async"]
Server = Literal["central", "distributed", "sharded", "byteps", "allreduce"]
Schedule = Literal["fair", "semaphore", "best", "worst", "mean", "pipelined"]
Collective = Literal["best", "ring", "hierarchical", "halving-doubling", "recursive-doubling", "tree"]
SimulatedServer = Literal["central", "distributed", "sharded"]
SimulatedSchedule = Literal["semaphore", "fair"]
NamedLaw = Literal["gamma", "lognormal", "exponential", "constant"]
Output = Literal["table", "single", "csv", "plot", "json"]
OptionalProfile = Annotated[
    str | None, Parameter(help="Shipped profile (speedup profiles) or profile file (speedup calibrate).")
]
Type = Annotated[Mode, Parameter(name="--type", help="Mode of training.")]
OneServer = Annotated[Server, Parameter(help="Where the weights live.")]
OneSchedule = Annotated[
    Schedule | None,
    Parameter(help="How a central server's link is shared; fair if left out, mean for the thesis's formulas."),
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
    t_up: Annotated[float | None, Parameter(help="One transfer of the gradients [s], if that is another time.")] = None
    batch: Annotated[
        int | None, Parameter(help="Samples in one batch of one worker; the profile's own if left out.")
    ] = None
    network: Annotated[
        str | None, Parameter(help="Bandwidth such as 1gbit or 12.5GB/s; gives t_comm with a profile.")
    ] = None
    latency_s: Annotated[float, Parameter(help="Fixed time of one message [s], with --network.")] = 0.0
    batches: Annotated[
        int | None, Parameter(help="Batches of the whole run, D; 128, or those of the profile's phases, if left out.")
    ] = None
    placement: Annotated[
        Literal["equal", "greedy", "lpt", "bytes"],
        Parameter(help="How a distributed server's tensors are placed."),
    ] = "equal"
    up: Annotated[str | None, Parameter(help="Encoding of the gradients, such as int8; with --network.")] = None
    down: Annotated[str | None, Parameter(help="Encoding of the weights, such as bf16; likewise.")] = None
    deltas: Annotated[bool, Parameter(help="The server sends changes of the weights, encoded like gradients.")] = False
    t_codec: Annotated[float, Parameter(help="What a worker takes to encode and decode, once an iteration [s].")] = 0.0
    shards: Annotated[int | None, Parameter(help="Machines of a sharded server; as many as workers if left out.")] = (
        None
    )
    overlap: Annotated[
        str, Parameter(help="Sent while gradients are computed: off, full, a share such as 0.5, layers, or gamma=2.")
    ] = "off"
    per_machine: Annotated[int, Parameter(help="Accelerators of a machine, which share its link.")] = 1
    intra: Annotated[
        str | None, Parameter(help="Bandwidth inside a machine, such as 600gbit; no time if left out.")
    ] = None
    local_steps: Annotated[int, Parameter(help="Steps of a worker between two exchanges.")] = 1
    backup: Annotated[int, Parameter(help="Workers whose gradients an iteration does not wait for.")] = 0
    speeds: Annotated[
        list[float], Parameter(consume_multiple=True, help="Of each worker; 1 is that of one with t_grad.")
    ] = field(default_factory=list)
    staleness: Annotated[int | None, Parameter(help="Iterations that an async worker may be ahead of the slowest.")] = (
        None
    )
    t_serve: Annotated[float, Parameter(help="What one server works for one gradient of all weights [s].")] = 0.0
    t_update: Annotated[float, Parameter(help="What it works once an iteration [s].")] = 0.0


_MODEL = Model()
_METHOD_HELP = (
    "auto: the cheapest estimator that is safe; thesis: formulas as printed; exact: formulas over whole batches."
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Estimation:
    """How the model answers, and how much its times vary."""

    method: Annotated[Literal["auto", "queueing", "simulation", "thesis", "exact"], Parameter(help=_METHOD_HELP)] = (
        "auto"
    )
    cv_grad: Annotated[
        float | None, Parameter(help="Coefficient of variation of t_grad; the profile's own if left out.")
    ] = None
    cv_comm: Annotated[float | None, Parameter(help="Coefficient of variation of t_comm; likewise.")] = None


_ESTIMATION = Estimation()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a plan."""

    objective: Annotated[
        Literal["time", "cost", "time-to-target", "cost-to-target"], Parameter(help="What to minimise.")
    ] = "time"
    min_efficiency: Annotated[
        float | None, Parameter(help="Consider only plans with this speedup per worker, such as 0.8.")
    ] = None
    noise_scale: Annotated[
        float | None, Parameter(help="Gradient noise scale [samples]; the profile's own if left out.")
    ] = None
    staleness_cost: Annotated[
        float, Parameter(help="Steps that an update of age costs an async run, in those of an infinite batch.")
    ] = 1.0
    price: Annotated[
        str | None, Parameter(help="Of a machine-hour [USD], or the name of a machine, such as p3.16xlarge.")
    ] = None
    server_price: Annotated[str | None, Parameter(help="Of a machine that only holds weights; --price by default.")] = (
        None
    )
    deadline_s: Annotated[float | None, Parameter(help="Consider only plans that are done by then [s].")] = None
    budget: Annotated[float | None, Parameter(help="Consider only plans that cost at most so much [USD].")] = None
    device_bytes: Annotated[
        float | None, Parameter(help="Memory of a device; that of the profile's device if left out.")
    ] = None
    server_bytes: Annotated[float | None, Parameter(help="Memory of a machine that holds weights.")] = None
    mtbf_h: Annotated[
        float | None, Parameter(help="Mean time to the failure of one machine [h]; none fails if left out.")
    ] = None
    save_s: Annotated[float, Parameter(help="What saving a checkpoint takes [s], with --mtbf-h.")] = 0.0
    restart_s: Annotated[float, Parameter(help="What starting again from one takes [s], with --mtbf-h.")] = 0.0


_WANTED = Wanted()


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
    out: Annotated[Path, Parameter(help="Where plot writes its page.")] = Path("speedup-estimate.html"),
    json_: Json = False,
    model: Model = _MODEL,
    estimation: Estimation = _ESTIMATION,
) -> None:
    """Estimate the speedup for 1 to N workers."""
    import speedup  # noqa: PLC0415
    from speedup.kinds import EXPECTED  # noqa: PLC0415

    if schedule is not None and server in {"distributed", "allreduce"}:
        raise PlanError(f'--schedule "{schedule}" belongs to a central server; {server} has none.')
    table = speedup.estimate(
        profile,
        workers=range(1, _largest("--workers", workers) + 1),
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
        list[Schedule] | None, Parameter(consume_multiple=True, help="How a server's links are shared.")
    ] = None,
    collectives: Annotated[
        list[Collective] | None,
        Parameter(consume_multiple=True, help="How an all-reduce goes; the fastest if left out."),
    ] = None,
    batch_sizes: Annotated[
        list[int] | None,
        Parameter(consume_multiple=True, help="Batch sizes to consider together, in the place of --batch."),
    ] = None,
    switch: Annotated[
        float, Parameter(help="What going over to another plan costs [s], for a profile with phases.")
    ] = 10.0,
    json_: Json = False,
    wanted: Wanted = _WANTED,
    model: Model = _MODEL,
    estimation: Estimation = _ESTIMATION,
) -> None:
    """Say how many workers to use, with which server, and why."""
    import speedup  # noqa: PLC0415
    from speedup.kinds import EXPECTED  # noqa: PLC0415

    answer = speedup.recommend(
        profile,
        max_workers=_largest("--max-workers", max_workers),
        modes=modes,
        servers=servers,
        schedules=schedules or EXPECTED,
        collectives=collectives or "best",
        switch_s=switch,
        **vars(wanted),
        **(vars(model) | ({"batch": batch_sizes} if batch_sizes else {})),
        **vars(estimation),
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
    collective: Annotated[Collective, Parameter(help="How an all-reduce goes; best for the fastest.")] = "best",
    workers: Annotated[int, Parameter(alias="-n", help="Number of workers, N.")] = 8,
    method: Annotated[
        Literal["thesis", "exact"] | None,
        Parameter(help="Formulas as printed, or exact for whole batches; printed where the thesis has the plan."),
    ] = None,
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
        from speedup.gantt import save_trace  # noqa: PLC0415

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


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """What is calibrated, and how long."""

    batch: Annotated[
        list[int] | None,
        Parameter(
            name=["--batch", "--batches"],
            consume_multiple=True,
            help="Samples in a batch, one or several; with several the profile estimates any batch size.",
        ),
    ] = None
    classes: Annotated[int | None, Parameter(help="Classes; the architecture's own number if left out.")] = None
    precision: Annotated[Literal["float32", "bfloat16"], Parameter(help="Type to compute in.")] = "float32"
    max_time_s: Annotated[
        float | None, Parameter(help="Stop sampling a batch size after this time [s]; 60, or 1.2 with --quick.")
    ] = None
    seed: Annotated[int, Parameter(help="Seed of the weights and of the synthetic batch.")] = 0


_CALIBRATION = CalibrationOptions()


@app.command
def calibrate(
    *names: Annotated[str, Parameter(help="Architectures (speedup models).")],
    all_: Annotated[bool, Parameter(name="--all", help="All architectures.")] = False,
    algorithm: Annotated[
        list[str] | None,
        Parameter(
            name=["--algorithm", "--algorithms"],
            consume_multiple=True,
            help="Training algorithms (speedup algorithms); sgd for a name, with --all all of them.",
        ),
    ] = None,
    quick: Annotated[bool, Parameter(help="A second a point, one small batch, five algorithms.")] = False,
    resume: Annotated[bool, Parameter(help="Keep what an interrupted calibration has measured.")] = False,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="File of a single profile, folder of several; the store (speedup profiles) if left out.",
        ),
    ] = None,
    quiet: Annotated[bool, Parameter(help="No progress.")] = False,
    json_: Json = False,
    options: CalibrationOptions = _CALIBRATION,
) -> int:
    """Measure t_grad of networks on this machine's device and save the profiles."""
    if not names and not all_:
        raise PlanError("name an architecture (speedup models), or calibrate --all.")
    if names and all_:
        raise PlanError(f'--all and "{names[0]}" were both given; drop one.')
    several = all_ or quick or resume or len(names) > 1 or len(algorithm or ()) > 1
    if several:
        return _calibrate_many(
            names or None, algorithm, output, options, quick=quick, resume=resume, quiet=quiet, json_=json_
        )
    return _calibrate_one(names[0], (algorithm or ["sgd"])[0], output, options, quiet=quiet, json_=json_)


def _calibrate_one(
    name: str, algorithm: str, output: Path | None, options: CalibrationOptions, *, quiet: bool, json_: bool
) -> int:
    import speedup  # noqa: PLC0415
    from speedup.interrupts import heeding_interrupts  # noqa: PLC0415
    from speedup.progress import showing_progress  # noqa: PLC0415
    from speedup.store import make_store  # noqa: PLC0415

    folder = Path() if output else make_store()
    if output is not None:
        check_writable(output)
    saved = list[Path]()

    def save(profile: Profile) -> None:
        saved.append(profile.save(output or folder / f"{profile.name}.json"))

    chosen = vars(options) | {"max_time_s": options.max_time_s or 60.0}
    try:
        with showing_progress(quiet=quiet) as shown, heeding_interrupts(shown) as on_progress:
            profile = speedup.calibrate(name, algorithm=algorithm, on_progress=on_progress, on_visit=save, **chosen)
    except KeyboardInterrupt:
        kept = f"what was measured is in {saved[-1]}." if saved else "nothing was written."
        return _fail(f"interrupted; {kept}", 130)
    for warning in profile.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if json_:
        print(profile.to_json(), end="")
    else:
        for timing in profile.t_grad:
            print(f"t_grad {timing}, batch {timing.batch}, {profile.device}")
        print(f"saved {saved[-1]}")
    stable = all(timing.stable for timing in profile.t_grad)
    return 0 if stable else UnstableTimingError.exit_code


def _calibrate_many(
    names: tuple[str, ...] | None,
    algorithms: list[str] | None,
    output: Path | None,
    options: CalibrationOptions,
    *,
    quick: bool,
    resume: bool,
    quiet: bool,
    json_: bool,
) -> int:
    from speedup.bridge import calibrate_cells  # noqa: PLC0415
    from speedup.interrupts import heeding_interrupts  # noqa: PLC0415
    from speedup.outcomes import outcome_line, outcome_lines, outcome_row  # noqa: PLC0415
    from speedup.progress import showing_progress  # noqa: PLC0415
    from speedup.store import make_store  # noqa: PLC0415

    folder = make_store(output)
    rows = list[dict[str, Any]]()
    try:
        with showing_progress(quiet=quiet) as shown, heeding_interrupts(shown) as on_progress:
            outcomes = calibrate_cells(
                names, algorithms, folder, quick=quick, resume=resume, on_progress=on_progress, **vars(options)
            )
            for outcome in outcomes:
                rows.append(outcome_row(outcome))
                if not quiet:
                    print(outcome_line(rows[-1]), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return _fail(f"interrupted; {len(rows)} finished profiles are in {folder}. Go on with --resume.", 130)
    if json_:
        print(json.dumps({"schema": "speedup.calibrations/1", "folder": str(folder), "calibrations": rows}, indent=1))
    else:
        print("\n".join(outcome_lines(rows)))
        print(f"saved in {folder}")
    return 4 if any(row["error"] for row in rows) else 0


@app.command
def predict(
    name: Annotated[str, Parameter(help="Architecture (speedup models).")],
    /,
    *,
    batch: Annotated[int | None, Parameter(help="Samples in a batch; the architecture's default if left out.")] = None,
    profiles: Annotated[Path | None, Parameter(help="Folder of profiles; the store if left out.")] = None,
    json_: Json = False,
) -> None:
    """Predict t_grad of a network from others measured on this device, with the error to expect."""
    from speedup.bridge import predict as predicted  # noqa: PLC0415

    answer = predicted(name, batch, profiles)
    print(json.dumps(answer.to_dict(), indent=1) if json_ else answer)


@app.command
def doctor(*, json_: Json = False) -> int:
    """Show versions and devices, and what stands in the way."""
    from speedup.doctor import examine  # noqa: PLC0415

    checkup = examine()
    print(json.dumps(checkup.to_dict(), indent=1) if json_ else checkup)
    return 4 if checkup.problems else 0


app.command("speedup.cli_fit:fit", name="fit")
app.command("speedup.cli_train:train", name="train")
app.command("speedup.cli_cluster:transport", name="transport")
app.command("speedup.cli_cluster:run", name="run")
app.command("speedup.cli_cluster:testbed", name="testbed")
app.command("speedup.cli_validate:validate", name="validate")


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
