"""Profiles: shipped ones, files, and what is wrong with a file."""

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import Device, Profile, SpeedupError, Timing, Workload, profiles
from speedup.errors import ProfileError, UnknownNameError
from speedup.profile import Provenance

seconds = st.floats(1e-9, 1e6)


@pytest.fixture
def profile():
    timing = Timing(
        median_s=0.2,
        low_s=0.19,
        high_s=0.21,
        level=0.95,
        cv=0.02,
        samples_s=(0.19, 0.2, 0.21),
        loops=3,
        warmup=5,
        stable=True,
        batch=16,
        provenance=Provenance.MEASURED,
    )
    workload = Workload(architecture="mlp", tensor_elements=(235200, 300), batch=16, input_shape=(784,))
    device = Device(platform="cpu", name="A processor", cores=2)
    return Profile(name="mlp-b16", workload=workload, t_grad=(timing,), device=device, environment={"jax": "0.10.2"})


def broken(profile, tmp_path, change):
    path = profile.save(tmp_path / "lab.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ProfileError) as caught:
        Profile.load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "t_grad", "t_comm", "parameters", "tensors"),
    [
        ("vgg16e", 0.719, 5.153, 140_623_169, 38),
        ("googlenet", 0.763, 0.210, 6_236_977, 116),
        ("squeezenet", 0.758, 0.033, 867_265, 52),
        ("resnet34", 0.821, 0.811, 21_416_513, 110),
    ],
)
def test_table_6_1_is_shipped(name, t_grad, t_comm, parameters, tensors):
    shipped = profiles()[name]
    assert (shipped.t_grad_s, shipped.t_comm.median_s) == (t_grad, t_comm)
    assert (shipped.workload.parameters, len(shipped.workload.tensor_elements)) == (parameters, tensors)
    assert shipped.t_grad_timing.provenance is Provenance.PUBLISHED
    assert 100e6 < shipped.workload.payload_bytes / t_comm < 125e6  # no faster than the 1 Gbit/s it went over


@pytest.mark.parametrize("name", ["VGG16E", "GoogLeNet", "SqueezeNet", "Resnet34", "resnet-34"])
def test_names_are_found_however_the_source_spells_them(name):
    assert Profile.load(name).name == name.lower().replace("-", "")


def test_a_profile_survives_its_file_unchanged(profile, tmp_path):
    assert Profile.load(profile.save(tmp_path / "lab.json")) == profile


@given(st.lists(seconds, min_size=1, max_size=20), st.integers(1, 4096), st.text(max_size=20))
def test_any_profile_survives_its_json_unchanged(samples, batch, text):
    ordered = sorted(samples)
    timing = Timing(
        median_s=ordered[len(ordered) // 2],
        samples_s=tuple(samples),
        batch=batch,
        provenance=Provenance.MEASURED,
    )
    workload = Workload(architecture=text, tensor_elements=(batch,), batch=batch)
    device = Device(platform="gpu", name=text)
    whole = Profile(name=text, workload=workload, t_grad=(timing,), device=device, warnings=(text,), compile_s=0.5)
    document = json.loads(whole.to_json())
    document.pop("schema")
    from speedup.profile import _adapter

    assert _adapter().validate_python(document) == whole


def test_every_shipped_profile_is_written_as_this_version_writes_it():
    from speedup.profile import _data_folder

    for path in _data_folder().glob("*.json"):
        assert Profile.load(path).to_json() == path.read_text()
        assert Profile.load(path).name == path.stem


def test_an_unknown_name_is_answered_with_the_nearest_one():
    with pytest.raises(UnknownNameError, match=r'unknown profile "resnet33". Did you mean "resnet34"?'):
        Profile.load("resnet33")


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ProfileError, match=r"does not exist. Measure one: speedup calibrate NAME -o"):
        Profile.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"schema": "speedup.profile/1", "name": "x"', "is not JSON: .* at line 1, column"),
        ("[1, 2]", "must be an object"),
        ("{}", "has schema None"),
        ('{"schema": "something/1"}', "has schema 'something/1'"),
        (
            '{"schema": "speedup.profile/3"}',
            "has schema speedup.profile/3; this version reads 1. Upgrade: pip install -U",
        ),
    ],
)
def test_a_file_that_is_no_profile_of_this_version_says_why(tmp_path, text, said):
    path = tmp_path / "lab.json"
    path.write_text(text)
    with pytest.raises(ProfileError, match=said):
        Profile.load(path)


def test_a_binary_file_is_refused_as_such(tmp_path):
    path = tmp_path / "lab.json"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ProfileError, match="is not a text file"):
        Profile.load(path)


def test_all_faults_of_a_file_are_listed_with_their_place(profile, tmp_path):
    def change(document):
        document["t_grad"][0]["median_s"] = -0.21
        document["workload"]["tensor_elements"] = [10, 0]
        document["device"]["platfrom"] = document["device"].pop("platform")
        document["compile_s"] = "soon"

    lines = broken(profile, tmp_path, change).splitlines()
    assert len(lines) == 4
    assert any('device has no "platform"; it has "platfrom": misspelt?' in line for line in lines)
    assert any(
        "t_grad[0]: median_s = -0.21 s; it must be finite and > 0 s. Measure it again." in line for line in lines
    )
    assert any("workload: tensor_elements[1] = 0; it must be at least 1." in line for line in lines)
    assert any("compile_s: Input should be a valid number" in line and "'soon'" in line for line in lines)
    assert all(line.startswith(f"profile {tmp_path / 'lab.json'}: ") for line in lines)


def test_an_unknown_field_is_named(profile, tmp_path):
    assert 'the profile has an unknown field "colour"' in broken(profile, tmp_path, lambda d: d.update(colour="red"))


def test_nan_in_a_file_is_refused(profile, tmp_path):
    said = broken(profile, tmp_path, lambda document: document["t_grad"][0].update(median_s=float("nan")))
    assert "t_grad[0].median_s: Input should be a finite number" in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"median_s": 0.0}, "median_s = 0 s"),
        ({"samples_s": (1.0, -1.0)}, r"samples_s\[1\] = -1 s"),
        ({"low_s": 0.3, "high_s": 0.4}, "does not contain the median"),
        ({"low_s": 0.1}, "give both or neither"),
        ({"level": 1.5}, "level = 1.5"),
        ({"cv": -0.1}, "cv = -0.1"),
        ({"batch": 0}, "batch = 0"),
    ],
)
def test_a_timing_that_cannot_be_is_refused(fields, said):
    with pytest.raises(SpeedupError, match=said):
        Timing(**{"median_s": 0.2, "provenance": Provenance.MEASURED, **fields})


def test_a_profile_has_a_timing_at_its_own_batch(profile):
    with pytest.raises(SpeedupError, match="no timing at the workload's batch 32"):
        replace(profile, workload=replace(profile.workload, batch=32))
    with pytest.raises(SpeedupError, match="t_grad is empty"):
        replace(profile, t_grad=())


def test_a_failed_save_leaves_the_old_file_and_no_other(profile, tmp_path, monkeypatch):
    path = profile.save(tmp_path / "lab.json")
    before = path.read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpeedupError, match=r"No space left on device. The file was not changed."):
        replace(profile, name="other").save(path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named_with_the_cure(profile, tmp_path):
    with pytest.raises(SpeedupError, match=r"does not exist. Make it first: mkdir -p"):
        profile.save(tmp_path / "none" / "lab.json")
    with pytest.raises(SpeedupError, match="is a folder"):
        profile.save(tmp_path)
