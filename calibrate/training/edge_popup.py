r"""Edge-popup: the weights are frozen, scores are trained, and the weights with the highest scores are used.

For a kernel with weights w, scores s of the same shape and the mask h of the highest scores

.. math:: y = f(w \odot h(s)), \qquad
          \frac{\partial L}{\partial s} = \frac{\partial L}{\partial (w \odot h)} \odot w \odot \operatorname{sign}(s)

The gradient goes straight through the mask, to every score, of a masked weight or not. The rank is that of
:math:`|s|`, as the authors' program has it (their figures say "score"); without absolute values, as Viviano's
program has it, the sign falls away.

Sources: V. Ramanujan et al., *What's hidden in a randomly weighted neural network?*, 2020, with the program
``allenai/hidden-networks``; G. Viviano's thesis on distributed edge-popup (000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np

from speedup.errors import UnitError

from .parametrisation import Parametrised, Tensor
from .selection import Rank, select_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .parametrisation import Tree

ALMOST_ZERO = 2.0**-24
"""Scores that start "at zero" start within this of it, at random: of truly equal scores the mask would take the
last ones, which switches off whole neurons. Viviano's program left that to its sort."""


def kept_count(size: int, fraction: float, rank: Rank = "abs") -> int:
    r"""Return how many of ``size`` weights are kept.

    .. math:: n - \lfloor (1 - k)\, n \rfloor \; (\text{abs}), \qquad \lfloor k\, n \rfloor \; (\text{raw})

    as Ramanujan's and Viviano's programs have it.

    Example:
        >>> kept_count(5, 0.5), kept_count(5, 0.5, "raw")
        (3, 2)
    """
    return size - int((1 - fraction) * size) if rank == "abs" else int(fraction * size)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def masked(weights: jax.Array, scores: jax.Array, mask: jax.Array, rank: Rank = "abs") -> jax.Array:
    """Return the weights with all but those of the highest scores set to zero.

    Args:
        weights: Any shape.
        scores: The same shape.
        mask: Booleans of the same shape: where the highest scores are, from ``select_each``.
        rank: ``abs`` or ``raw``; what the mask was made by.

    Returns:
        The masked weights; their gradient to the scores is the straight-through one.

    Example:
        >>> from calibrate.training.selection import select_top
        >>> weights, scores = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.1, -0.9, 0.5])
        >>> masked(weights, scores, select_top(scores, 2)).tolist()
        [0.0, 2.0, 3.0]
        >>> jax.grad(lambda s: masked(weights, s, select_top(s, 2)).sum())(scores).tolist()
        [1.0, -2.0, 3.0]
    """
    del scores, rank
    return jnp.where(mask, weights, 0)


