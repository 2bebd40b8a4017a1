"""Random times, unequal workers and links, comings and goings; seeds; refusals."""

import json

import numpy as np
import pytest

from speedup import SpeedupError, simulate
from speedup.figures import save_trace
from speedup.laws import Law

BASE = {"workers": 8, "t_grad": 1.0, "t_comm": 0.1}


def test_the_same_seed_gives_the_same_runs_and_another_seed_others():
    one, same, other = (simulate(**BASE, cv_grad=0.3, replications=5, seed=seed).time_s for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.isin(one, other).any()
    assert len(set(one)) == 5


def test_runs_that_begin_differently_are_not_one_run_copied():
    starts = np.random.default_rng(0).uniform(0, 1, (50, 8))
    runs = simulate(**BASE, join_s=starts, replications=50)
    assert len(set(runs.time_s)) == 50


@pytest.mark.parametrize("law", ["gamma", "lognormal", "exponential"])
def test_drawn_times_have_the_mean_and_spread_asked_for(law):
    cv = 1.0 if law == "exponential" else 0.5
    runs = simulate(workers=1, batches=1, t_grad=2.0, t_comm=0.0, law=law, cv_grad=cv, cv_comm=0, replications=40_000)
    assert runs.mean_s == pytest.approx(2.0, rel=0.02)
    assert runs.time_s.std() / runs.mean_s == pytest.approx(cv, rel=0.03)


def test_an_exponential_law_varies_unless_a_cv_of_0_stands_beside_one_of_1():
    both = simulate(workers=1, batches=1, t_grad=1.0, t_comm=1.0, law="exponential", replications=20_000)
    assert both.time_s.var() == pytest.approx(3.0, rel=0.1)
    zeros = simulate(
        workers=1, batches=1, t_grad=1.0, t_comm=1.0, law="exponential", cv_grad=0, cv_comm=0, replications=20_000
    )
    np.testing.assert_array_equal(both.time_s, zeros.time_s)
    one = simulate(
        workers=1, batches=1, t_grad=1.0, t_comm=1.0, law="exponential", cv_grad=1, cv_comm=0, replications=20_000
    )
    assert one.time_s.var() == pytest.approx(1.0, rel=0.1)


def test_samples_of_a_profile_are_drawn_again():
    law = Law.of_samples([1.0, 3.0])
    runs = simulate(workers=1, batches=1, t_grad=law, t_comm=0.0, replications=2000)
    assert set(runs.time_s) == {1.0, 3.0}
    assert runs.mean_s == pytest.approx(2.0, rel=0.05)


def test_one_slow_link_holds_up_a_semaphore_and_not_fair_sharing():
    comm = [0.05] * 7 + [1.0]
    guarded, shared = (
        simulate(
            workers=8, batches=400, t_grad=1.0, t_comm=comm, cv_grad=0.1, schedule=schedule, replications=20
        ).mean_s
        for schedule in ("semaphore", "fair")
    )
    assert shared == pytest.approx(62, rel=0.03)
    assert guarded > 1.7 * shared


def test_unequal_workers_of_a_pool_do_as_much_as_they_can():
    run = simulate(workers=2, batches=300, t_grad=[1.0, 2.0], t_comm=1e-6, replications=1)
    assert run.batches_by_worker == pytest.approx([200, 100])
    static = simulate(workers=2, batches=300, t_grad=[1.0, 2.0], t_comm=1e-6, replications=1, assign="static")
    assert static.batches_by_worker == pytest.approx([150, 150])
    assert static.mean_s == pytest.approx(300.0, rel=1e-3)


@pytest.mark.parametrize("server", ["central", "sharded", "distributed"])
@pytest.mark.parametrize("schedule", ["semaphore", "fair"])
def test_workers_that_leave_finish_their_batch_and_late_ones_help_from_then_on(server, schedule):
    options = {"workers": 3, "t_grad": 1.0, "t_comm": 1e-6, "server": server, "schedule": schedule, "replications": 1}
    run = simulate(batches=20, leave_s=[2.5, np.inf, np.inf], join_s=[0.0, 0.0, 5.0], **options)
    assert run.batches_by_worker[0] == 3
    # Worker 0 does 3, worker 1 one a second, worker 2 one a second from 5 s on.
    assert run.mean_s == pytest.approx(11.0, rel=1e-3)


def test_synchronous_rounds_have_the_workers_that_are_there():
    run = simulate(
        workers=2, batches=6, t_grad=1.0, t_comm=1e-9, mode="sync-join", leave_s=[1.5, np.inf], replications=1
    )
    assert run.batches_by_worker == pytest.approx([2, 4])
    assert run.mean_s == pytest.approx(4.0, rel=1e-6)


def test_stragglers_make_synchronous_runs_wait():
    options = {**BASE, "t_comm": 1e-6, "mode": "sync-join", "replications": 200}
    slowed = simulate(**options, straggler_probability=0.1, straggler_slowdown=3.0)
    # An iteration of 8 workers has no straggler with probability 0.9^8.
    assert slowed.mean_s == pytest.approx(16 * (1 + 2 * (1 - 0.9**8)), rel=0.02)


def test_ten_thousand_workers_are_simulated():
    run = simulate(workers=10_000, batches=50_000, t_grad=1.0, t_comm=1e-5, cv_grad=0.5, replications=1)
    assert run.mean_s > 5.0


def test_a_trace_shows_each_activity_in_its_place(tmp_path):
    run = simulate(workers=2, batches=4, t_grad=1.0, t_comm=0.5, replications=1, trace=True)
    first = [row for row in run.trace if row["batch"] == 0]
    spans = {(row["worker"], row["activity"]): (row["requested_s"], row["began_s"], row["ended_s"]) for row in first}
    assert spans[0, "pull"] == (0.0, 0.0, 0.5)
    assert spans[1, "pull"] == (0.0, 0.5, 1.0)
    assert spans[1, "compute"] == (1.0, 1.0, 2.0)
    assert spans[0, "push"] == (1.5, 1.5, 2.0)
    assert json.loads(save_trace(run, tmp_path / "trace.json").read_text())["traceEvents"]
    assert save_trace(run, tmp_path / "trace.csv").read_text().startswith("worker,batch,activity")
    assert "plotly" in save_trace(run, tmp_path / "trace.html").read_text()
    with pytest.raises(SpeedupError, match=r"a trace is written as \.html, \.csv or \.json"):
        save_trace(run, tmp_path / "trace.txt")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"t_grad": [1.0, 2.0]}, "t_grad has 2 values for 8 workers"),
        ({"t_comm": -1.0}, "t_comm = -1.0 s; it must be a finite number, at least 0"),
        ({"t_comm": [0.0] + [0.1] * 7}, "t_comm = 0 s for some workers and more for others"),
        (
            {"law": "normal"},
            'law = "normal" is unknown. Did you mean "lognormal"\\? Allowed: gamma, lognormal, exponential, constant',
        ),
        ({"law": "constant", "cv_grad": 0.1}, 'law = "constant" has none'),
        ({"law": "exponential", "cv_grad": 0.5}, 'law = "exponential" has cv 1'),
        ({"leave_s": 2.0}, "all workers leave before the 128 batches are done"),
        ({"leave_s": 2.0, "assign": "static"}, "a worker that leaves keeps its batches"),
        ({"server": "sharded", "shards": [0.5, 0.4]}, "they must be >= 0 and add up to 1"),
        ({"server": "distributed", "shards": [0.5, 0.5]}, "2 shares for 8 workers"),
        ({"straggler_probability": 1.5}, "straggler_probability = 1.5; it must be between 0 and 1"),
        ({"replications": 0}, "replications = 0; it must be at least 1"),
        ({"schedule": "best"}, 'schedule = "best" is unknown. Allowed: semaphore, fair'),
    ],
)
def test_what_cannot_be_simulated_is_refused_with_what_is_allowed(change, said):
    with pytest.raises(SpeedupError, match=said):
        simulate(**{**BASE, **change})
