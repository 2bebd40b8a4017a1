"""What a model of scaling is: something that is fitted to runs, and then says how long others take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speedup.scaling.runs import Runs

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a fitted model.

    Attributes:
        name: What it is.
        value: Its estimate.
        low: Lower end of the interval that has it with probability ``LEVEL``.
        high: Upper end.
        unit: Its unit; empty for a number.
        identified: Whether the runs say more about it than was assumed before.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    identified: bool


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Times of steps, one a run.

    Attributes:
        step_s: What to expect [s].
        low_s: Lower end of the interval in which a run lies with probability ``LEVEL`` [s].
        high_s: Upper end [s].
        beyond: How many doublings of the number of workers beyond the runs that were fitted; 0 within them.
    """

    step_s: Floats
    low_s: Floats
    high_s: Floats
    beyond: Floats


class Fitted(Protocol):
    """A model with its parameters."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters."""

    def predict(self, runs: Runs) -> Prediction:
        """Predict the steps of runs, whose ``step_s`` is not read."""


class ScalingModel(Protocol):
    """A model before it has seen runs."""

    @property
    def name(self) -> str:
        """Its name."""

    def fit(self, runs: Runs) -> Fitted:
        """Fit the model to measured runs.

        Raises:
            FitError: The runs are too few, or cannot tell anything.
        """


LEVEL = 0.9
"""Probability that intervals state."""
