"""The noise scale of a training, measured on the way without changing it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..noise_scale import NoiseMeter, Pair, second_moments, training_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedup.efficiency import NoiseScale

    from ..training.step import TrainingRun
    from .settings import Settings

WORKERS = 8
"""Batches whose mean gradient is held against their own ones, as in an iteration of so many workers."""
PAIRS = 32
"""Measurements in an epoch."""


class NoiseWatch:
    """Measures at steps that are spread over an epoch.

    Args:
        run: The training, whose state is read.
        settings: What is trained.
    """

    def __init__(self, run: TrainingRun, settings: Settings) -> None:
        self._run, self._repeats = run, settings.repeats
        self._norms = training_norms(run, WORKERS)
        self._meter = NoiseMeter(
            settings.samples,
            WORKERS * settings.samples,
            algorithm=settings.algorithm,
            preconditioned=second_moments(run.unflattened(run.state).optimizer) is not None,
        )

    def measure(self, number: int, batch: Callable[[int], tuple[Any, Any]], before: Sequence[jax.Array]) -> float:
        """Measure before a batch, on it and those after it, none of which has these weights yet; return the seconds.

        Args:
            number: Of the batch.
            batch: Makes a batch of a number.
            before: What the device may still be busy with: training, which is no part of measuring.
        """
        jax.block_until_ready(before)  # type: ignore[no-untyped-call]
        start = time.perf_counter()
        inputs, labels = zip(*(batch(number + later) for later in range(WORKERS)), strict=True)
        found = self._norms(self._run.frozen, self._run.state, (np.concatenate(inputs), np.concatenate(labels)))
        small, big, loss = map(float, found)
        # Before the first update there are no second moments, and nothing that they would precondition.
        if small > 0:
            self._meter.add(Pair(small, big, number * self._repeats, loss))
        return time.perf_counter() - start

    def columns(self) -> dict[str, float | None]:
        """Return what a row of an epoch says."""
        if not self._meter.pairs:
            return {"noise_scale_low": 0.0}
        now = self._meter.latest()
        return {"noise_scale": now.value, "noise_scale_low": now.low, "noise_scale_high": now.high}

    def over_run(self) -> NoiseScale | None:
        """Return the noise scale of the training so far; None before it began."""
        return self._meter.over_run() if self._meter.pairs else None

    def to_list(self) -> list[list[float]]:
        """Return what a checkpoint keeps."""
        return [list(pair) for pair in self._meter.pairs]

    def restore(self, kept: Sequence[Sequence[Any]]) -> None:
        """Go on from what a checkpoint kept."""
        self._meter.pairs = [Pair(*pair) for pair in kept]
