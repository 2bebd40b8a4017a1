"""Times a step until its median is known well enough, or says why it is not.

The order of things: the first call apart, because it pays for what is done once; loops doubled until one
sample lasts long enough for the clock and for consecutive calls to overlap as they do in training; warm-up
until samples stop getting faster; then samples until the interval of the median is as narrow as asked for,
there are enough of them, and they are spread over a minimum of wall time, since a second's worth of quiet
says nothing about the next. A sample is one reading of the clock, ``loops`` calls, one wait for the last
call's result, and another reading. Between samples some calls are timed one by one.

A ``Sampler`` takes its samples in visits, between which anything may happen: several steps that take turns
are spread over the same minutes, and meet the same noise. ``sample`` is one visit that lasts until the end.

Nothing here knows what a step does or what clock it is given.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

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
# Looking after every sample whether the interval is narrow enough would stop at the luckiest moment.
_NEXT_CHECK = 1.25
_MOST_STEPS = 1000
_STEPS_SHARE = 0.1
_STEPS_A_SAMPLE = 100


class Stage(StrEnum):
    """What a measurement is doing."""

    COMPILE = "compile"
    BUILD = "build"
    FIRST = "first call"
    WARMUP = "warm-up"
    SAMPLING = "sampling"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a measurement stands.

    Attributes:
        stage: What it is doing.
        label: Which of many measurements it is; empty for a single one.
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
    label: str = ""


class Stop(StrEnum):
    """Why sampling ended."""

    TARGET = "the interval became as narrow as asked for"
    TIME = "the time limit was reached"
    SAMPLES = "the largest number of samples was reached"
    CALLER = "no further visit came"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What ``sample`` measured.

    Attributes:
        samples_s: Mean duration of a call in each sample [s], in the order taken.
        times_s: When each sample began, after the beginning of the first [s].
        visits: Samples taken in each visit.
        steps_s: Durations of calls that were each waited for [s], spread evenly over the samples: how long
            a single step takes. Where a sample is one call, the samples; at most 1000.
        summary: Centre, spread and interval of the samples.
        loops: Calls per sample.
        warmup: Calls thrown away, the first call included.
        first_s: Duration of the first call [s].
        elapsed_s: Wall time from the first call to the end [s].
        target: Relative half-width asked for.
        stop: Why sampling ended.
        unmet: What the time or sample limit kept from being reached, one sentence a condition.
    """

    samples_s: tuple[float, ...]
    times_s: tuple[float, ...]
    visits: tuple[int, ...]
    steps_s: tuple[float, ...]
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
    def uncontended_s(self) -> float:
        """5 % quantile of the samples [s]: the duration when nothing else runs, or little."""
        return self.summary.uncontended

    @property
    def relative_half_width(self) -> float:
        """Half-width of the interval of a repetition's median, by the median."""
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
            uncontended_s=self.uncontended_s,
            cv=summary.cv,
            samples_s=self.samples_s,
            steps_s=self.steps_s,
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
        target: Relative half-width to reach, of the interval in which a repetition's median lies.
        level: Probability of that.
        min_samples: Samples to take at least.
        max_samples: Samples to take at most.
        min_time_s: Wall time the samples must be spread over, time between visits included [s].
        max_time_s: Time at which to stop in any case, warm-up included, time between visits not [s].
        min_visits: Visits to make at least. A visit ends when all else is met; noise that is slower than a
            visit shows only between visits.
        sample_s: Least duration of a sample [s]; the calls in it are doubled until it lasts as long.

    Raises:
        UnitError: A value is out of range.
    """

    target: float = 0.02
    level: float = 0.95
    min_samples: int = 10
    max_samples: int = 1000
    min_time_s: float = 5.0
    max_time_s: float = 60.0
    min_visits: int = 1
    sample_s: float = SAMPLE_S

    def __post_init__(self) -> None:
        positive("target", self.target, "(relative half-width)", advice="0.02 asks for +-2 %.")
        positive("max_time_s", self.max_time_s, "s")
        positive("sample_s", self.sample_s, "s")
        if not 0 < self.level < 1:
            raise UnitError(f"level = {self.level:g}; it must be between 0 and 1.")
        if not (math.isfinite(self.min_time_s) and self.min_time_s >= 0):
            raise UnitError(f"min_time_s = {self.min_time_s:g} s; it must be finite and at least 0 s.")
        whole("min_visits", self.min_visits)
        whole("min_samples", self.min_samples)
        whole("max_samples", self.max_samples, minimum=self.min_samples)

    def unmet(self, summary: Summary, samples: int, spread_s: float) -> tuple[str, ...]:
        """Return the conditions not yet met but for the visits, one sentence each.

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

    def limit(self, samples: int, used_s: float) -> Stop | None:
        """Return the limit that is reached, if one is."""
        if used_s >= self.max_time_s:
            return Stop.TIME
        return Stop.SAMPLES if samples >= self.max_samples else None


