"""Figures hold the numbers of their results, are readable without colour, and load nothing."""

import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import plotly.io as pio
import pytest
from drawn import answered, compared, every_figure, parts, priced, pruned, ran, runs, swept, traced
from hypothesis import given, settings
from hypothesis import strategies as st

from speedup import Profile, SpeedupError, Timing, estimate, recommend, simulate
from speedup.errors import MissingExtraError
from speedup.figures import (
    accuracy_figure,
    efficiency_figure,
    front_figure,
    gantt_figure,
    gradient_time_figure,
    limits_figure,
    noise_scale_figure,
    phases_figure,
    save_figure,
    servers_figure,
    spans,
    speedup_figure,
)
from speedup.figures.kinds import ALONE, dash_of, label_of, marker_of
from speedup.figures.template import COLOURS, DARK, TEMPLATE, doublings, logarithmic
from speedup.gradient_time import GradientTime
from speedup.plans import SCHEDULES, Collective, Schedule, ServerKind
from speedup.provenance import Provenance
from speedup.tables import Family
from speedup.validation import Validation

FIGURES = every_figure()


# All figures


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_the_template_without_the_upload_button(name):
    assert FIGURES[name].layout.template.layout.modebar.remove[0] == "sendChartToCloud"
    assert FIGURES[name].layout.template == TEMPLATE


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_titles(name):
    figure = FIGURES[name]
    layout = figure.layout
    assert layout.title.text.startswith("<b>")
    assert layout.title.subtitle.text
    assert any(axis.title.text for axis in figure.select_xaxes())
    assert name == "gantt" or all(axis.title.text for axis in figure.select_yaxes())


def look(trace):
    """Return how a trace looks in the legend on paper without colour."""
    if trace.type == "bar":
        return trace.marker.pattern.shape
    letter = trace.name[0] if len(trace.x) == 1 and trace.x[0] is None else ""
    return trace.mode, trace.line.dash, trace.marker.symbol, trace.fill, letter


@pytest.mark.parametrize("name", FIGURES)
def test_no_two_entries_of_a_legend_differ_by_colour_alone(name):
    entries = [trace for trace in FIGURES[name].data if trace.name and trace.showlegend is not False]
    looks = [look(trace) for trace in entries if trace.type != "heatmap"]
    assert len(set(looks)) == len(looks)


def test_no_two_kinds_of_plan_differ_by_colour_alone():
    modes = ("sync-join", "sync-split", "async")
    kinds = [Family(mode, ServerKind.CENTRAL, one) for mode in modes for one in SCHEDULES if one != "pipelined"]
    kinds += [Family(mode, ServerKind.SHARDED, one) for mode in modes for one in (Schedule.FAIR, Schedule.PIPELINED)]
    kinds += [Family(mode, ServerKind.DISTRIBUTED, Schedule.NONE) for mode in modes]
    kinds += [Family(mode, ServerKind.ALLREDUCE, Schedule.NONE, one) for mode in modes[:2] for one in Collective]
    kinds = [kind for kind in [*kinds, ALONE] if kind.collective != "none" or kind.server != "allreduce"]
    # An all-reduce is either the best one, or named.
    kinds = [kind for kind in kinds if kind.collective != "best"]
    assert len({(dash_of(kind), marker_of(kind)) for kind in kinds}) == len(kinds)
    assert len({label_of(kind) for kind in kinds}) == len(kinds)


def test_the_dark_template_differs_in_colours_of_the_page_alone():
    light, dark = TEMPLATE.layout.to_plotly_json(), DARK.layout.to_plotly_json()
    assert pio.templates["speedup_dark"] == DARK
    assert light.keys() == dark.keys()
    assert list(light["colorway"]) == list(dark["colorway"]) == list(COLOURS)
    assert light["paper_bgcolor"] != dark["paper_bgcolor"]


# Speedup and efficiency


def test_every_curve_of_the_figure_is_a_kind_of_plan_of_the_table():
    table = estimate("googlenet", workers=range(1, 17))
    curves = {trace.name: trace for trace in parts(speedup_figure(table), "curve")}
    assert len(curves) == len(table.families)
    for index, kind in enumerate(table.families):
        np.testing.assert_array_equal(curves[label_of(kind)].y, table.take(table.family == index).speedup)


