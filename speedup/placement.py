"""Which unit of a distributed server holds which weights, and what that costs.

Equation 4.12 assumes 1/N of the weights on every unit. Algorithm 3.7 places whole tensors and cannot always
give that; one tensor of VGG's makes up 71.5 % of the network.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from speedup.errors import PlanError
from speedup.plans import PlacementRule, one_of
from speedup.units import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Placement:
    """The weights of a network on the units of a distributed server.

    Attributes:
        rule: How they were placed.
        loads: Elements on each unit.
        units: Unit of each tensor, in the order of the list; empty for ``equal`` and ``bytes``, which cut
            tensors.
    """

    rule: PlacementRule
    loads: tuple[float, ...]
    units: tuple[int, ...] = ()

    @property
    def shares(self) -> tuple[float, ...]:
        """Share f_i of the weights on each unit; they sum to 1."""
        total = sum(self.loads)
        return tuple(load / total for load in self.loads)

    @property
    def imbalance(self) -> float:
        """Largest share over the mean share, N max f; 1 is perfect."""
        return len(self.loads) * max(self.shares)

    @property
    def phase(self) -> float:
        r"""Length of one pull or push phase in units of t_comm, equation P.1.

        .. math:: \\varphi = \\max_i \\max((N-1) f_i, 1 - f_i)
        """
        return max((len(self.loads) - 1) * max(self.shares), 1 - min(self.shares))


def _list_scheduling(sizes: Iterable[tuple[int, int]], units: int) -> tuple[list[int], dict[int, int]]:
    """Give each (tensor, size) to the unit with the least load; the lowest number where several have it."""
    queue = [(0, unit) for unit in range(units)]
    chosen = {}
    for tensor, size in sizes:
        load, unit = queue[0]
        heapq.heapreplace(queue, (load + size, unit))
        chosen[tensor] = unit
    loads = [0] * units
    for load, unit in queue:
        loads[unit] = load
    return loads, chosen


def place(tensor_elements: Sequence[int], units: int, rule: str = "greedy") -> Placement:
    """Place weight tensors on the units of a distributed server.

    Args:
        tensor_elements: Elements of each tensor, in forward order.
        units: Number of units N.
        rule: ``greedy`` (Algorithm 3.7: list order, each to the least loaded unit), ``lpt`` (the same,
            largest first), ``bytes`` (one flat buffer cut evenly to one element) or ``equal`` (1/N each).

    Raises:
        PlanError: The rule is unknown, or there is no tensor.
        UnitError: A size or the number of units is not a whole number of at least 1.

    Example:
        >>> place([4, 1, 3, 2], 2).loads, place([4, 1, 3, 2], 2, "lpt").loads
        ((6, 4), (5, 5))
    """
    chosen = one_of("placement", rule, PlacementRule)
    count = whole("units", units)
    sizes = tuple(whole(f"tensor_elements[{index}]", size) for index, size in enumerate(tensor_elements))
    if not sizes:
        raise PlanError("tensor_elements is empty; there is nothing to place.")
    return _place(sizes, count, chosen)


@lru_cache(maxsize=16384)
def _place(sizes: tuple[int, ...], units: int, rule: PlacementRule) -> Placement:
    total = sum(sizes)
    if rule is PlacementRule.EQUAL:
        return Placement(rule, (total / units,) * units)
    if rule is PlacementRule.BYTES:
        each, left = divmod(total, units)
        return Placement(rule, tuple(each + (unit < left) for unit in range(units)))
    order = list(enumerate(sizes))
    if rule is PlacementRule.LPT:
        order.sort(key=lambda pair: -pair[1])
    loads, chosen = _list_scheduling(order, units)
    return Placement(rule, tuple(loads), tuple(chosen[tensor] for tensor in range(len(sizes))))
