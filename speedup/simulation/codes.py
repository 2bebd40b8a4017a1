"""The numbers by which Python and the compiled loops understand each other."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """How a duration is drawn; the loops compare with these numbers."""

    CONSTANT = 0
    EXPONENTIAL = 1
    GAMMA = 2
    LOGNORMAL = 3
    EMPIRICAL = 4
    SEQUENCE = 5


class Discipline(IntEnum):
    """Which loop runs a round."""

    SEMAPHORE = 0
    """Central server, one transfer a direction."""
    FAIR = 1
    """Central server, a direction shared equally by workers with equal links."""
    GUARDED = 2
    """Any units, one transfer a link."""
    SHARED = 3
    """Any units, links shared max-min fairly."""


class Rounds(IntEnum):
    """What a round is."""

    ASYNC = 0
    """The whole run."""
    JOIN = 1
    """One batch a worker, then a barrier."""
    SPLIT = 2
    """One batch for all workers together, then a barrier."""


PULL, COMPUTE, PUSH, IDLE = 0, 1, 2, 3
"""What a worker does, in the order of a batch; the first three are also the rows of ``Run.laws``."""
KIND, SCALE, SHAPE = 0, 1, 2
"""Columns of a law: its ``Kind``; the factor of each draw, which is the mean [s] of a constant or an exponential, the
scale of a gamma, the median of a lognormal, 1 for values of a table; shape of a gamma or sigma of a lognormal."""
DONE, COMPUTING, PULL_WAIT, PUSH_WAIT, BARRIER_WAIT, LAST = range(6)
"""Columns of a worker's tally: batches done; seconds in gradients, lost in pulls, in pushes and at the barrier; end of
the last batch [s]."""
TALLIED = 6
OUT_BUSY, IN_BUSY, FIRST_MARK, LAST_MARK, FIRST_MARKED, LAST_MARKED, TRACED = range(7)
"""Places in the tally of a run: work for the mean unit's links [s]; two numbers of batches, and when so many were done
[s]; rows of the trace."""
RUN_TALLIED = 7
ACTIVITY, ASKED, LENGTH, ALONE, CARRIED = range(5)
"""Columns of ``Run.crew``: what a worker does; when its transfer was asked for [s]; how long that takes with nobody
else there [s]; the part of it that travels at all, as what stays on the worker's own unit does not; and its work for
the mean unit's link by second."""
BUDGET, TAKEN, FINISHED = 0, 1, 2
"""Places in ``Run.pool``: batches of the round, batches taken, batches done."""
GRAD_SCALE, STRAGGLING, SLOWDOWN = 0, 1, 2
"""Places in ``Run.odds``: factor of t_grad, 1/N where every batch is split; probability that a gradient straggles, and
how many times as long it takes then."""
