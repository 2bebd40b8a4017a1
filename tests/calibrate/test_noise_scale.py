"""The gradient noise scale: right where it is known, silent where it cannot be told, and the training left alone."""

import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from calibrate.architectures import architecture
from calibrate.learning import Learner, Settings, learned_profile
from calibrate.noise_scale import (
    NoiseMeter,
    Pair,
    measure_noise_scale,
    preconditioned,
    second_moments,
    squared_norms,
    training_norms,
)
from calibrate.training.algorithms import ALGORITHMS, algorithm
from calibrate.training.problem import network_problem
from calibrate.training.step import TrainingRun
from speedup.efficiency import Span
from speedup.errors import UnitError
from speedup.profile import Profile

MLP = Settings(network="nardini_mlp", batch=50, epochs=2, learning_rate=0.1, noise_scale=True)


def quadratic(mean, spread, count, samples, seed):
    """Batches of samples x, and the loss |w - x|^2 / 2, whose gradient at 0 is -x: mean and covariance are known."""
    random = np.random.default_rng(seed)
    draws = random.normal(size=(count, samples, mean.size)) * spread + mean
    return draws.astype(np.float32)


def loss(weights, batch):
    return jnp.mean(jnp.sum((weights - batch) ** 2, axis=1)) / 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("wanted", [30.0, 300.0])
def test_on_a_quadratic_of_known_covariance_it_is_within_5_percent(wanted, seed):
    spread = np.linspace(0.1, 2.0, 100)
    mean = np.full(100, math.sqrt((spread**2).sum() / wanted / 100))
    noise = measure_noise_scale(loss, jnp.zeros(100), quadratic(mean, spread, 600, 256, seed))
    assert noise.value == pytest.approx(wanted, rel=0.05)
    assert noise.low < noise.value < noise.high
    assert (noise.small, noise.big, noise.pairs) == (32, 256, 600)
    assert noise.variance == pytest.approx((spread**2).sum(), rel=0.02)


@pytest.mark.parametrize("pairs", [15, 60])
def test_its_interval_holds_the_truth_about_as_often_as_it_says(pairs):
    random, held = np.random.default_rng(0), 0
    for _ in range(300):
        meter = NoiseMeter(8, 64, decay=1.0)
        parts = random.normal(0.1, 8**-0.5, (pairs, 8, 40))
        for one in parts:
            meter.add(Pair((one**2).sum(axis=1).mean(), (one.mean(axis=0) ** 2).sum()))
        noise = meter.latest()
        held += noise.low <= 100 <= (noise.high or math.inf)
    assert held / 300 == pytest.approx(0.9, abs=0.04)


def test_without_a_mean_gradient_it_is_not_resolved():
    noise = measure_noise_scale(loss, jnp.zeros(50), quadratic(np.zeros(50), np.ones(50), 200, 64, 0))
    assert noise.value is None
    assert noise.high is None
    assert noise.low > 100
    assert "not resolved, at least" in str(noise)


def test_few_pairs_resolve_nothing():
    batches = quadratic(np.ones(50), np.ones(50), 7, 64, 0)
    assert not measure_noise_scale(loss, jnp.zeros(50), batches).resolved
    with pytest.raises(UnitError, match="no batches"):
        measure_noise_scale(loss, jnp.zeros(50), [])
    with pytest.raises(UnitError, match="no 8 equal parts"):
        measure_noise_scale(loss, jnp.zeros(50), batches[:, :63])


def test_it_is_a_naive_computation_in_numpy():
    batches = quadratic(np.full(20, 0.5), np.ones(20), 50, 32, 1)
    signal, variance = [], []
    for batch in batches:
        gradients = -batch.astype(np.float64)
        parts = [gradients[start : start + 4].mean(axis=0) for start in range(0, 32, 4)]
        small, big = np.mean([part @ part for part in parts]), float(np.sum(gradients.mean(axis=0) ** 2))
        signal.append((32 * big - 4 * small) / 28)
        variance.append((small - big) / (1 / 4 - 1 / 32))
    noise = measure_noise_scale(loss, jnp.zeros(20), batches)
    assert noise.value == pytest.approx(np.mean(variance) / np.mean(signal), rel=1e-4)
    # The mean of ratios is another number, and a biased one.
    assert np.mean(np.divide(variance, signal)) > 1.02 * noise.value


