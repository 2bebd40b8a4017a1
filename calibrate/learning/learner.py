"""The loop: epochs of steps, what they cost and what they reach, and what is kept of them on disk."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from speedup.errors import UnitError

from ..datasets import batch_at
from ..training import checkpoint
from ..training.evaluation import evaluated
from ..training.hard_concrete import HardConcrete
from ..training.problem import mean_cross_entropy, network_problem
from ..training.pruning import pays
from ..training.step import TrainingRun
from .noise import PAIRS, NoiseWatch
from .shrinking import compacted, is_chain, masks_of, pruned, weights_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jax.stages import Compiled
    from numpy.typing import NDArray

    from ..datasets import Dataset
    from .settings import Settings

    Array = NDArray[Any]

_TIMED = 11
"""Steps timed one by one after an epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What an epoch cost, and what it reached.

    Attributes:
        epoch: Its number, from 1.
        updates: Updates so far.
        loss: Mean loss of its steps, each before its update.
        test_loss: Mean cross entropy of the test samples.
        test_accuracy: Share of the test samples that are classified as labelled.
        time_s: Duration of its steps, with loading [s].
        compile_s: Time of compiling, which is not in it [s].
        t_load_s: Median of making a batch in the host's memory [s]; the device computes meanwhile.
        t_grad_s: Median of some steps on a batch that is loaded [s].
        weights: Weights of the network in use: without gates, and without units that are off.
        payload_bytes: What a worker would send after such a step.
        memory_bytes: State, batch and temporaries of a step, as the compiler counts them.
        noise_scale: Gradient noise scale at its end [samples]; None where it was not measured, or is not resolved.
        noise_scale_low: Lower end of its interval [samples]; None where it was not measured.
        noise_scale_high: Upper end; None where there is none.
    """

    epoch: int
    updates: int
    loss: float
    test_loss: float
    test_accuracy: float
    time_s: float
    compile_s: float
    t_load_s: float
    t_grad_s: float
    weights: int
    payload_bytes: int
    memory_bytes: int
    noise_scale: float | None = None
    noise_scale_low: float | None = None
    noise_scale_high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values; without a noise scale where none was measured."""
        own = asdict(self)
        return own if self.noise_scale_low is not None else {name: own[name] for name in own if "noise" not in name}