def test_efficiency_is_speedup_by_workers_with_its_intervals():
    table = answered().table
    speedup, efficiency = speedup_figure(table), efficiency_figure(table)
    for meta in ("curve", "low", "high", "ideal"):
        for one, other in zip(parts(speedup, meta), parts(efficiency, meta), strict=True):
            np.testing.assert_allclose(np.array(one.y) / np.array(one.x), other.y)


def test_bands_are_the_intervals_of_the_table():
    table = estimate("resnet34-xeon-b4", network="10gbit", workers=range(1, 9), cv_grad=0.2)
    figure = speedup_figure(table)
    lows = {trace.legendgroup: trace.y for trace in parts(figure, "low")}
    highs = {trace.legendgroup: trace.y for trace in parts(figure, "high")}
    for index, kind in enumerate(table.families):
        rows = table.take(table.family == index)
        np.testing.assert_array_equal(lows[label_of(kind)], rows.low)
        np.testing.assert_array_equal(highs[label_of(kind)], rows.high)
    assert all(trace.fill == "tonexty" and trace.hoverinfo == "skip" for trace in parts(figure, "high"))


def test_without_intervals_there_are_no_bands():
    figure = speedup_figure(estimate("googlenet"))
    assert not parts(figure, "low")
    assert "interval" not in figure.layout.title.subtitle.text


def test_the_ideal_line_is_as_many_times_as_there_are_workers():
    (ideal,) = parts(speedup_figure(estimate("googlenet", workers=[1, 3, 64])), "ideal")
    np.testing.assert_array_equal(ideal.x, [1, 3, 64])
    np.testing.assert_array_equal(ideal.y, ideal.x)
    assert ideal.line.dash == "dash"


def test_the_best_kinds_come_first_and_the_rest_wait_in_the_legend():
    table = estimate("googlenet", workers=range(1, 17))
    curves = parts(speedup_figure(table), "curve")
    best = [max(trace.y) for trace in curves]
    assert best == sorted(best, reverse=True)
    assert [trace.visible for trace in curves] == [True] * 6 + ["legendonly"] * (len(curves) - 6)


def test_the_choice_is_marked_and_its_kind_shown_first_though_others_are_faster():
    table = estimate("googlenet", workers=range(1, 17), modes="sync-split", servers="central", schedules="worst")
    slow = estimate("googlenet", workers=range(1, 17))
    choice = table[-1]
    figure = speedup_figure(slow, choice=choice)
    (star,) = parts(figure, "choice")
    assert (star.x, star.y) == ((16,), (choice.speedup,))
    assert [shape.x0 for shape in figure.layout.shapes] == [16]
    assert figure.layout.annotations[0].text == f"<b>16 workers: {choice.speedup:.3g}</b>"
    assert parts(figure, "curve")[0].name == "sync-split, central server, worst"
    assert parts(figure, "curve")[0].visible is True


def test_measured_points_lie_on_top_with_their_range():
    table = estimate("resnet34", network="10gbit", workers=range(1, 9), modes="sync-join")
    figure = speedup_figure(table, measured=runs())
    (points,) = parts(figure, "measured")
    drawn = list(figure.data)
    assert drawn.index(points) > max(drawn.index(one) for one in parts(figure, "curve"))
    rate = {count: [128 * 0.821 / one.time_s for one in runs() if one.plan.workers == count] for count in (1, 2, 4)}
    np.testing.assert_array_equal(points.x, [1, 2, 4])
    np.testing.assert_allclose(points.y, [np.mean(rates) for rates in rate.values()])
    np.testing.assert_allclose(np.add(points.y, points.error_y.array), [max(rates) for rates in rate.values()])
    np.testing.assert_allclose(
        np.subtract(points.y, points.error_y.arrayminus), [min(rates) for rates in rate.values()]
    )


def test_runs_of_two_kinds_are_two_kinds_of_points():
    table = estimate("resnet34", network="10gbit", workers=range(1, 9), modes="sync-join")
    both = [ran(2, 60.0), ran(2, 70.0, ServerKind.ALLREDUCE)]
    points = parts(speedup_figure(table, measured=both), "measured")
    assert [one.name for one in points] == [
        "measured: sync-join, distributed server",
        "measured: sync-join, all-reduce",
    ]
    assert points[0].marker.symbol != points[1].marker.symbol


