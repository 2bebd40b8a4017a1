"""The estimators for times that vary: their limits, and the simulation as the judge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import CATALOGUE, estimate, simulate
from speedup.formulas.symbols import N, t_comm, t_grad
from speedup.laws import Law
from speedup.numeric import numeric
from speedup.plans import Schedule
from speedup.queueing import (
    central_iterations,
    central_run_s,
    distributed_iterations,
    distributed_throughput,
    excess_delay,
    mva_throughput,
    semaphore_throughput,
)
from speedup.queueing.iterations import guarded_pulls, last_push, shared_pulls

SCHEDULES = {Schedule.SEMAPHORE: "best", Schedule.FAIR: "worst"}


@given(st.integers(1, 64), st.floats(0.01, 10))
def test_a_semaphore_with_constant_times_reaches_the_asymptotic_bound(workers, comm):
    found = semaphore_throughput(workers, Law(1.0), Law(comm))
    assert found == pytest.approx(min(workers / (1 + 2 * comm), 1 / comm), rel=1e-9)


@given(st.integers(2, 64), st.floats(0.05, 2), st.floats(0.1, 1.4))
def test_a_semaphore_with_exponential_transfers_has_product_form(workers, comm, spread):
    found = semaphore_throughput(workers, Law.named("gamma", 1.0, spread), Law.named("exponential", comm))
    assert found == pytest.approx(mva_throughput(workers, 1.0, comm)[-1], rel=0.02)


def test_the_more_transfers_vary_the_longer_the_queue_of_a_semaphore():
    grad = Law.named("gamma", 1.0, 0.5)
    delays = [float(excess_delay(8, grad, Law.named("gamma", 0.1, cv))[0]) for cv in (0.0, 0.3, 0.6, 1.0, 1.4, 1.9)]
    assert delays == sorted(delays)


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_runs_of_constant_times_are_4_15_and_4_16(schedule):
    for workers, batches, comm in ((8, 128, 0.1), (4, 12, 1.5), (16, 64, 0.01)):
        found = central_run_s(workers, batches, Law(1.0), Law(comm), schedule)
        options = {"workers": workers, "batches": batches, "schedules": SCHEDULES[schedule], "method": "thesis"}
        table = estimate(t_grad=1.0, t_comm=comm, modes="async", servers="central", **options)
        assert found == pytest.approx(table[0].time_s, rel=1e-9)


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_rates_are_within_three_percent_of_simulation_on_cases_nothing_was_fitted_to(schedule):
    rng = np.random.default_rng(11)
    errors = []
    for case in range(30):
        workers, comm = int(rng.integers(2, 50)), float(np.exp(rng.uniform(np.log(0.01), np.log(3))))
        grad, transfer = Law.named("gamma", 1.0, rng.uniform(0.1, 1.4)), Law.named("gamma", comm, rng.uniform(0, 1.4))
        options = {"workers": workers, "batches": 2500 * workers, "t_grad": grad, "t_comm": transfer}
        want = simulate(**options, schedule=str(schedule), replications=12, seed=case).steady_throughput
        rate = mva_throughput(workers, 1.0, comm)[-1]
        if schedule is Schedule.SEMAPHORE:
            rate = float(semaphore_throughput(workers, grad, transfer))
        errors.append(abs(rate / want - 1))
    assert max(errors) < 0.03
    assert np.mean(errors) < 0.007


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_iterations_drawn_are_the_simulated_ones(schedule):
    grad, comm = Law.named("lognormal", 1.0, 0.4), Law.named("gamma", 0.15, 0.8)
    drawn = central_iterations([grad] * 8, [comm] * 8, schedule, draws=20_000)
    runs = simulate(
        workers=8, batches=8, t_grad=grad, t_comm=comm, mode="sync-join", schedule=str(schedule), replications=20_000
    )
    assert drawn.mean() == pytest.approx(runs.mean_s, rel=0.01)
    for level in (0.05, 0.5, 0.95):
        assert np.quantile(drawn, level) == pytest.approx(runs.quantile(level), rel=0.02)


def test_distributed_iterations_with_constant_transfers_are_the_simulated_ones():
    grad = Law.named("gamma", 1.0, 0.4)
    drawn = distributed_iterations([grad] * 6, [Law(0.5)] * 6, draws=20_000)
    runs = simulate(
        workers=6,
        batches=6,
        t_grad=grad,
        t_comm=0.5,
        mode="sync-join",
        server="distributed",
        schedule="fair",
        replications=4000,
    )
    assert drawn.mean() == pytest.approx(runs.mean_s, rel=0.01)


@given(st.integers(1, 64), st.floats(0.01, 10), st.floats(0.01, 10))
def test_the_rate_of_a_distributed_server_is_q_5(workers, grad, comm):
    want = numeric(CATALOGUE["Q.5"].expression, (N, t_grad, t_comm))(workers, grad, comm)
    assert distributed_throughput(workers, Law(grad), Law(comm)) == pytest.approx(want, rel=1e-12)


def test_out_of_step_a_distributed_server_is_slower_than_4_21():
    for comm in (0.1, 0.5):
        runs = simulate(
            workers=8,
            batches=1600,
            t_grad=1.0,
            t_comm=comm,
            cv_grad=0.3,
            server="distributed",
            schedule="fair",
            replications=4,
        )
        found = float(distributed_throughput(8, Law(1.0), Law(comm)))
        assert found == pytest.approx(runs.steady_throughput, rel=0.03)
        assert runs.steady_throughput < 8 / (1 + 2 * comm * 7 / 8)


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=12))
def test_pulls_that_share_end_between_their_length_and_all_of_them(lengths):
    found = shared_pulls(np.array(lengths))
    assert (found >= np.array(lengths) * (1 - 1e-12)).all()
    assert found.max() == pytest.approx(sum(lengths))
    # Lengths that differ in the last bit may end at the same time, but never in another order.
    assert (np.diff(found[np.argsort(lengths, kind="stable")]) >= 0).all()


def test_the_last_push_waits_for_those_behind_it():
    ready, lengths = np.array([0.0, 1.0, 1.1]), np.array([0.2, 0.5, 0.5])
    assert last_push(ready, lengths) == pytest.approx(2.0)
    assert guarded_pulls(lengths).tolist() == pytest.approx([0.2, 0.7, 1.2])
