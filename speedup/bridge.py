"""The one way from ``speedup`` to the ``calibrate`` package, taken only when somebody measures."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from speedup.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from speedup.profile import Profile

_CURE = 'Run: pip install "speedup-toolkit[calibrate]" (CPU), or add "jax[cuda13]" (NVIDIA GPU).'


def load_calibrate() -> ModuleType:
    """Import ours, not a user's own ``calibrate.py`` that stands first on the path.

    Raises:
        MissingExtraError: JAX, Flax or Optax is not installed, or another file hides the package.
    """
    package = importlib.import_module("calibrate")
    if not hasattr(package, "__speedup__"):
        raise MissingExtraError(f"{package.__file__} hides the calibrate package of speedup-toolkit. Rename that file.")
    missing = [name for name in ("jax", "flax", "optax", "psutil") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"calibrating a model needs {', '.join(missing)}. {_CURE}")
    return package


def calibrate(
    name: str,
    *,
    batch: int | None = None,
    max_time_s: float = 60.0,
    seed: int = 0,
    on_progress: Callable[[Any], object] | None = None,
) -> Profile:
    """Measure t_grad of a network on this machine's device.

    Args:
        name: Architecture, one of those that ``speedup models`` lists.
        batch: Samples in a batch; None for the architecture's own default.
        max_time_s: Wall time of the timing at most, compilation not included [s].
        seed: Of the weights and of the synthetic batch.
        on_progress: Called some times a second with a ``calibrate.Progress``.

    Returns:
        The profile, with samples, device and environment.

    Raises:
        MissingExtraError: JAX is not installed.
        UnknownNameError: No such architecture.
        UnitError: A number is out of its range.
    """
    profile: Profile = load_calibrate().calibrate(
        name, batch=batch, max_time_s=max_time_s, seed=seed, on_progress=on_progress
    )
    return profile
