"""Distributed edge-popup with real processes: each is a node, and the best scores go round a ring."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from ..datasets import load_dataset, synthetic
from ..learning.distributed import DistributedEdgePopup, Rounds
from .ring import ring_reduce

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..engine.exchange import Exchange
    from .tell import Tell

_OPERATIONS = {"max": np.maximum, "mean": np.add}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesJob:
    """Rounds of distributed edge-popup over hosts, one node a process.

    Attributes:
        rounds: How the nodes work together.
        data: Data set, or ``synthetic``.
        folder: Where its files are, on every host; None for ``SPEEDUP_DATA``.
    """

    rounds: Rounds
    data: str = "mnist"
    folder: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the job as a plain document."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> NodesJob:
        """Return the job of a document that ``to_dict`` made."""
        return cls(**{**document, "rounds": Rounds(**document["rounds"])})

    def dataset(self) -> Dataset:
        """Read the images.

        Raises:
            DatasetError: A file is missing or damaged.
        """
        if self.data == "synthetic":
            return synthetic((28, 28, 1), seed=self.rounds.seed)
        return load_dataset(self.data, self.folder)


async def play_rounds(exchange: Exchange, job: NodesJob, tell: Tell) -> None:
    """Be one node among as many processes, and at rank 0 tell what each round reached.

    Args:
        exchange: The messages of this process, whose rank is the node's number.
        job: What is done.
        tell: Called with each round.

    Raises:
        DatasetError: A file is missing or damaged.
        PeerLostError: Another node is gone.
    """
    how, ranks = job.rounds, range(job.rounds.nodes)
    node = await asyncio.to_thread(lambda: DistributedEdgePopup(how, job.dataset(), [exchange.rank]))
    for _ in range(how.rounds):
        start = time.perf_counter()
        scores = await asyncio.to_thread(node.play)
        content = np.concatenate([np.asarray(leaf).ravel() for leaf in scores])
        await ring_reduce(exchange, ranks, content, _OPERATIONS[how.merge])
        if how.merge == "mean":
            content /= how.nodes
        edges = np.cumsum([leaf.size for leaf in scores])[:-1]
        parts = zip(np.split(content, edges), scores, strict=True)
        best = [jnp.asarray(part.reshape(leaf.shape[1:])) for part, leaf in parts]
        row = await asyncio.to_thread(node.take, best, scores, start)
        if exchange.rank == 0:
            tell(round=row.to_dict())
