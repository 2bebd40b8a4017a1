"""Plans x times -> time, speedup, efficiency: the table that every answer is read from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.errors import PlanError, UnitError, suggestion
from speedup.phases import added_up, course_of
from speedup.placement import place
from speedup.plans import (
    CENTRAL_SCHEDULES,
    SERVERS,
    SIMULATED_SCHEDULES,
    THESIS_SCHEDULES,
    TRAINING_MODES,
    PlacementRule,
    Plan,
    Schedule,
    ServerKind,
    UpdateMode,
    one_of,
    some_of,
)
from speedup.tables import FORMULAS, Estimate, EstimateTable, Family, Status, status_index
from speedup.units import QUANTILE, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from speedup.cluster import Link, MeasuredLink
    from speedup.estimators import Question
    from speedup.inputs import Inputs
    from speedup.payloads import Encoding
    from speedup.phases import Course
    from speedup.profile import Profile
    from speedup.tables import Floats, Integers

DEFAULT_WORKERS = range(1, 9)
METHODS = ("auto", "queueing", "simulation", *FORMULAS)
AVERAGED = (Schedule.BEST, Schedule.WORST, Schedule.MEAN)
"""Schedules that are cases of a formula, not rules by which a link can be shared."""
_STEP = 0.05
Kind = tuple[UpdateMode, ServerKind, Schedule]


def worker_counts(workers: int | Iterable[int]) -> Integers:
    """Return worker counts as an array.

    Raises:
        UnitError: There is none, or one is not a whole number of at least 1.

    Example:
        >>> worker_counts(range(1, 4))
        array([1, 2, 3])
    """
    if isinstance(workers, range) and workers and min(workers[0], workers[-1]) >= 1:
        return np.arange(workers.start, workers.stop, workers.step, dtype=np.int64)
    if not isinstance(workers, Iterable) or isinstance(workers, (str, bytes)):
        return np.array([whole("workers", workers)], dtype=np.int64)
    counts = workers.tolist() if isinstance(workers, np.ndarray) else list(workers)
    if not counts:
        raise UnitError("workers is empty; give at least one count, such as workers=range(1, 9).")
    return np.array([whole("workers", count) for count in counts], dtype=np.int64)


@cache
def _time_function(
    mode: UpdateMode, server: ServerKind, schedule: Schedule, method: str, *, equal: bool, apart: bool
) -> tuple[Callable[..., Any], str]:
    # SymPy is loaded on the first estimate, not on import.
    from speedup.formulas import plan_formula  # noqa: PLC0415
    from speedup.formulas.symbols import D, N, f_max, f_min, t_comm, t_down, t_grad, t_up  # noqa: PLC0415
    from speedup.numeric import numeric  # noqa: PLC0415

    expression, equation = plan_formula(mode, server, schedule, method, equal=equal, apart=apart)
    known = (t_up, t_down) if apart else (t_comm,)
    return numeric(expression, (N, D, t_grad, f_max, f_min, *known)), equation


def extreme_shares(inputs: Inputs, rule: PlacementRule, counts: Integers) -> tuple[Floats | float, Floats | float]:
    """Return the largest and smallest share of a unit for each worker count; 0 where no formula asks for them.

    Raises:
        PlanError: The rule places tensors whose sizes nobody gave.
    """
    if rule is PlacementRule.EQUAL:
        return 0.0, 0.0
    if inputs.tensor_elements is None:
        raise PlanError(f'placement = "{rule}" needs tensor sizes: name a profile.')
    shares = [place(inputs.tensor_elements, int(units), rule).shares for units in counts]
    return np.array([max(one) for one in shares]), np.array([min(one) for one in shares])


def _status(
    modes: tuple[UpdateMode, ...], counts: Integers, batches: int, batch: int | None, method: str
) -> dict[UpdateMode, NDArray[np.int8]]:
    """Return the status of every count for each mode."""
    whole_batches = np.zeros(len(counts), dtype=np.int8)
    if method == "thesis":
        whole_batches[batches % counts != 0] = status_index(Status.FRACTIONAL_ROUNDS)
    whole_batches[counts > batches] = status_index(Status.IDLE_WORKERS)
    split_batch = np.zeros(len(counts), dtype=np.int8)
    if batch is not None:
        split_batch[counts > batch] = status_index(Status.IDLE_WORKERS)
    of_mode = {UpdateMode.SYNC_SPLIT: split_batch, UpdateMode.SEQUENTIAL: np.zeros_like(split_batch)}
    return {mode: of_mode.get(mode, whole_batches) for mode in modes}


def plan_kinds(
    modes: tuple[UpdateMode, ...], servers: tuple[ServerKind, ...], schedules: tuple[Schedule, ...]
) -> list[Kind]:
    """Return every kind of plan; only a central server has a schedule."""
    of_server = {ServerKind.CENTRAL: schedules, ServerKind.DISTRIBUTED: (Schedule.NONE,)}
    return [(mode, server, one) for mode, server in product(modes, servers) for one in of_server[server]]


def _even(shares: tuple[float, ...]) -> bool:
    """Return whether shares are equal, or as equal as whole elements allow."""
    return not shares or max(shares) * len(shares) < 1.001


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one kind of plan: one value a worker count, or one for all of them."""

    time_s: Floats
    t_grad_worker_s: Floats | float
    low: Floats | float
    high: Floats | float
    equation: list[str]
    estimator: list[str]
    rough: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class _Table:
    """What all kinds of plan of a table have in common."""

    inputs: Inputs
    counts: Integers
    batches: int
    method: str
    placement: PlacementRule
    shares: tuple[Floats | float, Floats | float]
    # Some kinds share a formula, such as best and semaphore: it is evaluated once. Sync-split alone may have a time of
    # its own for t_grad, so that the formula does not tell its value.
    known: dict[tuple[Callable[..., Any], bool], Floats]

    def rows(self, kind: Kind) -> _Rows:
        """Return the rows of a kind of plan."""
        return self._by_formula(kind) if self._is_formula(kind) else self._by_estimator(kind)

    def _is_formula(self, kind: Kind) -> bool:
        mode, _, schedule = kind
        if self.method in FORMULAS or mode is UpdateMode.SEQUENTIAL:
            return True
        return self.method == "auto" and (schedule in AVERAGED or not self.inputs.varies)

    def _by_formula(self, kind: Kind) -> _Rows:
        mode, server, schedule = kind
        exact = "thesis" if self.method == "thesis" else "exact"
        equal = self.placement is PlacementRule.EQUAL
        function, equation = _time_function(mode, server, schedule, exact, equal=equal, apart=self.inputs.apart)
        centre = self._centre
        gradient, workers = self.inputs.formula_t_grad_s(mode, self.counts, centre), self.counts.astype(np.float64)
        others = (*self.shares, *self._transfers_s)
        split = mode is UpdateMode.SYNC_SPLIT
        if (function, split) not in self.known:
            self.known[function, split] = function(workers, float(self.batches), gradient, *others)
        times = self.known[function, split]
        low: Floats | float = np.nan
        high: Floats | float = np.nan
        if self.method not in FORMULAS and self.inputs.doubt and mode is not UpdateMode.SEQUENTIAL:
            longer = function(workers, float(self.batches), gradient * (1 + _STEP), *others)
            low, high = self._calibration_interval(times, np.log(longer / times) / np.log1p(_STEP), centre)
        named = self.method if self.method in FORMULAS else "closed-form"
        return _Rows(times, gradient / workers if split else gradient, low, high, [equation], [named])

    @property
    def _transfers_s(self) -> tuple[float, ...]:
        """t_comm, or t_up and t_down where they differ; means, where means count [s]."""
        mean = self.inputs.t_comm_s if self.method in FORMULAS else self.inputs.comm_law.mean_s
        ratio = self.inputs.up_ratio
        return (ratio * mean, (2 - ratio) * mean) if self.inputs.apart else (mean,)

    @property
    def _centre(self) -> float:
        """The mean of t_grad by its centre, where means count."""
        return 1.0 if self.method in FORMULAS else self.inputs.grad_law.mean_s / self.inputs.t_grad_s

    def _calibration_interval(self, times: Floats, by_time: Floats, centre: float) -> tuple[Floats, Floats]:
        """Return the interval of the speedup that the uncertainty of the two times makes."""
        doubt = self.inputs.doubt
        half = QUANTILE * np.hypot(np.abs(1 - by_time) * np.hypot(doubt.t_grad, doubt.t_comm), doubt.model)
        speedup = self.batches * self.inputs.t_grad_s * centre / times
        return speedup * np.exp(-half), speedup * np.exp(half)

    def _by_estimator(self, kind: Kind) -> _Rows:
        from speedup.estimators import answer, speedup_interval  # noqa: PLC0415 - only where times vary

        questions = [self._question(kind, int(count)) for count in self.counts]
        found = [answer(question, self.method) for question in questions]
        sequential = self.batches * self.inputs.grad_law.mean_s
        intervals = [
            speedup_interval(
                question,
                one,
                sequential,
                self.inputs.plan_doubt(question.mode, question.server, question.workers, equal=_even(question.shares)),
            )
            for question, one in zip(questions, found, strict=True)
        ]
        return _Rows(
            np.array([one.time_s for one in found]),
            np.array([question.t_grad.mean_s for question in questions]),
            np.array([low for low, _ in intervals]),
            np.array([high for _, high in intervals]),
            [one.equation for one in found],
            [str(one.estimator) for one in found],
            np.array([not one.safe for one in found]),
        )

    def _question(self, kind: Kind, workers: int) -> Question:
        from speedup.estimators import Question  # noqa: PLC0415 - see _by_estimator

        mode, server, schedule = kind
        shares: tuple[float, ...] = ()
        if server is ServerKind.DISTRIBUTED and self.placement is not PlacementRule.EQUAL:
            shares = place(self.inputs.tensor_elements or (), workers, self.placement).shares
        return Question(
            mode=mode,
            server=server,
            schedule=self.inputs.sharing(mode) if server is ServerKind.DISTRIBUTED else schedule,
            workers=workers,
            batches=self.batches,
            t_grad=self.inputs.compute_law(mode, workers),
            t_comm=self.inputs.transfer_law(mode, server, schedule, workers, equal=_even(shares)),
            shares=shares,
            up_ratio=self.inputs.up_ratio,
        )


