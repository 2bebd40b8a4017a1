"""GPT-2: a decoder of tokens, with the normalisations before attention and multi-layer perceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
from flax import nnx

from speedup.errors import UnitError
from speedup.units import whole

from .base import Layer, Network

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPREAD = 0.02  # standard deviation of the weights, as in the published code


def _dense(inputs: int, outputs: int, rngs: nnx.Rngs, spread: float = _SPREAD) -> nnx.Linear:
    return nnx.Linear(inputs, outputs, kernel_init=nnx.initializers.normal(spread), rngs=rngs)


def _table(rows: int, width: int, rngs: nnx.Rngs) -> nnx.Embed:
    return nnx.Embed(rows, width, embedding_init=nnx.initializers.normal(_SPREAD), rngs=rngs)


def _norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)


class Decoder(nnx.Module):
    """Causal attention, then two dense layers with GELU, each beside a shortcut."""

    def __init__(self, width: int, heads: int, spread: float, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.norm1 = _norm(width, rngs)
        self.query_key_value = _dense(width, 3 * width, rngs)
        self.mix = _dense(width, width, rngs, spread)
        self.norm2 = _norm(width, rngs)
        self.expand = _dense(width, 4 * width, rngs)
        self.contract = _dense(4 * width, width, rngs, spread)

    def layers(self) -> Iterator[Layer]:
        """Yield the layers of the attention, then those of the perceptron."""
        yield from (self.norm1, self.query_key_value, self.mix, self.norm2, self.expand, self.contract)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the output for ``x``, of shape ``(batch, length, width)``."""
        split = self.query_key_value(self.norm1(x)).reshape(*x.shape[:2], 3, self.heads, -1)
        query, key, value = (split[:, :, index] for index in range(3))
        x = x + self.mix(jax.nn.dot_product_attention(query, key, value, is_causal=True).reshape(x.shape))
        return x + self.contract(nnx.gelu(self.expand(self.norm2(x)), approximate=True))


class GPT(Network):
    r"""GPT-2 of any size: 124,439,808 parameters in 148 tensors as it stands.

    .. math:: P = (V + C) w + L (12 w^2 + 13 w) + 2 w

    with vocabulary :math:`V`, context :math:`C`, width :math:`w` and depth :math:`L`. The matrix of the token
    embedding is also that of the output. There is no dropout. Source: Radford et al. 2019.

    Args:
        rngs: Random streams.
        classes: Tokens in the vocabulary.
        context: Tokens in a sample at most.
        width: Numbers that stand for a token between the layers.
        depth: Layers.
        heads: Attention heads; they share the width among them.

    Raises:
        UnitError: A size is no whole number of at least 1, or the heads do not divide the width.

    Example:
        >>> def logits():
        ...     return GPT(nnx.Rngs(0), 50, context=8, width=4, depth=1, heads=2)(jax.numpy.zeros((3, 8), int))
        >>> jax.eval_shape(logits).shape
        (3, 8, 50)
    """

    def __init__(
        self,
        rngs: nnx.Rngs,
        classes: int = 50257,
        *,
        context: int = 1024,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
    ) -> None:
        self.context = whole("context", context)
        if whole("width", width) % whole("heads", heads):
            raise UnitError(f"heads = {heads}; it must divide width = {width}.")
        self.tokens = _table(whole("classes", classes), width, rngs)
        self.positions = _table(context, width, rngs)
        # What each layer adds is made smaller, for the sum over 2 depth additions to start of order 1.
        spread = _SPREAD / (2 * whole("depth", depth)) ** 0.5
        self.decoders = nnx.List([Decoder(width, heads, spread, rngs) for _ in range(depth)])
        self.norm = _norm(width, rngs)

    def layers(self) -> Iterator[Layer]:
        """Yield the embeddings, the decoders' layers and the last normalisation."""
        yield from (self.tokens, self.positions)
        for decoder in self.decoders:
            yield from decoder.layers()
        yield self.norm

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return the logits of the token after each of ``inputs``.

        Args:
            inputs: Token numbers below ``classes``, of shape ``(batch, length)``.

        Returns:
            Shape ``(batch, length, classes)``; those at one place depend on the tokens up to it alone.

        Raises:
            UnitError: The samples are longer than the context.
        """
        length = inputs.shape[1]
        if length > self.context:
            raise UnitError(f"samples of {length} tokens; at most {self.context}, the context of the network.")
        # Read as arrays, because the tables' own methods stay in the precision that they were made in.
        vocabulary = self.tokens.embedding[...]
        x = vocabulary[inputs] + self.positions.embedding[:length]
        for decoder in self.decoders:
            x = decoder(x)
        logits: jax.Array = self.norm(x) @ vocabulary.T
        return logits
