"""Two profiles of one network on one device side by side: what changed, and whether it shows in t_grad."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.errors import ProfileError
from speedup.gradient_time import LEVEL, GradientTime
from speedup.profile import Profile, StepCost
from speedup.text import aligned, ratio
from speedup.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from speedup.gradient_time import BatchTime
    from speedup.profile import Timing

RESAMPLES = 2000
"""Bootstrap resamples of a median."""
FEWEST_SAMPLES = 8
"""With fewer samples a bootstrap sees too little of their spread."""

# Parts of the names of facts that no two calibrations share.
_PASSING = (
    "dispatch_",
    "load_",
    "available",
    "free",
    "used",
    "temperature",
    "first_call",
    "build_s",
    "compile_s",
    "created",
)
_VERSIONS = ("version_", "python", "kernel", "device_runtime", "nvidia_driver")
_CLOCKS = ("mhz", "clock", "governor")


class Verdict(StrEnum):
    """What a ratio of two times says of the second profile."""

    FASTER = "faster"
    """The whole interval of the ratio is below 1."""
    SLOWER = "slower"
    """The whole interval of the ratio is above 1."""
    NONE_SEEN = "no difference seen"
    """The interval has 1 in it; a small difference may be there all the same."""
    UNKNOWN = "no interval"
    """One of the times has no interval, so that nothing can be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRatio:
    """t_grad of both profiles at one batch size.

    Attributes:
        batch: Samples in the batch.
        a_s: t_grad of the first profile [s].
        b_s: t_grad of the second [s].
        ratio: b / a; below 1 the second is faster.
        low: Lower end of its interval; None where one of the times has no interval.
        high: Upper end of it.
        verdict: What the interval says of the second profile.
        a_provenance: Whether the first time was measured or fitted to a sweep.
        b_provenance: The same of the second.
        extrapolated: Whether one of them lies outside its sweep.
    """

    batch: int
    a_s: float
    b_s: float
    ratio: float
    low: float | None
    high: float | None
    verdict: Verdict
    a_provenance: str
    b_provenance: str
    extrapolated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fact that the profiles do not share.

    Attributes:
        name: Which.
        a: Its value in the first profile; None where it says nothing.
        b: Its value in the second.
        batch: Batch size it belongs to, for what a step costs.
    """

    name: str
    a: Any
    b: Any
    batch: int | None = None

    def __str__(self) -> str:
        show = _UNITS.get(self.name.rpartition("_")[2], _shown)
        a, b = (_shown(value) if value is None else show(value) for value in (self.a, self.b))
        return f"{self.name}{f' (batch {self.batch})' if self.batch else ''}: {a} -> {b}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two profiles of one architecture on one device have in common, and what not.

    Attributes:
        a: Name of the first profile, and when it was measured.
        b: The same of the second.
        architecture: What both trained.
        device: What both were measured on.
        rows: t_grad at every batch size that both measured or, where both have a sweep, one of them did.
        level: Confidence level of the ratios' intervals.
        workload: Facts of the workload that differ.
        costs: Memory, operations and parts of a step that differ.
        environment: Facts of the environment that differ, but for what never stays the same.
        warnings: What to mind before taking a difference for the effect of what was changed.
    """

    a: str
    b: str
    architecture: str
    device: str
    rows: tuple[BatchRatio, ...]
    level: float
    workload: tuple[Difference, ...]
    costs: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as one plain document."""
        document = asdict(self)
        for row in document["rows"]:
            row["verdict"] = str(row["verdict"])
        return {"schema": "speedup.comparison/1", **document}

    def to_json(self) -> str:
        """Return the comparison as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        head = ("batch", "t_grad a", "t_grad b", "b/a", f"{self.level:.0%} interval", "b is", "from")
        parts = [
            f"{self.architecture} on {self.device}",
            f"a = {self.a}",
            f"b = {self.b}",
            "",
            *(f"  {line}" for line in aligned([head, *(_cells(row) for row in self.rows)])),
        ]
        sections = (
            ("Workload", self.workload),
            ("Cost of a step", self.costs),
            ("Environment", self.environment),
            ("Mind", self.warnings),
        )
        for title, lines in sections:
            if lines:
                parts += ["", f"{title}:", *(f"  - {line}" for line in lines)]
        return "\n".join(parts)


