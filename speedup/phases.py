r"""Runs that change on the way: times added up over their phases, and the best sequence of plans.

Pruning makes steps and payloads smaller from epoch to epoch, so that more workers pay later than at the beginning. With
:math:`T_p(k)` the time of phase p under plan k and c what it costs to go over to another plan, the best sequence is
found phase by phase,

.. math:: B_p(k) = T_p(k) + \min\Bigl(B_{p-1}(k), \; c_p + \min_j B_{p-1}(j)\Bigr)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.errors import PlanError
from speedup.inputs import gather
from speedup.profile import Profile
from speedup.units import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from speedup.inputs import Inputs
    from speedup.tables import Estimate, EstimateTable, Floats

DEFAULT_BATCHES = 128
SWITCH_S = 10.0
"""What it takes to go over to another plan: write a checkpoint, stop, start, read it [s]; assumed."""
_OF_A_PHASE = ("t_grad", "t_comm", "t_up", "batch")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run with times of its own.

    Attributes:
        name: The phase's; empty for a run that does not change.
        inputs: Its times.
        batches: Its batches.
    """

    name: str
    inputs: Inputs
    batches: int


@dataclass(frozen=True, slots=True)
class Course:
    """A run from its first phase to its last.

    Attributes:
        profile: The profile that it was taken from, if any.
        parts: Its phases; a single part for a run that does not change.
    """

    profile: Profile | None
    parts: tuple[Part, ...]

    @property
    def batches(self) -> int:
        """D."""
        return sum(part.batches for part in self.parts)

    @property
    def inputs(self) -> Inputs:
        """The times of the whole run: those of its parts, weighted by their batches."""
        first = self.parts[0].inputs
        if len(self.parts) == 1:
            return first
        t_grad_s, t_comm_s, t_up_s, grad_s, comm_s = (
            sum(part.batches * value(part.inputs) for part in self.parts) / self.batches for value in _AVERAGED
        )
        return replace(
            first,
            t_grad=replace(first.t_grad, median_s=t_grad_s, low_s=None, high_s=None, level=None),
            t_comm_s=t_comm_s,
            up_ratio=t_up_s / t_comm_s,
            grad_law=first.grad_law.scaled(grad_s / first.grad_law.mean_s),
            comm_law=first.comm_law.scaled(comm_s / first.comm_law.mean_s),
            profile=self.profile,
        )


_AVERAGED: tuple[Callable[[Inputs], float], ...] = (
    lambda inputs: inputs.t_grad_s,
    lambda inputs: inputs.t_comm_s,
    lambda inputs: inputs.t_up_s,
    lambda inputs: inputs.grad_law.mean_s,
    lambda inputs: inputs.comm_law.mean_s,
)


def course_of(
    profile: Profile | str | Path | None,
    batches: int | None,
    **given: Any,  # noqa: ANN401 - what gather takes
) -> Course:
    """Return the course of a run: of one part, unless the profile has phases.

    Args:
        profile: Profile, name of a shipped one, or path of a file.
        batches: Batches of the run; None for 128, or for those of the phases.
        given: What ``gather`` takes.

    Raises:
        PlanError: A number was given that differs from phase to phase.
        SpeedupError: As ``gather``.
    """
    loaded = profile if profile is None or isinstance(profile, Profile) else Profile.load(profile)
    if loaded is None or not loaded.phases:
        runs = whole("batches", DEFAULT_BATCHES if batches is None else batches)
        return Course(loaded, (Part("", gather(loaded, **given), runs),))
    fixed = [name for name in _OF_A_PHASE if given.get(name) is not None] + ["batches"] * (batches is not None)
    if fixed:
        raise PlanError(
            f'{", ".join(fixed)} cannot be given for profile "{loaded.name}", whose {len(loaded.phases)} phases have '
            "their own. Name a network=, or take one phase: profile.of_phase(profile.phases[0])."
        )
    parts = tuple(Part(one.name, gather(loaded.of_phase(one), **given), one.batches) for one in loaded.phases)
    return Course(loaded, parts)


