"""The whole-batch forms against runs played through event by event."""

import heapq
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import estimate, formula
from speedup.formulas.symbols import D, N, f_max, f_min, t_comm, t_grad
from speedup.placement import Placement
from speedup.plans import PlacementRule

counts = st.integers(1, 24)
times = st.fractions(Fraction(1, 50), 5, max_denominator=50)


def value(expression, workers, batches, grad, comm):
    return expression.subs({N: workers, D: batches, t_grad: grad, t_comm: comm})


def first_come_first_served(workers, batches, grad, comm):
    """Play an asynchronous run whose server serves one transfer at a time and direction; return its end."""
    free = {"pull": Fraction(0), "push": Fraction(0)}
    left, ended = batches, Fraction(0)
    queue = [(Fraction(0), worker, "pull") for worker in range(workers)]
    while queue:
        asked, worker, direction = heapq.heappop(queue)
        if direction == "pull" and left == 0:
            continue
        finished = free[direction] = max(asked, free[direction]) + comm
        if direction == "pull":
            left -= 1
            heapq.heappush(queue, (finished + grad, worker, "push"))
        else:
            ended = finished
            heapq.heappush(queue, (finished, worker, "pull"))
    return ended


def joined_rounds(workers, batches, grad, comm):
    """Play synchronous rounds of at most one batch a worker, each ended by a barrier."""
    whole, rest = divmod(batches, workers)
    rounds = [workers] * whole + [rest] * (rest > 0)
    return sum(first_come_first_served(active, active, grad, comm) for active in rounds)


def fair_share_in_lockstep(workers, batches, grad, comm):
    """Play a run in which all active transfers of a direction share the link equally; return when it ends."""
    now, left = Fraction(0), batches
    while left:
        active = min(workers, left)
        left -= active
        now += 2 * active * comm + grad
    return now


@given(counts, counts, times, times)
def test_async_first_come_first_served_is_exact_for_all_workers_and_batches(workers, batches, grad, comm):
    want = first_come_first_served(workers, batches, grad, comm)
    assert value(formula("async", "central", schedule="best", method="exact"), workers, batches, grad, comm) == want


@given(counts, counts, times, times)
def test_sync_join_first_come_first_served_is_exact_for_all_workers_and_batches(workers, batches, grad, comm):
    want = joined_rounds(workers, batches, grad, comm)
    exact = formula("sync-join", "central", schedule="best", method="exact")
    assert value(exact, workers, batches, grad, comm) == want


@pytest.mark.parametrize("mode", ["sync-join", "async"])
@given(workers=counts, batches=counts, grad=times, comm=times)
def test_fair_share_in_lockstep_is_exact_for_all_workers_and_batches(mode, workers, batches, grad, comm):
    want = fair_share_in_lockstep(workers, batches, grad, comm)
    assert value(formula(mode, "central", schedule="worst", method="exact"), workers, batches, grad, comm) == want


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12))
def test_a_phase_lasts_as_long_as_its_busiest_link(loads):
    units, total = len(loads), sum(loads)
    share = [Fraction(load, total) for load in loads]
    sends = [share[unit] * (units - 1) for unit in range(units)]
    receives = [sum(share) - share[unit] for unit in range(units)]
    busiest = max(*sends, *receives) if units > 1 else Fraction(0)
    assert Placement(PlacementRule.GREEDY, tuple(loads)).phase == pytest.approx(float(busiest))


@given(counts, counts, times, times)
def test_distributed_whole_rounds_are_never_shorter_than_the_printed_form(workers, batches, grad, comm):
    printed = value(formula("async", "distributed"), workers, batches, grad, comm)
    exact = value(formula("async", "distributed", method="exact"), workers, batches, grad, comm)
    assert exact >= printed
    if batches % workers == 0:
        assert exact == printed


@given(counts, counts, times, times)
def test_whole_rounds_of_equal_shares_are_those_of_unequal_shares_that_happen_to_be_equal(workers, batches, grad, comm):
    equal = formula("sync-join", "distributed", method="exact")
    placed = formula("sync-join", "distributed", method="exact", placement="lpt")
    shares = {f_max: Fraction(1, workers), f_min: Fraction(1, workers)}
    assert value(equal, workers, batches, grad, comm) == value(placed.subs(shares), workers, batches, grad, comm)


@pytest.mark.parametrize("mode", ["sync-join", "async"])
@pytest.mark.parametrize("schedule", ["best", "worst", "mean"])
def test_whole_rounds_are_counted_right_where_division_rounds(mode, schedule):
    # 237 * (1/237) < 1 in floating point: a careless floor(D/N) loses a round.
    expression = formula(mode, "central", schedule=schedule, method="exact")
    for workers in (49, 98, 103, 107, 161, 187, 196, 197, 237, 1500):
        for batches in (workers, 2 * workers, 7 * workers):
            row = estimate(
                t_grad=1.0,
                t_comm=1.0,
                workers=workers,
                batches=batches,
                modes=mode,
                servers="central",
                schedules=schedule,
                method="exact",
            )
            assert row.time_s[0] == float(value(expression, workers, batches, 1, 1))