class Learner:
    """A training on one device, from epoch to epoch.

    Args:
        settings: What is trained.
        data: Samples in place of those that the settings name; a checkpoint does not tell them apart.

    Attributes:
        settings: As given.
        rows: What each epoch so far cost and reached.
        tensors: Elements of each tensor that travelled in it.
        features: Which elements of a sample, in one line, the first layer still reads; None for all.
        noise: What measures the noise scale; None if nobody asks for it.

    Raises:
        DatasetError: A file of the data set is missing or damaged.
        UnitError: The data set has too few samples for a batch, or other shapes than the network.
    """

    def __init__(self, settings: Settings, data: Dataset | None = None) -> None:
        self.settings, self._entry = settings, settings.entry
        self._data = settings.dataset() if data is None else data
        self._per_epoch = len(self._data.train_labels) // settings.samples
        if not self._per_epoch:
            raise UnitError(
                f"batch = {settings.samples}; {self._data.name} has {len(self._data.train_labels)} training samples."
            )
        if self._data.classes > self._entry.classes:
            raise UnitError(
                f"{self._entry.name} tells {self._entry.classes} classes apart, {self._data.name} has "
                f"{self._data.classes}."
            )
        self._repeats = settings.repeats
        self._how = settings.method(settings.epochs * self._per_epoch * self._repeats)
        problem = network_problem(self._entry, seed=settings.seed, criterion=self._how.criterion)
        self._run = TrainingRun(problem, self._how, seed=settings.seed)
        self._executable: Compiled | None = None
        self._predict: Callable[..., Any] | None = None
        self._compile_s = self._last_compile_s = 0.0
        self._memory_bytes = 0
        self.features: Array | None = None
        self.rows: list[Epoch] = []
        self.tensors: list[tuple[int, ...]] = []
        self.noise = NoiseWatch(self._run, settings) if settings.noise_scale else None

    @property
    def note(self) -> str:
        """What a reader of the results should know of the data."""
        return self._data.note

    def epoch(self) -> Epoch:
        """Train for an epoch, and return what it cost and reached."""
        number, before = len(self.rows), self._compile_s
        self.tensors = [*self.tensors[:number], self._run.tensor_elements]
        batch = self._batch(number * self._per_epoch)
        self._compiled(batch)
        start = time.perf_counter()
        losses, loads, measuring_s = self._steps(number * self._per_epoch)
        time_s = time.perf_counter() - start - measuring_s
        t_grad_s = self._time_step(batch)
        if self.settings.algorithm == "l0_hard" and number + 1 >= self.settings.prune_from:
            self._prune(t_grad_s)
        test_loss, accuracy = self.test()
        row = Epoch(
            epoch=number + 1,
            updates=(number + 1) * self._per_epoch * self._repeats,
            loss=fmean(map(float, losses)),
            test_loss=test_loss,
            test_accuracy=accuracy,
            time_s=time_s,
            compile_s=self._compile_s - before,
            t_load_s=median(loads),
            t_grad_s=t_grad_s,
            weights=self._weights(),
            payload_bytes=4 * sum(self._run.tensor_elements),
            memory_bytes=self._memory_bytes,
            **({} if self.noise is None else self.noise.columns()),
        )
        self.rows.append(row)
        return row

    def _steps(self, first: int) -> tuple[list[jax.Array], list[float], float]:
        """Take the steps of an epoch; return their losses, what making each batch took, and what measuring took [s].

        A step is handed to the device and not waited for, so that the next batch is made while it is computed.
        """
        losses, loads, measuring_s = list[jax.Array](), list[float](), 0.0
        every = max(1, self._per_epoch // PAIRS)
        for number in range(first, first + self._per_epoch):
            if self.noise is not None and (number - first) % every == 0:
                measuring_s += self.noise.measure(number, self._batch, losses[-1:])
            start = time.perf_counter()
            batch = self._batch(number)
            loads.append(time.perf_counter() - start)
            losses += [self._step(batch) for _ in range(self._repeats)]
        jax.block_until_ready(losses[-1])  # type: ignore[no-untyped-call]
        return losses, loads, measuring_s

    def _batch(self, number: int) -> tuple[Array, Array]:
        settings = self.settings
        inputs, labels = batch_at(self._data, number, settings.samples, settings.seed, self._entry.input_shape)
        return self._read(inputs), labels

    def _read(self, inputs: Array) -> Array:
        return inputs if self.features is None else np.ascontiguousarray(inputs[:, self.features])

    def _compiled(self, batch: tuple[Array, Array]) -> Compiled:
        if self._executable is None:
            start = time.perf_counter()
            self._executable = jax.jit(self._run.update).lower(self._run.frozen, self._run.state, batch).compile()
            self._last_compile_s = time.perf_counter() - start
            self._compile_s += self._last_compile_s
            memory = self._executable.memory_analysis()
            sizes = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
            self._memory_bytes = int(sum(getattr(memory, size) for size in sizes)) if memory else 0
        return self._executable

    def _step(self, batch: tuple[Array, Array]) -> jax.Array:
        loss: jax.Array
        self._run.state, loss = self._compiled(batch)(self._run.frozen, self._run.state, batch)
        return loss

    def _time_step(self, batch: tuple[Array, Array]) -> float:
        """Return what a step takes, without taking it."""
        loaded, taken = jax.device_put(batch), list[float]()
        for _ in range(_TIMED):
            start = time.perf_counter()
            jax.block_until_ready(self._compiled(batch)(self._run.frozen, self._run.state, loaded))  # type: ignore[no-untyped-call]
            taken.append(time.perf_counter() - start)
        return median(taken)

    def _prune(self, t_grad_s: float) -> None:
        """Take out the units that the epoch's draws speak against, and shrink the arrays where that pays."""
        moving = pruned(self._run.unflattened(self._run.state), self._per_epoch, self.settings.rule)
        self._run.state = tuple(jax.tree.leaves(moving))
        masks = masks_of(moving)
        if self.settings.shrink == "never" or not is_chain(moving.trained) or all(mask.all() for mask in masks):
            return
        smaller, reads = compacted(self._how.optimizer, moving, masks)
        before, after = (sum(leaf.size for leaf in jax.tree.leaves(one.trained)) for one in (moving, smaller))
        left = (self.settings.epochs - len(self.rows) - 1) * self._per_epoch
        # A step is taken to be as much shorter as there are fewer numbers.
        always = self.settings.shrink == "always"
        if always or pays(t_grad_s * (1 - after / before), left, self._last_compile_s):
            self._shrink(smaller, reads)

    def _shrink(self, smaller: Any, reads: Array) -> None:  # noqa: ANN401 - a state
        present = np.arange(len(reads)) if self.features is None else self.features
        self.features = present[reads]
        self._run.resize(smaller)
        self._executable = self._predict = None

    def test(self) -> tuple[float, float]:
        """Return mean cross entropy and accuracy of the test samples."""
        moving = self._run.unflattened(self._run.state)
        if self._predict is None:
            run = self._run
            self._predict = jax.jit(lambda now, inputs: run.logits(now.trained, run.frozen, now, inputs))
        data, predict = self._data, self._predict

        def inputs(part: slice) -> Array:
            return self._read(data.standardised(data.test_inputs[part], self._entry.input_shape))

        return evaluated(lambda samples: predict(moving, samples), inputs, data.test_labels, mean_cross_entropy)

    def _weights(self) -> int:
        moving = self._run.unflattened(self._run.state)
        if isinstance(self._how.parametrisation, HardConcrete):
            return weights_left(moving.trained, masks_of(moving) or None)
        return sum(self._run.tensor_elements)

    def save(self, path: Path) -> None:
        """Write a checkpoint.

        Raises:
            FileError: It cannot be written.
        """
        checkpoint.save(
            path,
            self.settings.identity(),
            self._run.state,
            rows=[row.to_dict() for row in self.rows],
            tensors=self.tensors,
            features=None if self.features is None else self.features.tolist(),
            compile_s=self._compile_s,
            noise=[] if self.noise is None else self.noise.to_list(),
        )

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            FileError: It is missing, damaged, or of another training.
        """
        leaves, about = checkpoint.load(path, self.settings.identity(), self._run.state)
        self._run.resize(self._run.unflattened(tuple(leaves)))
        self.rows = [Epoch(**row) for row in about["rows"]]
        self.tensors = [tuple(elements) for elements in about["tensors"]]
        self.features = None if about["features"] is None else np.asarray(about["features"])
        self._compile_s = about["compile_s"]
        if self.noise is not None:
            # A checkpoint from before there were noise scales has none.
            self.noise.restore(about.get("noise", []))
        self._executable = self._predict = None

    def train(
        self,
        path: Path | None = None,
        *,
        resume: bool = False,
        on_epoch: Callable[[Epoch], object] | None = None,
    ) -> list[Epoch]:
        """Train to the last epoch, and return what each cost and reached.

        Args:
            path: File for a checkpoint after each epoch; None for none.
            resume: Whether to go on from it.
            on_epoch: Called after each epoch.

        Raises:
            FileError: The checkpoint cannot be read or written, or is of another training.

        Example:
            >>> from calibrate.learning import Settings
            >>> rows = Learner(Settings(network="nardini_mlp", batch=100, epochs=1)).train()
            >>> rows[0].weights, rows[0].updates
            (266610, 20)
        """
        if resume and path is not None:
            self.restore(path)
        while len(self.rows) < self.settings.epochs:
            row = self.epoch()
            if path is not None:
                self.save(path)
            if on_epoch is not None:
                on_epoch(row)
        return self.rows
