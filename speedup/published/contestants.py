"""The models that are judged: ours first, then those that others published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedup.scaling.equation import FitError

if TYPE_CHECKING:
    from speedup.scaling.models import ScalingModel

__all__ = ["FitError", "allreduce", "asynchronous", "laws", "servers"]
