"""How a process tells what happens: as lines for its launcher, or in place to whoever runs it."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any, Protocol

PROGRESS_S = 0.5
"""Time between two reports of progress, at least [s]."""


class Tell(Protocol):
    """Takes what happens: ``progress``, ``report``, ``measured``, ``link``, ``devices``, ``error`` and so on."""

    def __call__(self, **document: Any) -> None:  # noqa: ANN401 - whatever JSON can say
        """Tell one thing."""


class Lines:
    """Writes one JSON document a line.

    Rank 0 has the standard output to itself; the others write to standard error, so that no line is torn.

    Args:
        rank: Number of this process.
    """

    def __init__(self, rank: int) -> None:
        self._rank, self._told, self._lock = rank, 0.0, threading.Lock()

    def __call__(self, **document: Any) -> None:  # noqa: ANN401 - whatever JSON can say
        """Write one line; of progress, two a second."""
        if "progress" in document:
            if self._rank or (document["progress"] < 1 and time.monotonic() - self._told < PROGRESS_S):
                return
            self._told = time.monotonic()
        stream = sys.stderr if self._rank else sys.stdout
        with self._lock:
            stream.write(json.dumps({"rank": self._rank, **document}) + "\n")
            stream.flush()
