"""Where a number comes from."""

from __future__ import annotations

from enum import StrEnum


class Provenance(StrEnum):
    """Where a number comes from."""

    MEASURED = "measured"
    """Timed by this package on the device named."""
    PUBLISHED = "published"
    """Measured by others and printed in the source named."""
    FITTED = "fitted"
    """The parameter of a model fitted to measurements."""
    ASSUMED = "assumed"
    """Given by the user or computed from a nominal figure."""
