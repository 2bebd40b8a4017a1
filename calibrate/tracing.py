"""The operations of a function, counted from its trace: what a step computes, before any of it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import jax
from jax.extend.core import jaxprs_in_params

from speedup.errors import SpeedupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jax.extend.core import Jaxpr, JaxprEqn


class OperationKind(StrEnum):
    """What an operation is to a cost model."""

    CONVOLUTION = "convolution"
    """A convolution, forward."""
    INPUT_GRADIENT = "input gradient"
    """The gradient of a strided convolution to its input: a convolution of what was dilated."""
    KERNEL_GRADIENT = "kernel gradient"
    """The gradient of a convolution to its kernel: a convolution whose window is as large as the map."""
    PRODUCT = "product"
    """A matrix product."""
    WINDOW = "window"
    """Pooling, its gradient, and other reductions over windows."""
    ELEMENTWISE = "elementwise"
    """Everything that reads and writes each element once or a few times."""


class UncountableError(SpeedupError):
    """A function whose operations cannot be known before it runs."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a trace.

    Attributes:
        kind: What it is.
        flops: Floating-point operations of convolutions and products, 2 a multiply-accumulate; else 0.
        input_bytes: Bytes read.
        output_bytes: Bytes written.
        times: How often it runs.
    """

    kind: OperationKind
    flops: int
    input_bytes: int
    output_bytes: int
    times: int = 1


# Programs inside a program that run a number of times which the outer one does not say.
_UNKNOWN_COUNT = {
    "while": "a while loop whose number of rounds is known only when it runs: use jax.lax.scan, or jax.lax.fori_loop "
    "with constant bounds",
    "pallas_call": "a Pallas kernel: count the same function written without it",
    "shard_map": "a sharded map: count the function of one shard",
}
# Products whose sizes depend on data or on a library: not to be passed over in silence.
_UNCOUNTED_PRODUCTS = ("ragged_dot_general", "scaled_matmul", "dot_product_attention_fwd", "dot_product_attention_bwd")


def operations(function: Callable[..., Any], *arguments: Any) -> list[Operation]:  # noqa: ANN401 - pytrees of arrays
    """Return the operations of a function in the order of its trace; nothing is computed or allocated.

    The body of a scan is repeated, of the branches of a condition the one with the most arithmetic counts, and of a
    loop that runs an unknown number of times a single round, which must have no product or convolution.

    Args:
        function: Any function that JAX can trace; also a gradient.
        *arguments: What it is called with: arrays, ``jax.ShapeDtypeStruct`` in their place, or trees of them.

    Raises:
        UncountableError: A product runs an unknown number of times, as in a while loop, or has a size that is
            unknown before it runs.

    Example:
        >>> import jax.numpy as jnp
        >>> shape = jax.ShapeDtypeStruct((8, 8), jnp.float32)
        >>> [(found.kind.value, found.flops) for found in operations(lambda a, b: a @ b + 1, shape, shape)]
        [('product', 1024), ('elementwise', 0)]
    """
    return list(_walk(jax.make_jaxpr(function)(*arguments).jaxpr, 1))


def count_flops(function: Callable[..., Any], *arguments: Any) -> int:  # noqa: ANN401 - pytrees of arrays
    r"""Return the floating-point operations of the convolutions and matrix products of a function.

    .. math:: F = 2 \left(\sum_{\text{convolutions}} |y| \, t \, c + \sum_{\text{products}} |y| \, k\right)

    with :math:`|y|` elements of output, :math:`t` taps of the kernel, :math:`c` channels of input a group, and
    :math:`k` elements contracted. Taps that fall on padding count, zeros that a transposed convolution puts
    between its inputs do not. Everything else (sums, norms, pools, activations, Fourier transforms,
    decompositions) counts nothing. What is traced counts, used or not.

    Args:
        function: Any function that JAX can trace; also a gradient.
        *arguments: What it is called with: arrays, ``jax.ShapeDtypeStruct`` in their place, or trees of them.

    Returns:
        Floating-point operations of one call, a multiplication and an addition each counted.

    Raises:
        UncountableError: As ``operations``.

    Example:
        >>> matrix = jax.ShapeDtypeStruct((100, 100), "float32")
        >>> count_flops(lambda a, b: a @ b, matrix, matrix)
        2000000
    """
    return sum(one.flops * one.times for one in operations(function, *arguments))


def first_uses(function: Callable[..., Any], first: Any, *rest: Any) -> tuple[int, ...]:  # noqa: ANN401 - pytrees of arrays
    """Return the leaves of the first argument in the order in which a function first uses them; unused ones last.

    Args:
        function: Any function that JAX can trace.
        first: Its first argument.
        *rest: The others.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = {"a": jnp.ones((2, 3)), "b": jnp.ones((4, 2))}
        >>> first_uses(lambda w, x: x @ w["b"] @ w["a"], weights, jnp.ones((1, 4)))
        (1, 0)
    """
    count, traced = len(jax.tree.leaves(first)), jax.make_jaxpr(function)(first, *rest).jaxpr
    found: dict[int, None] = {}
    _note_uses(traced, {variable: place for place, variable in enumerate(traced.invars[:count])}, found)
    return (*found, *(place for place in range(count) if place not in found))


def _note_uses(jaxpr: Jaxpr, places: dict[Any, int], found: dict[int, None]) -> None:
    for equation in jaxpr.eqns:
        # A literal is no variable, and cannot be looked up.
        used = [None if hasattr(one, "val") else places.get(one) for one in equation.invars]
        bodies = [body for body in jaxprs_in_params(equation.params) if len(body.invars) == len(used)]
        for body in bodies:
            inner = {one: place for one, place in zip(body.invars, used, strict=True) if place is not None}
            _note_uses(body, inner, found)
        found.update(dict.fromkeys(place for place in used if place is not None and not bodies))


def _walk(jaxpr: Jaxpr, times: int) -> Iterator[Operation]:
    for equation in jaxpr.eqns:
        name, inner = equation.primitive.name, list(jaxprs_in_params(equation.params))
        if name == "cond":
            yield from max((list(_walk(branch, times)) for branch in inner), key=_weight)
        elif inner:
            turns = times * (equation.params["length"] if name == "scan" else 1)
            found = [one for body in inner for one in _walk(body, turns)]
            if name in _UNKNOWN_COUNT and any(one.flops for one in found):
                raise UncountableError(f"the function has matrix products or convolutions in {_UNKNOWN_COUNT[name]}.")
            yield from found
        else:
            yield _operation(equation, times)


def _weight(found: list[Operation]) -> tuple[int, int]:
    return sum(one.flops * one.times for one in found), sum(one.output_bytes * one.times for one in found)


def _operation(equation: JaxprEqn, times: int) -> Operation:
    name, kind, flops = equation.primitive.name, OperationKind.ELEMENTWISE, 0
    if name in _UNCOUNTED_PRODUCTS:
        raise UncountableError(f"the function has {name}, whose operations cannot be counted; use plain products.")
    if name == "dot_general":
        kind, flops = OperationKind.PRODUCT, _product_flops(equation)
    elif name == "conv_general_dilated":
        kind, flops = _convolution_kind(equation), _convolution_flops(equation)
    elif name.startswith(("reduce_window", "select_and_scatter", "select_and_gather")):
        kind = OperationKind.WINDOW
    return Operation(kind, flops, sum(map(_bytes, equation.invars)), sum(map(_bytes, equation.outvars)), times)


def _shape(variable: Any) -> tuple[int, ...]:  # noqa: ANN401 - a variable or a literal of a trace
    return tuple(getattr(variable.aval, "shape", ()))


def _bytes(variable: Any) -> int:  # noqa: ANN401 - a variable or a literal of a trace
    size: int = getattr(getattr(variable.aval, "dtype", None), "itemsize", 0)
    return math.prod(_shape(variable)) * size


def _product_flops(equation: JaxprEqn) -> int:
    left, _, outputs = (_shape(variable) for variable in (*equation.invars, *equation.outvars))
    (contracted, _), _ = equation.params["dimension_numbers"]
    products: int = math.prod((*outputs, *(left[axis] for axis in contracted)))
    return 2 * products


def _convolution_flops(equation: JaxprEqn) -> int:
    inputs, kernel, outputs = (_shape(variable) for variable in (*equation.invars, *equation.outvars))
    numbers, dilations = equation.params["dimension_numbers"], equation.params["lhs_dilation"]
    # Where the inputs stand apart among zeros, each place of them meets each tap once, so they are counted.
    places = (
        inputs[source] if dilation > 1 else outputs[target]
        for source, target, dilation in zip(numbers.lhs_spec[2:], numbers.out_spec[2:], dilations, strict=True)
    )
    batch, maps = (outputs[axis] for axis in numbers.out_spec[:2])
    channels, taps = kernel[numbers.rhs_spec[1]], (kernel[axis] for axis in numbers.rhs_spec[2:])
    products: int = math.prod((batch, maps, channels, *places, *taps))
    return 2 * products


def _convolution_kind(equation: JaxprEqn) -> OperationKind:
    params, numbers = equation.params, equation.params["dimension_numbers"]
    if math.prod(params["lhs_dilation"]) > 1:
        return OperationKind.INPUT_GRADIENT
    if numbers.lhs_spec[0] != numbers.out_spec[0] or params["batch_group_count"] > 1:
        return OperationKind.KERNEL_GRADIENT
    return OperationKind.CONVOLUTION
