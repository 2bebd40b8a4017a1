r"""Distributed edge-popup (000): nodes train scores on samples of their own, and a server keeps the best of them.

A round: every node takes the merged scores, with its momentum at zero; trains some epochs on its M samples; and sends
its scores. The server takes the elementwise maximum over the nodes, its own scores from before not among them, so that
scores can fall. A maximum is associative, commutative and idempotent: a collective may compute it. Weights are frozen,
drawn from a seed, and never travel.

The nodes of a run are played by one process, all at once, or each by a process of its own over the engine
(``calibrate.cluster.rounds``); what is computed is the same.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from speedup.errors import UnitError
from speedup.plans import one_of
from speedup.units import whole

from ..architectures import architecture
from ..training.algorithms import algorithm
from ..training.edge_popup import EdgePopup
from ..training.evaluation import evaluated
from ..training.problem import network_problem
from ..training.step import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..datasets import Dataset

    Array = NDArray[Any]

_MERGES: dict[str, Callable[..., jax.Array]] = {"max": jnp.max, "mean": jnp.mean}
INK = 127
"""Pixels above are 1 in the binarised images of the source's program, the others 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How the nodes work together.

    Attributes:
        nodes: K.
        samples: M, training samples of a node.
        rounds: How many.
        epochs: Passes of a node over its samples in a round.
        batch: Samples in a batch.
        merge: ``max``, the source's, or ``mean``.
        network: Name of the architecture.
        algorithm: ``viviano`` or ``edge_popup``.
        seed: Of weights, scores, and the order of samples.

    Raises:
        PlanError: Nobody knows how to merge so.
        UnitError: A number is out of its range, or the algorithm trains no scores.
        UnknownNameError: Nobody knows a name.
    """

    nodes: int
    samples: int
    rounds: int = 10
    epochs: int = 2
    batch: int = 4
    merge: Literal["max", "mean"] = "max"
    network: str = "viviano_fc_784"
    algorithm: str = "viviano"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("nodes", "samples", "rounds", "epochs", "batch"):
            whole(name, getattr(self, name))
        one_of("merge", self.merge, _MERGES)
        if self.batch > self.samples:
            raise UnitError(f"batch = {self.batch} is more than the samples = {self.samples} of a node.")
        if not isinstance(algorithm(self.algorithm).parametrisation, EdgePopup):
            raise UnitError(f'algorithm = "{self.algorithm}" trains no scores; give "viviano" or "edge_popup".')


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round reached.

    Attributes:
        round: Its number, from 1.
        samples_seen: Samples that all nodes together have computed gradients of, repeats counted.
        test_loss: Mean loss of the test samples with the merged scores.
        test_accuracy: Share of them that are classified as labelled.
        node_test_accuracy: The same of the scores of the first node alone, before they are merged.
        time_s: What the round took, in a process that plays all nodes one beside the other, or with transfers where
            each has a process of its own [s].
        up_bytes: What a node sends: its scores.
        down_bytes: What it receives: the merged scores.
    """

    round: int
    samples_seen: int
    test_loss: float
    test_accuracy: float
    node_test_accuracy: float
    time_s: float
    up_bytes: int
    down_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return asdict(self)


