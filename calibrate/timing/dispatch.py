"""What Python adds to a step: handing a state to the device, as flat arrays or as a framework's objects.

It is no part of t_grad, whose step takes flat arrays, but a training loop written with the framework pays it
in every step, and for a small network it can exceed the step. It depends on how many arrays there are and
not on their sizes, so scalars stand in for them: nothing of a network's size is allocated or moved.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_CALLS = 100
_LONGEST_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """Time of handing a state to a step that does nothing, and of getting it back.

    Attributes:
        arrays: Arrays in the state.
        executable_s: By calling an executable compiled ahead of time on flat arrays [s].
        nnx_jit_s: By calling a function under ``nnx.jit`` with a module and an ``nnx.Optimizer`` [s].
    """

    arrays: int
    executable_s: float
    nnx_jit_s: float

    @property
    def added_s(self) -> float:
        """What the framework's objects add to flat arrays [s]; at least 0."""
        return max(0.0, self.nnx_jit_s - self.executable_s)


def dispatch_time(module: nnx.Module, optimizer: optax.GradientTransformation | None = None) -> Dispatch:
    """Time the dispatch of a module and its optimizer.

    Args:
        module: A module, or what ``nnx.eval_shape`` makes of one; it is not changed.
        optimizer: Any Optax transformation; None for plain stochastic gradient descent.

    Returns:
        Medians of up to a hundred calls each, for a fifth of a second at most.

    Example:
        >>> module = nnx.eval_shape(lambda: nnx.Linear(4, 3, rngs=nnx.Rngs(0)))
        >>> dispatch = dispatch_time(module)
        >>> dispatch.arrays, 0 < dispatch.executable_s < dispatch.nnx_jit_s < 1
        (3, True)
    """
    stand_in = _with_scalars(module)
    state = nnx.Optimizer(stand_in, optimizer or optax.sgd(1e-4), wrt=nnx.Param)
    leaves = jax.tree.leaves((nnx.state(stand_in), nnx.state(state)))

    @nnx.jit
    def nothing(_module: nnx.Module, _state: nnx.Optimizer[Any]) -> None:
        return None

    # Copies, because they are donated: only so is nothing computed for arrays that pass through.
    flat = tuple(jnp.copy(leaf) for leaf in leaves)
    passing = jax.jit(lambda *arrays: arrays, donate_argnums=tuple(range(len(flat))))
    executable = passing.lower(*flat).compile()

    def hand_on() -> object:
        nonlocal flat
        flat = executable(*flat)
        return flat

    return Dispatch(
        arrays=len(leaves),
        executable_s=_median_s(hand_on),
        nnx_jit_s=_median_s(lambda: nothing(stand_in, state)),
    )


def _with_scalars(module: nnx.Module) -> nnx.Module:
    graph, state = nnx.split(module)
    return nnx.merge(graph, jax.tree.map(_scalar, state))


def _scalar(leaf: jax.Array | jax.ShapeDtypeStruct) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    return jnp.zeros((), leaf.dtype)


def _median_s(call: Callable[[], object]) -> float:
    jax.block_until_ready(call())  # type: ignore[no-untyped-call]
    durations, begin = list[float](), time.perf_counter()
    while len(durations) < _MOST_CALLS and time.perf_counter() - begin < _LONGEST_S:
        start = time.perf_counter()
        result = call()
        durations.append(time.perf_counter() - start)
        # A loop does not wait for each step; here it keeps queues from filling up.
        jax.block_until_ready(result)  # type: ignore[no-untyped-call]
    return median(durations)
