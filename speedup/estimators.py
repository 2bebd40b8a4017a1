r"""Which estimator is safe for a plan whose times vary, and what it says: the time of a run, its spread, its interval.

Three kinds: iterations drawn one by one (``recursion``), queueing theory with the run identity Q.6 (``mva``), and the
event-by-event ``simulation``, which is always right and costs the most. Where no time varies, the formulas are exact,
and nobody asks here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from speedup.plans import Schedule, ServerKind, UpdateMode
from speedup.queueing import (
    central_iterations,
    central_run_s,
    distributed_iterations,
    distributed_run_s,
    fair_throughput,
    semaphore_throughput,
)
from speedup.queueing.runs import lockstep_excess_s
from speedup.simulation import Scenario, play
from speedup.units import QUANTILE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.inputs import Doubt
    from speedup.laws import Law

REPLICATIONS = 200
AFFORDABLE = 2_000_000
"""Transfers that a row may simulate, about a quarter of a second; flows, where a transfer has many."""
LEAST_REPLICATIONS = 20
LONG_RUN = 10
"""Rounds after the first from which on the steady state decides."""
_SEED = 20_170_501
MODEL_ERROR = 0.01
"""Mean error of the queueing estimators against simulation (``benchmarks/estimators.py``)."""
_STEP = 0.05
"""Relative step of the numerical derivatives."""


class Estimator(StrEnum):
    """How the time of a row was found."""

    THESIS = "thesis"
    """The formula as printed."""
    EXACT = "exact"
    """The formula over whole batches, because it was asked for."""
    CLOSED_FORM = "closed-form"
    """The formula over whole batches, exact because no time varies."""
    MVA = "mva"
    """Mean value analysis, corrected for a semaphore, and the run identity Q.6."""
    RECURSION = "recursion"
    """Synchronous iterations drawn by the sort and suffix-maximum recursion."""
    SIMULATION = "simulation"
    """The run, event by event, many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One plan with the laws of its times.

    Attributes:
        mode: When gradients meet the weights.
        server: Where the weights live.
        schedule: How links are shared: ``fair`` or ``semaphore``, one transfer after another.
        workers: N.
        batches: D.
        t_grad: Law of what one worker computes in an iteration; for sync-split its part of a batch.
        t_comm: Law of one transfer of all weights, or gradients; of both, where they differ.
        up_ratio: t_up by the mean of t_up and t_down.
        shares: Share of each unit of a distributed server; empty for equal shares.
    """

    mode: UpdateMode
    server: ServerKind
    schedule: Schedule
    workers: int
    batches: int
    t_grad: Law
    t_comm: Law
    shares: tuple[float, ...] = ()
    up_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an estimator says.

    Attributes:
        time_s: Mean of t_train [s].
        spread: Standard deviation of t_train from run to run, by its mean.
        estimator: Which one.
        equation: Number of the equation, or the estimator's name where there is none.
        safe: Whether the estimator is known to be safe there.
    """

    time_s: float
    spread: float
    estimator: Estimator
    equation: str
    safe: bool = True


def answer(question: Question, method: str) -> Answer:
    """Answer by the estimator that ``method`` names, or for ``auto`` by the cheapest that is safe.

    Args:
        question: The plan and its laws.
        method: ``auto``, ``queueing`` or ``simulation``.
    """
    if method == "simulation":
        return simulated(question)
    safe = is_safe(question)
    if method == "auto" and not safe and replications(question) >= LEAST_REPLICATIONS:
        return simulated(question)
    found = asynchronous(question) if question.mode is UpdateMode.ASYNC else synchronous(question)
    return replace(found, safe=safe)


def is_safe(question: Question) -> bool:
    """Return whether the queueing estimators are known to be within about 2 % of the simulation."""
    if question.shares and len(set(question.shares)) > 1:
        return False
    return _is_safe_async(question) if question.mode is UpdateMode.ASYNC else _is_safe_sync(question)


