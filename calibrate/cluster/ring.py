"""All-reduce around a ring: what every worker has is put together, and every worker gets the whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..engine.exchange import Exchange

_TAG = 16
LANES = 2
"""Rings side by side, so that one sends while the other adds."""


def _bounds(elements: int, pieces: int) -> list[int]:
    return [elements * piece // pieces for piece in range(pieces + 1)]


async def ring_reduce(
    exchange: Exchange, ranks: Sequence[int], content: NDArray[Any], together: np.ufunc = np.add
) -> None:
    r"""Replace a flat buffer by the sum of everybody's, or by what another operation makes of all.

    Each of n processes sends n - 1 pieces of 1/n to its neighbour while it receives as many, first to add, then to
    keep:

    .. math:: t = 2 \frac{n-1}{n} t_{comm}

    Args:
        exchange: The messages of this process.
        ranks: Who takes part, in the order of the ring.
        content: The buffer, which is changed.
        together: Puts two together, in any order: ``np.add``, or ``np.maximum``.
    """
    if len(ranks) == 1:
        return
    edges = _bounds(len(content), LANES)
    await asyncio.gather(
        *(
            _lane(exchange, ranks, content[edges[lane] : edges[lane + 1]], _TAG + lane, together)
            for lane in range(LANES)
        )
    )


async def _lane(exchange: Exchange, ranks: Sequence[int], content: NDArray[Any], tag: int, together: np.ufunc) -> None:
    count, me = len(ranks), ranks.index(exchange.rank)
    after, before = ranks[(me + 1) % count], ranks[me - 1]
    edges = _bounds(len(content), count)
    pieces = [content[edges[piece] : edges[piece + 1]] for piece in range(count)]
    arrived = np.empty_like(content[: max(len(piece) for piece in pieces)])
    for step in range(count - 1):
        mine, theirs = pieces[(me - step) % count], pieces[(me - step - 1) % count]
        room = arrived[: len(theirs)]
        await asyncio.gather(exchange.send(mine, after, tag), exchange.receive(room, before, tag))
        together(theirs, room, out=theirs)
    for step in range(count - 1):
        mine, theirs = pieces[(me + 1 - step) % count], pieces[(me - step) % count]
        await asyncio.gather(exchange.send(mine, after, tag), exchange.receive(theirs, before, tag))
