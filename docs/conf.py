"""How the site is built:  make docs  (or: python -m sphinx -W --keep-going -b html docs docs/_build/html)."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

import speedup  # noqa: E402 - that of this checkout

# Notebooks live beside the docs, and Sphinx reads what is inside them: what is here is a copy, with links from here.
notebooks, copies = HERE.parent / "notebooks", HERE / "notebooks"
copies.mkdir(exist_ok=True)
for copy in copies.glob("*.ipynb"):
    if not (notebooks / copy.name).exists():
        copy.unlink()
for notebook in notebooks.glob("*.ipynb"):
    copy, text = copies / notebook.name, notebook.read_text(encoding="utf-8").replace("](../docs/", "](../")
    if not copy.exists() or copy.read_text(encoding="utf-8") != text:
        copy.write_text(text, encoding="utf-8")

project = "speedup"
author = "The speedup authors"
project_copyright = author
version = release = speedup.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "mathml",
    "notebook_figures",
]
exclude_patterns = ["_build", "generate", "_extensions"]

html_theme = "sphinx_book_theme"
html_title = "speedup"
html_static_path = ["_static"]
html_css_files = ["speedup.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
# A page opened from a file may not read its neighbours, which summaries of what was found would need.
html_show_search_summary = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

# What notebooks show is computed once and kept in the build folder until they change.
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "jupyter_cache")
nb_execution_timeout = 120
# With `-t quick` the first one alone is run, which is enough to see that figures are drawn.
nb_execution_excludepatterns = ["*/0[2-9]_*"] if tags.has("quick") else []  # noqa: F821 - Sphinx has them for us
nb_execution_raise_on_error = True
nb_merge_streams = True
# The scripts of widgets come from a network, and a widget without a running notebook does nothing.
nb_ipywidgets_js = {}

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
autosummary_generate = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes")]

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