def _is_safe_sync(one: Question) -> bool:
    # An early push that meets a late pull is not in the recursion of a distributed server.
    return one.server is ServerKind.CENTRAL or one.t_comm.cv == 0 or one.t_comm.mean_s < 0.05 * one.t_grad.mean_s


def _is_safe_async(one: Question) -> bool:
    varies, rounds = max(one.t_grad.cv, one.t_comm.cv), (one.batches - one.workers) / one.workers
    if one.workers == 1:
        return True
    if one.up_ratio != 1.0 and one.schedule is Schedule.SEMAPHORE and varies:
        return False
    if rounds < LONG_RUN or varies > 2:
        return False
    if one.server is ServerKind.DISTRIBUTED:
        fair = one.schedule is Schedule.FAIR
        return fair and one.t_comm.mean_s < 0.2 * one.t_grad.mean_s and varies >= 0.05
    if one.schedule is Schedule.SEMAPHORE:
        return one.t_comm.cv <= 1.5
    cycle = one.workers / float(fair_throughput(one.workers, one.t_grad, one.t_comm, up_ratio=one.up_ratio))
    lost = lockstep_excess_s(one.workers, one.batches, one.t_grad, one.t_comm, cycle)
    return varies >= 0.1 and lost < 0.01 * rounds * cycle


