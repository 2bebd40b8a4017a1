r"""How long plans take in worlds whose times are not quite those stated.

What goes on inside a machine errs by one factor, g; what goes on between machines by another, c. All times then scale,

.. math:: T(g, c) = g \, T(1, c/g)

so that one curve a plan, the logarithm of its time against :math:`x = \ln(c/g)`, says everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from speedup.cluster import Link
from speedup.inputs import Doubt
from speedup.kinds import AVERAGED
from speedup.plans import PlacementRule, Schedule, ServerKind, UpdateMode
from speedup.rows import RowMaker, extreme_shares
from speedup.tables import FORMULAS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.doubts import Doubts
    from speedup.inputs import Inputs
    from speedup.rivals import Rivals
    from speedup.tables import Family, Floats, Integers

CLOSE = 0.01
"""Step of the derivatives at the times stated, in the logarithm of c/g."""
SPREAD_STEP = 0.05
REFINED, USUAL_WORKERS = 10, 64
"""Rows of slow estimators that are worked out by queueing theory, if they have no more workers than that."""


@dataclass(frozen=True, slots=True)
class Responses:
    """Curves of some rows of a table.

    Attributes:
        rows: Which rows, shape (R,).
        log_ratios: Where the curves are known, x, increasing, shape (G,).
        log_times: Logarithm of the time there, shape (R, G).
        by_cv_grad: Relative change of the time by that of the coefficient of variation of t_grad, shape (R,).
        by_cv_comm: Likewise of t_comm.
    """

    rows: Integers
    log_ratios: Floats
    log_times: Floats
    by_cv_grad: Floats
    by_cv_comm: Floats

    def at(self, log_ratios: Floats) -> Floats:
        """Return the logarithms of the times at other ratios, piecewise linear, shape (R, n).

        Args:
            log_ratios: The ratios, shape (n,), those of all rows.
        """
        after = np.clip(np.searchsorted(self.log_ratios, log_ratios), 1, len(self.log_ratios) - 1)
        begin, end = self.log_ratios[after - 1], self.log_ratios[after]
        weight = (log_ratios - begin) / (end - begin)
        before = self.log_times[:, after - 1]
        return np.asarray(before + weight * (self.log_times[:, after] - before))

    @property
    def by_t_comm(self) -> Floats:
        """Relative change of the time by that of t_comm, at the times stated; that of t_grad is the rest to 1."""
        ends = self.at(np.array([-CLOSE, CLOSE]))
        return np.asarray((ends[:, 1] - ends[:, 0]) / (2 * CLOSE))

    def take(self, chosen: Integers | NDArray[np.bool_]) -> Responses:
        """Return the curves of some of the rows."""
        return Responses(
            self.rows[chosen],
            self.log_ratios,
            self.log_times[chosen],
            self.by_cv_grad[chosen],
            self.by_cv_comm[chosen],
        )


def log_ratio_grid(doubts: Doubts, *, coarse: bool = False) -> Floats:
    """Return where curves are worked out: over 4.5 standard deviations to both sides, and close to what is stated.

    Args:
        doubts: How far the times may be off.
        coarse: Whether a first look is enough.
    """
    middle, half = math.log(doubts.t_comm_median), 4.5 * doubts.ratio
    close = np.array([0.0]) if coarse else np.array([-CLOSE, 0.0, CLOSE])
    if not half and not middle:
        return close
    low, high = min(middle - half, 0.0), max(middle + half, 0.0)
    step, fewest, most = (0.3, 5, 13) if coarse else (0.1, 7, 25)
    wide = np.linspace(low, high, int(min(max(math.ceil((high - low) / step), fewest), most)))
    return np.unique(np.concatenate([wide[np.abs(wide) > CLOSE * (1 + 1e-9)], close]))


class Evaluator:
    """Works out the curves of plans.

    Attributes:
        rivals: The plans.
    """

    def __init__(self, rivals: Rivals) -> None:
        self.rivals = rivals
        self._shares: dict[tuple[int, int], tuple[Floats | float, Floats | float]] = {}

    def responses(self, rows: Integers, log_ratios: Floats) -> Responses:
        """Return the curves of rows, of the form of a formula where an estimator is slow.

        Args:
            rows: Which rows.
            log_ratios: Where.
        """
        times = np.stack([self._times(rows, x) for x in log_ratios], axis=1)
        # What the table says is what the choice was made from; simulated times come no other way.
        shift = np.log(self.rivals.time_s[rows]) - np.log(times[:, np.searchsorted(log_ratios, 0.0)])
        none = np.zeros(len(rows))
        return Responses(rows, log_ratios, np.log(times) + shift[:, None], none, none)

    def refined(self, curves: Responses, doubts: Doubts) -> Responses:
        """Return the same curves by queueing theory where the formula is too coarse, and what the spread changes.

        The difference between both, worked out at three ratios, is less curved than either.

        Args:
            curves: The curves, those of the likeliest rows first: about ``REFINED`` of them are worked out.
            doubts: How far the times may be off.
        """
        slow = np.flatnonzero([self._is_slow(*self.rivals.families[self.rivals.family[row]]) for row in curves.rows])
        fast = np.setdiff1d(np.arange(len(curves.rows)), slow)
        known, like = self._worked_out(curves.rows[slow])
        log_times, effects = curves.log_times.copy(), []
        some = curves.take(slow[known])
        stated = np.log(self._times(some.rows, 0.0, slowly=True))
        copied = like >= 0
        if known.size and doubts.ratio:
            log_times[slow[copied]] += self._correction(some, stated, doubts)[like[copied]]
        for law, doubt in (("grad_law", doubts.cv_grad), ("comm_law", doubts.cv_comm)):
            effect = np.zeros(len(curves.rows))
            if doubt:
                effect[slow[copied]] = self._by_spread(some.rows, stated, law, slowly=True)[like[copied]]
                rows = curves.rows[fast]
                effect[fast] = self._by_spread(rows, np.log(self._times(rows, 0.0)), law, slowly=False)
            effects.append(effect)
        return replace(curves, log_times=log_times, by_cv_grad=effects[0], by_cv_comm=effects[1])

    def _worked_out(self, rows: Integers) -> tuple[Integers, Integers]:
        """Return which rows to work out by queueing theory, and which of them stands for each row.

        Rows with many workers take longer, so that there are fewer of them. Of each row's kind the one with the nearest
        count stands for it; -1 where there is none.
        """
        workers, families = self.rivals.workers[rows], self.rivals.family[rows]
        known = np.flatnonzero(np.cumsum(np.maximum(workers, USUAL_WORKERS)) <= REFINED * USUAL_WORKERS)
        known = np.arange(min(1, len(rows))) if not known.size else known
        like = np.full(len(rows), -1)
        for index, row in enumerate(families):
            own = np.flatnonzero(families[known] == row)
            if own.size:
                like[index] = own[np.argmin(np.abs(workers[known[own]] - workers[index]))]
        return known, like

    def _correction(self, curves: Responses, stated: Floats, doubts: Doubts) -> Floats:
        """Return by how much the curves of queueing theory differ from others, more than where both are known."""
        middle, half = math.log(doubts.t_comm_median), 2 * doubts.ratio
        low, high = min(middle - half, 0.0) or -CLOSE, max(middle + half, 0.0) or CLOSE
        where = np.array([low, 0.0, high])
        ends = [np.log(self._times(curves.rows, x, slowly=True)) for x in (low, high)]
        apart = np.stack([ends[0] - stated, np.zeros(len(stated)), ends[1] - stated], axis=1)
        formula = curves.at(where)
        apart -= formula - formula[:, 1, None]
        return np.stack([np.interp(curves.log_ratios, where, one) for one in apart])

    def _by_spread(self, rows: Integers, stated: Floats, law: str, *, slowly: bool) -> Floats:
        """Return the relative change of the time by that of a coefficient of variation."""
        # Rows that stand as formulas of constant times have no spread in them.
        wider = np.log(self._times(rows, 0.0, slowly=slowly, wider=law))
        return np.asarray((wider - stated) / math.log1p(SPREAD_STEP))

    def _is_slow(self, size: int, kind: Family) -> bool:
        """Return whether an estimator answers for a kind of plan row by row."""
        table = self.rivals.tables[size]
        inputs, method = table.inputs, table.method
        if method in FORMULAS or kind.mode is UpdateMode.SEQUENTIAL or kind.schedule in AVERAGED:
            return False
        return inputs.of_the_thesis(kind.server) and (method != "auto" or inputs.varies)

    def _times(self, rows: Integers, log_ratio: float, *, slowly: bool = False, wider: str = "") -> Floats:
        """Return the times of rows where transfers take ``exp(log_ratio)`` times as long [s]."""
        total = np.zeros(len(rows))
        families = self.rivals.family[rows]
        slower: dict[int, list[Inputs]] = {}
        for index in np.unique(families):
            chosen = families == index
            size, kind = self.rivals.families[index]
            counts, parts = self.rivals.workers[rows[chosen]], self.rivals.parts[size]
            if size not in slower:
                slower[size] = [_changed(part.inputs, log_ratio, wider) for part in parts]
            for part, inputs in zip(parts, slower[size], strict=True):
                total[chosen] += self._of_kind(size, kind, counts, inputs, part.batches, slowly=slowly)
        return total

    def _of_kind(
        self, size: int, kind: Family, counts: Integers, inputs: Inputs, batches: int, *, slowly: bool
    ) -> Floats:
        table = self.rivals.tables[size]
        method = table.method if table.method in FORMULAS else "auto"
        if self._is_slow(size, kind):
            method = "queueing" if slowly else "exact"
            if not slowly and kind.schedule is Schedule.FAIR and kind.server is ServerKind.CENTRAL:
                # The formula of fair sharing is lockstep for ever, which a spread ends (ADR 0013).
                kind = replace(kind, schedule=Schedule.MEAN)
        rule = table.placement if kind.server is ServerKind.DISTRIBUTED else PlacementRule.EQUAL
        maker = RowMaker(inputs, counts, batches, method, rule, self._extreme_shares(size, inputs, rule, counts))
        return np.asarray(maker.rows(kind).time_s * np.ones(len(counts)))

    def _extreme_shares(
        self, size: int, inputs: Inputs, rule: PlacementRule, counts: Integers
    ) -> tuple[Floats | float, Floats | float]:
        if rule is PlacementRule.EQUAL:
            return 0.0, 0.0
        # Placing tensors takes longer than everything else, and each curve asks at many ratios.
        new = np.array([count for count in counts.tolist() if (size, count) not in self._shares], dtype=np.int64)
        if new.size:
            found_new = zip(*map(np.atleast_1d, extreme_shares(inputs, rule, new)), strict=True)
            self._shares.update({(size, count): one for count, one in zip(new.tolist(), found_new, strict=True)})
        found = np.array([self._shares[size, count] for count in counts.tolist()])
        return found[:, 0], found[:, 1]


def _changed(inputs: Inputs, log_ratio: float, wider: str) -> Inputs:
    """Return inputs with a slower network, and a wider spread of one law."""
    slower = slower_network(inputs, math.exp(log_ratio))
    return replace(slower, **{wider: getattr(slower, wider).spread_by(1 + SPREAD_STEP)}) if wider else slower


def slower_network(inputs: Inputs, factor: float) -> Inputs:
    """Return inputs whose network takes ``factor`` times as long, latency included; nothing is in doubt there.

    Example:
        >>> from speedup import estimate
        >>> round(slower_network(estimate("resnet34", network="1gbit").inputs, 2.0).t_comm_s, 3)
        1.371
    """
    link = inputs.link
    if isinstance(link, Link):
        link = Link(bandwidth_bytes_per_s=link.bandwidth_bytes_per_s / factor, latency_s=link.latency_s * factor)
    return replace(
        inputs,
        t_comm_s=inputs.t_comm_s * factor,
        comm_law=inputs.comm_law.scaled(factor),
        link=link,
        doubt=Doubt(),
    )
