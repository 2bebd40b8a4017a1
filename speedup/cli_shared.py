"""What several commands share: their options, and how they fail."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from speedup.errors import PlanError

Mode = Literal["sync-join", "sync-split", "async"]
Server = Literal["central", "distributed", "sharded", "byteps", "allreduce"]
Schedule = Literal["fair", "semaphore", "best", "worst", "mean", "pipelined"]
Collective = Literal["best", "ring", "hierarchical", "halving-doubling", "recursive-doubling", "tree"]
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


MODEL = Model()
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


ESTIMATION = Estimation()


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


WANTED = Wanted()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Considered:
    """Which plans are considered."""

    max_workers: Annotated[
        int | None, Parameter(help="Largest number of workers to consider; 8, or 64 to explore, if left out.")
    ] = None
    modes: Annotated[
        list[Mode] | None, Parameter(consume_multiple=True, help="Modes to consider; all if left out.")
    ] = None
    servers: Annotated[
        list[Server] | None, Parameter(consume_multiple=True, help="Servers to consider; all if left out.")
    ] = None
    schedules: Annotated[
        list[Schedule] | None, Parameter(consume_multiple=True, help="How a server's links are shared.")
    ] = None
    collectives: Annotated[
        list[Collective] | None,
        Parameter(consume_multiple=True, help="How an all-reduce goes; the fastest if left out."),
    ] = None
    batch_sizes: Annotated[
        list[int] | None,
        Parameter(consume_multiple=True, help="Batch sizes to consider together, in the place of --batch."),
    ] = None
    switch: Annotated[
        float, Parameter(help="What going over to another plan costs [s], for a profile with phases.")
    ] = 10.0


CONSIDERED = Considered()


def asked(considered: Considered, wanted: Wanted, model: Model, estimation: Estimation) -> dict[str, Any]:
    """Return what options ask of ``speedup.recommend``."""
    from speedup.kinds import EXPECTED  # noqa: PLC0415 - with the first command that needs it

    sizes = {"batch": considered.batch_sizes} if considered.batch_sizes else {}
    most = considered.max_workers
    return {
        "max_workers": None if most is None else largest("--max-workers", most),
        "modes": considered.modes,
        "servers": considered.servers,
        "schedules": considered.schedules or EXPECTED,
        "collectives": considered.collectives or "best",
        "switch_s": considered.switch,
        **vars(wanted),
        **vars(model),
        **vars(estimation),
        **sizes,
    }


def largest(option: str, count: int) -> int:
    """Return a number of workers that is one.

    Raises:
        PlanError: It is below 1.
    """
    if count < 1:
        raise PlanError(f"{option} must be at least 1, got {count}.")
    return count


def fail(message: str, code: int) -> int:
    """Print an error, a line for each of its own, and return the exit code."""
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code
