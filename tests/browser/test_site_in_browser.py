"""Pages of the docs, opened from files, without a network."""

import pytest

pytestmark = pytest.mark.browser

NOTEBOOK = "notebooks/01_first_answer.html"
PAGES = [
    "index.html",
    "gallery.html",
    "equations.html",
    "api/answers.html",
    "cli.html",
    "tutorial.html",
    "validation.html",
    NOTEBOOK,
]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_complains_of_nothing_asks_no_network_and_fits(site, open_page, page, width):
    it = open_page(site / page, viewport={"width": width, "height": 800})
    it.page.wait_for_load_state("load")
    assert it.complaints == []
    assert it.asked_a_network() == []
    assert it.page.evaluate("document.documentElement.scrollWidth") <= width


def test_equations_are_drawn_with_brackets_that_stretch(site, open_page):
    it = open_page(site / "equations.html")
    cases = it.page.locator("math mtable").first
    assert cases.bounding_box()["height"] > 30
    fraction = it.page.locator("math mfrac").first.bounding_box()
    letter = it.page.locator("math mi").first.bounding_box()
    assert fraction["height"] > 1.5 * letter["height"]


def test_a_figure_of_a_notebook_is_drawn_and_follows_the_theme(site, open_page):
    it = open_page(site / NOTEBOOK, color_scheme="light")
    it.page.wait_for_selector(".plotly-graph-div .scatterlayer .trace")
    paper = "document.querySelector('.plotly-graph-div')._fullLayout.paper_bgcolor"
    light = it.page.evaluate(paper)
    it.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    it.page.wait_for_function(f"{paper} !== '{light}'")
    assert it.complaints == []


def test_the_search_finds_pages_without_a_server(site, open_page):
    it = open_page(site / "search.html")
    it.page.goto(f"{(site / 'search.html').as_uri()}?q=semaphore")
    it.page.wait_for_selector("#search-results li a")
    assert "semaphore" in it.page.locator("#search-results").inner_text()
    assert it.complaints == []
    assert it.asked_a_network() == []
