"""The sliders of the page, what they say of themselves, and the places that the script fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speedup.doubts import doubts_of
from speedup.report.live import DRAWS, differs_from_run, sliders
from speedup.report.markup import Markup, element, table
from speedup.report.sections import section

if TYPE_CHECKING:
    from speedup.recommendation import Recommendation
    from speedup.report.model import LiveModel
    from speedup.report.pictures import Picture


def what_if(answer: Recommendation, model: LiveModel, curves: Picture, best: Picture) -> Markup:
    """Return the sliders and what they move."""
    how = "Move the sliders; with the keyboard, arrow keys, Page Up and Page Down. "
    now = element("span", "Best of these plans now: ")
    where = (
        "t_grad is varied along the axis, all else is as the sliders say. One worker alone stands where no plan of so "
        "many workers is better."
    )
    return section(
        "what-if",
        "What if",
        element("p", how, _what_they_compute(answer, model)),
        _controls(sliders(model)),
        element("p", now, element("output", id="live-answer"), class_="answer"),
        element("p", element("output", id="live-times")),
        _kinds_now(answer),
        element("h3", "Speedup with these numbers"),
        curves.markup(),
        element("p", _band_words(model)),
        element("h3", "Which kind of plan is best where"),
        best.markup(),
        element("p", where),
    )


def _kinds_now(answer: Recommendation) -> Markup:
    """Return the table that the script fills with every kind of plan."""
    goal = answer.goal
    head: tuple[str, ...] = ("kind of plan", "speedup", "efficiency", "time of the run")
    head += ("to target" if goal.to_target else "with failures",) * differs_from_run(goal)
    head += ("cost",) * (goal.price is not None)
    caption = Markup("At N = " + element("span", id="live-count"))
    return table(head, [], caption=caption, label="Kinds of plan at N workers", id_="live-table")


def _band_words(model: LiveModel) -> str:
    doubts = doubts_of(model.table.inputs)
    longer = doubts.t_comm_median
    median = f" about {longer:.3g} times the number stated" if longer > 1 else ""
    return (
        f"The band holds 90 % of up to {DRAWS} draws of t_grad and t_comm about the numbers of the sliders: t_grad off "
        f"by {doubts.t_grad:.0%}, t_comm by {doubts.t_comm:.0%}{median}."
    )


def _controls(sliders: list[dict[str, Any]]) -> Markup:
    rows = []
    for one in sliders:
        steps = one.get("of")
        ends = (0, len(steps) - 1, steps.index(one["start"])) if steps else (-100, 100, 0)
        parts = (
            element("label", one["label"], for_=one["id"]),
            element("input", type="range", id=one["id"], min=ends[0], max=ends[1], value=ends[2], step=1),
            element("output", id=f"{one['id']}-value", for_=one["id"]),
        )
        rows.append(element("div", *parts, class_="slider"))
    reset = element("button", "Back to the start", type="button", id="back")
    return element("form", *rows, reset, id="sliders", autocomplete="off")


def _what_they_compute(answer: Recommendation, model: LiveModel) -> Markup:
    """Say what the sliders compute, and how that differs from the answer."""
    said = (
        "They evaluate the formulas of constant times for the kinds of plan of this page, the same that Python uses, "
        "printed to JavaScript."
    )
    missing = model.missing()
    if missing:
        said += f" The formulas do not have: {'; '.join(missing)}."
    if model.exact:
        said += " They start at the numbers of the answer."
    else:
        said += (
            f" So they start at the formulas' values, whose times differ from those of the answer by up to "
            f"{model.difference:.0%}; what they call the best may differ, too."
        )
    if not answer.goal.by_time:
        said += (
            " What turns time into what is wanted (machines paid for, samples to the target, failures) stays as it is."
        )
    if answer.field is not None and answer.field.judged.room is not None:
        said += " Whether a plan fits into memory, and its traffic onto a server's link, is not worked out anew."
    if answer.considered > len(answer.table):
        said += (
            f" Of the batch sizes that were considered they have that of the choice alone, {model.table.inputs.batch}."
        )
    return element("span", said)
