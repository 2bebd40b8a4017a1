"""The rounds of a run, and the replications of runs."""

from __future__ import annotations

import math

import numpy as np

from .central import fair_round, ring_size, semaphore_round
from .codes import (
    ACTIVITY,
    ALONE,
    BARRIER_WAIT,
    BUDGET,
    CARRIED,
    FINISHED,
    GRAD_SCALE,
    IDLE,
    LAST,
    Discipline,
    Rounds,
)
from .kernels import Run, allocating
from .network import guarded_round, shared_round

_SEMAPHORE, _FAIR, _GUARDED, _ = (int(one) for one in Discipline)
_ASYNC, _, _SPLIT = (int(one) for one in Rounds)


@allocating
def heap_room(size):
    """Return room for the keys and owners of a heap or ring."""
    return np.empty(size), np.empty(size, np.int64)


@allocating
def link_capacities(run):
    """Return the rate of every machine's link, the same in both directions; a dedicated unit's is 1."""
    workers = len(run.capacity)
    capacity = np.ones(workers if run.colocated else workers + len(run.shares))
    capacity[:workers] = run.capacity
    return capacity


@allocating
def play_round(discipline, begin, members, run, rng):
    """Run one round and return its end [s]."""
    workers = len(run.quota)
    if discipline == _SEMAPHORE:
        size = ring_size(workers)
        return semaphore_round(begin, members, run, heap_room(size), heap_room(size), rng)
    if discipline == _FAIR:
        return fair_round(begin, members, run, heap_room(workers), heap_room(workers), heap_room(workers), rng)
    capacity = link_capacities(run)
    if discipline == _GUARDED:
        free, step = np.empty((2, len(capacity))), np.empty(workers, np.int64)
        return guarded_round(begin, members, run, capacity, free, step, heap_room(workers), rng)
    count, links = workers * len(run.shares), 2 * len(capacity)
    flows = np.empty(count, np.int64), np.empty((count, 2), np.int64), np.empty(count), np.empty((count, 2))
    room = np.empty(links), np.empty(links, np.int64), np.empty(links, np.bool_)
    both, pending = np.concatenate((capacity, capacity)), np.empty(workers, np.int64)
    return shared_round(begin, members, run, both, flows, room, pending, heap_room(workers), rng)


@allocating
def run_async(discipline, batches, static, run, rng):
    """Run without barriers and return the end [s]; infinity if batches are left over when all workers have left."""
    workers = len(run.quota)
    for worker in range(workers):
        share = batches // workers + (1 if worker < batches % workers else 0)
        run.quota[worker] = share if static else batches
    run.odds[GRAD_SCALE] = 1.0
    run.pool[:] = 0
    run.pool[BUDGET] = batches
    members = np.argsort(run.join_s, kind="mergesort")
    end = play_round(discipline, 0.0, members, run, rng)
    return end if run.pool[FINISHED] == batches else math.inf


@allocating
def run_sync(discipline, split, batches, run, rng):
    """Run round by round, each with the workers present at its begin, and return the end [s]."""
    now, left = 0.0, batches
    while left > 0:
        members = np.flatnonzero((run.join_s <= now) & (run.leave_s > now))
        if len(members) == 0:
            to_come = run.join_s[run.join_s > now]
            if len(to_come) == 0:
                return math.inf
            now = to_come.min()
            continue
        if not split:
            members = members[:left]
        run.odds[GRAD_SCALE] = 1.0 / len(members) if split else 1.0
        run.quota[:] = 1
        run.pool[:] = 0
        run.pool[BUDGET] = len(members)
        now = play_round(discipline, now, members, run, rng)
        left -= 1 if split else len(members)
        for worker in members:
            run.tally[worker, BARRIER_WAIT] += now - run.tally[worker, LAST]
    return now


@allocating
def replicate(discipline, rounds, batches, static, first, join_s, tallies, totals, times, rng):
    """Run every replication.

    Args:
        discipline: A ``Discipline``.
        rounds: A ``Rounds``.
        batches: D.
        static: Whether every worker has batches of its own.
        first: The first replication; the others differ in their joins and keep no trace.
        join_s: When each worker joins [s], shape (R, N).
        tallies: What the workers have done, shape (R, N, 6), written.
        totals: What the runs add up, shape (R, 7), written.
        times: t_train [s], shape (R,), written; infinity where every worker left too soon.
        rng: Random generator.
    """
    own = first.shares if first.colocated else np.zeros(len(first.quota))
    first.crew[:, ALONE] = 1.0 - own
    first.crew[:, CARRIED] = (1.0 - own) * first.capacity / len(first.shares)
    no_trace = np.zeros((0, 6))
    for row in range(len(times)):
        first.crew[:, ACTIVITY] = IDLE
        run = Run(
            first.laws,
            first.tables,
            first.odds,
            join_s[row],
            first.leave_s,
            first.quota,
            first.pool,
            first.crew,
            tallies[row],
            totals[row],
            first.trace if row == 0 else no_trace,
            first.shares,
            first.colocated,
            first.capacity,
        )
        if rounds == _ASYNC:
            times[row] = run_async(discipline, batches, static, run, rng)
        else:
            times[row] = run_sync(discipline, rounds == _SPLIT, batches, run, rng)
