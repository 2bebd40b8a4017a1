"""Steps between machines from what is known before any run between machines: formulas without fitted constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from speedup.numeric import equation_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from speedup.published.records import Series
    from speedup.scaling.runs import Runs

    Floats = NDArray[np.float64]

FRAMING = 1448 / 1538
"""What TCP's payload has of an Ethernet that carries frames of 1500 bytes: 1448 of 1538 bytes on the wire."""
FORWARD = 1 / 3
"""Share of a step that is over before the first gradient is known: a backward pass costs two forward passes."""
_WIDEST = (np.log(1e5), np.log(1e13))


def wire_times(series: Series, runs: Runs) -> Floats:
    r"""Return how many times the payload crosses the busiest link and direction in a step.

    .. math::
        \text{ring over } N \text{ (C.1)}: \frac{2 (N-1)}{N}, \quad
        k \text{ servers on } m \text{ machines that compute (K.5)}: \frac{2 (m-1)}{k}, \quad
        k \text{ servers of their own (K.1)}: 2 \max\left(1, \frac{m}{k}\right)

    A server of its own takes what all machines push before they pull it, so each way counts. Accelerators of one
    machine share its link: with servers, the machine is the worker; a ring goes through every accelerator.

    Args:
        series: Where the runs belong.
        runs: Several machines each.

    Example:
        >>> from speedup.published.records import scaling_series
        >>> ring = next(one for one in scaling_series() if one.name == "bsp-a2a-resnet50")
        >>> wire_times(ring, ring.between).round(3).tolist()
        [1.75, 1.875, 1.938]
    """
    units = runs.workers if series.kind == "allreduce" else runs.machines
    number = "C.1" if series.kind == "allreduce" else "K.1" if series.dedicated else "K.5"
    return np.asarray(equation_value(number, N=units, k=np.maximum(runs.servers, 1), t_comm=1.0, a=0.0))


def step_times(series: Series, runs: Runs, bandwidth_bytes_s: float, *, alone: bool = True) -> Floats:
    r"""Return steps between machines from steps within one machine and a bandwidth.

    .. math::
        T = \max(t_m,\; h\, t_1 + N)

    t_m is the step of a full machine and t_1 that of one accelerator: what a full machine takes longer is spent on
    its own bus, at the same time as others are on the wire. h is 1, or 1/3 where the framework sends gradients
    during the backward pass. N is what crosses the busiest link by the bandwidth.

    Args:
        series: Where the runs belong.
        runs: Several machines each.
        bandwidth_bytes_s: What one gets of a machine's link in one direction [B/s].
        alone: Whether t_1 is known; else it is t_m.

    Returns:
        Steps [s].
    """
    first = series.alone_step_s if alone else series.machine_step_s
    shown = FORWARD if series.overlaps else 1.0
    wire = wire_times(series, runs) * series.payload_bytes / bandwidth_bytes_s
    return np.asarray(np.maximum(series.machine_step_s, shown * first + wire))


def nominal_steps(series: Series, runs: Runs, *, alone: bool = True) -> Floats:
    """Return ``step_times`` with the nominal bandwidth, less the frames of Ethernet and TCP [s]."""
    return step_times(series, runs, FRAMING * series.bandwidth_bytes_s, alone=alone)


def paleo_steps(series: Series, runs: Runs) -> Floats:
    r"""Return what Paleo's formulas say of steps between machines [s].

    .. math::
        T = t_m + 2 \lceil \log_2 m \rceil W, \qquad T = t_m + \frac{2 (m-1)}{k} W

    for an all-reduce by a tree, and for one machine that gathers and sends all, here k of them with a share each;
    W is the payload by the nominal bandwidth. Paleo takes t_m from counted operations; here it is the measured one.

    Source: H. Qi, E. R. Sparks, A. Talwalkar, Paleo: A Performance Model for Deep Neural Networks, ICLR 2017.
    """
    machines = runs.machines
    payload = series.payload_bytes / series.bandwidth_bytes_s
    if series.kind == "allreduce":
        return np.asarray(series.machine_step_s + 2 * np.ceil(np.log2(machines)) * payload)
    return np.asarray(series.machine_step_s + 2 * (machines - 1) / np.maximum(runs.servers, 1) * payload)


def linear_steps(series: Series, runs: Runs) -> Floats:
    """Return the step of one full machine for any number of machines [s]: linear scaling."""
    return np.full(len(runs), series.machine_step_s)


def fitted_bandwidth(predict: Callable[[float], Floats], step_s: Floats) -> float:
    """Return the bandwidth with the smallest mean absolute error of the logarithm of steps [B/s].

    Args:
        predict: Steps from a bandwidth.
        step_s: Measured steps [s].

    Example:
        >>> import numpy as np
        >>> round(fitted_bandwidth(lambda rate: 1 + 1e9 / np.array([rate, 2 * rate]), np.array([2, 1.5])) / 1e9, 3)
        1.0
    """

    def error(log_rate: float) -> float:
        return float(np.abs(np.log(predict(float(np.exp(log_rate))) / step_s)).mean())

    # Absolute errors have several minima, and are flat where a bandwidth makes no difference: look around first.
    grid = np.linspace(*_WIDEST, 400)
    best = int(np.argmin([error(one) for one in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    refined = minimize_scalar(error, bounds=around, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(refined.x if refined.fun < error(grid[best]) else grid[best]))
