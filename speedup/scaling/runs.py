"""Measured runs as columns: what ran, and how long a step of it took."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from speedup.errors import FitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


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

    @classmethod
    def of(
        cls,
        *,
        workers: ArrayLike,
        step_s: ArrayLike = 1.0,
        machines: ArrayLike | None = None,
        fullest: ArrayLike | None = None,
        servers: ArrayLike = 0,
        batch: ArrayLike = 1,
    ) -> Runs:
        """Make runs of columns, of which a single value stands for all rows.

        Args:
            workers: Accelerators that compute.
            step_s: Time of one step [s]; of no matter where runs are to be predicted.
            machines: Machines that they are in; one for each worker if left out.
            fullest: Workers in the machine that has the most; evenly spread if left out.
            servers: Machines that hold a shard of the weights; 0 for an all-reduce.
            batch: Samples of one worker in a step.

        Raises:
            FitError: Columns have different lengths.

        Example:
            >>> Runs.of(workers=[4, 8], machines=2, step_s=[0.1, 0.2]).fullest
            array([2., 4.])
        """
        n = np.asarray(workers, dtype=np.float64)
        m = n if machines is None else np.asarray(machines, dtype=np.float64)
        try:
            r = np.ceil(n / m) if fullest is None else fullest
            columns = np.broadcast_arrays(*(np.atleast_1d(one) for one in (n, m, r, servers, batch, step_s)))
        except ValueError:
            raise FitError("columns of runs have different lengths; each needs one value, or one a run.") from None
        return cls(*(np.array(column, dtype=np.float64) for column in columns))

    @property
    def plans(self) -> NDArray[np.float64]:
        """All columns but the time, shape (R, 5)."""
        return np.stack([self.workers, self.machines, self.fullest, self.servers, self.batch], axis=1)

    def joined(self, other: Runs) -> Runs:
        """Return these runs and others."""
        return Runs(*(np.append(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Runs:
        """Return some runs, by mask or by index."""
        return Runs(*(getattr(self, field.name)[rows] for field in fields(self)))
