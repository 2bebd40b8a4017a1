"""A notebook as a page: executed, converted and opened without a network."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "05_placement.ipynb"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Execute the notebook with figures that need no kernel, and convert it to HTML that loads nothing."""
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLOTLY_RENDERER", "notebook")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
        # Widgets live with their kernel alone; without their state nobody asks a network for their script.
        NotebookClient(notebook, timeout=120, resources=folder, store_widget_state=False).execute()
    exporter = HTMLExporter(mathjax_url="", require_js_url="", mermaid_js_url="", mermaid_layout_elk_js_url="")
    path = tmp_path_factory.mktemp("notebook") / "page.html"
    path.write_text(exporter.from_notebook_node(notebook)[0], encoding="utf-8")
    return path


def test_the_figures_of_a_notebook_draw_on_a_page_without_a_kernel_and_a_network(open_page, page):
    it = open_page(page)
    it.page.wait_for_selector(".barlayer .trace")
    it.page.wait_for_selector(".scatterlayer .trace")
    assert it.page.locator(".js-plotly-plot").count() == 2
    assert it.page.locator(".js-plotly-plot .main-svg").first.bounding_box()["width"] > 300
    assert it.page.locator('[data-title*="hare"], [data-title*="loud"]').count() == 0


def test_the_page_of_a_notebook_has_no_errors_and_asks_for_nothing_but_plotlys_mathjax(open_page, page):
    it = open_page(page)
    it.page.wait_for_selector(".barlayer .trace")
    # Plotly's renderer asks for MathJax, and does without it: no figure here has a formula in it.
    assert [url for url in it.asked_a_network() if "/mathjax/" not in url] == []
    assert [said for said in it.complaints if "net::" not in said] == []
    assert it.page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
