r"""How sure a choice among plans is: how often it is the best, what a wrong choice costs, which measurement would help.

The choice is made from numbers that are not known exactly. Plans are compared in the same worlds, in which all of them
are drawn (``speedup.contest``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cases import describe
from speedup.contest import RARE, SAME, SHOWN, Contest, Scoring, Target, normal_worlds
from speedup.doubts import Doubts, Source, doubts_of
from speedup.errors import PlanError, UnitError
from speedup.phases import Part
from speedup.rivals import Rivals
from speedup.units import show_seconds

if TYPE_CHECKING:
    from speedup.efficiency import NoiseScale
    from speedup.phases import Course
    from speedup.tables import Estimate, EstimateTable, Floats, Integers

__all__ = ["Certainty", "Contender", "Information", "Target", "certainty"]

DRAWS = 4096
_OUTER, _INNER = 32, 96
_NEGLIGIBLE = 0.001
_ADVICE = {
    Source.T_GRAD: "Measure t_grad on the device that will train",
    Source.T_COMM: "Measure t_comm on your real link",
    Source.SPREAD: "Time single steps and transfers, for their spread",
    Source.MODEL: "Run a few iterations of the two best kinds of plan",
    Source.NOISE_SCALE: "Measure the gradient noise scale in training",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A plan that may be the best.

    Attributes:
        row: Its row in the table; where there are several, counted through all.
        plan: The plan with its estimate.
        batch: Samples of a batch of one worker, where several batch sizes were compared.
        probability: That no plan is better; plans that tie share it, so that those of all contenders add up to 1.
        expected_regret: By how much its score exceeds the best one's, in the mean over all worlds; relative.
        by_t_grad: Elasticity of its time: per cent for each per cent of t_grad.
        by_t_comm: Likewise of t_comm.
        by_cv_grad: Likewise of the coefficient of variation of t_grad.
        by_cv_comm: Likewise of that of t_comm.
    """

    row: int
    plan: Estimate
    batch: int | None
    probability: float
    expected_regret: float
    by_t_grad: float
    by_t_comm: float
    by_cv_grad: float
    by_cv_comm: float

    @property
    def name(self) -> str:
        """The plan in words."""
        return _named(self.plan, self.batch)

    def to_dict(self) -> dict[str, Any]:
        """Return the contender as a plain dictionary."""
        names = ("probability", "expected_regret", "by_t_grad", "by_t_comm", "by_cv_grad", "by_cv_comm")
        document: dict[str, Any] = {"plan": str(self.plan.plan), "workers": self.plan.workers, "batch": self.batch}
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
        batches: Their batch sizes, where several were compared.
    """

    source: Source
    doubt: float
    value: float
    share: float
    decides: tuple[Estimate, Estimate] | None
    batches: tuple[int | None, int | None] = (None, None)

    @property
    def sentence(self) -> str:
        """The measurement to make."""
        if self.decides is None:
            return f"{_ADVICE[self.source]}: it would hardly change the choice."
        return f"{_ADVICE[self.source]}: it decides between {_between(self.decides, self.batches)}."

    def to_dict(self) -> dict[str, Any]:
        """Return the value of information as a plain dictionary."""
        return {
            "source": str(self.source),
            "doubt": self.doubt,
            "value": self.value,
            "share": self.share,
            "decides": None if self.decides is None else list(map(_named, self.decides, self.batches)),
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
        return "Else best: " + "; ".join(f"{one.name} ({_chance(one.probability)})" for one in others) + "."

    def _safer(self) -> str:
        safest = self.safest
        if safest is self.choice or self.expected_regret - safest.expected_regret < _NEGLIGIBLE:
            return ""
        return (
            f"Safer within these doubts: {safest.name}, on average {_percent(safest.expected_regret)} above "
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


def _named(plan: Estimate, batch: int | None) -> str:
    return describe(plan) + ("" if batch is None else f" with batches of {batch}")


def _between(plans: tuple[Estimate, Estimate], batches: tuple[int | None, int | None]) -> str:
    """Name two plans by what differs."""
    one, other = sorted(zip(plans, batches, strict=True), key=lambda found: (found[0].workers, found[1] or 0))
    if (one[0].mode, one[0].server, one[0].schedule) != (other[0].mode, other[0].server, other[0].schedule):
        return f"{_named(*one)} and {_named(*other)}"
    if one[1] == other[1]:
        return f"{one[0].workers} and {other[0].workers} workers"
    workers = f"{one[0].workers} worker{'s' if one[0].workers != 1 else ''}"
    if one[0].workers == other[0].workers:
        return f"batches of {one[1]} and of {other[1]} at {workers}"
    return f"{workers} with batches of {one[1]} and {other[0].workers} with batches of {other[1]}"


def certainty(
    table: EstimateTable | Sequence[EstimateTable],
    choice: int,
    *,
    factor: Floats | None = None,
    unit: str = "s",
    exact: bool = False,
    doubts: Doubts | None = None,
    course: Course | Sequence[Course] | None = None,
    target: Target | None = None,
    noise_scale: NoiseScale | None = None,
) -> Certainty:
    r"""Say how sure a choice among the rows of a table is.

    .. math:: P_i = P(S_i \le \min_j S_j), \qquad R_i = E\Bigl[\frac{S_i}{\min_j S_j} - 1\Bigr], \qquad
        V_s = \min_i R_i - E_s\bigl[\min_i E[R_i \mid s]\bigr]

    with :math:`V_s` what knowing source s is worth, its partial expected value of perfect information.

    Args:
        table: The plans that the choice was made among; of several batch sizes a table of each.
        choice: Row of the choice; where there are several tables, counted through all.
        factor: What each row's time is multiplied by to give the score, which is minimised; 1 if left out. For cost it
            is the price of the plan's machines by second, for a time to a target the samples needed by those seen.
        unit: Unit of the score.
        exact: Take numbers without an interval as exact; if not, a doubt is assumed for them, and named.
        doubts: How far the numbers may be off; what the inputs and the noise scale say by default.
        course: The run, where it has phases; without it, times averaged over its phases stand for it. Where there are
            several tables, one of each.
        target: What of the scores depends on the noise scale, where a target counts; without it, nothing does.
        noise_scale: The noise scale, whose interval says how far it may be off.

    Returns:
        Probabilities in [0, 1], regrets as shares of the best score and in ``unit``.

    Raises:
        PlanError: There is no such row, or not one course for each table.
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
    rivals = _rivals(table, course)
    if not -len(rivals) <= choice < len(rivals):
        raise PlanError(f"choice = {choice} is no row of a table of {len(rivals)} rows.")
    factors, chosen = _checked(factor, len(rivals)), choice % len(rivals)
    settled = doubts or doubts_of(rivals.inputs, exact=exact, noise_scale=noise_scale)
    contest = Contest.among(Scoring.of(rivals, factors, settled, chosen, target))
    scores = contest.scores(normal_worlds(DRAWS, contest.dimensions))
    regret = np.exp(scores - scores.min(axis=0)) - 1
    ties = scores <= scores.min(axis=0) + SAME
    shares = (ties / ties.sum(axis=0)).mean(axis=1)
    contenders = _contenders(contest, shares, regret.mean(axis=1))
    return Certainty(
        probability_best=float(ties[0].mean()),
        expected_regret=float(regret[0].mean()),
        expected_regret_score=float((np.exp(scores[0]) - np.exp(scores.min(axis=0))).mean()),
        unit=unit,
        choice=next(one for one in contenders if one.row == chosen),
        contenders=contenders,
        candidates=len(rivals),
        sources=_information(contest.of_most(shares), settled) if len(rivals) > 1 else (),
        doubts=settled,
    )


