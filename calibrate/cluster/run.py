"""One process of a run: what it does for each job, and what it tells of it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.measured import Measured
from speedup.plans import ServerKind, UpdateMode

from ..transport.counters import check_counted, interface_bytes
from .job import Compute
from .layout import Layout
from .reducers import Reducer
from .servers import Pool, Server, Tag
from .shards import EmulatedComputation, EmulatedShard
from .timeline import Recorder, Span, timeline
from .workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.exchange import Exchange
    from .job import Job
    from .shards import Computation, Shard
    from .tell import Tell

_CLOCK = 48
_PINGS = 20


@dataclass
class Cast:
    """What this process holds and computes in a job.

    Attributes:
        shard: As a server; None for a process that is none.
        computation: As a worker; None for a process that is none.
        finish: Called after the run; returns facts for the result.
    """

    shard: Shard | None = None
    computation: Computation | None = None
    finish: Callable[[], dict[str, Any]] = field(default=dict)


class Process:
    """One process of a session.

    Args:
        exchange: Its messages.
        hosts: Names of the hosts by rank; empty where all processes are on one machine.
        wire: What carries the messages.
        tell: Called with what happens.

    Attributes:
        hosts: As given.
        wire: As given.
    """

    def __init__(self, exchange: Exchange, hosts: tuple[str, ...], wire: str, tell: Tell) -> None:
        self._exchange, self.hosts, self.wire, self._tell = exchange, hosts, wire, tell
        self._offset_s = 0.0
        self._warnings: list[str] = []

    def name(self, rank: int) -> str:
        """Return what to call a rank."""
        return f"rank {rank} ({self.hosts[rank]})" if rank < len(self.hosts) else f"rank {rank}"

    async def prepare(self) -> None:
        """Settle the differences of the clocks."""
        if self._exchange.rank == 0:
            for other in range(1, self._exchange.size):
                await self._ask_clock(other)
        else:
            self._offset_s = await self._answer_clock()

    async def _ask_clock(self, other: int) -> None:
        """Ping another process, and tell it how far its clock is behind: half-way through the quickest ping."""
        best, offset, theirs = math.inf, 0.0, np.zeros(1)
        for _ in range(_PINGS):
            sent = time.monotonic()
            await self._exchange.send(np.zeros(1), other, _CLOCK)
            await self._exchange.receive(theirs, other, _CLOCK)
            taken = time.monotonic() - sent
            if taken < best:
                best, offset = taken, sent + taken / 2 - float(theirs[0])
        await self._exchange.send(np.array([offset]), other, _CLOCK)

    async def _answer_clock(self) -> float:
        word = np.zeros(1)
        for _ in range(_PINGS):
            await self._exchange.receive(word, 0, _CLOCK)
            await self._exchange.send(np.array([time.monotonic()]), 0, _CLOCK)
        await self._exchange.receive(word, 0, _CLOCK)
        return float(word[0])

    async def do(self, job: Job) -> Measured | None:
        """Do one job; its result is known at rank 0."""
        if self._exchange.rank not in job.ranks:
            return None
        self._warnings = []
        cast = await self._cast(job)
        start = await self._agree(job, cast)
        if job.warmup:
            await self._warm_up(job)
        return await self._measure(job, cast, start)

    def warn(self, sentence: str) -> None:
        """Tell the user something at once, and with the result."""
        self._warnings.append(sentence)
        self._tell(report=sentence)

    async def _cast(self, job: Job) -> Cast:
        if job.compute is Compute.REAL:
            from .training import real_cast  # noqa: PLC0415 - JAX, which emulated runs can do without

            return await real_cast(job, self._exchange.rank)
        return self._emulated(job)

    def _emulated(self, job: Job) -> Cast:
        cast, rank = Cast(), self._exchange.rank
        if rank in job.server_ranks:
            part = Layout.of(job.plan, job.tensor_elements).part(job.server_ranks.index(rank))
            cast.shard = EmulatedShard(job, part.stop - part.start)
        if rank in job.worker_ranks:
            cast.computation = EmulatedComputation(job)
        return cast

    async def _agree(self, job: Job, cast: Cast) -> int:
        """Return after how many updates to go on: those of the last checkpoint that every server has."""
        if job.training is None or not job.training.resume:
            return 0
        known = cast.shard.checkpoints() if cast.shard is not None else None
        documents = await self._exchange.gather_documents(known, job.ranks)
        common = set.intersection(*(set(counts) for counts in documents if counts is not None)) if documents else set()
        start: int = await self._exchange.broadcast_document(max(common, default=0), job.ranks)
        if start and cast.shard is not None:
            await asyncio.to_thread(cast.shard.restore, start)
        return start

    async def _warm_up(self, job: Job) -> None:
        """Move as much as the run will, so that connections are open and their windows wide."""
        whole = job.warmup * (1 if job.plan.mode is UpdateMode.SYNC_SPLIT else job.plan.workers)
        mode = UpdateMode.SYNC_JOIN if job.plan.mode is UpdateMode.ASYNC else job.plan.mode
        rehearsal = replace(
            job,
            plan=replace(job.plan, mode=mode),
            compute=Compute.EMULATED,
            training=None,
            t_grad_s=0.0,
            batches=whole,
        )
        await self._play(rehearsal, self._emulated(rehearsal), Recorder(), _ignore)

    async def _measure(self, job: Job, cast: Cast, start: int) -> Measured | None:
        recorder, losses = Recorder(self._offset_s), list[float]()
        updates = job.batches - start if job.plan.mode is UpdateMode.ASYNC else len(job.rounds(start))

        def on_update(_: int, loss: float) -> None:
            losses.append(loss)
            self._tell(progress=len(losses) / updates)

        loopback = not self.hosts
        # Before the others can have begun: on one machine all share an interface.
        before, counted = self._exchange.sent_bytes, interface_bytes(loopback=loopback)
        await self._exchange.barrier(job.ranks)
        recorder.start(await self._exchange.broadcast_document(time.monotonic(), job.ranks))
        try:
            await self._play(job, cast, recorder, on_update, start)
        except BaseException:
            if cast.shard is not None:
                cast.shard.keep()
            raise
        alive = [rank for rank in job.ranks if rank not in self._exchange.lost]
        await self._exchange.barrier(alive)
        taken = recorder.now()
        # Only now has everything left the buffers of the system.
        sent, counted = self._exchange.sent_bytes - before, interface_bytes(loopback=loopback) - counted
        if job.training is not None:
            await self._collect(job, cast)
        told = {
            "spans": [list(span) for span in recorder.spans],
            "sent": sent,
            "counted": counted,
            "losses": losses if job.compute is Compute.REAL else [],
            "warnings": self._warnings,
            "facts": await asyncio.to_thread(cast.finish),
        }
        documents = await self._exchange.gather_documents(told, alive)
        return self._result(job, start, taken, documents, alive) if documents else None

    async def _collect(self, job: Job, cast: Cast) -> None:
        """Give the first worker, if it is still there, the weights after the last update."""
        layout, worker = Layout.of(job.plan, job.tensor_elements), job.worker_ranks[0]
        if worker in self._exchange.lost:
            return
        tasks = []
        if cast.shard is not None and job.server_ranks:
            tasks.append(self._exchange.send(cast.shard.content, worker, Tag.WEIGHTS))
        if self._exchange.rank == worker and cast.computation is not None:
            tasks += [
                self._exchange.receive(cast.computation.weights[layout.part(place)], server, Tag.WEIGHTS)
                for place, server in enumerate(job.server_ranks)
            ]
        await asyncio.gather(*tasks)

    async def _play(
        self, job: Job, cast: Cast, recorder: Recorder, on_update: Callable[[int, float], object], start: int = 0
    ) -> None:
        """Play the parts of this process, as a server, a worker, or both, at once."""
        if job.plan.server is ServerKind.ALLREDUCE:
            await Reducer(self._exchange, job, cast, recorder, on_update).work(start)
            return
        layout, asynchronous, tasks = Layout.of(job.plan, job.tensor_elements), job.plan.mode is UpdateMode.ASYNC, []
        if cast.computation is not None:
            worker = Worker(self._exchange, job, layout, cast.computation, recorder)
            tasks.append(worker.work_pool() if asynchronous else worker.work_rounds(job.rounds(start)))
        if cast.shard is not None:
            first = self._exchange.rank == job.server_ranks[0]
            server = Server(self._exchange, job, cast.shard, recorder, on_update if first else _ignore, self.warn)
            pool = Pool(job.batches, start) if first else None
            tasks.append(
                server.serve_pool(job.worker_ranks, pool) if asynchronous else server.serve_rounds(job.rounds(start))
            )
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)

    def _result(
        self, job: Job, start: int, taken: float, documents: list[dict[str, Any]], alive: list[int]
    ) -> Measured:
        rows = timeline(Span(*span) for document in documents for span in document["spans"])
        computing = [row["end_s"] - row["start_s"] for row in rows if row["stage"] == "compute"]
        sent = sum(document["sent"] for document in documents)
        warnings = [warning for document in documents for warning in document["warnings"]]
        return Measured(
            plan=job.plan,
            batches=job.batches - start * (job.plan.workers if job.plan.mode is UpdateMode.SYNC_JOIN else 1),
            time_s=taken,
            t_grad_s=fmean(computing),
            payload_bytes=job.payload_bytes,
            compute=str(job.compute),
            wire=self.wire,
            engine=self._exchange.engine.name,
            sent_bytes=sent,
            counted_bytes=self._counted(documents, alive, sent, warnings),
            losses=tuple(documents[0]["losses"]),
            timeline=tuple(rows),
            warnings=tuple(dict.fromkeys(warnings)),
            lost=tuple(rank for rank in job.ranks if rank not in alive),
            facts={name: value for document in documents for name, value in document["facts"].items()},
        )

    def _counted(self, documents: list[dict[str, Any]], alive: list[int], sent: int, warnings: list[str]) -> int | None:
        """Return what the interfaces counted, after checking it against what was sent."""
        if not self.hosts:
            counted = int(documents[0]["counted"])
            warning = check_counted(sent, counted, "the loopback interface")
            warnings += [warning] if warning else []
            return counted
        for rank, document in zip(alive, documents, strict=True):
            warning = check_counted(document["sent"], document["counted"], self.name(rank))
            warnings += [warning] if warning else []
        return sum(int(document["counted"]) for document in documents)


def _ignore(*_: object) -> None:
    """Do nothing."""
