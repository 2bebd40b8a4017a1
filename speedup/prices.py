"""What a machine costs by the hour: said by hand, or looked up in a small dated table that says where it comes from."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from speedup.errors import PriceError, SpeedupError, UnknownNameError, suggestion
from speedup.profile import Provenance
from speedup.units import not_negative, positive, whole

CURRENCY = "USD"
"""Currency of every price."""
_COLUMNS = (
    "provider",
    "instance",
    "terms",
    "region",
    "usd_per_h",
    "accelerators",
    "accelerator",
    "accelerator_gb",
    "vcpus",
    "memory_gib",
    "network_gbit",
    "date",
    "source",
)
_GIB = 2**30
_GB = 10**9


class Terms(StrEnum):
    """What a price is paid for."""

    ON_DEMAND = "on-demand"
    """A machine that stays until it is given back."""
    SPOT = "spot"
    """A machine that its provider may take back; its price moves from day to day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one machine costs in one hour.

    Attributes:
        per_hour: Price of a machine-hour [USD], at least 0.
        provenance: ``published`` for one of the table, ``assumed`` for one said by hand.
        terms: Whether the machine can be taken back; None where nobody said.
        instance: Name of the machine, where it has one.
        provider: Who lets it.
        region: Where.
        date: When the price was read, ISO 8601.
        source: Address of what it was read from.

    Raises:
        UnitError: The price is negative, or no finite number.

    Example:
        >>> Price(per_hour=7.2).per_second
        0.002
        >>> print(Price.of("p3.16xlarge"))
        24.48 USD/h (p3.16xlarge, aws us-east-1, on-demand, 2026-01-21)
    """

    per_hour: float
    provenance: Provenance = Provenance.ASSUMED
    terms: Terms | None = None
    instance: str | None = None
    provider: str | None = None
    region: str | None = None
    date: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        not_negative("price", self.per_hour, f"{CURRENCY}/h")

    def __str__(self) -> str:
        if self.instance is None:
            return f"{self.per_hour:g} {CURRENCY}/h (given)"
        where = f"{self.provider} {self.region}"
        return f"{self.per_hour:g} {CURRENCY}/h ({self.instance}, {where}, {self.terms}, {self.date})"

    @property
    def per_second(self) -> float:
        """Price of a machine-second [USD]."""
        return self.per_hour / 3600

    @property
    def warning(self) -> str:
        """What to mind; empty if there is nothing."""
        if self.per_hour == 0:
            return "A price of 0 was given: what it pays for costs nothing, so that costs do not tell plans apart."
        return ""

    @classmethod
    def of(cls, said: str | float | Price, *, terms: str | None = None, region: str | None = None) -> Price:
        """Read a price: a number of USD per machine-hour, or the name of a machine in the table.

        Args:
            said: Such as 2.48, ``"2.48"`` or ``"p3.16xlarge"``; 0 is free, and is taken for that only if it is said.
            terms: ``on-demand``, the default, or ``spot``, for a name.
            region: Region, for a name of which the table has several.

        Raises:
            UnitError: The number is negative, or not finite.
            UnknownNameError: The table has no machine of that name, terms and region.

        Example:
            >>> Price.of("2.48").per_hour, Price.of("p5en.48xlarge", terms="spot").per_hour
            (2.48, 27.1988)
        """
        if isinstance(said, Price):
            return said
        if not isinstance(said, str):
            return cls(per_hour=not_negative("price", said, f"{CURRENCY}/h"))
        try:
            number = float(said)
        except ValueError:
            return find_offer(said, terms=terms, region=region).price
        return cls(per_hour=not_negative("price", number, f"{CURRENCY}/h"))

    def to_dict(self) -> dict[str, Any]:
        """Return the price as a plain dictionary."""
        return {
            "per_hour": self.per_hour,
            "currency": CURRENCY,
            "provenance": str(self.provenance),
            "terms": None if self.terms is None else str(self.terms),
            "instance": self.instance,
            "provider": self.provider,
            "region": self.region,
            "date": self.date,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A row of the table: a machine and its price. None stands for what the source does not say.

    Attributes:
        price: What it costs.
        accelerators: Accelerators in it; 0 for a machine without.
        accelerator: Their name.
        accelerator_bytes: Memory of one of them [bytes].
        vcpus: Virtual processors.
        memory_bytes: Memory of the machine [bytes].
        network_bytes_per_s: Bandwidth that the machine always has, one direction [bytes/s]; None for "up to".
    """

    price: Price
    accelerators: int
    accelerator: str | None
    accelerator_bytes: int | None
    vcpus: int | None
    memory_bytes: int | None
    network_bytes_per_s: float | None

    @property
    def name(self) -> str:
        """Name of the machine."""
        return str(self.price.instance)


def prices_path() -> Path:
    """Return the file of the shipped table: inside a wheel, or beside an editable installation."""
    packaged = Path(str(resources.files("speedup"))) / "_data" / "prices.csv"
    return packaged if packaged.is_file() else Path(__file__).resolve().parent.parent / "data" / "prices.csv"


