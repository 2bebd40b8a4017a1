"""Measured runs as columns: what ran, and how long a step of it took."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Measured runs of one training, one a row; all columns have the same length.

    Attributes:
        workers: Accelerators that compute, N.
        machines: Machines that they are in.
        fullest: Workers in the machine that has the most.
        servers: Machines that hold a shard of the weights; 0 where gradients are summed by an all-reduce.
        batch: Samples of one worker in a step.
        step_s: Time of one step [s]: of all workers where they are in step, else of one of them.
    """

    workers: NDArray[np.float64]
    machines: NDArray[np.float64]
    fullest: NDArray[np.float64]
    servers: NDArray[np.float64]
    batch: NDArray[np.float64]
    step_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.workers)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Runs:
        """Return some runs, by mask or by index."""
        return Runs(*(getattr(self, field.name)[rows] for field in fields(self)))