def _forward(
    weights: jax.Array, scores: jax.Array, mask: jax.Array, rank: Rank
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return masked(weights, scores, mask, rank), (weights, scores)


def _backward(rank: Rank, saved: tuple[jax.Array, ...], gradient: jax.Array) -> tuple[jax.Array, jax.Array, None]:
    weights, scores = saved
    through = gradient * weights
    # Nobody differentiates to frozen weights; the compiler drops these zeros.
    return jnp.zeros_like(weights), through * jnp.sign(scores) if rank == "abs" else through, None


masked.defvjp(_forward, _backward)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePopup:
    r"""Scores in place of weights, for every kernel.

    Biases are frozen at 0, scales and offsets of norms at 1 and 0, embeddings as they are drawn: no program of the
    sources has any of these, and none of them is a layer whose edges could pop up.

    Attributes:
        kept: Fraction k of each kernel's weights that is kept, in (0, 1].
        rank: ``abs`` or ``raw``.
        weights_from: ``kaiming``, normal with standard deviation :math:`\sqrt{2 / \text{fan-in}}`, or
            ``signed_constant``, that deviation with a random sign.
        scaled: Whether the deviation is multiplied by :math:`\sqrt{1/k}`, which keeps the variance of what comes out.
        scores: ``uniform`` on :math:`\pm 1/\sqrt{\text{fan-in}}`, or ``zeros``, to within ``ALMOST_ZERO``.
        last_kept: Fraction of the last kernel's weights; None for ``kept``.

    Raises:
        UnitError: A fraction is out of range.
    """

    kept: float = 0.5
    rank: Rank = "abs"
    weights_from: Literal["kaiming", "signed_constant"] = "kaiming"
    scaled: bool = False
    scores: Literal["uniform", "zeros"] = "uniform"
    last_kept: float | None = None

    def __post_init__(self) -> None:
        for name in ("kept", "last_kept"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise UnitError(f"{name} = {value:g}; it is a fraction of the weights, above 0 and at most 1.")

    def start(self, tensors: Sequence[Tensor], key: jax.Array) -> Parametrised:
        """Return scores as what is trained, and weights drawn anew as what is frozen.

        Raises:
            UnitError: There is no kernel.
        """
        shapes = [tensor.value.shape for tensor in tensors if tensor.is_kernel]
        if not shapes:
            raise UnitError("edge-popup needs a kernel: the model has no tensor of two or more dimensions to score.")
        for_weights, for_scores = jax.random.split(key)
        total = sum(map(math.prod, shapes))
        normal = _parts(jax.random.normal(for_weights, (total,)), shapes)
        uniform = _parts(jax.random.uniform(for_scores, (total,), minval=-1.0), shapes)
        kernels = [self._weights(part) for part in normal]
        scores = [self._scores(part) for part in uniform]
        # The places of kernels are empty in the list of what is fixed, which is part of its structure.
        fixed = [None if tensor.is_kernel else _fixed(tensor) for tensor in tensors]
        return Parametrised(scores, (kernels, fixed), ())

    def weights(self, now: Parametrised) -> tuple[list[jax.Array], Tree]:
        """Return the masked kernels and what is fixed."""
        kernels, fixed = now.frozen
        fractions = [self.kept] * (len(kernels) - 1) + [self.kept if self.last_kept is None else self.last_kept]
        counts = [
            kept_count(scores.size, fraction, self.rank)
            for scores, fraction in zip(now.trained, fractions, strict=True)
        ]
        masks = select_each([jax.lax.stop_gradient(scores) for scores in now.trained], counts, rank=self.rank)
        popped = (
            masked(weights, scores, mask, self.rank)
            for weights, scores, mask in zip(kernels, now.trained, masks, strict=True)
        )
        return [next(popped) if value is None else value for value in fixed], now.carried

    def _weights(self, normal: jax.Array) -> jax.Array:
        deviation = math.sqrt(2 / math.prod(normal.shape[:-1]) / (self.kept if self.scaled else 1.0))
        return deviation * (normal if self.weights_from == "kaiming" else jnp.where(normal < 0, -1.0, 1.0))

    def _scores(self, uniform: jax.Array) -> jax.Array:
        return uniform * (ALMOST_ZERO if self.scores == "zeros" else 1 / math.sqrt(math.prod(uniform.shape[:-1])))

    def deployed(self, now: Parametrised) -> list[jax.Array]:
        """Return the masked kernels and what is fixed."""
        return self.weights(now)[0]

    def penalty(self, now: Parametrised) -> float:
        """Return nothing."""
        del now
        return 0.0

    def project(self, trained: Tree) -> Tree:
        """Return the scores as they are."""
        return trained


def _parts(flat: jax.Array, shapes: Sequence[tuple[int, ...]]) -> list[jax.Array]:
    """Return consecutive parts of a vector in the shapes given: one draw compiles faster than fifty."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(jnp.split(flat, ends[:-1]), shapes, strict=True)]


def _fixed(tensor: Tensor) -> jax.Array:
    if tensor.value.ndim >= 2:
        return tensor.value
    return jnp.ones_like(tensor.value) if tensor.path[-1:] == ("scale",) else jnp.zeros_like(tensor.value)
