"""Ctrl-C during long work that spends its time in foreign code."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def heeding_interrupts(on_progress: Callable[[Any], None] | None) -> Iterator[Callable[[Any], None]]:
    """Give a progress function that ends the work after Ctrl-C, even if the first ``KeyboardInterrupt`` was lost.

    Python raises it wherever it happens to be. In a callback of compiled code, such as the clean-up of a cache, it is
    printed and forgotten; so it is raised once more at the next report of progress.

    Args:
        on_progress: Called with every report; None for nothing.
    """
    interrupted = threading.Event()

    def handle(number: int, frame: Any) -> None:  # noqa: ANN401 - what the interpreter hands a handler
        interrupted.set()
        signal.default_int_handler(number, frame)

    def report(progress: Any) -> None:  # noqa: ANN401 - see speedup.progress
        if interrupted.is_set():
            raise KeyboardInterrupt
        if on_progress is not None:
            on_progress(progress)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield report
    finally:
        signal.signal(signal.SIGINT, before)
