"""Numbers with units: read at the edge, checked once, SI inside."""

from __future__ import annotations

import math
import re
from numbers import Integral, Real

from speedup.errors import UnitError

QUANTILE = 1.6448536269514722
"""Of the standard normal law at 95 %: half of a 90 % interval, in standard deviations."""

_PREFIX = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_BANDWIDTH = re.compile(
    r"(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*"
    r"(?P<prefix>[kKmMgGtT]?)(?P<binary>i?)(?P<base>bits?|Bits?|bytes?|Bytes?|b|B)(?P<rate>/s|ps)?"
)
_ETHERNET = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<prefix>[MmGgTt])b?E", re.IGNORECASE)
_EXAMPLES = "Examples: 1gbit, 25Gbps, 12.5GB/s, 10GbE."


def positive(what: str, value: object, unit: str, *, advice: str = "") -> float:
    """Return ``value`` as a float if it is a finite number above zero.

    Args:
        what: The quantity's name, for the message.
        value: The candidate.
        unit: Its unit, for the message.
        advice: What the user can do about a wrong value.

    Raises:
        UnitError: The value is not a number, not finite, or not above zero.

    Example:
        >>> positive("t_grad", 0.758, "s")
        0.758
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UnitError(f"{what} = {value!r} is not a number of {unit}; it must be > 0 {unit}. {advice}".strip())
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise UnitError(f"{what} = {number:g} {unit}; it must be finite and > 0 {unit}. {advice}".strip())
    return number


def not_negative(what: str, value: object, unit: str) -> float:
    """Return ``value`` as a float if it is a finite number of at least zero.

    Raises:
        UnitError: It is not.

    Example:
        >>> not_negative("cv", 0, "")
        0.0
    """
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and number >= 0):
        shown = f"{what} = {value!r} {unit}".strip()
        raise UnitError(f"{shown}; it must be a finite number, at least 0.")
    return number


def whole(what: str, value: object, *, minimum: int = 1) -> int:
    """Return ``value`` as an int if it is a whole number of at least ``minimum``.

    Raises:
        UnitError: It is not.

    Example:
        >>> whole("batches", 128)
        128
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UnitError(f"{what} = {value!r} is not a whole number; it must be at least {minimum}.")
    if value < minimum:
        raise UnitError(f"{what} = {value}; it must be at least {minimum}.")
    return int(value)


def bandwidth(text: str, *, what: str = "network") -> float:
    """Read a bandwidth, in bytes per second.

    ``b`` and ``bit`` are bits, ``B`` and ``byte`` are bytes; prefixes are decimal, or binary with an ``i``
    (``MiB/s``); ``/s`` or ``ps`` may be left out. A lower-case ``gb`` or ``mb`` could mean either and is
    refused, because the two differ by a factor of 8.

    Raises:
        UnitError: The text is no bandwidth, is ambiguous, or is not above zero.

    Example:
        >>> bandwidth("1gbit"), bandwidth("12.5GB/s"), bandwidth("10GbE")
        (125000000.0, 12500000000.0, 1250000000.0)
    """
    cleaned = text.strip()
    if match := _ETHERNET.fullmatch(cleaned):
        return positive(what, float(match["number"]) * 1000 ** _PREFIX[match["prefix"].lower()] / 8, "B/s")
    match = _BANDWIDTH.fullmatch(cleaned)
    if match is None:
        raise UnitError(f'{what} "{text}" is not a bandwidth. {_EXAMPLES}')
    if match["base"] == "b" and match["rate"] != "ps" and match["prefix"] in {"k", "m", "g", "t"}:
        number, prefix = match["number"], match["prefix"]
        raise UnitError(
            f'{what} "{text}" is ambiguous: {number} {prefix.upper()}bit/s or {number} {prefix.upper()}B/s '
            f"(8 times more)? Write {number}{prefix}bit or {number}{prefix.upper()}B/s."
        )
    base = 1024 if match["binary"] else 1000
    scale = base ** _PREFIX[match["prefix"].lower()] / (1 if match["base"][0] == "B" or "yte" in match["base"] else 8)
    return positive(what, float(match["number"]) * scale, "B/s", advice=_EXAMPLES)


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    for factor, unit in steps:
        if abs(value) >= factor:
            return f"{value / factor:.3g} {unit}" if abs(value) < 999.5 * factor else f"{value / factor:,.0f} {unit}"
    factor, unit = steps[-1]
    return f"{value / factor:.3g} {unit}"


def show_seconds(seconds: float) -> str:
    """Write a duration with three digits and the unit that fits.

    Example:
        >>> show_seconds(0.0333), show_seconds(97.024)
        ('33.3 ms', '97 s')
    """
    return _scaled(seconds, ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")))


def show_bytes(count: float) -> str:
    """Write a size in bytes with three digits and a decimal prefix.

    Example:
        >>> show_bytes(3469060)
        '3.47 MB'
    """
    return _scaled(count, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def show_bandwidth(bytes_per_s: float) -> str:
    """Write a bandwidth in bits and bytes, since the two are so often confused.

    Example:
        >>> show_bandwidth(125e6)
        '1 Gbit/s (125 MB/s)'
    """
    bits = _scaled(
        8 * bytes_per_s, ((1e12, "Tbit/s"), (1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s"))
    )
    return f"{bits} ({show_bytes(bytes_per_s)}/s)"
