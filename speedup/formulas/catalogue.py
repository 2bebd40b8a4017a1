"""Every equation by its number, and the expression of t_train for every kind of plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import sympy
from sympy import Contains, Eq, Expr, Interval, Symbol, Tuple

from speedup.errors import PlanError
from speedup.formulas import (
    asynchronous,
    directions,
    efficiency,
    exact,
    exchanges,
    failures,
    queueing,
    stragglers,
    synchronous,
)
from speedup.formulas.symbols import (
    LATEX_NAMES,
    B_n,
    D,
    N,
    S,
    S_steps,
    X,
    t_comm,
    t_down,
    t_grad,
    t_iter,
    t_net,
    t_sem,
    t_train,
    t_up,
    tau,
)
from speedup.plans import (
    CENTRAL_SCHEDULES,
    THESIS_SERVERS,
    TRAINING_MODES,
    PlacementRule,
    Schedule,
    ServerKind,
    UpdateMode,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = ("thesis", "exact")
"""Methods that are formulas of constant times."""


@dataclass(frozen=True, slots=True)
class Equation:
    """One numbered equation.

    Attributes:
        id: ``4.1`` to ``7.3`` as the thesis numbers them; ``W`` for the whole-batch forms, ``P`` for those of
            unequal shares, ``U`` for those of unequal directions, ``Q`` for those of queueing, ``X`` for those of
            stragglers, ``F`` for those of failures, which are this project's; ``E`` for statistical efficiency.
        title: What it gives.
        symbol: Left-hand side.
        expression: Right-hand side; a pair of bounds for 4.10, 4.19 and 7.3.
    """

    id: str
    title: str
    symbol: Symbol
    expression: Expr | Tuple

    @property
    def statement(self) -> sympy.Basic:
        """The equation as SymPy's ``Eq``; membership in an interval for a pair of bounds."""
        if isinstance(self.expression, Tuple):
            return Contains(self.symbol, Interval(*self.expression), evaluate=False)
        return Eq(self.symbol, self.expression, evaluate=False)

    def latex(self) -> str:
        r"""Return the equation in LaTeX.

        Example:
            >>> print(CATALOGUE["7.1"].latex())
            t_{\mathrm{sem}}^{\mathrm{BEST}} = t_{\mathrm{comm}}
        """
        left = sympy.latex(self.symbol, symbol_names=_left_latex(self.symbol))
        if isinstance(self.expression, Tuple):
            low, high = (latex(bound) for bound in self.expression)
            return rf"{left} \in \left\langle {low}, {high} \right\rangle"
        return f"{left} = {latex(self.expression)}"


def _left_latex(symbol: Symbol) -> dict[Symbol, str]:
    """Typeset ``t_iter_N^BEST`` as t with the index (iter, N) and the case above."""
    if symbol in LATEX_NAMES:
        return LATEX_NAMES
    base, _, case = symbol.name.partition("^")
    letter, *index = base.split("_")
    if not index and len(letter) > 1:
        return {symbol: rf"\{letter}"}
    if not index:
        return {symbol: rf"{letter}^{{\mathrm{{{case}}}}}"}
    words = ",".join([rf"\mathrm{{{index[0]}}}", *index[1:]])
    return {symbol: f"{letter}_{{{words}}}" + (rf"^{{\mathrm{{{case}}}}}" if case else "")}


def latex(expression: Expr) -> str:
    r"""Return an expression of this model in LaTeX, with its symbols typeset as the glossary says.

    Example:
        >>> print(latex(N * t_grad))
        N t_{\mathrm{grad}}
    """
    printed = str(sympy.latex(expression, symbol_names=LATEX_NAMES))
    return printed.replace(r"\frac{\log{\left(N \right)}}{\log{\left(2 \right)}}", r"\log_{2}{N}").replace(
        r"\frac{1}{1000000000000}", "10^{-12}"
    )


def _left(name: str) -> Symbol:
    return Symbol(name, positive=True)


def _entry(number: str, title: str, symbol: Symbol | str, function: Callable[[], Expr]) -> Equation:
    return Equation(number, title, _left(symbol) if isinstance(symbol, str) else symbol, function())


