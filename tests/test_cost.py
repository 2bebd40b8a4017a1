"""Costs of plans, deadlines, budgets, and the front of time and cost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from speedup import SpeedupError, estimate
from speedup.cost import cost_of, machines_apart, pareto_front, show_cost
from speedup.errors import UnitError

EVERYTHING = {"t_grad": 2.0, "t_comm": 0.1, "batches": 512, "servers": None, "modes": None}
few = st.integers(0, 12).map(float)
rows = st.lists(st.tuples(few | st.just(np.inf), few), max_size=40)


def plans(**options):
    return estimate(**{**EVERYTHING, **options})


def beaten(one, by):
    return by[0] <= one[0] and by[1] <= one[1] and (by[0] < one[0] or by[1] < one[1])


def front_by_hand(points):
    finite = [row for row, point in enumerate(points) if np.isfinite(point).all()]
    return {row for row in finite if not any(beaten(points[row], points[other]) for other in finite)}


def test_a_central_server_is_one_machine_more_and_an_allreduce_none():
    table = plans(workers=[1, 4, 8], shards=3, servers=("central", "sharded", "allreduce", "distributed"))
    own, extra = machines_apart(table)
    assert (own + extra == table.machines).all()
    for row, estimated in enumerate(table):
        want = {"central": 1, "sharded": 3}.get(str(estimated.server), 0)
        assert extra[row] == want


def test_a_cost_is_machines_by_hours_by_price():
    table = plans(workers=[8], modes="sync-join", servers="central", schedules="best")
    cost = cost_of(table, 2.0, 0.5)
    hours = table.time_s[0] / 3600
    assert cost.worker_cost[0] == pytest.approx(hours * 8 * 2.0)
    assert cost.server_cost[0] == pytest.approx(hours * 0.5)
    assert cost.total[0] == pytest.approx(hours * (8 * 2.0 + 0.5))


def test_a_machine_of_several_accelerators_is_paid_for_once():
    table = plans(workers=[8, 9], modes="sync-join", servers="allreduce", per_machine=8)
    assert cost_of(table, 24.48).total / table.time_s * 3600 == pytest.approx([24.48, 2 * 24.48])


def test_servers_cost_the_same_unless_they_have_a_price_of_their_own():
    table = plans(workers=[4], modes="async", servers="central", schedules="best")
    assert cost_of(table, "g4dn.xlarge").total == pytest.approx(5 * 0.526 / 3600 * table.time_s)
    assert cost_of(table, "g4dn.xlarge", "n2-standard-16").server_price.per_hour == 0.776944


@given(st.floats(0.01, 100), st.floats(0.1, 10))
def test_costs_grow_in_proportion_to_price_and_time(price, factor):
    table = plans(workers=[2, 4], modes="sync-join", servers="central", schedules="best")
    once = cost_of(table, price).total
    assert cost_of(table, price * factor).total == pytest.approx(once * factor)
    assert cost_of(table, price, time_s=table.time_s * factor).total == pytest.approx(once * factor)


def test_a_run_that_never_ends_costs_everything_but_what_is_not_used():
    table = plans(workers=[2], modes="sync-join", servers="allreduce")
    cost = cost_of(table, 1.0, time_s=np.array([np.inf]))
    assert cost.total[0] == np.inf
    assert cost.server_cost[0] == 0


def test_a_price_of_zero_costs_nothing_and_is_warned_of_once():
    table = plans(workers=[4])
    free = cost_of(table, 0)
    assert (free.total == 0).all()
    assert len(free.warnings) == 1
    assert not cost_of(table, 1.0).warnings
    assert cost_of(table, 1.0, server_price=0).warnings


@pytest.mark.parametrize("wrong", [-1, float("nan"), "nan", "-2"])
def test_a_price_that_is_none_is_refused(wrong):
    with pytest.raises(SpeedupError, match="price"):
        cost_of(plans(workers=[2]), wrong)


def test_times_that_are_not_one_a_row_are_refused():
    with pytest.raises(UnitError, match="a time for each of"):
        cost_of(plans(workers=[2]), 1.0, time_s=np.array([1.0]))


@given(rows)
def test_the_front_is_that_of_comparing_every_row_with_every_other(points):
    time_s, cost = np.array(points).reshape(-1, 2).T
    everything = pareto_front(time_s, cost, keep_equal=True).tolist()
    assert set(everything) == front_by_hand(points)
    assert len(set(everything)) == len(everything)
    first = pareto_front(time_s, cost).tolist()
    assert {points[row] for row in first} == {points[row] for row in everything}
    assert all(row == points.index(points[row]) for row in first)
    assert [points[row][0] for row in first] == sorted({points[row][0] for row in everything})


@given(stnp.arrays(np.float64, st.tuples(st.integers(1, 200), st.just(2)), elements=st.floats(0, 1e6)))
def test_along_the_front_time_grows_and_cost_falls(points):
    front = pareto_front(*points.T)
    assert (np.diff(points[front, 0]) > 0).all()
    assert (np.diff(points[front, 1]) < 0).all()
    assert points[:, 0].min() == points[front[0], 0]
    assert points[:, 1].min() == points[front[-1], 1]


def test_a_front_of_nothing_is_empty():
    assert pareto_front([], []).size == 0
    assert pareto_front([np.inf], [1.0]).size == 0


@pytest.mark.parametrize(
    ("time_s", "cost", "said"),
    [([1.0], [1.0, 2.0], "one a row"), ([np.nan], [1.0], "not a number"), ([[1.0]], [[1.0]], "one a row")],
)
def test_rows_that_do_not_go_together_are_refused(time_s, cost, said):
    with pytest.raises(UnitError, match=said):
        pareto_front(time_s, cost)


def test_the_front_of_a_table_holds_its_fastest_and_its_cheapest_plan():
    table = plans(workers=range(1, 33))
    cost = cost_of(table, 2.0, 0.5).total
    front = pareto_front(table.time_s, cost)
    assert table.time_s[front[0]] == table.time_s.min()
    assert cost[front[-1]] == cost.min()


def test_money_is_written_with_its_currency():
    assert show_cost(0) == "0 USD"
    assert show_cost(1234.5) == "1,234 USD"
