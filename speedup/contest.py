r"""Plans compared in the same worlds, and which of many can win in any of them.

In a world all numbers in doubt are drawn once. With batch size s(i) and kind k(i), the logarithm of the score of plan
i is

.. math:: \ln S_i = \ln f_i + \gamma_{s(i)} + L_i(\kappa - \gamma_{s(i)}) + v_i + \mu_{k(i)} + \beta_i(B_n), \qquad
    \gamma_s = \delta_g z_g + \delta_s z_{g(s)}, \quad \kappa = \ln m_c + \delta_c z_c

with :math:`L_i` its curve (``speedup.responses``), f what turns its time into its score, v the effects of the
coefficients of variation, :math:`\mu` the error of its kind's model, and :math:`\beta` what another noise scale changes
of the samples it needs. All z are standard normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from speedup.cluster import MeasuredLink
from speedup.doubts import Source
from speedup.responses import Evaluator, Responses, log_ratio_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.doubts import Doubts
    from speedup.rivals import Rivals
    from speedup.tables import EstimateTable, Floats, Integers

SHOWN = 30
"""Contenders that are listed at most."""
RARE = 0.0005
"""Probability from which on a plan is a contender."""
SAME = 1e-12
_MOST, _MESH = 96, 257
_MANY, _COUNTS, _FEWEST_COUNTS = 1200, 128, 8
_SEED = 20_251_107
_DIGITS = 10
_REACH = 4.0
_SLACK, _SPREAD_EFFECT = 0.002, 0.1
_NOISE_LEVELS = 9
_GRAD, _COMM, _CV_GRAD, _CV_COMM, _NOISE, _FIRST = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    r"""What of a score depends on the gradient noise scale: :math:`(B_n + M_i) / (B_n + b_0)` times the samples.

    Attributes:
        noise_scale: :math:`B_n` as stated [samples].
        samples: :math:`M_i`, samples that an update of each row is worth.
        reference: :math:`b_0`, those of the run on one worker.
    """

    noise_scale: float
    samples: Floats
    reference: float

    def log_change(self, rows: Integers, log_noise: Floats) -> Floats:
        """Return the change of the logarithm of a score by that of the noise scale, shape (R, n)."""
        base, samples = self.noise_scale, self.samples[rows, None]
        drawn = base * np.exp(log_noise)
        change = np.log((drawn + samples) / (drawn + self.reference))
        return np.asarray(change - np.log((base + samples) / (base + self.reference)))


@dataclass(frozen=True, slots=True, eq=False)
class Scoring:
    """What makes scores of times, one a row of all rivals.

    Attributes:
        rivals: The plans.
        factors: What turns times into scores.
        doubts: How far the numbers may be off.
        chosen: Row of the choice.
        model: Standard deviation of the error of a row's kind of plan.
        target: What depends on the noise scale; None where nothing does.
    """

    rivals: Rivals
    factors: Floats
    doubts: Doubts
    chosen: int
    model: Floats
    target: Target | None = None

    @classmethod
    def of(cls, rivals: Rivals, factors: Floats, doubts: Doubts, chosen: int, target: Target | None) -> Scoring:
        """Return the scoring of plans."""
        by_table = [_model_doubts(table, doubts) for table in rivals.tables]
        return cls(rivals, factors, doubts, chosen, np.where(rivals.alone, 0.0, np.concatenate(by_table)), target)

    @property
    def log_scores(self) -> Floats:
        """Logarithms of the scores at what is stated."""
        return np.asarray(np.log(self.rivals.time_s * self.factors))

    @property
    def log_noises(self) -> Floats:
        """Changes of the logarithm of the noise scale at which rows are compared."""
        if self.target is None or not self.doubts.noise_scale:
            return np.zeros(1)
        return self.doubts.noise_scale * np.linspace(-_REACH, _REACH, _NOISE_LEVELS)

    def changes(self, rows: Integers, log_noise: Floats) -> Floats:
        """Return what other noise scales change of the logarithms of scores, shape (R, n)."""
        return np.zeros((len(rows), len(log_noise))) if self.target is None else self.target.log_change(rows, log_noise)

    def across(self, rows: Integers, log_times: Floats) -> Floats:
        """Return logarithms of scores at ratios and noise scales, shape (R, noise scales, ratios)."""
        changes = self.changes(rows, self.log_noises) + np.log(self.factors[rows])[:, None]
        return np.asarray(log_times[:, None, :] + changes[:, :, None])

    def classes(self, rows: Integers) -> Integers:
        """Return which rows err together but for the ratio and the noise scale: of one kind and batch size."""
        return self.rivals.kinds[rows] * len(self.rivals.tables) + self.rivals.size[rows]

    def margin(self, rows: Integers) -> float:
        """Return by how much logarithms of two scores may move apart at the same ratio and noise scale."""
        own = math.sqrt(2) * math.hypot(float(np.max(self.model[rows], initial=0.0)), self.doubts.own)
        return _REACH * math.hypot(own, self._spread)

    @property
    def slack(self) -> float:
        """How far above the best of its class, wherever worked out, a row may lie and still be the best.

        Between these places curves bend a little; and rows of a kind wait for the slowest alike.
        """
        return 0.1 * _REACH * self._spread + _SLACK

    @property
    def _spread(self) -> float:
        return math.hypot(self.doubts.cv_grad, self.doubts.cv_comm) * _SPREAD_EFFECT


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
    return np.array(of_kind)[table.family]


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Plans that are compared in the same worlds, the choice first.

    Attributes:
        scoring: What makes scores of times.
        curves: The plans' curves.
        kinds: Which error of the model each has, from 0; shape (R,).
    """

    scoring: Scoring
    curves: Responses
    kinds: Integers

    @classmethod
    def among(cls, scoring: Scoring) -> Contest:
        """Return the plans that may be the best, and the choice."""
        evaluator, doubts, chosen = Evaluator(scoring.rivals), scoring.doubts, scoring.chosen
        rows = _without_copies(scoring)
        if len(rows) > _MANY:
            rows = _thinned(evaluator, rows, scoring)
        first = evaluator.responses(rows, log_ratio_grid(doubts, coarse=True))
        near = rows[_within_reach(first, scoring) | (rows == chosen)]
        curves = evaluator.responses(near, log_ratio_grid(doubts))
        ranked = _ranked(curves, scoring)
        order = np.concatenate([np.flatnonzero(near == chosen), ranked[near[ranked] != chosen]])
        best = evaluator.refined(curves.take(order[:_MOST]), doubts)
        _, errors = np.unique(scoring.rivals.kinds[best.rows], return_inverse=True)
        return cls(scoring, best, errors)

    @property
    def _groups(self) -> int:
        return 1 + max((one.group for one in self.scoring.doubts.by_size), default=-1)

    @property
    def dimensions(self) -> int:
        """Standard normal numbers that make a world."""
        return _FIRST + self._groups + int(self.kinds.max()) + 1

    @property
    def columns(self) -> dict[Source, list[int]]:
        """Which of them belong to a source of doubt."""
        kinds = _FIRST + self._groups
        return {
            Source.T_GRAD: [_GRAD, *range(_FIRST, kinds)],
            Source.T_COMM: [_COMM],
            Source.SPREAD: [_CV_GRAD, _CV_COMM],
            Source.MODEL: list(range(kinds, self.dimensions)),
            Source.NOISE_SCALE: [_NOISE],
        }

    def scores(self, worlds: Floats) -> Floats:
        """Return the logarithms of the scores, shape (R, n), in worlds of shape (dimensions, n)."""
        doubts, curves, rows = self.scoring.doubts, self.curves, self.curves.rows
        found = self._log_times(worlds) + np.log(self.scoring.factors[rows])[:, None]
        for effect, doubt, drawn in (
            (curves.by_cv_grad, doubts.cv_grad, worlds[_CV_GRAD]),
            (curves.by_cv_comm, doubts.cv_comm, worlds[_CV_COMM]),
        ):
            if doubt and effect.any():
                found += (effect * doubt)[:, None] * drawn
        if doubts.noise_scale and self.scoring.target is not None:
            found += self.scoring.changes(rows, doubts.noise_scale * worlds[_NOISE])
        model = self.scoring.model[rows]
        if model.any():
            found += model[:, None] * worlds[_FIRST + self._groups + self.kinds]
        return np.asarray(found)

    def _log_times(self, worlds: Floats) -> Floats:
        doubts, sizes = self.scoring.doubts, self.scoring.rivals.size[self.curves.rows]
        grad, comm = doubts.t_grad * worlds[_GRAD], math.log(doubts.t_comm_median) + doubts.t_comm * worlds[_COMM]
        if not doubts.by_size:
            return np.asarray(self.curves.at(comm - grad) + grad)
        found = np.empty((len(sizes), worlds.shape[1]))
        for size in np.unique(sizes):
            one = doubts.by_size[size]
            own = grad + one.t_grad * worlds[_FIRST + one.group]
            found[sizes == size] = self.curves.take(sizes == size).at(comm - own) + own
        return found

    def of_most(self, probabilities: Floats) -> Contest:
        """Return the contest of the choice and the most probable contenders."""
        order = np.argsort(-probabilities, kind="stable")
        kept = np.append(0, order[(order > 0) & (probabilities[order] > RARE)][: SHOWN - 1])
        return replace(self, curves=self.curves.take(kept), kinds=self.kinds[kept])