def _filled(values: list[Any], shape: tuple[int, int], kind: type[np.generic] = np.float64) -> NDArray[Any]:
    """Return one row of values under another, in a line; each is as long as a row, or one for all of it."""
    if all(isinstance(value, float) and math.isnan(value) for value in values):
        return np.broadcast_to(np.nan, math.prod(shape))
    table = np.empty(shape, kind)
    for row, value in zip(table, values, strict=True):
        row[:] = value
    return table.ravel()


def tabulate(
    inputs: Inputs,
    kinds: list[Kind],
    counts: Integers,
    batches: int,
    method: str,
    placement: PlacementRule,
) -> EstimateTable:
    """Return the table of every kind of plan at every worker count."""
    distributed = any(server is ServerKind.DISTRIBUTED for _, server, _ in kinds)
    shares = extreme_shares(inputs, placement if distributed else PlacementRule.EQUAL, counts)
    common = _Table(inputs, counts, batches, method, placement, shares, {})
    rows = [common.rows(kind) for kind in kinds]
    by_mode = _status(tuple(mode for mode, _, _ in kinds), counts, batches, inputs.batch, method)
    status = np.stack([by_mode[mode] for mode, _, _ in kinds])
    for index, one in enumerate(rows):
        if one.rough is not None:
            status[index, one.rough & (status[index] == 0)] = status_index(Status.ROUGH)
    words = tuple(dict.fromkeys(word for one in rows for word in (*one.equation, *one.estimator)))
    shape = (len(kinds), len(counts))
    return EstimateTable(
        families=tuple(Family(*kind) for kind in kinds),
        family=np.repeat(np.arange(len(kinds), dtype=np.int16), len(counts)),
        workers=np.tile(counts, len(kinds)),
        time_s=_filled([one.time_s for one in rows], shape),
        t_grad_worker_s=_filled([one.t_grad_worker_s for one in rows], shape),
        status=status.ravel(),
        equation=_filled([[words.index(word) for word in one.equation] for one in rows], shape, np.int8),
        estimator=_filled([[words.index(word) for word in one.estimator] for one in rows], shape, np.int8),
        words=words,
        low=_filled([one.low for one in rows], shape),
        high=_filled([one.high for one in rows], shape),
        inputs=inputs,
        batches=batches,
        method=method,
        placement=placement,
    )


