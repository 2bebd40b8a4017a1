"""What connects the workers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median, pstdev, stdev
from typing import Any, ClassVar

from speedup.errors import ProfileError, UnitError
from speedup.files import write_atomically
from speedup.units import QUANTILE, bandwidth, not_negative, positive, show_bandwidth, show_seconds, whole

LINK_SCHEMA = "speedup.link/1"
_STRICT: dict[str, object] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A full-duplex link between a worker and its server.

    Attributes:
        bandwidth_bytes_per_s: Payload bytes per second and direction, > 0.
        latency_s: Fixed time of one message [s], >= 0.

    Raises:
        UnitError: A value is out of its range.

    Example:
        >>> Link(bandwidth_bytes_per_s=125e6, latency_s=1e-3).transfer_time_s(3_469_060)
        0.02875248
    """

    bandwidth_bytes_per_s: float
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        positive("bandwidth", self.bandwidth_bytes_per_s, "B/s")
        if not (math.isfinite(self.latency_s) and self.latency_s >= 0):
            raise UnitError(f"latency = {self.latency_s:g} s; it must be finite and at least 0 s.")

    @classmethod
    def parse(cls, text: str, *, latency_s: float = 0.0) -> Link:
        """Read a link from its bandwidth, such as ``1gbit``.

        Raises:
            UnitError: The text is no bandwidth, or is ambiguous.

        Example:
            >>> Link.parse("10gbit").bandwidth_bytes_per_s
            1250000000.0
        """
        return cls(bandwidth_bytes_per_s=bandwidth(text), latency_s=latency_s)

    def transfer_time_s(self, payload_bytes: float) -> float:
        r"""Return the time [s] of one transfer of ``payload_bytes``.

        .. math:: t_{comm} = a + W / \beta

        with latency a and bandwidth \beta.
        """
        return self.latency_s + payload_bytes / self.bandwidth_bytes_per_s

    def __str__(self) -> str:
        latency = f", latency {show_seconds(self.latency_s)}" if self.latency_s else ""
        return f"{show_bandwidth(self.bandwidth_bytes_per_s)}{latency}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """Transfers of one size in one direction of a link.

    Attributes:
        payload_bytes: Bytes of each.
        direction: ``forward``, ``backward``, or ``both`` at once.
        samples_s: What each took, until the other end had all of it [s].
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    payload_bytes: int
    direction: str
    samples_s: tuple[float, ...]

    def __post_init__(self) -> None:
        whole("payload_bytes", self.payload_bytes)
        if not self.samples_s:
            raise UnitError("samples_s is empty; a size that was measured has at least one sample.")
        for index, sample in enumerate(self.samples_s):
            positive(f"samples_s[{index}]", sample, "s", advice="Measure it again.")

    @property
    def median_s(self) -> float:
        """Median of the samples [s]."""
        return median(self.samples_s)

    @property
    def cv(self) -> float:
        """Coefficient of variation of the samples; 0 for a single one."""
        return stdev(self.samples_s) / fmean(self.samples_s) if len(self.samples_s) > 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Several hosts that send to one at the same time.

    Attributes:
        count: How many.
        payload_bytes: Bytes that each sends.
        ends_s: For each repetition, when each of them was through [s].
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    count: int
    payload_bytes: int
    ends_s: tuple[tuple[float, ...], ...]

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Bytes per second that arrive together, until the last is through."""
        return median(self.count * self.payload_bytes / max(ends) for ends in self.ends_s)

    @property
    def cv(self) -> float:
        """Coefficient of variation of their ends within a repetition."""
        return median(pstdev(ends) / fmean(ends) for ends in self.ends_s)

    @property
    def unfairness(self) -> float:
        """How much sooner the first is through than the last: 0 for equal shares, towards 1 - 1/n for one by one."""
        return median(1 - min(ends) / max(ends) for ends in self.ends_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanges:
    """All of several hosts that fetch a share of a payload from each of the others, and then give one to each.

    It is what the workers of a distributed server do. If links were shared perfectly, each way would take (n-1)/n of
    the time of a transfer; several flows over several full links take a little longer.

    Attributes:
        hosts: How many, n.
        payload_bytes: What all shares make up.
        aligned_s: For each repetition in which all began together, half of what each host took for both ways [s].
        staggered_s: The same for each in which they began one after another [s].
        stagger: By which part of an exchange in step each of them then began later than the one before.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    hosts: int
    payload_bytes: int
    aligned_s: tuple[tuple[float, ...], ...]
    staggered_s: tuple[tuple[float, ...], ...]
    stagger: float = 0.1

    @property
    def phase_s(self) -> float:
        """What a synchronous phase takes: until the last has everything [s]."""
        return median(max(taken) for taken in self.aligned_s)

    @property
    def alone_s(self) -> float:
        """What one host takes among others that are not in step [s]."""
        return median(fmean(taken) for taken in self.staggered_s)

    @property
    def cv(self) -> float:
        """Coefficient of variation of that."""
        every = [seconds for taken in self.staggered_s for seconds in taken]
        return pstdev(every) / fmean(every)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLink:
    """A link between two hosts, as it was measured.

    Attributes:
        latency_s: Fitted latency of a transfer, a [s].
        bandwidth_bytes_per_s: Fitted payload bytes per second and direction.
        latency_low_s: Lower end of its interval [s].
        latency_high_s: Upper end.
        bandwidth_low_bytes_per_s: Lower end of the bandwidth's interval.
        bandwidth_high_bytes_per_s: Upper end.
        level: Confidence level of both.
        transfers: What the fit rests on, and both directions at once.
        flows: Several senders at once, where there were more than two hosts.
        exchanges: All to all at once; likewise.
        wire: What carried the messages, and whether that is emulated.
        engine: What sent them.
        in_turn: Whether it sends long messages to the same host one after another, and not pieces of each in turn.
        warnings: What to mind.

    Example:
        >>> link = MeasuredLink(
        ...     latency_s=1e-3, bandwidth_bytes_per_s=1e8, latency_low_s=1e-3, latency_high_s=1e-3,
        ...     bandwidth_low_bytes_per_s=1e8, bandwidth_high_bytes_per_s=1e8, level=0.95, transfers=())
        >>> link.transfer_time_s(50_000_000)
        0.501
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    latency_s: float
    bandwidth_bytes_per_s: float
    latency_low_s: float
    latency_high_s: float
    bandwidth_low_bytes_per_s: float
    bandwidth_high_bytes_per_s: float
    level: float
    transfers: tuple[Transfers, ...]
    flows: tuple[Flows, ...] = ()
    exchanges: tuple[Exchanges, ...] = ()
    wire: str = ""
    engine: str = ""
    in_turn: bool = False
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        positive("bandwidth_bytes_per_s", self.bandwidth_bytes_per_s, "B/s", advice="Measure it again.")
        not_negative("latency_s", self.latency_s, "s")
        if not self.bandwidth_low_bytes_per_s <= self.bandwidth_bytes_per_s <= self.bandwidth_high_bytes_per_s:
            raise UnitError("the interval of the bandwidth does not contain it; measure the link again.")
        if not self.latency_low_s <= self.latency_s <= self.latency_high_s:
            raise UnitError("the interval of the latency does not contain it; measure the link again.")

    def transfer_time_s(self, payload_bytes: float) -> float:
        """Return the time [s] of one transfer: between sizes that were measured on a line, else as ``Link``'s."""
        times: dict[int, list[float]] = {}
        for one in self._single:
            times.setdefault(one.payload_bytes, []).append(one.median_s)
        sizes = sorted(times)
        if not sizes or not sizes[0] <= payload_bytes <= sizes[-1]:
            return self.latency_s + payload_bytes / self.bandwidth_bytes_per_s
        above = next(size for size in sizes if size >= payload_bytes)
        below = max((size for size in sizes if size < above), default=above)
        share = (payload_bytes - below) / (above - below) if above > below else 1.0
        return fmean(times[below]) * (1 - share) + fmean(times[above]) * share

    def transfer_interval_s(self, payload_bytes: float) -> tuple[float, float]:
        """Return the interval of it [s], as wide as that of latency and bandwidth together."""
        fitted = self.latency_s + payload_bytes / self.bandwidth_bytes_per_s
        low = self.latency_low_s + payload_bytes / self.bandwidth_high_bytes_per_s
        high = self.latency_high_s + payload_bytes / self.bandwidth_low_bytes_per_s
        centre = self.transfer_time_s(payload_bytes)
        return centre * low / fitted, centre * high / fitted

    @property
    def _single(self) -> list[Transfers]:
        return [one for one in self.transfers if one.direction != "both"]

    def cv(self, payload_bytes: float) -> float:
        """Return the coefficient of variation of transfers of about that size; 0 without samples."""
        single = self._single
        if not single:
            return 0.0
        nearest = min(abs(math.log(one.payload_bytes / payload_bytes)) for one in single)
        near = [one for one in single if abs(math.log(one.payload_bytes / payload_bytes)) == nearest]
        return fmean(one.cv for one in near)

    def cv_of_flows(self, count: int) -> float:
        """Return how unequal the shares of so many flows into one host are; 0 where that was not measured."""
        near = min(self.flows, key=lambda one: abs(one.count - count), default=None)
        return 0.0 if near is None or count < 2 else near.cv

    def near_exchange(self, hosts: int) -> Exchanges | None:
        """Return the exchange that was measured among about as many hosts; None if none was."""
        near = min(self.exchanges, key=lambda one: abs(math.log(one.hosts / hosts)), default=None)
        return near if hosts > 1 else None

    def exchange_excess(self, near: Exchanges, crossing: float | None = None) -> tuple[float, float, float]:
        """Return how much longer an exchange among hosts takes than with perfectly shared links.

        Asynchronous workers begin in step and fall out of it, so that they see both: the mean of the two stands for
        them, and half of the difference is in doubt.

        Args:
            near: The exchange measured.
            crossing: How much longer it takes out of step where links are shared perfectly; None for hosts that are
                kept in step, as a barrier does.

        Returns:
            The ratio, its coefficient of variation among hosts, and the relative doubt about it.
        """
        perfect = (near.hosts - 1) / near.hosts * self.transfer_time_s(near.payload_bytes)
        in_step = max(1.0, near.phase_s / perfect)
        if crossing is None:
            return in_step, 0.0, 0.0
        out_of_step = max(in_step, near.alone_s / perfect / crossing)
        ratio = (in_step + out_of_step) / 2
        return ratio, near.cv, (out_of_step - in_step) / 2 / ratio / QUANTILE

    @property
    def duplex(self) -> float | None:
        """Time of both directions at once by that of one, for the largest size: 1 full duplex, 2 half; None unknown."""
        largest = max((one.payload_bytes for one in self.transfers), default=0)
        times = {one.direction: one.median_s for one in self.transfers if one.payload_bytes == largest}
        return times["both"] / max(times["forward"], times["backward"]) if len(times) == 3 else None

    @classmethod
    def load(cls, path: str | Path) -> MeasuredLink:
        """Read a link from a file that ``save`` wrote.

        Raises:
            ProfileError: The file is missing or broken; all faults are listed.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ProfileError(
                f"link {path} cannot be read ({error}). Measure it: speedup transport -o {path}"
            ) from None
        return cls.from_dict(document, str(path))

    @classmethod
    def from_dict(cls, document: dict[str, Any], where: str = "link") -> MeasuredLink:
        """Return the link of a document that ``to_dict`` made.

        Raises:
            ProfileError: The document is broken; all faults are listed.
        """
        from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - at the file's edge only

        if not isinstance(document, dict) or document.get("schema") != LINK_SCHEMA:
            raise ProfileError(f"link {where} is no link of ours: its schema is not {LINK_SCHEMA}.")
        fields = {name: value for name, value in document.items() if name != "schema"}
        try:
            return TypeAdapter(cls).validate_python(fields)
        except ValidationError as error:
            faults = (f"link {where}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise ProfileError("\n".join(faults)) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the link as a plain document."""
        return {"schema": LINK_SCHEMA, **asdict(self)}

    def save(self, path: str | Path) -> Path:
        """Write the link to a file, atomically.

        Raises:
            FileError: It cannot be written there.
        """
        return write_atomically(path, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    def __str__(self) -> str:
        low, high = self.bandwidth_low_bytes_per_s, self.bandwidth_high_bytes_per_s
        low_s, high_s = self.latency_low_s, self.latency_high_s
        lines = [
            f"bandwidth  {show_bandwidth(self.bandwidth_bytes_per_s)} [{show_bandwidth(low)}, {show_bandwidth(high)}]",
            f"  latency  {show_seconds(self.latency_s)} [{show_seconds(low_s)}, {show_seconds(high_s)}]",
        ]
        if self.duplex is not None:
            lines.append(f"   duplex  both directions at once take {self.duplex:.3f} times one")
        lines += [
            f"    flows  {one.count} at once: {show_bandwidth(one.bandwidth_bytes_per_s)} together, "
            f"the first through {one.unfairness:.0%} before the last"
            for one in self.flows
        ]
        lines += [
            f" exchange  among {one.hosts}: {show_seconds(one.phase_s)} in step, "
            f"{show_seconds(one.alone_s)} out of step (cv {one.cv:.1%})"
            for one in self.exchanges
        ]
        lines.append(f"     wire  {self.wire}, {self.engine}")
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])
