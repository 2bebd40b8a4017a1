"""What is installed, what it would compute on, and what stands in the way."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from dataclasses import dataclass

from speedup import __version__
from speedup.bridge import load_calibrate, load_testbed
from speedup.errors import MissingExtraError, SpeedupError
from speedup.profile import profile_names

_PACKAGES = (
    "numpy",
    "scipy",
    "sympy",
    "pandas",
    "plotly",
    "cyclopts",
    "pydantic",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "mpi4py",
    "openmpi",
)


@dataclass(frozen=True, slots=True)
class Checkup:
    """Findings of a checkup.

    Attributes:
        versions: Version of each package; None where it is missing.
        facts: Other findings by name.
        problems: What must be mended, each with its cure.
    """

    versions: dict[str, str | None]
    facts: dict[str, str]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the findings as one plain document."""
        return {
            "schema": "speedup.doctor/1",
            "versions": self.versions,
            "facts": self.facts,
            "problems": list(self.problems),
        }

    def __str__(self) -> str:
        pairs = [
            *((name, version or "missing") for name, version in self.versions.items()),
            *self.facts.items(),
        ]
        width = max(len(name) for name, _ in pairs)
        lines = [f"{name:{width}}  {value}" for name, value in pairs]
        return "\n".join([*lines, "", *(self.problems or ("Nothing stands in the way.",))])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def name_clash() -> str | None:
    """Return a message if another distribution installs a package called ``speedup`` as well."""
    other = _version("speedup")
    if other is None:
        return None
    return (
        f'two packages install "speedup": speedup-toolkit {__version__} and speedup {other}. '
        "Run: pip uninstall speedup; pip install --force-reinstall speedup-toolkit"
    )


def _device() -> tuple[str, str | None]:
    """Return the device that a calibration would measure, and what is missing to find out."""
    try:
        return str(load_calibrate().describe_device()), None
    except MissingExtraError as error:
        return "not known without JAX", str(error)


def _testbed() -> str:
    """Return whether hosts of network namespaces can be made here."""
    try:
        load_testbed().check_testbed()
    except SpeedupError as error:
        return f"not possible: {error}"
    return "possible"


def examine() -> Checkup:
    """Look at this installation and this machine; measures nothing."""
    device, missing = _device()
    facts = {
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "device": device,
        "chromium": shutil.which("chromium")
        or shutil.which("google-chrome")
        or "not found; only image export needs it",
        "testbed": _testbed(),
        "profiles": ", ".join(profile_names()),
    }
    versions = {"speedup-toolkit": __version__, **{name: _version(name) for name in _PACKAGES}}
    return Checkup(versions, facts, tuple(filter(None, (name_clash(), missing))))
