"""The one way from ``speedup`` to the ``calibrate`` package, taken only when somebody measures."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from speedup.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

_CURE = 'Run: pip install "speedup-toolkit[calibrate]" (CPU), or add "jax[cuda13]" (NVIDIA GPU).'


def load_calibrate() -> ModuleType:
    """Import ours, not a user's own ``calibrate.py`` that stands first on the path.

    Raises:
        MissingExtraError: JAX, Flax or Optax is not installed, or another file hides the package.
    """
    try:
        package = importlib.import_module("calibrate")
    except ImportError as error:
        raise MissingExtraError(f"calibrating a model needs {error.name}. {_CURE}") from error
    if not hasattr(package, "__speedup__"):
        raise MissingExtraError(
            f"{package.__file__} hides the calibrate package of speedup-toolkit. Rename that file."
        )
    return package


def calibrate(name: str, **options: Any) -> Any:  # noqa: ANN401 - the signature is calibrate.calibrate's
    """Measure t_grad of a network on this machine's device; see ``calibrate.calibrate``.

    Args:
        name: Architecture, one of those that ``speedup models`` lists.
        **options: Passed on, such as ``batch=16``.

    Returns:
        The ``Profile``.

    Raises:
        MissingExtraError: JAX is not installed.
        UnknownNameError: No such architecture.
    """
    return load_calibrate().calibrate(name, **options)
