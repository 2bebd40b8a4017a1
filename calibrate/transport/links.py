r"""The time of one transfer between two hosts, measured: one way, the other, and both at once.

A transfer of W bytes takes

.. math:: t_{comm} = a + W / \beta

with latency a and bandwidth \beta. Both are fitted to transfers of many sizes, and each size keeps its samples.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cluster import Exchanges, Flows, MeasuredLink, Transfers

from .counters import check_counted, interface_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..engine.exchange import Exchange

_DATA, _ACKNOWLEDGEMENT, _REQUEST, _BACK = 1, 2, 3, 4
DIRECTIONS = ("forward", "backward", "both")
LEVEL = 0.95
BULK = 16
"""Latency and bandwidth are those of transfers of at least the largest size by this."""
_DRAWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What is measured of a link.

    Attributes:
        sizes: Bytes of a transfer.
        repeats: Transfers of each size and direction, at least.
        seconds: Time that a size and direction may take [s].
        most: Transfers of each size and direction, at most.
        warmup: Transfers of the largest size before, which widen TCP's windows.
        flows: Largest number of hosts that send to one at once; 1 for none.
        exchanges: Numbers of hosts that all exchange shares at once.
        stagger: Share of an exchange by which hosts begin later than the one before.
    """

    sizes: tuple[int, ...]
    repeats: int = 5
    seconds: float = 1.0
    most: int = 50
    warmup: int = 2
    flows: int = 1
    exchanges: tuple[int, ...] = ()
    stagger: float = 0.1

    @property
    def ranks(self) -> int:
        """Processes that it needs."""
        return max(2, self.flows + 1, *self.exchanges)

    def to_dict(self) -> dict[str, Any]:
        """Return the sweep as a plain document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Sweep:
        """Return the sweep of a document that ``to_dict`` made."""
        sizes, exchanges = tuple(document["sizes"]), tuple(document["exchanges"])
        return cls(**{**document, "sizes": sizes, "exchanges": exchanges})


class LinkMeasurement:
    """Transfers between rank 0 and rank 1, and from several ranks to rank 0, as one process sees them.

    Args:
        exchange: The messages of this process.
        sweep: What is measured.
        on_progress: Called at rank 0 with the share that is done.
        loopback: Whether all processes are on one machine.
        name: What to call a rank.
    """

    def __init__(
        self,
        exchange: Exchange,
        sweep: Sweep,
        on_progress: Callable[[float], object],
        name: Callable[[int], str],
        *,
        loopback: bool,
    ) -> None:
        self._exchange, self._sweep, self._on_progress, self._name = exchange, sweep, on_progress, name
        self._loopback, self._pace_s = loopback, 0.0
        self._content = np.ones(max(sweep.sizes), np.uint8)
        self._room, self._back = np.ones(max(sweep.sizes), np.uint8), np.ones(max(sweep.sizes), np.uint8)

    async def measure(self) -> dict[str, Any] | None:
        """Measure, and return the samples at rank 0."""
        before, counted = self._exchange.sent_bytes, interface_bytes(loopback=self._loopback)
        await self._exchange.barrier()
        rows = await self._pairs() if self._exchange.rank < 2 else []
        flows = await self._concurrent()
        exchanges = [await self._exchanges(hosts) for hosts in self._sweep.exchanges]
        await self._exchange.barrier()
        sent, counted = self._exchange.sent_bytes - before, interface_bytes(loopback=self._loopback) - counted
        told = await self._exchange.gather_documents({"sent": sent, "counted": counted})
        if not told:
            return None
        return {"transfers": rows, "flows": flows, "exchanges": exchanges, "warnings": self._checked(told)}

    def _checked(self, told: list[dict[str, int]]) -> list[str]:
        if self._loopback:
            warnings = [check_counted(sum(one["sent"] for one in told), told[0]["counted"], "the loopback interface")]
        else:
            warnings = [check_counted(one["sent"], one["counted"], self._name(rank)) for rank, one in enumerate(told)]
        return [warning for warning in warnings if warning]

    async def _pairs(self) -> list[dict[str, Any]]:
        cells = [(size, direction) for size in self._sweep.sizes for direction in DIRECTIONS]
        for _ in range(self._sweep.warmup):
            await self._transfer(max(self._sweep.sizes), "both")
        rows = []
        for number, (size, direction) in enumerate(cells):
            rows.append(
                {"payload_bytes": size, "direction": direction, "samples_s": await self._samples(size, direction)}
            )
            self._on_progress((number + 1) / (len(cells) + self._sweep.flows - 1))
        return rows

    async def _samples(self, size: int, direction: str) -> list[float]:
        """Return the times of enough transfers; rank 0 says when it is enough."""
        await self._transfer(size, direction)
        samples, start = list[float](), time.perf_counter()
        going = True
        while going:
            samples.append(await self._transfer(size, direction))
            spent = time.perf_counter() - start
            enough = len(samples) >= self._sweep.repeats and spent > self._sweep.seconds
            going = await self._agreed(not enough and len(samples) < self._sweep.most)
        return samples

    async def _agreed(self, going: bool) -> bool:
        word = np.array([going], np.int8)
        if self._exchange.rank == 0:
            await self._exchange.send(word, 1, _ACKNOWLEDGEMENT)
        else:
            await self._exchange.receive(word, 0, _ACKNOWLEDGEMENT)
        return bool(word[0])

    async def _transfer(self, size: int, direction: str) -> float:
        """Move so many bytes and return how long it took: at rank 0, until the other end says that it has them all."""
        other = 1 - self._exchange.rank
        first = self._exchange.rank == 0
        tasks = []
        if direction == "both" or (direction == "forward") == first:
            tasks.append(self._exchange.send(self._content[:size], other, _DATA))
        if direction == "both" or (direction == "backward") == first:
            tasks.append(self._exchange.receive(self._room[:size], other, _DATA))
        await self._exchange.barrier((0, 1))
        start = time.perf_counter()
        await asyncio.gather(*tasks)
        await self._exchange.barrier((0, 1))
        return time.perf_counter() - start

    async def _concurrent(self) -> list[dict[str, Any]]:
        """Return, for 2, 3, ... senders to rank 0 at once, when each of them was through."""
        rows = []
        for count in range(2, self._sweep.flows + 1):
            await self._exchange.barrier()
            ends = [await self._flows(count) for _ in range(self._sweep.repeats)]
            if self._exchange.rank == 0:
                rows.append({"flows": count, "payload_bytes": max(self._sweep.sizes), "ends_s": ends})
                self._on_progress(1.0)
        return rows

    async def _flows(self, count: int) -> list[float]:
        rank, size = self._exchange.rank, max(self._sweep.sizes)
        await self._exchange.barrier()
        start = time.perf_counter()
        if 0 < rank <= count:
            await self._exchange.send(self._content[:size], 0, _DATA)
        if rank > 0:
            return []

        async def receive(source: int) -> float:
            await self._exchange.receive(np.empty(size, np.uint8), source, _DATA)
            return time.perf_counter() - start

        return list(await asyncio.gather(*(receive(source) for source in range(1, count + 1))))

    async def _exchanges(self, hosts: int) -> dict[str, Any]:
        """Return what each of several hosts took to fetch a share from all others and to give one to all."""
        size = max(self._sweep.sizes)
        found: dict[str, Any] = {"hosts": hosts, "payload_bytes": size, "stagger": self._sweep.stagger}
        for name, stagger in (("aligned_s", 0.0), ("staggered_s", self._sweep.stagger)):
            taken = list[float]()
            for _ in range(self._sweep.repeats + 1):
                await self._exchange.barrier()
                taken.append(await self._there_and_back(hosts, size // hosts, stagger))
                # The first opens connections and windows, and sets the pace of the others.
                self._pace_s = taken[0]
            told = await self._exchange.gather_documents(taken, range(hosts)) if self._exchange.rank < hosts else []
            found[name] = [list(repetition) for repetition in zip(*told, strict=True)][1:]
        return found

    async def _there_and_back(self, hosts: int, share: int, stagger: float) -> float:
        """Fetch a share from each of the others, give each one, and return half of what it took.

        In step, shares are sent unasked to who waits for them, as in a synchronous iteration without computing. One
        after another, each host asks for them, as an asynchronous worker does.
        """
        rank, asking = self._exchange.rank, stagger > 0
        if rank >= hosts:
            return 0.0
        others = [(rank + step) % hosts for step in range(1, hosts)]
        rooms = {other: self._room[place * share : (place + 1) * share] for place, other in enumerate(others)}
        arriving = [asyncio.ensure_future(self._exchange.receive(rooms[other], other, _DATA)) for other in others]
        serving = [asyncio.ensure_future(self._serve_share(other, share, asking=asking)) for other in others]
        if asking:
            await asyncio.sleep(stagger * rank * self._pace_s)
        start = time.perf_counter()
        if asking:
            await asyncio.gather(*(self._exchange.send(np.zeros(1, np.int8), other, _REQUEST) for other in others))
        await asyncio.gather(*arriving)
        await asyncio.gather(*(self._exchange.send(self._content[:share], other, _BACK) for other in others))
        if asking:
            taken = time.perf_counter() - start
        await asyncio.gather(*serving)
        return (taken if asking else time.perf_counter() - start) / 2

    async def _serve_share(self, other: int, share: int, *, asking: bool) -> None:
        """Give another host its share, and take the one that it gives back."""
        back = asyncio.ensure_future(self._exchange.receive(self._back[:share], other, _BACK))
        if asking:
            await self._exchange.receive(np.zeros(1, np.int8), other, _REQUEST)
        await self._exchange.send(self._content[:share], other, _DATA)
        await back


def fit_line(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return latency [s] and seconds a byte of transfers, by least squares of relative errors; no latency below 0.

    Where noise makes larger transfers the faster ones, all their time is that of their bytes.

    Example:
        >>> latency, per_byte = fit_line([1e3, 1e6, 1e8], [1.01e-3, 1.1e-2, 1.001])
        >>> round(latency, 6), round(1 / per_byte)
        (0.001, 100000000)
    """
    times, design = np.asarray(seconds), np.column_stack([np.ones(len(sizes)), sizes])
    from scipy.optimize import nnls  # noqa: PLC0415 - slow, and only a fit needs it

    relative = design / times[:, None]
    (latency, per_byte), _ = nnls(relative, np.ones(len(times)))
    if per_byte == 0:
        latency, per_byte = 0.0, relative[:, 1].sum() / (relative[:, 1] ** 2).sum()
    return float(latency), float(per_byte)


