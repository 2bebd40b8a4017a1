"""What an exchange of gradients takes, and how much of it is hidden, for all worker counts at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.plans import Collective, Schedule, ServerKind, collectives_tried, gradients_alone, weight_holders
from speedup.practice import BACKWARD, OverlapKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from speedup.inputs import Inputs

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exchange:
    """Exchanges of gradients, one a worker count.

    Attributes:
        time_s: What each takes if nothing else goes on [s].
        collective: Which all-reduce; ``none`` with a server.
        equation: Number of its equation.
    """

    time_s: Floats
    collective: list[Collective]
    equation: list[str]


@cache
def _function(
    server: ServerKind, schedule: Schedule, collective: Collective, *, equal: bool, single: bool
) -> tuple[Callable[..., Any], str]:
    # SymPy is loaded on the first estimate, not on import.
    from speedup.formulas import exchange_formula  # noqa: PLC0415
    from speedup.formulas.symbols import N, a, a_intra, f_max, f_min, k, r, t_comm, t_intra  # noqa: PLC0415
    from speedup.numeric import numeric  # noqa: PLC0415

    expression, number = exchange_formula(server, schedule, collective, equal=equal, single=single)
    return numeric(expression, (N, k, r, t_comm, a, t_intra, a_intra, f_max, f_min)), number


@dataclass(frozen=True, slots=True)
class Exchanges:
    """The exchanges of one kind of plan.

    Attributes:
        inputs: The times and the practice.
        server: Where the weights live.
        schedule: How links are shared.
        collective: Which all-reduce; ``best`` for the fastest, ``none`` with a server.
        shares: Largest and smallest share of a unit of a distributed server, or 0 and 0 for equal ones.
    """

    inputs: Inputs
    server: ServerKind
    schedule: Schedule
    collective: Collective
    shares: tuple[Floats | float, Floats | float] = (0.0, 0.0)

    def of(self, workers: NDArray[np.int64], share: float = 1.0) -> Exchange:
        """Return the exchanges of worker counts.

        Args:
            workers: N, shape (K,).
            share: How much of the gradients is exchanged.
        """
        tried = collectives_tried(self.collective)
        found = [self._one(one, workers, share) for one in tried]
        times = np.stack([time_s for time_s, _ in found])
        # Of the same time, the first named: a difference in the last bits is none.
        fastest = np.argmax(times <= times.min(axis=0) * (1 + 1e-12), axis=0)
        return Exchange(times.min(axis=0), [tried[index] for index in fastest], [found[index][1] for index in fastest])

    def _one(self, collective: Collective, workers: NDArray[np.int64], share: float) -> tuple[Floats, str]:
        inputs, practice = self.inputs, self.inputs.practice
        equal = isinstance(self.shares[0], float)
        single = practice.per_machine == 1
        function, number = _function(self.server, self.schedule, collective, equal=equal, single=single)
        shards = weight_holders(self.server, workers, practice.shards)
        n = workers.astype(np.float64)
        sized_s = share * moved_s(inputs, self.server, self.schedule)
        latency_s = inputs.latency_s if self.server is ServerKind.ALLREDUCE else 0.0
        within = (practice.t_intra_s * share, practice.latency_intra_s)
        times = function(n, shards, practice.per_machine, sized_s, latency_s, *within, *self.shares)
        return np.broadcast_to(np.asarray(times, dtype=np.float64), n.shape), number

    def hidden_s(self, workers: NDArray[np.int64], exchange: Exchange, t_grad_s: Floats) -> Floats:
        """Return how much of each exchange goes on while gradients are computed [s].

        Weights that are fetched before gradients are given, and by a central server one after another, cannot be
        hidden behind the backward pass: there it is half of the exchange that can.

        Args:
            workers: N, shape (K,).
            exchange: Theirs.
            t_grad_s: Gradient of a step [s], shape (K,).
        """
        overlap = self.inputs.practice.overlap
        part = 1.0 if gradients_alone(self.server, self.schedule) else 0.5
        given_s = part * exchange.time_s
        backward_s = backward_share(self.inputs) * t_grad_s
        if overlap.kind is OverlapKind.NORM:
            longer = np.maximum(given_s, t_grad_s)
            both = longer * ((given_s / longer) ** overlap.value + (t_grad_s / longer) ** overlap.value) ** (
                1 / overlap.value
            )
            return np.asarray(given_s + t_grad_s - both)
        if overlap.kind is OverlapKind.LAYERS:
            return self._by_layers(workers, given_s, part, backward_s)
        last = 1 - 1 / layers(self.inputs)
        return np.asarray(overlap.value * last * np.minimum(given_s, backward_s))

    def _by_layers(self, workers: NDArray[np.int64], given_s: Floats, part: float, backward_s: Floats) -> Floats:
        sizes = self.inputs.tensor_elements or (1,)
        # From the last layer to the first: its share of the backward pass.
        passes = np.array(self.inputs.practice.backward_s[::-1] or (1,) * len(sizes), dtype=np.float64)
        done = np.cumsum(passes) / passes.sum()
        empty_s = part * self.of(workers, 0.0).time_s
        finished = np.zeros(len(workers))
        for share, size in zip(done, reversed(sizes), strict=True):
            finished = np.maximum(finished, backward_s * share) + empty_s + (given_s - empty_s) * size / sum(sizes)
        # Every layer's messages have a latency of their own: much of it may cost more than sending all at once.
        return np.asarray(given_s + backward_s - finished)


def moved_s(inputs: Inputs, server: ServerKind, schedule: Schedule) -> float:
    """Return W of an exchange, what all gradients take over a link [s].

    An all-reduce has no weights to send, and its messages have their latency apart; a pipeline waits for the slower
    direction.
    """
    if server is ServerKind.ALLREDUCE:
        return inputs.t_up_s - inputs.latency_s
    return max(inputs.t_up_s, inputs.t_down_s) if schedule is Schedule.PIPELINED else inputs.t_comm_s


def layers(inputs: Inputs) -> float:
    """Return how many tensors are sent one after another; without end where nobody knows them."""
    return float(len(inputs.tensor_elements)) if inputs.tensor_elements else float("inf")


def backward_share(inputs: Inputs) -> float:
    """Return the share of the backward pass in t_grad: the profile's, or else two thirds."""
    if inputs.practice.backward_s:
        return min(sum(inputs.practice.backward_s) / inputs.t_grad_s, 1.0)
    costs = inputs.profile.costs if inputs.profile else ()
    known = [one for one in costs if one.forward_s and one.backward_s]
    if not known:
        return BACKWARD
    nearest = min(known, key=lambda one: abs(one.batch - (inputs.batch or one.batch)))
    step_s = sum(part or 0.0 for part in (nearest.forward_s, nearest.backward_s, nearest.update_s))
    return (nearest.backward_s or 0.0) / step_s
