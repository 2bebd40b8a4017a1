"""What models are fitted to, and what they are tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from speedup.published.judging import Quantity
    from speedup.scaling.runs import Runs

    Mask: TypeAlias = NDArray[np.bool_]

SEEDS = (0, 1, 2, 3)
"""Of the halves of a grid."""


@dataclass(frozen=True, slots=True)
class Split:
    """Runs to fit and runs to predict.

    Attributes:
        name: What is fitted and what is tested.
        quantity: What is judged.
        fitted: Which runs the model sees.
        tested: Which it predicts.
    """

    name: str
    quantity: Quantity
    fitted: Callable[[Runs], Mask]
    tested: Callable[[Runs], Mask]


POLLUX_SPLITS = (
    Split(
        "fitted n <= 8, tested 9-16",
        "step",
        lambda runs: runs.workers <= 8,
        lambda runs: (runs.workers >= 9) & (runs.workers <= 16),
    ),
    Split(
        "fitted n <= 8, tested 16-64",
        "step",
        lambda runs: runs.workers <= 8,
        lambda runs: runs.workers >= 16,
    ),
    Split(
        "fitted n <= 4, tested 5-8",
        "step",
        lambda runs: runs.workers <= 4,
        lambda runs: (runs.workers >= 5) & (runs.workers <= 8),
    ),
    Split(
        "fitted n <= 2, tested 4-16 machines",
        "speedup",
        lambda runs: runs.workers <= 2,
        lambda runs: runs.machines >= 4,
    ),
)
"""Of the traces of Pollux."""


def halves(count: int, seeds: tuple[int, ...] = SEEDS) -> Iterator[tuple[Mask, Mask]]:
    """Give, for each seed, half of the rows to fit and the other half to predict.

    Example:
        >>> [(int(fitted.sum()), int(tested.sum())) for fitted, tested in halves(5, (0,))]
        [(2, 3)]
    """
    for seed in seeds:
        fitted = np.random.default_rng(seed).permutation(count) < count // 2
        yield fitted, ~fitted


def left_out(candidates: Mask) -> Iterator[tuple[Mask, Mask]]:
    """Give, for each candidate, all other rows to fit and it alone to predict.

    Example:
        >>> import numpy as np
        >>> [fitted.tolist() for fitted, _ in left_out(np.array([False, True, True]))]
        [[True, False, True], [True, True, False]]
    """
    for row in np.flatnonzero(candidates):
        tested = np.zeros(len(candidates), dtype=bool)
        tested[row] = True
        yield ~tested, tested