def _queueing_entries() -> tuple[Equation, ...]:
    q, entry = queueing, _entry
    return (
        entry("Q.1", "throughput, one direction, M/M/1//N", X, q.throughput_one_direction),
        entry("Q.2", "throughput, central, asymptotic upper bound", "X^MAX", q.throughput_bound),
        entry("Q.3", "throughput, central, balanced-job upper bound", "X^UPPER", q.throughput_balanced_upper),
        entry("Q.4", "throughput, central, balanced-job lower bound", "X^LOWER", q.throughput_balanced_lower),
        entry("Q.5", "throughput, distributed, equal shares, out of step", X, q.throughput_distributed),
        entry("Q.6", "asynchronous run from its throughput", t_train, q.t_train_from_rate),
    )


def _straggler_entries() -> tuple[Equation, ...]:
    s, entry = stragglers, _entry
    return (
        entry("X.1", "slowest gradient, shifted exponential times", t_iter, s.t_slowest),
        entry("X.2", "slowest gradient but backup workers, shifted exponential times", t_iter, s.t_slowest_but_backup),
        entry("X.3", "synchronous run, local steps", t_train, s.t_train_local_steps),
        entry("X.4", "gradients of a whole batch each, unequal workers", t_iter, s.t_join_unequal),
        entry(
            "X.5", "gradient of one batch, unequal workers, parts in proportion to speeds", t_iter, s.t_split_unequal
        ),
        entry("X.6", "gradient of one batch, unequal workers, equal parts", t_iter, s.t_split_equal_parts),
        entry("X.7", "throughput, asynchronous, unequal workers", X, s.throughput_unequal),
        entry("X.8", "throughput, servers that work, asymptotic upper bound", "X^MAX", s.throughput_served_bound),
    )


def _entries_apart() -> tuple[Equation, ...]:
    u, entry = directions, _entry
    return (
        entry("U.1", "iteration, central, best, directions apart", "t_iter^BEST", u.t_iter_apart),
        entry("U.2", "iteration, central, mean, directions apart", t_iter, u.t_iter_apart_mean),
        entry("U.3", "asynchronous run, central, best, directions apart", "t_train^BEST", u.t_train_apart),
        entry("U.4", "asynchronous run, central, mean, directions apart", t_train, u.t_train_apart_mean),
        entry("U.5", "sync-join run, central, best, directions apart", t_train, u.t_train_join_apart),
        entry("U.6", "sync-join run, central, mean, directions apart", t_train, u.t_train_join_apart_mean),
        entry("U.7", "asynchronous run, first come first served, directions apart", t_train, u.t_train_fifo_apart),
        entry("U.8", "asynchronous run, central, mean, whole batches", t_train, u.t_train_fifo_apart_mean),
    )


def _exchange_entries() -> tuple[Equation, ...]:
    e, entry = exchanges, _entry
    return (
        entry("K.1", "exchange, sharded server, weights before gradients", t_net, e.t_sharded),
        entry("K.2", "exchange, sharded server, pipelined", t_net, e.t_pipelined),
        entry("K.3", "exchange, workers and k machines that help to sum (BytePS)", t_net, e.t_byteps),
        entry("K.4", "asynchronous run, sharded server, spread out", t_train, e.t_train_sharded),
        entry("K.5", "exchange, shards on k of the workers' machines", t_net, e.t_colocated),
        entry("K.6", "asynchronous run, sharded server, pipelined", t_train, e.t_train_pipelined),
        entry("C.1", "all-reduce, ring", t_net, e.t_ring),
        entry("C.2", "all-reduce, halving and doubling", t_net, e.t_halving_doubling),
        entry("C.3", "all-reduce, recursive doubling", t_net, e.t_recursive_doubling),
        entry("C.4", "all-reduce, double binary tree", t_net, e.t_tree),
        entry("C.5", "reduce-scatter and all-gather inside a machine", t_net, e.t_within),
        entry("C.6", "all-reduce, ring through all machines", t_net, e.t_flat_ring),
        entry("C.7", "all-reduce, hierarchical, ring between machines", t_net, e.t_hierarchical),
        entry("O.1", "iteration, wait-free backpropagation", t_iter, e.t_iter_hidden),
        entry("O.2", "iteration, overlap by its exponent", t_iter, e.t_iter_norm),
        entry("O.3", "run of exchanges, local steps, backup workers", t_train, e.t_train_exchanges),
    )


