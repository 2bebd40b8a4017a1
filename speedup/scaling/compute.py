"""t_grad as a function of the batch: taken from runs of one worker where there are some, else fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speedup.scaling.posterior import Prior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.scaling.runs import Runs

    Floats = NDArray[np.float64]

PROPORTIONAL = 4.0
"""Odds assumed for what grows with the batch against what does not, in a step at the usual batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    r"""t_grad(b), of which the runs of one worker say more or less.

    * Two batch sizes or more: straight lines between them on logarithmic axes, going on beyond them with a slope
      within [0, 1]. Nothing is fitted.
    * One: :math:`t(b) = t_1 (1 - s + s\,b/b_1)`, where the share s that grows with the batch is fitted, if the runs
      have other batches at all.
    * None: the same, and :math:`t_1`, at the mean batch, is fitted too.

    Attributes:
        log_batches: Logarithms of the batch sizes, ascending.
        log_seconds: Logarithms of their times [s]; the scale assumed for t_1 where no run is of one worker.
        priors: Of what is fitted.
    """

    log_batches: Floats
    log_seconds: Floats
    priors: tuple[Prior, ...]

    @classmethod
    def of(cls, runs: Runs) -> Compute:
        """Take what runs say about t_grad.

        Args:
            runs: Runs with any number of workers.
        """
        alone = runs.workers == 1
        if not alone.any():
            batch = np.log(runs.batch).mean(keepdims=True)
            shortest = np.log(np.array([runs.step_s.min() / 2]))
            return cls(batch, shortest, (*_share(runs), Prior("t_grad", float(np.exp(shortest[0])), 1.5, "s")))
        batches, place = np.unique(runs.batch[alone], return_inverse=True)
        means = np.bincount(place, np.log(runs.step_s[alone])) / np.bincount(place)
        return cls(np.log(batches), means, _share(runs) if len(batches) == 1 else ())

    def log_time(self, batch: Floats, values: dict[str, Floats]) -> Floats:
        """Return the logarithm of t_grad.

        Args:
            batch: Samples of one worker, shape (R,).
            values: Values of the parameters by name, each of shape (K, 1).

        Returns:
            Shape (R,), or (K, R) where something is fitted.
        """
        x, known = np.log(batch), self.log_batches
        if len(known) > 1:
            slopes = np.clip(np.diff(self.log_seconds) / np.diff(known), 0.0, 1.0)
            beyond = slopes[0] * np.minimum(x - known[0], 0) + slopes[-1] * np.maximum(x - known[-1], 0)
            return np.asarray(np.interp(x, known, self.log_seconds) + beyond)
        level = np.log(values["t_grad"]) if "t_grad" in values else self.log_seconds[0]
        if "batch_odds" not in values:
            return np.asarray(level + np.zeros_like(x))
        odds = values["batch_odds"]
        return np.asarray(level + np.log1p(odds * np.exp(x - known[0])) - np.log1p(odds))


def _share(runs: Runs) -> tuple[Prior, ...]:
    return (Prior("batch_odds", PROPORTIONAL, 1.5),) if np.ptp(runs.batch) > 0 else ()
