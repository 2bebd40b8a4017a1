"""Times a step until its median is known well enough, or says why it is not.

The order of things: the first call apart, because it pays for what is done once; loops doubled until one
sample lasts long enough for the clock and for consecutive calls to overlap as they do in training; warm-up
until samples stop getting faster; then samples until the interval of the median is as narrow as asked for,
there are enough of them, and they are spread over a minimum of wall time, since a second's worth of quiet
says nothing about the next. A sample is one reading of the clock, ``loops`` calls, one wait for the last
call's result, and another reading.

Nothing here knows what a step does or what clock it is given.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from speedup.errors import UnitError, UnstableTimingError
from speedup.profile import Provenance, Timing
from speedup.units import positive, show_seconds, whole

from .statistics import CV_LIMIT, DRIFT_LIMIT, Summary, summarise

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

SAMPLE_S = 0.5
"""Least duration of a sample [s].

A tenth would do for the clock. But other programs disturb a step for tenths of a second at a time, rarely
and always upward; the median of samples shorter than that is the time of an undisturbed step, several
percent less than a training run pays on a shared machine.
"""

_MOST_LOOPS = 2**24
_SETTLED_AFTER = 3
_SETTLED_WITHIN = 0.02


class Stage(StrEnum):
    """What a measurement is doing."""

    BUILD = "build"
    COMPILE = "compile"
    FIRST = "first call"
    WARMUP = "warm-up"
    SAMPLING = "sampling"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a measurement stands.

    Attributes:
        stage: What it is doing.
        fraction: Share done, in [0, 1]; never falls.
        samples: Samples taken so far.
        elapsed_s: Time since the start [s].
        remaining_s: Expected time to the end [s]; None where nothing is known yet.
        median_s: Median so far [s].
        relative_half_width: Half-width of the interval by the median so far; None before there is one.
    """

    stage: Stage
    fraction: float
    samples: int = 0
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    median_s: float | None = None
    relative_half_width: float | None = None


class Stop(StrEnum):
    """Why sampling ended."""

    TARGET = "the interval became as narrow as asked for"
    TIME = "the time limit was reached"
    SAMPLES = "the largest number of samples was reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What ``sample`` measured.

    Attributes:
        samples_s: Mean duration of a call in each sample [s], in the order taken.
        summary: Centre, spread and interval of them.
        loops: Calls per sample.
        warmup: Calls before the first sample, the first call included.
        first_s: Duration of the first call [s].
        elapsed_s: Wall time from the first call to the end [s].
        target: Relative half-width asked for.
        stop: Why sampling ended.
        unmet: What the time or sample limit kept from being reached, one sentence a condition.
    """

    samples_s: tuple[float, ...]
    summary: Summary
    loops: int
    warmup: int
    first_s: float
    elapsed_s: float
    target: float
    stop: Stop
    unmet: tuple[str, ...] = ()

    @property
    def median_s(self) -> float:
        """Median duration of a call [s]."""
        return self.summary.median

    @property
    def relative_half_width(self) -> float:
        """Half-width of the interval of the median, by the median."""
        return self.summary.relative_half_width

    @property
    def stable(self) -> bool:
        """Whether the interval is as narrow as asked for, and spread and drift are within their limits."""
        return not self.warnings()

    def warnings(self, what: str = "t_grad") -> tuple[str, ...]:
        """Return what a reader of the numbers should know, one sentence a finding, with what to do.

        Args:
            what: Name of the quantity, for the sentences.
        """
        return tuple(f"{what}: {sentence}" for sentence in self.unmet) + instability(self.summary, what)

    def timing(self, batch: int | None = None) -> Timing:
        """Return the samples as they stand in a profile.

        Args:
            batch: Batch size they were taken at.
        """
        summary = self.summary
        return Timing(
            median_s=summary.median,
            provenance=Provenance.MEASURED,
            low_s=summary.low,
            high_s=summary.high,
            level=summary.level,
            cv=summary.cv,
            samples_s=self.samples_s,
            loops=self.loops,
            warmup=self.warmup,
            stable=self.stable,
            batch=batch,
        )


def instability(summary: Summary, what: str = "t_grad") -> tuple[str, ...]:
    """Return one sentence for each limit of spread and drift that the samples exceed.

    Args:
        summary: Of the samples.
        what: Name of the quantity, for the sentences.

    Example:
        >>> print(*instability(summarise([0.010, 0.013, 0.010, 0.010, 0.010, 0.010])))
        t_grad varies by 12 % (limit 5 %) around 10 ms. Stop other programs and fix the clock frequency.
    """
    found = []
    if summary.cv > CV_LIMIT:
        found.append(
            f"{what} varies by {100 * summary.cv:.2g} % (limit {100 * CV_LIMIT:g} %) around "
            f"{show_seconds(summary.median)}. Stop other programs and fix the clock frequency."
        )
    if abs(summary.drift) > DRIFT_LIMIT:
        trend = "slower" if summary.drift > 0 else "faster"
        found.append(
            f"{what} became {100 * abs(summary.drift):.2g} % {trend} from the first half of the samples to "
            f"the second (limit {100 * DRIFT_LIMIT:g} %). Let the device warm up, or measure longer."
        )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to stop sampling.

    Attributes:
        target: Relative half-width of the interval of the median to reach.
        level: Confidence level of that interval.
        min_samples: Samples to take at least.
        max_samples: Samples to take at most.
        min_time_s: Wall time the samples must be spread over [s].
        max_time_s: Wall time at which to stop in any case, warm-up included [s].

    Raises:
        UnitError: A value is out of range.
    """

    target: float = 0.02
    level: float = 0.95
    min_samples: int = 10
    max_samples: int = 1000
    min_time_s: float = 5.0
    max_time_s: float = 60.0

    def __post_init__(self) -> None:
        positive("target", self.target, "(relative half-width)", advice="0.02 asks for +-2 %.")
        positive("max_time_s", self.max_time_s, "s")
        if not 0 < self.level < 1:
            raise UnitError(f"level = {self.level:g}; it must be between 0 and 1.")
        if not (math.isfinite(self.min_time_s) and self.min_time_s >= 0):
            raise UnitError(f"min_time_s = {self.min_time_s:g} s; it must be finite and at least 0 s.")
        whole("min_samples", self.min_samples)
        whole("max_samples", self.max_samples, minimum=self.min_samples)

    def unmet(self, summary: Summary, samples: int, spread_s: float) -> tuple[str, ...]:
        """Return the conditions not yet met, one sentence each; empty when sampling may stop.

        Args:
            summary: Of the samples so far.
            samples: How many there are.
            spread_s: Wall time since sampling began [s].
        """
        found = []
        if samples < self.min_samples:
            found.append(f"only {samples} of at least {self.min_samples} samples fitted. Raise max_time_s.")
        if spread_s < self.min_time_s:
            span, least = show_seconds(spread_s), show_seconds(self.min_time_s)
            found.append(f"the samples span {span}, not {least}. Raise max_time_s.")
        if not summary.relative_half_width <= self.target:
            reached = 100 * summary.relative_half_width
            known = f"known to +-{reached:.2g} %" if math.isfinite(reached) else "without an interval"
            found.append(
                f"the median is {known} after {samples} sample{'s' if samples != 1 else ''}; "
                f"+-{100 * self.target:g} % was asked for. Raise max_time_s, or stop other programs."
            )
        return tuple(found)

    def limit(self, samples: int, elapsed_s: float) -> Stop | None:
        """Return the limit that is reached, if one is."""
        if elapsed_s >= self.max_time_s:
            return Stop.TIME
        return Stop.SAMPLES if samples >= self.max_samples else None


