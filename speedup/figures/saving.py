"""A figure as a file: a page that needs no network, or an image."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from speedup.errors import MissingExtraError, UnitError
from speedup.figures.template import CONFIG
from speedup.files import check_writable, write_atomically, write_bytes_atomically

if TYPE_CHECKING:
    from pathlib import Path

    import plotly.graph_objects as go

_IMAGES = (".svg", ".png", ".pdf")
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>html, body {{ margin: 0; height: 100% }}</style>
</head>
<body>{figure}</body>
</html>
"""


def save_figure(figure: go.Figure, path: str | Path) -> Path:
    """Write a figure, atomically: ``.html`` is one self-contained page, ``.svg``, ``.png`` and ``.pdf`` are images.

    Args:
        figure: Any figure of Plotly.
        path: Where to.

    Returns:
        The path.

    Raises:
        UnitError: The name ends in none of these.
        FileError: It cannot be written there.
        MissingExtraError: An image is asked for, and kaleido or a Chrome is missing.

    Example:
        >>> import tempfile
        >>> from speedup import estimate
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_figure(estimate("squeezenet").plot(), folder + "/curves.html").name
        'curves.html'
    """
    target = check_writable(path)
    kind = target.suffix.lower()
    if kind == ".html":
        return write_atomically(target, _page(figure))
    if kind not in _IMAGES:
        raise UnitError(f"{target}: a figure is written as .html, {', '.join(_IMAGES[:-1])} or {_IMAGES[-1]}.")
    return write_bytes_atomically(target, _image(figure, kind[1:]))


def _page(figure: go.Figure) -> str:
    drawn = figure.to_html(
        include_plotlyjs=True, full_html=False, config=CONFIG, default_width="100%", default_height="100%"
    )
    title = re.sub(r"<br>", " ", figure.layout.title.text or "figure")
    return _PAGE.format(title=html.escape(re.sub(r"<[^>]*>", "", title)), figure=drawn)


def _image(figure: go.Figure, kind: str) -> bytes:
    try:
        return bytes(figure.to_image(format=kind, width=figure.layout.width or 900, height=figure.layout.height or 550))
    except (ImportError, ValueError, RuntimeError) as error:
        if not re.search("kaleido|chrome|browser", f"{type(error).__name__} {error}", re.IGNORECASE):
            raise
        raise MissingExtraError(
            f'a figure as .{kind} needs kaleido and Chrome or Chromium. Run: pip install "speedup-toolkit[image]", and '
            "plotly_get_chrome, or apt install chromium, or set BROWSER_PATH. A page needs neither: name it .html."
        ) from error
