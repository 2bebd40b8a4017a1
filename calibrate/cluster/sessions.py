"""Start a session on hosts, watch it, and return what it measured."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from contextlib import nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

import psutil

from speedup.cluster import MeasuredLink
from speedup.errors import PlanError, SpeedupError
from speedup.measured import Measured
from speedup.plans import UpdateMode

from ..engine.base import ClusterError, explanation
from ..engine.exchange import Exchange
from ..engine.launch import Hosts, mpirun_command, rank_command, start, tcp_command
from ..engine.mpi import MpiEngine, launched
from ..transport.links import Sweep, default_sizes
from .job import Job, run_plan
from .session import do_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from speedup.payloads import Traffic
    from speedup.plans import Plan
    from speedup.profile import Profile

    from .rounds import NodesJob

__all__ = [
    "emulated_job",
    "measure_devices",
    "measure_link",
    "named_hosts",
    "real_job",
    "run_jobs",
    "run_plan",
    "run_rounds",
    "sweep_to",
    "wire_of",
]

Result: TypeAlias = Measured | MeasuredLink | dict[str, Any]

START_S = 120.0
"""Time that a session may take to begin [s]."""
SILENCE_S = 60.0
"""Time without a sign of life after which a session is ended [s]."""
SILENT_S, PATIENCE_S = 3.0, 20.0
"""A process that another does not hear of for so long is reported, and given up [s]."""
_END_S = 1.0


def run_jobs(
    jobs: Iterable[Job],
    hosts: Hosts | None = None,
    *,
    on_progress: Callable[[int, float], object] | None = None,
    on_report: Callable[[str], object] | None = None,
    silent_s: float = SILENT_S,
    patience_s: float = PATIENCE_S,
) -> Iterator[Measured]:
    """Run jobs on hosts, one after another, with one start of the processes.

    Args:
        jobs: What to run.
        hosts: Where; None for the testbed around this process, or this machine.
        on_progress: Called with the number of the job and the share of it that is done.
        on_report: Called with what the user should know at once.
        silent_s: A process that another does not hear of for so long is reported [s].
        patience_s: And given up after so long [s].

    Yields:
        What each job measured.

    Raises:
        ClusterError: The session ended before its work was done.
        PlanError: There are too few hosts.
        MissingExtraError: mpi4py or MPI is not installed.
    """
    work = tuple(jobs)
    ranks = max(len(job.ranks) for job in work)
    document = {"jobs": [job.to_dict() for job in work], "silent_s": silent_s, "patience_s": patience_s}
    found = _session(document, ranks, len(work), hosts, on_progress, on_report)
    yield from cast("Iterator[Measured]", found)


def emulated_job(profile: Profile, plan: Plan, batches: int, sent: Traffic | None = None) -> Job:
    """Return a run in which workers wait t_grad of a profile, or 1/N of it for a part of a batch.

    Args:
        profile: What waits, and what is sent.
        plan: Who waits, and where the weights would live.
        batches: Batches of the run.
        sent: Encodings, as many bytes of which are sent each way; None for all elements as they are.
    """
    load, parts = profile.workload, plan.workers if plan.mode is UpdateMode.SYNC_SPLIT else 1
    down = 1.0 if sent is None else sent.down_bytes / load.payload_bytes
    return Job(
        plan=plan,
        batches=batches,
        tensor_elements=tuple(max(1, round(down * elements)) for elements in load.tensor_elements),
        element_bytes=load.element_bytes,
        t_grad_s=profile.t_grad_s / parts,
        up_share=1.0 if sent is None else sent.up_bytes / sent.down_bytes,
    )


def real_job(plan: Plan, network: str, batches: int, **options: Any) -> Job:  # noqa: ANN401 - see training.real_job
    """Return a run that trains a network; see ``training.real_job``."""
    from . import training  # noqa: PLC0415 - JAX, which emulated runs can do without

    return training.real_job(plan, network, batches, **options)


def named_hosts(names: Sequence[str] | None = None, engine: str = "mpi") -> Hosts:
    """Return the hosts that the user names, or else those of the testbed around this process.

    Args:
        names: Hosts.
        engine: What carries the messages: ``mpi``, or ``tcp`` which needs nothing installed and listens on the
            addresses of the hosts alone.

    Raises:
        PlanError: The engine is unknown.
    """
    return Hosts.of(os.environ, names or (), engine)


def sweep_to(
    largest: int, payloads: Iterable[int] = (), *, flows: int = 1, exchanges: Iterable[int] = (), seconds: float = 1.0
) -> Sweep:
    """Return a sweep of sizes up to the largest, some payloads among them."""
    sizes = tuple(sorted({*default_sizes(largest), *payloads}))
    return Sweep(sizes=sizes, flows=flows, exchanges=tuple(exchanges), seconds=seconds)


def measure_link(
    sweep: Sweep,
    hosts: Hosts | None = None,
    *,
    on_progress: Callable[[int, float], object] | None = None,
    on_report: Callable[[str], object] | None = None,
) -> MeasuredLink:
    """Measure the link between the first two hosts, and with several flows what more of them get.

    Args:
        sweep: What to measure.
        hosts: Which; None for the testbed around this process, or the loopback of this machine.
        on_progress: Called with 0 and the share that is done.
        on_report: Called with what the user should know at once.

    Raises:
        ClusterError: The session ended before its work was done.
        PlanError: There are too few hosts.
        MissingExtraError: mpi4py or MPI is not installed.
    """
    (link,) = _session({"sweep": sweep.to_dict()}, sweep.ranks, 1, hosts, on_progress, on_report)
    return cast("MeasuredLink", link)


def measure_devices(
    largest: int,
    processes: int,
    hosts: Hosts | None = None,
    *,
    on_report: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Time JAX's collectives among the devices of several processes, and copies to and from the first device.

    Args:
        largest: Bytes of the largest size; they double from 1 KiB.
        processes: How many; one a host.
        hosts: Which; None for the testbed around this process, or this machine.
        on_report: Called with what the user should know at once.

    Raises:
        ClusterError: The session ended before its work was done.
        UnitError: The largest is below 1 KiB.
    """
    from ..transport.copies import doubling  # noqa: PLC0415 - JAX

    (found,) = _session({"devices": {"sizes": list(doubling(2**10, largest))}}, processes, 1, hosts, None, on_report)
    return cast("dict[str, Any]", found)


