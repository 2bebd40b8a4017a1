"""Gradients up and weights down that take unlike times: formulas, queueing and simulation, against one another."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from speedup import CATALOGUE, estimate, explain, recommend, simulate
from speedup.errors import PlanError, ProfileError
from speedup.formulas import plan_formula
from speedup.formulas.symbols import D, N, t_comm, t_down, t_grad, t_up
from speedup.laws import Law
from speedup.plans import Schedule, ServerKind, UpdateMode
from speedup.profile import Profile
from speedup.queueing import central_iterations, fair_throughput

INSTEAD = {
    "U.1": "4.6",
    "U.2": "4.11",
    "U.3": "4.15",
    "U.4": "4.20",
    "U.5": "W.1",
    "U.6": "W.5",
    "U.7": "W.3",
    "U.8": "W.6",
}
SHAPELESS = replace(
    Profile.load("squeezenet"), workload=replace(Profile.load("squeezenet").workload, tensor_shapes=None)
)
TIMES = st.floats(0.01, 3.0)
PLANS = [
    ("sync-join", "central", "semaphore"),
    ("sync-join", "central", "fair"),
    ("sync-split", "central", "semaphore"),
    ("sync-split", "central", "fair"),
    ("async", "central", "semaphore"),
    ("sync-join", "distributed", None),
    ("sync-split", "distributed", None),
]


@pytest.mark.parametrize(("apart", "thesis"), INSTEAD.items())
def test_equal_directions_give_the_thesis_back(apart, thesis):
    rng = np.random.default_rng(3)
    one = CATALOGUE[apart].expression.subs({t_up: t_comm, t_down: t_comm})
    other = CATALOGUE[thesis].expression
    for _ in range(20):
        workers, times = int(rng.integers(1, 20)), rng.integers(1, 40, 2)
        point = {N: workers, D: workers * int(rng.integers(1, 20)) + (int(rng.integers(0, 5)) if apart > "U.4" else 0)}
        point |= {t_comm: sympy.Rational(int(times[0]), 7), t_grad: sympy.Rational(int(times[1]), 3)}
        assert one.subs(point) == other.subs(point)


@pytest.mark.parametrize(("mode", "server", "schedule"), PLANS)
@settings(max_examples=25)
@given(workers=st.integers(1, 9), batches=st.integers(1, 40), grad=TIMES, up=TIMES, down=TIMES)
def test_the_formulas_of_whole_batches_are_the_simulated_runs(mode, server, schedule, workers, batches, grad, up, down):
    if server == "distributed" or mode == "sync-split":
        # Who is left over in a last round is not in the formula of a distributed server.
        batches = workers * batches if mode != "sync-split" else batches
    table = estimate(
        t_grad=grad, t_comm=down, t_up=up, workers=workers, batches=batches,
        modes=mode, servers=server, schedules=schedule, method="exact",
    )  # fmt: skip
    run = simulate(
        workers=workers, batches=batches, t_grad=grad, t_comm=down, t_up=up, mode=mode, server=server,
        schedule=schedule or "fair", replications=1,
    )  # fmt: skip
    assert table[0].time_s == pytest.approx(run.mean_s, rel=1e-9)


@given(workers=st.integers(1, 30), batches=st.integers(1, 200), grad=TIMES, up=TIMES, down=TIMES)
def test_with_constant_times_it_does_not_matter_which_way_is_the_slower(workers, batches, grad, up, down):
    given_ = {"t_grad": grad, "workers": workers, "batches": batches, "method": "exact"}
    given_["servers"] = ("central", "distributed")
    one = estimate(t_comm=down, t_up=up, **given_)
    other = estimate(t_comm=up, t_up=down, **given_)
    np.testing.assert_allclose(one.time_s, other.time_s, rtol=1e-12)


def test_the_same_time_both_ways_is_the_same_table():
    one, other = estimate(t_grad=0.7, t_comm=0.1), estimate(t_grad=0.7, t_comm=0.1, t_up=0.1)
    np.testing.assert_array_equal(one.time_s, other.time_s)
    assert [row.equation for row in one] == [row.equation for row in other]


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.6])
@pytest.mark.parametrize("comm", [0.02, 0.15, 0.4])
def test_mean_value_analysis_has_the_throughput_of_the_simulation(ratio, comm):
    grad = Law.named("gamma", 1.0, 0.5)
    found = float(fair_throughput([6], grad, Law(comm), up_ratio=ratio)[0])
    run = simulate(
        workers=6, batches=6000, t_grad=grad, t_comm=(2 - ratio) * comm, t_up=ratio * comm, schedule="fair",
        replications=4,
    )  # fmt: skip
    assert found == pytest.approx(run.steady_throughput, rel=0.02)


@pytest.mark.parametrize("schedule", [Schedule.FAIR, Schedule.SEMAPHORE])
def test_iterations_drawn_one_by_one_are_the_simulated_ones(schedule):
    grad, comm = Law.named("gamma", 1.0, 0.3), Law.named("gamma", 0.2, 0.4)
    drawn = central_iterations([grad] * 6, [comm] * 6, schedule, up_ratio=0.4, draws=20_000)
    run = simulate(
        workers=6, batches=6 * 400, t_grad=grad, t_comm=comm.scaled(1.6), t_up=comm.scaled(0.4), mode="sync-join",
        schedule=str(schedule), replications=5,
    )  # fmt: skip
    assert drawn.mean() == pytest.approx(run.mean_s / 400, rel=0.01)


@pytest.mark.parametrize("schedule", ["fair", "semaphore"])
@pytest.mark.parametrize("mode", ["sync-join", "async"])
def test_the_automatic_choice_of_an_estimator_stays_close_to_the_simulation(mode, schedule):
    given_ = {"t_grad": 1.0, "t_comm": 0.3, "t_up": 0.05, "cv_grad": 0.3, "cv_comm": 0.2, "workers": 8, "batches": 640}
    kind = {"modes": mode, "servers": "central", "schedules": schedule}
    found, simulated = (estimate(**given_, **kind, method=method)[0] for method in ("auto", "simulation"))
    assert found.time_s == pytest.approx(simulated.time_s, rel=0.02)


def test_every_plan_formula_takes_both_times():
    for mode in (UpdateMode.SYNC_JOIN, UpdateMode.SYNC_SPLIT, UpdateMode.ASYNC):
        for method in ("thesis", "exact"):
            kinds = [(ServerKind.CENTRAL, schedule) for schedule in (Schedule.BEST, Schedule.WORST, Schedule.MEAN)]
            for server, schedule in [*kinds, (ServerKind.DISTRIBUTED, Schedule.NONE)]:
                expression, _ = plan_formula(mode, server, schedule, method, equal=True, apart=True)
                assert {t_up, t_down} <= expression.free_symbols
                assert t_comm not in expression.free_symbols


def test_encodings_make_transfers_as_long_as_their_bytes():
    dense = estimate("vgg16e", network="1gbit", workers=8).inputs
    found = estimate("vgg16e", network="1gbit", workers=8, up="int8", down="bf16").inputs
    assert found.t_down_s == pytest.approx(dense.t_comm_s / 2)
    assert found.t_up_s == pytest.approx(dense.t_comm_s / 4, rel=1e-5)  # and the scales
    assert found.to_dict()["up_bytes"] == found.traffic.up_bytes
    assert float(Fraction(found.traffic.down_bytes, found.traffic.dense_bytes)) == 0.5


def test_a_codec_costs_workers_time_and_one_worker_alone_nothing():
    plain, coded = (recommend("squeezenet", workers=[1, 8], t_codec=codec).table for codec in (0.0, 0.1))
    for before, after in zip(plain, coded, strict=True):
        alone = str(before.mode) == "sequential"
        rounds = 128 / before.workers if str(before.mode) != "sync-split" else 128
        if str(before.server) == "distributed":
            assert after.time_s - before.time_s == pytest.approx(rounds * 0.1)
        assert after.time_s == before.time_s if alone else after.time_s > before.time_s
        assert after.t_grad_s == before.t_grad_s


def test_the_explanation_shows_both_times():
    found = explain("squeezenet", t_up=0.01, server="central", mode="async", schedule="semaphore", method="exact")
    assert found.estimate.equation == "U.7"
    assert {"t_up", "t_down"} <= {symbol.name for symbol in found.values}
    assert "t_up   = 0.01 s" in str(found)


def test_reasons_say_which_way_and_what_encodings_leave_out():
    said = str(recommend("vgg16e", network="1gbit", up="int8", max_workers=16))
    assert "t_up = 1.12 s, t_down = 4.5 s" in said
    assert "141 MB up (int8), 562 MB down (fp32)" in said
    assert "give t_codec" in said
    assert "What int8 lose" in said
    assert "the mean of t_up and t_down must take at most" in said


@pytest.mark.parametrize(
    ("given_", "error", "message"),
    [
        ({"t_grad": 1.0, "t_comm": 0.1, "up": "int8"}, PlanError, "name a profile and network="),
        ({"profile": "squeezenet", "up": "int8"}, PlanError, "name a profile and network="),
        ({"profile": SHAPELESS, "network": "1gbit", "up": "one_bit"}, ProfileError, "needs the shapes"),
        ({"profile": "squeezenet", "network": "1gbit", "up": "int8", "t_up": 1.0}, PlanError, "were both given"),
        ({"profile": "squeezenet", "network": "1gbit", "down": "top_k"}, PlanError, "deltas=True"),
    ],
)
def test_what_cannot_be_meant_gets_one_clear_error(given_, error, message):
    with pytest.raises(error, match=message):
        estimate(**given_)
