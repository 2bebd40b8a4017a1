"""Real training: gradients by the very steps that calibration times, weights updated by Optax where they live."""

from __future__ import annotations

import asyncio
import io
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from speedup.errors import PlanError
from speedup.files import write_bytes_atomically
from speedup.plans import ServerKind, UpdateMode
from speedup.units import whole

from ..architectures import architecture
from ..datasets import batch_at, load_dataset, synthetic
from ..training.algorithms import algorithm
from ..training.evaluation import evaluated
from ..training.problem import mean_cross_entropy, network_problem
from ..training.step import TrainingRun
from .checkpoints import Checkpoints
from .job import Compute, Job, Training
from .layout import Layout
from .run import Cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from speedup.plans import Plan

    from ..architectures import Architecture
    from ..datasets import Dataset
    from ..training.algorithms import Algorithm
    from .shards import Gradient


def training_run(training: Training) -> TrainingRun:
    """Return the network and the algorithm of a job, with their first state.

    Raises:
        UnknownNameError: Nobody knows the network or the algorithm.
    """
    entry, how = architecture(training.architecture), algorithm(training.algorithm)
    problem = network_problem(entry, classes=training.classes, seed=training.seed, criterion=how.criterion)
    return TrainingRun(problem, _scaled(how, training.rate), seed=training.seed)


def real_job(
    plan: Plan,
    network: str,
    batches: int,
    *,
    batch: int | None = None,
    data_folder: Path | None = None,
    checkpoint: Path | None = None,
    weights: Path | None = None,
    **options: Any,  # noqa: ANN401 - they are listed once, in Training
) -> Job:
    """Return a run that trains a network.

    Args:
        plan: Who computes what, and where the weights live.
        network: Name of the architecture.
        batches: Batches of the run, D.
        batch: Samples in a batch; None for the architecture's own.
        data_folder: Where the data set's files are.
        checkpoint: Folder for checkpoints.
        weights: File for the weights after the run.
        options: Other fields of ``Training``.

    Raises:
        UnknownNameError: Nobody knows the network or the algorithm.
        PlanError: The plan and the algorithm do not go together.
    """
    entry = architecture(network)
    training = Training(
        architecture=entry.name,
        batch=entry.default_batch if batch is None else whole("batch", batch),
        folder=_text(data_folder),
        checkpoint=_text(checkpoint),
        weights=_text(weights),
        **options,
    )
    job = Job(
        plan=plan,
        batches=batches,
        tensor_elements=training_run(training).tensor_elements,
        compute=Compute.REAL,
        training=training,
    )
    check_divisible(training, len(job.server_ranks))
    if plan.mode is UpdateMode.SYNC_SPLIT and plan.workers > training.batch:
        raise PlanError(
            f"a batch of {training.batch} cannot be split over {plan.workers} workers; give a larger batch, or fewer "
            "workers."
        )
    return job


def _text(path: Path | None) -> str | None:
    # Processes on other hosts start in another folder.
    return None if path is None else str(path.resolve())


def _scaled(how: Algorithm, rate: float) -> Algorithm:
    return how if rate == 1 else replace(how, optimizer=optax.chain(how.optimizer, optax.scale(rate)))


def check_divisible(training: Training, servers: int) -> None:
    """Check that the algorithm can be taken apart over several servers.

    Raises:
        PlanError: It cannot.
    """
    if servers > 1 and algorithm(training.algorithm).indivisible:
        raise PlanError(
            f'algorithm = "{training.algorithm}" needs the whole gradient for a step, which none of {servers} servers '
            'has. Use server = "central" or "allreduce".'
        )


class Flat:
    """The leaves of what is trained as one vector, in the order of a layout.

    Args:
        run: The training.
        layout: Which tensor stands where.
    """

    def __init__(self, run: TrainingRun, layout: Layout) -> None:
        self._leaves, self._structure = jax.tree.flatten(run.unflattened(run.state).trained)
        self._order = layout.order
        sizes = [math.prod(self._leaves[leaf].shape) for leaf in self._order]
        self._ends = np.cumsum(sizes)[:-1]

    def tree(self, vector: jax.Array) -> Any:  # noqa: ANN401 - a pytree
        """Return the pytree that a vector stands for."""
        pieces = jnp.split(vector, self._ends)
        leaves = dict(zip(self._order, pieces, strict=True))
        shaped = [leaves[place].reshape(leaf.shape) for place, leaf in enumerate(self._leaves)]
        return jax.tree.unflatten(self._structure, shaped)

    def vector(self, tree: Any) -> jax.Array:  # noqa: ANN401 - a pytree
        """Return the vector that stands for a pytree."""
        leaves = jax.tree.leaves(tree)
        return jnp.concatenate([leaves[leaf].ravel() for leaf in self._order])

    def forward(self, vector: NDArray[Any]) -> NDArray[Any]:
        """Return a vector with its tensors in forward order."""
        pieces = np.split(vector, self._ends)
        return np.concatenate([pieces[self._order.index(leaf)] for leaf in range(len(self._order))])

    def first(self) -> NDArray[np.float32]:
        """Return the first values."""
        return np.asarray(jax.jit(self.vector)(jax.tree.unflatten(self._structure, self._leaves)))


