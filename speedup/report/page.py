"""One page that holds an answer and all it needs: it works from a mail attachment."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.offline
from plotly.io.json import to_json_plotly

from speedup.figures import CONFIG, DARK, TEMPLATE
from speedup.files import check_writable, write_atomically
from speedup.report import sections
from speedup.report.interactive import what_if
from speedup.report.live import document, formulas_script
from speedup.report.markup import Markup, data, element, inside, script
from speedup.report.model import LiveModel
from speedup.report.pictures import (
    Picture,
    curves_picture,
    efficiency_picture,
    front_picture,
    limits_picture,
    map_picture,
    speedup_picture,
)

if TYPE_CHECKING:
    from pathlib import Path

    import plotly.graph_objects as go

    from speedup.recommendation import Recommendation

MOST_ROWS = 1000
"""Plans that the downloads hold at most."""
# Nothing is asked for from anywhere, whatever a page might hold.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def report_page(answer: Recommendation) -> str:
    """Return the report of a recommendation as one HTML page."""
    model = LiveModel.of(answer)
    found = answer.certainty() if answer.field is not None else None
    plans = (speedup_picture(answer, model), efficiency_picture(answer, model))
    limits, front = limits_picture(answer), front_picture(answer)
    live = (curves_picture(model), map_picture(model))
    kept = _kept(answer, model)
    body = [
        sections.plans(answer, plans),
        sections.why(answer, limits),
        sections.sure(found),
        sections.money(front),
        what_if(answer, model, *live),
        sections.formulas(answer, model),
        sections.rests_on(answer),
        sections.downloads(len(kept), len(answer.table)),
    ]
    held = {"answer": answer.to_dict() | {"rows": kept}}
    drawn = tuple(one for one in (*plans, limits, front, *live) if one is not None)
    return _page(answer, model, answer.headline, body, drawn, held)


def explorer_page(answer: Recommendation) -> str:
    """Return the sliders of a recommendation alone, with the curves and the map that they move, as one HTML page."""
    model = LiveModel.of(answer)
    live = (curves_picture(model), map_picture(model))
    body = [what_if(answer, model, *live)]
    return _page(answer, model, f"Explore {_name(answer)}", body, live, {})


def write_report(answer: Recommendation, path: str | Path) -> Path:
    """Write the report of a recommendation, atomically.

    Args:
        answer: The recommendation.
        path: Where the page goes.

    Returns:
        The path.

    Raises:
        FileError: It cannot be written there.
    """
    return write_atomically(check_writable(path), report_page(answer))


def write_explorer(answer: Recommendation, path: str | Path) -> Path:
    """Write the sliders of a recommendation alone; everything else as ``write_report``.

    Args:
        answer: The recommendation.
        path: Where the page goes.

    Returns:
        The path.

    Raises:
        FileError: It cannot be written there.
    """
    return write_atomically(check_writable(path), explorer_page(answer))


def _kept(answer: Recommendation, model: LiveModel) -> list[dict[str, Any]]:
    """Return the rows of the table, or of a large one those at the counts of the page."""
    table = answer.table
    if len(table) > MOST_ROWS:
        several = max(1, MOST_ROWS // len(table.families))
        steps = model.counts[np.linspace(0, len(model.counts) - 1, min(several, len(model.counts))).round().astype(int)]
        table = table.take(np.isin(table.workers, [*steps, answer.choice.workers]))
    rows: list[dict[str, Any]] = table.to_dict()["rows"]
    return rows


def _page(
    answer: Recommendation,
    model: LiveModel,
    heading: str,
    body: list[Markup],
    pictures: tuple[Picture, ...],
    held: dict[str, Any],
) -> str:
    document_ = {
        "live": document(answer, model),
        "figures": {one.name: _without_template(one.figure) for one in pictures},
        "templates": {"light": _plain(TEMPLATE), "dark": _plain(DARK)},
        "config": CONFIG,
        **held,
    }
    title, _, times = answer.title.partition("\n")
    intro = element("header", element("p", title), element("h1", heading), element("p", times))
    shown = inside(
        element("a", "Skip to the content", href="#main", class_="skip"),
        intro,
        element(
            "main",
            element("noscript", element("p", "Figures and sliders need JavaScript; all else is here.")),
            *body,
            id="main",
        ),
        sections.footer(answer),
        data("data", document_),
        script(plotly.offline.get_plotlyjs()),
        script(f"{formulas_script(model)}{_own('page.js')}"),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{heading} - speedup"),
        element("style", Markup(_own("page.css"))),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', shown), lang='en')}\n"


def _name(answer: Recommendation) -> str:
    profile = answer.table.inputs.profile
    return profile.name if profile else "times given"


def _plain(made: Any) -> dict[str, Any]:  # noqa: ANN401 - of Plotly
    document: dict[str, Any] = json.loads(made.to_json() if hasattr(made, "to_json") else to_json_plotly(made))
    return document


def _without_template(figure: go.Figure) -> dict[str, Any]:
    """Return a figure without the template, which the page holds once and exchanges on a dark screen."""
    document = _plain(figure)
    del document["layout"]["template"]
    return document


def _own(name: str) -> str:
    return resources.files("speedup.report").joinpath(name).read_text(encoding="utf-8")