def test_averages_are_bias_corrected_exponential_ones_divided_last():
    random, decay = np.random.default_rng(0), 0.9
    pairs = [Pair(small, big) for small, big in random.uniform([3.0, 1.0], [4.0, 1.5], (40, 2))]
    meter = NoiseMeter(8, 64, decay=decay)
    signal = variance = weight = 0.0
    for pair in pairs:
        meter.add(pair)
        signal = decay * signal + (1 - decay) * (64 * pair.big - 8 * pair.small) / 56
        variance = decay * variance + (1 - decay) * (pair.small - pair.big) / (1 / 8 - 1 / 64)
        weight = decay * weight + 1 - decay
    now = meter.latest()
    assert now.squared_gradient == pytest.approx(signal / weight)
    assert now.variance == pytest.approx(variance / weight)
    assert now.value == pytest.approx(variance / signal)
    assert now.span is Span.LATEST


def expected(square, variance, small, big):
    return Pair(square + variance / small, square + variance / big)


def test_over_a_run_it_is_the_one_that_predicts_steps():
    meter = NoiseMeter(10, 80, batch=10)
    for noise in (20.0, 180.0):
        for _ in range(8):
            meter.add(expected(1.0, noise, 10, 80))
    run = meter.over_run()
    assert run.value == pytest.approx(100)
    # Shares of 1/3 and 1/19 of a step, in the mean 11/57.
    assert meter.over_run(adapted=True).value == pytest.approx(10 * (57 / 11 - 1))
    assert (run.span, run.batch, run.pairs) == (Span.RUN, 10, 16)
    assert meter.latest().value > run.value > run.variance / run.squared_gradient * 0.99


def test_a_run_without_signal_is_not_resolved_and_one_without_pairs_refused():
    meter = NoiseMeter(10, 80)
    with pytest.raises(UnitError, match="at least one pair"):
        meter.over_run()
    for sign in (1, -1) * 20:
        meter.add(expected(0.01 * sign - 0.02, 10.0, 10, 80))
    assert not meter.over_run().resolved
    assert not meter.latest().resolved


@pytest.mark.parametrize("options", [{"decay": 0.0}, {"decay": 1.1}, {"level": 1.0}, {"batch": 0}])
def test_a_meter_that_cannot_be_is_refused(options):
    with pytest.raises(UnitError):
        NoiseMeter(8, 64, **options)
    with pytest.raises(UnitError):
        NoiseMeter(8, 8)


def test_preconditioned_it_does_not_depend_on_how_entries_are_scaled():
    scale = np.linspace(0.01, 100.0, 30).astype(np.float32)

    @jax.jit
    def scaled(batch):
        moments = jnp.asarray(scale) ** 2
        return squared_norms(lambda part: (jnp.zeros(()), preconditioned(part.mean(axis=0) * scale, moments)), batch, 8)

    plain = jax.jit(lambda batch: squared_norms(lambda part: (jnp.zeros(()), part.mean(axis=0)), batch, 8))
    for batch in quadratic(np.full(30, 0.4), np.ones(30), 3, 64, 2):
        np.testing.assert_allclose(plain(batch), scaled(batch), rtol=1e-4)


def run_of(name):
    how = algorithm(name).at_rate(0.01)
    return TrainingRun(network_problem(architecture("nardini_mlp"), criterion=how.criterion), how)


def test_adaptive_algorithms_are_preconditioned():
    adaptive = {"adagrad", "rmsprop", "adadelta", "adam", "adam_eps_root", "adam_hat", "adamw", "l0", "l0_hard"}
    found = {
        name
        for name in ALGORITHMS
        if second_moments(jax.eval_shape(algorithm(name).at_rate(0.01).optimizer.init, [jnp.ones(2)])) is not None
    }
    assert found == adaptive


@pytest.mark.parametrize("name", ["viviano", "l0_hard"])
def test_weights_scores_and_gates_have_one(name):
    run = run_of(name)
    batch = run.make_batch(16)
    run.state, _ = jax.jit(run.update)(run.frozen, run.state, batch)
    small, big, _ = map(float, training_norms(run, 4)(run.frozen, run.state, batch))
    assert small > big > 0


