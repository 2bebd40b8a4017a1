"""calibrate: measures what ``speedup`` computes with, on the device at hand.

    >>> import calibrate
    >>> len(calibrate.architecture_names()), calibrate.algorithm_names()[:3]
    (25, ('gradient_descent', 'sgd', 'minibatch'))

``calibrate.calibrate`` measures t_grad of one of these networks under one of these algorithms and returns a
``speedup.Profile``; ``measure_model`` and ``measure_loss`` do so for your own model. ``calibrate.measure`` times any
callable, and refuses one that returns before its work is done.

Names are loaded on first use, so that importing this package does not import JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architectures import (
        ARCHITECTURES,
        GPT,
        Architecture,
        architecture,
        architecture_names,
        describe_architectures,
        forward_flops,
        tensor_elements,
        tensor_shapes,
    )
    from .calibration import calibrate, measure_loss, measure_model
    from .cost_model import Prediction, predict
    from .matrix import Cell, Outcome, calibrate_cells, cells
    from .sweep import Effort
    from .timing.environment import describe_device
    from .timing.sampler import Progress, Sampler, Samples, Stage, sample
    from .timing.unfinished import measure
    from .tracing import Operation, count_flops, operations
    from .training.algorithms import ALGORITHMS, Algorithm, algorithm, algorithm_names, describe_algorithms

__speedup__ = True
"""Tells this package from another of the same name; see ``speedup.bridge``."""

_HOME = {
    "ALGORITHMS": "training.algorithms",
    "ARCHITECTURES": "architectures",
    "Algorithm": "training.algorithms",
    "Architecture": "architectures",
    "Cell": "matrix",
    "Effort": "sweep",
    "GPT": "architectures",
    "Operation": "tracing",
    "Outcome": "matrix",
    "Prediction": "cost_model",
    "Progress": "timing.sampler",
    "Sampler": "timing.sampler",
    "Samples": "timing.sampler",
    "Stage": "timing.sampler",
    "algorithm": "training.algorithms",
    "algorithm_names": "training.algorithms",
    "architecture": "architectures",
    "architecture_names": "architectures",
    "calibrate": "calibration",
    "calibrate_cells": "matrix",
    "cells": "matrix",
    "count_flops": "tracing",
    "describe_algorithms": "training.algorithms",
    "describe_architectures": "architectures",
    "describe_device": "timing.environment",
    "forward_flops": "architectures",
    "measure": "timing.unfinished",
    "measure_loss": "calibration",
    "measure_model": "calibration",
    "operations": "tracing",
    "predict": "cost_model",
    "sample": "timing.sampler",
    "tensor_elements": "architectures",
    "tensor_shapes": "architectures",
}

__all__ = [
    "ALGORITHMS",
    "ARCHITECTURES",
    "GPT",
    "Algorithm",
    "Architecture",
    "Cell",
    "Effort",
    "Operation",
    "Outcome",
    "Prediction",
    "Progress",
    "Sampler",
    "Samples",
    "Stage",
    "algorithm",
    "algorithm_names",
    "architecture",
    "architecture_names",
    "calibrate",
    "calibrate_cells",
    "cells",
    "count_flops",
    "describe_algorithms",
    "describe_architectures",
    "describe_device",
    "forward_flops",
    "measure",
    "measure_loss",
    "measure_model",
    "operations",
    "predict",
    "sample",
    "tensor_elements",
    "tensor_shapes",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
