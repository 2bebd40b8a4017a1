"""Settings shared by all tests."""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# The first example of a test may compile a formula, and CI machines are shared: no deadline.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# No test reads or writes the profiles of whoever runs it; commands started by tests inherit this.
os.environ["SPEEDUP_STORE"] = tempfile.mkdtemp(prefix="speedup-tests-")
atexit.register(shutil.rmtree, os.environ["SPEEDUP_STORE"], ignore_errors=True)
