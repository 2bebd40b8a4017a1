"""The time of moving a batch from the host's memory to the device."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import jax

_TURNS = 7


def input_time(batch: Any, device: jax.Device | None = None) -> float:  # noqa: ANN401 - any pytree
    """Return the seconds that moving a batch to the device takes: the median of seven times.

    It is no part of t_grad. Where the device is the processor JAX may use the host's memory as it is, and
    what is measured is then the bookkeeping of the call, not a copy.

    Args:
        batch: NumPy arrays in any pytree, in ordinary (pageable) memory.
        device: Where to; None for JAX's first.

    Example:
        >>> import numpy as np
        >>> 0 < input_time({"inputs": np.zeros((8, 3, 32, 32)), "labels": np.zeros(8, np.int32)}) < 1
        True
    """
    target = device or jax.devices()[0]
    # The first time allocates.
    return median([_moved(batch, target) for _ in range(_TURNS + 1)][1:])


def _moved(batch: Any, device: jax.Device) -> float:  # noqa: ANN401 - any pytree
    start = time.perf_counter()
    jax.block_until_ready(jax.device_put(batch, device))  # type: ignore[no-untyped-call]
    return time.perf_counter() - start
