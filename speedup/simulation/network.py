"""One round of a server made of several units, each behind links of its own: shards, or shares on the workers.

Weights travel from every unit to the worker that pulls, gradients from the worker to every unit. A transfer uses the
outgoing link of one machine and the incoming link of the other. Shares that live on the workers themselves have the
links of those workers, so that a pull meets the pushes of others there. A central server is the case of one unit,
which serves where the workers' links differ.
"""

from __future__ import annotations

import math

from .codes import ACTIVITY, LENGTH, PULL, PUSH
from .kernels import heap_pop, heap_push, inlined, loop, move_on

_ROUNDING = 1e-12
"""Part of a transfer, or of a rate, that counts as rounding: what ends together ends in one event."""


@inlined
def transfers(run):
    """Return how many transfers a phase has: one a unit, none to a worker's own."""
    return len(run.shares) - 1 if run.colocated else len(run.shares)


@inlined
def unit_of(run, worker, step):
    """Return the unit of a worker's step-th transfer: workers begin at different units, so as not to meet."""
    return (worker + step + (1 if run.colocated else 0)) % len(run.shares)


@inlined
def machine_of(run, unit):
    """Return the machine of a unit: workers come first, then dedicated units."""
    return unit if run.colocated else len(run.capacity) + unit


@loop
def guarded_round(begin, members, run, capacity, free, step, computing, rng):
    """Run one round in which each link is guarded by a semaphore: one transfer at a time, first come, first served.

    A worker makes its transfers one after another. Each waits until both of its links are free and then has them
    to itself; requests are served in the order in which they were made.

    Args:
        capacity: Rate of the links of each machine, shape (M,).
        free: Room for when their outgoing and incoming links are free, shape (2, M).
        step: Room for the transfer that each worker is at, shape (N,).
        computing: Room for what comes next: keys and owners, shape (N,) each.

    Other args and returns as ``semaphore_round``.
    """
    (keys, owners), size, crew, steps = computing, 0, run.crew, transfers(run)
    free[:], step[:] = begin, 0
    end = begin
    for worker in members:
        heap_push(keys, owners, size, max(begin, run.join_s[worker]), worker)
        size += 1
    while size > 0:
        now, worker = keys[0], owners[0]
        heap_pop(keys, owners, size)
        size -= 1
        activity = crew[worker, ACTIVITY]
        if (activity == PULL or activity == PUSH) and step[worker] < steps:
            unit = unit_of(run, worker, step[worker])
            machine = machine_of(run, unit)
            sender, receiver = (worker, machine) if activity == PUSH else (machine, worker)
            began = max(now, free[0, sender], free[1, receiver])
            volume = crew[worker, LENGTH] * capacity[worker] * run.shares[unit]
            due = began + volume / min(capacity[sender], capacity[receiver])
            free[0, sender] = free[1, receiver] = due
            step[worker] += 1
        else:
            end = max(end, now) if activity == PUSH else end
            due = move_on(run, worker, now, rng)
            step[worker] = 0
        if due < math.inf:
            heap_push(keys, owners, size, due, worker)
            size += 1
    return end


@loop
def max_min_rates(live, count, links, capacity, rate, left, load, tight):
    """Share out the links among flows so that no flow can have more without one that has less losing some.

    Args:
        live: Flows, the first ``count`` of them.
        count: How many.
        links: Outgoing and incoming link of each flow, shape (F, 2).
        capacity: Of each link, shape (L,).
        rate: Rate of each flow, shape (F,), written.
        left: Room for the capacity left, shape (L,).
        load: Room for the flows without a rate on each link, shape (L,).
        tight: Room for the links that are full at this level, shape (L,).
    """
    for link in range(len(capacity)):
        left[link], load[link] = capacity[link], 0
    for place in range(count):
        flow = live[place]
        rate[flow] = -1.0
        load[links[flow, 0]] += 1
        load[links[flow, 1]] += 1
    waiting = count
    while waiting > 0:
        level = math.inf
        for link in range(len(capacity)):
            if load[link] > 0:
                level = min(level, left[link] / load[link])
        for link in range(len(capacity)):
            tight[link] = load[link] > 0 and left[link] <= level * load[link] * (1.0 + _ROUNDING)
        for place in range(count):
            flow = live[place]
            one, other = links[flow, 0], links[flow, 1]
            if rate[flow] < 0.0 and (tight[one] or tight[other]):
                rate[flow] = level
                waiting -= 1
                for link in (one, other):
                    left[link] -= level
                    load[link] -= 1


