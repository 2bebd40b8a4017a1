"""Files that are either the old one or the new one, never half of each."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from speedup.errors import SpeedupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FileError(SpeedupError):
    """A file that cannot be read or written."""

    exit_code = 3


def check_writable(path: str | Path) -> Path:
    """Return ``path`` if a file can be written there; ask before long work, not after it.

    Raises:
        FileError: The folder is missing or not writable, or the path is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise FileError(f"{target} is a folder; name a file in it, such as {target / 'profile.json'}.")
    if not target.parent.is_dir():
        raise FileError(f"{target}: the folder {target.parent} does not exist. Make it first: mkdir -p {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise FileError(f"{target}: no permission to write in {target.parent}. Choose another folder.")
    return target


def write_atomically(path: str | Path, text: str) -> Path:
    """Write ``text`` to ``path`` so that a reader, or a crash, sees the old file or the new one.

    Raises:
        FileError: The file cannot be written; what was there before is still there.
    """
    return write_bytes_atomically(path, text.encode())


def write_rows(path: str | Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write rows as CSV, atomically; the first names the columns.

    Raises:
        FileError: The file cannot be written; what was there before is still there.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_atomically(path, text.getvalue())


def write_bytes_atomically(path: str | Path, content: bytes) -> Path:
    """Write bytes as ``write_atomically`` writes text.

    Raises:
        FileError: The file cannot be written; what was there before is still there.
    """
    target = check_writable(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(target)
    except OSError as error:
        raise FileError(f"{target}: {error.strerror}. The file was not changed.") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def _umask() -> int:
    # The only portable way to read the mask is to set it; mkstemp's own mode is 0600.
    mask = os.umask(0)
    os.umask(mask)
    return mask
