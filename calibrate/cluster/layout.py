"""Which part of the flat buffer of all weights lives on which server."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from speedup.placement import place
from speedup.plans import PlacementRule, ServerKind

if TYPE_CHECKING:
    from speedup.plans import Plan


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of a network in one buffer, those of a server side by side.

    Attributes:
        order: Tensors in the order in which they stand in the buffer.
        bounds: First element of each server's part, and the number of all.
    """

    order: tuple[int, ...]
    bounds: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan, tensor_elements: tuple[int, ...]) -> Layout:
        """Return the layout that a plan asks for.

        Example:
            >>> from speedup.plans import Plan, ServerKind, UpdateMode
            >>> plan = Plan(workers=2, mode=UpdateMode.ASYNC, server=ServerKind.DISTRIBUTED, placement="greedy")
            >>> Layout.of(plan, (4, 1, 3, 2))
            Layout(order=(0, 3, 1, 2), bounds=(0, 6, 10))
        """
        units = servers_of(plan)
        # Equal shares of real tensors are equal to one element.
        rule = PlacementRule.BYTES if plan.placement is PlacementRule.EQUAL else plan.placement
        placement = place(tensor_elements, units, rule)
        order = range(len(tensor_elements))
        if placement.units:
            order = sorted(order, key=lambda tensor: placement.units[tensor])  # type: ignore[assignment]
        bounds = (0, *accumulate(int(load) for load in placement.loads))
        return cls(tuple(order), bounds)

    def part(self, server: int) -> slice:
        """Return the elements of one server."""
        return slice(self.bounds[server], self.bounds[server + 1])


def servers_of(plan: Plan) -> int:
    """Return how many processes hold weights; for an all-reduce one, because each holds them all."""
    if plan.server is ServerKind.DISTRIBUTED:
        return plan.workers
    return plan.servers if plan.server is ServerKind.SHARDED else 1
