"""What a network sends and computes, by name, from its shapes alone: nothing is allocated and nothing runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import jax
from flax import nnx

from speedup.units import whole

from ..tracing import count_flops
from .base import trainable_tensors
from .registry import ARCHITECTURES, architecture, architecture_names


@dataclass(frozen=True, slots=True)
class _Sizes:
    tensor_shapes: tuple[tuple[int, ...], ...]
    tensor_elements: tuple[int, ...]
    forward_flops: int


def tensor_elements(name: str, classes: int | None = None) -> tuple[int, ...]:
    """Return the elements of each trainable tensor, in forward order, without allocating any.

    Args:
        name: Name of the architecture.
        classes: Classes, if not the architecture's own number.

    Returns:
        One count a tensor, kernel before bias, batch-norm scale before offset.

    Raises:
        UnknownNameError: Nobody knows the name.
        UnitError: ``classes`` is no whole number of at least 1.

    Example:
        >>> tensor_elements("nardini_mlp")
        (235200, 300, 30000, 100, 1000, 10)
    """
    return _sizes(name, classes).tensor_elements


def tensor_shapes(name: str, classes: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Return the shape of each trainable tensor, in forward order, without allocating any.

    Args:
        name: Name of the architecture.
        classes: Classes, if not the architecture's own number.

    Returns:
        One shape a tensor; the last axis of a kernel is that of its outputs.

    Raises:
        UnknownNameError: Nobody knows the name.
        UnitError: ``classes`` is no whole number of at least 1.

    Example:
        >>> tensor_shapes("nardini_mlp")[:2]
        ((784, 300), (300,))
    """
    return _sizes(name, classes).tensor_shapes


def forward_flops(name: str, classes: int | None = None) -> int:
    """Return the floating-point operations of one sample's forward pass in training.

    Convolutions and matrix products of all heads count, as in ``count_flops``; biases, norms and pools do not.

    Args:
        name: Name of the architecture.
        classes: Classes, if not the architecture's own number.

    Returns:
        Floating-point operations, twice the multiply-accumulates.

    Raises:
        UnknownNameError: Nobody knows the name.
        UnitError: ``classes`` is no whole number of at least 1.

    Example:
        >>> forward_flops("nardini_mlp") == 2 * (784 * 300 + 300 * 100 + 100 * 10)
        True
    """
    return _sizes(name, classes).forward_flops


def describe_architectures() -> list[dict[str, str | int | tuple[int, ...]]]:
    """Return one row an architecture, sorted by name.

    Returns:
        Rows with ``name``, ``parameters``, ``tensors``, ``payload_bytes`` (32-bit elements),
        ``forward_flops`` (one sample), ``input_shape``, ``default_batch`` and ``family``.
    """
    rows: list[dict[str, str | int | tuple[int, ...]]] = []
    for name in architecture_names():
        elements, entry = tensor_elements(name), ARCHITECTURES[name]
        rows.append(
            {
                "name": name,
                "parameters": sum(elements),
                "tensors": len(elements),
                "payload_bytes": 4 * sum(elements),
                "forward_flops": forward_flops(name),
                "input_shape": entry.input_shape,
                "default_batch": entry.default_batch,
                "family": entry.family,
            }
        )
    return rows


def _sizes(name: str, classes: int | None) -> _Sizes:
    entry = architecture(name)
    return _traced(entry.name, entry.classes if classes is None else whole("classes", classes))


@cache
def _traced(name: str, classes: int) -> _Sizes:
    """Build the network and apply it to one sample, both as shapes."""
    entry = ARCHITECTURES[name]
    network = nnx.eval_shape(lambda: entry.build(nnx.Rngs(0), classes))
    shapes = tuple(tuple(tensor.shape) for tensor in trainable_tensors(network))
    # The products are those of training: all heads count. Only statistics and random masks, which count
    # nothing and take half the time to trace, are left out.
    network.eval()  # type: ignore[no-untyped-call]
    sample = jax.ShapeDtypeStruct(  # type: ignore[no-untyped-call]
        (1, *entry.input_shape), "int32" if entry.tokens else "float32"
    )
    flops = count_flops(lambda traced, inputs: traced.heads(inputs), network, sample)
    return _Sizes(shapes, tuple(map(math.prod, shapes)), flops)
