"""Run by each kernel before its notebook: figures become HTML that leaves Plotly itself to the page."""

from __future__ import annotations

import sys
from typing import Any

import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer

# Widgets need a kernel, which a page has not: notebooks then say how to get them, and show their figures alone.
sys.modules["anywidget"] = None  # type: ignore[assignment]


class InPage(MimetypeRenderer):
    """Shows a figure as a part of a page that has loaded Plotly."""

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, str]:
        """Return the figure as HTML."""
        from speedup.figures import CONFIG  # noqa: PLC0415 - not every notebook has a figure

        html = pio.to_html(fig_dict, config=CONFIG, full_html=False, include_plotlyjs=False, include_mathjax=False)
        return {"text/html": html}


pio.renderers["speedup_docs"] = InPage()
pio.renderers.default = "speedup_docs"
