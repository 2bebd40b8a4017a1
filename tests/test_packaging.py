"""The wheel: the two packages and their data, nothing else, and it works on its own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import speedup

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_two_packages_with_types_and_profiles_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    facts = f"speedup_toolkit-{speedup.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"speedup", "calibrate", facts}
    assert {"speedup/py.typed", "calibrate/py.typed", "speedup/_data/profiles/resnet34.json"} <= set(names)
    assert {"speedup/_data/prices.csv", "speedup/report/page.js", "speedup/report/page.css"} <= set(names)
    shipped = {name for name in names if name.endswith(".json")}
    assert shipped == {f"speedup/_data/profiles/{path.name}" for path in (ROOT / "data" / "profiles").glob("*.json")}


def test_the_unpacked_wheel_recommends_from_its_own_profiles(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import speedup, speedup.prices; print(speedup.__file__); print(speedup.recommend('vgg16e').choice.workers);"
        "print(speedup.prices.prices_path(), len(speedup.prices.offers()) > 0);"
        "print(speedup.recommend('vgg16e').report('report.html'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    package = tmp_path / "speedup"
    assert done.stdout.split() == [
        str(package / "__init__.py"),
        "1",
        str(package / "_data" / "prices.csv"),
        "True",
        "report.html",
    ]
