"""Maths as MathML, written while the pages are built: pages need no script for it, and no network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator


def mathml(latex: str, display: str) -> str:
    """Return LaTeX as MathML, with the source kept for those who copy it."""
    # A row sep that is glued to the cell after it, as SymPy prints it, is read as one word.
    return convert(re.sub(r"\\\\(?=\S)", r"\\\\ ", latex.strip()), display=display)


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write maths within a line."""
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed equation, which scrolls by itself where it is wider than the page."""
    self.body.append(self.starttag(node, "div", CLASS="equation", tabindex="0"))
    self.body.append(mathml(node.astext(), "block") + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
