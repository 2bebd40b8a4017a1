"""The commands that run on a cluster: ``transport``, ``run``, ``testbed``, ``validate cluster``."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 - the parser reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from speedup.errors import PlanError
from speedup.files import check_writable, write_rows
from speedup.units import bandwidth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from speedup.validation import Comparison

Json = Annotated[bool, Parameter(name="--json", help="One JSON document.")]
HostNames = Annotated[
    list[str] | None,
    Parameter(
        name="--hosts",
        consume_multiple=True,
        help="Hosts, reached as mpirun does; the testbed around, or this machine.",
    ),
]
Engine = Annotated[
    Literal["mpi", "tcp"],
    Parameter(help="What carries the messages: MPI, or TCP sockets that listen on the hosts' own addresses only."),
]
Rate = Annotated[str, Parameter(help="Bandwidth of each emulated link and direction.")]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], help="No progress.")]


def testbed(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True, help="What to run on the first host, after --.")],
    hosts: Annotated[int, Parameter(help="Number of hosts.")] = 4,
    rate: Rate = "1gbit",
    congestion: Annotated[str, Parameter(help="TCP's congestion control.")] = "cubic",
) -> int:
    """Run a command among hosts that are network namespaces of this machine, with links shaped to a rate.

    ``mpirun`` of this package, ``speedup run`` and ``speedup transport`` find the hosts by themselves.
    """
    from speedup.bridge import load_testbed  # noqa: PLC0415

    if not command:
        raise PlanError("testbed needs a command, such as: speedup testbed --hosts 4 -- speedup transport")
    code: int = load_testbed().run_in_testbed(hosts, rate, command, congestion=congestion)
    return code


def transport(
    *profiles: Annotated[Path, Parameter(help="Profile files into which the link is written.")],
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="File for the link, such as lab.json.")] = None,
    largest: Annotated[int, Parameter(help="Bytes of the largest transfer.")] = 50_000_000,
    flows: Annotated[int, Parameter(help="Up to how many hosts send to one at once; 1 for none.")] = 1,
    exchanges: Annotated[
        list[int] | None,
        Parameter(consume_multiple=True, help="How many hosts exchange shares with one another at once."),
    ] = None,
    seconds: Annotated[float, Parameter(help="For each size and direction [s].")] = 1.0,
    devices: Annotated[
        bool, Parameter(help="Copies to and from the device, and JAX's collectives, instead of the link.")
    ] = False,
    processes: Annotated[int, Parameter(help="Processes whose devices take part, with --devices.")] = 2,
    hosts: HostNames = None,
    engine: Engine = "mpi",
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Measure a transfer between two hosts: latency, bandwidth, both directions at once, several flows into one."""
    from speedup.bridge import load_cluster  # noqa: PLC0415
    from speedup.listings import device_lines  # noqa: PLC0415
    from speedup.profile import Profile  # noqa: PLC0415

    sessions = load_cluster()
    if devices:
        found = sessions.measure_devices(largest, processes, sessions.named_hosts(hosts, engine), on_report=_warn)
        print(json.dumps(found, indent=1) if json_ else "\n".join(device_lines(found)))
        return
    for path in (*profiles, *([out] if out else [])):
        check_writable(path)
    known = [(path, Profile.load(path)) for path in profiles]
    payloads = [profile.workload.payload_bytes for _, profile in known]
    sweep = sessions.sweep_to(
        max(largest, *payloads, 1), payloads, flows=flows, exchanges=exchanges or (), seconds=seconds
    )
    with _shown(quiet=quiet) as show:
        link = sessions.measure_link(
            sweep, sessions.named_hosts(hosts, engine), on_progress=show("transport", 1), on_report=_warn
        )
    for path, profile in known:
        replace(profile, link=link).save(path)
    if out is not None:
        link.save(out)
    print(json.dumps(link.to_dict(), indent=1) if json_ else link)
    for path in (*profiles, *([out] if out else [])):
        print(f"saved {path}", file=sys.stderr)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What is run."""

    workers: Annotated[int, Parameter(help="Number of workers, N.")] = 2
    mode: Annotated[Literal["sync-join", "sync-split", "async"], Parameter(help="Mode of training.")] = "sync-join"
    server: Annotated[
        Literal["central", "distributed", "sharded", "allreduce"], Parameter(help="Where the weights live.")
    ] = "central"
    schedule: Annotated[
        Literal["semaphore", "fair", "none"],
        Parameter(help="One transfer at a time and direction at a server, or all."),
    ] = "none"
    placement: Annotated[
        Literal["bytes", "greedy", "lpt"], Parameter(help="How tensors are placed: cut evenly, or Algorithm 3.7.")
    ] = "bytes"
    servers: Annotated[int, Parameter(help="Machines of a sharded server.")] = 1


_RUN = RunOptions()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What is computed for real."""

    algorithm: Annotated[str, Parameter(help="Training algorithm (speedup algorithms).")] = "sgd"
    batch: Annotated[int | None, Parameter(help="Samples in a batch; the architecture's own if left out.")] = None
    classes: Annotated[int | None, Parameter(help="Classes; the architecture's own if left out.")] = None
    data: Annotated[
        str | None, Parameter(help="mnist, fashion_mnist, cifar10, digits or synthetic; one batch if left out.")
    ] = None
    data_folder: Annotated[Path | None, Parameter(help="Where its files are; SPEEDUP_DATA if left out.")] = None
    rate: Annotated[float, Parameter(help="What the algorithm's steps are multiplied by.")] = 1.0
    seed: Annotated[int, Parameter(help="Of weights and batches.")] = 0
    cores: Annotated[int | None, Parameter(help="Cores that each worker is kept to.")] = None
    checkpoint: Annotated[Path | None, Parameter(help="Folder for checkpoints.")] = None
    every: Annotated[int, Parameter(help="Updates between two checkpoints.")] = 100
    resume: Annotated[bool, Parameter(help="Go on from the last checkpoint.")] = False
    weights: Annotated[Path | None, Parameter(help="File for the weights after the run (.npy).")] = None