def binarised(images: Array, input_shape: Sequence[int]) -> Array:
    """Return images as the source's program reads them: 1 where there is ink, 0 elsewhere.

    Example:
        >>> binarised(np.array([[[0, 127], [128, 255]]], np.uint8), (4,)).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    return (images > INK).astype(np.float32).reshape(len(images), *input_shape)


def shards(samples: int, nodes: int, each: int, seed: int) -> Array:
    """Return which samples each node has, shape (K, M): cut from one order of all until it is used up, then another.

    Example:
        >>> np.unique(shards(12, 3, 4, seed=0)).size, shards(12, 7, 4, seed=0).shape
        (12, (7, 4))
    """
    if each > samples:
        raise UnitError(f"samples = {each} for each node; there are {samples} training samples.")
    group = samples // each
    orders = [np.random.default_rng([seed, first]).permutation(samples) for first in range(-(-nodes // group))]
    return np.concatenate([order[: group * each].reshape(group, each) for order in orders])[:nodes]


def merged(scores: Any, merge: str = "max") -> Any:  # noqa: ANN401 - a pytree
    """Return the scores that a server makes of those of all nodes, which are along the first axis.

    Example:
        >>> merged([jnp.array([[1.0, -3.0], [0.5, 2.0]])])[0].tolist()
        [1.0, 2.0]
    """
    return jax.tree.map(lambda leaf: _MERGES[merge](leaf, axis=0), scores)


class DistributedEdgePopup:
    """K nodes and a server.

    Args:
        how: How they work together.
        data: Images, whose pixels are binarised.
        nodes: Numbers of the nodes that this process plays; all of them by default.

    Attributes:
        rows: What each round so far reached.
    """

    def __init__(self, how: Rounds, data: Dataset, nodes: Sequence[int] | None = None) -> None:
        entry, method = architecture(how.network), algorithm(how.algorithm)
        self._how = how
        problem = network_problem(entry, seed=how.seed, criterion=method.criterion)
        self._criterion = method.criterion
        self._run = TrainingRun(problem, method, seed=how.seed)
        self._moving = self._run.unflattened(self._run.state)
        self._test = binarised(data.test_inputs, entry.input_shape), data.test_labels
        self._nodes = list(range(how.nodes) if nodes is None else nodes)
        own = shards(len(data.train_labels), how.nodes, how.samples, how.seed)[self._nodes]
        self._samples = binarised(data.train_inputs, entry.input_shape)[own], data.train_labels[own]
        self._play = jax.jit(jax.vmap(self._node, in_axes=(None, None, 0, 0, 0)))
        self._predict = jax.jit(
            lambda moving, inputs: self._run.logits(moving.trained, self._run.frozen, moving, inputs)
        )
        self.rows: list[Round] = []

    def _node(self, frozen: Any, leaves: Any, inputs: jax.Array, labels: jax.Array, order: jax.Array) -> Any:  # noqa: ANN401 - pytrees
        """Return a node's state after the batches in an order."""

        def step(state: Any, rows: jax.Array) -> tuple[Any, jax.Array]:  # noqa: ANN401 - a pytree
            return self._run.update(frozen, state, (inputs[rows], labels[rows]))

        return jax.lax.scan(step, leaves, order)[0]

    def _orders(self, number: int) -> Array:
        """Return the order of the samples of each node in a round, shape (K, batches, batch)."""
        how = self._how
        batches = how.samples // how.batch
        random = np.random.default_rng([how.seed, number, how.nodes])
        parts = [
            [
                random.permutation(how.samples)[: batches * how.batch].reshape(batches, how.batch)
                for _ in range(how.epochs)
            ]
            for _ in range(how.nodes)
        ]
        return np.array(parts, np.int32).reshape(how.nodes, how.epochs * batches, how.batch)

    def round(self) -> Round:
        """Play a round of all nodes, and return what it reached."""
        start = time.perf_counter()
        scores = self.play()
        return self.take(merged(scores, self._how.merge), scores, start)

    def play(self) -> list[jax.Array]:
        """Train the nodes of this process for a round, and return their scores, the nodes along the first axis."""
        run = self._run
        self._moving = self._moving._replace(optimizer=run.first_optimizer(self._moving.trained))
        leaves = tuple(jax.tree.leaves(self._moving))
        orders = self._orders(len(self.rows))[self._nodes]
        after = self._play(run.frozen, leaves, *self._samples, orders)
        trained = run.unflattened(jax.block_until_ready(after)).trained  # type: ignore[no-untyped-call]
        return list(jax.tree.leaves(trained))

    def take(self, best: Sequence[Any], scores: Sequence[Any], start: float) -> Round:
        """Go on with merged scores, and return what the round reached.

        Args:
            best: The merged scores.
            scores: Those of the nodes of this process, along the first axis.
            start: When the round began, by ``time.perf_counter`` [s].
        """
        how, run, number = self._how, self._run, len(self.rows)
        structure = jax.tree.structure(self._moving.trained)
        first = self._moving._replace(trained=jax.tree.unflatten(structure, [leaf[0] for leaf in scores]))
        self._moving = self._moving._replace(trained=jax.tree.unflatten(structure, best))
        time_s = time.perf_counter() - start
        loss, accuracy = self._tested(self._moving)
        sent = 4 * sum(run.tensor_elements)
        row = Round(
            round=number + 1,
            samples_seen=(number + 1) * how.nodes * how.epochs * (how.samples // how.batch) * how.batch,
            test_loss=loss,
            test_accuracy=accuracy,
            node_test_accuracy=self._tested(first)[1],
            time_s=time_s,
            up_bytes=sent,
            down_bytes=sent,
        )
        self.rows.append(row)
        return row

    def _tested(self, moving: Any) -> tuple[float, float]:  # noqa: ANN401 - a state
        inputs, labels = self._test
        return evaluated(lambda some: self._predict(moving, some), lambda part: inputs[part], labels, self._criterion)