class _Stopwatch:
    """Times calls of a step, and reports progress that never falls."""

    def __init__(
        self,
        step: Callable[[], Result],
        wait: Callable[[Result], object],
        clock: Callable[[], float],
        on_progress: Callable[[Progress], object] | None,
    ) -> None:
        self._step, self._wait, self._clock, self._on_progress = step, wait, clock, on_progress
        self._fraction = 0.0
        self.calls = 0
        self.start = clock()

    def elapsed(self) -> float:
        return self._clock() - self.start

    def time(self, loops: int) -> float:
        """Return the mean duration of ``loops`` calls, the wait for the last one's result included."""
        step, clock = self._step, self._clock
        begin = clock()
        for _ in range(loops):
            result = step()
        self._wait(result)
        duration = clock() - begin
        self.calls += loops
        return duration / loops

    def report(self, progress: Progress) -> None:
        self._fraction = min(1.0, max(self._fraction, progress.fraction))
        if self._on_progress is not None:
            self._on_progress(replace(progress, fraction=self._fraction))


def _calibrate_loops(watch: _Stopwatch, sample_s: float, rule: Rule) -> tuple[int, float]:
    """Double the loops until a sample is long enough; return them and the last duration of a call."""
    loops = 1
    while True:
        call_s = watch.time(loops)
        elapsed = watch.elapsed()
        watch.report(Progress(stage=Stage.WARMUP, fraction=0.0, elapsed_s=elapsed))
        if call_s * loops >= sample_s or elapsed >= rule.max_time_s:
            return loops, call_s
        if loops >= _MOST_LOOPS:
            raise UnstableTimingError(
                f"{loops} calls took {call_s * loops:g} s, too short for this clock. Time more work."
            )
        loops *= 2


def settled(series: list[float]) -> bool:
    """Return whether samples have stopped getting faster.

    They have when none of the last three is more than 2 % faster than the fastest before them: warm-up only
    ever makes a step faster, and a minimum is not moved by other programs' work.

    Example:
        >>> settled([9.0, 5.0, 4.0, 4.1, 4.0, 3.99]), settled([9.0, 5.0, 4.0, 3.5])
        (True, False)
    """
    before, last = series[:-_SETTLED_AFTER], series[-_SETTLED_AFTER:]
    return bool(before) and min(last) >= (1 - _SETTLED_WITHIN) * min(before)


