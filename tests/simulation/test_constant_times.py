"""With constant times the simulation is the formulas, to rounding."""

import numpy as np
import pytest

from speedup import estimate, simulate

CASES = [
    (workers, batches, comm)
    for workers in (1, 2, 3, 5, 8, 13)
    for batches in (1, 5, 8, 16, 26)
    for comm in (0.0, 1e-3, 0.1, 1.0, 40.0)
]
SCHEDULES = {"semaphore": "semaphore", "fair": "worst"}


def simulated(**options):
    return simulate(t_grad=1.0, replications=1, **options).mean_s


def formula(method, mode, server, schedule, workers, batches, comm):
    return estimate(
        t_grad=1.0,
        t_comm=comm or 1e-300,
        workers=workers,
        batches=batches,
        modes=mode,
        servers=server,
        schedules=schedule,
        method=method,
    )[0].time_s


@pytest.mark.parametrize("mode", ["sync-join", "sync-split", "async"])
@pytest.mark.parametrize("schedule", ["semaphore", "fair"])
def test_a_central_server_equals_the_whole_batch_forms_everywhere(mode, schedule):
    for workers, batches, comm in CASES:
        found = simulated(workers=workers, batches=batches, t_comm=comm, mode=mode, schedule=schedule)
        want = formula("exact", mode, "central", SCHEDULES[schedule], workers, batches, comm)
        assert found == pytest.approx(want, rel=1e-9), (workers, batches, comm)


@pytest.mark.parametrize("mode", ["sync-join", "sync-split", "async"])
@pytest.mark.parametrize("schedule", ["semaphore", "fair"])
def test_a_central_server_equals_the_printed_formulas_where_workers_divide_batches(mode, schedule):
    for workers in (1, 2, 4, 8, 16):
        for comm in (0.01, 0.3, 3.0):
            found = simulated(workers=workers, batches=32, t_comm=comm, mode=mode, schedule=schedule)
            want = formula("thesis", mode, "central", SCHEDULES[schedule], workers, 32, comm)
            assert found == pytest.approx(want, rel=1e-9), (workers, comm)


@pytest.mark.parametrize("mode", ["sync-join", "sync-split"])
@pytest.mark.parametrize("schedule", ["semaphore", "fair"])
def test_a_distributed_server_equals_4_12_with_either_discipline(mode, schedule):
    for workers, batches, comm in CASES:
        options = {"mode": mode, "schedule": schedule, "server": "distributed"}
        found = simulated(workers=workers, batches=batches, t_comm=comm, **options)
        want = formula("exact", mode, "distributed", None, workers, batches, comm)
        assert found == pytest.approx(want, rel=1e-9), (workers, batches, comm)


def test_unequal_shares_take_as_long_as_their_phase():
    shares = (0.5, 0.2, 0.2, 0.1)
    found = simulated(
        workers=4, batches=8, t_comm=0.3, mode="sync-join", server="distributed", schedule="fair", shards=shares
    )
    phase = max(max((4 - 1) * share, 1 - share) for share in shares) * 0.3
    assert found == pytest.approx(2 * (2 * phase + 1.0), rel=1e-9)


@pytest.mark.parametrize(("workers", "shards"), [(8, 2), (8, 8), (3, 5), (1, 4)])
def test_shards_carry_what_their_links_and_the_workers_own_allow(workers, shards):
    options = {"mode": "sync-join", "server": "sharded", "schedule": "fair", "shards": shards}
    found = simulated(workers=workers, batches=4 * workers, t_comm=0.3, **options)
    assert found == pytest.approx(4 * (1.0 + 2 * 0.3 * max(1, workers / shards)), rel=1e-9)


def test_the_largest_shard_decides():
    shares = (0.6, 0.3, 0.1)
    found = simulated(
        workers=4, batches=4, t_comm=0.3, mode="sync-join", server="sharded", schedule="fair", shards=shares
    )
    assert found == pytest.approx(1.0 + 2 * 0.3 * 4 * 0.6, rel=1e-9)


def test_more_workers_than_batches_leave_some_idle():
    run = simulate(workers=8, batches=3, t_grad=1.0, t_comm=0.1, replications=1)
    assert sorted(run.batches_by_worker) == [0, 0, 0, 0, 0, 1, 1, 1]
    assert run.mean_s == pytest.approx(3 * 0.1 + 1.0 + 0.1)


def test_what_the_tallies_say_adds_up():
    run = simulate(workers=4, batches=40, t_grad=1.0, t_comm=0.2, mode="sync-join", replications=1)
    iteration = 5 * 0.2 + 1.0
    assert run.mean_s == pytest.approx(10 * iteration)
    assert run.utilisation["workers"] == pytest.approx([1.0 / iteration] * 4)
    assert run.utilisation["link_out"] == pytest.approx(4 * 0.2 / iteration)
    assert run.wait_s == pytest.approx(
        {"pull": (0 + 1 + 2 + 3) * 0.2 / 4, "push": 0.0, "barrier": (3 + 2 + 1) * 0.2 / 4}
    )
    np.testing.assert_allclose(run.batches_by_worker, 10)
