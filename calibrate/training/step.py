"""One training step (loss, gradient, update), compiled once and repeated as training repeats it.

A network is split into arrays and structure once, and the step is a function of flat arrays, compiled ahead of
time. Calling ``nnx.jit`` or passing module states instead costs milliseconds a step in Python, which is no part of
t_grad and exceeds it for a small network. An executable compiled ahead of time cannot compile again: called with
other shapes or types it raises, so no compilation can hide in a sample.

Everything is compiled from shapes. What a step needs is known before anything of its size is allocated.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import optax

from speedup.errors import UnknownNameError

from .parametrisation import Parametrised, Tensor
from .problem import first_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax.stages import Compiled

    from .algorithms import Algorithm
    from .problem import Batch, Problem, Rest, Weights

Leaves: TypeAlias = tuple[jax.Array, ...]


class Moving(NamedTuple):
    """What a step is handed and hands on; what is frozen stands beside it, so that no step copies it.

    Attributes:
        trained: What is trained.
        carried: What the parametrisation carries without a gradient.
        rest: What the network carries without a gradient.
        optimizer: State of the optimizer.
    """

    trained: Any
    carried: Any
    rest: Rest
    optimizer: Any


def _bytes(tree: Any) -> int:  # noqa: ANN401 - any pytree
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


class TrainingRun:
    """A problem under an algorithm: the state that is handed from step to step.

    Weights, statistics of batch normalisation, dropout counters and the optimizer's state live here, so that
    steps of several batch sizes need them once. Nothing is allocated before it is needed.

    Args:
        problem: What is minimised.
        algorithm: How.
        seed: Of what the algorithm draws at random.

    Attributes:
        tensor_shapes: Shape of each tensor that travels, in forward order.
        tensor_elements: Elements of each.
        weights_bytes: Bytes of what is trained and of what is frozen.
        gradients_bytes: Bytes of the gradient of what is trained.
        optimizer_state_bytes: Bytes of the optimizer's state.

    Example:
        >>> from calibrate import algorithm, architecture
        >>> from calibrate.training.problem import network_problem
        >>> run = TrainingRun(network_problem(architecture("nardini_mlp")), algorithm("momentum"))
        >>> run.tensor_elements, run.optimizer_state_bytes
        ((235200, 300, 30000, 100, 1000, 10), 1066440)
    """

    def __init__(self, problem: Problem, algorithm: Algorithm, *, seed: int = 0) -> None:
        self._problem, self._algorithm, self._seed = problem, algorithm, seed
        self._optimizer = optax.with_extra_args_support(algorithm.optimizer)
        weights, _ = jax.eval_shape(problem.init)
        paths, self._structure = jax.tree_util.tree_flatten_with_path(weights)
        self._paths = [_names(paths[leaf][0]) for leaf in problem.order]
        frozen, moving = jax.eval_shape(lambda: self._first(*problem.init()))
        self._frozen_shapes, self._frozen_structure = jax.tree.flatten(frozen)
        self._shapes, self._state_structure = jax.tree.flatten(moving)
        self._frozen: Leaves | None = None
        self._state: Leaves | None = None
        self._measure_sizes(moving)

    def _first(self, weights: Weights, rest: Rest) -> tuple[Any, Moving]:
        leaves = jax.tree.leaves(weights)
        tensors = [Tensor(path, leaves[leaf]) for path, leaf in zip(self._paths, self._problem.order, strict=True)]
        start = self._algorithm.parametrisation.start(tensors, jax.random.key(self._seed))
        return start.frozen, Moving(start.trained, start.carried, rest, self._optimizer.init(start.trained))

    def allocate(self) -> float:
        """Make what is frozen and the first state on the device, once, and return the seconds that took."""
        begin = time.perf_counter()
        if self._state is None:
            frozen, moving = jax.jit(self._first)(*first_values(self._problem))
            self._frozen, self._state = tuple(jax.tree.leaves(frozen)), tuple(jax.tree.leaves(moving))
            jax.block_until_ready((self._frozen, self._state))  # type: ignore[no-untyped-call]
        return time.perf_counter() - begin

    @property
    def frozen(self) -> Leaves:
        """What no step changes, flat."""
        self.allocate()
        return self._frozen or ()

    @property
    def state(self) -> Leaves:
        """What steps are handed and hand on, flat."""
        self.allocate()
        return self._state or ()

    @state.setter
    def state(self, leaves: Leaves) -> None:
        self._state = leaves

    def unflattened(self, leaves: Leaves) -> Moving:
        """Return the state with its structure."""
        moving: Moving = jax.tree.unflatten(self._state_structure, leaves)
        return moving

    def resize(self, moving: Moving) -> None:
        """Go on from another state, whose arrays may have other sizes; what was compiled before is for the old ones."""
        self._state = tuple(jax.tree.leaves(moving))
        self._shapes = jax.tree.leaves(jax.eval_shape(lambda: moving))
        self._measure_sizes(moving)

    def _measure_sizes(self, moving: Moving) -> None:
        self.tensor_shapes = tuple(tuple(leaf.shape) for leaf in jax.tree.leaves(moving.trained))
        self.tensor_elements = tuple(map(math.prod, self.tensor_shapes))
        self.weights_bytes = _bytes(moving.trained) + _bytes(self._frozen_shapes)
        self.gradients_bytes = _bytes(moving.trained)
        self.optimizer_state_bytes = _bytes(moving.optimizer)

    def loss(self, trained: Any, frozen: Leaves, moving: Moving, batch: Batch) -> tuple[jax.Array, tuple[Any, Rest]]:  # noqa: ANN401
        """Return the loss and what it changes without a gradient: what is carried, and the rest."""
        parametrisation = self._algorithm.parametrisation
        fixed = jax.tree.unflatten(self._frozen_structure, frozen)
        now = Parametrised(trained, fixed, moving.carried)
        tensors, carried = parametrisation.weights(now)
        value, rest = self._problem.loss(self._unordered(tensors), moving.rest, batch)
        return value + parametrisation.penalty(now), (carried, rest)

    def _unordered(self, tensors: list[jax.Array]) -> Weights:
        leaves = dict(zip(self._problem.order, tensors, strict=True))
        return jax.tree.unflatten(self._structure, [leaves[leaf] for leaf in range(len(leaves))])

    def forward(self, frozen: Leaves, leaves: Leaves, batch: Batch) -> jax.Array:
        """Return the loss alone."""
        moving = self.unflattened(leaves)
        return self.loss(moving.trained, frozen, moving, batch)[0]

    def logits(self, trained: Any, frozen: Leaves, moving: Moving, inputs: jax.Array) -> jax.Array:  # noqa: ANN401 - a pytree
        """Return the main head's logits as in use, not in training.

        Raises:
            UnknownNameError: Only a loss is known of the problem.
        """
        if self._problem.logits is None:
            raise UnknownNameError(f'of "{self._problem.name}" only a loss is known, no logits.')
        fixed = jax.tree.unflatten(self._frozen_structure, frozen)
        tensors = self._algorithm.parametrisation.deployed(Parametrised(trained, fixed, moving.carried))
        return self._problem.logits(self._unordered(tensors), moving.rest, inputs)

    def derived(self, frozen: Leaves, moving: Moving, batch: Batch) -> tuple[jax.Array, Any, tuple[Any, Rest]]:
        """Return loss, gradient, and what the loss changes without one."""
        function = jax.value_and_grad(self.loss, has_aux=True)
        (value, changed), gradient = function(moving.trained, frozen, moving, batch)
        return value, gradient, changed

    def updated(self, trained: Any, optimizer: Any, gradient: Any, value: jax.Array) -> tuple[Any, Any]:  # noqa: ANN401 - pytrees
        """Return what is trained and the optimizer's state after a step along a gradient."""
        updates, state = self._optimizer.update(gradient, optimizer, trained, value=value)
        return self._algorithm.parametrisation.project(optax.apply_updates(trained, updates)), state

    def first_optimizer(self, trained: Any) -> Any:  # noqa: ANN401 - pytrees
        """Return the optimizer's first state for a part of what is trained."""
        return self._optimizer.init(trained)

    def gradient(self, frozen: Leaves, leaves: Leaves, batch: Batch) -> tuple[jax.Array, Any]:
        """Return loss and gradient."""
        value, gradient, _ = self.derived(frozen, self.unflattened(leaves), batch)
        return value, gradient

    def update(self, frozen: Leaves, leaves: Leaves, batch: Batch) -> tuple[Leaves, jax.Array]:
        """Return the state after a step, and the loss before it."""
        moving = self.unflattened(leaves)
        value, gradient, (carried, rest) = self.derived(frozen, moving, batch)
        trained, optimizer = self.updated(moving.trained, moving.optimizer, gradient, value)
        return tuple(jax.tree.leaves(Moving(trained, carried, rest, optimizer))), value

    def step(self, batch: int) -> TrainingStep:
        """Return the step at a batch size, compiled; nothing of its size is allocated.

        Args:
            batch: Samples in the batch.
        """
        return TrainingStep(self, batch, self._algorithm.persistency)

    def compiled(self, function: Callable[..., Any], batch: int) -> Compiled:
        """Return a function of state and batch, compiled for a batch size."""
        shapes = jax.eval_shape(lambda: self._problem.make_batch(batch))
        return jax.jit(function).lower(tuple(self._frozen_shapes), tuple(self._shapes), shapes).compile()

    def make_batch(self, batch: int) -> Batch:
        """Return a synthetic batch on the device."""
        return jax.jit(lambda: self._problem.make_batch(batch))()


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the names of a path; those of NNX end at the variable, not at the value in it."""
    if path and isinstance(path[-1], jax.tree_util.GetAttrKey) and path[-1].name == "value":
        path = path[:-1]
    return tuple(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path)


class TrainingStep:
    """What the sampler times: a step a call, each depending on the one before as in training.

    Calls return at once where the device works asynchronously: see ``wait``. The batch stays on the device, unless
    the algorithm loads it anew every few calls.

    Args:
        run: Whose state is handed on.
        batch: Samples in the batch.
        persistency: Load the batch from the host's memory every so many calls; None to load it once.

    Attributes:
        batch: Samples in the batch.
        compile_s: Time of tracing and compiling [s].
        flops: Floating-point operations as the compiler counts them; None where it does not.
        bytes_accessed: Bytes read and written as the compiler counts them.
        needed_bytes: Memory of state, batch, results and temporaries.
        activations_bytes: Memory of temporaries, most of it activations.
    """

    def __init__(self, run: TrainingRun, batch: int, persistency: int | None = None) -> None:
        self.batch, self._run, self._persistency = batch, run, persistency
        begin = time.perf_counter()
        # Not donated: on a GPU that would save memory, but no time, and nothing else reads the old state.
        self._executable = run.compiled(run.update, batch)
        self.compile_s = time.perf_counter() - begin
        costs, memory = self._executable.cost_analysis() or {}, self._executable.memory_analysis()
        self.flops: float | None = costs.get("flops")
        self.bytes_accessed: float | None = costs.get("bytes accessed")
        # Some backends do not say; then nothing can be refused before it is tried.
        self.activations_bytes = int(memory.temp_size_in_bytes) if memory else 0
        arguments_and_results = int(memory.argument_size_in_bytes + memory.output_size_in_bytes) if memory else 0
        self.needed_bytes = arguments_and_results + self.activations_bytes
        self._batch: Batch = None
        self._host: Batch = None
        self._calls = 0

    def load(self) -> float:
        """Make the batch on the device, once, and return the seconds that took."""
        begin = time.perf_counter()
        if self._batch is None:
            self._batch = jax.block_until_ready(self._run.make_batch(self.batch))  # type: ignore[no-untyped-call]
        return time.perf_counter() - begin

    def __call__(self) -> jax.Array:
        """Take one step and return its loss, a scalar that may still be being computed."""
        if self._batch is None:
            self.load()
        if self._persistency is not None and self._calls % self._persistency == 0:
            self._batch = jax.device_put(self.host_batch())
        self._calls += 1
        loss: jax.Array
        self._run.state, loss = self._executable(self._run.frozen, self._run.state, self._batch)
        return loss

    def wait(self, loss: jax.Array) -> None:
        """Return when ``loss`` and everything the step updated are computed."""
        jax.block_until_ready((loss, self._run.state))  # type: ignore[no-untyped-call]

    def host_batch(self) -> Batch:
        """Return the batch as NumPy arrays in the host's memory."""
        if self._host is None:
            self.load()
            self._host = jax.device_get(self._batch)
        return self._host

    def forward(self) -> StepPart:
        """Return the loss alone, compiled."""
        return self._part(self._run.forward)

    def gradient(self) -> StepPart:
        """Return loss and gradient without the update, compiled."""
        return self._part(self._run.gradient)

    def _part(self, function: Callable[..., Any]) -> StepPart:
        self.load()
        return StepPart(self._run, self._run.compiled(function, self.batch), self._batch)


class StepPart:
    """A part of a step at the run's present state; it hands nothing on.

    Args:
        run: Whose state is read.
        executable: The part, compiled.
        batch: The batch, on the device.
    """

    def __init__(self, run: TrainingRun, executable: Compiled, batch: Batch) -> None:
        self._run, self._executable, self._batch = run, executable, batch

    def __call__(self) -> Any:  # noqa: ANN401 - a loss, or a loss and a gradient
        """Compute the part and return all of its results, which may still be being computed."""
        return self._executable(self._run.frozen, self._run.state, self._batch)

    def wait(self, result: Any) -> None:  # noqa: ANN401 - what a call returned
        """Return when the results are computed."""
        jax.block_until_ready(result)  # type: ignore[no-untyped-call]