def _failure_entries() -> tuple[Equation, ...]:
    f, entry = failures, _entry
    return (
        entry("F.1", "work between checkpoints, Young", tau, f.interval_young),
        entry("F.2", "work between checkpoints, Daly", tau, f.interval_daly),
        entry("F.3", "run that any machine stops, with checkpoints", "t_wall", f.t_wall_checkpoints),
        entry("F.4", "run that any machine stops, from scratch", "t_wall", f.t_wall_from_scratch),
        entry("F.5", "asynchronous run whose workers fail and come back", "t_wall", f.t_train_missing),
        entry("F.6", "asynchronous run whose server machines stop it", "t_wall", f.t_wall_asynchronous),
        entry("F.7", "part by which failures make a run longer, first order", "epsilon", f.overhead_first_order),
    )


def _efficiency_entries() -> tuple[Equation, ...]:
    e, entry = efficiency, _entry
    return (
        entry("E.1", "updates to a target", S_steps, e.steps),
        entry("E.2", "samples to a target", "E_samples", e.examples),
        entry("E.3", "samples to a target from the updates to it", "E_samples", e.examples_of_steps),
        entry("E.4", "best learning rate of plain descent", "eta", e.learning_rate),
        entry("E.5", "worth of a sample beside one of a base batch (Pollux)", "e_stat", e.efficiency),
        entry("E.6", "steps of a base batch that a step is worth (AdaScale)", "r_gain", e.gain),
        entry("E.7", "time to a target, sync-join", "t_target", e.t_target_join),
        entry("E.8", "time to a target, sync-split", "t_target", e.t_target_split),
        entry("E.9", "time to a target, async, assumed cost of staleness", "t_target", e.t_target_async),
        entry("E.10", "noise scale from two batch sizes", B_n, e.noise_scale),
    )


def _entries() -> tuple[Equation, ...]:
    y, a, x, entry = synchronous, asynchronous, exact, _entry
    return (
        entry("4.1", "whole computation", "t_comp", y.t_comp),
        entry("4.2", "synchronous run", t_train, y.t_train_sync),
        entry("4.3", "iteration, slowest unit", t_iter, y.t_iter_slowest),
        entry("4.4", "iteration, best, last worker", "t_iter_N^BEST", y.t_iter_best_worker),
        entry("4.5", "iteration, best, server", "t_iter_ps^BEST", y.t_iter_best_server),
        entry("4.6", "iteration, central, best", "t_iter^BEST", y.t_iter_best),
        entry("4.7", "iteration, worst, worker", "t_iter_i^WORST", y.t_iter_worst_worker),
        entry("4.8", "iteration, worst, server", "t_iter_ps^WORST", y.t_iter_worst_server),
        entry("4.9", "iteration, central, worst", "t_iter^WORST", y.t_iter_worst),
        entry("4.10", "iteration, central, range", t_iter, y.t_iter_bounds),
        entry("4.11", "iteration, central, mean", t_iter, y.t_iter_mean),
        entry("4.12", "iteration, distributed, equal shares", t_iter, y.t_iter_distributed),
        entry("4.13", "asynchronous run, best, last worker", "t_train_N^BEST", a.t_train_best_worker),
        entry("4.14", "asynchronous run, best, server", "t_train_ps^BEST", a.t_train_best_server),
        entry("4.15", "asynchronous run, central, best", "t_train^BEST", a.t_train_best),
        entry("4.16", "asynchronous run, worst, worker", "t_train_i^WORST", a.t_train_worst_worker),
        entry("4.17", "asynchronous run, worst, server", "t_train_ps^WORST", a.t_train_worst_server),
        entry("4.18", "asynchronous run, central, worst", "t_train^WORST", a.t_train_worst),
        entry("4.19", "asynchronous run, central, range", t_train, a.t_train_bounds),
        entry("4.20", "asynchronous run, central, mean", t_train, a.t_train_mean),
        entry("4.21", "asynchronous run, distributed, equal shares", t_train, a.t_train_distributed),
        entry("4.22", "speedup", S, a.speedup),
        entry("4.23", "speedup over D batches on one worker", S, a.speedup_over_sequential),
        entry("7.1", "guarded transfer, empty queue", "t_sem^BEST", a.t_sem_best),
        entry("7.2", "guarded transfer, full queue", "t_sem^WORST", a.t_sem_worst),
        entry("7.3", "guarded transfer, range", t_sem, a.t_sem_bounds),
        entry("W.1", "sync-join run, central, best, whole batches", t_train, x.t_train_join_best),
        entry("W.2", "run in lockstep, central, worst, whole batches", t_train, x.t_train_lockstep),
        entry(
            "W.3",
            "asynchronous run, central, first come first served, whole batches",
            t_train,
            x.t_train_fifo,
        ),
        entry("W.4", "run, distributed, equal shares, whole batches", t_train, x.t_train_whole_rounds),
        entry(
            "W.5",
            "sync-join run, central, mean, whole batches",
            t_train,
            lambda: synchronous.halfway(x.t_train_join_best(), x.t_train_lockstep()),
        ),
        entry(
            "W.6",
            "asynchronous run, central, mean, whole batches",
            t_train,
            lambda: synchronous.halfway(x.t_train_fifo(), x.t_train_lockstep()),
        ),
        entry("P.1", "pull or push phase in units of t_comm, unequal shares", "phi", x.phase),
        entry("P.2", "iteration, distributed, unequal shares", t_iter, x.t_iter_placed),
        entry("P.3", "run, distributed, unequal shares", t_train, x.t_train_placed),
        entry("P.4", "run, distributed, unequal shares, whole batches", t_train, x.t_train_placed_whole_rounds),
    )


