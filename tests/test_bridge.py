"""The one way to the calibrate package."""

import pytest

import speedup
from speedup.bridge import load_calibrate
from speedup.doctor import name_clash


def test_ours_is_told_by_its_mark():
    assert load_calibrate().__speedup__ is True


def test_another_package_of_the_name_is_told():
    assert name_clash() is None


def test_an_unknown_architecture_is_refused_before_anything_slow():
    with pytest.raises(speedup.SpeedupError, match='unknown model "resnet33"'):
        speedup.calibrate("resnet33")
