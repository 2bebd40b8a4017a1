"""Settings shared by all tests."""

import atexit
import importlib.util
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

from calibrate.engine.launch import find_mpirun
from calibrate.testbed import Testbed, UnavailableTestbedError, check_testbed
from speedup.errors import MissingExtraError

# The first example of a test may compile a formula, and CI machines are shared: no deadline.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# No test reads or writes the profiles of whoever runs it; commands started by tests inherit this.
os.environ["SPEEDUP_STORE"] = tempfile.mkdtemp(prefix="speedup-tests-")
atexit.register(shutil.rmtree, os.environ["SPEEDUP_STORE"], ignore_errors=True)


def pytest_collection_modifyitems(items):
    here = [item for item in items if "cluster" in item.path.parts]
    reason = _missing_mpi()
    for item in here:
        if reason and "mpi" in item.fixturenames:
            item.add_marker(pytest.mark.skip(reason=reason))


def _missing_mpi():
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed"
    try:
        find_mpirun()
    except MissingExtraError as error:
        return str(error)
    return ""


@pytest.fixture
def mpi():
    """Mark a test that starts processes with MPI."""


@pytest.fixture
def bed(request):
    """Start a testbed of as many hosts, at such a rate, as the test's parameter says."""
    hosts, rate = request.param
    try:
        check_testbed()
    except UnavailableTestbedError as error:
        pytest.skip(str(error))
    with Testbed(hosts, rate) as testbed:
        yield testbed
