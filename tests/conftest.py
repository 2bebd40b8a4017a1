"""Settings shared by all tests."""

from hypothesis import settings

# The first example of a test may compile a formula, and CI machines are shared: no deadline.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
