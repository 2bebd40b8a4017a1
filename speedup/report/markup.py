"""HTML whose text is escaped unless it is known to be markup."""

from __future__ import annotations

import html
import json
from typing import Any

_VOID = {"input", "meta", "br", "link"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element; children that are no ``Markup``, and all attributes, are escaped.

    Args:
        name: Its name.
        children: Text or ``Markup``, one after another.
        attributes: By name, an underscore for a hyphen and one at the end left out; True for one without a value, None
            or False for none.

    Example:
        >>> print(element("p", "1 < 2", element("b", "!"), class_="note", hidden=True))
        <p class="note" hidden>1 &lt; 2<b>!</b></p>
    """
    said = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        said.append(f" {written}" if value is True else f' {written}="{html.escape(str(value))}"')
    start = f"<{name}{''.join(said)}>"
    return Markup(start if name in _VOID else f"{start}{inside(*children)}</{name}>")


def inside(*children: object) -> Markup:
    """Return children one after another, escaped unless they are ``Markup``."""
    return Markup("".join(one if isinstance(one, Markup) else html.escape(str(one)) for one in children))


def listed(lines: tuple[str, ...] | list[str]) -> Markup:
    """Return lines as a list."""
    return element("ul", *(element("li", line) for line in lines))


def table(
    head: tuple[str, ...],
    rows: list[tuple[object, ...]],
    *,
    caption: str,
    label: str | None = None,
    chosen: int | None = None,
    wordy: bool = False,
    id_: str | None = None,
) -> Markup:
    """Return a table in a box that scrolls by itself; the first cell of a row names it.

    Args:
        head: Its columns.
        rows: Cells, text or ``Markup``.
        caption: What it shows.
        label: The same without markup, if the caption has any.
        chosen: The row that is marked.
        wordy: Whether the last column holds sentences.
        id_: Of the table.
    """
    titles = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell) for cell in row[1:]),
            class_="chosen" if index == chosen else None,
        )
        for index, row in enumerate(rows)
    ]
    parts = (element("caption", caption), element("thead", titles), element("tbody", *body))
    made = element("table", *parts, id=id_, class_="wordy" if wordy else None)
    # Keyboards scroll what has the focus alone.
    return element("div", made, class_="box", tabindex="0", role="region", aria_label=label or caption)


def data(identity: str, document: Any) -> Markup:  # noqa: ANN401 - anything JSON has
    r"""Return a document as JSON that a script reads and no text in it can end.

    Example:
        >>> print(data("a", ["</script>"]))
        <script type="application/json" id="a">["\u003c/script\u003e"]</script>
    """
    return element("script", Markup(_safe(json.dumps(document, allow_nan=False))), type="application/json", id=identity)


def script(code: str) -> Markup:
    """Return code of ours as a script; what would end it early is refused.

    Raises:
        ValueError: There is such text in it.
    """
    if "</script" in code.lower() or "<!--" in code:
        raise ValueError("a script holds text that would end it.")
    return element("script", Markup(code))


def _safe(text: str) -> str:
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
