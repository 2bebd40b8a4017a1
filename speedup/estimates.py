"""Plans x times -> time, speedup, efficiency: the table that every answer is read from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.errors import UnitError
from speedup.kinds import check_plan_words
from speedup.phases import added_up, course_of
from speedup.plans import PlacementRule, Plan, ServerKind, UpdateMode
from speedup.rows import RowMaker, extreme_shares
from speedup.tables import Estimate, EstimateTable, Family, Status, collective_index, status_index
from speedup.units import whole

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    from numpy.typing import NDArray

    from speedup.cluster import Link, MeasuredLink
    from speedup.inputs import Inputs
    from speedup.payloads import Encoding
    from speedup.phases import Course
    from speedup.practice import PracticeOptions
    from speedup.profile import Profile
    from speedup.tables import Integers

DEFAULT_WORKERS = range(1, 9)


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
    kinds: list[Family],
    counts: Integers,
    batches: int,
    method: str,
    placement: PlacementRule,
) -> EstimateTable:
    """Return the table of every kind of plan at every worker count."""
    distributed = any(kind.server is ServerKind.DISTRIBUTED for kind in kinds)
    shares = extreme_shares(inputs, placement if distributed else PlacementRule.EQUAL, counts)
    maker = RowMaker(inputs, counts, batches, method, placement, shares)
    rows = [maker.rows(kind) for kind in kinds]
    by_mode = _status(tuple(kind.mode for kind in kinds), counts, batches, inputs.batch, method)
    status = np.stack([by_mode[kind.mode] for kind in kinds])
    for index, one in enumerate(rows):
        if one.rough is not None:
            status[index, one.rough & (status[index] == 0)] = status_index(Status.ROUGH)
    words = tuple(dict.fromkeys(word for one in rows for word in (*one.equation, *one.estimator)))
    shape = (len(kinds), len(counts))

    def filled(name: str) -> NDArray[Any]:
        return _filled([getattr(one, name) for one in rows], shape)

    def numbered(name: str) -> NDArray[Any]:
        return _filled([[words.index(word) for word in getattr(one, name)] for one in rows], shape, np.int8)

    return EstimateTable(
        families=tuple(kinds),
        family=np.repeat(np.arange(len(kinds), dtype=np.int16), len(counts)),
        workers=np.tile(counts, len(kinds)),
        time_s=filled("time_s"),
        t_grad_worker_s=filled("t_grad_worker_s"),
        status=status.ravel(),
        equation=numbered("equation"),
        estimator=numbered("estimator"),
        words=words,
        low=filled("low"),
        high=filled("high"),
        collective=_filled([[collective_index(word) for word in one.collective] for one in rows], shape, np.int8),
        move_s=filled("move_s"),
        straggler_s=filled("straggler_s"),
        hidden_s=filled("hidden_s"),
        inputs=inputs,
        batches=batches,
        method=method,
        placement=placement,
    )


def tabulate_parts(
    course: Course, kinds: list[Family], counts: Integers, method: str, placement: PlacementRule
) -> list[EstimateTable]:
    """Return the table of every part of a run; all have the same rows."""
    return [tabulate(part.inputs, kinds, counts, part.batches, method, placement) for part in course.parts]


def estimate_plan(plan: Plan, inputs: Inputs, batches: int, method: str) -> Estimate:
    """Return the estimate of a single plan."""
    kind = Family(plan.mode, plan.server, plan.schedule, plan.collective)
    return tabulate(inputs, [kind], worker_counts(plan.workers), batches, method, plan.placement)[0]


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
    collectives: str | Iterable[str] | None = "best",
    **practice: Unpack[PracticeOptions],
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
        servers: Some of ``central``, ``distributed``, ``sharded``, ``byteps``, ``allreduce``; by default those that
            the method has, without ``sharded`` and ``byteps`` unless ``shards`` is given.
        schedules: How a central server's link is shared, some of ``fair``, ``semaphore``, and the thesis's cases
            ``best``, ``worst``, ``mean``; or ``expected`` if nothing orders the transfers: ``fair``, or the ``mean``
            where no spread is known. By default ``fair`` and ``semaphore``; where no spread is known the thesis's four.
            A sharded server is ``fair`` (K.1), or ``pipelined`` (K.2) where that is named.
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
        collectives: How an all-reduce goes: ``ring``, ``hierarchical``, ``halving-doubling``, ``recursive-doubling``,
            ``tree``, some of them, or ``best`` for the fastest at each count, which the row names.
        **practice: How training is done besides: ``overlap``, ``per_machine``, ``intra``, ``local_steps``, ``backup``,
            ``shards``; see ``speedup.practice.PracticeOptions``.

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
    given |= {"up": up, "down": down, "deltas": deltas, "t_codec": t_codec, **practice}
    course = course_of(profile, batches, **given, batch=batch, network=network, latency_s=latency_s)
    inputs = course.inputs
    kinds, rule = check_plan_words(
        modes,
        servers,
        schedules,
        method,
        placement,
        practice=inputs.practice,
        collectives=collectives,
        varies=inputs.varies,
    )
    return added_up(tabulate_parts(course, kinds, counts, method, rule), course)
