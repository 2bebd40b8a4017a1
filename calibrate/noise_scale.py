r"""The gradient noise scale, measured: how much the gradient of a batch is signal, and how much noise.

The squared norm of a gradient of m samples has the mean :math:`|G|^2 + \operatorname{tr}\Sigma / m`. Two batch sizes,
b in B, tell both apart without bias:

.. math:: |G|^2 = \frac{B |G_B|^2 - b |G_b|^2}{B - b}, \qquad
          \operatorname{tr}\Sigma = \frac{|G_b|^2 - |G_B|^2}{1/b - 1/B}, \qquad B_n = \operatorname{tr}\Sigma / |G|^2

where :math:`|G_b|^2` is the mean over all parts of the bigger batch and :math:`G_B` the mean of their gradients: in
data-parallel training a worker's gradient and what is exchanged. Either estimate has no bias, but their ratio has: both
are averaged over many batches, apart, and divided last. :math:`|G|^2` may come out negative; where it cannot be told
from 0, the noise scale is not resolved, and nothing is made up for it.

This holds for samples that are independent of the weights, so batches must be fresh: neither the repeats of minibatch
persistency nor velocities, which are sums of gradients of many weights, are. Where layers normalise over a batch, the
bigger batch is that of parts normalised by themselves, as workers do it; what an algorithm draws for a step (gates,
dropout) is the same in all parts, and is no noise here.

Sources: McCandlish, Kaplan, Amodei, *An empirical model of large-batch training*, 2018, appendix A; Qiao et al.,
*Pollux*, OSDI 2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.stats import t as student

from speedup.efficiency import NoiseScale, Span, run_average
from speedup.errors import UnitError
from speedup.provenance import Provenance
from speedup.units import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from .training.problem import Batch
    from .training.step import Leaves, TrainingRun

    Array = NDArray[np.float64]
    Norms: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]

LEVEL = 0.9
DECAY = 0.95
"""Weight of a measurement by that of the next one."""
_LEAST = 8
"""Pairs of which a spread can be told."""
_DRAWS = 1000
_STRETCHES = 20
"""Parts of a run at most, each taken to have one noise scale; few enough that each has many pairs."""


class Pair(NamedTuple):
    """One measurement: squared norms of gradients at the same weights.

    Attributes:
        small: Mean over the parts of a batch of the squared norm of a part's gradient.
        big: Squared norm of the gradient of the batch.
        step: Updates before it.
        loss: Loss of the batch.
    """

    small: float
    big: float
    step: int = 0
    loss: float = math.nan


def second_moments(optimizer: Any) -> Any | None:  # noqa: ANN401 - pytrees
    """Return the second moments in an optimizer's state, by which adaptive ones divide; None where there are none.

    Example:
        >>> state = optax.adam(0.1).init(jnp.ones(2))
        >>> second_moments(state).tolist(), second_moments(optax.sgd(0.1).init(jnp.ones(2)))
        ([0.0, 0.0], None)
    """
    for name in ("nu", "sum_of_squares", "e_g"):
        found = optax.tree_utils.tree_get(optimizer, name)
        if found is not None:
            return found
    return None


def preconditioned(gradient: Any, moments: Any) -> Any:  # noqa: ANN401 - pytrees
    r"""Return a gradient divided by the root of second moments, :math:`g / \sqrt v`.

    The noise scale of it does not depend on factors that all entries share, such as Adam's correction of v. Entries
    without a second moment yet are left out. Source: Qiao et al., *Pollux*, OSDI 2021, section 3.1.

    Args:
        gradient: A pytree.
        moments: The same of second moments.

    Example:
        >>> preconditioned(jnp.array([3.0, 4.0, 5.0]), jnp.array([9.0, 4.0, 0.0])).tolist()
        [1.0, 2.0, 0.0]
    """
    return jax.tree.map(
        lambda own, square: jnp.where(square > 0, own / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0),
        gradient,
        moments,
    )


def _squared(tree: Any) -> jax.Array:  # noqa: ANN401 - a pytree
    return jnp.asarray(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def squared_norms(derive: Callable[[Batch], tuple[jax.Array, Any]], batch: Batch, parts: int) -> Norms:
    """Return mean squared norm of the parts' gradients, squared norm of their mean, and the loss; can be traced.

    One part after another, so that memory is that of a part and two gradients.

    Args:
        derive: Returns loss and gradient of some samples, both means over them.
        batch: A pytree of arrays with the samples along their first axis.
        parts: How many equal parts, at least 2; they divide the samples.

    Raises:
        UnitError: They do not.

    Example:
        >>> samples = jnp.array([1.0, 3.0])
        >>> small, big, _ = squared_norms(lambda part: (jnp.zeros(()), part.mean()), samples, 2)
        >>> float(small), float(big)
        (5.0, 4.0)
    """
    samples = jax.tree.leaves(batch)[0].shape[0]
    if whole("parts", parts, minimum=2) and samples % parts:
        raise UnitError(f"a batch of {samples} samples has no {parts} equal parts.")
    pieces = jax.tree.map(lambda leaf: jnp.reshape(leaf, (parts, samples // parts, *leaf.shape[1:])), batch)
    shapes = jax.eval_shape(lambda: derive(jax.tree.map(lambda leaf: leaf[0], pieces)))[1]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def add(total: Any, piece: Batch) -> tuple[Any, tuple[jax.Array, jax.Array]]:  # noqa: ANN401 - a pytree
        loss, gradient = derive(piece)
        return jax.tree.map(jnp.add, total, gradient), (_squared(gradient), loss)

    total, (squares, losses) = jax.lax.scan(add, zeros, pieces)
    return jnp.mean(squares), _squared(total) / parts**2, jnp.mean(losses)


def training_norms(run: TrainingRun, parts: int) -> Callable[[Leaves, Leaves, Batch], Norms]:
    """Return the function of what is frozen, a state and a fresh batch that gives squared norms; it changes nothing.

    Gradients are preconditioned where the optimizer has second moments.

    Args:
        run: The training.
        parts: Equal parts of the batch.
    """

    def norms(frozen: Leaves, leaves: Leaves, batch: Batch) -> Norms:
        moving = run.unflattened(leaves)
        moments = second_moments(moving.optimizer)

        def derive(part: Batch) -> tuple[jax.Array, Any]:
            loss, gradient, _ = run.derived(frozen, moving, part)
            return loss, gradient if moments is None else preconditioned(gradient, moments)

        return squared_norms(derive, batch, parts)

    return jax.jit(norms)


def _separated(small: Array, big: Array, b: int, B: int) -> tuple[Array, Array]:
    """Return the estimates of the squared mean gradient, and of the variance of a sample's gradient."""
    return (B * big - b * small) / (B - b), (small - big) / (1 / b - 1 / B)