CATALOGUE: dict[str, Equation] = {
    equation.id: equation
    for equation in (
        *_entries(),
        *_entries_apart(),
        *_queueing_entries(),
        *_exchange_entries(),
        *_straggler_entries(),
        *_failure_entries(),
        *_efficiency_entries(),
    )
}

_ITERATION = {
    Schedule.BEST: ("4.6", synchronous.t_iter_best),
    Schedule.WORST: ("4.9", synchronous.t_iter_worst),
    Schedule.MEAN: ("4.11", synchronous.t_iter_mean),
}
_RUN = {
    ("thesis", UpdateMode.ASYNC): {"best": "4.15", "worst": "4.18", "mean": "4.20"},
    ("exact", UpdateMode.ASYNC): {"best": "W.3", "worst": "W.2", "mean": "W.6"},
    ("exact", UpdateMode.SYNC_JOIN): {"best": "W.1", "worst": "W.2", "mean": "W.5"},
}
# Where transfers go one at a time, the slower direction counts; everywhere else only the sum of both.
_APART = {
    "4.6": "U.1",
    "4.11": "U.2",
    "4.15": "U.3",
    "4.20": "U.4",
    "W.1": "U.5",
    "W.5": "U.6",
    "W.3": "U.7",
    "W.6": "U.8",
}
# Section 7.2 turns the best case into the rule: with constant times a queued semaphore IS the best order, and equal
# sharing, in which everybody stays in step, the worst (ADR 0013).
_CASE_OF = {Schedule.SEMAPHORE: Schedule.BEST, Schedule.FAIR: Schedule.WORST}


def iteration(server: ServerKind, schedule: Schedule, *, equal: bool) -> tuple[str, Callable[..., Expr]]:
    """Return number and function of an iteration with the thesis's servers."""
    if server is ServerKind.CENTRAL:
        return _ITERATION[_CASE_OF.get(schedule, schedule)]
    return ("4.12", synchronous.t_iter_distributed) if equal else ("P.2", exact.t_iter_placed)


def _distributed_run(method: str, *, equal: bool) -> str:
    if method == "thesis":
        return "4.21" if equal else "P.3"
    return "W.4" if equal else "P.4"


