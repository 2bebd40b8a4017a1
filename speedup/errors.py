"""What can go wrong, one class a cause.

Every message says what is wrong with its value, unit and place, what is allowed, and what to do. The
command line prints the same text and ends with the class's ``exit_code``.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Entry = TypeVar("Entry")


class SpeedupError(ValueError):
    """A value that cannot be used; the parent of every error of this package."""

    exit_code = 2


class UnitError(SpeedupError):
    """A quantity that cannot be read or is out of its range."""


class PlanError(SpeedupError):
    """A mode, server, schedule or placement that does not exist or does not go with the others."""


class UnknownNameError(SpeedupError):
    """A profile or architecture that nobody knows."""


class ProfileError(SpeedupError):
    """A profile, or a file of one, that is broken, incomplete or of a newer version."""

    exit_code = 3


class PriceError(SpeedupError):
    """A table of prices that is missing or broken."""

    exit_code = 3


class FitError(SpeedupError):
    """Runs that cannot be fitted, or a question that they say nothing about."""


class MissingExtraError(SpeedupError, ImportError):
    """An optional part of the installation that is not there."""

    exit_code = 4


class UnfinishedWorkError(SpeedupError):
    """A timed callable that returned before its work was done."""


class UnstableTimingError(SpeedupError):
    """Timing so unstable that no number can be given."""

    exit_code = 5


def look_up(kind: str, name: str, known: Mapping[str, Entry]) -> Entry:
    """Return what is known by a name, upper or lower case, ``-`` or ``_``.

    Args:
        kind: What it is, such as ``model``; the command that lists them is its plural.
        name: The name.
        known: Entries by name, in lower case with ``_``.

    Raises:
        UnknownNameError: Nobody knows the name.

    Example:
        >>> look_up("model", "VGG-16", {"vgg_16": 1})
        1
    """
    found = known.get(name.lower().replace("-", "_"))
    if found is None:
        raise UnknownNameError(f'unknown {kind} "{name}". {suggestion(name, known)}List: speedup {kind}s')
    return found


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean "x"? `` for the known words near ``word``, else an empty string.

    Example:
        >>> suggestion("resnet33", ["resnet34", "vgg16e"])
        'Did you mean "resnet34"? '
    """
    near = difflib.get_close_matches(word.lower(), list(known), n=2, cutoff=0.6)
    quoted = " or ".join(f'"{name}"' for name in near)
    return f"Did you mean {quoted}? " if near else ""
