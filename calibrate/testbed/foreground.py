"""One command among the hosts of a testbed, with the terminal's own input and output."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .testbed import Testbed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def run_in_testbed(hosts: int, rate: str, command: Sequence[str], *, congestion: str = "cubic") -> int:
    """Run a command on the first host of a new testbed, and remove the testbed when it ends.

    SIGTERM is passed on to the command, and so is SIGINT; Ctrl-C reaches it by itself.

    Args:
        hosts: How many, 1 to 200.
        rate: Of each link and direction.
        command: Program and arguments.
        congestion: TCP's congestion control.

    Returns:
        The command's exit code; 128 and the signal's number if a signal ended it.

    Raises:
        UnitError: An argument is out of its range.
        UnavailableTestbedError: This machine has no testbed.
    """
    with Testbed(hosts, rate, congestion=congestion) as bed:
        process = bed.popen(command)
        with _forwarding(process):
            code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _forwarding(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Pass signals on to a process meanwhile."""

    def forward(number: int, _frame: object) -> None:
        if number != signal.SIGINT or not _in_foreground():
            process.send_signal(number)

    # Python lets only its first thread handle signals; a caller in another one has its own way to end.
    own = threading.current_thread() is threading.main_thread()
    before = [(number, signal.signal(number, forward)) for number in _FORWARDED] if own else []
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Tell whether the terminal sends Ctrl-C to this process, and then to the command as well."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno() if sys.__stdin__ else 0) == os.getpgrp()
    except (OSError, ValueError):
        return False