def read_offers(path: Path) -> tuple[Offer, ...]:
    """Read a table of prices from a CSV file.

    Args:
        path: The file; its columns are those of ``data/prices.csv``.

    Raises:
        PriceError: The file is missing or broken; all faults are listed.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            columns, rows = tuple(reader.fieldnames or ()), list(reader)
    except FileNotFoundError:
        raise PriceError(f"prices {path}: the file does not exist. Give a price by hand: 2.48 is USD/h.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PriceError(f"prices {path} cannot be read: {error}.") from None
    if missing := [name for name in _COLUMNS if name not in columns]:
        raise PriceError(f"prices {path}: no column {', '.join(missing)}; a table has {', '.join(_COLUMNS)}.")
    return _checked(path, rows)


def _checked(path: Path, rows: list[dict[str, Any]]) -> tuple[Offer, ...]:
    """Return the offers of all rows, or raise one error for all faults."""
    found: dict[tuple[str, ...], Offer] = {}
    faults = []
    for line, row in enumerate(rows, start=2):
        key = tuple(str(row[name]) for name in ("provider", "instance", "terms", "region"))
        try:
            if None in row or None in row.values():
                raise PriceError(f"it has not {len(_COLUMNS)} cells.")
            if key in found:
                raise PriceError(f"{' '.join(key)} stands in the table twice; keep the later price.")
            found[key] = _offer(row)
        except (SpeedupError, ValueError) as error:
            faults.append(f"prices {path}, line {line}: {error}")
    if faults:
        raise PriceError("\n".join(faults))
    return tuple(found.values())


def _offer(row: dict[str, str]) -> Offer:
    """Return the offer of a row."""
    terms = [one for one in Terms if one == row["terms"]]
    if not terms:
        raise PriceError(f'terms = "{row["terms"]}" is unknown. Allowed: {", ".join(Terms)}.')
    for name in ("provider", "instance", "region", "source"):
        if not row[name].strip():
            raise PriceError(f"{name} is empty; a price without it cannot be checked.")
    price = Price(
        # A table has no prices that are zero: a cell that was never filled in would look like one.
        per_hour=positive("usd_per_h", float(row["usd_per_h"]), "USD/h"),
        provenance=Provenance.PUBLISHED,
        terms=terms[0],
        instance=row["instance"],
        provider=row["provider"],
        region=row["region"],
        date=date.fromisoformat(row["date"]).isoformat(),
        source=row["source"],
    )
    network = _quantity(row, "network_gbit", _GB)
    return Offer(
        price=price,
        accelerators=whole("accelerators", int(row["accelerators"]), minimum=0),
        accelerator=row["accelerator"] or None,
        accelerator_bytes=_bytes(row, "accelerator_gb", _GB),
        vcpus=whole("vcpus", int(row["vcpus"])) if row["vcpus"] else None,
        memory_bytes=_bytes(row, "memory_gib", _GIB),
        network_bytes_per_s=None if network is None else network / 8,
    )


def _quantity(row: dict[str, str], name: str, unit: int) -> float | None:
    return positive(name, float(row[name]), "") * unit if row[name] else None


def _bytes(row: dict[str, str], name: str, unit: int) -> int | None:
    found = _quantity(row, name, unit)
    return None if found is None else math.floor(found)


@cache
def offers() -> tuple[Offer, ...]:
    """Return the rows of the shipped table.

    Example:
        >>> sorted({offer.price.provider for offer in offers()})
        ['aws', 'azure', 'gcp']
    """
    return read_offers(prices_path())


def find_offer(
    name: str, *, terms: str | None = None, region: str | None = None, table: tuple[Offer, ...] | None = None
) -> Offer:
    """Return the offer of a machine by its name, upper or lower case.

    Args:
        name: Name of the machine, as its provider writes it.
        terms: ``on-demand``, the default, or ``spot``.
        region: Region; the only one, if left out.
        table: Where to look; the shipped table if left out.

    Raises:
        UnknownNameError: The table has no such machine, or has it in several regions and none was said.

    Example:
        >>> find_offer("P3.16xlarge").accelerators
        8
    """
    known = offers() if table is None else table
    named = [offer for offer in known if offer.name.lower() == name.strip().lower()]
    if not named:
        names = {offer.name.lower(): offer.name for offer in known}
        hint = suggestion(name, names)
        raise UnknownNameError(
            f'unknown machine "{name}". {hint}The table of prices has {", ".join(sorted(names.values()))}. '
            "Or give a price by hand: 2.48 is USD per machine-hour."
        )
    wanted = [
        offer
        for offer in named
        if offer.price.terms == (terms or Terms.ON_DEMAND) and region in {None, offer.price.region}
    ]
    if len(wanted) != 1:
        have = "; ".join(f"{offer.price.terms} in {offer.price.region}" for offer in named)
        asked = f"{terms or Terms.ON_DEMAND}{f' in {region}' if region else ''}"
        raise UnknownNameError(f"{named[0].name}, {asked}: the table of prices has {have}. Say one of these.")
    return wanted[0]
