"""One estimate with its formula and the numbers put in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy.printing.str import StrPrinter

from speedup.closed_forms import exchange_formulas, run_formula, symbol_values
from speedup.errors import PlanError
from speedup.estimates import estimate_plan, worker_counts
from speedup.formulas import QUANTITIES, check_method, latex, symbols
from speedup.kinds import check_plan_words
from speedup.phases import course_of
from speedup.plans import PlacementRule, Plan, Schedule, ServerKind, UpdateMode
from speedup.tables import Family
from speedup.units import whole

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    from sympy import Expr, Symbol

    from speedup.cluster import Link, MeasuredLink
    from speedup.gradient_time import BatchTime
    from speedup.inputs import Inputs
    from speedup.payloads import Encoding
    from speedup.practice import Practice, PracticeOptions
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
        exchange: t_net [s] where the expression has it.
        numbers: Numbers of the equations of both.
    """

    estimate: Estimate
    expression: Expr
    values: dict[Symbol, float]
    inputs: Inputs
    exchange: Expr | None = None
    numbers: tuple[str, str] = ("", "")

    @property
    def substituted(self) -> str:
        """The formula with the numbers put in."""
        return str(_NumbersForSymbols(self.values).doprint(self.expression))

    @property
    def exchange_substituted(self) -> str | None:
        """That of t_net."""
        return None if self.exchange is None else str(_NumbersForSymbols(self.values).doprint(self.exchange))

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as one plain document."""
        return {
            "schema": "speedup.explanation/1",
            "inputs": self.inputs.to_dict(),
            "equation": self.estimate.equation,
            "formula": f"t_train = {self.expression}",
            "latex": f"t_{{\\mathrm{{train}}}} = {latex(self.expression)}",
            "substituted": f"t_train = {self.substituted}",
            "exchange": None if self.exchange is None else f"t_net = {self.exchange}",
            "exchange_substituted": self.exchange and f"t_net = {self.exchange_substituted}",
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
            if quantity.symbol in self.values and quantity.symbol != symbols.t_net:
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

    def _exchange_lines(self) -> list[str]:
        if self.exchange is None:
            return []
        value = self.values[symbols.t_net]
        return [
            f"  t_net   = {self.exchange}",
            f"          = {self.exchange_substituted}",
            f"          = {value:.6g} s",
            "",
        ]

    def __str__(self) -> str:
        plan = self.estimate
        schedule = "" if plan.schedule is Schedule.NONE else f", schedule {plan.schedule}"
        alone = plan.batches * plan.t_grad_s
        server = f"all-reduce, {plan.collective}" if plan.server is ServerKind.ALLREDUCE else f"{plan.server} server"
        return "\n".join(
            [
                f"{plan.mode}, {server}{schedule}: equation {plan.equation}",
                "",
                *self._notations(),
                "",
                *self._exchange_lines(),
                f"  t_train = {self.expression}",
                f"          = {self.substituted}",
                f"          = {plan.time_s:.6g} s",
                "",
                "  S = D*t_grad/t_train                                (4.23)",
                f"    = {plan.batches}*{plan.t_grad_s:.6g}/{plan.time_s:.6g} = {alone:.6g}/{plan.time_s:.6g}",
                f"    = {plan.speedup:.4f}",
                "",
                f"  efficiency = S/N = {plan.efficiency:.4f}",
                f"  iteration  = {plan.t_iter_s:.6g} s: {_breakdown(plan)}",
                f"  status     = {plan.status}",
                *(f"  warning: {warning}" for warning in self.inputs.warnings),
            ]
        )


def _breakdown(plan: Estimate) -> str:
    """Say what an iteration consists of."""
    parts = {"compute": plan.t_grad_worker_s, "straggler": plan.straggler_s, "move": plan.move_s, "wait": plan.wait_s}
    said = [f"{name} {value:.6g}" for name, value in parts.items() if value]
    return " + ".join(said) + (f" - hidden {plan.hidden_s:.6g}" if plan.hidden_s else "")


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
    method: str | None = None,
    placement: str = "equal",
    network: str | Link | MeasuredLink | None = None,
    latency_s: float = 0.0,
    up: str | Encoding | None = None,
    down: str | Encoding | None = None,
    deltas: bool = False,
    t_codec: float = 0.0,
    collective: str = "best",
    **practice: Unpack[PracticeOptions],
) -> Explanation:
    """Return the formula of one plan with the numbers put in.

    Args and errors are those of ``estimate``, for a single plan; ``schedule`` is ``mean`` for a central server and
    ``fair`` for a sharded one, ``method`` is ``thesis`` where the thesis has the plan and ``exact`` elsewhere, unless
    said otherwise. Where the profile has a sweep, t_grad in a formula of sync-split is N x t_grad(ceil(b/N)).

    Example:
        >>> explain("squeezenet", workers=8).substituted
        '128*(0.758 + 2*0.033*(8 - 1)/8)/8'
    """
    given: dict[str, Any] = {"t_grad": t_grad, "t_comm": t_comm, "t_up": t_up}
    given |= {"up": up, "down": down, "deltas": deltas, "t_codec": t_codec, **practice}
    course = course_of(profile, batches, **given, batch=batch, network=network, latency_s=latency_s)
    if len(course.parts) > 1:
        raise PlanError("explain takes one phase of a run: profile.of_phase(profile.phases[0]).")
    inputs = course.inputs
    chosen_method = ("thesis" if inputs.of_the_thesis(server) else "exact") if method is None else method
    check_method(chosen_method)
    kind, rule = _one_kind(mode, server, schedule, chosen_method, placement, collective, inputs.practice)
    plan = Plan(
        workers=whole("workers", workers),
        mode=kind.mode,
        server=kind.server,
        schedule=kind.schedule,
        placement=rule,
        collective=kind.collective,
    )
    found = estimate_plan(plan, inputs, course.batches, chosen_method)
    return explanation_of(found, inputs, chosen_method)


def explanation_of(found: Estimate, inputs: Inputs, method: str, *, centre: float = 1.0) -> Explanation:
    """Return the formula of an estimated plan with the numbers put in.

    Args:
        found: The plan with its estimate.
        inputs: The times it was estimated with.
        method: ``thesis`` or ``exact``.
        centre: The mean of t_grad by its centre, where means count.

    Raises:
        PlanError: Overlap is worked out layer by layer, for which there is no formula.
    """
    kind = Family(found.mode, found.server, found.schedule, found.collective)
    equal, counts = found.placement is PlacementRule.EQUAL, worker_counts(found.workers)
    expression, number = run_formula(kind, inputs, method, equal=equal)
    exchange, of_exchange = next(iter(exchange_formulas(kind, inputs, equal=equal)), (None, ""))
    stand_for = symbol_values(kind, inputs, counts, found.batches, found.placement, centre=centre)
    known = {symbol: float(np.squeeze(value)) for symbol, value in stand_for.items()}
    used = expression.free_symbols | (exchange.free_symbols if exchange else set())
    if exchange is not None:
        known[symbols.t_net] = float(exchange.subs(known))
    values = {one: known[one] for one in known if one in used}
    return Explanation(found, expression, values, inputs, exchange, (number, of_exchange))


def _one_kind(
    mode: str,
    server: str,
    schedule: str | None,
    method: str,
    placement: str,
    collective: str,
    practice: Practice,
) -> tuple[Family, PlacementRule]:
    chosen = schedule or (Schedule.MEAN if server == ServerKind.CENTRAL else Schedule.FAIR)
    kinds, rule = check_plan_words(mode, server, chosen, method, placement, practice=practice, collectives=collective)
    if len(kinds) != 1:
        raise PlanError("explain takes one mode, one server and one schedule.")
    return kinds[0], rule
