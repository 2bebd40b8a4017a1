"""Times any callable, and refuses one that returns before its work is done.

A call that only starts work, such as one of a jitted JAX function, returns in microseconds; timing it
measures how fast work can be queued. So before anything is sampled the callable is called 1, 2, 4, ... times,
and after each round everything it may have left behind is waited for and timed: the value returned, arrays
still being computed, threads it started, and processor time the process goes on using.

What no one can see from here: work on another machine or in another process, and a sleeping task handed to
a thread that was running before. For those, pass a ``sync`` that waits.
"""

from __future__ import annotations

import inspect
import math
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from speedup.errors import UnfinishedWorkError, UnitError
from speedup.units import show_seconds

from .guards import Compilations, explained
from .sampler import Progress, Rule, Sampler, Samples, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Sync: TypeAlias = "Callable[[Any], object] | Literal['auto'] | None"

SHARE_LIMIT = 0.10
"""Waiting after a round, by the round's own duration, above which a callable is refused."""

_LONGEST_WAIT_S = 5.0
_THREAD_WAIT_S = 1.0
_ROUND_S = 0.1
# Looking for unfinished work takes time itself; a wait shorter than these says nothing.
_LEAST_WAIT_S = 1e-3
_SLICE_S = 5e-3
_BUSY = 0.3
# On a machine with other work, a busy thread may be denied a processor for a slice or two.
_IDLE_SLICES = 6
_CURE = "Return the arrays to wait for, or pass sync=..."


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _is_future(value: object) -> bool:
    return callable(getattr(value, "result", None)) and callable(getattr(value, "done", None))


def wait_for_arrays(value: object) -> object:
    """Wait for what ``value`` holds: JAX arrays in any pytree, and PyTorch's current CUDA device.

    Neither library is imported for it; one that is not loaded has no work to wait for.

    Args:
        value: What a call returned.

    Returns:
        ``value``.
    """
    jax, torch = sys.modules.get("jax"), sys.modules.get("torch")
    if jax is not None and not inspect.isgenerator(value):
        jax.block_until_ready(value)
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()
    return value


def _waiter(sync: Sync) -> Callable[[Any], object]:
    if sync is None:
        return lambda value: value
    if sync == "auto":
        return wait_for_arrays
    if callable(sync):
        return sync
    raise UnitError(f'sync = {sync!r}; it must be "auto", None, or a function of what your step returns.')


def _finish_values(value: object) -> None:
    for leaf in _leaves(value):
        if inspect.iscoroutine(leaf) or inspect.isgenerator(leaf):
            leaf.close()
            kind = "coroutine" if inspect.iscoroutine(leaf) else "generator"
            raise UnfinishedWorkError(
                f"your step returned a {kind}, which has not begun its work. Run it inside the step."
            )
        if _is_future(leaf):
            _wait_for_future(leaf)
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.block_until_ready(value)
        # Those that the call kept in a closure or a global; a deleted one cannot be asked.
        jax.block_until_ready([array for array in jax.live_arrays() if not (array.is_deleted() or array.is_ready())])


def _wait_for_future(future: Any) -> None:  # noqa: ANN401 - futures have no common base class
    end = time.perf_counter() + _LONGEST_WAIT_S
    while not future.done() and time.perf_counter() < end:
        time.sleep(1e-4)


def _finish_threads(before: set[threading.Thread]) -> tuple[set[threading.Thread], float]:
    """Join the threads started since ``before``, for a bounded time.

    Returns:
        Those that go on, and when the last of the others ended, after the beginning of this [s].
    """
    start, last = time.perf_counter(), 0.0
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, start + _THREAD_WAIT_S - time.perf_counter()))
        if not thread.is_alive():
            last = time.perf_counter() - start
    return set(threading.enumerate()) - before, last


def _busy_share(seconds: float) -> float:
    """Sleep, and return the processor time the process used meanwhile by the time that passed."""
    cpu, wall = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


@dataclass(frozen=True, slots=True)
class Round:
    """Some calls in a row, and what was left of their work.

    Attributes:
        calls: How many.
        loop_s: How long they took, ``sync`` included [s].
        left_s: How long arrays, futures and threads then had to be waited for [s].
        busy_s: How long the process then went on using processor time [s].
        going_on: Threads the calls started that did not end in a second.
    """

    calls: int
    loop_s: float
    left_s: float
    busy_s: float
    going_on: int


