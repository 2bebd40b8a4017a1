"""A process that holds weights: it sends them, receives gradients, and updates (Algorithm 3.6 of the thesis)."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.plans import Schedule

from ..engine.base import PeerLostError
from .shards import Gradient
from .timeline import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from numpy.typing import NDArray

    from ..engine.exchange import Exchange
    from .job import Job
    from .shards import Shard
    from .timeline import Recorder


class Tag(IntEnum):
    """What a message is."""

    NOTE = 1
    """From a worker: what it wants."""
    TICKET = 2
    """To a worker: number of its next batch, or -1."""
    WEIGHTS = 3
    """To a worker."""
    GRADIENT = 4
    """From a worker."""
    ASK = 5
    """From a worker to the first server: for a ticket."""


class Wish(IntEnum):
    """What a worker's note asks for."""

    PULL = 2
    """Weights."""
    PUSH = 3
    """That its gradient be taken; samples and loss are in the note."""
    LEAVE = 4
    """Nothing more."""


def note(wish: Wish, iteration: int = 0, samples: float = 0.0, loss: float = 0.0) -> NDArray[np.float64]:
    """Return a worker's note."""
    return np.array([wish, iteration, samples, loss], np.float64)


class Pool:
    """The batches of an asynchronous run, handed out one by one.

    Args:
        batches: How many, D.
        first: The first of them.
    """

    def __init__(self, batches: int, first: int = 0) -> None:
        self._waiting = list(range(first, batches))[::-1]
        self._taken: dict[int, list[int]] = {}

    def take(self, worker: int) -> int:
        """Return the next batch, or -1 if there is none."""
        if not self._waiting:
            return -1
        self._taken.setdefault(worker, []).append(self._waiting.pop())
        return self._taken[worker][-1]

    def finish(self, worker: int) -> None:
        """Note that the gradient of the batch that a worker took first has arrived."""
        self._taken[worker].pop(0)

    def give_up(self, worker: int) -> None:
        """Hand the batches of a worker that is lost to others."""
        self._waiting += self._taken.pop(worker, [])[::-1]


class Server:
    """One server of a run.

    Args:
        exchange: Its messages.
        job: The run.
        shard: What it holds.
        recorder: What it saw.
        on_update: Called after each update with the iteration and the mean loss.
        report: Called with what its user should know.
    """

    def __init__(
        self,
        exchange: Exchange,
        job: Job,
        shard: Shard,
        recorder: Recorder,
        on_update: Callable[[int, float], object],
        report: Callable[[str], object],
    ) -> None:
        self._exchange, self._job, self._shard = exchange, job, shard
        self._recorder, self._on_update, self._report = recorder, on_update, report
        self._turns = turns = job.plan.schedule is Schedule.SEMAPHORE
        # One at a time and direction: waiting workers are served in the order in which they asked.
        self._outgoing: AbstractAsyncContextManager[Any] = asyncio.Lock() if turns else nullcontext()
        self._incoming: AbstractAsyncContextManager[Any] = asyncio.Lock() if turns else nullcontext()
        self._updating = asyncio.Lock()
        self._updates = 0

    async def serve_rounds(self, rounds: Iterable[tuple[int, tuple[int, ...]]]) -> None:
        """Serve synchronous iterations."""
        for number, workers in rounds:
            # Each server begins with another worker, so that not all send to the same one first.
            turn = self._exchange.rank % len(workers)
            order = (*workers[turn:], *workers[:turn])
            found = dict(zip(order, await asyncio.gather(*(self._round(number, one) for one in order)), strict=True))
            await self._take([found[worker] for worker in workers], number)
            # Weights that one server already sends would slow down gradients that another still waits for.
            await self._exchange.barrier(self._job.server_ranks)

    async def _round(self, number: int, worker: int) -> Gradient:
        await self._send_weights(worker, number)
        return await self._receive_gradient(worker)

    async def serve_pool(self, workers: Iterable[int], pool: Pool | None) -> None:
        """Serve asynchronous training until every worker has left; the others go on without one that is lost.

        Raises:
            PeerLostError: The last worker was lost.
        """
        everyone = tuple(workers)
        tickets = [asyncio.ensure_future(self._hand_out(worker, pool)) for worker in everyone if pool is not None]
        served = [self._serve(worker, pool) for worker in everyone]
        try:
            lost = [error for error in await asyncio.gather(*served) if error is not None]
        finally:
            for task in tickets:
                task.cancel()
            await asyncio.gather(*tickets, return_exceptions=True)
        if len(lost) == len(served):
            raise lost[-1]

    async def _hand_out(self, worker: int, pool: Pool) -> None:
        """Give a worker batches as it asks for them."""
        asked, ticket = np.zeros(1, np.int64), 0
        while ticket >= 0:
            await self._exchange.receive(asked, worker, Tag.ASK)
            ticket = pool.take(worker)
            await self._exchange.send(np.array([ticket], np.int64), worker, Tag.TICKET)

    async def _serve(self, worker: int, pool: Pool | None) -> PeerLostError | None:
        try:
            await self._serve_one(worker, pool)
        except PeerLostError as error:
            if pool is not None:
                pool.give_up(worker)
            self._report(f"rank {worker} is lost, the other workers go on: {error}")
            return error
        return None

    async def _serve_one(self, worker: int, pool: Pool | None) -> None:
        while True:
            asked = await self._note(worker)
            match Wish(int(asked[0])):
                case Wish.PULL:
                    await self._send_weights(worker, int(asked[1]))
                    await self._take([await self._receive_gradient(worker)], self._updates)
                    if pool is not None:
                        pool.finish(worker)
                case Wish.LEAVE | Wish.PUSH:
                    return

    async def _note(self, worker: int) -> NDArray[np.float64]:
        asked = np.zeros(4, np.float64)
        await self._exchange.receive(asked, worker, Tag.NOTE)
        return asked

    async def _send_weights(self, worker: int, iteration: int) -> None:
        async with self._outgoing:
            with self._recorder.span(worker, iteration, Stage.RECEIVE):
                await self._exchange.send(self._of(worker, self._shard.content), worker, Tag.WEIGHTS)

    async def _receive_gradient(self, worker: int) -> Gradient:
        """Return the gradient that a worker sends once it has computed it.

        Where transfers take turns, it is asked for when its turn comes. Where they do not, it is asked for at once:
        transfers that all begin in the same moment share the links evenly to their end.
        """
        room = self._shard.room(worker)
        arriving = None if self._turns else asyncio.ensure_future(self._receive_into(room, worker))
        try:
            asked = await self._note(worker)
            async with self._incoming:
                with self._recorder.span(worker, int(asked[1]), Stage.SEND):
                    await (arriving or self._receive_into(room, worker))
        except BaseException:
            if arriving is not None:
                arriving.cancel()
            raise
        return Gradient(room, float(asked[2]), float(asked[3]))

    async def _receive_into(self, room: NDArray[Any], worker: int) -> None:
        await self._exchange.receive(self._of(worker, room), worker, Tag.GRADIENT)

    def _of(self, worker: int, content: NDArray[Any]) -> NDArray[Any]:
        own = worker == self._exchange.rank and self._job.training is None
        return content[:0] if own else content

    async def _take(self, gradients: list[Gradient], iteration: int) -> None:
        async with self._updating:
            await self._shard.update(gradients)
            self._updates += 1
        samples = sum(gradient.samples for gradient in gradients)
        self._on_update(iteration, sum(one.samples * one.loss for one in gradients) / samples)
