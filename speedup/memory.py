"""What plans need of the memory of devices and servers, and of the servers' links, and which of them do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from speedup.errors import PlanError, UnitError
from speedup.placement import place
from speedup.plans import PlacementRule, ServerKind, UpdateMode, one_of
from speedup.profile import Provenance
from speedup.units import positive, show_bandwidth, show_bytes, whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from speedup.profile import Profile, StepCost, Workload
    from speedup.tables import EstimateTable

    Floats: TypeAlias = NDArray[np.float64]
    Booleans: TypeAlias = NDArray[np.bool_]

_SLOTS = {
    "gradient_descent": 0,
    "sgd": 0,
    "minibatch": 0,
    "momentum": 1,
    "nesterov": 1,
    "adaptive_nesterov": 1,
    "clr": 1,
    "persistency": 1,
    "adagrad": 1,
    "rmsprop": 1,
    "adadelta": 2,
    "adam": 2,
    "adam_eps_root": 2,
    "adam_hat": 2,
    "adamw": 2,
    "edge_popup": 1,
    "viviano": 1,
    "l0": 2,
    "l0_hard": 2,
}
"""Numbers that an optimizer keeps for each trained one, as they are measured where anybody measures them."""
_MOST_SLOTS = 2
_FROZEN = {"edge_popup", "viviano"}
"""Algorithms that keep weights beside the scores that they train."""
_STATELESS_WORKERS = {ServerKind.CENTRAL, ServerKind.SHARDED, ServerKind.DISTRIBUTED}
_SLACK = 1.01
"""A link that was measured may give a little more than its fitted bandwidth."""
_LARGEST_BATCH = 2**40


class Buffers(StrEnum):
    """What a server keeps of gradients until they have met the weights."""

    EACH = "each"
    """A buffer for each sender: what a server needs whose workers all send at once."""
    SUM = "sum"
    """One buffer, to which gradients are added as they arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryModel:
    """Memory of one training step by its batch.

    Attributes:
        weights_bytes: Weights, frozen ones included.
        trained_bytes: Those of them that are trained, which servers hold.
        gradients_bytes: Their gradients.
        optimizer_state_bytes: State of the optimizer.
        activations: Batch sizes that were measured, with the temporary memory of their steps [bytes].
        assumed: What nobody measured, a sentence each.

    Example:
        >>> from speedup import Profile
        >>> model = MemoryModel.of(Profile.load("resnet34"))
        >>> model.optimizer_state_bytes, model.assumed[0]
        (0.0, 'weights and gradients from the sizes of the tensors: assumed')
    """

    weights_bytes: float
    trained_bytes: float
    gradients_bytes: float
    optimizer_state_bytes: float
    activations: tuple[tuple[int, float], ...] = ()
    assumed: tuple[str, ...] = ()

    @classmethod
    def of(cls, profile: Profile) -> MemoryModel:
        """Return the model of a profile: measured where it is, else from tensor sizes and algorithm, and said so."""
        load, costs = profile.workload, profile.costs
        sizes: list[float] = []
        assumed: list[str] = []
        tensors = float(load.payload_bytes)
        frozen = 2 if load.algorithm in _FROZEN else 1
        for name, fallback in (("weights_bytes", frozen * tensors), ("gradients_bytes", tensors)):
            measured = _largest(costs, name)
            sizes.append(fallback if measured is None else measured)
            if measured is None and not assumed:
                assumed.append("weights and gradients from the sizes of the tensors: assumed")
        state = _largest(costs, "optimizer_state_bytes")
        if state is None:
            state, sentence = _assumed_state(load, tensors)
            assumed.append(sentence)
        knots = sorted((one.batch, float(one.activations_bytes)) for one in costs if one.activations_bytes is not None)
        if not knots:
            assumed.append("activations were not measured: what is needed is at least the rest")
        elif len(knots) == 1:
            assumed.append(f"activations in proportion to the batch, from batch {knots[0][0]} alone: assumed")
        return cls(
            weights_bytes=sizes[0],
            trained_bytes=sizes[1],
            gradients_bytes=sizes[1],
            optimizer_state_bytes=state,
            activations=tuple(knots),
            assumed=tuple(assumed),
        )

    @property
    def provenance(self) -> Provenance:
        """Whether all of it was measured."""
        return Provenance.ASSUMED if self.assumed else Provenance.MEASURED

    @property
    def complete(self) -> bool:
        """Whether activations are known; else all sums are lower limits."""
        return bool(self.activations)

    def activations_bytes(self, batch: ArrayLike) -> Floats:
        r"""Return the temporary memory of a step [bytes]; 0 where nothing is known of it.

        .. math:: A(b) = A(b_i) + (b - b_i)\,\frac{A(b_j) - A(b_i)}{b_j - b_i}

        Between batch sizes that were measured on the line from one to the next, beyond them on from the last one with
        the slope of the straight line through all.

        Args:
            batch: Samples of a step; any shape.
        """
        wanted = np.asarray(batch, dtype=np.float64)
        if not self.activations:
            return np.zeros_like(wanted)
        sizes, used = np.array(self.activations, dtype=np.float64).T
        slope = self._slope
        found = np.interp(wanted, sizes, used)
        found = np.where(wanted > sizes[-1], used[-1] + slope * (wanted - sizes[-1]), found)
        found = np.where(wanted < sizes[0], used[0] + slope * (wanted - sizes[0]), found)
        return np.asarray(np.maximum(found, 0.0), dtype=np.float64)

    @property
    def _slope(self) -> float:
        sizes, used = np.array(self.activations, dtype=np.float64).T
        if sizes.size == 1:
            return float(used[0] / sizes[0])
        away = sizes - sizes.mean()
        # What a compiler does differently for a larger batch may save memory, but a larger batch needs no less.
        return max(0.0, float(away @ used / (away @ away)))

    def worker_bytes(self, batch: ArrayLike, *, state: ArrayLike = True) -> Floats:
        """Return what a worker needs on its device [bytes].

        Args:
            batch: Samples of a step; any shape.
            state: Whether the worker has the optimizer's state, and not a server.

        Example:
            >>> model = MemoryModel(weights_bytes=4e9, trained_bytes=4e9, gradients_bytes=4e9,
            ...     optimizer_state_bytes=8e9, activations=((8, 1e9), (16, 2e9)))
            >>> model.worker_bytes([8, 12, 32]).tolist()
            [17000000000.0, 17500000000.0, 20000000000.0]
        """
        own = self.weights_bytes + self.gradients_bytes + self.activations_bytes(batch)
        return np.asarray(own + np.where(state, self.optimizer_state_bytes, 0.0), dtype=np.float64)

    def largest_batch(self, device_bytes: float, *, state: bool = True) -> int | None:
        """Return the largest batch that fits a device.

        Args:
            device_bytes: Memory of the device [bytes], > 0.
            state: Whether the worker has the optimizer's state.

        Returns:
            Samples; 0 if not even one fits, None if activations are not known to grow.

        Raises:
            UnitError: The memory is not above 0.

        Example:
            >>> model = MemoryModel(weights_bytes=4e9, trained_bytes=4e9, gradients_bytes=4e9,
            ...     optimizer_state_bytes=8e9, activations=((8, 1e9), (16, 2e9)))
            >>> model.largest_batch(20e9), model.largest_batch(16e9)
            (32, 0)
        """
        limit = positive("device memory", device_bytes, "bytes")

        def fits(batch: int) -> bool:
            return float(self.worker_bytes(batch, state=state)) <= limit

        if not fits(1):
            return 0
        if fits(_LARGEST_BATCH):
            return None
        low, high = 1, _LARGEST_BATCH
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low


