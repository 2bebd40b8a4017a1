r"""What a plan costs, and which plans nobody beats in both time and cost.

.. math:: C = t\,(m_w p_w + m_s p_s)

A run of t that uses m_w machines of workers at a price of p_w each, and m_s machines that only hold weights at p_s.
Machines are paid for by the second and for as long as the run takes: what starting them costs is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from speedup.errors import UnitError
from speedup.prices import CURRENCY, Price

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from speedup.tables import EstimateTable

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cost:
    """What each row of a table costs.

    Attributes:
        worker_cost: Of the machines of the workers, one a row [USD].
        server_cost: Of the machines that only hold weights [USD]; 0 where there are none.
        price: Of one machine of the first kind.
        server_price: Of one of the second.
    """

    worker_cost: Floats
    server_cost: Floats
    price: Price
    server_price: Price

    @property
    def total(self) -> Floats:
        """Of all machines, one a row [USD]."""
        return self.worker_cost + self.server_cost

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to mind about the prices."""
        return tuple(dict.fromkeys(one.warning for one in (self.price, self.server_price) if one.warning))


def machines_apart(table: EstimateTable) -> tuple[Integers, Integers]:
    """Return the machines of workers, and those that only hold weights, one a row.

    Example:
        >>> from speedup import estimate
        >>> table = estimate("squeezenet", workers=8, servers="central", modes="async", schedules="best")
        >>> [count.tolist() for count in machines_apart(table)]
        [[8], [1]]
    """
    own = -(-table.workers // table.inputs.practice.per_machine)
    return own, table.machines - own


def cost_of(
    table: EstimateTable,
    price: str | float | Price,
    server_price: str | float | Price | None = None,
    *,
    time_s: Floats | None = None,
) -> Cost:
    r"""Return what each row of a table costs.

    .. math:: C = t_{train}\,(m_w p_w + m_s p_s)

    Args:
        table: The plans.
        price: Of a machine of workers, with all of its accelerators: USD per hour, or the name of a machine.
        server_price: Of a machine that only holds weights; the same if left out.
        time_s: How long each row takes [s], if not as the table says, such as with failures.

    Returns:
        The costs [USD].

    Raises:
        UnitError: A price is negative or not finite, or times are not one a row.
        UnknownNameError: A machine is not in the table of prices.

    Example:
        >>> from speedup import estimate
        >>> table = estimate(t_grad=1.0, t_comm=0.1, batches=3600, workers=[1], modes="sync-join", servers="central",
        ...     schedules="best")
        >>> table.time_s.tolist(), cost_of(table, 2.0, server_price=0.5).total.tolist()
        ([4320.0], [3.0])
    """
    paid = Price.of(price)
    paid_servers = paid if server_price is None else Price.of(server_price)
    lasting = np.asarray(table.time_s if time_s is None else time_s, dtype=np.float64)
    if lasting.shape != table.time_s.shape:
        raise UnitError(f"time_s has shape {lasting.shape}; it must have a time for each of {len(table)} rows.")
    workers, servers = machines_apart(table)
    # Nothing times a run that never ends is nothing, and not undefined.
    return Cost(
        worker_cost=_paid(lasting, workers, paid),
        server_cost=_paid(lasting, servers, paid_servers),
        price=paid,
        server_price=paid_servers,
    )


def _paid(lasting: Floats, machines: Integers, price: Price) -> Floats:
    found = np.zeros_like(lasting)
    rate = machines * price.per_second
    np.multiply(lasting, rate, out=found, where=rate > 0)
    return found


def _pair(time_s: ArrayLike, cost: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(time_s, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise UnitError(f"times of shape {first.shape} and costs of shape {second.shape}; they must be one a row.")
    if np.isnan(first).any() or np.isnan(second).any():
        raise UnitError("a time or a cost is not a number; leave that row out, or give it an infinite one.")
    return first, second


def pareto_front(time_s: ArrayLike, cost: ArrayLike, *, keep_equal: bool = False) -> Integers:
    """Return the rows that no other row beats: none is as fast and as cheap, and better in one of the two.

    Sorting takes the most of it: O(n log n).

    Args:
        time_s: Time of each row [s]; infinite for one that cannot be run.
        cost: Cost of each row [USD]; likewise.
        keep_equal: Whether all of several rows with the same time and the same cost are returned, and not the first
            of them alone.

    Returns:
        Their indices, the fastest row first and the cheapest last.

    Raises:
        UnitError: The two have not as many rows, or something is not a number.

    Source:
        H. T. Kung, F. Luccio, F. P. Preparata: On finding the maxima of a set of vectors. J. ACM 22(4), 1975.

    Example:
        >>> pareto_front([1.0, 2.0, 3.0, 2.0], [9.0, 4.0, 4.0, 5.0]).tolist()
        [0, 1]
    """
    first, second = _pair(time_s, cost)
    rows = np.flatnonzero(np.isfinite(first) & np.isfinite(second))
    if not rows.size:
        return np.zeros(0, dtype=np.int64)
    rows = rows[np.argsort(first[rows])]
    first, second = first[rows], second[rows]
    begins = _changes(first)
    cheapest = np.minimum.reduceat(second, begins)
    best = np.ones(cheapest.size, dtype=np.bool_)
    best[1:] = cheapest[1:] < np.minimum.accumulate(cheapest)[:-1]
    # Of the rows with one time the cheapest are on the front, if they are cheaper than all that are faster.
    same = np.repeat(np.arange(begins.size), np.diff(begins, append=rows.size))
    on = best[same] & (second == cheapest[same])
    found, same = rows[on], same[on]
    found = found[np.lexsort((found, same))] if keep_equal else np.minimum.reduceat(found, _changes(same))
    return np.asarray(found, dtype=np.int64)


def _changes(values: NDArray[Any]) -> Integers:
    """Return where a sorted array begins to have another value."""
    return np.asarray(np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])), dtype=np.int64)


def show_cost(cost: float) -> str:
    """Write an amount of money with its currency.

    Example:
        >>> show_cost(0.0123), show_cost(3), show_cost(12345.6)
        ('0.0123 USD', '3 USD', '12,346 USD')
    """
    return f"{cost:,.0f} {CURRENCY}" if cost >= 1000 else f"{cost:.3g} {CURRENCY}"