@pytest.mark.parametrize("options", [{"measured_up_to": 4}, {"measured": runs()}])
@pytest.mark.parametrize("workers", [range(1, 9), [1, 2, 4, 8, 64]])
def test_curves_are_dotted_beyond_what_was_measured_and_the_boundary_says_so(options, workers):
    table = estimate("resnet34", network="10gbit", workers=workers, modes="sync-join", servers="distributed")
    figure = speedup_figure(table, **options)
    (near,), (far,) = parts(figure, "curve"), parts(figure, "extrapolated")
    (bridge,) = parts(figure, "bridge")
    assert (bridge.x[0], bridge.x[1]) == (max(near.x), min(far.x))
    assert max(near.x) == 4
    assert (near.line.dash, far.line.dash, far.showlegend) == ("solid", "dot", False)
    np.testing.assert_array_equal([*near.y, *far.y], table.speedup)
    (said,) = figure.layout.annotations
    assert said.text == "measured up to N = 4"
    assert said.x == (np.log10(4) if 64 in workers else 4)
    assert figure.layout.shapes[0].x0 == 4


def test_all_of_a_curve_may_lie_beyond_what_was_measured():
    table = estimate("resnet34", network="10gbit", workers=[4, 8], modes="sync-join", servers="distributed")
    figure = speedup_figure(table, measured_up_to=1)
    assert not parts(figure, "curve")
    assert len(parts(figure, "extrapolated")[0].x) == 2


def test_many_workers_are_on_logarithmic_axes_with_powers_of_two():
    figure = speedup_figure(estimate("squeezenet", workers=range(1, 129), servers="distributed"))
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    np.testing.assert_array_equal(figure.layout.xaxis.tickvals, [1, 2, 4, 8, 16, 32, 64, 128])
    assert speedup_figure(estimate("squeezenet", workers=range(1, 17))).layout.xaxis.type is None


def test_curves_that_lie_on_each_other_are_drawn_one_wider_than_the_other():
    curves = parts(speedup_figure(recommend("squeezenet").table), "curve")[:3]
    np.testing.assert_allclose(curves[0].y, curves[1].y)
    np.testing.assert_allclose(curves[0].y, curves[2].y)
    assert curves[0].line.width > curves[1].line.width > curves[2].line.width


@settings(max_examples=20, deadline=None)
@given(
    t_grad=st.floats(1e-4, 100),
    ratio=st.floats(1e-4, 100),
    most=st.integers(2, 200),
    cv=st.sampled_from([0.0, 0.2]),
)
def test_every_shown_curve_lies_within_the_axes(t_grad, ratio, most, cv):
    counts = sorted({1, 2, most})
    table = estimate(
        t_grad=t_grad, t_comm=ratio * t_grad, workers=counts, cv_grad=cv, method="queueing" if cv else "auto"
    )
    for figure in (speedup_figure(table), efficiency_figure(table)):
        axis = figure.layout.yaxis
        low, high = (10**end if axis.type == "log" else end for end in axis.range)
        for trace in parts(figure, "curve"):
            if trace.visible is True:
                assert low * (1 - 1e-9) <= min(trace.y)
                assert max(trace.y) <= high * (1 + 1e-9)


# What limits


@settings(max_examples=25, deadline=None)
@given(
    ratio=st.floats(1e-3, 10),
    cv=st.sampled_from([None, 0.1]),
    practice=st.sampled_from([{}, {"overlap": "full"}, {"local_steps": 4}, {"per_machine": 2, "intra": 0.01}]),
    mode=st.sampled_from(["sync-join", "sync-split"]),
)
def test_the_terms_above_0_add_up_to_the_iteration(ratio, cv, practice, mode):
    table = estimate(
        t_grad=1.0, t_comm=ratio, cv_grad=cv, modes=mode, servers="distributed", workers=[1, 2, 4, 8], **practice
    )
    bars = limits_figure(table).data
    above = [bar.y for bar in bars if not bar.name.endswith("behind computing")]
    np.testing.assert_allclose(np.sum(above, axis=0), table.t_iter_s)
    below = [bar.y for bar in bars if bar.name.endswith("behind computing")]
    np.testing.assert_allclose(np.sum(below, axis=0), -table.hidden_s if below else 0.0)


