"""A process that computes: it pulls weights, computes a gradient, and pushes it (Algorithm 3.5 of the thesis)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from speedup.plans import UpdateMode

from .servers import Tag, Wish, note
from .shards import gradient_part, parts_of
from .timeline import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..engine.exchange import Exchange
    from .job import Job
    from .layout import Layout
    from .shards import Computation
    from .timeline import Recorder


class Worker:
    """One worker of a run with servers.

    Args:
        exchange: Its messages.
        job: The run.
        layout: Which part of the weights lives where.
        computation: What it computes.
        recorder: What it saw.
    """

    def __init__(
        self, exchange: Exchange, job: Job, layout: Layout, computation: Computation, recorder: Recorder
    ) -> None:
        self._exchange, self._computation, self._recorder, self._job = exchange, computation, recorder, job
        self._parts = list(zip(job.server_ranks, parts_of(job, layout, exchange.rank), strict=True))
        self._coordinator = job.server_ranks[0]
        self._index, self._workers = job.worker_ranks.index(exchange.rank), job.plan.workers
        self._split = job.plan.mode is UpdateMode.SYNC_SPLIT

    async def work_rounds(self, rounds: Iterable[tuple[int, tuple[int, ...]]]) -> None:
        """Take part in synchronous iterations."""
        for number, workers in rounds:
            if self._exchange.rank in workers:
                batch = number if self._split else number * self._workers + self._index
                await self._iterate(number, batch)

    async def work_pool(self) -> None:
        """Take batches from the pool until there are none."""
        number, batch = 0, await self._ticket()
        while batch >= 0:
            await self._tell_all(Wish.PULL, number)
            await self._pull(number)
            await self._compute(number, batch)
            await self._push()
            # Not before: a slow worker would reserve a batch that a fast one could have done meanwhile.
            batch = await self._ticket()
            number += 1
        await self._tell_all(Wish.LEAVE)

    async def _iterate(self, number: int, batch: int) -> None:
        await self._pull(number)
        await self._compute(number, batch)
        await self._push()

    async def _compute(self, number: int, batch: int) -> None:
        """Compute a gradient, and announce it."""
        with self._recorder.span(self._exchange.rank, number, Stage.COMPUTE):
            samples, loss = await self._computation(
                batch, self._index if self._split else 0, self._workers if self._split else 1
            )
        # Before the gradients, which would hold up a small message.
        await self._tell_all(Wish.PUSH, number, samples, loss)

    async def _pull(self, number: int) -> None:
        weights = self._computation.weights
        await asyncio.gather(
            *(self._exchange.receive(weights[part], server, Tag.WEIGHTS) for server, part in self._parts)
        )
        end = self._recorder.now()
        # The servers know when it began.
        self._recorder.mark(self._exchange.rank, number, Stage.RECEIVE, end)

    async def _push(self) -> None:
        gradient, job = self._computation.gradient, self._job
        await asyncio.gather(
            *(
                self._exchange.send(gradient[gradient_part(job, part)], server, Tag.GRADIENT)
                for server, part in self._parts
            )
        )

    async def _tell_all(self, wish: Wish, iteration: int = 0, samples: float = 0.0, loss: float = 0.0) -> None:
        message = note(wish, iteration, samples, loss)
        await asyncio.gather(*(self._exchange.send(message, server, Tag.NOTE) for server, _ in self._parts))

    async def _ticket(self) -> int:
        ticket = np.zeros(1, np.int64)
        await self._exchange.send(np.zeros(1, np.int64), self._coordinator, Tag.ASK)
        await self._exchange.receive(ticket, self._coordinator, Tag.TICKET)
        return int(ticket[0])