def added_up(tables: Sequence[EstimateTable], course: Course) -> EstimateTable:
    """Return the table of a run from those of its parts, which have the same rows.

    Ends of intervals are added up as if all parts erred together.

    Args:
        tables: One a part.
        course: The run.
    """
    first = tables[0]
    if len(tables) == 1:
        return first
    alone = [table.batches * table.t_grad_s for table in tables]

    def together(ends: list[Floats]) -> Floats:
        return np.asarray(sum(alone) / sum(one / end for one, end in zip(alone, ends, strict=True)))

    equation, words = _in_common([[table.words[index] for index in table.equation] for table in tables], ())
    estimator, words = _in_common([[table.words[index] for index in table.estimator] for table in tables], words)
    return replace(
        first,
        time_s=np.sum([table.time_s for table in tables], axis=0),
        t_grad_worker_s=_averaged(tables, "t_grad_worker_s"),
        move_s=_averaged(tables, "move_s"),
        straggler_s=_averaged(tables, "straggler_s"),
        hidden_s=_averaged(tables, "hidden_s"),
        status=np.max([table.status for table in tables], axis=0),
        equation=equation,
        estimator=estimator,
        words=words,
        low=together([table.low for table in tables]),
        high=together([table.high for table in tables]),
        inputs=course.inputs,
        batches=course.batches,
        phases=tuple(part.name for part in course.parts),
    )


def _averaged(tables: Sequence[EstimateTable], column: str) -> Floats:
    """Return a column of parts, weighted by their batches."""
    batches = [table.batches for table in tables]
    return np.asarray(np.average([getattr(table, column) for table in tables], axis=0, weights=batches))


def _in_common(cells: list[list[str]], words: tuple[str, ...]) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """Return the word of each row, as an index into words: that of all parts, or that they differ."""
    rows = [set(row).pop() if len(set(row)) == 1 else "by phase" for row in zip(*cells, strict=True)]
    known = tuple(dict.fromkeys((*words, *rows)))
    return np.array([known.index(word) for word in rows], np.int8), known


@dataclass(frozen=True, slots=True)
class Stage:
    """Phases in a row under one plan.

    Attributes:
        first: Name of the first phase.
        last: Name of the last.
        plan: The plan with its estimate of these phases.
        switch_s: What going over to it costs [s]; 0 for the first.
    """

    first: str
    last: str
    plan: Estimate
    switch_s: float

    @property
    def name(self) -> str:
        """The phases in words."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as a plain dictionary."""
        return {"first": self.first, "last": self.last, "switch_s": self.switch_s, "plan": self.plan.to_dict()}


def best_sequence(times: Floats, switches: Floats) -> tuple[list[int], float]:
    """Return the plan of each phase in the fastest sequence, and its time [s].

    Args:
        times: Of each phase under each plan [s], shape (P, K).
        switches: What going over to another plan before each phase costs [s], shape (P,); the first counts for nothing.

    Example:
        >>> import numpy as np
        >>> times = np.array([[10.0, 14.0], [9.0, 4.0], [9.0, 4.0]])
        >>> best_sequence(times, np.full(3, 2.0)), best_sequence(times, np.full(3, 7.0))
        (([0, 1, 1], 20.0), ([1, 1, 1], 22.0))
    """
    count = times.shape[1]
    best, came = times[0], []
    for row, switch in zip(times[1:], switches[1:], strict=True):
        fastest = int(np.argmin(best))
        moved = best > best[fastest] + switch
        came.append(np.where(moved, fastest, np.arange(count)))
        best = row + np.where(moved, best[fastest] + switch, best)
    plans = [int(np.argmin(best))]
    for origin in reversed(came):
        plans.append(int(origin[plans[-1]]))
    return plans[::-1], float(best.min())


def best_stages(course: Course, tables: Sequence[EstimateTable], switch_s: float) -> tuple[Stage, ...]:
    """Return the fastest sequence of plans over the parts of a run.

    Args:
        course: The run.
        tables: The plans that may be used, one table a part, of the same rows.
        switch_s: What going over to another plan costs [s], besides moving the weights once.
    """
    parts = course.parts
    switches = np.array([switch_s + part.inputs.t_down_s for part in parts])
    plans, _ = best_sequence(np.stack([table.time_s for table in tables]), switches)
    begins = [0, *(index for index in range(1, len(plans)) if plans[index] != plans[index - 1])]
    stages = []
    for begin, end in zip(begins, [*begins[1:], len(plans)], strict=True):
        own = Course(course.profile, parts[begin:end])
        row = np.array([plans[begin]])
        plan = added_up([table.take(row) for table in tables[begin:end]], own)[0]
        stages.append(Stage(own.parts[0].name, own.parts[-1].name, plan, float(switches[begin]) if begin else 0.0))
    return tuple(stages)