def tabulate_parts(
    course: Course, kinds: list[Kind], counts: Integers, method: str, placement: PlacementRule
) -> list[EstimateTable]:
    """Return the table of every part of a run; all have the same rows."""
    return [tabulate(part.inputs, kinds, counts, part.batches, method, placement) for part in course.parts]


def estimate_plan(plan: Plan, inputs: Inputs, batches: int, method: str) -> Estimate:
    """Return the estimate of a single plan."""
    kind = (plan.mode, plan.server, plan.schedule)
    return tabulate(inputs, [kind], worker_counts(plan.workers), batches, method, plan.placement)[0]


def check_method(method: str) -> str:
    """Return a method that exists.

    Raises:
        PlanError: It does not.
    """
    if method not in METHODS:
        hint = suggestion(method, METHODS)
        raise PlanError(f'method = "{method}" is unknown. {hint}Allowed: {", ".join(METHODS)}.')
    return method


EXPECTED = "expected"
"""In the place of schedules: what to expect of a central server whose transfers nothing orders."""


def _schedules(words: str | Iterable[str] | None, method: str, *, varies: bool) -> tuple[Schedule, ...]:
    """Return the schedules that words name.

    With constant times, fair sharing keeps the workers in step for ever, which the least spread would end: there the
    thesis's cases are shown, and its mean is what to expect (ADR 0013).
    """
    spread = method in {"queueing", "simulation"} or (method == "auto" and varies)
    if words is None:
        return SIMULATED_SCHEDULES if spread else THESIS_SCHEDULES
    if words == EXPECTED:
        return (Schedule.FAIR if spread else Schedule.MEAN,)
    return some_of("schedules", words, CENTRAL_SCHEDULES)


