"""What a distributed run measured: the columns of an estimate, from real processes over a real wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from speedup.plans import PlacementRule, Plan, Schedule, ServerKind, UpdateMode
from speedup.units import show_bytes, show_seconds

_PLAIN = ("batches", "t_grad_s", "payload_bytes", "compute", "wire", "engine", "sent_bytes", "counted_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One distributed run.

    Attributes:
        plan: Who computed what, and where the weights lived.
        batches: Batches of the run, D.
        time_s: From the first transfer to the last update, warm [s].
        t_grad_s: Mean time that a worker computed, or waited in place of computing, for its part of a batch [s].
        payload_bytes: All weights, or all gradients.
        compute: ``real``, or ``emulated`` where workers waited instead.
        wire: What carried the messages, and whether that is emulated.
        engine: What sent them.
        sent_bytes: What all processes handed to the network.
        counted_bytes: What their network interfaces sent in that time; None where they could not be told apart.
        losses: Loss before each update, where it is real.
        timeline: Receive, compute, send and wait of every worker, one row a stage.
        warnings: What to mind.
        lost: Ranks that were lost on the way.
        facts: Anything else worth keeping, such as an accuracy.
    """

    plan: Plan
    batches: int
    time_s: float
    t_grad_s: float
    payload_bytes: int
    compute: str
    wire: str
    engine: str
    sent_bytes: int
    counted_bytes: int | None
    losses: tuple[float, ...] = ()
    timeline: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    lost: tuple[int, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def throughput(self) -> float:
        """Batches per second."""
        return self.batches / self.time_s

    def shares(self) -> dict[str, float]:
        """Return the share of the workers' time that each stage took."""
        spent: dict[str, float] = {}
        for row in self.timeline:
            spent[row["stage"]] = spent.get(row["stage"], 0.0) + row["end_s"] - row["start_s"]
        total = sum(spent.values())
        return {stage: seconds / total for stage, seconds in spent.items()} if total else {}

    def to_dict(self) -> dict[str, Any]:
        """Return the run as a plain document."""
        plan = self.plan
        return {
            "schema": "speedup.measured/1",
            "workers": plan.workers,
            "mode": str(plan.mode),
            "server": str(plan.server),
            "schedule": str(plan.schedule),
            "placement": str(plan.placement),
            "servers": plan.servers,
            "batches": self.batches,
            "measured_s": self.time_s,
            "batches_per_s": self.throughput,
            "t_grad_s": self.t_grad_s,
            "payload_bytes": self.payload_bytes,
            "compute": self.compute,
            "wire": self.wire,
            "engine": self.engine,
            "sent_bytes": self.sent_bytes,
            "counted_bytes": self.counted_bytes,
            "shares": self.shares(),
            "lost": list(self.lost),
            "warnings": list(self.warnings),
            "losses": list(self.losses),
            "timeline": list(self.timeline),
            **self.facts,
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Measured:
        """Return the run of a document that ``to_dict`` made.

        Raises:
            KeyError: Something is missing.
        """
        left = {name: value for name, value in document.items() if name not in {"schema", "batches_per_s", "shares"}}
        plan = Plan(
            workers=left.pop("workers"),
            mode=UpdateMode(left.pop("mode")),
            server=ServerKind(left.pop("server")),
            schedule=Schedule(left.pop("schedule")),
            placement=PlacementRule(left.pop("placement")),
            servers=left.pop("servers"),
        )
        fields: dict[str, Any] = {name: left.pop(name) for name in _PLAIN}
        fields |= {name: tuple(left.pop(name)) for name in ("losses", "timeline", "warnings", "lost")}
        return cls(plan=plan, time_s=left.pop("measured_s"), facts=left, **fields)

    def to_json(self) -> str:
        """Return the run as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        plan = self.plan
        words = [str(plan.mode), f"{plan.server} server" if str(plan.server) != "allreduce" else "all-reduce"]
        if str(plan.schedule) != "none":
            words.append(str(plan.schedule))
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in sorted(self.shares().items()))
        counted = "not counted" if self.counted_bytes is None else f"{show_bytes(self.counted_bytes)} on the interfaces"
        lines = [
            f"{', '.join(words)}: {plan.workers} worker{'s' * (plan.workers > 1)}, {self.batches} batches",
            f"     t_train  {show_seconds(self.time_s)}",
            f"  throughput  {self.throughput:.4g} batches/s",
            f"     compute  {self.compute}, {show_seconds(self.t_grad_s)} for a worker's part",
            f"     workers  {shares}",
            f"        wire  {self.wire}, {self.engine}",
            f"       bytes  {show_bytes(self.sent_bytes)} sent, {counted}",
        ]
        if self.losses:
            lines.append(f"        loss  {self.losses[0]:.4g}, then {self.losses[-1]:.4g}")
        lines += [f"{name:>12}  {value}" for name, value in self.facts.items()]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])
