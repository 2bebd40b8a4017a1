"""What the compiled event loops share: their tables, draws, tallies and a heap.

The loops keep every number in a few plain arrays with named columns, and what they call is inlined: passing structures
about costs ten times what the loops themselves do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from numba import njit

from .codes import (
    ACTIVITY,
    ALONE,
    ASKED,
    BUDGET,
    CARRIED,
    COMPUTE,
    COMPUTING,
    DONE,
    FINISHED,
    FIRST_MARK,
    FIRST_MARKED,
    GRAD_SCALE,
    IDLE,
    IN_BUSY,
    KIND,
    LAST,
    LAST_MARK,
    LAST_MARKED,
    LENGTH,
    OUT_BUSY,
    PULL,
    PULL_WAIT,
    PUSH,
    PUSH_WAIT,
    SCALE,
    SHAPE,
    SLOWDOWN,
    STRAGGLING,
    TAKEN,
    TRACED,
    Kind,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


_njit: Any = njit
loop = _njit(cache=True, error_model="numpy", _nrt=False)
"""Compiles what allocates nothing: Numba would count references to every array at every call, ten times the work of the
loops themselves."""
inlined = _njit(cache=True, error_model="numpy", _nrt=False, inline="always")
"""The same, put into its caller."""
allocating = _njit(cache=True, error_model="numpy")
"""Compiles what makes arrays."""

_CONSTANT, _EXPONENTIAL, _GAMMA, _LOGNORMAL, _EMPIRICAL, _ = (int(kind) for kind in Kind)


class Run(NamedTuple):
    """One replication: what is given, and what is written in place.

    Attributes:
        laws: Law of each activity for each worker, shape (3, N, 3).
        tables: Values [s] of empirical laws and sequences, shape (3, N, K).
        odds: Factors of t_grad, shape (3,).
        join_s: When each worker joins [s], shape (N,).
        leave_s: When each worker leaves [s], shape (N,); it finishes the batch in hand.
        quota: Batches that each worker may still take, shape (N,).
        pool: Batches of the round, shape (3,).
        crew: What each worker is doing, shape (N, 5).
        tally: What each worker has done, shape (N, 6).
        total: What the run adds up, shape (7,).
        trace: Rows worker, batch, activity, requested, began, ended, shape (M, 6).
        shares: Share of the weights on each unit, shape (U,).
        colocated: Whether unit i lives on worker i, behind the same links.
        capacity: Rate of each worker's link, 1 for the fastest and for a dedicated unit's, shape (N,).
    """

    laws: Floats
    tables: Floats
    odds: Floats
    join_s: Floats
    leave_s: Floats
    quota: Integers
    pool: Integers
    crew: Floats
    tally: Floats
    total: Floats
    trace: Floats
    shares: Floats
    colocated: bool
    capacity: Floats


@inlined
def draw(laws, tables, activity, worker, turn, rng):
    """Return the next duration of a worker [s]; ``turn`` counts its batches, for a sequence."""
    kind = laws[activity, worker, KIND]
    seconds = laws[activity, worker, SCALE]
    if kind == _CONSTANT:
        pass
    elif kind == _EXPONENTIAL:
        seconds *= rng.standard_exponential()
    elif kind == _GAMMA:
        seconds *= rng.standard_gamma(laws[activity, worker, SHAPE])
    elif kind == _LOGNORMAL:
        seconds *= math.exp(laws[activity, worker, SHAPE] * rng.standard_normal())
    elif kind == _EMPIRICAL:
        seconds *= tables[activity, worker, int(rng.random() * tables.shape[2])]
    else:
        seconds *= tables[activity, worker, turn % tables.shape[2]]
    return seconds


@inlined
def draw_gradient(laws, tables, odds, worker, turn, rng):
    """Return the next gradient time of a worker [s], which may straggle."""
    seconds = odds[GRAD_SCALE] * draw(laws, tables, COMPUTE, worker, turn, rng)
    if odds[STRAGGLING] > 0.0 and rng.random() < odds[STRAGGLING]:
        seconds *= odds[SLOWDOWN]
    return seconds


@inlined
def record(trace, total, tally, worker, activity, requested, began, ended):
    """Write a row of the trace while there is room."""
    row = int(total[TRACED])
    if row < trace.shape[0]:
        trace[row, 0] = worker
        trace[row, 1] = tally[worker, DONE]
        trace[row, 2] = activity
        trace[row, 3] = requested
        trace[row, 4] = began
        trace[row, 5] = ended
        total[TRACED] += 1


@inlined
def finish(pool, tally, total, worker, when):
    """Count a batch that is done, and read the clock at the marks."""
    tally[worker, DONE] += 1
    tally[worker, LAST] = when
    pool[FINISHED] += 1
    if pool[FINISHED] == total[FIRST_MARK]:
        total[FIRST_MARKED] = when
    if pool[FINISHED] == total[LAST_MARK]:
        total[LAST_MARKED] = when


@inlined
def take(pool, quota, leave_s, worker, now):
    """Take a batch from the pool, if there is one, the worker may have it and has not left."""
    taken = pool[TAKEN] < pool[BUDGET] and quota[worker] > 0 and now < leave_s[worker]
    if taken:
        pool[TAKEN] += 1
        quota[worker] -= 1
    return taken


@loop
def move_on(run, worker, now, rng):
    """End what a worker does and begin the next thing.

    Returns:
        When that ends [s], if it is a gradient; ``now`` if it is a transfer, or if a push is over and the worker may
        ask for another batch; infinity if there is none for it.
    """
    crew, tally, total, laws, tables = run.crew, run.tally, run.total, run.laws, run.tables
    activity, turn = int(crew[worker, ACTIVITY]), int(tally[worker, DONE])
    if activity == IDLE or activity == COMPUTE:
        if activity == IDLE and not take(run.pool, run.quota, run.leave_s, worker, now):
            return math.inf
        asking = PULL if activity == IDLE else PUSH
        length = draw(laws, tables, asking, worker, turn, rng)
        crew[worker, ACTIVITY], crew[worker, ASKED], crew[worker, LENGTH] = asking, now, length
        total[OUT_BUSY if asking == PULL else IN_BUSY] += length * crew[worker, CARRIED]
        return now
    asked = crew[worker, ASKED]
    waited = PULL_WAIT if activity == PULL else PUSH_WAIT
    tally[worker, waited] += now - asked - crew[worker, LENGTH] * crew[worker, ALONE]
    record(run.trace, total, tally, worker, activity, asked, asked, now)
    if activity == PUSH:
        crew[worker, ACTIVITY] = IDLE
        finish(run.pool, tally, total, worker, now)
        return now
    gradient = draw_gradient(laws, tables, run.odds, worker, turn, rng)
    crew[worker, ACTIVITY] = COMPUTE
    tally[worker, COMPUTING] += gradient
    record(run.trace, total, tally, worker, COMPUTE, now, now, now + gradient)
    return now + gradient


@inlined
def heap_push(keys, owners, size, key, owner):
    """Add to a binary heap of ``size`` entries; among equal keys the lowest owner comes first."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if keys[parent] < key or (keys[parent] == key and owners[parent] < owner):
            break
        keys[at] = keys[parent]
        owners[at] = owners[parent]
        at = parent
    keys[at] = key
    owners[at] = owner


@inlined
def heap_pop(keys, owners, size):
    """Remove the first of a binary heap of ``size`` entries; the caller has read it."""
    last = size - 1
    key, owner = keys[last], owners[last]
    at, child = 0, 1
    while child < last:
        right = child + 1
        if right < last and (
            keys[right] < keys[child] or (keys[right] == keys[child] and owners[right] < owners[child])
        ):
            child = right
        if key < keys[child] or (key == keys[child] and owner < owners[child]):
            break
        keys[at] = keys[child]
        owners[at] = owners[child]
        at, child = child, 2 * child + 1
    keys[at] = key
    owners[at] = owner
