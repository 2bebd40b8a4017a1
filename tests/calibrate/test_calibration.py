"""From a name to a profile."""

import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

import calibrate
from calibrate.timing.sampler import Progress, Stage
from speedup.bridge import load_calibrate
from speedup.errors import UnitError, UnknownNameError
from speedup.profile import Profile, Provenance


@pytest.fixture(scope="module")
def short():
    """A calibration of a second, with the progress it reported."""
    seen = list[Progress]()
    profile = calibrate.calibrate("nardini_mlp", batch=8, max_time_s=1.5, min_time_s=0.5, on_progress=seen.append)
    return profile, seen


@pytest.mark.device
def test_a_profile_of_a_real_run_is_saved_and_loaded_unchanged(short, tmp_path):
    profile, _ = short
    path = tmp_path / "profile.json"
    profile.save(path)
    assert Profile.load(path) == profile


@pytest.mark.device
def test_the_profile_says_what_was_measured_and_where(short):
    profile, _ = short
    assert profile.workload.architecture == "nardini_mlp"
    assert profile.workload.tensor_elements == (235_200, 300, 30_000, 100, 1000, 10)
    assert (profile.workload.batch, profile.workload.algorithm, profile.workload.input_shape) == (8, "sgd", (784,))
    assert profile.name.startswith("nardini_mlp-")
    assert profile.name.endswith("-b8")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(profile.created)).total_seconds()) < 600
    assert profile.device.platform == profile.environment["device_platform"]
    assert profile.environment["seed"] == 0


@pytest.mark.device
def test_the_samples_are_measured_positive_and_at_most_a_thousand(short):
    timing = short[0].t_grad_timing
    assert timing.provenance is Provenance.MEASURED
    assert 1 <= len(timing.samples_s) <= 1000
    assert timing.low_s is None or timing.low_s <= timing.median_s <= timing.high_s
    assert timing.stable is (not short[0].warnings)


@pytest.mark.device
def test_compilation_is_apart_and_in_no_sample(short):
    profile, _ = short
    assert profile.compile_s > 10 * max(profile.t_grad_timing.samples_s)
    assert profile.environment["first_call_s"] < profile.compile_s


@pytest.mark.device
def test_progress_passes_through_the_stages_and_never_falls(short):
    _, seen = short
    assert list(dict.fromkeys(progress.stage for progress in seen)) == list(Stage)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    elapsed = [progress.elapsed_s for progress in seen]
    assert elapsed == sorted(elapsed)


@pytest.mark.device
def test_another_head_shows_in_the_name_and_the_payload():
    profile = calibrate.calibrate("nardini_mlp", batch=2, classes=3, max_time_s=0.5, min_time_s=0.1)
    assert profile.name.startswith("nardini_mlp-c3-")
    assert profile.workload.tensor_elements[-2:] == (300, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch = 0"),
        ({"batch": 1.5}, "batch = 1.5"),
        ({"batch": True}, "batch = True"),
        ({"classes": -1}, "classes = -1"),
        ({"seed": "x"}, "seed = 'x'"),
        ({"target": 0}, "target = 0"),
        ({"max_time_s": -5}, "max_time_s = -5 s"),
    ],
)
def test_what_is_wrong_is_said_before_anything_slow(options, message):
    start = time.perf_counter()
    with pytest.raises(UnitError, match=message):
        calibrate.calibrate("resnet34", **options)
    assert time.perf_counter() - start < 0.5


def test_an_unknown_name_is_refused_first():
    with pytest.raises(UnknownNameError, match=r'unknown model "squeeznet"\. Did you mean "squeezenet"'):
        calibrate.calibrate("squeeznet", batch=0)


def test_the_package_is_known_to_be_ours():
    assert load_calibrate() is calibrate
    assert set(calibrate.__all__) <= set(dir(calibrate))
    assert all(getattr(calibrate, name) for name in calibrate.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        calibrate.nothing  # noqa: B018


def test_importing_the_package_or_the_sampler_does_not_import_jax():
    code = (
        "import sys, calibrate, calibrate.timing.unfinished\n"
        "sys.exit(any(name in sys.modules for name in ('jax', 'flax', 'optax')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
