"""Plans x times -> time, speedup, efficiency: the table that every answer is read from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.errors import PlanError, UnitError
from speedup.inputs import Inputs, gather
from speedup.placement import place
from speedup.plans import (
    CENTRAL_SCHEDULES,
    SERVERS,
    TRAINING_MODES,
    PlacementRule,
    Plan,
    Schedule,
    ServerKind,
    UpdateMode,
    one_of,
    some_of,
)
from speedup.tables import Estimate, EstimateTable, Family, Status, status_index
from speedup.units import whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from speedup.cluster import Link
    from speedup.profile import Profile
    from speedup.tables import Floats, Integers

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


@cache
def _time_function(
    mode: UpdateMode, server: ServerKind, schedule: Schedule, method: str, *, equal: bool
) -> tuple[Callable[..., Any], str]:
    # SymPy is loaded on the first estimate, not on import.
    from speedup.formulas import plan_formula  # noqa: PLC0415
    from speedup.formulas.symbols import D, N, f_max, f_min, t_comm, t_grad  # noqa: PLC0415
    from speedup.numeric import numeric  # noqa: PLC0415

    expression, equation = plan_formula(mode, server, schedule, method, equal=equal)
    return numeric(expression, (N, D, t_grad, t_comm, f_max, f_min)), equation


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
) -> list[tuple[UpdateMode, ServerKind, Schedule]]:
    """Return every kind of plan; only a central server has a schedule."""
    of_server = {ServerKind.CENTRAL: schedules, ServerKind.DISTRIBUTED: (Schedule.NONE,)}
    return [(mode, server, one) for mode, server in product(modes, servers) for one in of_server[server]]


def tabulate(
    inputs: Inputs,
    kinds: list[tuple[UpdateMode, ServerKind, Schedule]],
    counts: Integers,
    batches: int,
    method: str,
    placement: PlacementRule,
) -> EstimateTable:
    """Return the table of every kind of plan at every worker count."""
    workers = counts.astype(np.float64)
    distributed = any(server is ServerKind.DISTRIBUTED for _, server, _ in kinds)
    largest, smallest = extreme_shares(inputs, placement if distributed else PlacementRule.EQUAL, counts)
    times, computing = np.empty((2, len(kinds), len(counts)))
    gradients = {mode: inputs.formula_t_grad_s(mode, counts) for mode in {kind[0] for kind in kinds}}
    families = []
    # Sync-split alone may have a time of its own for t_grad, so that the formula does not tell its value.
    row_of: dict[tuple[Callable[..., Any], bool], int] = {}
    for row, (mode, server, schedule) in enumerate(kinds):
        function, equation = _time_function(mode, server, schedule, method, equal=placement is PlacementRule.EQUAL)
        families.append(Family(mode, server, schedule, equation))
        # Some kinds share a formula, such as best and semaphore: it is evaluated once.
        split = mode is UpdateMode.SYNC_SPLIT
        same = row_of.setdefault((function, split), row)
        if same < row:
            times[row] = times[same]
        else:
            times[row] = function(workers, float(batches), gradients[mode], inputs.t_comm_s, largest, smallest)
        computing[row] = gradients[mode] / workers if split else gradients[mode]
    status = _status(tuple(mode for mode, _, _ in kinds), counts, batches, inputs.batch, method)
    return EstimateTable(
        families=tuple(families),
        family=np.repeat(np.arange(len(kinds)), len(counts)),
        workers=np.tile(counts, len(kinds)),
        time_s=times.ravel(),
        t_grad_worker_s=computing.ravel(),
        status=np.concatenate([status[mode] for mode, _, _ in kinds]),
        inputs=inputs,
        batches=batches,
        method=method,
        placement=placement,
    )


def estimate_plan(plan: Plan, inputs: Inputs, batches: int, method: str) -> Estimate:
    """Return the estimate of a single plan."""
    kind = (plan.mode, plan.server, plan.schedule)
    return tabulate(inputs, [kind], worker_counts(plan.workers), batches, method, plan.placement)[0]


def check_plan_words(
    modes: str | Iterable[str] | None,
    servers: str | Iterable[str] | None,
    schedules: str | Iterable[str] | None,
    method: str,
    placement: str,
) -> tuple[list[tuple[UpdateMode, ServerKind, Schedule]], PlacementRule]:
    """Return the kinds of plan and the placement rule that the user's words name.

    Raises:
        PlanError: A word is unknown.
    """
    from speedup.formulas import check_method  # noqa: PLC0415 - see _time_function

    check_method(method)
    kinds = plan_kinds(
        some_of("modes", modes, TRAINING_MODES),
        some_of("servers", servers, SERVERS),
        some_of("schedules", schedules, CENTRAL_SCHEDULES),
    )
    return kinds, one_of("placement", placement, PlacementRule)


def estimate(
    profile: Profile | str | Path | None = None,
    *,
    t_grad: float | None = None,
    t_comm: float | None = None,
    batch: int | None = None,
    workers: int | Iterable[int] = DEFAULT_WORKERS,
    batches: int = 128,
    modes: str | Iterable[str] | None = None,
    servers: str | Iterable[str] | None = None,
    schedules: str | Iterable[str] | None = None,
    method: str = "thesis",
    placement: str = "equal",
    network: str | Link | None = None,
    latency_s: float = 0.0,
) -> EstimateTable:
    r"""Estimate time and speedup of every plan.

    .. math:: S = D\,t_{grad} / t_{train} \qquad (4.23)

    with t_train from the equation that each row names. Where the profile has a sweep of batch sizes, a worker of
    sync-split takes t_grad(ceil(b/N)) for its part of a batch; otherwise t_grad/N, as the equations say.

    Args:
        profile: Profile, name of a shipped one, or path of a file; gives t_grad, t_comm and tensor sizes.
        t_grad: Gradient of one batch on one worker [s]; beats the profile's.
        t_comm: One transfer of all weights or gradients [s]; beats the profile's.
        batch: Samples in one batch of one worker, b; the profile's own by default. t_grad is then that of this batch
            size: measured, or fitted to those that were. With ``t_grad`` it says what batch that is for, and only
            tells where sync-split leaves workers without a sample.
        workers: Worker counts N, one or many.
        batches: Batches of the whole run, D.
        modes: Some of ``sync-join``, ``sync-split``, ``async``; all by default.
        servers: Some of ``central``, ``distributed``; all by default.
        schedules: Some of ``best``, ``worst``, ``mean``, ``semaphore`` for the central server; all by default.
        method: ``thesis`` for the formulas as printed, ``exact`` for whole batches.
        placement: ``equal`` shares of a distributed server as 4.12 assumes, or ``greedy`` (Algorithm 3.7),
            ``lpt``, ``bytes`` over the profile's tensors.
        network: Bandwidth such as ``"1gbit"``, or a ``Link``: t_comm = latency + payload / bandwidth.
        latency_s: Fixed time of one message [s], with a network given as text.

    Returns:
        The table, one plan a row.

    Raises:
        UnitError: A number is out of its range, or the network cannot be read.
        PlanError: A word is unknown, or too little was given.
        ProfileError: The profile's file is broken, or has no t_comm and no network was named.
        UnknownNameError: No shipped profile has that name.

    Example:
        >>> table = estimate("resnet34", workers=8, modes="sync-join", servers="distributed")
        >>> round(table[0].speedup, 4), table[0].equation
        (2.9318, '4.12')
    """
    kinds, rule = check_plan_words(modes, servers, schedules, method, placement)
    counts = worker_counts(workers)
    runs = whole("batches", batches)
    inputs = gather(profile, t_grad=t_grad, t_comm=t_comm, batch=batch, network=network, latency_s=latency_s)
    return tabulate(inputs, kinds, counts, runs, method, rule)