def test_limits_are_those_of_the_chosen_kind_or_of_the_fastest():
    table = estimate("resnet34", network="1gbit", workers=range(1, 9))
    choice = next(row for row in table if (row.mode, row.server, row.workers) == ("async", "central", 5))
    assert limits_figure(table, choice=choice).layout.title.subtitle.text == "async, central server, best"
    assert parts(limits_figure(table, choice=choice), "choice")[0].x == ("5",)
    fastest = table[int(np.argmin(table.time_s))]
    assert limits_figure(table).layout.title.subtitle.text.startswith(f"{fastest.mode}, {fastest.server}")


def test_of_many_counts_few_bars_are_drawn_the_choice_among_them():
    table = estimate("squeezenet", workers=range(1, 1001), servers="distributed", modes="sync-join")
    bars = limits_figure(table, choice=table[776]).data[0]
    assert len(bars.x) <= 25
    assert {"1", "777", "1000"} <= set(bars.x)


# The best server


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_cell_is_the_best_plan_of_an_estimate_made_for_it(data):
    options = {"shards": 4, "workers": range(1, 25), "schedules": "mean"}
    ratios = sorted(data.draw(st.lists(st.floats(1e-3, 20), min_size=1, max_size=4, unique=True)))
    cells = servers_figure(estimate(t_grad=2.0, t_comm=0.1, **options), ratios=ratios).data[0]
    column, row = data.draw(st.integers(0, len(ratios) - 1)), data.draw(st.integers(0, 23))
    table = estimate(t_grad=2.0, t_comm=2.0 * ratios[column], **options)
    at = table.take(table.workers == row + 1)
    best, (name, speedup) = at.speedup.max(), cells.customdata[row][column]
    assert float(speedup) == pytest.approx(max(best, 1.0), rel=0.01)
    found = {label_of(at.families[one.family[0]]): one.speedup[0] for one in map(at.take, np.arange(len(at))[:, None])}
    assert (found | {"one worker alone": 1.0})[name] == pytest.approx(max(best, 1.0))


def test_crossovers_run_along_the_edges_of_unlike_cells():
    figure = servers_figure(estimate(t_grad=1.0, t_comm=0.1, workers=[1, 2, 4], servers="distributed"), ratios=[0.1, 9])
    cells, (lines,) = figure.data[0], parts(figure, "crossovers")
    # One worker alone below, and where transfers are long.
    assert [name for name, _ in cells.customdata[0]] == ["one worker alone"] * 2
    ends = [(x, y) for x, y in zip(lines.x, lines.y, strict=True) if x is not None]
    assert all(any(np.isclose(x, edge) for edge in cells.x) for x, _ in ends)
    assert all(any(np.isclose(y, edge) for edge in cells.y) for _, y in ends)


def test_every_region_has_its_letter_and_the_legend_says_what_it_means():
    figure = FIGURES["servers"]
    letters = {text for trace in parts(figure, "letters") for text in trace.text}
    named = {f"<b>{trace.name[0]}</b>" for trace in figure.data if trace.name and ": " in trace.name}
    assert letters == named
    assert len(letters) == len(np.unique(figure.data[0].z))


@pytest.mark.parametrize("ratios", [[], [0.0, 1.0], [-1.0]])
def test_ratios_must_be_above_0(ratios):
    with pytest.raises(SpeedupError, match="ratios must be numbers above 0"):
        servers_figure(estimate("googlenet"), ratios=ratios)


def test_a_run_in_phases_has_no_map_of_its_own():
    with pytest.raises(SpeedupError, match="3 phases of this run have a ratio each"):
        servers_figure(estimate(pruned(), network="1gbit"))


def test_where_times_vary_the_map_is_that_of_queueing_theory():
    options = {"cv_grad": 0.2, "workers": [1, 2, 4], "servers": "distributed", "modes": "sync-join"}
    cells = servers_figure(estimate(t_grad=1.0, t_comm=0.3, **options), ratios=[0.01, 0.1]).data[0]
    expected = estimate(t_grad=1.0, t_comm=0.1, method="queueing", **options).speedup
    np.testing.assert_allclose([float(row[1][1]) for row in cells.customdata], np.maximum(expected, 1), rtol=0.01)


