"""What is trained in place of a network's weights: the weights themselves, scores, or weights and gates.

A parametrisation sees the tensors of a network as a list in forward order, each with the name of its path, and
makes three pytrees of them: what is trained, what is frozen, and what is carried from step to step without a
gradient. The leaves of what is trained are what travels to a server, in forward order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jax

Tree: TypeAlias = Any
"""A pytree of arrays."""


class Tensor(NamedTuple):
    """A trainable tensor of a network.

    Attributes:
        path: Names that lead to it, outermost first.
        value: The array.
    """

    path: tuple[str, ...]
    value: jax.Array

    @property
    def is_kernel(self) -> bool:
        """Whether it is the kernel of a dense layer or a convolution; without names, whether it is a matrix."""
        names = [name for name in self.path if not name.isdigit()]
        known = {"kernel", "bias", "scale", "embedding"} & set(names[-1:])
        return self.value.ndim >= 2 and (not known or names[-1] == "kernel")


class Parametrised(NamedTuple):
    """The three pytrees.

    Attributes:
        trained: What is trained; its leaves travel.
        frozen: What never changes.
        carried: What changes from step to step without a gradient.
    """

    trained: Tree
    frozen: Tree
    carried: Tree


class Parametrisation(Protocol):
    """What is trained in place of the weights."""

    def start(self, tensors: Sequence[Tensor], key: jax.Array) -> Parametrised:
        """Return the three pytrees for the network's own first weights; can be traced."""

    def weights(self, now: Parametrised) -> tuple[list[jax.Array], Tree]:
        """Return the weights that the network computes with, in forward order, and what is carried on."""

    def deployed(self, now: Parametrised) -> list[jax.Array]:
        """Return the weights of the trained network in use, in forward order: nothing random is left in them."""

    def penalty(self, now: Parametrised) -> jax.Array | float:
        """Return what is added to the loss."""

    def project(self, trained: Tree) -> Tree:
        """Return what is trained, back in its range after an update."""


class Dense:
    """The weights themselves.

    Example:
        >>> import jax.numpy as jnp
        >>> now = Dense().start([Tensor(("w",), jnp.ones(3))], None)
        >>> [weights.tolist() for weights in Dense().weights(now)[0]]
        [[1.0, 1.0, 1.0]]
    """

    def start(self, tensors: Sequence[Tensor], key: jax.Array) -> Parametrised:
        """Return the weights as what is trained."""
        del key
        return Parametrised([tensor.value for tensor in tensors], (), ())

    def weights(self, now: Parametrised) -> tuple[list[jax.Array], Tree]:
        """Return what is trained."""
        return list(now.trained), now.carried

    def deployed(self, now: Parametrised) -> list[jax.Array]:
        """Return what is trained."""
        return list(now.trained)

    def penalty(self, now: Parametrised) -> jax.Array | float:
        """Return nothing."""
        del now
        return 0.0

    def project(self, trained: Tree) -> Tree:
        """Return it as it is."""
        return trained
