"""t_grad as a function of the batch: known curves are found again, held-out sizes predicted, intervals honest."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import Profile, SpeedupError, Timing
from speedup.errors import ProfileError, UnitError
from speedup.gradient_time import LEVEL, UNCHECKED, UNSEEN, BatchTime, Form, GradientTime
from speedup.profile import Provenance

SIZES = (4, 8, 16, 32, 64, 128)


def sweep(sizes, seconds, doubt=0.0):
    """Timings with a median known to a relative half-width of ``doubt``."""
    return [
        Timing(
            median_s=float(time),
            low_s=float(time) * math.exp(-doubt),
            high_s=float(time) * math.exp(doubt),
            level=LEVEL,
            batch=int(size),
            provenance=Provenance.MEASURED,
        )
        for size, time in zip(sizes, seconds, strict=True)
    ]


def noisy(curve, sizes, relative, seed=0):
    sizes = np.asarray(sizes, dtype=float)
    noise = np.exp(relative * np.random.default_rng(seed).standard_normal(len(sizes)))
    return GradientTime.fit(sweep(sizes, curve(sizes) * noise, 1.96 * relative))


def affine(batch):
    return 2e-3 + 4e-4 * batch


def power(batch):
    return 1e-3 + 4e-4 * batch**0.6


def full_from_32_on(batch):
    return np.maximum(0.01, 0.01 * batch / 32)


def tiles(batch):
    """A GPU: 10 ms up to 32 samples, then another 2.5 ms for every tile of 8."""
    return 0.01 + 2.5e-3 * np.ceil(np.maximum(batch - 32, 0) / 8)


def processor(batch):
    """A CPU: some fixed work, a slope, and caches that are too small from 48 samples on."""
    return 4e-3 + 1.5e-3 * batch * (1 + 0.1 / (1 + np.exp(-(batch - 48) / 8)))


@pytest.mark.parametrize(("curve", "form"), [(affine, Form.AFFINE), (full_from_32_on, Form.FLOOR), (power, Form.POWER)])
def test_a_curve_without_noise_is_found_again(curve, form):
    found = noisy(curve, SIZES, 0.0)
    assert found.form is form
    np.testing.assert_allclose(found.seconds([2, 6, 48, 100, 512]), curve(np.array([2, 6, 48, 100, 512.0])), rtol=1e-3)
    assert found.held_out_error.largest < (0.15 if form is Form.FLOOR else 1e-3)  # left out, the corner itself is lost


@pytest.mark.parametrize("curve", [affine, full_from_32_on, power])
@pytest.mark.parametrize("seed", range(5))
def test_with_one_percent_noise_a_curve_is_found_again_within_five(curve, seed):
    found = noisy(curve, SIZES, 0.01, seed)
    inside = np.array([6, 12, 24, 48, 96.0])
    np.testing.assert_allclose(found.seconds(inside), curve(inside), rtol=0.05)


def test_a_curve_of_no_simple_form_is_followed_through_its_points():
    def two_corners(batch):
        return 1e-3 * np.exp(np.interp(np.log2(batch), [0, 3, 4, 8], [0.0, 0.1, 1.5, 2.0]))

    sizes = 2 ** np.arange(9)
    found = noisy(two_corners, sizes, 0.0)
    assert ", corrected by up to " in found.formula
    inside = np.array([3, 6, 24, 48, 96.0])
    np.testing.assert_allclose(found.seconds(inside), two_corners(inside), rtol=0.04)
    assert found.seconds(1024) >= found.seconds(256)


def two_cores(batch):
    """Every sample on one of two cores: an odd number takes as long as one more."""
    return 0.04 + 0.06 * 2 * np.ceil(batch / 2)


def uneven_kernels(batch):
    """Kernels that are 8 % slower for every odd number of samples."""
    return (0.02 + 0.12 * batch) * np.where(batch % 2 == 1, 1.08, 1.0)


@pytest.mark.parametrize("curve", [two_cores, uneven_kernels])
@pytest.mark.parametrize("sizes", [(1, 2, 3, 4, 7, 8), (4, 8, 15, 16, 31, 32)])
def test_what_odd_batch_sizes_take_besides_is_found_and_said(curve, sizes):
    found = noisy(curve, sizes, 0.0)
    odd = [size for size in sizes if size % 2]
    inside = np.array([size for size in range(odd[0], odd[-1]) if size not in sizes], dtype=float)
    np.testing.assert_allclose(found.seconds(inside), curve(inside), rtol=0.05)
    assert found.formula.endswith(" for an odd batch")


def test_an_even_sweep_knows_less_of_odd_batch_sizes():
    even, odd = (noisy(affine, sizes, 0.005) for sizes in (SIZES, (4, 7, 16, 31, 64, 128)))
    assert even.predict(23).high_s / even.predict(23).median_s > math.exp(UNSEEN)
    assert even.predict(24).high_s / even.predict(24).median_s < 1.1
    assert odd.predict(23).high_s / odd.predict(23).median_s < 1.1


@pytest.mark.parametrize(
    ("curve", "sizes", "held_out", "within"),
    [
        (tiles, (8, 16, 32, 64, 128), (12, 24, 48, 56, 96, 112), 0.05),
        (tiles, (8, 32, 64, 128, 256), (16, 48, 96, 200, 320), 0.05),
        (processor, (4, 16, 64, 128), (8, 32, 48, 96), 0.06),
        (processor, (2, 8, 32, 64), (4, 16, 24, 48), 0.06),
        (lambda batch: 0.1 * batch, (8, 32, 128), (4, 16, 64, 256), 1e-9),
    ],
)
def test_held_out_batch_sizes_of_gpu_like_and_cpu_like_curves_are_predicted(curve, sizes, held_out, within):
    found = noisy(curve, sizes, 0.0)
    asked = np.array(held_out, dtype=float)
    np.testing.assert_allclose(found.seconds(asked), curve(asked), rtol=within)


def test_two_batch_sizes_give_a_line_with_a_wide_interval_and_nothing_to_check_it():
    found = GradientTime.fit(sweep((16, 64), (0.01, 0.03)))
    assert (found.form, found.held_out_error) == (Form.AFFINE, None)
    middle = found.predict(32)
    assert middle.median_s == pytest.approx(0.01 + 0.02 / 3)
    assert middle.high_s / middle.median_s == pytest.approx(math.exp(UNCHECKED))
    assert middle.provenance is Provenance.FITTED


def test_two_batch_sizes_that_grow_faster_than_the_batch_are_proportional_beyond_them():
    found = GradientTime.fit(sweep((16, 64), (0.01, 0.05)))
    assert found.seconds(8) == pytest.approx(found.seconds(4) * 2)
    assert found.seconds(256) == pytest.approx(found.seconds(128) * 2)


def test_one_batch_size_is_taken_for_proportional_and_says_that_this_is_assumed():
    found = GradientTime.fit(sweep((16,), (0.4,), 0.02))
    assert (found.form, found.formula, found.range) == (Form.PROPORTIONAL, "0.025 s/sample x batch", (16, 16))
    half = found.predict(8)
    assert half == BatchTime(median_s=0.2, batch=8, provenance=Provenance.ASSUMED, extrapolated=True)
    assert found.predict(16).provenance is Provenance.MEASURED
    assert "from batch size 16 alone" in str(found)


def test_a_measured_batch_size_has_its_own_measurement():
    timings = sweep(SIZES, 1.1 * affine(np.array(SIZES, dtype=float)) + 1e-3 * np.sin(SIZES), 0.03)
    found = GradientTime.fit(timings)
    for timing in timings:
        assert found.predict(timing.batch) == BatchTime.of(timing)
        assert found.seconds(timing.batch) == timing.median_s


def test_what_was_published_stays_published():
    timing = Timing(median_s=0.2, batch=16, provenance=Provenance.PUBLISHED)
    assert GradientTime.fit([timing]).predict(16).provenance is Provenance.PUBLISHED


def test_intervals_grow_with_the_distance_from_the_measured_sizes():
    found = noisy(tiles, (8, 16, 32, 64), 0.01)
    widths = [one.high_s / one.low_s for one in map(found.predict, (48, 96, 128, 256, 512))]
    assert widths == sorted(widths)
    assert widths[0] < widths[2] < widths[4]
    flags = [found.predict(batch).extrapolated for batch in (4, 8, 48, 64, 96)]
    assert flags == [True, False, False, False, True]


def test_intervals_are_no_narrower_than_those_of_the_timings():
    surely, roughly = (GradientTime.fit(sweep(SIZES, affine(np.array(SIZES)), doubt)) for doubt in (0.0, 0.1))
    assert surely.predict(24).high_s < 1.0001 * surely.predict(24).median_s
    assert roughly.predict(24).high_s >= math.exp(0.0999) * roughly.predict(24).median_s


def test_a_timing_known_badly_pulls_less():
    times = affine(np.array(SIZES, dtype=float))
    times[2] *= 0.8
    timings = sweep(SIZES, times, 0.005)
    doubted = [
        replace(one, low_s=one.median_s / 1.5, high_s=one.median_s * 1.5) if one.batch == 16 else one for one in timings
    ]
    errors = [abs(GradientTime.fit(some).seconds(20) / affine(20.0) - 1) for some in (timings, doubted)]
    assert errors[1] < 0.05 < errors[0]


def synthetic(index):
    """One of 300 sweeps: a curve of one of six kinds, four to six batch sizes, noise of 0.5, 2 or 5 %."""
    random = np.random.default_rng(index)
    sizes = 2.0 ** np.sort(random.choice(10, 4 + index % 3, replace=False))
    fixed, corner, step, phase = (
        random.uniform(0, 20),
        2 ** random.uniform(2, 7),
        2 ** random.integers(3, 6),
        6 * random.random(),
    )
    curves = (
        lambda b: b,
        lambda b: fixed + b,
        lambda b: np.maximum(corner, b),
        lambda b: fixed / 2 + b ** (0.6 + 0.1 * phase),
        lambda b: 3.0 * step + step * np.ceil(b / step),
        lambda b: (fixed + b) * np.exp(0.05 * np.sin(1.7 * np.log2(b) + phase)),
    )
    curve = curves[index // 3 % 6]
    return noisy(curve, sizes, (0.005, 0.02, 0.05)[index // 18 % 3], index), curve, sizes


def test_intervals_of_300_synthetic_sweeps_hold_the_truth_about_as_often_as_they_say():
    inside, outside = [], []
    for index in range(300):
        found, curve, sizes = synthetic(index)
        asked = {2 * round(2 ** (half / 2)) for half in range(20)} - set(sizes)
        for batch in (one for one in asked if sizes[0] / 4 <= one <= sizes[-1] * 4):
            time = found.predict(batch)
            hit = time.low_s <= curve(np.float64(batch)) <= time.high_s
            (outside if time.extrapolated else inside).append(hit)
    assert 0.95 <= np.mean(inside) < 0.985  # 97 % of 2,865
    assert 0.95 <= np.mean(outside) < 0.99  # 98 % of 1,424


curves = st.tuples(
    st.lists(st.integers(1, 4096), min_size=1, max_size=7, unique=True).map(sorted),
    st.floats(1e-6, 1e2),
    st.floats(0.0, 100.0),
    st.floats(0.0, 1.4),
    st.floats(0.0, 0.3),
    st.integers(0, 1000),
)


def drawn(facts, scale=1.0):
    sizes, unit, fixed, exponent, noise, seed = facts
    random = np.random.default_rng(seed)
    seconds = (
        unit * (fixed + np.array(sizes, dtype=float) ** exponent) * np.exp(noise * random.uniform(-1, 1, len(sizes)))
    )
    return sizes, seconds * scale


ASKED = np.unique(np.round(np.geomspace(1, 20_000, 60)))


@given(curves)
def test_times_are_positive_and_measured_ones_exact_whatever_was_measured(facts):
    sizes, seconds = drawn(facts)
    found = GradientTime.fit(sweep(sizes, seconds, 0.01))
    assert (found.seconds(ASKED) > 0).all()
    assert np.isfinite(found.seconds(ASKED)).all()
    assert found.seconds(sizes).tolist() == seconds.tolist()
    one = found.predict(777)
    assert one.low_s is None or one.low_s <= one.median_s <= one.high_s


@given(curves)
def test_two_samples_more_never_take_less_time_if_none_of_the_measured_did(facts):
    sizes, seconds = drawn(facts)
    even = [2 * size for size in sizes]
    rising = np.maximum.accumulate(seconds)
    times = GradientTime.fit(sweep(even, rising)).seconds(2 * ASKED)
    assert (np.diff(times) >= -1e-9 * times[1:]).all()


@given(curves, st.sampled_from([1e-3, 0.5, 7.0, 60.0]))
def test_the_unit_of_time_does_not_matter(facts, unit):
    sizes, seconds = drawn(facts)
    one, other = (GradientTime.fit(sweep(sizes, scale * seconds, 0.02)) for scale in (1.0, unit))
    assert one.form is other.form
    np.testing.assert_allclose(other.seconds(ASKED), unit * one.seconds(ASKED), rtol=1e-4)


def test_a_profile_with_one_batch_size_and_one_with_a_sweep_are_both_fitted():
    shipped = Profile.load("squeezenet-xeon-b16")
    assert GradientTime.of(shipped).form is Form.PROPORTIONAL
    more = replace(shipped.t_grad[0], batch=32, median_s=2.5, low_s=2.4, high_s=2.6, samples_s=())
    assert GradientTime.of(replace(shipped, t_grad=(*shipped.t_grad, more))).batches == (16, 32)


def test_of_two_timings_of_one_batch_size_the_first_counts():
    assert GradientTime.fit(sweep((8, 8), (1.0, 2.0))).seconds(8) == 1.0


def test_times_have_the_shape_of_the_batch_sizes():
    found = GradientTime.fit(sweep(SIZES, affine(np.array(SIZES))))
    assert found.seconds(7).shape == ()
    assert found.seconds(np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("form", "seconds", "formula"),
    [
        ("affine", affine(np.array(SIZES)), "0.002 s + 0.0004 s/sample x batch"),
        ("floor", full_from_32_on(np.array(SIZES)), "max(0.01 s, 0.000312 s/sample x batch)"),
        ("power", power(np.array(SIZES, dtype=float)), "0.001 s + 0.0004 s x batch^0.6"),
        ("affine", np.full(6, 0.25), "0.25 s"),
    ],
)
def test_the_formula_is_written_with_units(form, seconds, formula):
    found = GradientTime.fit(sweep(SIZES, seconds))
    assert (found.form, found.formula) == (form, formula)
    assert str(found).startswith(f"{formula}, from batch sizes 4, 8, 16, 32, 64, 128; held-out error median ")


def test_what_cannot_be_a_batch_size_is_refused():
    found = GradientTime.fit(sweep(SIZES, affine(np.array(SIZES))))
    with pytest.raises(UnitError, match="batch = 0; it must be above 0 samples"):
        found.seconds([4, 0])
    with pytest.raises(SpeedupError, match=r"batch = 2\.5 is not a whole number"):
        found.predict(2.5)
    with pytest.raises(ProfileError, match="no timing of t_grad states its batch size"):
        GradientTime.of(Profile.load("resnet34"))