def run_rounds(
    job: NodesJob, hosts: Hosts | None = None, *, on_report: Callable[[str], object] | None = None
) -> Iterator[dict[str, Any]]:
    """Run distributed edge-popup with a process for each node.

    Args:
        job: The rounds, and the images.
        hosts: Where; None for the testbed around this process, or this machine.
        on_report: Called with what the user should know at once.

    Yields:
        What each round reached, as ``calibrate.learning.distributed.Round`` says.

    Raises:
        ClusterError: The session ended before its work was done.
        PlanError: There are too few hosts.
    """
    work = {"nodes": job.to_dict()}
    yield from cast(
        "Iterator[dict[str, Any]]", _session(work, job.rounds.nodes, job.rounds.rounds, hosts, None, on_report)
    )


def _session(
    work: dict[str, Any],
    ranks: int,
    results: int,
    hosts: Hosts | None,
    on_progress: Callable[[int, float], object] | None,
    on_report: Callable[[str], object] | None,
) -> Iterator[Result]:
    """Do some work with as many processes as it needs, and yield its results."""
    places = hosts or Hosts.of(os.environ)
    document = {
        "jobs": [],
        "sweep": None,
        "devices": None,
        "nodes": None,
        "hosts": list(places.names[:ranks]),
        "wire": wire_of(places),
        "silent_s": SILENT_S,
        "patience_s": PATIENCE_S,
    }
    heard = _Heard(on_progress or _ignore, on_report or _ignore)
    if launched():
        if places.engine != "mpi":
            raise PlanError("these processes were started by MPI's launcher, and use MPI; leave --engine out.")
        yield from _in_place({**document, **work, "wire": places.wire and wire_of(places)}, heard)
        return
    with tempfile.TemporaryDirectory(prefix="speedup-", ignore_cleanup_errors=True) as folder:
        if places.engine == "tcp":
            command = tcp_command(ranks, rank_command("calibrate.cluster", "tcp"), places)
        else:
            command = mpirun_command(ranks, rank_command("calibrate.cluster"), places, folder=folder)
        yield from _watched(command, {**document, **work}, results, heard)