def test_ratios_shorter_than_the_latency_are_refused():
    table = estimate("resnet34", network="10gbit", latency_s=0.01)
    with pytest.raises(SpeedupError, match="latency alone"):
        servers_figure(table, ratios=[1e-3])
    assert len(servers_figure(table, ratios=[1e-3, 1e-1, 1]).data[0].x) == 3


# The chart of an iteration


@pytest.mark.parametrize(
    ("mode", "server"), [("sync-join", "central"), ("sync-split", "distributed"), ("async", "central")]
)
def test_the_bars_are_the_spans_of_the_trace(mode, server):
    run = simulate(
        workers=3,
        batches=9,
        t_grad=1.0,
        t_comm=0.2,
        mode=mode,
        server=server,
        schedule="fair",
        replications=1,
        trace=True,
    )
    drawn = {
        (bar.name, row, base, base + length)
        for bar in gantt_figure(run).data
        for row, base, length in zip(bar.y, bar.base, bar.x, strict=True)
    }
    expected = [(one["activity"], f"worker {one['worker']}", one["began_s"], one["ended_s"]) for one in spans(run)]
    assert len(expected) == len(drawn)
    for one in expected:
        assert any(one[:2] == other[:2] and np.allclose(one[2:], other[2:]) for other in drawn)


def test_a_worker_does_one_thing_at_a_time():
    for worker in range(3):
        own = sorted((one["began_s"], one["ended_s"]) for one in spans(traced()) if one["worker"] == worker)
        assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(own))


def test_a_simulation_without_a_trace_says_how_to_keep_one():
    with pytest.raises(SpeedupError, match="trace=True"):
        simulate(workers=2, batches=4, t_grad=1.0, t_comm=0.5, replications=1).plot()


# Predicted and measured


def test_points_are_the_rows_with_their_intervals():
    rows = compared()
    figure = accuracy_figure(rows)
    for name, points in zip(("central", "distributed"), parts(figure, "measured"), strict=True):
        own = [row for row in rows if row["server"] == name]
        assert points.name == name
        np.testing.assert_allclose(points.x, [row["predicted_s"] for row in own])
        np.testing.assert_allclose(points.y, [row["measured_s"] for row in own])
        np.testing.assert_allclose(np.add(points.x, points.error_x.array), [row["predicted_high_s"] for row in own])
        np.testing.assert_allclose(
            np.subtract(points.x, points.error_x.arrayminus), [row["predicted_low_s"] for row in own]
        )
    (equal,), (low,), (high,) = (parts(figure, meta) for meta in ("equal", "low", "high"))
    np.testing.assert_array_equal(equal.x, equal.y)
    np.testing.assert_allclose(low.y, 0.9 * np.array(low.x))
    np.testing.assert_allclose(high.y, 1.1 * np.array(high.x))
    assert figure.layout.title.subtitle.text == "8 runs, median error 3.0%, at most 3%"


def test_rows_may_lack_intervals_and_be_grouped_by_any_column():
    rows = [{"source": name, "predicted_s": "2.0", "measured_s": "1.9"} for name in ("a", "b")]
    assert [one.name for one in parts(accuracy_figure(rows, by="source"), "measured")] == ["a", "b"]


def test_a_comparison_needs_rows_and_a_column_that_is_there():
    with pytest.raises(SpeedupError, match="rows is empty"):
        accuracy_figure([])
    with pytest.raises(SpeedupError, match='by = "colour" is no column; there are server'):
        accuracy_figure(compared(), by="colour")


# The gradient of a batch


def test_medians_and_samples_are_those_of_the_profile():
    profile = swept()
    figure = gradient_time_figure(profile)
    (medians,), (samples,) = parts(figure, "measured"), parts(figure, "samples")
    np.testing.assert_allclose(medians.y, [one.median_s for one in profile.t_grad])
    np.testing.assert_allclose(np.add(medians.y, medians.error_y.array), [one.high_s for one in profile.t_grad])
    np.testing.assert_allclose(sorted(samples.y), sorted(s for one in profile.t_grad for s in one.samples_s))


def test_the_curve_is_the_fit_and_dotted_beyond_what_was_measured():
    profile = swept()
    figure, time = gradient_time_figure(profile), GradientTime.of(profile)
    for curve in parts(figure, "curve"):
        np.testing.assert_allclose(curve.y, time.seconds(curve.x))
        inside = curve.line.dash == "solid"
        assert all((8 <= size <= 64) == inside for size in curve.x[1:-1])
    (low,), (high,) = parts(figure, "low"), parts(figure, "high")
    for band, end in ((low, "low_s"), (high, "high_s")):
        np.testing.assert_allclose(band.y, [getattr(time.predict(int(size)), end) for size in band.x])


