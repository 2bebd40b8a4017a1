"""What a server holds and what a worker computes, where both are emulated; the real ones are in ``training``."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .job import Job
    from .layout import Layout


class Gradient(NamedTuple):
    """A gradient that a server has received.

    Attributes:
        content: Its part of the buffer.
        samples: Samples that it is the mean of.
        loss: Loss of those samples.
    """

    content: NDArray[Any]
    samples: float
    loss: float


class Shard(Protocol):
    """The weights that one server holds."""

    @property
    def content(self) -> NDArray[Any]:
        """The weights as they are now; an update makes new ones."""

    def room(self, worker: int) -> NDArray[Any]:
        """Return where the gradient of a worker is received."""

    async def update(self, gradients: Sequence[Gradient]) -> None:
        """Take a step along the mean of gradients."""

    def checkpoints(self) -> list[int]:
        """Return after how many updates it could go on."""

    def restore(self, updates: int) -> None:
        """Go on from there."""

    def keep(self) -> None:
        """Make it possible to go on from here."""


class Computation(Protocol):
    """What a worker computes.

    Attributes:
        weights: Where weights are received, flat.
        gradient: What is sent, flat, after a call.
    """

    weights: NDArray[Any]
    gradient: NDArray[Any]

    async def __call__(self, batch: int, part: int, parts: int) -> tuple[float, float]:
        """Compute the gradient of a batch, or of one of its parts, and return its samples and its loss."""


def parts_of(job: Job, layout: Layout, rank: int) -> list[slice]:
    """Return the elements that a worker exchanges with each server.

    What a worker would exchange with itself is empty where computing is emulated: nothing reads it.
    """
    parts = [layout.part(server) for server in range(len(layout.bounds) - 1)]
    if job.training is None and rank in job.server_ranks:
        own = job.server_ranks.index(rank)
        parts[own] = slice(parts[own].start, parts[own].start)
    return parts


def gradient_part(job: Job, part: slice) -> slice:
    """Return which elements of a gradient a server gets that has a part of the weights.

    Where gradients have another size, any as many will do: computing is emulated then.
    """
    return part if job.up_share == 1.0 else slice(0, job.gradient_elements(part.stop - part.start))


def filled(job: Job, elements: int) -> NDArray[Any]:
    """Return a buffer whose pages exist: the first touch of a page costs as much as sending it."""
    return np.ones((elements, job.element_bytes), np.uint8)


class EmulatedShard:
    """Bytes in the place of weights; nothing is updated.

    Args:
        job: The run.
        elements: How many elements this server holds.
    """

    def __init__(self, job: Job, elements: int) -> None:
        self.content = filled(job, elements)
        # Nobody reads what arrives, so all workers may write to the same place.
        self._room = filled(job, job.gradient_elements(elements))

    def room(self, worker: int) -> NDArray[Any]:
        """Return where bytes in the place of a gradient are received."""
        del worker
        return self._room

    async def update(self, gradients: Sequence[Gradient]) -> None:
        """Update nothing."""

    def checkpoints(self) -> list[int]:
        """Return nothing: there is nothing to keep."""
        return []

    def restore(self, updates: int) -> None:
        """Restore nothing."""

    def keep(self) -> None:
        """Keep nothing."""


class EmulatedComputation:
    """Waiting in the place of computing.

    Args:
        job: The run.
    """

    def __init__(self, job: Job) -> None:
        self._seconds = job.t_grad_s
        elements = sum(job.tensor_elements)
        self.weights = filled(job, elements)
        self.gradient = self.weights if job.up_share == 1.0 else filled(job, job.gradient_elements(elements))

    async def __call__(self, batch: int, part: int, parts: int) -> tuple[float, float]:
        """Wait."""
        del batch, part
        # A thread sleeps to a twentieth of a millisecond, the loop's timers to one or two.
        await asyncio.to_thread(time.sleep, self._seconds)
        return 1.0 / parts, 0.0