def _in_place(document: dict[str, Any], heard: _Heard) -> Iterator[Result]:
    """Do the work in the processes that a launcher started already; all but the first end here.

    Raises:
        SystemExit: This process is not the first, and the work is done.
    """
    engine = MpiEngine()
    exchange, found = Exchange(engine), list[Result]()

    def tell(**told: Any) -> None:  # noqa: ANN401 - whatever is told
        result = heard.result(told)
        if result is not None:
            found.append(result)

    try:
        exchange.run(do_session(exchange, document if engine.rank == 0 else None, tell))
    except (SpeedupError, ExceptionGroup) as error:
        first = explanation(error)
        print(f"error: rank {engine.rank}: {first}", file=sys.stderr, flush=True)  # noqa: T201 - aborting ends all at once
        engine.abort(first.exit_code)
        raise first from None
    engine.finish()
    if engine.rank > 0:
        raise SystemExit(0)
    yield from found


def wire_of(hosts: Hosts) -> str:
    """Return what carries the messages, in words.

    Example:
        >>> wire_of(Hosts(("a", "b"), wire="1gbit")), wire_of(Hosts())
        ('emulated links of 1gbit', 'loopback of one machine')
    """
    if hosts.wire:
        return f"emulated links of {hosts.wire}"
    return "network" if hosts.names else "loopback of one machine"


class _Heard:
    """What to do with what a session tells.

    Args:
        on_progress: Called with the number of results so far and the share of the next.
        on_report: Called with a sentence.
    """

    def __init__(self, on_progress: Callable[[int, float], object], on_report: Callable[[str], object]) -> None:
        self._on_progress, self._on_report = on_progress, on_report
        self.results = 0

    def result(self, told: dict[str, Any]) -> Result | None:
        """Pass on what is no result, and return what is.

        Raises:
            ClusterError: An error was told.
        """
        if "error" in told:
            error = ClusterError(told["error"])
            error.exit_code = told["code"]
            raise error
        if "progress" in told:
            self._on_progress(self.results, told["progress"])
        elif "report" in told:
            self._on_report(told["report"])
        found = _parsed_result(told)
        self.results += found is not None
        return found


def _parsed_result(told: dict[str, Any]) -> Result | None:
    if "measured" in told:
        return Measured.from_dict(told["measured"])
    if "link" in told:
        return MeasuredLink.from_dict(told["link"])
    return told.get("devices") or told.get("round")


def _watched(command: list[str], document: dict[str, Any], expected: int, heard: _Heard) -> Iterator[Result]:
    process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines: queue.Queue[str | None] = queue.Queue()
    streams = (process.stdout, process.stderr)
    for stream in streams:
        threading.Thread(target=_read, args=(stream, lines), daemon=True).start()
    other = list[str]()
    try:
        _write(process, json.dumps(document) + "\n")
        for line in _told(lines, len(streams)):
            told = _parsed(line)
            if told is None:
                other.append(line.rstrip())
            elif (found := heard.result(told)) is not None:
                yield found
            elif told.get("done") and told["rank"] == 0:
                break
        if heard.results < expected:
            words = "\n".join(line for line in other if line.strip()) or "they said nothing"
            raise ClusterError(f"the processes ended after {heard.results} of {expected} runs: {words}")
    finally:
        end(process)


def _write(process: subprocess.Popen[str], text: str) -> None:
    if process.stdin is not None:
        try:
            process.stdin.write(text)
            process.stdin.flush()
        except BrokenPipeError:
            # The launcher has ended, and says why on its standard error.
            return


def _read(stream: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    with stream or nullcontext():
        for line in stream or ():
            lines.put(line)
    lines.put(None)


def _told(lines: queue.Queue[str | None], streams: int) -> Iterator[str]:
    """Yield lines until both streams have ended.

    Raises:
        ClusterError: Nothing was heard for too long.
    """
    patience = START_S
    while streams:
        try:
            line = lines.get(timeout=patience)
        except queue.Empty:
            raise ClusterError(
                f"nothing was heard of the processes for {patience:.0f} s; they were ended. Are all hosts reachable?"
            ) from None
        if line is None:
            streams -= 1
        else:
            patience = SILENCE_S
            yield line


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        # Where a launcher ends its own words with a zero byte, ours come behind it.
        told = json.loads(line.strip("\0 \n"))
    except json.JSONDecodeError:
        return None
    return told if isinstance(told, dict) and "rank" in told else None


def end(process: subprocess.Popen[str]) -> None:
    """End a launcher and what it started: with its processes gone it ends by itself, or it is made to."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    # What starts processes on other hosts is in groups of its own.
    left = _descendants(process)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    _, stubborn = psutil.wait_procs(left, _END_S)
    for one in stubborn:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _ignore(*_: object) -> None:
    """Do nothing."""