def test_odd_batches_have_a_curve_of_their_own_where_they_take_longer():
    def times(share):
        taken = {b: (0.02 + 0.01 * b) * (1 + share * (b % 2)) for b in (4, 8, 15, 16, 31, 32)}
        return tuple(Timing(median_s=t, batch=b, provenance=Provenance.MEASURED) for b, t in taken.items())

    apart, together = (replace(swept(), t_grad=times(share)) for share in (0.1, 0.0))
    (odd,) = (trace for trace in gradient_time_figure(apart).data if trace.name == "fitted, odd batches")
    assert all(size % 2 == 1 for size in odd.x)
    np.testing.assert_allclose(odd.y, (0.02 + 0.01 * np.array(odd.x)) * 1.1, rtol=0.02)
    assert all("odd" not in (trace.name or "") for trace in gradient_time_figure(together).data)


def test_a_single_batch_size_is_dotted_everywhere():
    (curve,) = parts(gradient_time_figure(Profile.load("squeezenet-xeon-b16")), "curve")
    assert (curve.name, curve.line.dash) == ("assumed", "dot")


def test_a_profile_without_batch_sizes_says_so():
    with pytest.raises(SpeedupError, match="states its batch size"):
        Profile.load("resnet34").plot()


# What a larger batch buys


@given(st.floats(0.5, 1e6))
def test_at_the_noise_scale_steps_and_samples_are_twice_the_least(noise):
    steps, samples = noise_scale_figure(noise).data
    at = np.argmin(np.abs(np.log(np.array(steps.x) / noise)))
    if np.isclose(steps.x[at], noise):
        np.testing.assert_allclose([steps.y[at], samples.y[at]], 2.0, rtol=1e-4)
    # What one saves, the other pays: the trade-off is a hyperbola.
    np.testing.assert_allclose((np.array(steps.y) - 1) * (np.array(samples.y) - 1), 1.0)


def test_time_on_one_worker_is_that_of_the_sweep_by_its_least():
    time = GradientTime.of(swept())
    curve = next(one for one in noise_scale_figure(500, gradient_time=time).data if one.name == "time on one worker")
    seconds = time.seconds(curve.x) * (1 + 500 / np.array(curve.x))
    np.testing.assert_allclose(curve.y, seconds / seconds.min())


def test_a_noise_scale_that_is_not_resolved_is_refused():
    from speedup.efficiency import NoiseScale

    with pytest.raises(SpeedupError, match="not resolved"):
        noise_scale_figure(NoiseScale(provenance="measured"))


# A run in phases


def test_phases_are_steps_over_the_batches_of_the_run():
    profile = pruned()
    payload, t_grad = parts(phases_figure(profile), "curve")
    np.testing.assert_array_equal(payload.x, [0, 400, 800, 1200])
    np.testing.assert_array_equal(payload.y[:-1], [one.payload_bytes for one in profile.phases])
    np.testing.assert_array_equal(t_grad.y[:-1], [one.t_grad.median_s for one in profile.phases])
    assert "33% of the weights" in payload.customdata[-1]


def test_a_profile_without_phases_says_what_writes_them():
    with pytest.raises(SpeedupError, match="speedup train --profile"):
        phases_figure(Profile.load("squeezenet"))


# Time and cost


def test_the_front_the_choice_and_the_refused_are_those_of_the_recommendation():
    answer = priced()
    figure = front_figure(answer)
    (front,), (refused,), (star,) = (parts(figure, meta) for meta in ("front", "refused", "choice"))
    np.testing.assert_array_equal(front.x, [one.time_s for one in answer.front])
    np.testing.assert_array_equal(front.y, [one.cost for one in answer.front])
    np.testing.assert_array_equal(refused.x, [one.time_s for one in answer.refused])
    assert refused.marker.symbol.endswith("open")
    assert all(one.reason in text for one, text in zip(answer.refused, refused.customdata, strict=True))
    assert (star.x, star.y) == ((answer.outcomes[0].time_s,), (answer.outcomes[0].cost,))


