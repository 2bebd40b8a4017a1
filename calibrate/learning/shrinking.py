"""Hard pruning between epochs: units that were off are off for good, and arrays shrink when that pays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from speedup.errors import UnitError

from ..training.hard_concrete import UnitState, test_gate
from ..training.pruning import GateCounts, chain_cuts, compact, compact_state, prune

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optax
    from numpy.typing import NDArray

    from ..training.parametrisation import Tree
    from ..training.step import Moving

    Mask = NDArray[np.bool_]


def masks_of(moving: Moving) -> list[Mask]:
    """Return which units of each kernel are kept."""
    return [np.asarray(unit.kept) > 0 for unit in moving.carried.units]


def pruned(moving: Moving, draws: int, rule: str) -> Moving:
    """Return the state with the units taken out that an epoch's draws speak against, and nothing counted.

    Args:
        moving: The state after an epoch.
        draws: Its steps.
        rule: See ``pruning.prune``.
    """
    units = []
    for unit in moving.carried.units:
        kept = prune(np.asarray(unit.kept) > 0, GateCounts(np.asarray(unit.active, np.int64), draws), rule=rule)  # type: ignore[arg-type]
        units.append(UnitState(jnp.asarray(kept, unit.kept.dtype), jnp.zeros_like(unit.active)))
    return moving._replace(carried=moving.carried._replace(units=units))


def is_chain(trained: Tree) -> bool:
    """Return whether it is a chain of dense layers, which alone can be made smaller."""
    try:
        chain_cuts(trained, [np.ones(one[0].shape[0], bool) for one in trained if len(one) == 2])
    except UnitError:
        return False
    return True


def compacted(optimizer: optax.GradientTransformation, moving: Moving, masks: Sequence[Mask]) -> tuple[Moving, Mask]:
    """Return the state without the units that are off, and which inputs the first layer still reads.

    Args:
        optimizer: The optimizer.
        moving: The state.
        masks: Which units of each kernel are kept.
    """
    smaller, _ = compact(moving.trained, masks)
    state = compact_state(optimizer, moving.optimizer, moving.trained, masks)
    units = [UnitState.all_kept(int(mask.sum())) for mask in masks] if moving.carried.units else []
    return moving._replace(trained=smaller, optimizer=state, carried=moving.carried._replace(units=units)), masks[0]


def weights_left(trained: Tree, kept: Sequence[Mask] | None = None) -> int:
    """Return how many weights the network in use has, without units whose test gate is 0 or that are off for good.

    Args:
        trained: What ``HardConcrete`` trains.
        kept: Which units of each kernel are not off for good; None if all are.

    Example:
        >>> chain = [(jnp.ones((4, 3)), jnp.array([9.0, -9.0, 9.0, 9.0])), (jnp.ones(3),)]
        >>> weights_left(chain)
        12
    """
    gated = [one for one in trained if len(one) == 2]
    on = [np.asarray(test_gate(one[1])) > 0 for one in gated]
    on = on if kept is None else [mask & own for mask, own in zip(on, kept, strict=True)]
    if is_chain(trained) and all(mask.any() for mask in on):
        return _elements(compact(trained, on)[0])
    left = sum(kernel.size // gates.size * int(mask.sum()) for (kernel, gates), mask in zip(gated, on, strict=True))
    return _elements([one for one in trained if len(one) == 1]) + int(left)


def _elements(trained: Tree) -> int:
    return sum(math.prod(one[0].shape) for one in trained)
