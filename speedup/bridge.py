"""The one way from ``speedup`` to the ``calibrate`` package, taken only when somebody measures."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from speedup.errors import MissingExtraError
from speedup.profile import read_profile
from speedup.store import stored_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

    from speedup.profile import Profile

_CURE = 'Run: pip install "speedup-toolkit[calibrate]" (CPU), or add "jax[cuda13]" (NVIDIA GPU).'


def _ours() -> ModuleType:
    """Import ours, not a user's own ``calibrate.py`` that stands first on the path."""
    package = importlib.import_module("calibrate")
    if not hasattr(package, "__speedup__"):
        raise MissingExtraError(f"{package.__file__} hides the calibrate package of speedup-toolkit. Rename that file.")
    return package


def load_calibrate() -> ModuleType:
    """Import the package that measures.

    Raises:
        MissingExtraError: JAX, Flax or Optax is not installed, or another file hides the package.
    """
    package = _ours()
    missing = [name for name in ("jax", "flax", "optax", "psutil") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"calibrating a model needs {', '.join(missing)}. {_CURE}")
    return package


def calibrate(
    name: str,
    *,
    algorithm: str = "sgd",
    batch: int | Iterable[int] | None = None,
    classes: int | None = None,
    precision: str = "float32",
    max_time_s: float = 60.0,
    seed: int = 0,
    on_progress: Callable[[Any], object] | None = None,
    on_visit: Callable[[Profile], object] | None = None,
) -> Profile:
    """Measure t_grad of a network on this machine's device.

    Args:
        name: Architecture, one of those that ``speedup models`` lists.
        algorithm: Training algorithm, one of those that ``speedup algorithms`` lists.
        batch: Samples in a batch, one number or several; None for the architecture's own default. With
            several the profile estimates any batch size.
        classes: Number of classes; None for the architecture's own.
        precision: ``float32`` or ``bfloat16``.
        max_time_s: Wall time of the timing of a batch size at most, compilation not included [s].
        seed: Of the weights and of the synthetic batch.
        on_progress: Called some times a second with a ``calibrate.Progress``.
        on_visit: Called with the profile so far, every time that more of it is known.

    Returns:
        The profile, with samples, device and environment.

    Raises:
        MissingExtraError: JAX is not installed.
        UnknownNameError: No such architecture or algorithm.
        UnitError: A number is out of its range.
    """
    profile: Profile = load_calibrate().calibrate(
        name,
        algorithm=algorithm,
        batch=batch,
        classes=classes,
        precision=precision,
        max_time_s=max_time_s,
        seed=seed,
        on_progress=on_progress,
        on_visit=on_visit,
    )
    return profile


def calibrate_cells(
    names: Iterable[str] | None,
    algorithms: Iterable[str] | None,
    folder: Path,
    *,
    batch: int | Iterable[int] | None = None,
    classes: int | None = None,
    precision: str = "float32",
    max_time_s: float | None = None,
    quick: bool = False,
    resume: bool = False,
    seed: int = 0,
    on_progress: Callable[[Any], object] | None = None,
) -> Iterator[Any]:
    """Measure many networks under many algorithms, each into a file of its own in ``folder``.

    Args:
        names: Architectures; None for all.
        algorithms: Training algorithms; None for sgd if names are given, else for all, or for one of each
            kind if ``quick``.
        folder: Where the profiles go; it must exist.
        batch: Batch sizes; None for some around each architecture's default.
        classes: Number of classes; None for each architecture's own.
        precision: ``float32`` or ``bfloat16``.
        max_time_s: Wall time of the timing of a batch size at most [s]; None for 60, or 1.2 if ``quick``.
        quick: The least that still is a measurement.
        resume: Keep what the folder's profiles already have.
        seed: Of weights and batches.
        on_progress: Called some times a second with a ``calibrate.Progress``.

    Yields:
        A ``calibrate.Outcome`` a profile.
    """
    package = load_calibrate()
    if names is not None and algorithms is None and not quick:
        algorithms = ("sgd",)
    wanted = package.cells(names, algorithms, batch, quick=quick)
    effort = package.Effort.quick() if quick else package.Effort.sweep()
    yield from package.calibrate_cells(
        wanted,
        folder,
        effort=effort if max_time_s is None else effort.lasting(max_time_s),
        resume=resume,
        precision=precision,
        classes=classes,
        seed=seed,
        on_progress=on_progress,
    )


def predict(name: str, batch: int | None = None, folder: Path | None = None) -> Any:  # noqa: ANN401 - a calibrate.Prediction
    """Predict t_grad of a network that was not measured from those that were, on this machine's device.

    Args:
        name: Architecture.
        batch: Samples in a batch; None for the architecture's default.
        folder: Where the profiles are; None for the store.

    Raises:
        MissingExtraError: JAX is not installed.
        PlanError: Too few networks were measured on this device.
    """
    package = load_calibrate()
    device = package.describe_device()
    profiles = [profile for profile in map(read_profile, stored_paths(folder).values()) if profile.device == device]
    return package.predict(name, batch, profiles)


def load_learning() -> ModuleType:
    """Import what trains on one device.

    Raises:
        MissingExtraError: JAX, Flax or Optax is not installed, or another file hides the package.
    """
    load_calibrate()
    return importlib.import_module("calibrate.learning")


def load_cluster() -> ModuleType:
    """Import what runs on clusters.

    Raises:
        MissingExtraError: mpi4py is not installed, or another file hides the package.
    """
    _ours()
    missing = [name for name in ("mpi4py", "psutil") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f'running on a cluster needs {", ".join(missing)}. Run: pip install "speedup-toolkit[cluster]"'
        )
    return importlib.import_module("calibrate.cluster.sessions")


def load_testbed() -> ModuleType:
    """Import what makes hosts of namespaces."""
    _ours()
    return importlib.import_module("calibrate.testbed")
