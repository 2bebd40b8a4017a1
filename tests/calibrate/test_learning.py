"""Training on one device: what epochs reach, what hard pruning takes away, and what survives a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import jax
import numpy as np
import pytest

from calibrate.datasets import synthetic
from calibrate.learning import Learner, Settings, learned_profile
from calibrate.learning.shrinking import compacted, masks_of, weights_left
from speedup.errors import PlanError, UnitError, UnknownNameError
from speedup.files import FileError

MLP = Settings(network="nardini_mlp", batch=100, epochs=10, learning_rate=0.1)
# Strong enough to take units out within a few epochs of a small data set.
HARD = replace(MLP, algorithm="l0_hard", batch=10, epochs=6, strength=1e-4, learning_rate=0.005)


class Slow:
    """Samples that take a while to be had."""

    def __init__(self, samples):
        self._samples = samples
        self.shape, self.size, self.ndim, self.dtype = samples.shape, samples.size, samples.ndim, samples.dtype

    def __len__(self):
        return len(self._samples)

    def __getitem__(self, rows):
        time.sleep(0.06)
        return self._samples[rows]


def values(learner):
    return [np.asarray(leaf) for leaf in learner._run.state]


def test_training_learns_to_tell_classes_apart():
    rows = Learner(MLP).train()
    assert rows[-1].test_accuracy > 0.8 > rows[0].test_accuracy
    assert rows[-1].loss < rows[0].loss
    assert [row.updates for row in rows] == list(range(20, 201, 20))
    assert rows[0].weights == 266_610
    assert rows[0].payload_bytes == 4 * 266_610
    assert rows[0].memory_bytes > 2 * 4 * 266_610


def test_real_digits_are_learned_without_any_file():
    learner = Learner(replace(MLP, data="digits", batch=50, epochs=5))
    assert "8 x 8" in learner.note
    assert learner.train()[-1].test_accuracy > 0.9


def test_the_same_seed_gives_the_same_training_and_another_does_not():
    first, again = Learner(MLP).train()[-1].loss, Learner(MLP).train()[-1].loss
    assert first == again
    assert Learner(replace(MLP, seed=1)).train()[-1].loss != first


def test_persistency_updates_each_batch_several_times():
    rows = Learner(replace(MLP, algorithm="persistency", epochs=1)).train()
    assert rows[0].updates == 5 * 20


def test_any_algorithm_may_keep_its_batches_for_several_updates():
    own, asked = (Learner(replace(MLP, epochs=1, **how)) for how in ({"algorithm": "persistency"}, {"persistency": 5}))
    assert asked.train()[0].updates == own.train()[0].updates == 5 * 20
    same = Learner(replace(MLP, algorithm="momentum", persistency=5, epochs=1)).train()[0]
    assert same.loss == own.rows[0].loss
    assert asked.rows[0].loss != own.rows[0].loss


def test_fewer_samples_make_shorter_epochs_and_those_held_out_are_tested_with():
    learner = Learner(replace(MLP, train_samples=700, held_out=300, epochs=1))
    assert learner.train()[0].updates == 7
    assert "first 700 samples" in learner.note
    assert (learner.rows[0].test_accuracy * 300) == pytest.approx(round(learner.rows[0].test_accuracy * 300))


def test_samples_of_your_own_take_the_place_of_the_named_ones():
    mine = synthetic((784,), train=300, test=50, seed=5)
    learner = Learner(replace(MLP, epochs=1), mine)
    assert learner.train()[0].updates == 3
    assert learner.note == mine.note


def test_making_a_batch_is_timed_apart_from_the_step():
    data = synthetic((784,), train=2000, test=50)
    row = Learner(replace(MLP, batch=500, epochs=1), replace(data, train_inputs=Slow(data.train_inputs))).train()[0]
    assert row.t_load_s > 0.05
    assert row.time_s > 4 * 0.05
    assert Learner(replace(MLP, epochs=1)).train()[0].t_load_s < 0.05


def test_steps_learn_less_at_the_end():
    rows = Learner(replace(MLP, schedule="steps", epochs=10)).train()
    early, late = (abs(rows[last].loss - rows[first].loss) for first, last in ((0, 1), (8, 9)))
    assert late < early


def test_a_decay_of_a_velocity_needs_a_velocity():
    half, usual = (
        Learner(replace(MLP, algorithm="momentum", learning_rate=0.01, momentum=momentum, epochs=1)).train()[0].loss
        for momentum in (0.5, None)
    )
    assert half > usual
    with pytest.raises(UnitError, match="sgd has no velocity"):
        Learner(replace(MLP, momentum=0.5))


def test_a_cosine_ends_where_it_stops_learning():
    learner = Learner(replace(MLP, schedule="cosine", epochs=2))
    learner.epoch()
    halfway = values(learner)
    learner.epoch()
    moved = sum(float(np.abs(new - old).sum()) for new, old in zip(values(learner), halfway, strict=True))
    constant = Learner(replace(MLP, epochs=2))
    constant.epoch()
    before = values(constant)
    constant.epoch()
    further = sum(float(np.abs(new - old).sum()) for new, old in zip(values(constant), before, strict=True))
    assert moved < further


def test_hard_pruning_takes_units_out_for_good_and_the_arrays_shrink():
    rows = Learner(replace(HARD, shrink="always")).train()
    weights = [row.weights for row in rows]
    assert weights[-1] < 0.7 * 266_610
    assert weights == sorted(weights, reverse=True)
    assert rows[-1].payload_bytes < rows[0].payload_bytes
    assert rows[-1].memory_bytes < rows[0].memory_bytes
    assert rows[-1].test_accuracy > 0.6


def test_a_masked_network_and_a_compacted_one_agree_to_rounding():
    learner = Learner(replace(HARD, shrink="never"))
    learner.train()
    run = learner._run
    moving = run.unflattened(run.state)
    masks = masks_of(moving)
    assert not all(mask.all() for mask in masks)
    inputs = np.random.default_rng(0).standard_normal((64, 784)).astype(np.float32)
    whole = run.logits(moving.trained, run.frozen, moving, inputs)
    smaller, reads = compacted(learner._how.optimizer, moving, masks)
    left = run.logits(smaller.trained, run.frozen, smaller, inputs[:, reads])
    np.testing.assert_allclose(left, whole, rtol=2e-5, atol=2e-5)
    assert weights_left(smaller.trained) == weights_left(moving.trained, masks)


def test_what_is_only_masked_never_comes_back():
    learner, before = Learner(replace(HARD, shrink="never")), None
    for _ in range(HARD.epochs):
        learner.epoch()
        masks = masks_of(learner._run.unflattened(learner._run.state))
        if before is not None:
            assert all((new <= old).all() for new, old in zip(masks, before, strict=True))
        before = masks


@pytest.mark.parametrize("settings", [MLP, replace(HARD, shrink="always")], ids=["dense", "pruned"])
def test_a_resumed_training_is_the_one_that_was_never_stopped(settings, tmp_path):
    path = tmp_path / "training.msgpack"
    whole = Learner(settings)
    whole.train()
    first = Learner(settings)
    for _ in range(2):
        first.epoch()
    first.save(path)
    rest = Learner(settings)
    rest.train(path, resume=True)
    assert [row.loss for row in rest.rows] == [row.loss for row in whole.rows]
    for one, other in zip(values(rest), values(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "training.msgpack"
    learner = Learner(MLP)
    learner.save(path)
    with pytest.raises(FileError, match=r"of another training: seed = 0 there, 1 here"):
        Learner(replace(MLP, seed=1)).restore(path)
    Learner(replace(MLP, epochs=9)).restore(path)


def test_a_damaged_checkpoint_is_refused_and_stays(tmp_path):
    path = tmp_path / "training.msgpack"
    Learner(MLP).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileError, match="cannot be read"):
        Learner(MLP).restore(path)
    assert path.exists()
    with pytest.raises(FileError, match="there is no checkpoint"):
        Learner(MLP).restore(tmp_path / "none.msgpack")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"network": "resnet"}, UnknownNameError),
        ({"algorithm": "sdg"}, UnknownNameError),
        ({"epochs": 0}, UnitError),
        ({"persistency": 0}, UnitError),
        ({"train_samples": 10**6}, UnitError),
        ({"schedule": "stairs"}, PlanError),
        ({"learning_rate": -1.0}, UnitError),
        ({"batch": 10**6}, UnitError),
    ],
)
def test_bad_settings_are_refused_before_anything_is_trained(wrong, error):
    with pytest.raises(error):
        Learner(replace(MLP, **wrong))


def test_the_networks_of_edge_popup_learn_without_changing_a_weight():
    learner = Learner(replace(MLP, algorithm="edge_popup", learning_rate=None))
    frozen = [np.asarray(leaf) for leaf in learner._run.frozen]
    rows = learner.train()
    assert rows[-1].test_accuracy > 0.8
    for before, after in zip(frozen, jax.tree.leaves(learner._run.frozen), strict=True):
        np.testing.assert_array_equal(before, after)


def command(*words):
    return [sys.executable, "-m", "speedup", "train", "nardini_mlp", "--batch", "100", *words]


def test_a_killed_training_goes_on_from_its_last_epoch(tmp_path):
    path = tmp_path / "training.msgpack"
    words = ["--epochs", "200", "--learning-rate", "0.1", "--checkpoint", str(path)]
    process = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(Learner(MLP).rows)
    restored = Learner(replace(MLP, epochs=200))
    restored.restore(path)
    done = len(restored.rows)
    assert done >= 1
    words[1] = str(done + 1)
    told = subprocess.run(command(*words, "--resume", "--json"), capture_output=True, text=True, check=True)
    document = json.loads(told.stdout)
    assert [row["epoch"] for row in document["epochs"]] == list(range(1, done + 2))
    assert document["note"].startswith("synthetic")
    assert "epoch" in told.stderr


def test_a_network_with_dropout_goes_on_with_the_noise_that_it_would_have_had(tmp_path):
    settings = Settings(network="neri_fashion_cnn", batch=200, epochs=2)
    path, whole, rest = tmp_path / "training.msgpack", Learner(settings), Learner(settings)
    whole.epoch()
    whole.save(path)
    rest.restore(path)
    assert rest.epoch().loss == whole.epoch().loss


def test_a_training_that_prunes_is_a_profile_of_phases_that_recommend_reads(tmp_path):
    from speedup import recommend
    from speedup.profile import Profile

    learner = Learner(replace(HARD, shrink="always"))
    learner.train()
    found = learned_profile(learner)
    assert sum(phase.batches for phase in found.phases) == learner.rows[-1].updates
    sizes = [phase.payload_bytes for phase in found.phases]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] == found.workload.payload_bytes
    assert found.phases[0].name.startswith("epoch")
    assert Profile.load(found.save(tmp_path / "learned.json")) == found
    assert recommend(found, network="1gbit").table.batches == learner.rows[-1].updates