def check_plan_words(
    modes: str | Iterable[str] | None,
    servers: str | Iterable[str] | None,
    schedules: str | Iterable[str] | None,
    method: str,
    placement: str,
    *,
    varies: bool = False,
) -> tuple[list[Kind], PlacementRule]:
    """Return the kinds of plan and the placement rule that the user's words name.

    Raises:
        PlanError: A word is unknown.
    """
    chosen = _schedules(schedules, check_method(method), varies=varies)
    averaged = [str(one) for one in chosen if one in AVERAGED]
    if averaged and method in {"queueing", "simulation"}:
        raise PlanError(
            f'schedule = "{averaged[0]}" is a case of the thesis\'s formulas, not a way to share a link; '
            f'method = "{method}" has {", ".join(SIMULATED_SCHEDULES)}.'
        )
    kinds = plan_kinds(some_of("modes", modes, TRAINING_MODES), some_of("servers", servers, SERVERS), chosen)
    return kinds, one_of("placement", placement, PlacementRule)


def estimate(
    profile: Profile | str | Path | None = None,
    *,
    t_grad: float | None = None,
    t_comm: float | None = None,
    t_up: float | None = None,
    batch: int | None = None,
    workers: int | Iterable[int] = DEFAULT_WORKERS,
    batches: int | None = None,
    modes: str | Iterable[str] | None = None,
    servers: str | Iterable[str] | None = None,
    schedules: str | Iterable[str] | None = None,
    method: str = "auto",
    placement: str = "equal",
    network: str | Link | MeasuredLink | None = None,
    latency_s: float = 0.0,
    cv_grad: float | None = None,
    cv_comm: float | None = None,
    up: str | Encoding | None = None,
    down: str | Encoding | None = None,
    deltas: bool = False,
    t_codec: float = 0.0,
) -> EstimateTable:
    r"""Estimate time and speedup of every plan.

    .. math:: S = D\,t_{grad} / t_{train} \qquad (4.23)

    with t_train as each row says. A worker of sync-split takes t_grad(ceil(b/N)) for its part of a batch where the
    profile has a sweep of batch sizes, otherwise t_grad/N.

    Args:
        profile: Profile, name of a shipped one, or path of a file; gives t_grad, t_comm and tensor sizes.
        t_grad: Gradient of one batch on one worker [s]; beats the profile's.
        t_comm: One transfer of all weights or gradients [s]; beats the profile's.
        t_up: One transfer of the gradients [s], if that is another time; t_comm then is that of the weights.
        batch: Samples in one batch of one worker, b, for which t_grad is measured or fitted; the profile's own by
            default. With ``t_grad`` it only tells where sync-split leaves workers without a sample.
        workers: Worker counts N, one or many.
        batches: Batches of the whole run, D; by default 128, or those of the profile's phases.
        modes: Some of ``sync-join``, ``sync-split``, ``async``; all by default.
        servers: Some of ``central``, ``distributed``; all by default.
        schedules: How the central server's link is shared, some of ``fair``, ``semaphore``, and the thesis's cases
            ``best``, ``worst``, ``mean``; or ``expected`` if nothing orders the transfers: ``fair``, or the ``mean``
            where no spread is known. By default ``fair`` and ``semaphore``; where no spread is known the thesis's four.
        method: ``auto`` takes for each row the cheapest estimator that is safe there and says which: the formula over
            whole batches where no time varies, else a recursion, queueing theory or a simulation. ``queueing`` and
            ``simulation`` force one; ``thesis`` has the formulas as printed, ``exact`` those over whole batches.
        placement: ``equal`` shares of a distributed server as 4.12 assumes, or ``greedy`` (Algorithm 3.7),
            ``lpt``, ``bytes`` over the profile's tensors.
        network: Bandwidth such as ``"1gbit"``, or a ``Link``: t_comm = latency + payload / bandwidth. Or a
            ``MeasuredLink``, or the ``.json`` file of one (``speedup transport``).
        latency_s: Fixed time of one message [s], with a network given as text.
        cv_grad: Coefficient of variation of t_grad; that of the profile's samples by default, 0 without any.
        cv_comm: Coefficient of variation of t_comm; likewise.
        up: Encoding of the gradients, such as ``int8`` (``speedup.payloads``); with a network, whose transfers then
            take what its bytes take. 32-bit floats by default.
        down: Encoding of the weights; likewise.
        deltas: Whether the server sends changes of the weights, which may lose as much as gradients.
        t_codec: What a worker takes to encode and decode, once an iteration [s]; one worker alone does not.

    Returns:
        The table, one plan a row, with the interval in which the speedup of one run lies at the level named.

    Raises:
        SpeedupError: Its ``UnitError`` for a number out of range, ``PlanError`` for an unknown word or too little
            given, ``ProfileError`` for a broken file or no t_comm, ``UnknownNameError`` for an unknown profile.

    Example:
        >>> table = estimate("resnet34", workers=8, modes="sync-join", servers="distributed")
        >>> round(table[0].speedup, 4), table[0].equation
        (2.9318, 'W.4')
    """
    counts = worker_counts(workers)
    given: dict[str, Any] = {"t_grad": t_grad, "t_comm": t_comm, "t_up": t_up, "cv_grad": cv_grad, "cv_comm": cv_comm}
    given |= {"up": up, "down": down, "deltas": deltas, "t_codec": t_codec}
    course = course_of(profile, batches, **given, batch=batch, network=network, latency_s=latency_s)
    kinds, rule = check_plan_words(modes, servers, schedules, method, placement, varies=course.inputs.varies)
    return added_up(tabulate_parts(course, kinds, counts, method, rule), course)