def _cells(row: BatchRatio) -> tuple[str, ...]:
    interval = "-" if row.low is None or row.high is None else f"[{ratio(row.low)}, {ratio(row.high)}]"
    known = " and ".join(dict.fromkeys((row.a_provenance, row.b_provenance)))
    return (
        str(row.batch),
        show_seconds(row.a_s),
        show_seconds(row.b_s),
        ratio(row.ratio),
        interval,
        str(row.verdict),
        f"{known}, extrapolated" if row.extrapolated else known,
    )


def _title(profile: Profile) -> str:
    return f"{profile.name}, {profile.created}" if profile.created else profile.name


def _shown(value: Any) -> str:  # noqa: ANN401 - any fact of a profile
    if value is None:
        return "not stated"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"


_UNITS: dict[str, Callable[[Any], str]] = {"s": show_seconds, "bytes": show_bytes}


def compare(a: Profile | str | Path, b: Profile | str | Path) -> Comparison:
    r"""Compare two profiles of one architecture on one device.

    The interval of a ratio b/a is the wider of two: from the intervals of both times, as distances on a logarithmic
    axis in quadrature, and from both series of samples, resampled in blocks of neighbours, because neighbouring
    samples depend on each other. Neither sees a change of the machine between the two calibrations.

    Args:
        a: Profile, name of a shipped one, or path of a file.
        b: The other.

    Raises:
        ProfileError: They are of different devices or architectures, or have no batch size to compare at.
        UnknownNameError: No shipped profile has that name.

    Example:
        >>> same = compare("squeezenet-xeon-b16", "squeezenet-xeon-b16")
        >>> same.rows[0].ratio, str(same.rows[0].verdict), same.environment
        (1.0, 'no difference seen', ())
    """
    first, second = _loaded(a), _loaded(b)
    _check_comparable(first, second)
    rows = tuple(_rows(first, second))
    if not rows:
        sizes = " and ".join(str([timing.batch for timing in one.t_grad if timing.batch]) for one in (first, second))
        raise ProfileError(
            f'"{first.name}" and "{second.name}" have no batch size in common ({sizes}). Measure a batch size of one '
            "with the other too, or at least two with each."
        )
    environment = tuple(_environment(first, second))
    return Comparison(
        a=_title(first),
        b=_title(second),
        architecture=first.workload.architecture,
        device=str(first.device),
        rows=rows,
        level=LEVEL,
        workload=tuple(_workload(first, second)),
        costs=tuple(_costs(first, second)),
        environment=environment,
        warnings=tuple(_warnings(first, second, environment)),
    )


def _loaded(profile: Profile | str | Path) -> Profile:
    return Profile.load(profile) if isinstance(profile, (str, Path)) else profile


def _check_comparable(a: Profile, b: Profile) -> None:
    facts = (
        ("platform", a.device.platform, b.device.platform),
        ("device", a.device.name, b.device.name),
        ("cores", a.device.cores, b.device.cores),
        ("architecture", a.workload.architecture, b.workload.architecture),
    )
    for what, of_a, of_b in facts:
        if of_a != of_b:
            raise ProfileError(
                f'"{a.name}" and "{b.name}" cannot be compared: {what} {_shown(of_a)} against {_shown(of_b)}. Give two '
                "profiles of one architecture on one device."
            )


def _by_batch(profile: Profile) -> dict[int, Timing]:
    return {timing.batch: timing for timing in reversed(profile.t_grad) if timing.batch}


def _rows(a: Profile, b: Profile) -> Iterator[BatchRatio]:
    of_a, of_b = _by_batch(a), _by_batch(b)
    sweeps = len(of_a) > 1 and len(of_b) > 1
    for batch in sorted(of_a.keys() | of_b.keys() if sweeps else of_a.keys() & of_b.keys()):
        times = [GradientTime.of(one).predict(batch) for one in (a, b)]
        yield _row(batch, times[0], times[1], _interval(times, [of_a.get(batch), of_b.get(batch)]))


