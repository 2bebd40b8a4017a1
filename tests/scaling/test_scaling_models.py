"""The models of a step recover what made the runs, do not depend on units or order, and know what they do not know."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import allreduce_step, grid, measured, upto, with_steps

from speedup.errors import FitError
from speedup.queueing.mva import machine_repairman_throughput
from speedup.scaling.collectives import LinkFit
from speedup.scaling.rivals import Amdahl, Ernest, Linear, Pollux, UniversalScalability
from speedup.scaling.runs import Runs
from speedup.scaling.servers import AsynchronousServer, ServerStep
from speedup.scaling.step import AllReduceStep, link_priors, power_sum

RIVALS = [Linear(), Amdahl(), UniversalScalability(), Ernest(), Pollux()]
EVERY = [AllReduceStep(), *RIVALS]
IDS = [model.name for model in EVERY]


def named(fitted):
    return {one.name: one for one in fitted.parameters}


def served(seed=0, noise=0.02):
    n, k = (axis.ravel() for axis in np.meshgrid([1.0, 2, 4, 6, 8, 12], [1.0, 2, 4, 8]))
    runs = Runs.of(workers=n, servers=k, batch=48 / n)
    own = 0.1 + 0.005 * runs.batch + 0.002 * n
    return with_steps(runs, np.hypot(own, (0.2 + 0.08 * n) / k), noise=noise, seed=seed)


def queued(service=0.05, alone=1.0, counts=(1, 2, 4, 8, 16, 24)):
    n = np.array(counts)
    rates = machine_repairman_throughput(max(counts), alone - service, service)[n - 1]
    return Runs.of(workers=n, servers=1, step_s=n / rates)


@pytest.mark.parametrize("overlap", [1.2, 2.0, 4.0])
def test_the_parameters_that_made_the_runs_are_found(overlap):
    found = named(AllReduceStep().fit(measured(overlap=overlap)))
    for name, truth in {"inter_s": 0.12, "intra_s": 0.02, "overlap": overlap, "pair": 0.8, "growth": 0.15}.items():
        one = found[name]
        assert one.low / 1.15 <= truth <= one.high * 1.15, one
    assert found["inter_s"].identified
    assert found["inter_s"].value == pytest.approx(0.12, rel=0.15)


def test_a_fit_to_eight_workers_predicts_sixteen():
    runs = measured()
    rest = runs.take(runs.workers > 8)
    made = AllReduceStep().fit(upto(runs, 8)).predict(rest)
    assert np.abs(made.step_s / rest.step_s - 1).mean() < 0.06
    assert np.all(made.beyond == 1)
    assert np.mean((made.low_s <= rest.step_s) & (rest.step_s <= made.high_s)) >= 0.85


def test_intervals_of_many_trainings_hold_what_they_say():
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        truth = {"inter": 0.05 * 4 ** rng.uniform(), "overlap": 1 + 2 * rng.uniform(), "growth": 0.3 * rng.uniform()}
        runs = measured(noise=0.04, seed=seed, pair=rng.uniform(0.5, 1.4), **truth)
        rest = runs.take(runs.workers == 16)
        made = AllReduceStep().fit(upto(runs, 4)).predict(rest)
        inside.append((made.low_s <= rest.step_s) & (rest.step_s <= made.high_s))
    assert np.mean(inside) >= 0.85


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("model", EVERY, ids=IDS)
def test_predictions_do_not_depend_on_the_unit_of_time(model, scale):
    runs, plans = measured(), grid([(32, 8)])
    one = model.fit(runs).predict(plans)
    other = model.fit(with_steps(runs, runs.step_s * scale)).predict(plans)
    assert other.step_s / scale == pytest.approx(one.step_s, rel=1e-2)
    assert other.high_s / scale == pytest.approx(one.high_s, rel=2e-2)


def test_servers_do_not_depend_on_the_unit_of_time_either():
    runs = served()
    one = ServerStep().fit(runs).predict(runs)
    other = ServerStep().fit(with_steps(runs, 1e3 * runs.step_s)).predict(runs)
    assert other.step_s / 1e3 == pytest.approx(one.step_s, rel=1e-2)


@pytest.mark.parametrize("model", EVERY, ids=IDS)
def test_predictions_do_not_depend_on_the_order_of_runs(model):
    runs, plans = measured(), grid([(32, 8)])
    order = np.random.default_rng(1).permutation(len(runs))
    one, other = (model.fit(some).predict(plans) for some in (runs, runs.take(order)))
    assert other.step_s == pytest.approx(one.step_s, rel=1e-3)


@pytest.mark.parametrize("model", EVERY, ids=IDS)
@settings(max_examples=12)
@given(
    counts=st.lists(st.sampled_from([2, 3, 4, 8, 16]), min_size=1, max_size=5),
    spread=st.lists(st.floats(0.2, 5), min_size=6, max_size=6),
    unit=st.sampled_from([1e-9, 1.0, 1e6]),
)
def test_whatever_the_runs_predictions_are_finite_and_intervals_ordered(model, counts, spread, unit):
    workers = np.array([1, *counts], dtype=float)
    runs = Runs.of(workers=workers, step_s=unit * np.array(spread[: len(workers)]))
    made = model.fit(runs).predict(Runs.of(workers=[1, 2, 64, 4096], machines=[1, 1, 16, 512]))
    assert np.isfinite(made.step_s).all()
    assert (made.low_s > 0).all()
    assert (made.low_s <= made.step_s).all()
    assert (made.step_s <= made.high_s).all()


def test_intervals_widen_with_the_distance_from_the_runs():
    made = AllReduceStep().fit(upto(measured(), 8)).predict(grid([(8, 8), (16, 16), (64, 64), (256, 256)], [32]))
    assert np.all(np.diff(made.high_s / made.low_s) > 0)
    assert made.beyond.tolist() == [0, 1, 3, 5]


def test_what_no_run_shows_is_flagged():
    inside = measured().take(measured().machines == 1)
    found = named(AllReduceStep().fit(inside))
    assert not found["inter_s"].identified
    assert not found["pair"].identified
    assert found["intra_s"].identified or found["intra_latency_s"].identified


def test_the_time_of_a_gradient_is_fitted_where_no_run_is_of_one_worker():
    runs = measured()
    several = runs.take(runs.workers > 1)
    rest = runs.take(runs.workers == 1)
    made = AllReduceStep().fit(several).predict(rest)
    assert np.abs(made.step_s / rest.step_s - 1).max() < 0.35
    assert "t_grad" in named(AllReduceStep().fit(several))


def test_batches_beyond_the_measured_ones_go_on_with_a_slope():
    runs = Runs.of(workers=[1, 1, 2], batch=[16, 32, 32], step_s=[0.1, 0.18, 0.2])
    made = AllReduceStep().fit(runs).predict(Runs.of(workers=[1, 1, 1], batch=[8, 32, 64]))
    assert made.step_s[0] < 0.1
    assert 0.18 < made.step_s[2] < 0.37
    assert made.step_s[1] == pytest.approx(0.18)


def test_a_measured_collective_is_what_the_fit_begins_with():
    link = LinkFit("all_reduce", 8, 8, 1e-4, 9e-5, 1.1e-4, 1e9, 9e8, 1.1e9, 1.75, 0.05)
    runs = upto(measured(inter=0.12), 1).joined(upto(measured(), 2).take(upto(measured(), 2).workers == 2))
    with_link = AllReduceStep(known=link_priors(link, 0.12e9)).fit(runs)
    plans = grid([(16, 16)], [32])
    narrow, wide = with_link.predict(plans), AllReduceStep().fit(runs).predict(plans)
    assert narrow.high_s[0] / narrow.low_s[0] < wide.high_s[0] / wide.low_s[0]
    assert narrow.low_s[0] < allreduce_step(plans)[0] < narrow.high_s[0]


def test_power_sum_stays_in_range():
    assert power_sum(np.array(700.0), np.array(-np.inf), np.array(1e12)) == pytest.approx(700)


def test_servers_are_recovered_and_predicted_between_those_measured():
    runs = served()
    half = np.arange(len(runs)) % 2 == 0
    rest = runs.take(~half)
    made = ServerStep().fit(runs.take(half)).predict(rest)
    assert np.median(np.abs(made.step_s / rest.step_s - 1)) < 0.05
    assert np.mean((made.low_s <= rest.step_s) & (rest.step_s <= made.high_s)) > 0.8


def test_a_number_of_servers_that_no_run_has_is_less_sure():
    fitted = ServerStep().fit(served())
    known, other = (fitted.predict(Runs.of(workers=[8], servers=[k], batch=[6])) for k in (2, 3))
    assert other.high_s[0] / other.low_s[0] > known.high_s[0] / known.low_s[0]


def test_effects_of_single_counts_are_not_reported():
    assert len(named(ServerStep().fit(served()))) == 7


@pytest.mark.parametrize("service", [0.03, 0.05, 0.2])
def test_the_service_of_an_asynchronous_server_is_recovered(service):
    found = named(AsynchronousServer().fit(queued(service)))["service_s"]
    assert found.value == pytest.approx(service, rel=0.1)
    assert found.identified


def test_a_service_too_short_to_be_noticed_is_within_its_interval():
    found = named(AsynchronousServer().fit(queued(0.01)))["service_s"]
    assert found.low < 0.01 < found.high


def test_an_asynchronous_step_grows_to_its_bottleneck():
    made = AsynchronousServer().fit(queued()).predict(Runs.of(workers=[200], servers=1))
    assert made.step_s[0] == pytest.approx(200 * 0.05, rel=0.05)


def test_amdahl_usl_and_ernest_recover_their_own_curves():
    n = np.array([1.0, 2, 4, 8, 16])
    amdahl = Amdahl().fit(Runs.of(workers=n, step_s=0.1 * (1 + 0.03 * (n - 1))))
    assert named(amdahl)["serial"].value == pytest.approx(0.03, rel=0.05)
    usl = UniversalScalability().fit(Runs.of(workers=n, step_s=1 + 0.02 * (n - 1) + 0.004 * n * (n - 1)))
    assert named(usl)["contention"].value == pytest.approx(0.02, rel=0.1)
    assert named(usl)["coherency"].value == pytest.approx(0.004, rel=0.05)
    b = np.array([64.0, 32, 16, 64, 8])
    ernest = Ernest().fit(Runs.of(workers=n, batch=b, step_s=0.05 + 0.002 * b + 0.01 * np.log(n) + 0.003 * n))
    assert [one.value for one in ernest.parameters] == pytest.approx([0.05, 0.002, 0.01, 0.003], rel=1e-6)


def test_pollux_recovers_its_own_curve():
    runs = grid()
    n, sync = runs.workers, np.where(runs.machines > 1, 0.1 + 0.004 * (runs.workers - 2), 0.02)
    step_s = np.where(n == 1, 0.02 + 0.004 * runs.batch, np.hypot(0.02 + 0.004 * runs.batch, sync))
    made = Pollux().fit(with_steps(runs, step_s)).predict(grid([(12, 3), (32, 8)]))
    compute = 0.02 + 0.004 * np.array([16.0, 32, 64] * 2)
    assert made.step_s == pytest.approx(np.hypot(compute, np.repeat([0.14, 0.22], 3)), rel=0.05)


def test_pollux_is_fitted_to_a_single_batch_size_too():
    runs = grid(batches=[32])
    sync = np.where(runs.machines > 1, 0.1, 0.02)
    step_s = np.where(runs.workers == 1, 0.1, np.hypot(0.1, sync))
    made = Pollux().fit(with_steps(runs, step_s)).predict(grid([(6, 3)], [32]))
    assert made.step_s[0] == pytest.approx(np.hypot(0.1, 0.1), rel=0.05)


@pytest.mark.parametrize("model", EVERY, ids=IDS)
@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (Runs.of(workers=[2], step_s=[1]), "runs = 1"),
        (Runs.of(workers=[1, 1], batch=[1, 2], step_s=[1, 2]), "all runs have 1 worker"),
        (Runs.of(workers=[2, 2], step_s=[1, 2]), "one plan"),
        (Runs.of(workers=[1, 2], step_s=[1, 0]), "step_s = 0 in run 2"),
        (Runs.of(workers=[1, np.nan], step_s=[1, 1]), "workers = nan in run 2"),
        (Runs.of(workers=[0, 2], machines=1, fullest=1, step_s=[1, 1]), "workers = 0 in run 1"),
    ],
)
def test_runs_that_tell_nothing_are_refused(model, runs, message):
    with pytest.raises(FitError, match=message):
        model.fit(runs)


def test_models_of_servers_and_of_an_all_reduce_refuse_each_others_runs():
    with pytest.raises(FitError, match="which has none"):
        AllReduceStep().fit(served())
    for model in (ServerStep(), AsynchronousServer()):
        with pytest.raises(FitError, match="needs at least 1"):
            model.fit(measured())
    with pytest.raises(FitError, match="no run has 1 worker"):
        Pollux().fit(measured().take(measured().workers > 1))


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(FitError, match="different lengths"):
        Runs.of(workers=[1, 2, 4], step_s=[1, 2])