_TRAINING = TrainingOptions()


def run(
    network: Annotated[str, Parameter(help="Architecture (speedup models); with --compute emulated a profile.")],
    /,
    *,
    batches: Annotated[int, Parameter(help="Batches of the run, D.")] = 16,
    compute: Annotated[
        Literal["real", "emulated"], Parameter(help="Compute gradients, or wait t_grad; the wire is real in both.")
    ] = "real",
    t_grad: Annotated[float | None, Parameter(help="t_grad to wait [s]; the profile's if left out.")] = None,
    up: Annotated[str | None, Parameter(help="Encoding of gradients, of whose size they are, with emulated.")] = None,
    down: Annotated[str | None, Parameter(help="Encoding of weights; likewise.")] = None,
    deltas: Annotated[bool, Parameter(help="Changes of weights go down, encoded like gradients.")] = False,
    hosts: HostNames = None,
    engine: Engine = "mpi",
    timeline: Annotated[Path | None, Parameter(help="CSV file for what every worker did when.")] = None,
    quiet: Quiet = False,
    json_: Json = False,
    plan: RunOptions = _RUN,
    training: TrainingOptions = _TRAINING,
) -> None:
    """Train data-parallel on a cluster, with real processes over real links, and measure it."""
    from speedup.bridge import load_calibrate, load_cluster  # noqa: PLC0415

    sessions = load_cluster()
    for path in (timeline, training.weights):
        if path is not None:
            check_writable(path)
    chosen = sessions.run_plan(**vars(plan))
    if compute == "real":
        if up or down:
            raise PlanError(
                "--up and --down say how much is sent in the place of weights and gradients; they belong to "
                "--compute emulated."
            )
        load_calibrate()
        job = sessions.real_job(chosen, network, batches, **vars(training))
    else:
        from speedup.inputs import encoded_traffic  # noqa: PLC0415
        from speedup.validation import waiting  # noqa: PLC0415

        profile = waiting(network, t_grad)
        sent = encoded_traffic(profile, up, down, deltas=deltas)
        job = sessions.emulated_job(profile, chosen, batches, sent)
    with _shown(quiet=quiet) as show:
        (measured,) = sessions.run_jobs(
            [job], sessions.named_hosts(hosts, engine), on_progress=show("run", 1), on_report=_warn
        )
    if timeline is not None:
        write_rows(timeline, list(measured.timeline))
    print(measured.to_json() if json_ else measured)


