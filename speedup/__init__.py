"""speedup: before you rent the cluster, know what it buys you.

Measure one device and one link, or name a shipped profile, and ask:

    >>> import speedup
    >>> answer = speedup.recommend("squeezenet", max_workers=8)
    >>> print(answer.headline)
    Use 8 workers, sync-join, distributed server: speedup 7.43, efficiency 93%, 13.1 s for 128 batches.
    >>> speedup.formula("sync-split", "central", schedule="best")
    D*(t_comm*(N + 1) + t_grad/N)

Names are loaded on first use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speedup.bridge import calibrate
    from speedup.cluster import Link
    from speedup.comparison import compare
    from speedup.errors import SpeedupError
    from speedup.estimates import estimate
    from speedup.explanation import explain
    from speedup.formulas import CATALOGUE, formula
    from speedup.placement import place
    from speedup.plans import Plan
    from speedup.profile import Device, Profile, Timing, Workload, profiles
    from speedup.recommendation import Recommendation, recommend
    from speedup.simulation import simulate
    from speedup.tables import Estimate, EstimateTable

__version__ = "0.1.0"

_HOME = {
    "CATALOGUE": "formulas",
    "Device": "profile",
    "Estimate": "tables",
    "EstimateTable": "tables",
    "Link": "cluster",
    "Plan": "plans",
    "Profile": "profile",
    "Recommendation": "recommendation",
    "SpeedupError": "errors",
    "Timing": "profile",
    "Workload": "profile",
    "calibrate": "bridge",
    "compare": "comparison",
    "estimate": "estimates",
    "explain": "explanation",
    "formula": "formulas",
    "place": "placement",
    "profiles": "profile",
    "recommend": "recommendation",
    "simulate": "simulation",
}

__all__ = [
    "CATALOGUE",
    "Device",
    "Estimate",
    "EstimateTable",
    "Link",
    "Plan",
    "Profile",
    "Recommendation",
    "SpeedupError",
    "Timing",
    "Workload",
    "calibrate",
    "compare",
    "estimate",
    "explain",
    "formula",
    "place",
    "profiles",
    "recommend",
    "simulate",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"speedup.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
