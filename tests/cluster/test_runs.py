"""Real processes and real messages, on the loopback interface of this machine."""

from dataclasses import replace

import numpy as np
import pytest
from jobs import emulated, trained

from calibrate.cluster.sessions import measure_link, run_jobs, sweep_to
from calibrate.cluster.training import training_run
from speedup.measured import Measured

ELEMENTS, BYTES = 300_000, 1_200_000
KINDS = [
    ("central", "semaphore", {}),
    ("central", "fair", {}),
    ("distributed", "none", {"placement": "greedy"}),
    ("distributed", "semaphore", {}),
    ("sharded", "fair", {"servers": 2}),
    ("allreduce", "none", {}),
]


def moved_between_processes(job):
    """Return the bytes of weights and gradients that processes send one another in a run."""
    workers, iterations = job.plan.workers, job.batches // job.plan.workers
    if str(job.plan.mode) == "sync-split":
        iterations = job.batches
    if str(job.plan.server) in {"distributed", "allreduce"}:
        return 2 * (workers - 1) * BYTES * iterations
    return 2 * workers * BYTES * iterations


def test_every_plan_runs_and_moves_the_bytes_that_it_must(hosts):
    modes = ("sync-join", "sync-split", "async")
    jobs = [
        emulated(3, mode, server, schedule, **plan)
        for server, schedule, plan in KINDS
        for mode in modes
        if (server, mode) != ("allreduce", "async")
    ]
    for job, measured in zip(jobs, run_jobs(jobs, hosts), strict=True):
        # Notes of 32 bytes and signs of life come on top.
        assert 0 <= measured.sent_bytes - moved_between_processes(job) < 20_000, job.plan
        assert measured.counted_bytes >= measured.sent_bytes
        assert measured.compute == "emulated"
        assert "loopback" in measured.wire
        rounds = 6 if str(job.plan.mode) == "sync-split" else 2
        assert measured.time_s >= rounds * 0.02
        computed = [row for row in measured.timeline if row["stage"] == "compute"]
        assert len(computed) == (18 if str(job.plan.mode) == "sync-split" else 6)


def test_gradients_may_be_of_another_size_than_weights(hosts):
    plans = [("central", "semaphore", {}), ("central", "fair", {}), ("distributed", "none", {"placement": "greedy"})]
    modes = ("sync-join", "async")
    jobs = [
        replace(emulated(3, mode, server, schedule, **plan), up_share=0.25)
        for server, schedule, plan in plans
        for mode in modes
    ]
    for job, measured in zip(jobs, run_jobs(jobs, hosts), strict=True):
        expected = moved_between_processes(job) * (1 + 0.25) / 2
        assert 0 <= measured.sent_bytes - expected < 20_000, job.plan


def test_a_result_survives_its_trip_through_json(hosts):
    (measured,) = run_jobs([emulated(1, "async", "central")], hosts)
    assert Measured.from_dict(measured.to_dict()) == measured


def test_the_loopback_is_measured_as_a_link(hosts):
    link = measure_link(sweep_to(4_000_000, flows=2, exchanges=[2], seconds=0.05), hosts)
    assert link.bandwidth_low_bytes_per_s <= link.bandwidth_bytes_per_s <= link.bandwidth_high_bytes_per_s
    assert {one.direction for one in link.transfers} == {"forward", "backward", "both"}
    assert [one.count for one in link.flows] == [2]
    assert [one.hosts for one in link.exchanges] == [2]
    assert "loopback" in link.wire


@pytest.mark.usefixtures("mpi")
def test_synchronous_training_gives_the_weights_of_one_worker(tmp_path):
    # Join: one worker with twice the batch. Split: one worker with the same batch.
    one = trained(1, "sync-join", "central", tmp_path, batch=32, batches=6)
    others = [
        trained(2, "sync-join", "central", tmp_path, batch=16, batches=12, schedule="semaphore"),
        trained(2, "sync-join", "distributed", tmp_path, batch=16, batches=12, placement="greedy"),
        trained(2, "sync-join", "allreduce", tmp_path, batch=16, batches=12),
        trained(2, "sync-split", "distributed", tmp_path, batch=32, batches=6, placement="bytes"),
        trained(2, "sync-split", "sharded", tmp_path, batch=32, batches=6, servers=2),
    ]
    results = list(run_jobs([one, *others]))
    weights = [np.load(job.training.weights) for job in (one, *others)]
    first = np.load(one.training.weights)
    start = np.concatenate([leaf.ravel() for leaf in _first_leaves(one)])
    assert np.abs(first - start).max() > 0.01  # it trained
    for found, result in zip(weights[1:], results[1:], strict=True):
        np.testing.assert_allclose(found, first, atol=2e-6)
        assert result.losses == pytest.approx(results[0].losses, rel=1e-4)
        assert result.facts["test_accuracy"] == results[0].facts["test_accuracy"]
    assert results[0].compute == "real"


def _first_leaves(job):
    import jax

    run = training_run(job.training)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(run.unflattened(run.state).trained)]


@pytest.mark.usefixtures("mpi")
def test_asynchronous_training_learns(tmp_path):
    job = trained(2, "async", "central", tmp_path, batch=16, batches=30, algorithm="sgd")
    (result,) = run_jobs([job])
    assert len(result.losses) == 30
    assert np.mean(result.losses[-5:]) < 0.9 * result.losses[0]


@pytest.mark.usefixtures("mpi")
def test_training_goes_on_from_a_checkpoint_with_the_same_weights(tmp_path):
    whole = trained(2, "sync-join", "distributed", tmp_path, batch=8, batches=12)
    folder = str(tmp_path / "kept")
    first = replace(whole, batches=8, training=replace(whole.training, checkpoint=folder, every=2, weights=None))
    second = replace(
        whole, training=replace(whole.training, checkpoint=folder, resume=True, weights=str(tmp_path / "second.npy"))
    )
    results = list(run_jobs([whole, first, second]))
    assert results[2].batches == 4
    np.testing.assert_allclose(np.load(tmp_path / "second.npy"), np.load(whole.training.weights), atol=1e-6)
