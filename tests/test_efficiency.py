"""Statistical efficiency: what a larger batch buys, and the noise scale as a value."""

import json
from dataclasses import replace

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from speedup import CATALOGUE, Profile
from speedup.efficiency import (
    NoiseScale,
    Span,
    Staleness,
    adascale_gain,
    examples_factor,
    run_average,
    statistical_efficiency,
    steps_factor,
)
from speedup.errors import ProfileError, UnitError
from speedup.formulas.symbols import B_n, E_min, S_min, S_steps, b, m, m_0, q_b, q_m
from speedup.numeric import numeric
from speedup.provenance import Provenance

sizes = st.floats(1e-2, 1e6)
MEASURED = NoiseScale(
    value=180.0,
    low=150.0,
    high=230.0,
    level=0.9,
    squared_gradient=0.5,
    variance=90.0,
    small=64,
    big=512,
    pairs=100,
    algorithm="sgd",
    span=Span.RUN,
    batch=64,
    step=300,
    loss=0.12,
    provenance=Provenance.MEASURED,
)


def expression(number):
    return CATALOGUE[number].expression


@given(sizes, sizes)
def test_factors_are_the_equations(noise, batch):
    for number, function, unit in (("E.1", steps_factor, S_min), ("E.2", examples_factor, E_min)):
        formula = numeric(expression(number) / unit, (m, B_n))
        np.testing.assert_allclose(function(noise, batch), formula(batch, noise), rtol=1e-12)


@given(sizes, sizes, sizes)
def test_worth_and_gain_are_the_equations(noise, batch, base):
    for number, function in (("E.5", statistical_efficiency), ("E.6", adascale_gain)):
        formula = numeric(expression(number), (m, m_0, B_n))
        np.testing.assert_allclose(function(noise, batch, base), formula(batch, base, noise), rtol=1e-12)


@given(sizes, sizes)
def test_steps_and_samples_obey_their_product_law(noise, batch):
    np.testing.assert_allclose((steps_factor(noise, batch) - 1) * (examples_factor(noise, batch) - 1), 1, rtol=1e-6)


def test_samples_are_steps_times_batch():
    least = {E_min: S_min * B_n}
    assert sympy.simplify(expression("E.1") * m - expression("E.2").subs(least)) == 0
    assert sympy.simplify(expression("E.3").subs(S_steps, expression("E.1")) - expression("E.2")) == 0
    law = (S_steps / S_min - 1) * (expression("E.3") / E_min - 1)
    assert sympy.simplify(law) == 1


def test_the_gain_is_adascale_s_quotient_of_variances():
    variance, square, scale = sympy.symbols("variance square scale", positive=True)
    printed = (variance + square) / (variance / scale + square)
    ours = expression("E.6").subs({B_n: m_0 * variance / square, m: scale * m_0})
    assert sympy.simplify(ours - printed) == 0
    assert sympy.simplify(ours / scale - expression("E.5").subs({B_n: m_0 * variance / square, m: scale * m_0})) == 0


def test_two_batch_sizes_give_the_noise_scale_of_their_expectations():
    square, variance = sympy.symbols("square variance", positive=True)
    found = expression("E.10").subs({q_b: square + variance / b, q_m: square + variance / m})
    assert sympy.simplify(found - variance / square) == 0


def test_join_with_one_worker_is_split_and_async_with_one_worker_has_no_staleness():
    N, t_iter, X = sympy.symbols("N t_iter X", positive=True)
    join, split, alone = (expression(number) for number in ("E.7", "E.8", "E.9"))
    assert sympy.simplify(join.subs(N, 1) - split) == 0
    assert sympy.simplify(alone.subs({N: 1, X: 1 / t_iter}) - split) == 0


def test_arrays_broadcast():
    assert steps_factor([[100.0], [200.0]], [50, 100, 200]).shape == (2, 3)
    assert MEASURED.steps_factor(np.arange(1, 5)).shape == (4,)
    assert MEASURED.efficiency(600, base=64) < MEASURED.efficiency(64, base=64) == 1
    assert MEASURED.gain(128, base=64) == pytest.approx(2 * MEASURED.efficiency(128, base=64))
    assert MEASURED.examples_factor(180) == 2


SCALES = np.array([20.0, 90.0, 400.0, 700.0])


@pytest.mark.parametrize("batch", [64, 1, 4096])
def test_the_average_over_a_run_whose_rate_follows_predicts_steps_of_any_batch(batch):
    other = 256
    # Every part is as many steps at the run's batch; at another one each takes its own factor.
    there = np.mean(steps_factor(SCALES, other) / steps_factor(SCALES, batch))
    average = run_average(SCALES, batch)
    assert steps_factor(average, other) / steps_factor(average, batch) == pytest.approx(there)


