"""Steps of asynchronous workers at one server, from one bandwidth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speedup.queueing.mva import machine_repairman_throughput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.published.records import Series
    from speedup.scaling.runs import Runs

    Floats = NDArray[np.float64]

MOST = 0.99
"""Share of a lonely worker's step that the server can take at most: a gradient takes time as well."""


def queued_steps(series: Series, runs: Runs, bandwidth_bytes_s: float) -> Floats:
    r"""Return steps of asynchronous workers that queue at one server, from the step of one worker and a bandwidth.

    .. math::
        T(N) = \frac{N}{X(N)}, \qquad X \text{ of } M/M/1//N \text{ with } s = \frac{W}{B}, \quad Z = t_1 - s

    The step t_1 of one worker has its own exchange with the server in it. One station serves both directions: it
    stands for the server's processor and for a cloud's cap on what a machine sends, whichever is slower.

    Args:
        series: Where the runs belong.
        runs: Any number of workers each.
        bandwidth_bytes_s: At which the server deals with gradients [B/s].

    Returns:
        Steps of one worker [s].
    """
    alone = series.alone_step_s
    service = min(series.payload_bytes / bandwidth_bytes_s, MOST * alone)
    workers = runs.workers.astype(np.int64)
    rates = machine_repairman_throughput(int(workers.max()), alone - service, service)
    return np.asarray(workers / rates[workers - 1])