def _largest(costs: tuple[StepCost, ...], name: str) -> float | None:
    known = [getattr(one, name) for one in costs if getattr(one, name) is not None]
    return float(max(known)) if known else None


def _assumed_state(load: Workload, tensors: float) -> tuple[float, str]:
    slots = _SLOTS.get(load.algorithm.lower().replace("-", "_"))
    if slots is None:
        return _MOST_SLOTS * tensors, (
            f'optimizer state of {_MOST_SLOTS} numbers a weight, because nobody knows "{load.algorithm}": assumed'
        )
    return slots * tensors, f"optimizer state of {slots} numbers a weight, as {load.algorithm} has: assumed"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Feasibility:
    """What each row of a table needs, and whether it is there.

    Attributes:
        worker_bytes: Memory of a worker's device [bytes], one a row.
        server_bytes: Memory of a machine that holds weights [bytes]; 0 where there is none.
        incoming_bytes_per_s: Gradients that arrive at such a machine, in the mean of an iteration [bytes/s].
        device_limit: Memory of a device [bytes]; None if nobody knows.
        server_limit: Memory of a machine that holds weights [bytes]; likewise.
        link_limit: Bandwidth of its link [bytes/s]; likewise.
        notes: What is assumed, and what could not be checked.
    """

    worker_bytes: Floats
    server_bytes: Floats
    incoming_bytes_per_s: Floats
    device_limit: float | None
    server_limit: float | None
    link_limit: float | None
    notes: tuple[str, ...] = ()

    @property
    def feasible(self) -> Booleans:
        """Whether each row fits everywhere, as far as is known."""
        return (
            self._fits(self.worker_bytes, self.device_limit)
            & self._fits(self.server_bytes, self.server_limit)
            & (self._fits(self.incoming_bytes_per_s, self.link_limit, _SLACK))
        )

    @staticmethod
    def _fits(needed: Floats, limit: float | None, slack: float = 1.0) -> Booleans:
        return np.asarray(needed <= (np.inf if limit is None else limit * slack))

    @property
    def shortage(self) -> Floats:
        """What each row needs of what it lacks most, by what there is; at most 1 where it fits."""
        needs = (
            (self.worker_bytes, self.device_limit),
            (self.server_bytes, self.server_limit),
            (self.incoming_bytes_per_s / _SLACK, self.link_limit),
        )
        known = [needed / limit for needed, limit in needs if limit is not None]
        return np.asarray(np.max([np.zeros_like(self.worker_bytes), *known], axis=0))

    def reason(self, row: int) -> str:
        """Return why a row does not fit, in words; empty if it does."""
        words = []
        if self.device_limit is not None and self.worker_bytes[row] > self.device_limit:
            words.append(f"a worker needs {_apart(self.worker_bytes[row], self.device_limit, 'the device has')}")
        if self.server_limit is not None and self.server_bytes[row] > self.server_limit:
            words.append(f"a server needs {_apart(self.server_bytes[row], self.server_limit, 'its machine has')}")
        if self.link_limit is not None and self.incoming_bytes_per_s[row] > self.link_limit * _SLACK:
            rate = show_bandwidth(float(self.incoming_bytes_per_s[row]))
            words.append(f"a server must take {rate}, its link has {show_bandwidth(self.link_limit)}")
        return "; ".join(words)

    def reasons(self) -> list[str]:
        """Return the reason of each row."""
        found = [""] * len(self.worker_bytes)
        for row in np.flatnonzero(~self.feasible):
            found[row] = self.reason(int(row))
        return found


