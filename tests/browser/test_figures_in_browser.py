"""Every figure saved as a page: drawn in a browser without a network, with text where the mouse is."""

import pytest
from drawn import every_figure, parts

from speedup.figures import DARK, TEMPLATE, save_figure

pytestmark = pytest.mark.browser

FIGURES = every_figure()


def opened(open_page, folder, name, width=900):
    it = open_page(save_figure(FIGURES[name], folder / f"{name}.html"), viewport={"width": width, "height": 600})
    it.page.wait_for_selector(".js-plotly-plot .main-svg")
    return it


def box_of(page, selector):
    box = page.locator(selector).first.bounding_box()
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


@pytest.mark.parametrize("width", [900, 360])
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_without_a_network_and_nothing_covers_anything(name, width, open_page, tmp_path):
    it = opened(open_page, tmp_path, name, width)
    page = it.page
    assert it.complaints == []
    assert it.asked_a_network() == []
    assert page.locator(".trace, .hm, .points").count() > 0
    assert page.locator('[data-title*="hare"], [data-title*="loud"]').count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    top = page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout._size.t")
    for title in (".gtitle", ".gtitle-subtitle"):
        left, _, right, bottom = box_of(page, title)
        assert 0 <= left <= right <= width
        assert bottom <= top
    legend = box_of(page, ".legend")
    assert legend[2] <= width
    assert box_of(page, ".x2title" if name == "phases" else ".xtitle")[3] <= legend[1] + 1


def hover(page, x, y):
    """Hold the mouse at a place of a plot, given in the numbers of its axes, and return the text beside it."""
    place = page.evaluate(
        """([x, y]) => {
          const plot = document.querySelector('.js-plotly-plot'), {xaxis, yaxis} = plot._fullLayout;
          const box = plot.getBoundingClientRect();
          const at = (axis, value) => axis._offset + (axis.type === 'category' ? axis.c2p(value) : axis.d2p(value));
          return [box.x + at(xaxis, x), box.y + at(yaxis, y)];
        }""",
        [float(x), float(y)],
    )
    page.mouse.move(place[0] - 40, place[1] + 3)
    page.mouse.move(*place, steps=4)
    page.wait_for_function("document.querySelector('.hoverlayer').textContent.length > 0")
    return page.locator(".hoverlayer").text_content()


@pytest.mark.parametrize("name", ["speedup", "efficiency", "many", "noise", "gradient"])
def test_the_mouse_reads_all_curves_at_its_place(name, open_page, tmp_path):
    curve = parts(FIGURES[name], "curve")[0]
    middle = len(curve.x) // 2
    text = hover(opened(open_page, tmp_path, name).page, curve.x[middle], curve.y[middle])
    assert curve.name in text
    if name == "speedup":
        assert f"{curve.y[middle]:.3g}{curve.customdata[middle]}" in text
        assert "sync-join, all-reduce" in text


def test_the_mouse_reads_a_bar_a_cell_a_point_and_an_outcome(open_page, tmp_path):
    front = parts(FIGURES["front"], "front")[0]
    expected = {
        "limits": (2, 0.4, "computing : "),
        "servers": (0.02, 20, ": speedup "),
        "gantt": (0.9, 0, "worker 0, compute, its batch 0: "),
        "accuracy": (10.0, 10.3, "measured 10.3s"),
        "front": (front.x[0], front.y[0], "distributed server"),
    }
    for name, (x, y, said) in expected.items():
        assert said in hover(opened(open_page, tmp_path, name).page, x, y), name


def test_a_page_can_go_over_to_the_dark_template(open_page, tmp_path):
    page = opened(open_page, tmp_path, "speedup").page
    for template in (DARK, TEMPLATE):
        page.evaluate(
            "template => Plotly.relayout(document.querySelector('.js-plotly-plot'), {template})",
            template.to_plotly_json(),
        )
        fill = page.locator(".main-svg").first.evaluate("paper => getComputedStyle(paper).backgroundColor")
        assert (fill == "rgb(22, 24, 28)") is (template is DARK)


def test_a_kind_of_plan_that_waits_in_the_legend_comes_with_its_band(open_page, tmp_path):
    page = opened(open_page, tmp_path, "speedup").page
    waiting = next(trace for trace in parts(FIGURES["speedup"], "curve") if trace.visible == "legendonly")
    bands = "document.querySelectorAll('.scatterlayer .js-fill').length"
    before = page.evaluate(bands)
    page.locator(".traces", has_text=waiting.name).locator(".legendtoggle").click(force=True)
    page.wait_for_function(f"{bands} === {before + 1}")