class Batches:
    """The batches of a run: a function of their number.

    Args:
        training: What is trained.
        entry: Its network.
        run: Its steps, for the batch that is calibrated with.
    """

    def __init__(self, training: Training, entry: Architecture, run: TrainingRun) -> None:
        self._training, self._entry, self._run = training, entry, run
        self._persistency = algorithm(training.algorithm).persistency or 1
        self.dataset = _dataset(training, entry)

    def sizes(self, parts: int) -> list[int]:
        """Return how many samples the parts of a batch have."""
        edges = [self._training.batch * part // parts for part in range(parts + 1)]
        return [stop - start for start, stop in pairwise(edges)]

    def __call__(self, number: int, part: int, parts: int) -> tuple[Any, int]:
        """Return a part of a batch, and its samples."""
        sizes = self.sizes(parts)
        start, size = sum(sizes[:part]), sizes[part]
        if self.dataset is None:
            return _made(self._run, size), size
        number //= self._persistency
        shape, training = self._entry.input_shape, self._training
        piece = slice(start, start + size)
        return batch_at(self.dataset, number, training.batch, training.seed, shape, piece), size


@lru_cache(maxsize=4)
def _made(run: TrainingRun, size: int) -> Any:  # noqa: ANN401 - a pytree
    return run.make_batch(size)


def _dataset(training: Training, entry: Architecture) -> Dataset | None:
    """Return the data set that a job names; None for the batch that calibration uses."""
    if training.data is None:
        return None
    if training.data == "synthetic":
        return synthetic(entry.input_shape, training.classes or entry.classes, seed=training.seed)
    return load_dataset(training.data, training.folder)


class RealComputation:
    """The gradient of a batch at the weights received.

    Args:
        job: The run.
        training: What is trained.
        run: Its steps.
        flat: Its weights as a vector.
        pool: Where it is computed.
    """

    def __init__(self, job: Job, training: Training, run: TrainingRun, flat: Flat, pool: ThreadPoolExecutor) -> None:
        self._run, self._flat, self._pool = run, flat, pool
        self._entry = architecture(training.architecture)
        self._batches = Batches(training, self._entry, run)
        moving = run.unflattened(run.state)
        self._carried, self._rest = moving.carried, moving.rest
        self.weights: NDArray[Any] = flat.first().copy()
        self.gradient: NDArray[Any] = self.weights
        parts = job.plan.workers if job.plan.mode is UpdateMode.SYNC_SPLIT else 1
        self._steps = {size: self._compiled(size) for size in set(self._batches.sizes(parts))}

    def _compiled(self, size: int) -> Callable[..., Any]:
        run, flat = self._run, self._flat

        def derived(vector: jax.Array, frozen: Any, carried: Any, rest: Any, batch: Any) -> Any:  # noqa: ANN401 - pytrees
            moving = run.unflattened(run.state)._replace(trained=flat.tree(vector), carried=carried, rest=rest)
            value, gradient, changed = run.derived(frozen, moving, batch)
            return value, flat.vector(gradient), changed

        arguments = (self.weights, run.frozen, self._carried, self._rest, _made(run, size))
        executable = jax.jit(derived).lower(*arguments).compile()
        # The first execution of a program is slower than the others.
        jax.block_until_ready(executable(*arguments))  # type: ignore[no-untyped-call]
        return executable

    async def __call__(self, batch: int, part: int, parts: int) -> tuple[float, float]:
        """Compute."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._compute, batch, part, parts)

    def _compute(self, number: int, part: int, parts: int) -> tuple[float, float]:
        batch, size = self._batches(number, part, parts)
        value, gradient, changed = self._steps[size](self.weights, self._run.frozen, self._carried, self._rest, batch)
        self.gradient = np.asarray(gradient)
        self._carried, self._rest = changed
        return float(size), float(value)

    def accuracy(self) -> float | None:
        """Return the share of the test samples that are classified as labelled; None without a data set."""
        data = self._batches.dataset
        if data is None:
            return None
        run = self._run
        moving = run.unflattened(run.state)._replace(carried=self._carried, rest=self._rest)
        trained = self._flat.tree(jnp.asarray(self.weights))
        predict = jax.jit(lambda inputs: run.logits(trained, run.frozen, moving, inputs))

        def inputs(part: slice) -> NDArray[Any]:
            return data.standardised(data.test_inputs[part], self._entry.input_shape)

        return evaluated(predict, inputs, data.test_labels, mean_cross_entropy)[1]


class RealShard:
    """Weights and the optimizer's state for them: all of them, or a stretch of the vector.

    Args:
        run: The steps.
        flat: The weights as a vector.
        part: Which of them; a slice of everything for a single server.
        pool: Where updates are computed.
        checkpoints: Where they are kept; None for nowhere.
    """

    def __init__(
        self, run: TrainingRun, flat: Flat, part: slice, pool: ThreadPoolExecutor, checkpoints: Checkpoints | None
    ) -> None:
        vector = flat.first()
        self._pool, self._checkpoints = pool, checkpoints
        everything = part == slice(0, len(vector))
        self._state: tuple[Any, Any]
        moving = run.unflattened(run.state)
        if everything:
            self._state = (jnp.asarray(vector), moving.optimizer)
        else:
            piece = jnp.asarray(vector[part])
            self._state = (piece, run.first_optimizer([piece]))

        def step(vector: jax.Array, optimizer: Any, gradient: jax.Array, value: jax.Array) -> tuple[Any, Any]:  # noqa: ANN401 - pytrees
            if everything:
                trained, after = run.updated(flat.tree(vector), optimizer, flat.tree(gradient), value)
                return flat.vector(trained), after
            [trained], after = run.updated([vector], optimizer, [gradient], value)
            return trained, after

        self._step = jax.jit(step)
        zero = jnp.zeros_like(self._state[0])
        # Compiled before the run, and thrown away.
        jax.block_until_ready(self._step(*self._state, zero, jnp.float32(0)))  # type: ignore[no-untyped-call]
        self.updates = 0
        self._rooms: dict[int, NDArray[Any]] = {}
        self.content: NDArray[Any] = np.asarray(self._state[0])

    def room(self, worker: int) -> NDArray[Any]:
        """Return where the gradient of a worker is received: one each, so that their sum has an order."""
        return self._rooms.setdefault(worker, np.empty_like(self.content))

    async def update(self, gradients: Sequence[Gradient]) -> None:
        """Take a step along the mean over all samples."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._update, gradients)

    def _update(self, gradients: Sequence[Gradient]) -> None:
        samples = sum(gradient.samples for gradient in gradients)
        mean = gradients[0].content * np.float32(gradients[0].samples / samples)
        for gradient in gradients[1:]:
            mean += gradient.content * np.float32(gradient.samples / samples)
        loss = sum(gradient.samples * gradient.loss for gradient in gradients) / samples
        self._state = self._step(*self._state, mean, np.float32(loss))
        # What is being sent keeps the weights from before.
        self.content = np.asarray(self._state[0])
        self.updates += 1
        if self._checkpoints is not None:
            self._checkpoints.offer(self.updates, self._state)

    def checkpoints(self) -> list[int]:
        """Return after how many updates it could go on."""
        return [] if self._checkpoints is None else self._checkpoints.counts()

    def restore(self, updates: int) -> None:
        """Go on from a checkpoint."""
        if self._checkpoints is not None:
            self._state = self._checkpoints.load(updates, self._state)
            self.content, self.updates = np.asarray(self._state[0]), updates

    def keep(self) -> None:
        """Write a checkpoint now."""
        if self._checkpoints is not None:
            self._checkpoints.write(self.updates, self._state)


async def real_cast(job: Job, rank: int) -> Cast:
    """Build what this process holds and computes, compiled.

    Raises:
        PlanError: The plan and the algorithm do not go together.
    """
    training = job.training
    if training is None:
        raise PlanError('compute = "real" needs a network to train.')
    check_divisible(training, len(job.server_ranks))
    pin(job, rank)
    pool = ThreadPoolExecutor(1, "compute")
    # Compiling takes seconds, in which messages are to move.
    return await asyncio.get_running_loop().run_in_executor(pool, _build, job, training, rank, pool)


def pin(job: Job, rank: int) -> None:
    """Keep the threads that this one starts from now on to the cores of its worker, and as many threads to a server."""
    cores = job.training.cores if job.training else None
    if cores is None:
        return
    # Read by JAX when it starts its threads. Several of them wait for one another by spinning, where workers compute.
    os.environ["NPROC"] = str(cores)
    if rank not in job.worker_ranks or not hasattr(os, "sched_setaffinity"):
        return
    have = sorted(os.sched_getaffinity(0))
    first = job.worker_ranks.index(rank) * cores
    os.sched_setaffinity(0, {have[(first + core) % len(have)] for core in range(cores)})


def _build(job: Job, training: Training, rank: int, pool: ThreadPoolExecutor) -> Cast:
    run, layout, cast = training_run(training), Layout.of(job.plan, job.tensor_elements), Cast()
    flat = Flat(run, layout)
    allreduce = job.plan.server is ServerKind.ALLREDUCE
    if rank in job.server_ranks or allreduce:
        part = layout.part(0 if allreduce else job.server_ranks.index(rank))
        cast.shard = RealShard(run, flat, part, pool, Checkpoints.of(training, rank, layout))
    if rank in job.worker_ranks:
        cast.computation = computation = RealComputation(job, training, run, flat, pool)
        if rank == job.worker_ranks[0]:
            cast.finish = lambda: _facts(computation, training, flat)
    return cast


def _facts(computation: RealComputation, training: Training, flat: Flat) -> dict[str, Any]:
    """Return what is known of the weights after the run, and write them where they are wanted."""
    accuracy = computation.accuracy()
    if training.weights is not None:
        content = io.BytesIO()
        np.save(content, flat.forward(computation.weights))
        write_bytes_atomically(training.weights, content.getvalue())
    return {} if accuracy is None else {"test_accuracy": accuracy}
