"""calibrate: measures what ``speedup`` computes with, on the device at hand.

    >>> import calibrate
    >>> calibrate.architecture_names()
    ('nardini_mlp', 'resnet34', 'resnet34_a', 'squeezenet')

``calibrate.calibrate`` measures t_grad of one of these networks and returns a ``speedup.Profile``;
``calibrate.measure`` times any callable, and refuses one that returns before its work is done.

Names are loaded on first use, so that importing this package does not import JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architectures import (
        ARCHITECTURES,
        Architecture,
        architecture,
        architecture_names,
        describe_architectures,
        tensor_elements,
    )
    from .calibration import calibrate
    from .timing.environment import describe_device
    from .timing.sampler import Progress, Samples, Stage, sample
    from .timing.unfinished import measure

__speedup__ = True
"""Tells this package from another of the same name; see ``speedup.bridge``."""

_HOME = {
    "ARCHITECTURES": "architectures",
    "Architecture": "architectures",
    "Progress": "timing.sampler",
    "Samples": "timing.sampler",
    "Stage": "timing.sampler",
    "architecture": "architectures",
    "architecture_names": "architectures",
    "calibrate": "calibration",
    "describe_architectures": "architectures",
    "describe_device": "timing.environment",
    "measure": "timing.unfinished",
    "sample": "timing.sampler",
    "tensor_elements": "architectures",
}

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Progress",
    "Samples",
    "Stage",
    "architecture",
    "architecture_names",
    "calibrate",
    "describe_architectures",
    "describe_device",
    "measure",
    "sample",
    "tensor_elements",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
