"""The models that are judged: ours first, then those that others published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedup.scaling.rivals import Amdahl, Ernest, Linear, Pollux, UniversalScalability
from speedup.scaling.servers import AsynchronousServer, ServerStep
from speedup.scaling.step import AllReduceStep

if TYPE_CHECKING:
    from speedup.scaling.models import ScalingModel


def laws() -> tuple[ScalingModel, ...]:
    """Return the models that others published."""
    return (Pollux(), Ernest(), UniversalScalability(), Amdahl(), Linear())


def allreduce() -> tuple[ScalingModel, ...]:
    """Return the models of an all-reduce."""
    return (AllReduceStep(), *laws())


def servers() -> tuple[ScalingModel, ...]:
    """Return the models of servers in step."""
    return (ServerStep(), *laws())


def asynchronous() -> tuple[ScalingModel, ...]:
    """Return the models of an asynchronous server."""
    return (AsynchronousServer(), *laws())
