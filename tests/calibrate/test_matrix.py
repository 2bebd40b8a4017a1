"""A matrix of calibrations loses nothing that was measured."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import calibrate
from calibrate.matrix import QUICK_ALGORITHMS, calibrate_cells, cells
from calibrate.sweep import Effort, finished
from speedup.errors import SpeedupError, UnitError, UnknownNameError
from speedup.profile import Profile, read_profile

BRIEF = Effort.quick().lasting(0.2)
MATRIX = ["nardini_mlp", "viviano_fc_784", "--algorithms", "sgd", "momentum", "--batch", "2", "4"]


def start(folder, *options):
    line = [sys.executable, "-m", "speedup", "calibrate", *MATRIX, "--max-time-s", "0.5", "-o", str(folder), *options]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_files(folder, count, limit_s=120):
    end = time.monotonic() + limit_s
    while len(list(folder.glob("*.json"))) < count:
        assert time.monotonic() < end, "nothing was written in time"
        time.sleep(0.05)


def all_points(folder):
    return {
        (profile.workload.architecture, profile.workload.algorithm, timing.batch): timing.samples_s
        for profile in map(read_profile, folder.glob("*.json"))
        for timing in profile.t_grad
    }


def test_the_whole_matrix_is_every_architecture_under_every_algorithm():
    found = cells()
    names = {(cell.architecture.name, cell.algorithm.name) for cell in found}
    assert len(names) == len(found) == len(calibrate.architecture_names()) * len(calibrate.algorithm_names())


def test_quick_covers_every_architecture_with_five_algorithms_at_one_batch_size():
    found = cells(quick=True)
    assert {cell.algorithm.name for cell in found} == set(QUICK_ALGORITHMS)
    assert {cell.architecture.name for cell in found} == set(calibrate.architecture_names())
    assert all(len(cell.batches) == 1 for cell in found)


def test_a_cell_named_twice_is_measured_once():
    assert len(cells(["resnet34", "ResNet34-B"], ["sgd", "sgd"])) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"names": ["resnet33"]}, UnknownNameError),
        ({"algorithms": ["adan"]}, UnknownNameError),
        ({"batch": (4, 0)}, UnitError),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(options, error):
    with pytest.raises(error):
        cells(**options)


@pytest.mark.device
def test_a_kill_loses_at_most_the_point_in_flight_and_resume_goes_on(tmp_path):
    process = start(tmp_path, "--quiet")
    wait_for_files(tmp_path, 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = all_points(tmp_path)
    first = [key for key in before if key[:2] == ("nardini_mlp", "sgd")]
    assert len(first) == 2

    resumed = start(tmp_path, "--quiet", "--resume", "--json")
    out, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0
    after = all_points(tmp_path)
    assert len(after) == 8
    assert all(after[key] == before[key] for key in first)
    rows = json.loads(out)["calibrations"]
    assert [point["resumed"] for point in rows[0]["points"]] == [True, True]
    assert [point["resumed"] for point in rows[-1]["points"]] == [False, False]


@pytest.mark.device
def test_an_interruption_says_what_is_kept_and_how_to_go_on(tmp_path):
    process = start(tmp_path)
    wait_for_files(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Go on with --resume" in err
    assert str(tmp_path) in err
    assert all_points(tmp_path)


@pytest.mark.device
def test_a_cell_that_fails_does_not_end_the_others(tmp_path):
    wanted = cells(["nardini_mlp"], ["sgd"], batch=(2, 10**9)) + cells(["nardini_mlp"], ["adam"], batch=2)
    first, second = calibrate_cells(wanted, tmp_path, effort=BRIEF)
    assert [timing.batch for timing in first.profile.t_grad] == [2]
    assert any("1000000000" in warning and "memory" in warning for warning in first.profile.warnings)
    assert second.error is None
    (hopeless,) = calibrate_cells(cells(["nardini_mlp"], ["rmsprop"], batch=10**9), tmp_path, effort=BRIEF)
    assert hopeless.profile is None
    assert "memory" in hopeless.error
    assert not hopeless.path.exists()


@pytest.mark.device
def test_progress_of_the_matrix_never_falls_and_ends_at_one(tmp_path):
    seen = []
    list(
        calibrate_cells(
            cells(["nardini_mlp"], ["sgd", "adam"], batch=(2, 4)), tmp_path, effort=BRIEF, on_progress=seen.append
        )
    )
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert {progress.label for progress in seen} == {"1/2 nardini_mlp sgd", "2/2 nardini_mlp adam"}
    assert any(progress.remaining_s for progress in seen)


def test_a_profile_of_another_device_is_never_gone_on_with():
    profile = Profile.load("squeezenet")
    other = replace(profile.device, name="another")
    with pytest.raises(SpeedupError, match="never merge"):
        finished(profile, BRIEF, other)


def test_timings_made_with_less_effort_are_made_again():
    profile = Profile.load("squeezenet")
    quick = replace(profile, environment=dict(BRIEF.facts()))
    assert finished(quick, BRIEF, profile.device) == profile.t_grad
    assert finished(quick, Effort.sweep(), profile.device) == ()
