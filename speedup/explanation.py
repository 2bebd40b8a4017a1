"""One estimate with its formula and the numbers put in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy.printing.str import StrPrinter

from speedup.errors import PlanError
from speedup.estimates import check_plan_words, estimate_plan, extreme_shares, worker_counts
from speedup.formulas import QUANTITIES, check_method, latex, plan_formula, symbols
from speedup.formulas.symbols import D, N, f_max, f_min
from speedup.phases import course_of
from speedup.plans import PlacementRule, Plan, Schedule, UpdateMode
from speedup.units import whole

if TYPE_CHECKING:
    from pathlib import Path

    from sympy import Expr, Symbol

    from speedup.cluster import Link, MeasuredLink
    from speedup.gradient_time import BatchTime
    from speedup.inputs import Inputs
    from speedup.payloads import Encoding
    from speedup.profile import Profile
    from speedup.tables import Estimate

_IN_PLACE = "N x t_grad(ceil(b/N))"


class _NumbersForSymbols(StrPrinter):  # type: ignore[misc]  # SymPy has no types
    """Print an expression with values where its symbols stand, nothing worked out."""

    def __init__(self, values: dict[Symbol, float]) -> None:
        super().__init__()
        self._values = values

    def _print_Symbol(self, expr: Symbol) -> str:  # noqa: N802 - SymPy's name for it
        return f"{self._values[expr]:.6g}" if expr in self._values else str(expr.name)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A plan's time, step by step.

    Attributes:
        estimate: The plan and what the model says of it.
        expression: t_train [s] in the model's symbols.
        values: Value of each symbol in it; of t_grad what stands for it in this formula.
        inputs: Where t_grad and t_comm come from.
    """

    estimate: Estimate
    expression: Expr
    values: dict[Symbol, float]
    inputs: Inputs

    @property
    def substituted(self) -> str:
        """The formula with the numbers put in."""
        return str(_NumbersForSymbols(self.values).doprint(self.expression))

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as one plain document."""
        return {
            "schema": "speedup.explanation/1",
            "inputs": self.inputs.to_dict(),
            "equation": self.estimate.equation,
            "formula": f"t_train = {self.expression}",
            "latex": f"t_{{\\mathrm{{train}}}} = {latex(self.expression)}",
            "substituted": f"t_train = {self.substituted}",
            "values": {symbol.name: value for symbol, value in self.values.items()},
            "part_of_a_batch": self._part_document(),
            "estimate": self.estimate.to_dict(),
        }

    def to_json(self) -> str:
        """Return the explanation as one JSON document."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    @property
    def part(self) -> BatchTime | None:
        """t_grad of one worker's part of a batch, where it takes the place of t_grad/N; else None."""
        plan = self.estimate
        return self.inputs.part(plan.workers) if plan.mode is UpdateMode.SYNC_SPLIT else None

    def _part_document(self) -> dict[str, Any] | None:
        if self.part is None:
            return None
        return {
            "batch": self.part.batch,
            "t_grad_s": self.part.median_s,
            "t_grad_provenance": str(self.part.provenance),
            "t_grad_low_s": self.part.low_s,
            "t_grad_high_s": self.part.high_s,
            "extrapolated": self.part.extrapolated,
            "t_grad_in_formula": _IN_PLACE,
        }

    def _notations(self) -> list[str]:
        transfers = (symbols.t_comm, symbols.t_up, symbols.t_down)
        origin = {symbols.t_grad: str(self.inputs.t_grad_from)}
        origin |= dict.fromkeys(transfers, str(self.inputs.t_comm_from))
        meaning = {quantity.symbol: quantity.meaning for quantity in QUANTITIES}
        if self.part is not None:
            meaning[symbols.t_grad] = f"{_IN_PLACE}, for t_grad in this formula"
            origin[symbols.t_grad] = str(self.part.provenance)
        lines = []
        for quantity in QUANTITIES:
            if quantity.symbol in self.values:
                unit = "" if quantity.unit == "1" else f" {quantity.unit}"
                source = f" ({origin[quantity.symbol]})" if quantity.symbol in origin else ""
                name = f"{quantity.symbol.name:6} = {self.values[quantity.symbol]:.6g}{unit}"
                lines.append(f"  {name:24} {meaning[quantity.symbol]}{source}")
        return [*lines, *self._part_notes()]

    def _part_notes(self) -> list[str]:
        part, plan = self.part, self.estimate
        if part is None:
            return []
        parts = f"  The largest of {plan.workers} parts of {self.inputs.batch} samples has {part.batch}: "
        times = f"t_grad({part.batch}) = {part.median_s:.6g} s ({part.provenance}), "
        whole_batch = f"t_grad({self.inputs.batch}) = {plan.t_grad_s:.6g} s ({self.inputs.t_grad_from})."
        return [parts + times + whole_batch]

    def __str__(self) -> str:
        plan = self.estimate
        schedule = "" if plan.schedule is Schedule.NONE else f", schedule {plan.schedule}"
        alone = plan.batches * plan.t_grad_s
        return "\n".join(
            [
                f"{plan.mode}, {plan.server} server{schedule}: equation {plan.equation}",
                "",
                *self._notations(),
                "",
                f"  t_train = {self.expression}",
                f"          = {self.substituted}",
                f"          = {plan.time_s:.6g} s",
                "",
                "  S = D*t_grad/t_train                                (4.23)",
                f"    = {plan.batches}*{plan.t_grad_s:.6g}/{plan.time_s:.6g} = {alone:.6g}/{plan.time_s:.6g}",
                f"    = {plan.speedup:.4f}",
                "",
                f"  efficiency = S/N = {plan.efficiency:.4f}",
                f"  status     = {plan.status}",
                *(f"  warning: {warning}" for warning in self.inputs.warnings),
            ]
        )


