"""Loads the compiled loops, from the disk where they were compiled before."""

from __future__ import annotations

import hashlib
import importlib
import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

if TYPE_CHECKING:
    from types import ModuleType


@cache
def load_loops() -> ModuleType:
    """Return ``speedup.simulation.replications``; compiling takes some seconds, once a version.

    Numba keeps what it compiled beside each source file and looks at that file alone, so that a loop would go on with
    an old version of what it calls. The folder is therefore named after the text of all of them.
    """
    import numba  # noqa: PLC0415 - only who simulates waits for it

    sources = sorted(Path(__file__).parent.glob("*.py"))
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = platformdirs.user_cache_path("speedup") / f"loops-{version}"
    if not folder.exists():
        logging.getLogger(__name__).warning("compiling the simulation, once for this version: about 15 s")
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        return importlib.import_module("speedup.simulation.replications")
    finally:
        config.CACHE_DIR = before
