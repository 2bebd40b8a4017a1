"""How training is done besides its plan: machines, overlap, local steps, backup workers, unequal workers, servers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypedDict

from speedup.errors import PlanError, UnitError
from speedup.units import not_negative, positive, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speedup.cluster import Link

BACKWARD = 2 / 3
"""Share of the backward pass in t_grad where nobody measured it: it computes twice what the forward pass does."""


class OverlapKind(StrEnum):
    """How much of an exchange goes on while gradients are computed."""

    SHARE = "share"
    """A share of all that wait-free backpropagation can hide (O.1); 0 hides nothing, 1 all."""
    LAYERS = "layers"
    """Layer by layer, each tensor of the profile with a latency of its own."""
    NORM = "gamma"
    """What an exponent from runs says (O.2)."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Overlap of communication with the backward pass.

    Attributes:
        kind: How it is known.
        value: The share, in [0, 1], or the exponent, at least 1; 1 for layers.

    Example:
        >>> Overlap.of("full"), Overlap.of("gamma=2.5").value
        (Overlap(kind=<OverlapKind.SHARE: 'share'>, value=1.0), 2.5)
    """

    kind: OverlapKind = OverlapKind.SHARE
    value: float = 0.0

    def __bool__(self) -> bool:
        return self != Overlap() and (self.kind, self.value) != (OverlapKind.NORM, 1.0)

    def __str__(self) -> str:
        return {"share": f"{self.value:.0%}", "layers": "layer by layer"}.get(self.kind, f"gamma = {self.value:g}")

    @classmethod
    def of(cls, said: str | float | Overlap) -> Overlap:
        """Read an overlap: ``off``, ``full``, ``layers``, ``gamma=2.5``, or a share such as 0.5.

        Raises:
            PlanError: It is none of these.
            UnitError: The share is outside [0, 1], or the exponent below 1.
        """
        if isinstance(said, Overlap):
            return said
        if isinstance(said, str) and said in _WORDS:
            return _WORDS[said]
        text = str(said)
        is_norm = text.startswith("gamma=")
        try:
            value = float(text.removeprefix("gamma="))
        except ValueError:
            raise PlanError(
                f'overlap = "{said}" is unknown. Allowed: off, full, layers, a share from 0 to 1, or an exponent such '
                "as gamma=2.5."
            ) from None
        if is_norm:
            if not 1 <= value < float("inf"):
                raise UnitError(f"overlap gamma = {value:g}; it must be at least 1, which hides nothing.")
            return cls(OverlapKind.NORM, value)
        if not 0 <= value <= 1:
            raise UnitError(f"overlap = {value:g}; it must be from 0, nothing hidden, to 1, all that can be.")
        return cls(OverlapKind.SHARE, value)


_WORDS = {
    "off": Overlap(),
    "full": Overlap(OverlapKind.SHARE, 1.0),
    "layers": Overlap(OverlapKind.LAYERS, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """What is done besides the plan; the default is what the thesis does.

    Attributes:
        overlap: Of communication with the backward pass.
        per_machine: Accelerators of a machine, r, which share its link.
        t_intra_s: All gradients once over a link inside a machine [s].
        latency_intra_s: Latency of a message there [s].
        local_steps: Steps of every worker between two exchanges, H.
        backup: Workers whose gradients are not waited for, B.
        shards: Machines that hold a shard each, k; None for as many as workers.
        speeds: Of each worker, in the order in which they are taken; 1 is that of one with t_grad. Empty if all are.
        staleness: Iterations that an asynchronous worker may be ahead of the slowest; None for any number.
        t_serve_s: What one server works for one gradient of all weights [s]; k servers work k times as fast.
        t_update_s: What it works once an iteration [s]; out of step once a gradient.
        backward_s: Backward pass of each tensor's layer, in the profile's order, for overlap layer by layer [s]; all
            alike if empty.

    Raises:
        UnitError: A number is out of its range.
    """

    overlap: Overlap = Overlap()
    per_machine: int = 1
    t_intra_s: float = 0.0
    latency_intra_s: float = 0.0
    local_steps: int = 1
    backup: int = 0
    shards: int | None = None
    speeds: tuple[float, ...] = ()
    staleness: int | None = None
    t_serve_s: float = 0.0
    t_update_s: float = 0.0
    backward_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        whole("per_machine", self.per_machine)
        whole("local_steps", self.local_steps)
        whole("backup", self.backup, minimum=0)
        not_negative("t_intra", self.t_intra_s, "s")
        not_negative("latency_intra", self.latency_intra_s, "s")
        not_negative("t_serve", self.t_serve_s, "s")
        not_negative("t_update", self.t_update_s, "s")
        if self.shards is not None:
            whole("shards", self.shards)
        if self.staleness is not None:
            whole("staleness", self.staleness, minimum=0)
        for index, speed in enumerate(self.speeds):
            positive(f"speeds[{index}]", speed, "", advice="1 is a worker for which t_grad holds, 2 one twice as fast.")
        for index, time_s in enumerate(self.backward_s):
            not_negative(f"backward[{index}]", time_s, "s")
        if self.backward_s:
            positive("the sum of backward", sum(self.backward_s), "s")
        if self.backward_s and self.overlap.kind is not OverlapKind.LAYERS:
            raise PlanError('backward was given, which overlap="layers" alone makes use of.')
        if self.speeds and self.backup:
            raise PlanError("speeds and backup were both given; backup workers are known for equal workers alone.")

    @property
    def in_step(self) -> bool:
        """Whether something is done that only iterations have which all workers take part in."""
        return bool(self.overlap) or self.per_machine > 1 or self.local_steps > 1 or self.backup > 0

    @property
    def usual(self) -> bool:
        """Whether it is what the thesis does: equal workers, an exchange a step, hiding nothing, servers at no cost."""
        alike = not self.speeds and self.staleness is None
        return alike and not self.in_step and not self.t_serve_s and not self.t_update_s

    def to_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary."""
        return {
            "overlap": str(self.overlap),
            "per_machine": self.per_machine,
            "t_intra_s": self.t_intra_s,
            "latency_intra_s": self.latency_intra_s,
            "local_steps": self.local_steps,
            "backup": self.backup,
            "shards": self.shards,
            "speeds": list(self.speeds),
            "staleness": self.staleness,
            "t_serve_s": self.t_serve_s,
            "t_update_s": self.t_update_s,
            "backward_s": list(self.backward_s),
        }


