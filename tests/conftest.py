"""Settings shared by all tests."""

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

from calibrate.engine.launch import Hosts, find_mpirun
from calibrate.testbed import Testbed, UnavailableTestbedError, check_testbed
from speedup.errors import MissingExtraError

# The first example of a test may compile a formula, and CI machines are shared: no deadline.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# No test reads or writes the profiles of whoever runs it; commands started by tests inherit this.
os.environ["SPEEDUP_STORE"] = tempfile.mkdtemp(prefix="speedup-tests-")
atexit.register(shutil.rmtree, os.environ["SPEEDUP_STORE"], ignore_errors=True)


@pytest.fixture(scope="session")
def mpi():
    """Skip a test that starts processes with MPI where there is none."""
    pytest.importorskip("mpi4py")
    try:
        find_mpirun()
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["mpi", "tcp"])
def hosts(request):
    """This machine as the place of a run, once with each engine."""
    if request.param == "mpi":
        request.getfixturevalue("mpi")
    return Hosts(engine=request.param)


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