def test_the_average_over_a_run_at_a_constant_rate_is_that_of_equally_long_steps():
    assert steps_factor(run_average(SCALES), 256) == pytest.approx(np.mean(steps_factor(SCALES, 256)))
    assert run_average(SCALES) == pytest.approx(run_average(SCALES, 1e12), rel=1e-3)


def test_a_run_that_never_resolved_has_no_finite_average():
    assert run_average([np.inf, np.inf], 64) == run_average([np.inf, 10.0]) == np.inf
    assert run_average([np.inf, 0.0], 64) == 64
    with pytest.raises(UnitError, match="at least one number"):
        run_average([], 64)


def test_assumed_staleness_of_one_needs_the_samples_of_sync_join():
    workers, noise, batch = np.arange(1, 33), 300.0, 16
    async_samples = Staleness().steps_factor(noise, batch, workers) * batch
    join_samples = steps_factor(noise, workers * batch) * workers * batch
    np.testing.assert_allclose(async_samples, join_samples)
    assert Staleness().provenance is Provenance.ASSUMED
    assert (Staleness(cost=0.0).steps_factor(noise, batch, workers) == steps_factor(noise, batch)).all()
    with pytest.raises(UnitError, match="cost"):
        Staleness(cost=-1.0)
    with pytest.raises(UnitError, match="workers"):
        Staleness().steps_factor(noise, batch, 0)


@pytest.mark.parametrize("age", [0, 1, 3, 15])
def test_a_quadratic_with_old_gradients_is_stable_up_to_the_rate_that_is_stated(age):
    # w' = w - rate w_old, as the largest root of z^(age + 1) - z^age + rate.
    limit = 2 * np.sin(np.pi / (2 * (2 * age + 1)))

    def largest(rate):
        powers = np.zeros(age + 2)
        powers[[0, 1]], powers[-1] = (1.0, -1.0), powers[-1] + rate
        if age == 0:
            powers = np.array([1.0, rate - 1.0])
        return abs(np.roots(powers)).max()

    assert largest(0.999 * limit) < 1 < largest(1.001 * limit)


def test_a_noise_scale_survives_a_profile_s_file(tmp_path):
    profile = replace(Profile.load("squeezenet"), noise_scale=MEASURED)
    assert Profile.load(profile.save(tmp_path / "lab.json")).noise_scale == MEASURED
    unresolved = replace(MEASURED, value=None, high=None)
    assert Profile.load(replace(profile, noise_scale=unresolved).save(tmp_path / "lab.json")).noise_scale == unresolved


def test_files_from_before_still_load_and_a_broken_one_says_where(tmp_path):
    path = Profile.load("squeezenet").save(tmp_path / "lab.json")
    assert "noise_scale" not in json.loads(path.read_text())
    assert Profile.load(path).noise_scale is None
    path = replace(Profile.load(path), noise_scale=MEASURED).save(path)
    document = json.loads(path.read_text())
    document["noise_scale"]["value"] = -3.0
    path.write_text(json.dumps(document))
    with pytest.raises(ProfileError, match=r"noise_scale: noise_scale = -3 samples; it must be finite and > 0"):
        Profile.load(path)


def test_an_unresolved_noise_scale_answers_nothing():
    unresolved = replace(MEASURED, value=None, high=None)
    assert not unresolved.resolved
    assert "not resolved, at least 150 samples over the run (measured)" in str(unresolved)
    assert unresolved.to_dict()["resolved"] is False
    for ask in (unresolved.steps_factor, unresolved.examples_factor):
        with pytest.raises(UnitError, match="not resolved after 100 measurements"):
            ask(64)


def test_a_noise_scale_tells_where_it_comes_from():
    assert str(MEASURED) == "noise scale 180 samples [150, 230] (90%) over the run (measured)"
    assert str(NoiseScale.assumed(200)) == "noise scale 200 samples (assumed)"
    latest = replace(MEASURED, span=Span.LATEST, preconditioned=True, high=None)
    assert str(latest) == "noise scale, preconditioned, 180 samples [150, inf] (90%) at update 300 (measured)"
    assert json.loads(json.dumps(MEASURED.to_dict()))["span"] == "run"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": 0.0}, "noise_scale = 0 samples"),
        ({"low": 200.0}, "does not contain"),
        ({"high": 100.0}, "does not contain"),
        ({"level": 1.0}, "level = 1"),
        ({"small": 512}, "small = 512 samples must be fewer"),
        ({"pairs": 0}, "pairs = 0"),
    ],
)
def test_a_noise_scale_that_cannot_be_is_refused(change, said):
    with pytest.raises(UnitError, match=said):
        replace(MEASURED, **change)


@pytest.mark.parametrize("function", [steps_factor, examples_factor])
@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf])
def test_a_size_that_cannot_be_is_refused(function, wrong):
    with pytest.raises(UnitError, match="must be finite and > 0"):
        function(100, [64, wrong])
    with pytest.raises(UnitError, match="must be finite and > 0"):
        function(wrong, 64)