def _rivals(table: EstimateTable | Sequence[EstimateTable], course: Course | Sequence[Course] | None) -> Rivals:
    tables = tuple(table) if isinstance(table, Sequence) else (table,)
    if course is None:
        return Rivals(tables, tuple((Part("", one.inputs, one.batches),) for one in tables))
    courses = tuple(course) if isinstance(course, Sequence) else (course,)
    if len(courses) != len(tables):
        raise PlanError(f"{len(courses)} courses for {len(tables)} tables; give one for each.")
    return Rivals(tables, tuple(one.parts for one in courses))


def _checked(factor: Floats | None, rows: int) -> Floats:
    if factor is None:
        return np.ones(rows)
    found = np.asarray(factor, dtype=np.float64)
    if found.shape != (rows,):
        raise UnitError(f"factor has the shape {found.shape}; it must have one value for each of {rows} rows.")
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise UnitError(
            f"factor has the value {found[~(np.isfinite(found) & (found > 0))][0]}; each must be finite and above 0."
        )
    return found


def _contenders(contest: Contest, probabilities: Floats, regrets: Floats) -> tuple[Contender, ...]:
    order = np.lexsort((regrets, -probabilities))
    order = order[(probabilities[order] > RARE) | (order == 0)]
    order = order[np.isin(order, np.append(order[order > 0][: SHOWN - 1], 0))]
    curves, by_t_comm, rivals = contest.curves, contest.curves.by_t_comm, contest.scoring.rivals
    return tuple(
        Contender(
            row=int(curves.rows[index]),
            plan=rivals[int(curves.rows[index])],
            batch=rivals.batch(int(curves.rows[index])),
            probability=float(probabilities[index]),
            expected_regret=float(regrets[index]),
            by_t_grad=float(1 - by_t_comm[index]),
            by_t_comm=float(by_t_comm[index]),
            by_cv_grad=float(curves.by_cv_grad[index]),
            by_cv_comm=float(curves.by_cv_comm[index]),
        )
        for index in order
    )


