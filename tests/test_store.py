"""Profiles measured here live in one folder, and are found by name."""

from pathlib import Path

import pytest

from speedup.errors import UnknownNameError
from speedup.profile import Profile
from speedup.store import StoreError, make_store, store_folder, stored_paths


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEEDUP_STORE", str(tmp_path / "store"))
    return make_store()


def test_the_variable_names_the_folder(store, tmp_path):
    assert store == store_folder() == tmp_path / "store"
    assert store.is_dir()


def test_without_the_variable_it_is_a_folder_of_the_users_data(monkeypatch):
    monkeypatch.delenv("SPEEDUP_STORE")
    folder = store_folder()
    assert folder.is_absolute()
    assert folder.parts[-2:] == ("speedup", "profiles")


def test_a_stored_profile_is_found_by_its_name_however_written(store):
    profile = Profile.load("squeezenet")
    profile.save(store / "lab-squeezenet.json")
    assert Profile.load("Lab_SqueezeNet") == profile


def test_of_two_with_one_name_the_one_measured_here_is_taken(store):
    other = Profile.load("resnet34")
    other.save(store / "squeezenet.json")
    assert Profile.load("squeezenet") == other


def test_an_unknown_name_lists_what_is_shipped_and_what_is_here(store):
    Profile.load("squeezenet").save(store / "lab.json")
    with pytest.raises(UnknownNameError, match=r"Shipped: .*vgg16e.*Measured here: lab\. Measure your own"):
        Profile.load("nothing-like-it")


def test_a_store_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="SPEEDUP_STORE"):
        make_store(tmp_path / "file" / "store")


def test_hidden_temporaries_of_a_killed_write_are_no_profiles(store):
    (store / ".lab.json.x1.tmp").write_text("{")
    assert stored_paths() == {}
    assert stored_paths(Path("no-such-folder")) == {}