class NoiseMeter:
    """Pairs of squared norms along a training, and what they say.

    Args:
        small: Samples of the smaller batch, b.
        big: Samples of the bigger one, B.
        batch: Samples of an update of the training; b if left out.
        algorithm: Its name.
        preconditioned: Whether the gradients were.
        decay: Weight of a pair by that of the next one in ``latest``, in (0, 1].
        level: Confidence level of the intervals, in (0, 1).

    Attributes:
        pairs: What was added.

    Raises:
        UnitError: A number is out of its range.

    Example:
        >>> meter = NoiseMeter(10, 80)
        >>> meter.add(Pair(small=3.0, big=1.25))
        >>> meter.latest().resolved, meter.latest().squared_gradient, round(meter.latest().variance, 6)
        (False, 1.0, 20.0)
    """

    def __init__(
        self,
        small: int,
        big: int,
        *,
        batch: int | None = None,
        algorithm: str | None = None,
        preconditioned: bool = False,
        decay: float = DECAY,
        level: float = LEVEL,
    ) -> None:
        self._small, self._big = whole("small", small), whole("big", big, minimum=small + 1)
        for name, value, most in (("decay", decay, 1.0), ("level", level, 1.0 - 1e-9)):
            if not 0 < value <= most:
                raise UnitError(f"{name} = {value:g}; it must be between 0 and 1.")
        self._batch = small if batch is None else whole("batch", batch)
        self._algorithm, self._preconditioned = algorithm, preconditioned
        self._decay, self._level = decay, level
        self.pairs: list[Pair] = []

    def add(self, pair: Pair) -> None:
        """Add a pair, of weights later than those of the last one."""
        self.pairs.append(pair)

    def _estimates(self) -> tuple[Array, Array]:
        if not self.pairs:
            raise UnitError("no squared norms were measured; a noise scale needs at least one pair.")
        small, big = np.array([(pair.small, pair.big) for pair in self.pairs]).T
        return _separated(small, big, self._small, self._big)

    def latest(self) -> NoiseScale:
        """Return the noise scale now: exponential averages of both estimates, divided last.

        The interval is Fieller's, of a quotient of two means; it has no upper end where the lower one is not told from
        0. Pairs count as independent, which they are at given weights, because batches are fresh; what changes from
        weights to weights counts as noise, and widens it.

        Raises:
            UnitError: There is no pair.
        """
        signal, noise = self._estimates()
        # The mean of a bias-corrected exponential average, written as weights.
        weights: Array = np.power(self._decay, np.arange(len(signal) - 1.0, -1.0, -1.0))
        weights /= weights.sum()
        low, high = _fieller(signal, noise, weights, self._level) if len(signal) >= _LEAST else (0.0, math.inf)
        mean = float(weights @ signal), float(weights @ noise)
        return self._scale(mean[1] / mean[0] if high < math.inf else math.inf, (low, high), mean, Span.LATEST)

    def over_run(self, *, adapted: bool = False) -> NoiseScale:
        """Return the noise scale of the whole run, as the number of its steps needs it: see ``run_average``.

        The run is cut into stretches; in each both estimates are averaged, and then divided. The interval is that of
        pairs drawn with replacement inside each stretch.

        Args:
            adapted: Whether the learning rate followed the noise scale; else it counts as constant.

        Raises:
            UnitError: There is no pair.
        """
        signal, noise = self._estimates()
        batch = self._batch if adapted else None
        stretches = np.array_split(np.arange(len(signal)), max(1, min(_STRETCHES, len(signal) // _LEAST)))
        random = np.random.default_rng(0)
        drawn = [random.choice(own, (_DRAWS, own.size)) for own in stretches]
        scales = np.stack([_ratio(signal[rows], noise[rows]) for rows in drawn], axis=1)
        averages = np.sort([run_average(row, batch) for row in scales])
        tail = round((1 - self._level) / 2 * _DRAWS)
        ends = (float(averages[tail]), float(averages[-tail - 1])) if len(signal) >= _LEAST else (0.0, math.inf)
        value = run_average([float(_ratio(signal[own], noise[own])) for own in stretches], batch)
        return self._scale(value, ends, (float(signal.mean()), float(noise.mean())), Span.RUN)

    def _scale(self, value: float, ends: tuple[float, float], mean: tuple[float, float], span: Span) -> NoiseScale:
        low, high = max(0.0, ends[0]), ends[1]
        resolved = 0 < value < math.inf and high < math.inf
        last = self.pairs[-1]
        return NoiseScale(
            value=value if resolved else None,
            low=min(low, value) if math.isfinite(low) else None,
            high=max(high, value) if resolved else None,
            level=self._level,
            squared_gradient=mean[0],
            variance=mean[1],
            small=self._small,
            big=self._big,
            pairs=len(self.pairs),
            algorithm=self._algorithm,
            preconditioned=self._preconditioned,
            span=span,
            batch=self._batch,
            step=last.step,
            loss=None if math.isnan(last.loss) else last.loss,
            provenance=Provenance.MEASURED,
        )


def _ratio(signal: Array, noise: Array) -> Array:
    """Return noise scales of stretches, pairs along the last axis; infinite where the mean gradient is nothing."""
    below, above = signal.mean(axis=-1), np.maximum(noise.mean(axis=-1), 0.0)
    scales: Array = np.where(below > 0, above / np.where(below > 0, below, 1.0), np.inf)
    return scales


def _fieller(signal: Array, noise: Array, weights: Array, level: float) -> tuple[float, float]:
    """Return the interval of the quotient of two weighted means; up to infinity where the lower one may be 0."""
    x, y = float(weights @ signal), float(weights @ noise)
    shared = float(weights @ weights)
    spread = np.stack([signal - x, noise - y]) * weights
    (xx, xy), (_, yy) = (spread @ spread.T / (1 - shared)).tolist()
    square = float(student.ppf((1 + level) / 2, 1 / shared - 1)) ** 2
    # Quotients q with (y - q x)^2 <= t^2 var(y - q x), a quadratic inequality.
    a, b, c = x * x - square * xx, x * y - square * xy, y * y - square * yy
    root = math.sqrt(max(0.0, b * b - a * c))
    if x > 0 and a > 0:
        return (b - root) / a, (b + root) / a
    return ((b - root) / a if a < 0 < c else 0.0), math.inf


def measure_noise_scale(
    loss_fn: Callable[[Any, Batch], jax.Array],
    params: Any,  # noqa: ANN401 - a pytree
    batches: Iterable[Batch],
    *,
    parts: int = 8,
    level: float = LEVEL,
) -> NoiseScale:
    """Measure the noise scale of a loss at given parameters.

    Args:
        loss_fn: ``loss_fn(params, batch)``, a mean over the samples of the batch.
        params: A pytree of arrays; they do not change.
        batches: Batches of one size, of samples that are independent of the parameters and of each other.
        parts: Equal parts of a batch, whose gradients are the smaller batch's.
        level: Confidence level of the interval.

    Raises:
        UnitError: There is no batch, or it has no such parts.

    Example:
        >>> samples = np.random.default_rng(0).normal(1.0, 2.0, (100, 64, 50)).astype(np.float32)
        >>> noise = measure_noise_scale(lambda w, batch: jnp.mean((w - batch) ** 2), jnp.zeros(50), samples)
        >>> noise.small, noise.big, round(noise.value)
        (8, 64, 4)
    """
    derive = jax.value_and_grad(loss_fn)
    norms = jax.jit(lambda batch: squared_norms(lambda part: derive(params, part), batch, parts))
    pairs, samples = list[Pair](), 0
    for batch in batches:
        samples = jax.tree.leaves(batch)[0].shape[0]
        small, big, loss = map(float, norms(batch))
        pairs.append(Pair(small, big, loss=loss))
    if not pairs:
        raise UnitError("there are no batches; a noise scale needs some tens of them.")
    meter = NoiseMeter(samples // parts, samples, decay=1.0, level=level)
    meter.pairs = pairs
    return meter.latest()