def _apart(needed: float, limit: float, who: str) -> str:
    """Write two sizes so that they differ."""
    shown, has = show_bytes(float(needed)), show_bytes(limit)
    return f"{shown}, {who} {has}" if shown != has else f"{shown} ({needed:,.0f} bytes), {who} {limit:,.0f} bytes"


def feasibility_of(
    table: EstimateTable,
    *,
    model: MemoryModel | None = None,
    batch: int | None = None,
    device_bytes: float | None = None,
    server_bytes: float | None = None,
    buffers: str = Buffers.EACH,
) -> Feasibility:
    """Return what each row of a table needs of memory and links, and whether it is there.

    Args:
        table: The plans.
        model: Memory of a step; that of the table's profile if left out.
        batch: Samples of a worker's batch; those of the table's t_grad if left out. In sync-split a worker has its
            part of them.
        device_bytes: Memory of a worker's device; that of the profile's device if left out.
        server_bytes: Memory of a machine that holds weights, of a worker's own for a distributed server; not checked if
            left out.
        buffers: ``each`` or ``sum``: whether a server keeps the gradients of each sender.

    Raises:
        PlanError: Neither a model nor a profile is there, or the buffers are of no known kind.
        UnitError: A size is out of its range, or nobody knows the batch.

    Example:
        >>> from speedup import estimate
        >>> table = estimate("resnet34", workers=[8], modes="sync-join", servers="allreduce")
        >>> print(feasibility_of(table, device_bytes=100e6).reason(0))
        a worker needs 171 MB, the device has 100 MB
    """
    kind = one_of("buffers", buffers, tuple(Buffers))
    profile = table.inputs.profile
    if model is None and profile is None:
        raise PlanError("memory is known for a profile alone: name one, or give model=MemoryModel(...).")
    needs = model if model is not None else MemoryModel.of(profile)  # type: ignore[arg-type]
    device = device_bytes if device_bytes is not None or profile is None else profile.device.memory_bytes
    device = None if device is None else positive("device memory", device, "bytes")
    server = None if server_bytes is None else positive("server memory", server_bytes, "bytes")
    link = table.inputs.link
    notes = list(needs.assumed)
    if device is None:
        notes.append("nobody knows the memory of the device: not checked")
    share = _largest_share(table)
    return Feasibility(
        worker_bytes=_worker_bytes(table, needs, _batch(table, batch, needs)),
        server_bytes=_server_bytes(table, needs, share, kind),
        incoming_bytes_per_s=_incoming(table, share),
        device_limit=device,
        server_limit=server,
        link_limit=None if link is None else link.bandwidth_bytes_per_s,
        notes=tuple(notes),
    )


