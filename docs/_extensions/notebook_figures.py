"""Plotly figures of notebooks, drawn by one script that is part of the site."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly
from plotly.io.json import to_json_plotly
from sphinx.util.osutil import ensuredir

from speedup.figures import DARK, TEMPLATE

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

SCRIPT, TEMPLATES = "plotly.min.js", "figure_templates.js"


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
        for script in (SCRIPT, TEMPLATES, "figures.js"):
            app.add_js_file(script)


def write_scripts(app: Sphinx, error: Exception | None) -> None:
    """Put the script that comes with the Plotly package among the static files, and our templates."""
    if error is not None or app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static"
    ensuredir(target)
    shutil.copy(Path(plotly.__file__).parent / "package_data" / SCRIPT, target / SCRIPT)
    templates = f'{{"light": {to_json_plotly(TEMPLATE)}, "dark": {to_json_plotly(DARK)}}}'
    (target / TEMPLATES).write_text(f"const speedupTemplates = {templates};\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to the events of the build."""
    app.connect("builder-inited", prepare_kernels)
    app.connect("html-page-context", add_script)
    app.connect("build-finished", write_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
