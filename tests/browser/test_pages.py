"""Figures saved as pages, in a browser."""

import pytest

import speedup
from speedup.figures import save_figure, speedup_figure

pytestmark = pytest.mark.browser


def test_a_saved_figure_draws_without_a_network(open_page, tmp_path):
    path = save_figure(speedup_figure(speedup.estimate("resnet34", network="1gbit", workers=4)), tmp_path / "a.html")
    it = open_page(path)
    it.page.wait_for_selector(".scatterlayer .trace")
    assert it.complaints == []
    assert it.asked_a_network() == []
    assert it.page.locator('[data-title*="hare"], [data-title*="loud"]').count() == 0