class _Stopwatch:
    """Times calls of a step, and reports progress that never falls."""

    def __init__(
        self,
        step: Callable[[], Any],
        wait: Callable[[Any], object],
        clock: Callable[[], float],
        on_progress: Callable[[Progress], object] | None,
    ) -> None:
        self._step, self._wait, self._clock, self._on_progress = step, wait, clock, on_progress
        self._fraction = 0.0
        self.calls = 0
        self.start = clock()

    def now(self) -> float:
        return self._clock()

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


class Sampler:
    """One step being timed, visited as often as one likes, with anything in between.

    Args:
        step: Called without arguments; what it returns is given to ``wait``.
        wait: Called once at the end of each sample, inside the timed region, with the last call's result; it
            returns when the work of all calls is done.
        rule: When to stop.
        clock: Returns seconds; only differences are used.
        on_progress: Called between samples, outside the timed region.

    Example:
        >>> steps = [Sampler(lambda n=n: sum(range(n)), wait=lambda _: None, rule=Rule(max_time_s=0.2, sample_s=0.01))
        ...          for n in (1000, 2000)]
        >>> while not all(step.done for step in steps):
        ...     for step in steps:
        ...         step.visit(0.05)
        >>> one, two = (step.result() for step in steps)
        >>> one.median_s < two.median_s, len(one.visits) > 1
        (True, True)
    """

    def __init__(
        self,
        step: Callable[[], Any],
        *,
        wait: Callable[[Any], object],
        rule: Rule,
        clock: Callable[[], float] = time.perf_counter,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self._rule = rule
        self._watch = _Stopwatch(step, wait, clock, on_progress)
        self._loops = self._warmup = 0
        self._first_s = self._paused_s = self._check_at = 0.0
        self._samples, self._times, self._steps, self._visits = list[float](), list[float](), list[float](), list[int]()
        self._credit_s = 0.0
        self._left_at: float | None = None
        self._stop: Stop | None = None
        self._width, self._met = math.inf, False

    @property
    def done(self) -> bool:
        """Whether the rule is met, or a limit is reached."""
        return self._stop is not None

    def prepare(self) -> None:
        """Make the first call, find how many calls make a sample, and warm up; once, however often called.

        Raises:
            UnstableTimingError: The clock does not advance.
        """
        if self._loops:
            return
        watch, rule = self._watch, self._rule
        watch.start = watch.now()
        self._first_s = watch.time(1)
        watch.report(Progress(stage=Stage.FIRST, fraction=0.0, elapsed_s=watch.elapsed()))
        call_s = self._find_loops()
        series = [call_s]
        # A quarter of the time at most: an endless trend is reported as drift instead.
        limit = watch.elapsed() + 0.25 * (rule.max_time_s - watch.elapsed())
        while not settled(series) and watch.elapsed() < limit:
            series.append(watch.time(self._loops))
            watch.report(Progress(stage=Stage.WARMUP, fraction=0.0, elapsed_s=watch.elapsed()))
        self._warmup = watch.calls
        self._left_at = watch.elapsed()

    def _find_loops(self) -> float:
        """Double the loops until a sample is long enough; return the last duration of a call."""
        watch, loops = self._watch, 1
        while True:
            call_s = watch.time(loops)
            elapsed = watch.elapsed()
            watch.report(Progress(stage=Stage.WARMUP, fraction=0.0, elapsed_s=elapsed))
            if call_s * loops >= self._rule.sample_s or elapsed >= self._rule.max_time_s:
                self._loops = loops
                return call_s
            if loops >= _MOST_LOOPS:
                raise UnstableTimingError(
                    f"{loops} calls took {call_s * loops:g} s, too short for this clock. Time more work."
                )
            loops *= 2

    def visit(self, seconds: float) -> None:
        """Take samples for that long, at least one; until ``done`` at most, and none after.

        Args:
            seconds: Time [s]; less where the visits still to be made need their share of what is left.

        Raises:
            UnstableTimingError: At the first visit, as ``prepare``.
        """
        if self.done:
            return
        self.prepare()
        begin = self._watch.elapsed()
        self._paused_s += begin - (self._left_at or 0.0)
        self._left_at = begin
        left_s = self._rule.max_time_s - self._used_s()
        seconds = min(seconds, left_s / max(1, self._rule.min_visits - len(self._visits)))
        if self._visits and self._loops > 1:
            # Caches and clocks belong to whatever ran in between.
            self._watch.time(1)
            self._warmup += 1
        self._visits.append(0)
        while True:
            self._take()
            self._left_at = self._watch.elapsed()
            self._stop = self._judge()
            if self.done or self._met or self._left_at - begin >= seconds:
                break

    def _take(self) -> None:
        watch = self._watch
        self._times.append(watch.elapsed())
        call_s = watch.time(self._loops)
        self._samples.append(call_s)
        self._visits[-1] += 1
        if self._loops == 1:
            return
        self._credit_s += _STEPS_SHARE * call_s * self._loops
        for _ in range(_STEPS_A_SAMPLE):
            if self._credit_s <= 0:
                break
            self._steps.append(watch.time(1))
            self._credit_s -= self._steps[-1]

    def _used_s(self) -> float:
        return (self._left_at or 0.0) - self._paused_s

    def _spread_s(self) -> float:
        return (self._left_at or 0.0) - self._times[0]

    def _judge(self) -> Stop | None:
        """Report progress, and return why to stop, or None to go on."""
        count, rule = len(self._samples), self._rule
        stop, self._met = rule.limit(count, self._used_s()), False
        look = count >= max(rule.min_samples, self._check_at) and self._spread_s() >= rule.min_time_s
        if look or stop is not None:
            self._check_at = _NEXT_CHECK * count
            summary = self._summary()
            self._width = summary.relative_half_width
            self._met = not rule.unmet(summary, count, self._spread_s())
            if self._met and len(self._visits) >= rule.min_visits:
                stop = Stop.TARGET
        self._watch.report(self._progress())
        if stop is not None:
            elapsed = self._watch.elapsed()
            done = Progress(stage=Stage.DONE, fraction=1.0, samples=count, elapsed_s=elapsed, remaining_s=0.0)
            self._watch.report(done)
        return stop

    def _summary(self) -> Summary:
        return summarise(self._samples, self._rule.level, self._times)

    def _progress(self) -> Progress:
        rule, count, known = self._rule, len(self._samples), math.isfinite(self._width)
        used, spread = self._used_s(), self._spread_s()
        # The width falls at best with the square root of the time; the limits bound the guess.
        total = spread * (self._width / rule.target) ** 2 if known else 0.0
        total = max(total, rule.min_time_s, spread * rule.min_samples / count)
        total = min(total, spread * rule.max_samples / count, spread + max(rule.max_time_s - used, 0.0))
        return Progress(
            stage=Stage.SAMPLING,
            fraction=spread / total if total > 0 else 1.0,
            samples=count,
            elapsed_s=self._watch.elapsed(),
            remaining_s=max(total - spread, 0.0),
            median_s=median(self._samples),
            relative_half_width=self._width if known else None,
        )

    def result(self) -> Samples:
        """Return what was measured so far.

        Raises:
            UnstableTimingError: There was no visit.
        """
        if not self._samples:
            raise UnstableTimingError("nothing was timed yet. Call visit first.")
        summary, rule = self._summary(), self._rule
        singles = self._steps or self._samples
        unmet = rule.unmet(summary, len(self._samples), self._spread_s())
        if len(self._visits) < rule.min_visits:
            unmet += (f"only {len(self._visits)} of at least {rule.min_visits} visits were made.",)
        return Samples(
            samples_s=tuple(self._samples),
            times_s=tuple(moment - self._times[0] for moment in self._times),
            visits=tuple(self._visits),
            steps_s=tuple(singles[:: math.ceil(len(singles) / _MOST_STEPS)]),
            summary=summary,
            loops=self._loops,
            warmup=self._warmup,
            first_s=self._first_s,
            elapsed_s=self._left_at or 0.0,
            target=rule.target,
            stop=self._stop or Stop.CALLER,
            unmet=unmet,
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
        target: Relative half-width to reach, of the interval in which a repetition's median lies.
        level: Probability of that.
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
        sample_s=sample_s,
    )
    sampler = Sampler(step, wait=wait, rule=rule, clock=clock, on_progress=on_progress)
    sampler.prepare()
    sampler.visit(math.inf)
    return sampler.result()
