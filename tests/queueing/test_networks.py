"""Closed networks: against each other, against bounds, against simulation."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from speedup import CATALOGUE, SpeedupError, simulate
from speedup.formulas.symbols import N, t_comm, t_grad
from speedup.laws import Law
from speedup.numeric import numeric
from speedup.plans import Schedule, ServerKind, UpdateMode
from speedup.queueing import (
    bard_schweitzer_throughput,
    machine_repairman_throughput,
    multiclass_throughput,
    mva_throughput,
    shared_stations_throughput,
)
from speedup.simulation import Scenario, play

seconds = st.floats(1e-3, 1e2)
counts = st.integers(1, 40)


def bound(number, workers, grad, comm):
    return numeric(CATALOGUE[number].expression, (N, t_grad, t_comm))(workers, grad, comm)


@given(counts, seconds, seconds)
def test_throughput_lies_between_its_bounds(workers, grad, comm):
    found = mva_throughput(workers, grad, comm)[-1]
    assert found <= bound("Q.2", workers, grad, comm) * (1 + 1e-9)
    assert found <= bound("Q.3", workers, grad, comm) * (1 + 1e-9)
    assert found >= bound("Q.4", workers, grad, comm) * (1 - 1e-9)


@given(counts, seconds, seconds)
def test_more_workers_never_do_less(workers, grad, comm):
    found = mva_throughput(workers + 1, grad, comm)
    assert (np.diff(found) >= -1e-12 * found[-1]).all()


@given(st.integers(1, 10), seconds, seconds)
def test_equal_workers_are_a_case_of_unequal_ones(workers, grad, comm):
    classes = multiclass_throughput([grad] * workers, [comm] * workers)
    assert classes.exact
    assert classes.total == pytest.approx(mva_throughput(workers, grad, comm)[-1], rel=1e-9)


@given(counts, seconds, seconds)
def test_one_link_is_a_case_of_several(workers, grad, comm):
    np.testing.assert_allclose(
        shared_stations_throughput(workers, grad, comm, 1), mva_throughput(workers, grad, comm), rtol=1e-8
    )


@given(st.integers(1, 30), st.floats(0.1, 10), st.floats(0.1, 10))
def test_the_machine_repairman_is_q_1(workers, grad, comm):
    point = {N: workers, t_grad: sympy.Rational(grad), t_comm: sympy.Rational(comm)}
    want = float(CATALOGUE["Q.1"].expression.subs(point).doit())
    assert machine_repairman_throughput(workers, grad, comm)[-1] == pytest.approx(want, rel=1e-9)


def test_many_unequal_workers_are_approximated_within_three_percent():
    rng = np.random.default_rng(1)
    grad, comm = rng.uniform(0.5, 2, 12), rng.uniform(0.02, 0.2, 12)
    exact = multiclass_throughput(grad.tolist(), comm.tolist())
    assert bard_schweitzer_throughput(grad, comm).sum() == pytest.approx(exact.total, rel=0.03)
    many = multiclass_throughput([1.0] * 30, [0.05] * 30)
    assert not many.exact
    assert many.total == pytest.approx(mva_throughput(30, 1.0, 0.05)[-1], rel=0.03)


@pytest.mark.parametrize("law", ["constant", "gamma", "lognormal"])
def test_fair_sharing_is_insensitive_to_the_law_of_the_transfers(law):
    runs = simulate(
        workers=6,
        batches=20_000,
        t_grad=1.0,
        t_comm=0.2,
        schedule="fair",
        law="gamma" if law == "constant" else law,
        cv_grad=0.7,
        cv_comm=0.0 if law == "constant" else 1.3,
        replications=10,
    )
    assert runs.steady_throughput == pytest.approx(mva_throughput(6, 1.0, 0.2)[-1], rel=0.01)


def test_unequal_payloads_share_the_link_as_multiclass_mva_says():
    grad, comm = [1.0, 0.5, 2.0, 1.0], [0.1, 0.3, 0.05, 0.2]
    # Payloads of unequal length over equal links: the law's mean is the length.
    laws = tuple(Law.named("exponential", mean) for mean in comm)
    scenario = Scenario(
        mode=UpdateMode.ASYNC,
        server=ServerKind.CENTRAL,
        schedule=Schedule.FAIR,
        batches=40_000,
        t_grad=tuple(Law.named("exponential", mean) for mean in grad),
        pull=laws,
        push=laws,
        join_s=np.zeros(4),
        leave_s=np.full(4, np.inf),
    )
    runs = play(scenario, replications=8)
    want = multiclass_throughput(grad, comm)
    assert runs.steady_throughput == pytest.approx(want.total, rel=0.01)
    shares = np.array(runs.batches_by_worker) / 40_000
    np.testing.assert_allclose(shares, want.workers / want.total, rtol=0.02)


@pytest.mark.parametrize(("workers", "shards", "comm"), [(6, 2, 0.4), (12, 4, 0.3), (4, 4, 0.5)])
def test_equal_shards_are_stations_that_serve_several(workers, shards, comm):
    runs = simulate(
        workers=workers,
        batches=2000,
        t_grad=1.0,
        t_comm=comm,
        server="sharded",
        shards=shards,
        schedule="fair",
        cv_grad=0.6,
        cv_comm=0.6,
        replications=10,
    )
    want = shared_stations_throughput(workers, 1.0, comm, shards)[-1]
    assert runs.steady_throughput == pytest.approx(want, rel=0.02)


def test_bad_shapes_are_refused():
    with pytest.raises(SpeedupError, match="t_grad has 2 values and t_comm 1"):
        multiclass_throughput([1.0, 2.0], [0.1])
    with pytest.raises(SpeedupError, match=r"links = 0\.5; it must be at least 1"):
        shared_stations_throughput(4, 1.0, 0.1, 0.5)