class _Inspector:
    """Runs rounds of a call and waits for whatever they leave."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._threads = set(threading.enumerate())
        self._idle = _busy_share(4 * _SLICE_S)

    def round(self, calls: int) -> Round:
        start = time.perf_counter()
        for _ in range(calls):
            value = self._call()
        returned = time.perf_counter()
        _finish_values(value)
        left_s = time.perf_counter() - returned
        going_on, thread_s = _finish_threads(self._threads)
        # Whatever goes on is known from now on: it may be a pool, kept for the calls to come.
        self._threads |= going_on
        return Round(calls, returned - start, left_s + thread_s, self._until_idle(), len(going_on))

    def _until_idle(self) -> float:
        start = time.perf_counter()
        idle_since, idle = start, 0
        while idle < _IDLE_SLICES and time.perf_counter() - start < _LONGEST_WAIT_S:
            if _busy_share(_SLICE_S) < self._idle + _BUSY:
                idle += 1
            else:
                idle_since, idle = time.perf_counter(), 0
        return (idle_since if idle == _IDLE_SLICES else time.perf_counter()) - start


def _refuse(found: Round, waiting_s: float) -> UnfinishedWorkError:
    loop = "loop" if found.calls == 1 else f"loop of {found.calls} calls"
    longer = "at least " if waiting_s >= _THREAD_WAIT_S else ""
    return UnfinishedWorkError(
        f"your step returned before its work was done ({loop} {show_seconds(found.loop_s)}, then "
        f"{longer}{show_seconds(waiting_s)} of waiting). {_CURE}"
    )


def _waiting(shorter: Round, longer: Round) -> float:
    """Return the time that ``longer`` left to wait for [s], or 0 where it left no work behind.

    Processor time counts only if twice the calls keep the process busy for longer afterwards: the threads
    of some libraries spin for a while before they sleep, which does not grow with the number of calls, as
    a queue of work does.
    """
    # A pool grows by a thread now and then; work is a thread a call.
    if longer.going_on >= max(2, longer.calls / 2):
        return longer.left_s + _THREAD_WAIT_S
    if longer.left_s > max(SHARE_LIMIT * longer.loop_s, _LEAST_WAIT_S):
        return longer.left_s
    more_busy, more_loop = longer.busy_s - shorter.busy_s, longer.loop_s - shorter.loop_s
    grows = more_busy > max(SHARE_LIMIT * more_loop, 2 * _SLICE_S)
    return longer.busy_s if grows or shorter.busy_s >= _LONGEST_WAIT_S else 0.0


def refuse_unfinished(call: Callable[[], object]) -> float:
    """Call ``call`` in growing rounds until one lasts 0.1 s, and refuse it if it leaves work behind.

    Args:
        call: A call with its wait in it; it is called at least four times.

    Returns:
        Duration of the first call [s], compilation included if it compiled.

    Raises:
        UnfinishedWorkError: After some round, more than 10 % of its duration was spent waiting for what the
            calls returned or started, and again when the round was repeated.
    """
    inspector = _Inspector(call)
    # The first call may compile, import, and start pools: its own duration proves nothing.
    first = inspector.round(1)
    if first.busy_s >= _LONGEST_WAIT_S:
        raise _refuse(first, first.busy_s)
    shorter = inspector.round(1)
    while True:
        longer = inspector.round(2 * shorter.calls)
        if _waiting(shorter, longer):
            # Once may be another program's doing.
            shorter, longer = inspector.round(shorter.calls), inspector.round(longer.calls)
            if waiting_s := _waiting(shorter, longer):
                raise _refuse(longer, waiting_s)
        if longer.loop_s >= _ROUND_S:
            return first.loop_s
        shorter = longer


def measure(
    function: Callable[..., object],
    *args: object,
    sync: Sync = "auto",
    target: float = 0.02,
    max_time_s: float = 60.0,
    min_time_s: float = 5.0,
    on_progress: Callable[[Progress], object] | None = None,
) -> Samples:
    """Time ``function(*args)``, work that it leaves running included or refused.

    Each call is waited for on its own, so the result is the time from a call to its results being ready. A
    training loop, which needs no results until the end, can be faster where a step is short.

    Args:
        function: Any callable.
        *args: Its arguments.
        sync: How to wait for the work of a call, inside the timed region. ``"auto"`` waits for the JAX
            arrays in what it returns, and for CUDA if PyTorch is loaded; a function is called with what
            it returns, such as ``lambda future: future.result()``; None waits for nothing.
        target: Relative half-width of the 95 % interval of the median to reach.
        max_time_s: Wall time after which no further sample is begun [s].
        min_time_s: Wall time the samples must be spread over [s].
        on_progress: Called between samples.

    Returns:
        The samples; ``.median_s`` is the duration of a call [s], ``.first_s`` that of the very first, which
        may have compiled, ``.timing()`` their form in a profile.

    Raises:
        UnfinishedWorkError: The call returned before its work was done.
        RecompilationError: JAX compiled during a sample.
        DonatedArgumentsError: The first call gave its arguments away, and the second wanted them.
        UnitError: A limit is out of range.

    Example:
        >>> import time
        >>> result = measure(time.sleep, 0.02, min_time_s=0.2, max_time_s=2)
        >>> 0.02 <= result.median_s < 0.04
        True
    """
    wait = _waiter(sync)
    rule = Rule(target=target, max_time_s=max_time_s, min_time_s=min_time_s)

    def call() -> object:
        value = function(*args)
        wait(value)
        return value

    guarded = explained(call)
    return _guarded_samples(guarded, rule, on_progress)


def _guarded_samples(
    guarded: Callable[[], object], rule: Rule, on_progress: Callable[[Progress], object] | None
) -> Samples:
    with Compilations() as compilations:

        def report(progress: Progress) -> None:
            if progress.stage is Stage.SAMPLING:
                compilations.refuse()
            else:
                compilations.forget()
            if on_progress is not None:
                on_progress(progress)

        first_s = refuse_unfinished(guarded)
        sampler = Sampler(guarded, wait=lambda value: value, rule=rule, on_progress=report)
        sampler.visit(math.inf)
    return replace(sampler.result(), first_s=first_s)
