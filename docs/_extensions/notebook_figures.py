"""Plotly figures of notebooks, drawn by one script that is part of the site."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly
from sphinx.util.osutil import ensuredir

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

SCRIPT = "plotly.min.js"


def prepare_kernels(app: Sphinx) -> None:
    """Have the notebooks' kernels run ``kernel_startup.py`` before anything else."""
    folder = Path(tempfile.gettempdir()) / f"speedup-docs-ipython-{os.getpid()}"
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "kernel_startup.py", startup / "00-figures.py")
    os.environ["IPYTHONDIR"] = str(folder)
    app.connect("build-finished", lambda *_: shutil.rmtree(folder, ignore_errors=True))


def add_script(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: nodes.document | None) -> None:
    """Load Plotly on pages that have a figure, and on no other: it is large."""
    if "plotly-graph-div" in context.get("body", ""):
        app.add_js_file(SCRIPT)


def copy_script(app: Sphinx, error: Exception | None) -> None:
    """Put the script that comes with the Plotly package among the static files."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static"
        ensuredir(target)
        shutil.copy(Path(plotly.__file__).parent / "package_data" / SCRIPT, target / SCRIPT)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to the events of the build."""
    app.connect("builder-inited", prepare_kernels)
    app.connect("html-page-context", add_script)
    app.connect("build-finished", copy_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
