"""Runs on machines that fail: against Daly's figures, against high precision, against brute force."""

import heapq
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from speedup import CATALOGUE, SpeedupError, estimate
from speedup.errors import UnitError
from speedup.failures import (
    Failures,
    interval_s,
    machines_where,
    missing_s,
    synchronous_s,
    with_failures,
)
from speedup.numeric import numeric

DAY_S = 86400.0
HARSH = Failures(mtbf_h=10, save_s=60, restart_s=600)
lengths = st.floats(1, 1e7)
counts = st.integers(1, 10**5)
policies = st.builds(
    Failures, mtbf_h=st.floats(100, 1e6), save_s=st.floats(0, 600), restart_s=st.floats(0, 600), interval_s=st.none()
)


def asynchronous_s(time_s, t_iter_s, server_machines, failures):
    """Return the mean time of runs whose workers are missed until they are back, and which servers stop."""
    return synchronous_s(missing_s(time_s, t_iter_s, failures), server_machines, failures)


def until_restarted(rng, mean_s, restart_s):
    """Draw how long it takes until a machine works again that can fail while it restarts."""
    spent = 0.0
    while (failed := rng.exponential(mean_s)) < restart_s:
        spent += failed
    return spent + restart_s


def brute_synchronous(rng, work_s, machines, policy, between_s):
    """Play one run in step: each machine has a clock of its own, and the first to fail stops all."""
    now, done = 0.0, 0.0
    while done < work_s:
        piece = between_s + policy.save_s
        failed = rng.exponential(policy.mtbf_s, machines).min()
        if failed >= piece:
            now, done = now + piece, done + between_s
        else:
            now += failed + until_restarted(rng, policy.mtbf_s / machines, policy.restart_s)
    return now


def brute_asynchronous(rng, batches, workers, t_iter_s, policy, between_s):
    """Play one run out of step with one server: batch by batch, with checkpoints of what the server has.

    Clocks of workers and of the server stand still while the run does.
    """
    now, worked, done, saved = 0.0, 0.0, 0, 0
    failing = rng.exponential(policy.mtbf_s, workers)
    checkpoint, server = between_s, rng.exponential(policy.mtbf_s)

    def after(worker, at):
        """Return when the batch is done that a worker begins, or is in the middle of when it fails."""
        if failing[worker] >= at + t_iter_s:
            return at + t_iter_s
        back = failing[worker] + until_restarted(rng, policy.mtbf_s, policy.restart_s)
        failing[worker] = back + rng.exponential(policy.mtbf_s)
        return after(worker, max(at, back))

    events = [(after(worker, 0.0), worker) for worker in range(workers)]
    heapq.heapify(events)
    while done < batches:
        at, worker = events[0]
        if server <= min(at, checkpoint):
            now += server - worked + until_restarted(rng, policy.mtbf_s, policy.restart_s)
            worked, done = server, saved
            checkpoint, server = worked + between_s, worked + rng.exponential(policy.mtbf_s)
            # Batches of old weights are of no use; who is away comes back as before.
            events = [(max(ends, worked + t_iter_s), one) for ends, one in events]
            heapq.heapify(events)
        elif checkpoint <= at:
            now, worked, checkpoint = now + checkpoint - worked, checkpoint, checkpoint + between_s
            failed = rng.exponential(policy.mtbf_s)
            now += min(failed, policy.save_s)
            if failed < policy.save_s:
                server = worked
            else:
                saved = done
        else:
            now, worked, done = now + at - worked, at, done + 1
            heapq.heapreplace(events, (after(worker, at), worker))
    return now


def near(found, played, sigmas=4.0):
    error = np.std(played, ddof=1) / math.sqrt(len(played))
    assert abs(found - np.mean(played)) < sigmas * error, (found, np.mean(played), error)


@pytest.mark.parametrize(
    ("machines", "mtbf_h", "save_s", "restart_s"), [(1, 2.0, 60, 300), (8, 10.0, 120, 30), (64, 20.0, 200, 900)]
)
def test_synchronous_runs_are_those_of_brute_force(machines, mtbf_h, save_s, restart_s):
    rng = np.random.default_rng(machines)
    policy = Failures(mtbf_h=mtbf_h, save_s=save_s, restart_s=restart_s, interval_s=900.0)
    work_s = 24 * 900.0
    played = [brute_synchronous(rng, work_s, machines, policy, 900.0) for _ in range(3000)]
    near(float(synchronous_s(work_s, machines, policy)), played)


def test_runs_from_scratch_are_those_of_brute_force():
    rng = np.random.default_rng(1)
    policy = Failures(mtbf_h=8.0, save_s=0.0, restart_s=120.0, interval_s=3600.0)
    played = [brute_synchronous(rng, 3600.0, 6, policy, 3600.0) for _ in range(4000)]
    near(float(synchronous_s(3600.0, 6, policy)), played)