def default_sizes(largest: int, smallest: int = 1024) -> tuple[int, ...]:
    """Return sizes from small to large, each four times the one before, as transfers are measured.

    Example:
        >>> default_sizes(20_000)
        (1024, 4096, 16384, 20000)
    """
    sizes = []
    size = smallest
    while size < largest:
        sizes.append(size)
        size *= 4
    return (*sizes, largest)


def describe(told: dict[str, Any], wire: str, engine: str, *, in_turn: bool) -> MeasuredLink:
    """Return the link that was measured, with intervals from resampled samples.

    Latency and bandwidth are fitted to the large transfers of both directions together.

    Args:
        told: What ``LinkMeasurement.measure`` returned at rank 0.
        wire: What carried the messages.
        engine: What sent them.
        in_turn: Whether it sends long messages to the same process one after another.
    """
    transfers = tuple(
        Transfers(
            payload_bytes=row["payload_bytes"],
            direction=row["direction"],
            samples_s=tuple(map(float, row["samples_s"])),
        )
        for row in told["transfers"]
    )
    largest = max(one.payload_bytes for one in transfers)
    # Below, protocols change with the size, and what a link stores counts for more than its rate.
    single = [one for one in transfers if one.direction != "both" and one.payload_bytes >= largest / BULK]
    latency, per_byte = fit_line([one.payload_bytes for one in single], [one.median_s for one in single])
    drawn = np.array([_resampled_fit(single, draw) for draw in range(_DRAWS)])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return MeasuredLink(
        latency_s=latency,
        bandwidth_bytes_per_s=1 / per_byte,
        latency_low_s=min(latency, float(low[0])),
        latency_high_s=max(latency, float(high[0])),
        bandwidth_low_bytes_per_s=min(1 / per_byte, 1 / float(high[1])),
        bandwidth_high_bytes_per_s=max(1 / per_byte, 1 / float(low[1])),
        level=LEVEL,
        transfers=transfers,
        exchanges=tuple(
            Exchanges(
                hosts=row["hosts"],
                payload_bytes=row["payload_bytes"],
                aligned_s=tuple(map(tuple, row["aligned_s"])),
                staggered_s=tuple(map(tuple, row["staggered_s"])),
                stagger=row["stagger"],
            )
            for row in told["exchanges"]
        ),
        flows=tuple(
            Flows(count=row["flows"], payload_bytes=row["payload_bytes"], ends_s=tuple(map(tuple, row["ends_s"])))
            for row in told["flows"]
        ),
        wire=wire,
        engine=engine,
        in_turn=in_turn,
        warnings=tuple(told["warnings"]),
    )


def _resampled_fit(transfers: Sequence[Transfers], draw: int) -> tuple[float, float]:
    random = np.random.default_rng(draw)
    times = [float(np.median(random.choice(one.samples_s, len(one.samples_s)))) for one in transfers]
    return fit_line([one.payload_bytes for one in transfers], times)
