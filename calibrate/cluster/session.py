"""What one start of the processes does: measure the link, or the devices, or run jobs one after another."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from speedup.errors import PlanError

from ..transport.links import LinkMeasurement, Sweep, describe
from .job import Job
from .run import Process
from .watch import Watch

if TYPE_CHECKING:
    from ..engine.exchange import Exchange
    from .tell import Tell


async def do_session(exchange: Exchange, document: dict[str, Any] | None, tell: Tell) -> None:
    """Do what a document says, which rank 0 has, and tell the results at rank 0.

    Args:
        exchange: The messages of this process.
        document: What is to be done; None at the other processes.
        tell: Called with what happens.

    Raises:
        ClusterError: A process is lost, or a result cannot be trusted.
        PlanError: There are too few processes.
    """
    work = await exchange.broadcast_document(document)
    jobs = tuple(Job.from_dict(job) for job in work["jobs"])
    hosts, wire = await _places(exchange, work)
    _check_size(exchange, jobs)
    process = Process(exchange, hosts, wire, tell)
    async with Watch(exchange, work["silent_s"], work["patience_s"], process.warn, process.name):
        await process.prepare()
        if work["sweep"] is not None:
            await _measure_link(exchange, process, Sweep.from_dict(work["sweep"]), tell)
        if work["devices"] is not None:
            await _measure_devices(exchange, work["devices"], process.hosts, tell)
        for job in jobs:
            await _run(exchange, process, job, tell)
        if work["nodes"] is not None:
            await _play(exchange, work["nodes"], tell)


async def _run(exchange: Exchange, process: Process, job: Job, tell: Tell) -> None:
    alive = [rank for rank in range(exchange.size) if rank not in exchange.lost]
    await exchange.barrier(alive, quiet=True)
    measured = await process.do(job)
    if measured is not None:
        tell(measured=measured.to_dict())


async def _play(exchange: Exchange, document: dict[str, Any], tell: Tell) -> None:
    """Play rounds of distributed edge-popup, each process a node."""
    from .rounds import NodesJob, play_rounds  # noqa: PLC0415 - JAX

    job = NodesJob.from_dict(document)
    if job.rounds.nodes > exchange.size:
        raise PlanError(f"{job.rounds.nodes} nodes are as many processes, but {exchange.size} were started.")
    if exchange.rank < job.rounds.nodes:
        await play_rounds(exchange, job, tell)
    await exchange.barrier(quiet=True)


async def _places(exchange: Exchange, work: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """Return the hosts by rank and the wire: as told, or where nobody told, as the processes find them."""
    if work["wire"] is not None:
        return tuple(work["hosts"]), work["wire"]
    names = await exchange.gather_documents(socket.gethostname())
    found = await exchange.broadcast_document(names)
    several = len(set(found)) > 1
    return (tuple(found), "network") if several else ((), "loopback of one machine")


def _check_size(exchange: Exchange, jobs: tuple[Job, ...]) -> None:
    for job in jobs:
        if len(job.ranks) > exchange.size:
            raise PlanError(
                f"{job.plan.workers} workers with a {job.plan.server} server are {len(job.ranks)} processes, but "
                f"{exchange.size} were started. Start more, or give fewer workers."
            )


async def _measure_link(exchange: Exchange, process: Process, sweep: Sweep, tell: Tell) -> None:
    if sweep.ranks > exchange.size:
        raise PlanError(f"the link between {sweep.ranks} hosts needs as many processes; {exchange.size} were started.")

    def progress(share: float) -> None:
        tell(progress=share)

    measurement = LinkMeasurement(exchange, sweep, progress, process.name, loopback=not process.hosts)
    told = await measurement.measure()
    if told is not None:
        engine = exchange.engine
        tell(link=describe(told, process.wire, engine.name, in_turn=engine.in_turn).to_dict())


async def _measure_devices(exchange: Exchange, wanted: dict[str, Any], hosts: tuple[str, ...], tell: Tell) -> None:
    """Time copies to and from the device of rank 0, and collectives among the devices of all processes."""
    from ..transport.collectives import collective_times, join_processes  # noqa: PLC0415 - JAX
    from ..transport.copies import copy_times  # noqa: PLC0415

    sizes = tuple(wanted["sizes"])
    if exchange.size > 1:
        own = _free_port() if exchange.rank == 0 else None
        coordinator = f"{hosts[0] if hosts else '127.0.0.1'}:{await exchange.broadcast_document(own)}"
        await asyncio.to_thread(join_processes, coordinator, exchange.size, exchange.rank)
    collectives = await asyncio.to_thread(collective_times, sizes)
    if exchange.rank == 0:
        copies = await asyncio.to_thread(copy_times, sizes)
        rows = {"collectives": [one.to_dict() for one in collectives], "copies": [one.to_dict() for one in copies]}
        tell(devices=rows)
    await exchange.barrier(quiet=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