def _row(batch: int, a: BatchTime, b: BatchTime, interval: tuple[float, float] | None) -> BatchRatio:
    return BatchRatio(
        batch=batch,
        a_s=a.median_s,
        b_s=b.median_s,
        ratio=b.median_s / a.median_s,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        verdict=_verdict(interval),
        a_provenance=str(a.provenance),
        b_provenance=str(b.provenance),
        extrapolated=a.extrapolated or b.extrapolated,
    )


def _verdict(interval: tuple[float, float] | None) -> Verdict:
    if interval is None:
        return Verdict.UNKNOWN
    if interval[1] < 1:
        return Verdict.FASTER
    return Verdict.SLOWER if interval[0] > 1 else Verdict.NONE_SEEN


def _interval(times: list[BatchTime], timings: list[Timing | None]) -> tuple[float, float] | None:
    """Return the wider of the intervals of b/a that the times and their samples give; None without either."""
    found = [_from_intervals(*times)]
    samples = [np.array(timing.samples_s) for timing in timings if timing and len(timing.samples_s) >= FEWEST_SAMPLES]
    if len(samples) == len(timings):
        found.append(_from_samples(samples[0], samples[1]))
    known = [interval for interval in found if interval]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _from_intervals(a: BatchTime, b: BatchTime) -> tuple[float, float] | None:
    if a.low_s is None or a.high_s is None or b.low_s is None or b.high_s is None:
        return None
    middle = b.median_s / a.median_s
    below = math.hypot(math.log(b.median_s / b.low_s), math.log(a.high_s / a.median_s))
    above = math.hypot(math.log(b.high_s / b.median_s), math.log(a.median_s / a.low_s))
    return middle * math.exp(-below), middle * math.exp(above)


def _from_samples(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    random = np.random.default_rng(0)
    ratios = _medians(b, random) / _medians(a, random)
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _medians(samples: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return medians of resamples made of blocks of neighbours; a block may run over the end to the start."""
    count = len(samples)
    length = math.ceil(math.sqrt(count))
    starts = random.integers(0, count, (RESAMPLES, -(-count // length)))
    places = (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :count] % count
    return np.asarray(np.median(samples[places], axis=1))


def _workload(a: Profile, b: Profile) -> Iterator[Difference]:
    for name in ("algorithm", "precision", "input_shape", "element_bytes", "parameters", "payload_bytes"):
        yield from _difference(name, getattr(a.workload, name), getattr(b.workload, name))


def _costs(a: Profile, b: Profile) -> Iterator[Difference]:
    of_b = {cost.batch: cost for cost in b.costs}
    for cost in a.costs:
        other = of_b.get(cost.batch)
        if other is None:
            continue
        for name in (*(field.name for field in fields(StepCost)), "memory_bytes"):
            yield from _difference(name, getattr(cost, name), getattr(other, name), cost.batch)


def _environment(a: Profile, b: Profile) -> Iterator[Difference]:
    for name in dict.fromkeys((*a.environment, *b.environment)):
        if not any(word in name for word in _PASSING):
            yield from _difference(name, a.environment.get(name), b.environment.get(name))


def _difference(name: str, a: object, b: object, batch: int | None = None) -> Iterator[Difference]:
    if a != b:
        yield Difference(name=name, a=a, b=b, batch=batch)


def _warnings(a: Profile, b: Profile, environment: tuple[Difference, ...]) -> Iterator[str]:
    versions = [one.name for one in environment if one.name.startswith(_VERSIONS)]
    if versions:
        yield f"versions differ ({', '.join(versions)}): a difference of t_grad may be theirs."
    clocks = [one.name for one in environment if any(word in one.name for word in _CLOCKS)]
    if clocks:
        yield f"clocks differ ({', '.join(clocks)}): a difference of t_grad may be theirs."
    for which, profile in (("a", a), ("b", b)):
        yield from (f"{which}: {warning}" for warning in profile.warnings)