def validate_cluster(
    *,
    networks: Annotated[
        list[str] | None, Parameter(consume_multiple=True, help="Profiles; the four of the thesis if left out.")
    ] = None,
    workers: Annotated[list[int] | None, Parameter(consume_multiple=True, help="Worker counts.")] = None,
    rounds: Annotated[int, Parameter(help="Batches a worker.")] = 2,
    t_comm: Annotated[
        float, Parameter(help="What a transfer is to take [s]; sizes and t_grad are scaled to it.")
    ] = 0.42,
    rate: Rate = "1gbit",
    hosts: HostNames = None,
    engine: Engine = "mpi",
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="CSV file for the rows.")] = None,
    quick: Annotated[bool, Parameter(help="One network, 2 and 4 workers: five minutes at most.")] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> int:
    """Run a grid of plans on a cluster, and compare each with its estimate from the link measured there.

    Without hosts, a testbed of this machine is made. Workers wait t_grad; what is sent is real.
    """
    from speedup.bridge import load_cluster, load_testbed  # noqa: PLC0415

    sessions = load_cluster()
    if out is not None:
        check_writable(out)
    counts = workers or ([2, 4] if quick else [1, 2, 4, 8])
    places = sessions.named_hosts(hosts, engine)
    if not places.names:
        inside = [sys.executable, "-m", "speedup", *sys.argv[1:]]
        code: int = load_testbed().run_in_testbed(max(counts) + 1, rate, inside)
        return code
    from speedup.validation import Comparison, Validation, cases_of, compare  # noqa: PLC0415

    with _shown(quiet=quiet) as show:
        together = sorted({count for count in counts if count > 1})
        largest = int(1.1 * t_comm * bandwidth(rate))
        sweep = sessions.sweep_to(largest, flows=max([*together, 1]), exchanges=together, seconds=0.5)
        link = sessions.measure_link(sweep, places, on_progress=show("transport", 1), on_report=_warn)
        cases = cases_of(networks or (["resnet34"] if quick else None), counts, link, rounds, t_comm)
        jobs = [sessions.emulated_job(case.profile, case.plan, case.batches) for case in cases]
        ran = sessions.run_jobs(jobs, places, on_progress=show("plans", len(jobs)), on_report=_warn)
        rows = list[Comparison]()
        for case, measured in zip(cases, ran, strict=True):
            rows.append(compare(case, measured))
            _tell_row(rows[-1], quiet=quiet)
            if out is not None:
                # After each plan: an interrupted run keeps what it has.
                write_rows(out, [row.to_dict() for row in rows])
    validation = Validation(tuple(rows), link)
    print(validation.to_json() if json_ else validation)
    if out is not None:
        print(f"saved {out}", file=sys.stderr)
    return 0


def _warn(sentence: str) -> None:
    print(f"warning: {sentence}", file=sys.stderr, flush=True)


def _tell_row(row: Comparison, *, quiet: bool) -> None:
    from speedup.validation import row_cells  # noqa: PLC0415

    if not quiet:
        print("  ".join(cell for cell in row_cells(row) if cell), file=sys.stderr, flush=True)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[str, int], Callable[[int, float], None]]]:
    """Give a function that makes one which shows how much of several things is done, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _label, _count: lambda _number, _share: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow, and only a terminal needs it
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description:>10}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def make(label: str, count: int) -> Callable[[int, float], None]:
            task = bar.add_task(label, total=count)
            return lambda number, share: bar.update(task, completed=number + share)

        yield make
