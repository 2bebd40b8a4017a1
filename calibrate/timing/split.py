"""What a step's time is made of: the loss, its gradient, the update.

Compiled apart, the parts do not overlap and are not fused as in the whole step, so their sum tells where
time goes rather than what a step takes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

from speedup.units import positive, show_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK_S = 0.1
_FEWEST_ROUNDS = 3
_MOST_ROUNDS = 200


class Part(Protocol):
    """Something to time: called for its work, which ``wait`` waits for."""

    def __call__(self) -> Any:  # noqa: ANN401 - whatever the part computes
        """Start the work, and return what to wait for."""

    def wait(self, result: Any) -> None:  # noqa: ANN401 - whatever the part computes
        """Return when the work is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepParts:
    """Durations of a step and its parts, each the median over rounds.

    Attributes:
        forward_s: The loss alone [s].
        backward_s: Loss and gradient, less the loss alone [s]; at least 0.
        update_s: The step, less loss and gradient [s]; at least 0.
        step_s: The step [s].
        rounds: Rounds in which each was timed once.
        notes: What to know of the numbers, one sentence each.
    """

    forward_s: float
    backward_s: float
    update_s: float
    step_s: float
    rounds: int
    notes: tuple[str, ...] = ()


def split_step(
    step: Part, forward: Part, gradient: Part, seconds: float, *, clock: Callable[[], float] = time.perf_counter
) -> StepParts:
    r"""Time a step, its loss, and its loss with gradient in turns, and take differences of neighbours.

    .. math:: t_{backward} = med_i (g_i - f_i), \qquad t_{update} = med_i (s_i - g_i)

    with the durations :math:`f_i, g_i, s_i` of forward, gradient and step in round i. Differences within a
    round keep slow noise out. A block of calls, with one wait, lasts a tenth of a second or one call.

    Args:
        step: The whole step.
        forward: The loss alone.
        gradient: Loss and gradient.
        seconds: About how long to measure [s]; there are always three rounds.
        clock: Returns seconds; only differences are used.

    Returns:
        The durations.

    Raises:
        UnitError: ``seconds`` is not positive.

    Example:
        >>> class Nap:
        ...     def __init__(self, seconds): self.seconds = seconds
        ...     def __call__(self): time.sleep(self.seconds)
        ...     def wait(self, result): pass
        >>> parts = split_step(Nap(0.03), Nap(0.01), Nap(0.02), seconds=0.2)
        >>> 0.005 < parts.backward_s < 0.02, parts.rounds
        (True, 3)
    """
    positive("seconds", seconds, "s")
    parts = (forward, gradient, step)
    begin = clock()
    for part in parts:
        part.wait(part())
    loops = [max(1, int(_BLOCK_S / max(_block(part, 1, clock), 1e-9))) for part in parts]
    rounds = list[tuple[float, ...]]()
    while len(rounds) < _FEWEST_ROUNDS or (clock() - begin < seconds and len(rounds) < _MOST_ROUNDS):
        taken = [0.0, 0.0, 0.0]
        # Every round begins with another, so that none always follows the same.
        for place in range(3):
            index = (place + len(rounds)) % 3
            taken[index] = _block(parts[index], loops[index], clock)
        rounds.append(tuple(taken))
    backward_s, backward_notes = _difference([g - f for f, g, _ in rounds], "backward")
    update_s, update_notes = _difference([s - g for _, g, s in rounds], "update")
    return StepParts(
        forward_s=median(f for f, _, _ in rounds),
        backward_s=backward_s,
        update_s=update_s,
        step_s=median(s for _, _, s in rounds),
        rounds=len(rounds),
        notes=backward_notes + update_notes,
    )


def _block(part: Part, loops: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(loops):
        result = part()
    part.wait(result)
    return (clock() - start) / loops


def _difference(differences: list[float], name: str) -> tuple[float, tuple[str, ...]]:
    """Return the median, or 0 and why where it is negative."""
    found = median(differences)
    if found >= 0:
        return found, ()
    return 0.0, (
        f"{name}: the difference was -{show_seconds(-found)}, lost in noise or in what compilers fuse; set to 0 s.",
    )