def test_asynchronous_runs_are_those_of_brute_force():
    rng = np.random.default_rng(3)
    policy = Failures(mtbf_h=1.0, save_s=20.0, restart_s=240.0, interval_s=400.0)
    batches, workers, t_iter_s = 4000, 4, 10.0
    played = [brute_asynchronous(rng, batches, workers, t_iter_s, policy, 400.0) for _ in range(150)]
    found = float(asynchronous_s(batches / workers * t_iter_s, t_iter_s, 1, policy))
    near(found, played)
    # What comes of it would be missed by far without either of the two.
    assert found > 1.05 * float(synchronous_s(batches / workers * t_iter_s, 1, policy))
    assert found > 1.05 * float(missing_s(batches / workers * t_iter_s, t_iter_s, policy))


def test_workers_that_fail_without_their_server_are_those_of_brute_force():
    rng = np.random.default_rng(4)
    policy = Failures(mtbf_h=0.5, restart_s=300.0)
    played = []
    for _ in range(400):
        worked, done = 0.0, 0
        while done < 500:
            failed = rng.exponential(policy.mtbf_s)
            done += (whole := min(500 - done, int(failed // 10.0)))
            worked += 10.0 * whole if done == 500 else failed + until_restarted(rng, policy.mtbf_s, 300.0)
        played.append(worked)
    near(float(missing_s(5000.0, 10.0, policy)), played)


@pytest.mark.parametrize(("mtbf_h", "minutes"), [(24, 117), (6, 57), (0.25, 9.1)])
def test_intervals_are_those_that_daly_prints(mtbf_h, minutes):
    found = float(interval_s(Failures(mtbf_h=mtbf_h, save_s=300, restart_s=600), 1)) / 60
    assert round(found, 1 if minutes < 10 else 0) == minutes


@pytest.mark.parametrize("save_s", [1.0, 30.0, 600.0])
@pytest.mark.parametrize("machines", [1, 16, 256, 4096])
def test_daly_s_interval_is_nearly_the_best_and_young_s_no_better(save_s, machines):
    policy = Failures(mtbf_h=2000, save_s=save_s, restart_s=120)
    mean = policy.mtbf_s / machines

    def wall(between):
        return math.expm1((between + save_s) / mean) / between

    best = minimize_scalar(wall, bounds=(mean * 1e-6, 4 * mean), method="bounded", options={"xatol": 1e-9 * mean}).fun
    daly = wall(float(interval_s(policy, machines)))
    assert best <= daly * (1 + 1e-9)
    assert daly < 1.005 * best
    assert daly <= wall(float(interval_s(policy, machines, rule="young"))) * (1 + 1e-9)


@pytest.mark.parametrize("number", ["F.3", "F.4", "F.5", "F.6"])
@pytest.mark.parametrize("mtbf_s", [1800.0, 1e6, 1e12])
def test_numpy_equals_30_digits(number, mtbf_s):
    point = {
        "t_train": 7200.5,
        "tau": 600.25,
        "t_fail": mtbf_s,
        "t_save": 30.0,
        "t_restart": 90.0,
        "m_stop": 3.0,
        "k": 2.0,
    }
    point["t_iter"] = 1.5
    expression = CATALOGUE[number].expression
    symbols = tuple(sorted(expression.free_symbols, key=str))
    exact = expression.subs(
        {symbol: sympy.Rational(*Fraction(point[str(symbol)]).as_integer_ratio()) for symbol in symbols}
    )
    got = numeric(expression, symbols)(*(point[str(symbol)] for symbol in symbols))
    assert got == pytest.approx(float(exact.evalf(30)), rel=1e-12)


def test_the_first_order_is_the_limit_of_rare_failures():
    overhead = CATALOGUE["F.7"].expression
    values = {"m_stop": 4, "t_fail": 4e9, "t_save": 10, "t_restart": 100}
    first = float(overhead.subs({symbol: values[str(symbol)] for symbol in overhead.free_symbols}))
    policy = Failures(mtbf_h=4e9 / 3600, save_s=10, restart_s=100)
    assert float(synchronous_s(1e9, 4, policy)) / 1e9 - 1 == pytest.approx(first, rel=1e-3)


def test_machines_that_never_fail_change_nothing():
    never = Failures(mtbf_h=math.inf, save_s=60, restart_s=60)
    assert synchronous_s([1.0, 1e6], 1000, never).tolist() == [1.0, 1e6]
    assert asynchronous_s(1e6, 1.0, 4, never) == 1e6
    assert interval_s(never, 5) == np.inf
    assert machines_where(never) is None
    assert synchronous_s(DAY_S, 0, HARSH) == DAY_S


def test_saving_at_no_cost_leaves_what_restarting_takes():
    free = Failures(mtbf_h=1, restart_s=36)
    assert float(interval_s(free, 10)) == 0
    assert float(synchronous_s(1e6, 10, free)) == pytest.approx(1e6 * math.exp(0.1))


def test_a_short_run_is_not_saved():
    policy = Failures(mtbf_h=1000, save_s=60, restart_s=0)
    assert float(synchronous_s(10.0, 8, policy)) == pytest.approx(10.0, rel=1e-4)
    table = estimate(t_grad=0.1, t_comm=0.01, workers=[8], modes="sync-join", servers="allreduce")
    assert with_failures(table, policy).interval_s[0] == np.inf


def test_an_interval_that_was_said_is_kept():
    hourly = Failures(mtbf_h=math.inf, save_s=36, interval_s=3600)
    assert interval_s(hourly, [1, 9]).tolist() == [3600, 3600]
    assert float(synchronous_s(36000.0, 4, hourly)) == pytest.approx(36360)
    often = Failures(mtbf_h=1000, save_s=60, interval_s=120)
    assert float(synchronous_s(DAY_S, 1, often)) > 1.4 * DAY_S


def test_a_run_that_never_gets_through_is_infinite():
    hopeless = Failures(mtbf_h=0.01, save_s=3600, restart_s=3600, interval_s=3600)
    assert synchronous_s(DAY_S, 1000, hopeless) == np.inf


@given(lengths, counts, policies)
def test_failures_never_make_a_run_shorter_and_more_machines_never_better(work_s, machines, policy):
    once, twice = (float(synchronous_s(work_s, count, policy)) for count in (machines, 2 * machines))
    assert work_s * (1 - 1e-12) <= once
    assert once <= twice * (1 + 1e-3)  # Daly's interval is not the very best


@given(lengths, st.floats(0.01, 60), counts, policies)
def test_out_of_step_a_server_alone_stops_less_often_than_all(work_s, t_iter_s, workers, policy):
    together = float(synchronous_s(work_s, workers + 1, policy))
    apart = float(asynchronous_s(work_s, t_iter_s, 1, policy))
    worker_alone = float(missing_s(work_s, t_iter_s, policy)) / work_s
    assert apart <= together * worker_alone * (1 + 1e-3)


@given(st.lists(lengths, min_size=1, max_size=5), st.lists(counts, min_size=1, max_size=4), policies)
def test_arrays_are_the_numbers_one_by_one(work_s, machines, policy):
    found = synchronous_s(np.array(work_s)[:, None], np.array(machines), policy)
    assert found.shape == (len(work_s), len(machines))
    for (row, column), value in np.ndenumerate(found):
        assert value == float(synchronous_s(work_s[row], machines[column], policy))


def test_rows_of_a_table_are_stopped_by_the_machines_that_their_mode_needs():
    table = estimate(
        t_grad=100.0, t_comm=1.0, batches=6400, workers=[16], servers=None, shards=4, schedules=("fair", "pipelined")
    )
    found = with_failures(table, HARSH)
    for row, one in enumerate(table):
        alone = one.mode == "async" and one.server in {"central", "sharded"}
        assert found.stopping[row] == (one.servers if alone else one.machines)
        if not alone:
            assert found.time_s[row] == synchronous_s(one.time_s, one.machines, HARSH)
        else:
            assert found.time_s[row] == asynchronous_s(one.time_s, one.t_iter_s, one.servers, HARSH)
    assert (found.overhead > 0).all()
    assert found.stops == pytest.approx(found.stopping * found.time_s / 36000)


def test_failures_matter_from_the_count_from_which_they_take_that_part():
    policy = Failures(mtbf_h=5000, save_s=60, restart_s=600)
    count = machines_where(policy, 0.1)
    long_s = 1e12
    assert synchronous_s(long_s, count, policy) / long_s >= 1.1
    assert synchronous_s(long_s, count - 1, policy) / long_s < 1.1
    assert machines_where(Failures(mtbf_h=1, save_s=600)) == 1
    assert machines_where(Failures(mtbf_h=10)) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mtbf_h": 0}, "mtbf = 0 h"),
        ({"mtbf_h": math.nan}, "mtbf = nan h"),
        ({"mtbf_h": 10, "save_s": -1}, "save = -1 s"),
        ({"mtbf_h": 10, "restart_s": math.inf}, "restart = inf s"),
        ({"mtbf_h": 10, "interval_s": 0}, "interval = 0 s"),
        ({"mtbf_h": "daily"}, "mtbf = 'daily'"),
    ],
)
def test_wrong_figures_are_refused(options, said):
    with pytest.raises(SpeedupError, match=said):
        Failures(**options)


def test_wrong_runs_are_refused():
    for wrong in (-1.0, 0.0, math.nan):
        with pytest.raises(UnitError, match="not a number above 0 s"):
            synchronous_s(wrong, 1, HARSH)
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(UnitError, match="number of machines"):
            synchronous_s(1.0, wrong, HARSH)
    with pytest.raises(UnitError, match="Allowed: daly, young"):
        interval_s(HARSH, 1, rule="best")
    with pytest.raises(UnitError, match="overhead"):
        machines_where(HARSH, 0)


def test_it_reads_and_writes_as_words_and_numbers():
    assert str(HARSH) == "a machine fails every 10 h, saving takes 60 s, restarting 600 s"
    assert str(Failures(mtbf_h=math.inf)) == "machines never fail"
    assert HARSH.to_dict() == {"mtbf_h": 10, "save_s": 60, "restart_s": 600, "interval_s": None}
    assert Failures(mtbf_h=math.inf).to_dict()["mtbf_h"] is None
