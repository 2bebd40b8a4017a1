"""What each worker did when: receive, compute, send, and wait in between."""

from __future__ import annotations

import time
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Stage(StrEnum):
    """Part of an iteration of a worker."""

    RECEIVE = "receive"
    """Weights come; for an all-reduce, gradients come and go."""
    COMPUTE = "compute"
    """The gradient is computed, or waited for in its place."""
    SEND = "send"
    """The gradient goes."""
    WAIT = "wait"
    """None of them: for a turn at a server, or for the slowest."""


class Span(NamedTuple):
    """One stage of one worker.

    Attributes:
        worker: Rank of the worker.
        iteration: Which of its iterations, from 0.
        stage: What it did.
        start_s: When it began, on the clock of the run [s].
        end_s: When it ended [s].
    """

    worker: int
    iteration: int
    stage: str
    start_s: float
    end_s: float


class Recorder:
    """The spans that one process sees: its own, and as a server those of the workers it talks to.

    Args:
        offset_s: Clock of rank 0 less the clock here [s].
    """

    def __init__(self, offset_s: float = 0.0) -> None:
        self.spans: list[Span] = []
        self._origin_s = -offset_s

    def start(self, origin_s: float) -> None:
        """Count from a reading of rank 0's clock."""
        self._origin_s += origin_s
        self.spans.clear()

    def now(self) -> float:
        """Return the time since the start [s]."""
        return time.monotonic() - self._origin_s

    @contextmanager
    def span(self, worker: int, iteration: int, stage: Stage) -> Iterator[None]:
        """Record what happens inside."""
        begin = self.now()
        yield
        self.spans.append(Span(worker, iteration, str(stage), begin, self.now()))

    def mark(self, worker: int, iteration: int, stage: Stage, at_s: float) -> None:
        """Record that a stage that others saw begin has ended."""
        self.spans.append(Span(worker, iteration, str(stage), at_s, at_s))


def timeline(spans: Iterable[Span]) -> list[dict[str, Any]]:
    """Return one row a stage: what several servers and the worker saw of a stage is one, and gaps are waits.

    Example:
        >>> rows = timeline([Span(1, 0, "receive", 0.0, 1.0), Span(1, 0, "compute", 1.5, 2.0)])
        >>> [(row["stage"], row["start_s"], row["end_s"]) for row in rows]
        [('receive', 0.0, 1.0), ('wait', 1.0, 1.5), ('compute', 1.5, 2.0)]
    """
    merged: dict[tuple[int, int, str], tuple[float, float]] = {}
    for span in spans:
        key = (span.worker, span.iteration, span.stage)
        start, end = merged.get(key, (span.start_s, span.end_s))
        merged[key] = (min(start, span.start_s), max(end, span.end_s))
    order = sorted(
        ((worker, start, end, iteration, stage) for (worker, iteration, stage), (start, end) in merged.items())
    )
    rows: list[dict[str, Any]] = []
    before: dict[int, float] = {}
    for worker, start, end, iteration, stage in order:
        last = before.get(worker, 0.0)
        if start > last:
            rows.append(_row(worker, iteration, Stage.WAIT, last, start))
        # Clocks of several hosts agree to a fraction of a millisecond; no stage begins before the last has ended.
        before[worker] = max(last, end)
        rows.append(_row(worker, iteration, stage, max(start, last), before[worker]))
    return rows


def _row(worker: int, iteration: int, stage: str, start_s: float, end_s: float) -> dict[str, Any]:
    return {
        "worker": worker,
        "iteration": iteration,
        "stage": str(stage),
        "start_s": round(start_s, 6),
        "end_s": round(end_s, 6),
    }
