"""Figures hold the numbers of their results, are readable without colour, and load nothing."""

import numpy as np

from speedup import estimate
from speedup.figures import speedup_figure
from speedup.figures.kinds import label_of


def parts(figure, meta):
    return [trace for trace in figure.data if trace.meta == meta]


def test_every_curve_of_the_figure_is_a_kind_of_plan_of_the_table():
    table = estimate("googlenet", workers=range(1, 17))
    curves = {trace.name: trace for trace in parts(speedup_figure(table), "curve")}
    assert len(curves) == len(table.families)
    for index, kind in enumerate(table.families):
        np.testing.assert_array_equal(curves[label_of(kind)].y, table.take(table.family == index).speedup)


def test_no_two_curves_differ_by_colour_alone():
    curves = parts(speedup_figure(estimate("googlenet")), "curve")
    looks = [(trace.line.color, trace.line.dash, trace.marker.symbol) for trace in curves]
    assert len(set(looks)) == len(looks)


def test_the_upload_button_is_removed_with_the_template():
    assert speedup_figure(estimate("googlenet")).layout.template.layout.modebar.remove == ("sendChartToCloud",)