@cache
def plan_formula(
    mode: UpdateMode, server: ServerKind, schedule: Schedule, method: str, *, equal: bool, apart: bool = False
) -> tuple[Expr, str]:
    """Return t_train of a kind of plan [s] and the number of the equation that gives it.

    Args:
        mode: When gradients meet the weights.
        server: Where the weights live.
        schedule: How a central server's link is shared.
        method: ``thesis`` or ``exact``.
        equal: Whether the shares of a distributed server are.
        apart: Whether t_up and t_down differ; then they are in the place of t_comm.
    """
    expression, number, iterations = _plan_formula(mode, server, schedule, method, equal=equal)
    if not apart:
        return expression, number
    if number not in _APART:
        return expression.subs(t_comm, (t_up + t_down) / 2), number
    found = CATALOGUE[_APART[number]].expression
    if mode is UpdateMode.SYNC_SPLIT:
        found = found.subs(t_grad, t_grad / N)
    return iterations * found, _APART[number]


def _plan_formula(
    mode: UpdateMode, server: ServerKind, schedule: Schedule, method: str, *, equal: bool
) -> tuple[Expr, str, Expr]:
    """Return t_train [s], the number of an equation, and how often what it gives is in t_train."""
    if mode is UpdateMode.SEQUENTIAL:
        return D * t_grad, "4.23", sympy.S.One
    if mode is UpdateMode.SYNC_SPLIT:
        # D iterations are whole whatever N is, so the thesis's form is the exact one too.
        number, function = iteration(server, schedule, equal=equal)
        return synchronous.t_train_sync(D, function(t_grad=t_grad / N)), number, D
    if server is ServerKind.CENTRAL and (method, mode) in _RUN:
        number = _RUN[method, mode][_CASE_OF.get(schedule, schedule)]
        return CATALOGUE[number].expression, number, sympy.S.One
    if mode is UpdateMode.SYNC_JOIN and method == "thesis":
        number, function = iteration(server, schedule, equal=equal)
        return synchronous.t_train_sync(D / N, function()), number, D / N
    number = _distributed_run(method, equal=equal)
    return CATALOGUE[number].expression, number, sympy.S.One


def formula(
    mode: str,
    server: str,
    *,
    schedule: str | None = None,
    method: str = "thesis",
    placement: str = "equal",
    apart: bool = False,
) -> Expr:
    """Return the expression of t_train [s] in the symbols ``N D t_grad t_comm``.

    Args:
        mode: ``sync-join``, ``sync-split`` or ``async``.
        server: ``central`` or ``distributed``.
        schedule: How a central server's link is shared: ``best``, ``worst``, ``mean`` (the default) or
            ``semaphore`` or ``fair``. A distributed server has none.
        method: ``thesis`` for the formulas as printed, ``exact`` for whole batches.
        placement: ``equal`` shares of a distributed server (4.12), or any other rule, which gives the
            form in the largest and smallest share, ``f_max`` and ``f_min``.
        apart: Whether gradients and weights take unlike times, ``t_up`` and ``t_down`` in the place of ``t_comm``.

    Raises:
        PlanError: A word is unknown, or a schedule was given for a distributed server.

    Example:
        >>> formula("async", "central", schedule="worst")
        D*(2*N*t_comm + t_grad)/N
        >>> t = formula("sync-split", "central", schedule="best")
        >>> sympy.solve(t.diff(N), N)
        [sqrt(t_grad)/sqrt(t_comm)]
    """
    chosen_mode = one_of("mode", mode, TRAINING_MODES)
    chosen_server = one_of("server", server, THESIS_SERVERS)
    rule = one_of("placement", placement, PlacementRule)
    check_method(method)
    central = chosen_server is ServerKind.CENTRAL
    if schedule is not None and not central:
        raise PlanError(f'schedule = "{schedule}" belongs to a central server; a distributed one has none.')
    if rule is not PlacementRule.EQUAL and central:
        raise PlanError(f'placement = "{rule}" belongs to a distributed server; a central one holds all tensors.')
    chosen = one_of("schedule", schedule or Schedule.MEAN, CENTRAL_SCHEDULES) if central else Schedule.NONE
    equal = rule is PlacementRule.EQUAL
    return plan_formula(chosen_mode, chosen_server, chosen, method, equal=equal, apart=apart)[0]


def check_method(method: str) -> None:
    """Refuse a method that does not exist.

    Raises:
        PlanError: It does not.
    """
    if method not in METHODS:
        raise PlanError(f'method = "{method}" is unknown. Allowed: {", ".join(METHODS)}.')