def _of_kind(table: EstimateTable, *servers: ServerKind) -> Booleans:
    return table.by_family(lambda family: family.server in servers)


def _senders(table: EstimateTable) -> Floats:
    """Return the machines that send gradients, one a row: accelerators of one machine sum theirs first."""
    return np.asarray(-(-table.workers // table.inputs.practice.per_machine), dtype=np.float64)


def _batch(table: EstimateTable, batch: int | None, needs: MemoryModel) -> Floats:
    """Return the samples of a worker's step, one a row."""
    profile = table.inputs.profile
    known = batch if batch is not None else table.inputs.t_grad.batch
    if known is None and profile is not None:
        known = profile.workload.batch
    if known is None:
        if needs.complete:
            raise UnitError("nobody said how many samples a batch has, by which memory grows. Give batch=.")
        known = 1
    split = table.by_family(lambda family: family.mode is UpdateMode.SYNC_SPLIT)
    whole_batch = float(whole("batch", known))
    return np.where(split, np.ceil(whole_batch / table.workers), whole_batch)


def _worker_bytes(table: EstimateTable, needs: MemoryModel, batch: Floats) -> Floats:
    # Where servers apply the gradients they have the state; workers that step between exchanges have their own.
    elsewhere = _of_kind(table, *_STATELESS_WORKERS) & (table.inputs.practice.local_steps == 1)
    return needs.worker_bytes(batch, state=~elsewhere)


def _largest_share(table: EstimateTable) -> Floats:
    """Return the share of the weights of the machine that holds most of them, one a row; 0 without a server."""
    workers, shards = _senders(table), np.maximum(table.servers, 1).astype(np.float64)
    share = np.where(_of_kind(table, ServerKind.CENTRAL, ServerKind.SHARDED), 1 / shards, 0.0)
    share = np.where(_of_kind(table, ServerKind.DISTRIBUTED), 1 / table.workers, share)
    helpers = np.minimum(shards, workers)
    several = np.maximum(workers, 2)
    helper = 2 * (workers - 1) / (several**2 + helpers * several - 2 * helpers)
    share = np.where(_of_kind(table, ServerKind.BYTEPS), helper, share)
    profile = table.inputs.profile
    if table.placement in {PlacementRule.EQUAL, PlacementRule.BYTES} or profile is None:
        return share
    tensors = profile.workload.tensor_elements
    counts, where = np.unique(table.workers, return_inverse=True)
    placed = np.array([max(place(tensors, int(count), table.placement).shares) for count in counts])
    return np.where(_of_kind(table, ServerKind.DISTRIBUTED), placed[where], share)


def _server_bytes(table: EstimateTable, needs: MemoryModel, share: Floats, buffers: Buffers) -> Floats:
    kept = np.where(_of_kind(table, ServerKind.BYTEPS), 0.0, needs.trained_bytes + needs.optimizer_state_bytes)
    count = _senders(table) if buffers is Buffers.EACH else np.ones(len(table))
    return np.asarray(share * (kept + count * needs.gradients_bytes))


def _incoming(table: EstimateTable, share: Floats) -> Floats:
    """Return the gradients that arrive at the machine that holds most, in the mean of an iteration [bytes/s]."""
    inputs = table.inputs
    if inputs.traffic is not None:
        payload = inputs.traffic.up_bytes
    elif inputs.profile is not None:
        payload = inputs.profile.workload.payload_bytes
    else:
        return np.zeros(len(table))
    others = _senders(table) - _of_kind(table, ServerKind.DISTRIBUTED)
    return np.asarray(share * others * payload / (table.t_iter_s * inputs.practice.local_steps))
