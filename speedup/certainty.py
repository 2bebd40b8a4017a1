r"""How sure a choice among plans is: how often it is the best, what a wrong choice costs, which measurement would help.

The choice is made from times that are not known exactly. With the logarithms of t_grad, t_comm, of their spreads and of
the error of the model in doubt, the score of plan i, such as its time or its cost, is

.. math:: \ln S_i = \ln f_i + \ln g + L_i(x) + e_i^g \delta_g^s z_g^s + e_i^c \delta_c^s z_c^s + \delta_i^m z_{k(i)}^m,
    \qquad x = \ln(c/g)

with :math:`L_i` its curve (``speedup.responses``), f what turns its time into its score, e the effect of the
coefficients of variation, k(i) its kind, all z standard normal. Plans are compared in the same worlds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cases import describe
from speedup.cluster import MeasuredLink
from speedup.doubts import Doubts, Source, doubts_of
from speedup.errors import PlanError, UnitError
from speedup.responses import Evaluator, Responses, log_ratio_grid
from speedup.units import show_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.phases import Course
    from speedup.tables import Estimate, EstimateTable, Floats, Integers

DRAWS = 4096
SHOWN = 30
"""Contenders that are listed at most."""
_OUTER, _INNER = 32, 96
_MOST, _MESH = 96, 257
_MANY, _COUNTS = 1200, 128
_SEED = 20_251_107
_SAME, _DIGITS = 1e-12, 10
_REACH = 4.0
_SLACK, _SPREAD_EFFECT = 0.002, 0.1
_NEGLIGIBLE, _RARE = 0.001, 0.0005
_ADVICE = {
    Source.T_GRAD: "Measure t_grad on the device that will train",
    Source.T_COMM: "Measure t_comm on your real link",
    Source.SPREAD: "Time single steps and transfers, for their spread",
    Source.MODEL: "Run a few iterations of the two best kinds of plan",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A plan that may be the best.

    Attributes:
        row: Its row in the table.
        plan: The plan with its estimate.
        probability: That no plan is better; plans that tie share it, so that those of all contenders add up to 1.
        expected_regret: By how much its score exceeds the best one's, in the mean over all worlds; relative.
        by_t_grad: Elasticity of its time: per cent for each per cent of t_grad.
        by_t_comm: Likewise of t_comm.
        by_cv_grad: Likewise of the coefficient of variation of t_grad.
        by_cv_comm: Likewise of that of t_comm.
    """

    row: int
    plan: Estimate
    probability: float
    expected_regret: float
    by_t_grad: float
    by_t_comm: float
    by_cv_grad: float
    by_cv_comm: float

    def to_dict(self) -> dict[str, Any]:
        """Return the contender as a plain dictionary."""
        names = ("probability", "expected_regret", "by_t_grad", "by_t_comm", "by_cv_grad", "by_cv_comm")
        document: dict[str, Any] = {"plan": str(self.plan.plan), "workers": self.plan.workers}
        document |= {name: str(getattr(self.plan, name)) for name in ("mode", "server", "schedule", "collective")}
        return document | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """What it would be worth to know one source of doubt exactly.

    Attributes:
        source: Which.
        doubt: Its standard deviation now, of a logarithm.
        value: By how much the expected regret would shrink, relative to the score.
        share: The same by the expected regret of the plan with the least.
        decides: The two plans that it most often decides between, or the range where they are of one kind; none where
            it decides nothing.
    """

    source: Source
    doubt: float
    value: float
    share: float
    decides: tuple[Estimate, Estimate] | None

    @property
    def sentence(self) -> str:
        """The measurement to make."""
        if self.decides is None:
            return f"{_ADVICE[self.source]}: it would hardly change the choice."
        return f"{_ADVICE[self.source]}: it decides between {_between(*self.decides)}."

    def to_dict(self) -> dict[str, Any]:
        """Return the value of information as a plain dictionary."""
        return {
            "source": str(self.source),
            "doubt": self.doubt,
            "value": self.value,
            "share": self.share,
            "decides": None if self.decides is None else [describe(plan) for plan in self.decides],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    """How sure a choice is.

    Attributes:
        probability_best: That no plan of the table is better than the choice.
        expected_regret: By how much the choice's score exceeds the best one's, in the mean over all worlds; relative.
        expected_regret_score: The same in the unit of the score.
        unit: That unit.
        choice: The chosen plan as one of the contenders.
        contenders: Plans that may be the best and the choice, the most probable first.
        candidates: Plans that were compared.
        sources: What it would be worth to know each source of doubt, the most valuable first.
        doubts: How far the numbers may be off, and what of that is assumed.
    """

    probability_best: float
    expected_regret: float
    expected_regret_score: float
    unit: str
    choice: Contender
    contenders: tuple[Contender, ...]
    candidates: int
    sources: tuple[Information, ...]
    doubts: Doubts

    @property
    def safest(self) -> Contender:
        """The contender with the least expected regret."""
        return min(self.contenders, key=lambda one: (one.expected_regret, one is not self.choice))

    @property
    def measurement(self) -> str:
        """The measurement that would help most; empty where none would change much."""
        if self.expected_regret < _NEGLIGIBLE or not self.sources or self.sources[0].decides is None:
            return ""
        return self.sources[0].sentence

    def sentences(self) -> tuple[str, ...]:
        """Say how sure the choice is, what else may be best, what to measure, and what is assumed."""
        if self.candidates == 1:
            return ("The choice is the only candidate.",)
        return tuple(filter(None, (self._sure(), self._rivals(), self._safer(), self._help(), *self._rests_on())))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as one plain dictionary."""
        return {
            "probability_best": self.probability_best,
            "expected_regret": self.expected_regret,
            "expected_regret_score": self.expected_regret_score,
            "unit": self.unit,
            "candidates": self.candidates,
            "choice": self.choice.to_dict(),
            "contenders": [one.to_dict() for one in self.contenders],
            "sources": [one.to_dict() for one in self.sources],
            "doubts": self.doubts.to_dict(),
            "sentences": list(self.sentences()),
        }

    def _sure(self) -> str:
        verb = "takes" if self.unit == "s" else "costs"
        seconds = f" ({show_seconds(self.expected_regret_score)})" if self.unit == "s" else ""
        lost = (
            f"on average it {verb} {_percent(self.expected_regret)}{seconds} more than the best would"
            if self.expected_regret >= _NEGLIGIBLE
            else f"on average it {verb} less than 0.1% more than the best would"
        )
        return f"The best of {self.candidates} plans with a probability of {_chance(self.probability_best)}; {lost}."

    def _rivals(self) -> str:
        others = [one for one in self.contenders if one is not self.choice and one.probability >= 0.01][:3]
        if not others:
            return ""
        return "Else best: " + "; ".join(f"{describe(one.plan)} ({_chance(one.probability)})" for one in others) + "."

    def _safer(self) -> str:
        safest = self.safest
        if safest is self.choice or self.expected_regret - safest.expected_regret < _NEGLIGIBLE:
            return ""
        return (
            f"Safer within these doubts: {describe(safest.plan)}, on average {_percent(safest.expected_regret)} above "
            f"the best, the choice {_percent(self.expected_regret)}."
        )

    def _help(self) -> str:
        return self.measurement or ("No measurement would change much." if self.sources else "")

    def _rests_on(self) -> list[str]:
        one = self.choice
        found = [f"For 1% more t_grad the choice takes {one.by_t_grad:.2g}% longer, for t_comm {one.by_t_comm:.2g}%."]
        if self.doubts.assumed:
            found.append("Doubts assumed: " + "; ".join(words for _, words in self.doubts.assumed) + ".")
        return found


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 1 else f"{1 + share:.2g} times"


def _chance(probability: float) -> str:
    percent = 100 * probability
    if 0 < percent < 1 or 99 < percent < 100:
        return "less than 1%" if percent < 1 else "more than 99%"
    return f"{percent:.0f}%"


def _between(one: Estimate, other: Estimate) -> str:
    """Name two plans by what differs."""
    if one.workers > other.workers:
        one, other = other, one
    if (one.mode, one.server, one.schedule) == (other.mode, other.server, other.schedule):
        same = one.workers == other.workers
        return f"two batch sizes at {one.workers} workers" if same else f"{one.workers} and {other.workers} workers"
    return f"{describe(one)} and {describe(other)}"


def certainty(
    table: EstimateTable,
    choice: int,
    *,
    factor: Floats | None = None,
    unit: str = "s",
    exact: bool = False,
    doubts: Doubts | None = None,
    course: Course | Sequence[Course] | None = None,
) -> Certainty:
    r"""Say how sure a choice among the rows of a table is.

    .. math:: P_i = P(S_i \le \min_j S_j), \qquad R_i = E\Bigl[\frac{S_i}{\min_j S_j} - 1\Bigr], \qquad
        V_s = \min_i R_i - E_s\bigl[\min_i E[R_i \mid s]\bigr]

    with :math:`V_s` what knowing source s is worth, its partial expected value of perfect information.

    Args:
        table: The plans that the choice was made among.
        choice: Row of the choice.
        factor: What each row's time is multiplied by to give the score, which is minimised; 1 if left out. For cost it
            is the price of the plan's machines by second, for a time to a target the samples needed by those seen.
        unit: Unit of the score.
        exact: Take numbers without an interval as exact; if not, a doubt is assumed for them, and named.
        doubts: How far the times may be off; what the inputs say by default.
        course: The run, where it has phases; without it, times averaged over its phases stand for it. Or one for each
            family of a table that was put together from several, such as one of each batch size.

    Returns:
        Probabilities in [0, 1], regrets as shares of the best score and in ``unit``.

    Raises:
        PlanError: There is no such row, or not one course for each family.
        UnitError: A factor is not positive, or there is not one for each row.

    Example:
        >>> from speedup import estimate
        >>> plans = {"modes": "sync-join", "servers": "central", "schedules": "mean", "workers": range(1, 17)}
        >>> table = estimate(t_grad=1.0, t_comm=0.1, **plans)
        >>> found = certainty(table, 7, factor=table.machines**0.6, unit="USD")
        >>> round(found.probability_best, 2), round(found.choice.by_t_comm, 2)
        (0.84, 0.56)
        >>> print(found.measurement)
        Measure t_comm on your real link: it decides between 5 and 8 workers.
    """
    if not -len(table) <= choice < len(table):
        raise PlanError(f"choice = {choice} is no row of a table of {len(table)} rows.")
    factors = _checked(factor, len(table))
    chosen, settled = choice % len(table), doubts or doubts_of(table.inputs, exact=exact)
    contest = _Contest.among(
        Evaluator(table, course), _without_copies(table, factors, chosen), factors, settled, chosen
    )
    scores = contest.scores(_worlds(DRAWS, contest.dimensions))
    regret = np.exp(scores - scores.min(axis=0)) - 1
    ties = scores <= scores.min(axis=0) + _SAME
    shares = (ties / ties.sum(axis=0)).mean(axis=1)
    contenders = _contenders(contest, shares, regret.mean(axis=1))
    return Certainty(
        probability_best=float(ties[0].mean()),
        expected_regret=float(regret[0].mean()),
        expected_regret_score=float((np.exp(scores[0]) - np.exp(scores.min(axis=0))).mean()),
        unit=unit,
        choice=next(one for one in contenders if one.row == chosen),
        contenders=contenders,
        candidates=len(table),
        sources=_information(contest.of_most(shares), settled) if len(table) > 1 else (),
        doubts=settled,
    )


def _checked(factor: Floats | None, rows: int) -> Floats:
    if factor is None:
        return np.ones(rows)
    found = np.asarray(factor, dtype=np.float64)
    if found.shape != (rows,):
        raise UnitError(f"factor has the shape {found.shape}; it must have one value for each of {rows} rows.")
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise UnitError(f"factor has the value {found[~(found > 0)][:1]}; each must be finite and above 0.")
    return found


def _alone(table: EstimateTable) -> NDArray[np.bool_]:
    """Return which rows are one worker that sends nothing: what was measured, without any model."""
    return np.asarray((table.workers == 1) & (table.move_s == 0))


def _without_copies(table: EstimateTable, factors: Floats, chosen: int) -> Integers:
    """Return the rows but one of those that are one worker alone under several names; the choice stays."""
    alone = np.flatnonzero(_alone(table))
    alone = np.concatenate([alone[alone == chosen], alone[alone != chosen]])
    _, firsts = np.unique(np.round(np.log(table.time_s * factors)[alone], _DIGITS), return_index=True)
    keep = np.ones(len(table), dtype=bool)
    keep[np.delete(alone, firsts)] = False
    return np.flatnonzero(keep)


def _kinds(table: EstimateTable) -> Integers:
    """Return which kind of plan each row is, as far as the model errs; -1 for one worker alone."""
    known = {family: index for index, family in enumerate(dict.fromkeys(table.families))}
    kinds = table.by_family(known.__getitem__)
    return np.where(_alone(table), -1, kinds)


@dataclass(frozen=True, slots=True)
class _Contest:
    """Plans that are compared in the same worlds, the choice first.

    Attributes:
        table: Where they are from.
        curves: Their curves.
        log_factors: Logarithms of what turns times into scores, shape (R,).
        kinds: Which error of the model each has, from 0; shape (R,).
        model: Standard deviation of that error, shape (R,).
        doubts: How far the times may be off.
    """

    table: EstimateTable
    curves: Responses
    log_factors: Floats
    kinds: Integers
    model: Floats
    doubts: Doubts

    @classmethod
    def among(cls, evaluator: Evaluator, rows: Integers, factors: Floats, doubts: Doubts, chosen: int) -> _Contest:
        """Return the plans that may be the best, and the choice."""
        table = evaluator.table
        model, kinds = _model_doubts(table, doubts), _kinds(table)
        if len(rows) > _MANY:
            rows = _thinned(evaluator, rows, np.log(table.time_s * factors), model, doubts, chosen)
        first = evaluator.responses(rows, log_ratio_grid(doubts, coarse=True))
        reach = _within_reach(first, np.log(factors[rows]), kinds[rows], model[rows], doubts)
        near = rows[reach | (rows == chosen)]
        curves = evaluator.responses(near, log_ratio_grid(doubts))
        ranked = _ranked(curves, np.log(factors[near]), kinds[near], model[near], doubts)
        order = np.concatenate([np.flatnonzero(near == chosen), ranked[near[ranked] != chosen]])
        best = evaluator.refined(curves.take(order[:_MOST]), doubts)
        _, errors = np.unique(kinds[best.rows], return_inverse=True)
        return cls(table, best, np.log(factors[best.rows]), errors, model[best.rows], doubts)

    @property
    def dimensions(self) -> int:
        """Standard normal numbers that make a world: two times, two spreads, and an error of each kind of plan."""
        return 4 + int(self.kinds.max()) + 1

    def scores(self, worlds: Floats) -> Floats:
        """Return the logarithms of the scores, shape (R, n), in worlds of shape (dimensions, n)."""
        doubts, curves = self.doubts, self.curves
        grad, comm = doubts.t_grad * worlds[0], math.log(doubts.t_comm_median) + doubts.t_comm * worlds[1]
        found = curves.at(comm - grad) + grad + self.log_factors[:, None]
        for effect, doubt, drawn in (
            (curves.by_cv_grad, doubts.cv_grad, worlds[2]),
            (curves.by_cv_comm, doubts.cv_comm, worlds[3]),
        ):
            if doubt and effect.any():
                found += (effect * doubt)[:, None] * drawn
        if self.model.any():
            found += self.model[:, None] * worlds[4 + self.kinds]
        return np.asarray(found)

    def of_most(self, probabilities: Floats) -> _Contest:
        """Return the contest of the choice and the most probable contenders."""
        order = np.argsort(-probabilities, kind="stable")
        kept = np.append(0, order[(order > 0) & (probabilities[order] > _RARE)][: SHOWN - 1])
        fewer, factors = self.curves.take(kept), self.log_factors[kept]
        return _Contest(self.table, fewer, factors, self.kinds[kept], self.model[kept], self.doubts)


def _model_doubts(table: EstimateTable, doubts: Doubts) -> Floats:
    """Return how far the model may be off for each row: more where a link is known less well, and by MVA.

    It is that of the kind of plan with most workers, because the rows of a kind err together.
    """
    inputs, of_kind = table.inputs, []
    words = np.array(table.words)[table.estimator]
    for index, kind in enumerate(table.families):
        own, found = table.family == index, doubts.model
        if found and own.any() and isinstance(inputs.link, MeasuredLink):
            more = inputs.plan_doubt(kind.mode, kind.server, int(table.workers[own].max())).model
            found = math.sqrt(max(found**2 + more**2 - inputs.doubt.model**2, found**2))
        if found and (words[own] == "mva").any():
            from speedup.estimators import MODEL_ERROR  # noqa: PLC0415 - loads what constant times do without

            found = math.hypot(found, MODEL_ERROR)
        of_kind.append(found)
    return np.where(_alone(table), 0.0, np.array(of_kind)[table.family])


def _margin(model: Floats | float, doubts: Doubts) -> float:
    """Return by how much logarithms of two scores may move apart at the same ratio, those of one kind with model 0."""
    spread = math.hypot(doubts.cv_grad, doubts.cv_comm) * _SPREAD_EFFECT
    return _REACH * math.hypot(math.sqrt(2) * float(np.max(model)), spread)


def _thinned(
    evaluator: Evaluator, rows: Integers, log_scores: Floats, model: Floats, doubts: Doubts, chosen: int
) -> Integers:
    """Return fewer rows of a large table: those that quick and slow networks leave a chance, and not all their counts.

    No time falls by more than the transfers do, and none falls as they grow; the best row of each family says what
    there is to beat.
    """
    table, grid = evaluator.table, log_ratio_grid(doubts, coarse=True)
    order = rows[np.lexsort((log_scores[rows], table.family[rows]))]
    leaders = order[np.unique(table.family[order], return_index=True)[1]]
    ends = np.unique([grid[0], 0.0, grid[-1]])
    factors = log_scores[leaders] - np.log(table.time_s[leaders])
    to_beat = _log_scores(evaluator.responses(leaders, ends), factors).min(axis=0)
    bar = float((to_beat - np.minimum(ends, 0.0)).max()) + _margin(model, doubts) + _slack(doubts)
    near, kept = rows[log_scores[rows] <= bar], [leaders, np.array([chosen])]
    for index in np.unique(table.family[near]):
        own = near[table.family[near] == index]
        own = own[np.argsort(table.workers[own], kind="stable")]
        kept.append(own[np.unique(np.linspace(0, len(own) - 1, _COUNTS).round().astype(np.int64))])
    return np.unique(np.concatenate(kept))


def _within_reach(
    curves: Responses, log_factors: Floats, kinds: Integers, model: Floats, doubts: Doubts
) -> NDArray[np.bool_]:
    """Return which rows could be the best between ratios at which all were worked out.

    Times grow with those of the transfers: between two ratios, none is shorter than at the first, and the best is not
    longer than at the second. That spares most rows of a large table the rest of their curves.
    """
    scores = _log_scores(curves, log_factors)
    bar = scores.min(axis=0) + _margin(model, doubts) + _SLACK
    later = np.append(bar[1:], bar[-1])
    reach = np.asarray((scores <= later).any(axis=1))
    # Within a kind there is no error of the model between rows.
    for index in np.unique(kinds[reach]):
        own = reach & (kinds == index)
        best = scores[own].min(axis=0) + _slack(doubts)
        reach[own] = (scores[own] <= np.append(best[1:], best[-1])).any(axis=1)
    return reach


def _log_scores(curves: Responses, log_factors: Floats) -> Floats:
    return np.asarray(curves.log_times + log_factors[:, None])


def _slack(doubts: Doubts) -> float:
    """Return how far above the best of its kind, at every ratio worked out, a row may lie and still be the best.

    Between these ratios curves bend a little; and rows of a kind wait for the slowest alike.
    """
    return 0.1 * _margin(0.0, doubts) + _SLACK


def _ranked(curves: Responses, log_factors: Floats, kinds: Integers, model: Floats, doubts: Doubts) -> Integers:
    """Return the indices of rows that may be the best, those that are so at the likeliest ratios first.

    Rows of one kind share the error of the model, so that the best of them at each ratio is certain.
    """
    scores = _log_scores(curves, log_factors)
    best = scores.min(axis=0)
    of_kind = np.stack([scores[kinds == index].min(axis=0) for index in np.unique(kinds)])
    of_kind = of_kind[np.searchsorted(np.unique(kinds), kinds)]
    gap = (scores - of_kind).min(axis=1)
    near = (gap <= _slack(doubts)) & ((scores - best).min(axis=1) <= _margin(model, doubts) + _SLACK)
    chosen = np.flatnonzero(near)
    chosen = chosen[np.argsort(gap[chosen], kind="stable")[: 8 * _MOST]]
    middle, spread = math.log(doubts.t_comm_median), max(doubts.ratio, 1e-9)
    mesh = middle + spread * np.linspace(-_REACH, _REACH, _MESH)
    found = curves.take(chosen).at(mesh) + log_factors[chosen, None]
    likely = np.exp(-0.5 * np.linspace(-_REACH, _REACH, _MESH) ** 2)
    behind = np.empty_like(found)
    for index in np.unique(kinds[chosen]):
        own = kinds[chosen] == index
        behind[own] = found[own] - found[own].min(axis=0)
    # Within a kind who wins is certain; between kinds the nearer to the best, the likelier.
    weight = (
        (behind <= _SAME) * np.exp(-(found - found.min(axis=0)) / (0.01 + _margin(model, doubts) / _REACH))
    ) @ likely
    can_win = (weight > 0) | bool(doubts.cv_grad or doubts.cv_comm)
    order = np.argsort(-weight, kind="stable")
    return np.asarray(chosen[order[can_win[order]]])


@cache
def _worlds(draws: int, dimensions: int) -> Floats:
    """Return standard normal numbers, shape (dimensions, draws): a Latin hypercube, the same in every call."""
    levels = np.array([NormalDist().inv_cdf((index + 0.5) / draws) for index in range(draws)])
    rng = np.random.default_rng([_SEED, draws])
    return np.stack([rng.permutation(levels) for _ in range(dimensions)])


def _contenders(contest: _Contest, probabilities: Floats, regrets: Floats) -> tuple[Contender, ...]:
    order = np.lexsort((regrets, -probabilities))
    order = order[(probabilities[order] > _RARE) | (order == 0)]
    order = order[np.isin(order, np.append(order[order > 0][: SHOWN - 1], 0))]
    curves, by_t_comm = contest.curves, contest.curves.by_t_comm
    return tuple(
        Contender(
            row=int(curves.rows[index]),
            plan=contest.table[int(curves.rows[index])],
            probability=float(probabilities[index]),
            expected_regret=float(regrets[index]),
            by_t_grad=float(1 - by_t_comm[index]),
            by_t_comm=float(by_t_comm[index]),
            by_cv_grad=float(curves.by_cv_grad[index]),
            by_cv_comm=float(curves.by_cv_comm[index]),
        )
        for index in order
    )


def _information(contest: _Contest, doubts: Doubts) -> tuple[Information, ...]:
    """Return what knowing each source of doubt is worth, the most valuable first."""
    columns = {
        Source.T_GRAD: [0],
        Source.T_COMM: [1],
        Source.SPREAD: [2, 3],
        Source.MODEL: list(range(4, contest.dimensions)),
    }
    found = [_known(contest, source, known) for source, known in columns.items() if doubts.of(source)]
    return tuple(sorted(found, key=lambda one: -one.value))


def _known(contest: _Contest, source: Source, known: list[int]) -> Information:
    """Return what it would be worth to know some of the numbers that make a world.

    Every level of the source meets the same draws of the others, so that a source that does not matter is worth
    nothing, and not a little by chance.
    """
    levels, others = _worlds(_OUTER, contest.dimensions)[known], _worlds(_INNER, contest.dimensions)
    worlds = np.tile(others, (1, _OUTER))
    worlds[known] = np.repeat(levels, _INNER, axis=1)
    scores = contest.scores(worlds)
    regret = (np.exp(scores - scores.min(axis=0)) - 1).reshape(-1, _OUTER, _INNER).mean(axis=2)
    now = float(regret.mean(axis=1).min())
    value = now - float(regret.min(axis=0).mean())
    # Ties go to the choice, which is first.
    decides = _apart(contest, np.argmin(regret, axis=0)) if value > _SAME else None
    return Information(
        source=source,
        doubt=contest.doubts.of(source),
        value=max(value, 0.0) if value > _SAME else 0.0,
        share=max(value, 0.0) / now if now > _SAME else 0.0,
        decides=decides,
    )


def _apart(contest: _Contest, winners: Integers) -> tuple[Estimate, Estimate] | None:
    """Return the two plans that win most often; of one kind, those at both ends of the middle 80 % of its counts."""
    wins = np.bincount(winners, minlength=len(contest.kinds))
    first, second = np.argsort(-wins, kind="stable")[:2] if len(wins) > 1 else (0, 0)
    if not wins[second] or first == second:
        return None
    if contest.kinds[first] == contest.kinds[second]:
        own = winners[contest.kinds[winners] == contest.kinds[first]]
        own = own[np.argsort(contest.table.workers[contest.curves.rows[own]], kind="stable")]
        low, high = own[len(own) // 10], own[-1 - len(own) // 10]
        first, second = (low, high) if low != high else (first, second)
    rows = contest.curves.rows
    return contest.table[int(rows[first])], contest.table[int(rows[second])]