def _without_copies(scoring: Scoring) -> Integers:
    """Return the rows but one of those that are one worker alone under several names; the choice stays."""
    rivals, chosen = scoring.rivals, scoring.chosen
    alone = np.flatnonzero(rivals.alone)
    alone = np.concatenate([alone[alone == chosen], alone[alone != chosen]])
    named = np.stack([rivals.size[alone], np.round(scoring.log_scores[alone], _DIGITS)])
    _, firsts = np.unique(named, axis=1, return_index=True)
    keep = np.ones(len(rivals), dtype=bool)
    keep[np.delete(alone, firsts)] = False
    return np.flatnonzero(keep)


def _thinned(evaluator: Evaluator, rows: Integers, scoring: Scoring) -> Integers:
    """Return fewer rows of a large table: those that quick and slow networks leave a chance, and not all their counts.

    No time falls by more than the transfers do, and none falls as they grow; the best row of each family says what
    there is to beat.
    """
    rivals, grid = scoring.rivals, log_ratio_grid(scoring.doubts, coarse=True)
    ends = np.unique([grid[0], 0.0, grid[-1]])
    margin = scoring.margin(rows) + scoring.slack
    stated = scoring.log_scores[rows, None] + scoring.changes(rows, scoring.log_noises)
    # Two scores move apart by no more than the transfers do.
    chance = (stated <= stated.min(axis=0) + float(np.abs(ends).max()) + margin).any(axis=1)
    rows, stated = rows[chance], stated[chance]
    order = np.lexsort((stated.min(axis=1), rivals.family[rows]))
    leaders = rows[order[np.unique(rivals.family[rows[order]], return_index=True)[1]]]
    to_beat = scoring.across(leaders, evaluator.responses(leaders, ends).log_times).min(axis=0)
    bar = (to_beat - np.minimum(ends, 0.0)).max(axis=1) + margin
    near = rows[(stated <= bar).any(axis=1)]
    near = near[np.lexsort((rivals.workers[near], rivals.family[near]))]
    kinds, firsts = np.unique(rivals.family[near], return_index=True)
    counts = max(_FEWEST_COUNTS, min(_COUNTS, 12 * _MANY // max(1, len(kinds))))
    even = [np.linspace(0, len(own) - 1, counts).round().astype(np.int64) for own in np.split(near, firsts[1:])]
    some = [own[places] for own, places in zip(np.split(near, firsts[1:]), even, strict=True)]
    return np.unique(np.concatenate([leaders, [scoring.chosen], *some]))


def _within_reach(curves: Responses, scoring: Scoring) -> NDArray[np.bool_]:
    """Return which rows could be the best between ratios at which all were worked out.

    Times grow with those of the transfers: between two ratios, none is shorter than at the first, and the best is not
    longer than at the second. That spares most rows of a large table the rest of their curves.
    """
    scores, classes = scoring.across(curves.rows, curves.log_times), scoring.classes(curves.rows)

    def later(bar: Floats) -> Floats:
        return np.concatenate([bar[:, 1:], bar[:, -1:]], axis=1)

    reach = np.asarray((scores <= later(scores.min(axis=0) + scoring.margin(curves.rows) + _SLACK)).any(axis=(1, 2)))
    # Within a class there is no error between rows.
    for index in np.unique(classes[reach]):
        own = reach & (classes == index)
        reach[own] = (scores[own] <= later(scores[own].min(axis=0) + scoring.slack)).any(axis=(1, 2))
    return reach


def _ranked(curves: Responses, scoring: Scoring) -> Integers:
    """Return the indices of rows that may be the best, those that are so in the likeliest worlds first.

    Rows of one class share all errors but those of ratio and noise scale, so that the best of them is certain there.
    """
    scores, classes = scoring.across(curves.rows, curves.log_times), scoring.classes(curves.rows)
    gap = _behind(scores, classes).min(axis=(1, 2))
    margin = scoring.margin(curves.rows)
    near = (gap <= scoring.slack) & ((scores - scores.min(axis=0)).min(axis=(1, 2)) <= margin + _SLACK)
    chosen = np.flatnonzero(near)
    chosen = chosen[np.argsort(gap[chosen], kind="stable")[: 8 * _MOST]]
    doubts, places = scoring.doubts, np.linspace(-_REACH, _REACH, _MESH)
    mesh = math.log(doubts.t_comm_median) + max(doubts.ratio, 1e-9) * places
    found, rows = curves.take(chosen).at(mesh), curves.rows[chosen]
    weight = np.zeros(len(chosen))
    changes = scoring.changes(rows, scoring.log_noises) + np.log(scoring.factors[rows])[:, None]
    levels = np.linspace(-_REACH, _REACH, changes.shape[1]) if changes.shape[1] > 1 else np.zeros(1)
    for level, change in zip(levels, changes.T, strict=True):
        moved = found + change[:, None]
        # Within a class who wins is certain; between classes the nearer to the best, the likelier.
        nearness = np.exp(-(moved - moved.min(axis=0)) / (0.01 + margin / _REACH))
        wins = (_behind(moved, classes[chosen]) <= SAME) * nearness
        weight += math.exp(-0.5 * level**2) * (wins @ np.exp(-0.5 * places**2))
    can_win = (weight > 0) | bool(doubts.cv_grad or doubts.cv_comm)
    order = np.argsort(-weight, kind="stable")
    return np.asarray(chosen[order[can_win[order]]])


def _behind(scores: Floats, classes: Integers) -> Floats:
    """Return by how much each row is behind the best of its class, along the first axis."""
    behind = np.empty_like(scores)
    for index in np.unique(classes):
        own = classes == index
        behind[own] = scores[own] - scores[own].min(axis=0)
    return behind


@cache
def normal_worlds(draws: int, dimensions: int) -> Floats:
    """Return standard normal numbers, shape (dimensions, draws): a Latin hypercube, the same in every call."""
    levels = np.array([NormalDist().inv_cdf((index + 0.5) / draws) for index in range(draws)])
    rng = np.random.default_rng([_SEED, draws])
    return np.stack([rng.permutation(levels) for _ in range(dimensions)])
