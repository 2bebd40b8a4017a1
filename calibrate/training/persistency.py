r"""Minibatch persistency: each batch is used for K updates in a row before the next is loaded.

Every repeat is an update of its own, with the gradient at the weights it finds, and momentum carries through. In
a distributed run each repeat is an exchange too: persistency saves loading, not communication. What is drawn at
random when a batch is loaded (augmentation) is drawn once and used K times.

Source: M. Fischetti, I. Mandatelli, D. Salvagnin, *Faster SGD training by minibatch persistency*, 2018.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from speedup.errors import UnitError
from speedup.units import positive, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Batch = TypeVar("Batch")

PERSISTENCY = 5
"""The largest K that the source measures."""


def persistent(batches: Iterable[Batch], persistency: int) -> Iterator[Batch]:
    """Yield each batch ``persistency`` times.

    Args:
        batches: Batches, as they are loaded.
        persistency: K, at least 1.

    Raises:
        UnitError: K is no whole number of at least 1.

    Example:
        >>> list(persistent("ab", 3))
        ['a', 'a', 'a', 'b', 'b', 'b']
    """
    count = whole("persistency", persistency)
    return (batch for batch in batches for _ in range(count))


def epoch_time_s(
    batches: int, t_update_s: float, *, persistency: int = 1, t_load_s: float = 0.0, t_evaluation_s: float = 0.0
) -> float:
    r"""Return the time of an epoch whose loading overlaps with its updates [s].

    .. math:: t_{epoch}(K) = n \max(t_{load}, K\, t_{update}) + t_{evaluation}

    Persistency is free for as long as :math:`K\, t_{update} < t_{load}`.

    Args:
        batches: Batches of an epoch, n.
        t_update_s: One update [s].
        persistency: K, at least 1.
        t_load_s: Loading of one batch [s].
        t_evaluation_s: What an epoch takes besides, such as a pass over the test set [s].

    Raises:
        UnitError: A value is out of range.

    Example:
        >>> [round(epoch_time_s(98, 0.1039, persistency=k, t_evaluation_s=1.1), 1) for k in (1, 2, 5)]
        [11.3, 21.5, 52.0]
    """
    positive("t_update_s", t_update_s, "s")
    for name, value in (("t_load_s", t_load_s), ("t_evaluation_s", t_evaluation_s)):
        if not (math.isfinite(value) and value >= 0):
            raise UnitError(f"{name} = {value:g} s; it must be finite and at least 0 s.")
    updates_s = whole("persistency", persistency) * t_update_s
    return whole("batches", batches) * max(t_load_s, updates_s) + t_evaluation_s
