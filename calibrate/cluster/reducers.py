"""A worker of an all-reduce: it keeps all weights itself, and adds its gradient to everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.plans import UpdateMode

from .ring import ring_reduce
from .shards import Gradient
from .timeline import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.exchange import Exchange
    from .job import Job
    from .run import Cast
    from .timeline import Recorder


class Reducer:
    """One worker of an all-reduce.

    Args:
        exchange: Its messages.
        job: The run.
        cast: What it computes and, in training, the weights that it updates.
        recorder: What it saw.
        on_update: Called after each update with the iteration and the mean loss.
    """

    def __init__(
        self,
        exchange: Exchange,
        job: Job,
        cast: Cast,
        recorder: Recorder,
        on_update: Callable[[int, float], object],
    ) -> None:
        self._exchange, self._job, self._cast = exchange, job, cast
        self._recorder, self._on_update = recorder, on_update
        self._index = job.worker_ranks.index(exchange.rank)

    async def work(self, start: int) -> None:
        """Take part in every iteration from one on."""
        for number, workers in self._job.rounds(start):
            await self._iterate(number, workers)

    async def _iterate(self, number: int, workers: tuple[int, ...]) -> None:
        computation, split = self._cast.computation, self._job.plan.mode is UpdateMode.SYNC_SPLIT
        if computation is None:
            return
        samples, loss = 0.0, 0.0
        if self._exchange.rank in workers:
            count = self._job.plan.workers
            batch = number if split else number * count + self._index
            with self._recorder.span(self._exchange.rank, number, Stage.COMPUTE):
                samples, loss = await computation(batch, self._index if split else 0, count if split else 1)
        # Everybody holds weights, so everybody takes part, with nothing to add where there was no batch left.
        with self._recorder.span(self._exchange.rank, number, Stage.RECEIVE):
            await self._reduce(number, samples, loss)

    async def _reduce(self, number: int, samples: float, loss: float) -> None:
        computation, ranks = self._cast.computation, self._job.worker_ranks
        if computation is None:
            return
        gradient = computation.gradient
        if self._cast.shard is None:
            await ring_reduce(self._exchange, ranks, gradient)
            self._on_update(number, loss)
            return
        # A mean over all samples is the sum of the workers' means by their samples.
        totals, gradient = np.array([samples, samples * loss]), gradient * np.float32(samples)
        await ring_reduce(self._exchange, ranks, totals)
        await ring_reduce(self._exchange, ranks, gradient)
        mean = float(totals[1] / totals[0])
        await self._cast.shard.update([Gradient(gradient / np.float32(totals[0]), float(totals[0]), mean)])
        computation.weights = self._cast.shard.content
        self._on_update(number, mean)