def _information(contest: Contest, doubts: Doubts) -> tuple[Information, ...]:
    """Return what knowing each source of doubt is worth, the most valuable first."""
    found = [_known(contest, source, known) for source, known in contest.columns.items() if doubts.of(source)]
    return tuple(sorted(found, key=lambda one: -one.value))


def _known(contest: Contest, source: Source, known: list[int]) -> Information:
    """Return what it would be worth to know some of the numbers that make a world.

    Every level of the source meets the same draws of the others, so that a source that does not matter is worth
    nothing, and not a little by chance.
    """
    levels, others = normal_worlds(_OUTER, contest.dimensions)[known], normal_worlds(_INNER, contest.dimensions)
    worlds = np.tile(others, (1, _OUTER))
    worlds[known] = np.repeat(levels, _INNER, axis=1)
    scores = contest.scores(worlds)
    regret = (np.exp(scores - scores.min(axis=0)) - 1).reshape(-1, _OUTER, _INNER).mean(axis=2)
    now = float(regret.mean(axis=1).min())
    value = now - float(regret.min(axis=0).mean())
    # Ties go to the choice, which is first.
    apart = _apart(contest, np.argmin(regret, axis=0)) if value > SAME else None
    rivals = contest.scoring.rivals
    return Information(
        source=source,
        doubt=contest.scoring.doubts.of(source),
        value=max(value, 0.0) if value > SAME else 0.0,
        share=max(value, 0.0) / now if now > SAME else 0.0,
        decides=None if apart is None else (rivals[apart[0]], rivals[apart[1]]),
        batches=(None, None) if apart is None else (rivals.batch(apart[0]), rivals.batch(apart[1])),
    )


def _apart(contest: Contest, winners: Integers) -> tuple[int, int] | None:
    """Return the rows that win most often; of one kind and batch, those at both ends of the middle 80 % of its counts.

    None where one wins always.
    """
    wins, rows, rivals = np.bincount(winners, minlength=len(contest.kinds)), contest.curves.rows, contest.scoring.rivals
    first, second = np.argsort(-wins, kind="stable")[:2] if len(wins) > 1 else (0, 0)
    if not wins[second] or first == second:
        return None
    classes = contest.scoring.classes(rows)
    if classes[first] == classes[second]:
        own = winners[classes[winners] == classes[first]]
        own = own[np.argsort(rivals.workers[rows[own]], kind="stable")]
        low, high = own[len(own) // 10], own[-1 - len(own) // 10]
        first, second = (low, high) if low != high else (first, second)
    return int(rows[first]), int(rows[second])