@loop
def add_flows(run, worker, live, count, links, volume, machines):
    """Add the flows of a worker's phase, one a unit, and return how many flows there are now."""
    work = run.crew[worker, LENGTH] * run.capacity[worker]
    for step in range(transfers(run)):
        unit = unit_of(run, worker, step)
        if work * run.shares[unit] > 0.0:
            flow, machine = worker * len(run.shares) + unit, machine_of(run, unit)
            pushing = run.crew[worker, ACTIVITY] == PUSH
            links[flow, 0] = worker if pushing else machine
            links[flow, 1] = machines + (machine if pushing else worker)
            volume[flow, 0] = volume[flow, 1] = work * run.shares[unit]
            live[count] = flow
            count += 1
    return count


@loop
def end_flows(live, count, volume, rate, before, now, units, pending):
    """Let the flows run until ``now``, drop those that end, and return how many go on."""
    kept = 0
    for place in range(count):
        flow = live[place]
        over = before + volume[flow, 0] / rate[flow]
        volume[flow, 0] -= rate[flow] * (now - before)
        if over > now and volume[flow, 0] > _ROUNDING * volume[flow, 1]:
            live[kept] = flow
            kept += 1
        else:
            pending[flow // units] -= 1
    return kept


@loop
def shared_round(begin, members, run, capacity, flows, room, pending, computing, rng):
    """Run one round in which all transfers flow at once, each link shared max-min fairly.

    Args:
        capacity: Rate of the outgoing links of each machine, then of the incoming ones, shape (2 M,).
        flows: Room for the flows: which are live, their links, rates and volumes, shapes (F,), (F, 2), (F,), (F, 2).
        room: Room for ``max_min_rates``.
        pending: Room for the flows of each worker that are under way, shape (N,); -1 if it has none, or their end has
            been noticed.
        computing: Room for what comes next: keys and owners, shape (N,) each.

    Other args and returns as ``semaphore_round``.
    """
    (live, links, rate, volume), (left, load, tight), (keys, owners) = flows, room, computing
    workers, units, crew = len(run.quota), len(run.shares), run.crew
    pending[:] = -1
    count = size = 0
    for worker in members:
        heap_push(keys, owners, size, max(begin, run.join_s[worker]), worker)
        size += 1
    now = end = begin
    while size > 0 or count > 0:
        before, now = now, keys[0] if size > 0 else math.inf
        for place in range(count):
            now = min(now, before + volume[live[place], 0] / rate[live[place]])
        count = end_flows(live, count, volume, rate, before, now, units, pending)
        for worker in range(workers):
            if pending[worker] == 0:
                pending[worker] = -1
                heap_push(keys, owners, size, now, worker)
                size += 1
        while size > 0 and keys[0] <= now:
            worker = owners[0]
            heap_pop(keys, owners, size)
            size -= 1
            end = now if crew[worker, ACTIVITY] == PUSH else end
            due = move_on(run, worker, now, rng)
            begun = count
            if crew[worker, ACTIVITY] == PULL or crew[worker, ACTIVITY] == PUSH:
                count = add_flows(run, worker, live, count, links, volume, len(capacity) // 2)
            if count > begun:
                pending[worker] = count - begun
            elif due < math.inf:
                heap_push(keys, owners, size, due, worker)
                size += 1
        max_min_rates(live, count, links, capacity, rate, left, load, tight)
    return end