def synchronous(question: Question) -> Answer:
    """Answer for synchronous training: D div N full iterations and one of the rest, or D split ones."""
    one = question
    if one.mode is UpdateMode.SYNC_SPLIT:
        parts = [(one.batches, one.workers)]
    else:
        parts = [(one.batches // one.workers, one.workers), (1, one.batches % one.workers)]
    mean = variance = 0.0
    for count, taking in parts:
        if count and taking:
            drawn = _iterations(one, taking)
            mean += count * float(drawn.mean())
            variance += count * float(drawn.var())
    return Answer(mean, math.sqrt(variance) / mean, Estimator.RECURSION, "recursion")


def _iterations(one: Question, taking: int) -> NDArray[np.float64]:
    grads, comms = [one.t_grad] * taking, [one.t_comm] * taking
    if one.server is ServerKind.CENTRAL:
        return central_iterations(grads, comms, one.schedule, up_ratio=one.up_ratio, seed=_SEED)
    return distributed_iterations(grads, comms, units=one.workers, up_ratio=one.up_ratio, seed=_SEED)


def asynchronous(question: Question) -> Answer:
    """Answer for asynchronous training: the first round, then the steady rate."""
    one = question
    if one.server is ServerKind.CENTRAL:
        time_s = central_run_s(
            one.workers, one.batches, one.t_grad, one.t_comm, one.schedule, up_ratio=one.up_ratio, seed=_SEED
        )
    else:
        time_s = distributed_run_s(one.workers, one.batches, one.t_grad, one.t_comm, up_ratio=one.up_ratio, seed=_SEED)
    return Answer(time_s, _asynchronous_spread(one, time_s), Estimator.MVA, "Q.6")


def _asynchronous_spread(one: Question, time_s: float) -> float:
    """Return the relative spread of a run: of N workers side by side, or of the transfers of a link without rest."""
    grad, comm = one.t_grad.cv * one.t_grad.mean_s, one.t_comm.cv * one.t_comm.mean_s
    cycle = math.hypot(grad, math.sqrt(2) * comm)
    busy = 0.0
    if one.server is ServerKind.CENTRAL and one.workers > 1:
        rule = semaphore_throughput if one.schedule is Schedule.SEMAPHORE else fair_throughput
        slower = max(one.up_ratio, 2 - one.up_ratio) * one.t_comm.mean_s
        busy = float(rule(one.workers, one.t_grad, one.t_comm, up_ratio=one.up_ratio)) * slower
    weight = busy**4
    steady = one.batches * ((1 - weight) * (cycle / one.workers) ** 2 + weight * comm**2)
    return math.sqrt(steady + (cycle / 2) ** 2) / time_s


def replications(question: Question) -> int:
    """Return how many runs can be afforded."""
    one = question
    flows = one.workers if one.server is ServerKind.DISTRIBUTED and one.workers > 1 else 1
    runs = one.batches * (one.workers if one.mode is UpdateMode.SYNC_SPLIT else 1)
    # A flow event goes through all flows.
    return int(min(REPLICATIONS, AFFORDABLE // (2 * runs * flows**2)))


def simulated(question: Question) -> Answer:
    """Answer by simulating the run."""
    one = question
    # The scenario's own split is a part 1/N; here the law is that of the part.
    scale = one.workers if one.mode is UpdateMode.SYNC_SPLIT else 1
    scenario = Scenario(
        mode=one.mode,
        server=one.server,
        schedule=one.schedule,
        batches=one.batches,
        t_grad=(one.t_grad.scaled(scale),) * one.workers,
        pull=(one.t_comm.scaled(2 - one.up_ratio),) * one.workers,
        push=(one.t_comm.scaled(one.up_ratio),) * one.workers,
        shares=one.shares or ((1 / one.workers,) * one.workers if one.server is ServerKind.DISTRIBUTED else (1.0,)),
        join_s=np.zeros(one.workers),
        leave_s=np.full(one.workers, np.inf),
    )
    found = play(scenario, replications=max(LEAST_REPLICATIONS, replications(one)), seed=_SEED)
    return Answer(found.mean_s, float(found.time_s.std(ddof=1)) / found.mean_s, Estimator.SIMULATION, "simulation")


def speedup_interval(question: Question, found: Answer, sequential_s: float, doubt: Doubt) -> tuple[float, float]:
    r"""Return the interval in which the speedup of one run lies with 90 %.

    .. math:: \ln S \pm 1.645 \sqrt{\sigma_{run}^2 + \delta_{model}^2 + (1 - e)^2 (\delta_Z^2 + \delta_s^2)
        + (e_g \delta_g)^2 + (e_c \delta_c)^2}

    with :math:`\sigma_{run}` the spread from run to run, :math:`\delta_{model}` what real networks add to it,
    :math:`\delta` the doubts of t_grad, of t_comm and of their two coefficients of variation, and
    :math:`e = d \ln T / d \ln Z`, :math:`e_g = d \ln T / d \ln c_g`, :math:`e_c`
    likewise. The speedup depends on t_grad and t_comm through their ratio alone, so both have the same weight.

    Args:
        question: The plan and its laws.
        found: What the estimator says.
        sequential_s: D t_grad [s].
        doubt: How surely the times are known.
    """
    variance = found.spread**2 + (MODEL_ERROR**2 if found.estimator is Estimator.MVA else 0.0) + doubt.model**2
    grad, comm = question.t_grad, question.t_comm
    if doubt.t_grad or doubt.t_comm:
        by_time = _sensitivity(found, replace(question, t_grad=grad.scaled(1 + _STEP)))
        variance += (1 - by_time) ** 2 * (doubt.t_grad**2 + doubt.t_comm**2)
    if doubt.cv_grad and grad.cv:
        variance += (doubt.cv_grad * _sensitivity(found, replace(question, t_grad=grad.spread_by(1 + _STEP)))) ** 2
    if doubt.cv_comm and comm.cv:
        variance += (doubt.cv_comm * _sensitivity(found, replace(question, t_comm=comm.spread_by(1 + _STEP)))) ** 2
    half, speedup = QUANTILE * math.sqrt(variance), sequential_s / found.time_s
    return speedup * math.exp(-half), speedup * math.exp(half)


def _sensitivity(found: Answer, changed: Question) -> float:
    """Return the relative change of the time by the relative step that a question was changed by."""
    same = "simulation" if found.estimator is Estimator.SIMULATION else "queueing"
    return math.log(answer(changed, same).time_s / found.time_s) / math.log1p(_STEP)
