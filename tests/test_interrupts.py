"""Ctrl-C ends long work even where the first interrupt is lost."""

import contextlib
import os
import signal

import pytest

from speedup.interrupts import heeding_interrupts


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_report():
    seen = []
    with heeding_interrupts(seen.append) as report:
        report("before")
        with contextlib.suppress(KeyboardInterrupt):  # as compiled code does with what its callbacks raise
            interrupt()
        with pytest.raises(KeyboardInterrupt):
            report("after")
    assert seen == ["before"]


def test_an_interrupt_is_raised_at_once_where_nothing_swallows_it():
    with heeding_interrupts(None) as report:
        report("nobody listens")
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_the_handler_before_is_back_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with heeding_interrupts(None):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