def test_norms_of_a_training_are_those_of_its_gradients():
    run = TrainingRun(network_problem(architecture("nardini_mlp")), algorithm("sgd"))
    inputs, labels = run.make_batch(24)
    parts = [run.gradient(run.frozen, run.state, (inputs[at : at + 8], labels[at : at + 8]))[1] for at in (0, 8, 16)]
    flat = np.array([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(one)]) for one in parts], np.float64)
    small, big, _ = map(float, training_norms(run, 3)(run.frozen, run.state, (inputs, labels)))
    assert small == pytest.approx((flat**2).sum(axis=1).mean(), rel=1e-4)
    assert big == pytest.approx((flat.mean(axis=0) ** 2).sum(), rel=1e-4)


@pytest.mark.parametrize("how", [{"algorithm": "adam", "persistency": 2}])
def test_measuring_changes_nothing_of_the_training(how):
    own = replace(MLP, learning_rate=0.01, epochs=1, **how)
    measured, alone = Learner(own), Learner(replace(own, noise_scale=False))
    assert measured.train()[0].loss == alone.train()[0].loss
    for one, other in zip(measured._run.state, alone._run.state, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "noise_scale" not in alone.rows[0].to_dict()
    assert alone.noise is None


def test_repeats_of_a_batch_and_velocities_are_not_measured():
    learner = Learner(replace(MLP, persistency=4, epochs=1))
    learner.train()
    # Every batch once, before its first update: 40 batches, of which each measurement reads 8.
    pairs = learner.noise.to_list()
    assert [step for _, _, step, _ in pairs] == list(range(0, 160, 4))
    # At the first weights momentum's gradients are those of plain descent.
    first = [Learner(replace(MLP, algorithm=name, epochs=1)) for name in ("sgd", "momentum")]
    for one in first:
        one.noise.measure(0, one._batch, [])
    assert first[0].noise.to_list() == first[1].noise.to_list()


def test_rows_profile_and_a_resumed_training_have_it(tmp_path):
    whole = Learner(MLP)
    rows = whole.train()
    assert rows[-1].noise_scale_low < rows[-1].noise_scale < (rows[-1].noise_scale_high or math.inf)
    profile = learned_profile(whole)
    assert profile.noise_scale.span is Span.RUN
    assert (profile.noise_scale.batch, profile.noise_scale.big) == (50, 400)
    assert Profile.load(profile.save(tmp_path / "p.json")).noise_scale == profile.noise_scale
    half = Learner(replace(MLP, epochs=1))
    half.train(tmp_path / "c")
    again = Learner(MLP)
    again.train(tmp_path / "c", resume=True)
    assert again.noise.over_run() == whole.noise.over_run()


def test_a_network_that_shrinks_goes_on_being_measured():
    settings = replace(
        MLP, algorithm="l0_hard", batch=10, epochs=4, strength=1e-4, learning_rate=0.005, shrink="always"
    )
    rows = Learner(settings).train()
    assert rows[-1].weights < rows[0].weights
    assert rows[-1].noise_scale_low is not None


def test_the_command_tells_it(capsys, tmp_path):
    from speedup.cli import run

    line = ["train", "nardini_mlp", "--data", "synthetic", "--batch", "50", "--epochs", "1", "--noise-scale", "-q"]
    assert run([*line, "--profile", str(tmp_path / "p.json")]) == 0
    out = capsys.readouterr().out
    assert "noise scale" in out.splitlines()[0]
    assert "over the run (measured)" in out.splitlines()[-1]
    assert run([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["noise_scale"]["provenance"] == "measured"
    assert document["epochs"][0]["noise_scale_low"] >= 0
    assert Profile.load(tmp_path / "p.json").noise_scale.algorithm == "sgd"


def test_second_moments_are_found_wherever_they_are():
    weights = jnp.ones(2)
    chain = optax.chain(optax.clip(1.0), optax.chain(optax.scale_by_adam(), optax.scale(0.1)))
    assert second_moments(chain.init(weights)).shape == (2,)
