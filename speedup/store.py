"""Where the profiles measured here live: one JSON file a profile in one folder."""

from __future__ import annotations

import os
from pathlib import Path

from speedup.errors import SpeedupError

VARIABLE = "SPEEDUP_STORE"
"""Environment variable that names another folder."""


class StoreError(SpeedupError):
    """The store's folder cannot be used."""

    exit_code = 3


def store_folder() -> Path:
    """Return the folder of the store; it need not exist.

    It is what ``SPEEDUP_STORE`` names, or else the ``profiles`` folder in the user's data folder of the
    operating system, such as ``~/.local/share/speedup/profiles``.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path  # noqa: PLC0415 - only who asks for the store pays for it

    return user_data_path("speedup", appauthor=False) / "profiles"


def make_store(folder: str | Path | None = None) -> Path:
    """Return the store's folder, or the one given, made if need be.

    Raises:
        StoreError: It cannot be made, or is a file.
    """
    target = Path(folder) if folder is not None else store_folder()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}. Name another folder, or set {VARIABLE}.") from None
    return target


def stored_paths(folder: str | Path | None = None) -> dict[str, Path]:
    """Return the files of the store, or of the folder given, by the name of their profile.

    Example:
        >>> stored_paths("no-such-folder")
        {}
    """
    target = Path(folder) if folder is not None else store_folder()
    return {path.stem: path for path in sorted(target.glob("*.json"))} if target.is_dir() else {}
