"""One round of a central server: a queued semaphore for each direction, or fair sharing.

A round is the whole run of asynchronous training, and one iteration of synchronous training.
"""

from __future__ import annotations

import math

from .codes import (
    ACTIVITY,
    COMPUTE,
    COMPUTING,
    DONE,
    IDLE,
    IN_BUSY,
    LENGTH,
    OUT_BUSY,
    PULL,
    PULL_WAIT,
    PUSH,
    PUSH_WAIT,
)
from .kernels import draw, draw_gradient, finish, heap_pop, heap_push, inlined, loop, move_on, record, take

SMALL = 128
"""Workers up to which a sorted ring beats a heap."""


@loop
def ring_size(workers):
    """Return the smallest power of two with room for every worker."""
    room = 1
    while room < workers:
        room *= 2
    return room


@inlined
def ring_insert(keys, owners, first, size, key, owner):
    """Insert into a sorted ring, from its end, behind those with the same key."""
    mask = len(keys) - 1
    at = first + size
    while at > first and keys[(at - 1) & mask] > key:
        keys[at & mask] = keys[(at - 1) & mask]
        owners[at & mask] = owners[(at - 1) & mask]
        at -= 1
    keys[at & mask] = key
    owners[at & mask] = owner


@inlined
def pull_guarded(laws, tables, odds, tally, total, trace, worker, now, free, rng):
    """Pull when the link is free, then compute; return when the link is free again and when the gradient is done."""
    turn = int(tally[worker, DONE])
    length = draw(laws, tables, PULL, worker, turn, rng)
    gradient = draw_gradient(laws, tables, odds, worker, turn, rng)
    began = max(now, free)
    over = began + length
    total[OUT_BUSY] += length
    tally[worker, PULL_WAIT] += began - now
    tally[worker, COMPUTING] += gradient
    record(trace, total, tally, worker, PULL, now, began, over)
    record(trace, total, tally, worker, COMPUTE, over, over, over + gradient)
    return over, over + gradient


@inlined
def push_guarded(laws, tables, tally, total, trace, pool, worker, now, free, rng):
    """Push when the link is free; return when it is free again."""
    length = draw(laws, tables, PUSH, worker, int(tally[worker, DONE]), rng)
    began = max(now, free)
    over = began + length
    total[IN_BUSY] += length
    tally[worker, PUSH_WAIT] += began - now
    record(trace, total, tally, worker, PUSH, now, began, over)
    finish(pool, tally, total, worker, over)
    return over


@loop
def semaphore_round(begin, members, run, line, computing, rng):
    """Run one round in which a semaphore serves one worker a direction, first come, first served.

    No event list is needed. Pushes end in the order in which they began, so the pulls that follow them wait in a
    ring; only the gradients overtake one another, and they are kept sorted. The earlier of the two firsts is always
    safe to serve, because a request creates only later ones.

    Args:
        begin: When the round begins [s].
        members: The workers that take part, in the order in which they join.
        run: The replication; its pool and tallies are written.
        line: Room for the workers that wait to pull: times and owners, shape (2^k,) each.
        computing: The same for those that compute.
        rng: Random generator.

    Returns:
        End of the round [s].
    """
    laws, tables, odds, tally, total, trace = run.laws, run.tables, run.odds, run.tally, run.total, run.trace
    join_s, leave_s, quota, pool = run.join_s, run.leave_s, run.quota, run.pool
    (line, waiting), (keys, owners) = line, computing
    count, small, mask = len(members), len(quota) <= SMALL, len(line) - 1
    pull_free = push_free = begin
    joined = head = tail = first = size = 0
    while True:
        request = line[head & mask] if head < tail else math.inf
        arrival = max(begin, join_s[members[joined]]) if joined < count else math.inf
        ready = keys[first & mask] if size > 0 else math.inf
        if min(request, arrival) <= ready:
            if request == math.inf and arrival == math.inf:
                return push_free
            if request <= arrival:
                worker, now = waiting[head & mask], request
                head += 1
            else:
                worker, now = members[joined], arrival
                joined += 1
            if take(pool, quota, leave_s, worker, now):
                pull_free, due = pull_guarded(laws, tables, odds, tally, total, trace, worker, now, pull_free, rng)
                if small:
                    ring_insert(keys, owners, first, size, due, worker)
                else:
                    heap_push(keys, owners, size, due, worker)
                size += 1
        else:
            worker = owners[first & mask]
            if small:
                first += 1
            else:
                heap_pop(keys, owners, size)
            size -= 1
            push_free = push_guarded(laws, tables, tally, total, trace, pool, worker, ready, push_free, rng)
            line[tail & mask], waiting[tail & mask] = push_free, worker
            tail += 1


@inlined
def next_end(tags, clock, count, now):
    """Return when the first of the transfers that share a direction ends if nobody comes [s]."""
    return now + (tags[0] - clock) * count if count > 0 else math.inf


@loop
def fair_round(begin, members, run, pulls, pushes, computing, rng):
    """Run one round in which the transfers of a direction share the server's link equally.

    Each direction keeps a virtual clock that advances by 1/n of the time while n transfers share it, so that a
    transfer of length x, begun when the clock shows v, ends when it shows v + x, whoever comes and goes.

    Args:
        pulls: Room for the pulls under way: keys and owners, shape (N,) each.
        pushes: The same for pushes.
        computing: The same for gradients.

    Other args and returns as ``semaphore_round``.
    """
    (pulls, pulling), (pushes, pushing), (keys, owners) = pulls, pushes, computing
    count, crew = len(members), run.crew
    joined = n_pull = n_push = size = 0
    pull_clock = push_clock = 0.0
    now = end = begin
    while True:
        pulled = next_end(pulls, pull_clock, n_pull, now)
        pushed = next_end(pushes, push_clock, n_push, now)
        ready = keys[0] if size > 0 else math.inf
        arrival = max(begin, run.join_s[members[joined]]) if joined < count else math.inf
        upcoming = min(pulled, pushed, ready, arrival)
        if upcoming == math.inf:
            return end
        pull_clock += (upcoming - now) / n_pull if n_pull > 0 else 0.0
        push_clock += (upcoming - now) / n_push if n_push > 0 else 0.0
        now = upcoming
        if now == pulled:
            worker, pull_clock = pulling[0], pulls[0]
            heap_pop(pulls, pulling, n_pull)
            n_pull -= 1
        elif now == pushed:
            worker, push_clock, end = pushing[0], pushes[0], now
            heap_pop(pushes, pushing, n_push)
            n_push -= 1
        elif now == ready:
            worker = owners[0]
            heap_pop(keys, owners, size)
            size -= 1
        else:
            worker = members[joined]
            joined += 1
        due = move_on(run, worker, now, rng)
        if crew[worker, ACTIVITY] == IDLE and due < math.inf:
            # A push is over: the worker asks for its next batch at once.
            due = move_on(run, worker, now, rng)
        if crew[worker, ACTIVITY] == COMPUTE:
            heap_push(keys, owners, size, due, worker)
            size += 1
        elif crew[worker, ACTIVITY] == PULL:
            pull_clock = pull_clock if n_pull > 0 else 0.0
            heap_push(pulls, pulling, n_pull, pull_clock + crew[worker, LENGTH], worker)
            n_pull += 1
        elif crew[worker, ACTIVITY] == PUSH:
            push_clock = push_clock if n_push > 0 else 0.0
            heap_push(pushes, pushing, n_push, push_clock + crew[worker, LENGTH], worker)
            n_push += 1
