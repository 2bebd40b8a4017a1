r"""How long runs take on machines that fail: synchronous ones, which any machine stops, and asynchronous ones.

Machines fail independently of each other, after exponential times of mean ``mtbf_h``. A run saves its state now and
then and goes on from there after a failure. Equations F.1 to F.7; how they are read is ADR 0024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from speedup.errors import UnitError
from speedup.plans import ServerKind, UpdateMode
from speedup.units import not_negative, positive, show_seconds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from speedup.tables import EstimateTable

    Floats: TypeAlias = NDArray[np.float64]

HOUR_S = 3600.0
NOTICEABLE = 0.05
"""Part by which failures make a run longer from which on they are worth a word."""
_MOST_MACHINES = 2**62
_DEDICATED = {ServerKind.CENTRAL, ServerKind.SHARDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How machines fail, and what is done about it.

    Attributes:
        mtbf_h: Mean time to the failure of one machine [h], > 0; infinite for machines that never fail.
        save_s: Saving a checkpoint, during which nobody computes [s].
        restart_s: From a failure until work goes on, in which a machine can fail again [s].
        interval_s: Work between two checkpoints [s]; Daly's (F.2) if left out.

    Raises:
        UnitError: A value is out of its range.

    Example:
        >>> print(Failures(mtbf_h=1000, save_s=30, restart_s=300))
        a machine fails every 1000 h, saving takes 30 s, restarting 300 s
    """

    mtbf_h: float
    save_s: float = 0.0
    restart_s: float = 0.0
    interval_s: float | None = None

    def __post_init__(self) -> None:
        if self.mtbf_h != math.inf:
            positive("mtbf", self.mtbf_h, "h", advice="It is the mean time to the failure of one machine.")
        not_negative("save", self.save_s, "s")
        not_negative("restart", self.restart_s, "s")
        if self.interval_s is not None:
            positive("interval", self.interval_s, "s", advice="Leave it out for the best one.")

    def __str__(self) -> str:
        if self.mtbf_h == math.inf:
            return "machines never fail"
        saving = f"saving takes {show_seconds(self.save_s)}, restarting {show_seconds(self.restart_s)}"
        return f"a machine fails every {self.mtbf_h:g} h, {saving}"

    @property
    def mtbf_s(self) -> float:
        """Mean time to the failure of one machine [s]."""
        return self.mtbf_h * HOUR_S

    def to_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary; None for machines that never fail."""
        return {
            "mtbf_h": None if self.mtbf_h == math.inf else self.mtbf_h,
            "save_s": self.save_s,
            "restart_s": self.restart_s,
            "interval_s": self.interval_s,
        }


def interval_s(failures: Failures, machines: ArrayLike, *, rule: str = "daly") -> Floats:
    """Return the work between two checkpoints of a run that any of some machines stops [s].

    Args:
        failures: How machines fail; its own interval, where it has one, is returned.
        machines: How many machines stop the run when they fail; any shape.
        rule: ``daly`` (F.2) or ``young`` (F.1).

    Returns:
        The interval, in the shape of ``machines``; infinite where nothing fails.

    Raises:
        UnitError: There is no such rule, or a number of machines is below 0.

    Example:
        >>> day = Failures(mtbf_h=24, save_s=300, restart_s=600)
        >>> (interval_s(day, [1, 4, 96]) / 60).round(1).tolist()
        [116.7, 56.7, 9.1]
    """
    counts = _counts(machines)
    if failures.interval_s is not None:
        return np.full_like(counts, failures.interval_s)
    if rule not in {"daly", "young"}:
        raise UnitError(f'rule = "{rule}" is unknown. Allowed: daly, young.')
    if failures.save_s == 0:
        return np.where(_failing(counts, failures), 0.0, np.inf)
    number = "F.2" if rule == "daly" else "F.1"
    return np.where(
        _failing(counts, failures),
        _evaluate(number, m_stop=_some(counts), t_fail=_finite(failures.mtbf_s), t_save=failures.save_s),
        np.inf,
    )


def synchronous_s(time_s: ArrayLike, machines: ArrayLike, failures: Failures) -> Floats:
    r"""Return the mean time of runs that any of their machines stops [s].

    .. math:: t_{wall} = \frac{t_{train}}{\tau} M e^{R / M} \left(e^{(\tau + \delta) / M} - 1\right), \qquad
        M = t_{fail} / m

    Equation F.3 with the interval of F.2, or F.4, without checkpoints, where that is shorter. With an interval of the
    user's, a run of that length or less is not saved, any longer one is.

    Args:
        time_s: What the runs take if nothing fails [s].
        machines: How many machines stop them when they fail; broadcast against ``time_s``.
        failures: How machines fail.

    Returns:
        The times; infinite for a run that in practice never ends.

    Raises:
        UnitError: A time is not a number above 0, or a number of machines is below 0.

    Source:
        J. T. Daly: A higher order estimate of the optimum checkpoint interval for restart dumps (2006).

    Example:
        >>> week = Failures(mtbf_h=5000, save_s=60, restart_s=600)
        >>> (synchronous_s(86400.0, [1, 64, 4096], week) / 86400).round(3).tolist()
        [1.002, 1.023, 1.359]
    """
    work, counts = np.broadcast_arrays(_times(time_s), _counts(machines))
    between = interval_s(failures, counts)
    saved = _saved(work, between, counts, failures)
    scratch = np.where(_failing(counts, failures), _evaluate("F.4", t_train=work, **_of_run(counts, failures)), work)
    best = np.minimum(saved, scratch) if failures.interval_s is None else np.where(work <= between, scratch, saved)
    return np.where(np.isfinite(work), best, np.inf)


def missing_s(time_s: ArrayLike, t_iter_s: ArrayLike, failures: Failures) -> Floats:
    """Return the mean time of asynchronous runs whose workers fail and come back, and whose servers do not (F.5) [s].

    Args:
        time_s: What the runs take if nothing fails [s].
        t_iter_s: A worker's batch with its transfers [s].
        failures: How machines fail.

    Raises:
        UnitError: A time is not a number above 0.

    Example:
        >>> hour = Failures(mtbf_h=1, restart_s=400)
        >>> float(missing_s(9000.0, 1.0, hour).round())
        10059.0
    """
    work, batch = np.broadcast_arrays(_times(time_s), _times(t_iter_s))
    if failures.mtbf_h == math.inf:
        return work.copy()
    found = _evaluate("F.5", t_train=work, t_iter=batch, t_fail=failures.mtbf_s, t_restart=failures.restart_s)
    return np.where(np.isfinite(work), found, np.inf)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FailureTimes:
    """What failures make of the rows of a table.

    Attributes:
        time_s: Mean time of each row with failures [s].
        smooth_s: Time of each row without [s].
        stopping: Machines of each row that stop it when they fail.
        interval_s: Work between two checkpoints of each [s]; infinite where no checkpoint pays.
        failures: How machines fail.
    """

    time_s: Floats
    smooth_s: Floats
    stopping: Floats
    interval_s: Floats
    failures: Failures

    @property
    def overhead(self) -> Floats:
        """Part by which failures make each row longer; infinite for one that in practice never ends."""
        return self.time_s / self.smooth_s - 1

    @property
    def stops(self) -> Floats:
        """Failures that stop the run, mean number of each row."""
        return self.stopping * self.time_s / self.failures.mtbf_s


def with_failures(table: EstimateTable, failures: Failures) -> FailureTimes:
    """Return how long each row of a table takes with failures.

    In step, and where every worker holds a share of the weights, any machine's failure stops all. Out of step, with
    servers on machines of their own, only those do.

    Args:
        table: The plans.
        failures: How machines fail.

    Example:
        >>> from speedup import estimate
        >>> table = estimate(t_grad=60.0, t_comm=1.0, batches=12800, workers=[64], servers="central", schedules="best")
        >>> found = with_failures(table, Failures(mtbf_h=200, save_s=30, restart_s=300))
        >>> [family.mode.value for family in table.families], found.stopping.tolist(), found.overhead.round(2).tolist()
        (['sync-join', 'sync-split', 'async'], [65.0, 65.0, 1.0], [0.11, 0.11, 0.01])
    """
    apart = table.by_family(lambda one: one.mode is UpdateMode.ASYNC and one.server in _DEDICATED)
    stopping = np.where(apart, table.servers, table.machines).astype(np.float64)
    work = np.where(apart, missing_s(table.time_s, table.t_iter_s, failures), table.time_s)
    time_s = synchronous_s(work, stopping, failures)
    between = interval_s(failures, stopping)
    used = _saved(work, between, stopping, failures) <= time_s
    return FailureTimes(
        time_s=time_s,
        smooth_s=table.time_s,
        stopping=stopping,
        interval_s=np.where(used, between, np.inf),
        failures=failures,
    )


def machines_where(failures: Failures, overhead: float = NOTICEABLE) -> int | None:
    """Return from how many machines on failures make a long run that any of them stops longer by some part.

    Args:
        failures: How machines fail.
        overhead: The part, > 0.

    Returns:
        The machines; None if no number of them does.

    Raises:
        UnitError: The part is not above 0.

    Example:
        >>> machines_where(Failures(mtbf_h=5000, save_s=60, restart_s=600))
        245
    """
    limit = positive("overhead", overhead, "")

    def longer(machines: int) -> bool:
        # Of an endless run: checkpoints always pay in the end.
        between = interval_s(failures, float(machines))
        found = _saved(np.asarray(1.0), between, np.asarray(float(machines)), failures)
        return bool(found - 1 >= limit)

    if longer(1):
        return 1
    low, high = 1, 2
    while not longer(high):
        low, high = high, 2 * high
        if high > _MOST_MACHINES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if longer(middle) else (middle, high)
    return high


def _saved(work: Floats, between: Floats, counts: Floats, failures: Failures) -> Floats:
    """Return the mean time with a checkpoint after every piece of work, F.3, and its limits of short ones [s]."""
    some = np.where((between > 0) & np.isfinite(between), between, 1.0)
    found = _evaluate("F.3", t_train=work, tau=some, t_save=failures.save_s, **_of_run(counts, failures))
    with np.errstate(over="ignore"):
        # Saving that takes no time is done all the time: nothing is lost but what restarting takes.
        always = work * np.exp(failures.restart_s * _some(counts) / _finite(failures.mtbf_s))
    smooth = work * (1 + np.where(np.isfinite(between), failures.save_s / some, 0.0))
    return np.where(_failing(counts, failures), np.where(between > 0, found, always), smooth)


def _evaluate(number: str, **values: float | Floats) -> Floats:
    from speedup.numeric import equation_value  # noqa: PLC0415 - SymPy is loaded with the first estimate

    # A run that is sure to meet a failure in every try takes more than all floats: it never ends.
    with np.errstate(over="ignore"):
        found = equation_value(number, **values)
    return np.asarray(found, dtype=np.float64)


def _of_run(counts: Floats, failures: Failures) -> dict[str, float | Floats]:
    return {"m_stop": _some(counts), "t_fail": _finite(failures.mtbf_s), "t_restart": failures.restart_s}


def _times(time_s: ArrayLike) -> Floats:
    found = np.asarray(time_s, dtype=np.float64)
    if np.isnan(found).any() or (found <= 0).any():
        raise UnitError("a time is not a number above 0 s; leave that run out.")
    return found


def _counts(machines: ArrayLike) -> Floats:
    found = np.asarray(machines, dtype=np.float64)
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise UnitError("a number of machines is negative or not finite; it must be at least 0.")
    return found


def _failing(counts: Floats, failures: Failures) -> NDArray[np.bool_]:
    return np.asarray((counts > 0) & (failures.mtbf_h != math.inf))


def _some(counts: Floats) -> Floats:
    return np.where(counts > 0, counts, 1.0)


def _finite(mtbf_s: float) -> float:
    return mtbf_s if math.isfinite(mtbf_s) else 1.0
