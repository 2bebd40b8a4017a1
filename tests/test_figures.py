"""Figures hold the table's numbers and load nothing."""

import numpy as np

from speedup import estimate
from speedup.figures import speedup_figure


def test_every_curve_of_the_figure_is_a_family_of_the_table():
    table = estimate("googlenet", workers=range(1, 17))
    figure = speedup_figure(table)
    assert len(figure.data) == len(table.families) + 1
    for index, trace in enumerate(figure.data[:-1]):
        np.testing.assert_array_equal(trace.y, table.take(table.family == index).speedup)
    assert list(figure.data[-1].y) == [1, 16]


def test_no_two_curves_differ_by_colour_alone():
    figure = speedup_figure(estimate("googlenet"))
    looks = [(trace.line.color, trace.line.dash, trace.marker.symbol) for trace in figure.data[:-1]]
    assert len(set(looks)) == len(looks)
    by_colour = {trace.line.color: set() for trace in figure.data[:-1]}
    for trace in figure.data[:-1]:
        by_colour[trace.line.color].add((trace.line.dash, trace.marker.symbol))
    in_step = {len(styles) for styles in by_colour.values()} - {5}
    # An all-reduce more.
    assert in_step == {6}


def test_the_upload_button_is_removed_with_the_template():
    assert speedup_figure(estimate("googlenet")).layout.template.layout.modebar.remove == ("sendChartToCloud",)