def explain(
    profile: Profile | str | Path | None = None,
    *,
    t_grad: float | None = None,
    t_comm: float | None = None,
    t_up: float | None = None,
    batch: int | None = None,
    workers: int = 8,
    batches: int | None = None,
    mode: str = "sync-join",
    server: str = "distributed",
    schedule: str | None = None,
    method: str = "thesis",
    placement: str = "equal",
    network: str | Link | MeasuredLink | None = None,
    latency_s: float = 0.0,
    up: str | Encoding | None = None,
    down: str | Encoding | None = None,
    deltas: bool = False,
    t_codec: float = 0.0,
) -> Explanation:
    """Return the formula of one plan with the numbers put in.

    Args and errors are those of ``estimate``, for a single plan; ``schedule`` is ``mean`` for a central server
    unless said otherwise. Where the profile has a sweep, t_grad in a formula of sync-split is N x t_grad(ceil(b/N)).

    Example:
        >>> explain("squeezenet", workers=8).substituted
        '128*(0.758 + 2*0.033*(8 - 1)/8)/8'
    """
    check_method(method)
    kinds, rule = check_plan_words(mode, server, schedule or Schedule.MEAN, method, placement)
    if len(kinds) != 1:
        raise PlanError("explain takes one mode, one server and one schedule.")
    chosen_mode, chosen_server, chosen_schedule = kinds[0]
    plan = Plan(
        workers=whole("workers", workers),
        mode=chosen_mode,
        server=chosen_server,
        schedule=chosen_schedule,
        placement=rule,
    )
    given: dict[str, Any] = {"t_grad": t_grad, "t_comm": t_comm, "t_up": t_up}
    given |= {"up": up, "down": down, "deltas": deltas, "t_codec": t_codec}
    course = course_of(profile, batches, **given, batch=batch, network=network, latency_s=latency_s)
    if len(course.parts) > 1:
        raise PlanError("explain takes one phase of a run: profile.of_phase(profile.phases[0]).")
    inputs, runs = course.inputs, course.batches
    found = estimate_plan(plan, inputs, runs, method)
    expression, _ = plan_formula(*kinds[0], method, equal=rule is PlacementRule.EQUAL, apart=inputs.apart)
    gradient = float(np.squeeze(inputs.formula_t_grad_s(plan.mode, worker_counts(workers))))
    known = {N: workers, D: runs, symbols.t_grad: gradient, symbols.t_comm: found.t_comm_s}
    known |= {symbols.t_up: inputs.t_up_s, symbols.t_down: inputs.t_down_s}
    if {f_max, f_min} & expression.free_symbols:
        largest, smallest = extreme_shares(inputs, rule, worker_counts(workers))
        known |= {f_max: float(np.squeeze(largest)), f_min: float(np.squeeze(smallest))}
    values = {symbol: value for symbol, value in known.items() if symbol in expression.free_symbols}
    return Explanation(found, expression, values, inputs)
