"""Signs of life: a process whose host, link or self is gone is reported within seconds, and given up in time.

An MPI library notices that a process has died, not that a cable was pulled: TCP tries again for a quarter of an hour.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

from ..engine.base import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.exchange import Exchange

_TAG = 32
BEAT_S = 1.0


_EVERYBODY = 16


def watched(exchange: Exchange) -> list[int]:
    """Return whom a process watches: all others, or in a large run the first, which watches all."""
    everybody = exchange.size <= _EVERYBODY or exchange.rank == 0
    return [rank for rank in range(exchange.size if everybody else 1) if rank != exchange.rank]


class Watch:
    """Watches other processes while its block lasts.

    Args:
        exchange: The messages of this process.
        silent_s: Report one that is not heard of for so long [s].
        patience_s: Give it up after so long [s].
        report: Called with a sentence.
        name: Returns what to call a rank.
    """

    def __init__(
        self,
        exchange: Exchange,
        silent_s: float,
        patience_s: float,
        report: Callable[[str], object],
        name: Callable[[int], str],
    ) -> None:
        self._exchange, self._peers = exchange, watched(exchange)
        self._silent_s, self._patience_s = silent_s, patience_s
        self._report, self._name = report, name
        self._heard: dict[int, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        now = time.monotonic()
        self._heard = dict.fromkeys(self._peers, now)
        jobs = [job(peer) for peer in self._peers for job in (self._beat, self._listen, self._judge)]
        self._tasks = [asyncio.create_task(job) for job in jobs]

    async def __aexit__(self, *exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat(self, peer: int) -> None:
        sign = np.zeros(1, np.int8)
        while peer not in self._exchange.lost:
            try:
                await self._exchange.send(sign, peer, _TAG, quiet=True)
            except ClusterError:
                return
            await asyncio.sleep(BEAT_S)

    async def _listen(self, peer: int) -> None:
        sign = np.zeros(1, np.int8)
        while peer not in self._exchange.lost:
            try:
                await self._exchange.receive(sign, peer, _TAG, quiet=True)
            except ClusterError:
                return
            self._heard[peer] = time.monotonic()

    async def _judge(self, peer: int) -> None:
        reported = False
        while peer not in self._exchange.lost:
            await asyncio.sleep(BEAT_S / 4)
            silent = self._silent(peer)
            if silent > self._patience_s:
                self._exchange.lose(peer, self._given_up(peer))
            elif silent > self._silent_s and not reported:
                self._report(f"{self._name(peer)} has been silent for {silent:.1f} s; its link may be down.")
            reported = silent > self._silent_s

    def _silent(self, peer: int) -> float:
        return time.monotonic() - self._heard[peer]

    def _given_up(self, peer: int) -> str:
        """Return why a process is given up: one that hears of none of several others is itself cut off."""
        silent = f"{self._silent(peer):.0f} s"
        if len(self._peers) > 1 and all(self._silent(one) > self._silent_s for one in self._peers):
            own = self._name(self._exchange.rank)
            return f"{own} has heard of no other process for {silent}, all are silent: its host or its link is down."
        return f"{self._name(peer)} was silent for {silent}: its host, its link or the process is down."