def _warm_up(watch: _Stopwatch, loops: int, first: float, rule: Rule) -> None:
    series = [first]
    # A quarter of the time at most: an endless trend is reported as drift instead.
    limit = watch.elapsed() + 0.25 * (rule.max_time_s - watch.elapsed())
    while not settled(series) and watch.elapsed() < limit:
        series.append(watch.time(loops))
        watch.report(Progress(stage=Stage.WARMUP, fraction=0.0, elapsed_s=watch.elapsed()))


def _progress(rule: Rule, summary: Summary, samples: int, elapsed_s: float, spread_s: float) -> Progress:
    width = summary.relative_half_width
    # The width falls with the square root of the time; no such guess is worth much, so the limits bound it.
    needed = spread_s * (width / rule.target) ** 2 if math.isfinite(width) else math.inf
    needed = max(needed, rule.min_time_s, spread_s * rule.min_samples / samples)
    total = min(needed, spread_s * rule.max_samples / samples, spread_s + max(rule.max_time_s - elapsed_s, 0.0))
    return Progress(
        stage=Stage.SAMPLING,
        fraction=spread_s / total if total > 0 else 1.0,
        samples=samples,
        elapsed_s=elapsed_s,
        remaining_s=max(total - spread_s, 0.0),
        median_s=summary.median,
        relative_half_width=width if math.isfinite(width) else None,
    )


def sample(
    step: Callable[[], Result],
    *,
    wait: Callable[[Result], object],
    clock: Callable[[], float] = time.perf_counter,
    target: float = 0.02,
    level: float = 0.95,
    min_samples: int = 10,
    max_samples: int = 1000,
    min_time_s: float = 5.0,
    max_time_s: float = 60.0,
    sample_s: float = SAMPLE_S,
    on_progress: Callable[[Progress], object] | None = None,
) -> Samples:
    """Time ``step`` until the median duration of a call is known to ``target``.

    Args:
        step: Called without arguments; what it returns is given to ``wait``.
        wait: Called once at the end of each sample, inside the timed region, with the last call's result; it
            returns when the work of all calls is done.
        clock: Returns seconds; only differences are used.
        target: Relative half-width of the interval of the median to reach.
        level: Confidence level of that interval.
        min_samples: Samples to take at least.
        max_samples: Samples to take at most.
        min_time_s: Wall time the samples must be spread over [s].
        max_time_s: Wall time after which no further sample is begun, warm-up included [s]. There is always
            one sample.
        sample_s: Least duration of a sample [s]; the number of calls in it is doubled until it lasts as long.
        on_progress: Called between samples, outside the timed region.

    Returns:
        The samples, their summary, and why sampling ended. A limit reached is no error.

    Raises:
        UnitError: A limit is out of range.
        UnstableTimingError: The clock does not advance.

    Example:
        >>> from itertools import count
        >>> ticks = count()
        >>> result = sample(lambda: next(ticks), wait=lambda _: None, clock=lambda: next(ticks), max_time_s=900)
        >>> result.median_s, result.loops, result.stop.name
        (2.0, 1, 'TARGET')
    """
    rule = Rule(
        target=target,
        level=level,
        min_samples=min_samples,
        max_samples=max_samples,
        min_time_s=min_time_s,
        max_time_s=max_time_s,
    )
    watch = _Stopwatch(step, wait, clock, on_progress)
    first_s = watch.time(1)
    watch.report(Progress(stage=Stage.FIRST, fraction=0.0, elapsed_s=watch.elapsed()))
    loops, call_s = _calibrate_loops(watch, sample_s, rule)
    _warm_up(watch, loops, call_s, rule)
    return _collect(watch, rule, loops, first_s)


def _collect(watch: _Stopwatch, rule: Rule, loops: int, first_s: float) -> Samples:
    warmup, begin, taken = watch.calls, watch.elapsed(), list[float]()
    while True:
        taken.append(watch.time(loops))
        elapsed = watch.elapsed()
        summary = summarise(taken, rule.level)
        watch.report(_progress(rule, summary, len(taken), elapsed, elapsed - begin))
        unmet = rule.unmet(summary, len(taken), elapsed - begin)
        stop = Stop.TARGET if not unmet else rule.limit(len(taken), elapsed)
        if stop is not None:
            break
    watch.report(Progress(stage=Stage.DONE, fraction=1.0, samples=len(taken), elapsed_s=elapsed, remaining_s=0.0))
    return Samples(
        samples_s=tuple(taken),
        summary=summary,
        loops=loops,
        warmup=warmup,
        first_s=first_s,
        elapsed_s=elapsed,
        target=rule.target,
        stop=stop,
        unmet=unmet,
    )