USUAL = Practice()
"""What the thesis does."""


class PracticeOptions(TypedDict, total=False):
    """The options by which a question of the model says how training is done.

    Attributes:
        overlap: What is sent while gradients are computed: ``off``; ``full`` or a share such as 0.5 of it by wait-free
            backpropagation (O.1); ``layers`` with the profile's tensors; ``gamma=2`` for an exponent from runs (O.2).
        per_machine: Accelerators of a machine, which share its link; they are the workers.
        intra: Bandwidth inside a machine, a ``Link``, or what all gradients take there [s]; no time if left out.
        local_steps: Steps between two exchanges, H.
        backup: Workers whose gradients an iteration does not wait for, B.
        shards: Machines that hold a shard each, k; as many as workers if left out.
        speeds: Of each worker, in the order in which they are taken; 1 is that of one with t_grad.
        staleness: Iterations that an asynchronous worker may be ahead of the slowest; any number if left out.
        t_serve: What one server works for one gradient of all weights [s].
        t_update: What it works once an iteration [s].
        backward: Backward pass of each tensor's layer, in the profile's order, for ``overlap="layers"`` [s]; their sum
            replaces the share of the backward pass in t_grad. All layers alike if left out.
    """

    overlap: str | float | Overlap
    per_machine: int
    intra: str | Link | float | None
    local_steps: int
    backup: int
    shards: int | None
    speeds: Sequence[float]
    staleness: int | None
    t_serve: float
    t_update: float
    backward: Sequence[float]