def test_no_plan_that_may_be_chosen_lies_below_the_front():
    figure = front_figure(priced())
    (front,), (others,) = parts(figure, "front"), parts(figure, "others")
    for time_s, cost in zip(others.x, others.y, strict=True):
        as_fast = [one for one, when in zip(front.y, front.x, strict=True) if when <= time_s * (1 + 1e-9)]
        assert as_fast
        assert min(as_fast) <= cost * (1 + 1e-9)


def test_without_a_price_there_is_no_front():
    with pytest.raises(SpeedupError, match=r"recommend\(\.\.\., price=2\.5\)"):
        front_figure(recommend("squeezenet"))


# Results draw themselves


def test_plot_is_the_figure_of_the_result():
    answer, paid, run = answered(), priced(), traced()
    validation = Validation((), None)
    assert answer.plot() == speedup_figure(answer.table, choice=answer.choice)
    assert answer.table.plot() == speedup_figure(answer.table)
    assert paid.plot() == front_figure(paid)
    assert run.plot() == gantt_figure(run)
    assert swept().plot() == gradient_time_figure(swept())
    assert pruned().plot() == phases_figure(pruned())
    with pytest.raises(SpeedupError, match="rows is empty"):
        validation.plot()


def test_a_time_with_a_price_is_drawn_as_speedups():
    answer = recommend("squeezenet", network="1gbit", price=2.5)
    assert answer.plot() == speedup_figure(answer.table, choice=answer.choice)


def test_a_choice_of_another_batch_size_is_drawn_among_its_own_plans():
    answer = recommend("squeezenet-xeon-b16", network="1gbit", batch=[8, 16], max_workers=4, cv_grad=0.0)
    assert parts(answer.plot(), "choice")[0].y[0] == answer.choice.speedup


# Files


def test_a_page_needs_no_network_and_works_on_a_phone(tmp_path):
    page = save_figure(FIGURES["limits"], tmp_path / "a.html").read_text()
    assert '<script src="http' not in page
    assert "width=device-width" in page
    assert "<title>Parts of an iteration</title>" in page
    assert '"showSendToCloud": false' in page


def test_a_figure_of_an_unknown_kind_of_file_is_refused(tmp_path):
    with pytest.raises(SpeedupError, match=r"a figure is written as \.html, \.svg, \.png or \.pdf"):
        save_figure(FIGURES["limits"], tmp_path / "a.gif")


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium on this machine: apt-get install chromium")
@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_an_image_is_written(kind, begins, tmp_path):
    pytest.importorskip("kaleido", reason="pip install speedup-toolkit[image]")
    assert save_figure(FIGURES["gantt"], tmp_path / f"a.{kind}").read_bytes().startswith(begins)


def test_a_missing_kaleido_is_named_with_what_to_install(tmp_path):
    script = (
        "import sys\nsys.modules['kaleido'] = None\nimport speedup\nfrom speedup.figures import save_figure\n"
        "from speedup.errors import MissingExtraError\n"
        f"try:\n    save_figure(speedup.estimate('googlenet').plot(), {str(tmp_path / 'a.png')!r})\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 'pip install "speedup-toolkit[image]"' in done.stdout
    assert "apt install chromium" in done.stdout
    assert MissingExtraError.exit_code == 4


# Axes


@given(low=st.floats(1e-6, 1e6), span=st.floats(1.0, 1e6))
def test_ticks_of_a_logarithmic_axis_are_few_and_within_it(low, span):
    axis = logarithmic([low, low * span], lambda value: f"{value:g}")
    ends = 10 ** np.array(axis["range"])
    assert 1 <= len(axis["tickvals"]) <= 12
    assert all(ends[0] * (1 - 1e-9) <= tick <= ends[1] * (1 + 1e-9) for tick in axis["tickvals"])
    assert len(axis["ticktext"]) == len(axis["tickvals"])


@given(low=st.floats(1e-3, 1e3), span=st.floats(4.0, 1e6))
def test_doublings_are_powers_of_two_within_their_range(low, span):
    ticks = doublings(low, low * span)
    assert 1 <= len(ticks) <= 10
    np.testing.assert_array_equal(np.log2(ticks), np.round(np.log2(ticks)))
    assert low * (1 - 1e-6) <= ticks[0]
    assert ticks[-1] <= low * span * (1 + 1e-6)
