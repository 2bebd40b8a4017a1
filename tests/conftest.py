"""Settings shared by all tests."""

import atexit
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from opened import FLAGS, Opened

from calibrate.engine.launch import Hosts, find_mpirun
from calibrate.testbed import Testbed, UnavailableTestbedError, check_testbed
from speedup.errors import MissingExtraError

ROOT = Path(__file__).parents[1]

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


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Build the docs once for all tests, with warnings as errors, and one notebook run; return the folder of pages."""
    pytest.importorskip("sphinx_book_theme")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pages = folder / "html"
        if not (folder / "built").exists():
            line = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", folder / "trees"]
            # The notebooks have tests of their own, which run all of them.
            once = ["-t", "quick", "-D", "nb_execution_mode=force"]
            done = subprocess.run([*line, *once, "docs", pages], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            (folder / "built").touch()
    return pages


@pytest.fixture(scope="module")
def browser():
    """Start Chromium once for the pages of a module; while it runs, nothing else can have an event loop."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Open a file in a context of its own that has no network; options are those of Playwright's contexts."""
    contexts = []

    def opened(path, **options):
        context = browser.new_context(offline=True, accept_downloads=True, **options)
        contexts.append(context)
        it = Opened(context.new_page())
        it.page.goto(path.resolve().as_uri())
        return it

    yield opened
    for context in contexts:
        context.close()
