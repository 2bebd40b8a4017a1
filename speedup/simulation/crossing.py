"""What hosts that exchange shares out of step cost one another even where links are shared perfectly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from speedup.laws import Law, LawKind
from speedup.plans import Schedule, ServerKind, UpdateMode
from speedup.simulation.codes import LAST
from speedup.simulation.run import play
from speedup.simulation.scenario import Assignment, Scenario

_INSTANT_S = 1e-9


@lru_cache(maxsize=64)
def crossing(hosts: int, stagger: float, schedule: Schedule = Schedule.FAIR) -> float:
    """Return how much longer an exchange takes for hosts that begin one after another than for hosts in step.

    All fetch a share of a payload from each of the others, and then give one to each. In step, all fetch and then all
    give. Otherwise the fetching of some meets the giving of others on the same links.

    Args:
        hosts: How many, at least 2.
        stagger: By which part of an exchange in step each begins later than the one before.
        schedule: Whether transfers share links evenly, or go one after another (``semaphore``).

    Example:
        >>> crossing(2, 0.0), round(crossing(8, 0.1), 2)
        (1.0, 1.18)
    """
    phase_s = (hosts - 1) / hosts
    begin = stagger * phase_s * np.arange(hosts, dtype=np.float64)
    instant, transfer = Law.named(LawKind.CONSTANT, _INSTANT_S), Law.named(LawKind.CONSTANT, 1.0)
    scenario = Scenario(
        mode=UpdateMode.ASYNC,
        server=ServerKind.DISTRIBUTED,
        schedule=schedule,
        batches=hosts,
        t_grad=(instant,) * hosts,
        pull=(transfer,) * hosts,
        push=(transfer,) * hosts,
        shares=(1 / hosts,) * hosts,
        join_s=begin,
        leave_s=np.full(hosts, np.inf),
        assignment=Assignment.STATIC,
    )
    taken = play(scenario, replications=1, seed=0).tallies[0][:, LAST] - begin
    return round(float(taken.mean()) / 2 / phase_s, 6)
