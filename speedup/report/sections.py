"""The sections of the page, each from what an answer holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedup import __version__
from speedup.cases import describe
from speedup.errors import PlanError
from speedup.explanation import explanation_of
from speedup.formulas import QUANTITIES, symbols
from speedup.report.markup import Markup, element, listed, table
from speedup.report.mathml import mathml
from speedup.report.numbers import HEAD, origins
from speedup.tables import FORMULAS
from speedup.units import show_seconds

if TYPE_CHECKING:
    from sympy import Expr

    from speedup.certainty import Certainty
    from speedup.explanation import Explanation
    from speedup.recommendation import Recommendation
    from speedup.report.model import LiveModel
    from speedup.report.pictures import Picture

_SHOWN = 8


def section(identity: str, title: str, *children: object) -> Markup:
    """Return a section with its heading."""
    heading = element("h2", title, id=f"{identity}-title")
    return element("section", heading, *children, id=identity, aria_labelledby=f"{identity}-title")


def plans(answer: Recommendation, pictures: tuple[Picture, ...]) -> Markup:
    """Return the choice and the best plan of every other kind, and the curves."""
    head, *rows = answer.cells()
    caption = "First the choice, then the best plan of every other kind"
    shown = table(head, [*rows], caption=caption, chosen=0, id_="plans-table")
    return section("plans", "Plans", shown, *(one.markup() for one in pictures), _stages(answer), _refused(answer))


def _stages(answer: Recommendation) -> Markup:
    if len(answer.stages) < 2:
        return Markup()
    rows: list[tuple[object, ...]] = [
        (one.name, describe(one.plan), show_seconds(one.plan.time_s), show_seconds(one.switch_s))
        for one in answer.stages
    ]
    return table(("phases", "plan", "time", "going over to it"), rows, caption="The fastest sequence of plans")


def _refused(answer: Recommendation) -> Markup:
    if not answer.refused:
        return Markup()
    rows: list[tuple[object, ...]] = [(describe(one.plan), one.reason) for one in answer.refused]
    return table(("plan", "why not"), rows, caption="Better, but not possible", wordy=True)


def why(answer: Recommendation, picture: Picture | None) -> Markup:
    """Return the reasons, and what limits."""
    return section(
        "why", "Why, and what would change the answer", listed(answer.reasons), picture.markup() if picture else ""
    )


def sure(found: Certainty | None) -> Markup:
    """Return how sure the choice is, and what it depends on."""
    if found is None:
        return Markup()
    return section("sure", "How sure", listed(found.sentences()), _contenders(found), _sources(found))


def _contenders(found: Certainty) -> Markup:
    rows: list[tuple[object, ...]] = [
        (
            describe(one.plan),
            f"{one.probability:.0%}",
            f"{one.expected_regret:.1%}",
            f"{one.by_t_grad:+.2f}%",
            f"{one.by_t_comm:+.2f}%",
        )
        for one in found.contenders[:_SHOWN]
    ]
    head = ("plan", "best with", "above the best", "for 1% more t_grad", "for 1% more t_comm")
    return table(head, rows, caption="Plans that may be the best, and how their time depends on t_grad and t_comm")


def _sources(found: Certainty) -> Markup:
    rows: list[tuple[object, ...]] = [
        (str(one.source), f"{one.doubt:.0%}", f"{one.value:.2%}", one.sentence) for one in found.sources
    ]
    if not rows:
        return Markup()
    head = ("in doubt", "by about", "worth knowing", "what to do")
    return table(head, rows, caption="What is not known exactly, and what it would save to know it", wordy=True)


def money(picture: Picture | None) -> Markup:
    """Return the plans that no other beats in time and in cost."""
    return Markup() if picture is None else section("money", "Time and money", picture.markup())


def formulas(answer: Recommendation, model: LiveModel) -> Markup:
    """Return the formula of the choice, with its number, and with the numbers put in."""
    told = _explained(answer, model)
    if told is None:
        return Markup()
    constant = float(told.expression.subs(told.values))
    lines: list[object] = [element("p", _which(answer, constant))]
    if told.exchange is not None:
        lines += [*_equation("t_net", told.exchange, told.numbers[1], told), _value(told.values[symbols.t_net])]
    lines += [*_equation("t_train", told.expression, told.numbers[0], told), _value(constant)]
    return section("formulas", "The formula of the choice", *lines, _speedup(answer, constant), _notations(told))


def _explained(answer: Recommendation, model: LiveModel) -> Explanation | None:
    """Return the formula of the choice; None where it has none, or one for each phase."""
    if answer.table.phases:
        return None
    inputs, centre = model.centred(answer.table.inputs)
    method = answer.table.method if answer.table.method in FORMULAS else "exact"
    try:
        return explanation_of(answer.choice, inputs, method, centre=centre)
    except PlanError:
        return None


def _which(answer: Recommendation, constant: float) -> str:
    plan = answer.choice
    said = f"{describe(plan).capitalize()}, equation {plan.equation}."
    if abs(constant / plan.time_s - 1) > 1e-9:
        said += (
            f" The table's {show_seconds(plan.time_s)} is by {plan.method}; this is the formula of constant times, "
            f"which gives {show_seconds(constant)}."
        )
    return said


def _equation(left: str, expression: Expr, number: str, told: Explanation) -> list[Markup]:
    """Return an equation with its number, and below it with the numbers put in."""
    plain, filled = mathml(left, expression), mathml(left, expression, told.values)
    words = f"Formula of {left}, equation {number}"
    box = {"class_": "box equation", "tabindex": "0", "role": "group"}
    return [
        element("div", plain, element("span", f"({number})"), aria_label=words, **box),
        element("div", filled, aria_label=f"{words}, with its numbers", **box),
    ]


def _value(seconds: float) -> Markup:
    return element("p", f"= {seconds:.6g} s", class_="value")


def _speedup(answer: Recommendation, constant: float) -> Markup:
    plan = answer.choice
    alone = plan.batches * plan.t_grad_s
    said = f"Speedup (4.23): D t_grad / t_train = {alone:.6g} s / {constant:.6g} s = {alone / constant:.4g}."
    return element("p", said)


def _notations(told: Explanation) -> Markup:
    rows: list[tuple[object, ...]] = [
        (one.symbol.name, f"{told.values[one.symbol]:.6g}{'' if one.unit == '1' else ' ' + one.unit}", one.meaning)
        for one in QUANTITIES
        if one.symbol in told.values
    ]
    return table(("symbol", "value", "meaning"), rows, caption="What the symbols stand for", wordy=True)


def rests_on(answer: Recommendation) -> Markup:
    """Return the assumptions, and where every number comes from."""
    rows: list[tuple[object, ...]] = list(origins(answer))
    numbers = table(HEAD, rows, caption="Where the numbers come from", wordy=True, id_="numbers-table")
    rest = element("p", "All other numbers are computed from these, by the equations that the tables name.")
    return section("rests-on", "What it rests on", listed(answer.validity), numbers, rest)


def downloads(rows: int, of: int) -> Markup:
    """Return the buttons that save what the page holds."""
    left_out = "" if rows == of else f" They hold {rows:,} of the {of:,} plans that were considered."
    buttons = (
        element("button", "Table as CSV", type="button", id="save-csv"),
        " ",
        element("button", "Recommendation as JSON", type="button", id="save-json"),
    )
    note = element("p", f"One plan a row, one fact a column, SI units.{left_out}")
    return section("downloads", "Download", element("p", *buttons), note)


def footer(answer: Recommendation) -> Markup:
    """Return what made the page, and from what."""
    profile = answer.table.inputs.profile
    said = f"speedup {__version__}"
    if profile is not None:
        made = f", calibrated {profile.created}" if profile.created else ""
        source = f", {profile.source}" if profile.source else ""
        said += f"; profile {profile.name}{made}{source}"
    return element("footer", element("p", said, ". This page needs no network."))
