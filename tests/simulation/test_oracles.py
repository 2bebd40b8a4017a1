"""On identical random times the compiled loops equal models in SimPy and Ciw."""

import numpy as np
import pytest
from oracles import ciw_async, simpy_async, simpy_sync

from speedup.laws import Law
from speedup.plans import Schedule, ServerKind, UpdateMode
from speedup.simulation import Scenario, play

BATCHES = 60


def tables(workers, seed, *, comm=0.3):
    rng = np.random.default_rng(seed)
    return (
        rng.gamma(4.0, 0.25, (workers, BATCHES)),
        rng.gamma(1.5, comm / 1.5, (workers, BATCHES)),
        rng.lognormal(np.log(comm), 0.5, (workers, BATCHES)),
    )


def scenario(mode, schedule, grad, pull, push, server=ServerKind.CENTRAL, shares=(1.0,)):
    def in_order(table):
        return tuple(Law.of_samples(row, in_order=True) for row in table)

    workers = len(grad)
    return Scenario(
        mode=mode,
        server=server,
        schedule=schedule,
        batches=BATCHES,
        t_grad=in_order(grad),
        pull=in_order(pull),
        push=in_order(push),
        shares=shares,
        join_s=np.zeros(workers),
        leave_s=np.full(workers, np.inf),
    )


def pushes(simulation):
    return np.array([row["ended_s"] for row in simulation.trace if row["activity"] == "push"])


@pytest.mark.parametrize("workers", [1, 2, 5, 8, 200])
@pytest.mark.parametrize("seed", [1, 2])
def test_an_asynchronous_semaphore_run_equals_simpy_to_1e_9(workers, seed):
    times = tables(workers, seed)
    found = play(scenario(UpdateMode.ASYNC, Schedule.SEMAPHORE, *times), replications=1)
    np.testing.assert_allclose(found.time_s[0], simpy_async(BATCHES, *times)[-1], rtol=1e-9)


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_a_synchronous_semaphore_run_equals_simpy_to_1e_9(workers):
    times = tables(workers, 3)
    found = play(scenario(UpdateMode.SYNC_JOIN, Schedule.SEMAPHORE, *times), replications=1)
    np.testing.assert_allclose(found.time_s[0], simpy_sync(BATCHES, *times), rtol=1e-9)


@pytest.mark.parametrize("schedule", [Schedule.SEMAPHORE, Schedule.FAIR])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_both_disciplines_of_a_central_server_equal_ciw_to_1e_9(workers, schedule):
    times = tables(workers, 4)
    found = pushes(play(scenario(UpdateMode.ASYNC, schedule, *times), replications=1, trace=True))
    expected = ciw_async(found[-1] + 1.0, *times, fair=schedule is Schedule.FAIR)
    assert len(found) >= 3 * workers
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-9)


@pytest.mark.parametrize("mode", [UpdateMode.ASYNC, UpdateMode.SYNC_JOIN, UpdateMode.SYNC_SPLIT])
def test_the_loop_for_many_units_equals_the_loops_for_one_to_1e_9(mode):
    times = tables(6, 5)
    for schedule in (Schedule.SEMAPHORE, Schedule.FAIR):
        one = play(scenario(mode, schedule, *times), replications=1)
        other = play(scenario(mode, schedule, *times, server=ServerKind.SHARDED), replications=1)
        np.testing.assert_allclose(one.time_s, other.time_s, rtol=1e-9)
        np.testing.assert_allclose(one.tallies[..., 0], other.tallies[..., 0])
