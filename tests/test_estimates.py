"""The table of estimates: invariants, ranges, refusals, formats."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import line, swept

import speedup
from speedup import SpeedupError, estimate
from speedup.formulas.symbols import D, N, t_comm, t_grad
from speedup.tables import COLUMNS, Status

seconds = st.floats(1e-6, 1e4)
batches = st.integers(1, 500)
METHODS = ("thesis", "exact")
THESIS = {"method": "thesis"}
CENTRAL = {"servers": "central"}


def frame(**options):
    return estimate(**options).to_frame()


def times_by_schedule(table):
    return table.pivot_table(index=["mode", "workers"], columns="schedule", values="time_s")


@given(seconds, seconds, batches, st.sampled_from(METHODS))
def test_best_mean_worst_stand_in_order_up_to_one_batch_a_worker(grad, comm, count, method):
    table = frame(t_grad=grad, t_comm=comm, batches=count, workers=range(1, count + 1), method=method, **CENTRAL)
    times = times_by_schedule(table)
    assert (times["best"] <= times["mean"] * (1 + 1e-12)).all()
    assert (times["mean"] <= times["worst"] * (1 + 1e-12)).all()
    assert (times["semaphore"] == times["best"]).all()


@given(seconds, seconds, batches)
def test_beyond_one_batch_a_worker_the_printed_order_may_break_and_the_status_says_so(grad, comm, count):
    workers = range(count + 1, 3 * count + 3)
    table = frame(t_grad=grad, t_comm=comm, batches=count, workers=workers, modes="async", **CENTRAL, **THESIS)
    assert (table.status == "idle-workers").all()
    exact = frame(t_grad=grad, t_comm=comm, batches=count, workers=workers, method="exact", **CENTRAL)
    times = times_by_schedule(exact)
    assert (times["best"] <= times["worst"] * (1 + 1e-12)).all()


def test_the_printed_best_does_exceed_the_printed_worst_there():
    table = frame(t_grad=1.0, t_comm=1e-3, batches=4, workers=9, modes="async", **CENTRAL, **THESIS)
    times = times_by_schedule(table)
    assert (times["best"] > times["worst"]).all()


@given(seconds, seconds, batches, st.lists(st.integers(1, 300), min_size=1, max_size=9), st.sampled_from(METHODS))
def test_speedup_never_exceeds_the_workers(grad, comm, count, workers, method):
    table = estimate(t_grad=grad, t_comm=comm, batches=count, workers=workers, method=method)
    assert (table.speedup <= table.workers * (1 + 1e-12)).all()
    assert (table.efficiency <= 1 + 1e-12).all()
    np.testing.assert_allclose(table.speedup * table.time_s, count * grad, rtol=1e-12)


@given(seconds, seconds, st.floats(1.0, 100.0), batches, st.sampled_from(METHODS))
def test_a_slower_link_never_makes_a_run_shorter(grad, comm, factor, count, method):
    fast = estimate(t_grad=grad, t_comm=comm, batches=count, method=method)
    slow = estimate(t_grad=grad, t_comm=comm * factor, batches=count, method=method)
    assert (slow.time_s >= fast.time_s * (1 - 1e-12)).all()


@given(seconds, seconds, batches, st.integers(1, 64))
def test_every_row_is_the_value_of_its_formula(grad, comm, count, workers):
    for row in estimate(t_grad=grad, t_comm=comm, batches=count, workers=workers, **THESIS):
        schedule = None if row.server == "distributed" else row.schedule
        expression = speedup.formula(row.mode, row.server, schedule=schedule)
        want = expression.subs({N: workers, D: count, t_grad: grad, t_comm: comm})
        assert row.time_s == pytest.approx(float(want), rel=1e-12)


@given(seconds, seconds, batches, st.integers(1, 64))
def test_whole_batches_never_take_less_than_the_printed_fractions_when_nobody_idles(grad, comm, count, workers):
    options = {
        "t_grad": grad,
        "t_comm": comm,
        "batches": count,
        "workers": min(workers, count),
        "schedules": "worst",
        "servers": ("central", "distributed"),
    }
    printed, exact = estimate(**options, **THESIS), estimate(**options, method="exact")
    distributed = printed.by_family(lambda family: family.server == "distributed")
    assert (exact.time_s[distributed] >= printed.time_s[distributed] * (1 - 1e-12)).all()
    if count % min(workers, count) == 0:
        np.testing.assert_allclose(exact.time_s, printed.time_s, rtol=1e-12)


def test_iterations_are_counted_as_each_mode_counts_them():
    table = frame(t_grad=0.758, t_comm=0.033, workers=8, batches=128, schedules="best").set_index(["mode", "server"])
    assert table.t_iter_s["sync-join", "central"] == pytest.approx(9 * 0.033 + 0.758)
    assert table.t_iter_s["sync-split", "central"] == pytest.approx(9 * 0.033 + 0.758 / 8)
    assert table.t_iter_s["sync-join", "distributed"] == pytest.approx(2 * 0.033 * 7 / 8 + 0.758)


def test_central_servers_need_one_machine_more():
    table = frame(t_grad=1.0, t_comm=0.1, workers=[1, 5])
    central = table.server == "central"
    assert (table.machines - table.workers == central.astype(int)).all()


def test_status_tells_where_whole_batches_differ_from_the_printed_formula():
    options = {"t_grad": 1.0, "t_comm": 0.1, "batches": 12, "workers": [4, 5, 13], "modes": "async"}
    table = estimate(**options, servers="distributed", **THESIS)
    assert [row.status for row in table] == [Status.OK, Status.FRACTIONAL_ROUNDS, Status.IDLE_WORKERS]
    exact = estimate(**options, servers="distributed", method="exact")
    assert [row.status for row in exact] == [Status.OK, Status.OK, Status.IDLE_WORKERS]


def test_the_frame_has_the_columns_that_were_promised():
    promised = [
        "workers",
        "mode",
        "server",
        "schedule",
        "time_s",
        "t_iter_s",
        "speedup",
        "efficiency",
        "equation",
        "status",
    ]
    assert set(promised) <= set(frame(t_grad=1.0, t_comm=0.1).columns)
    assert tuple(frame(t_grad=1.0, t_comm=0.1).columns) == COLUMNS


def test_rows_frame_csv_and_json_hold_the_same_numbers(tmp_path):
    table = estimate("squeezenet", network="1gbit", latency_s=1e-3, workers=[1, 3, 8], cv_grad=0.2)
    rows = [row.to_dict() for row in table]
    assert table.to_frame().to_dict("records") == rows
    document = json.loads(table.to_json())
    assert document["rows"] == rows
    assert document["inputs"]["t_comm_provenance"] == "assumed"
    assert document["inputs"]["bandwidth_bytes_per_s"] == 125e6
    text = table.to_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == text
    read = pd.read_csv(io.StringIO(text), dtype={"equation": str}, keep_default_na=False)
    pd.testing.assert_frame_equal(read, table.to_frame(), check_dtype=False)


def test_a_table_is_read_by_row_from_either_end():
    table = estimate(t_grad=1.0, t_comm=0.1, workers=range(1, 5), modes="async", servers="distributed")
    assert [row.workers for row in table] == [1, 2, 3, 4]
    assert table[-1].workers == 4
    with pytest.raises(IndexError):
        table[4]


def test_a_profile_gives_times_and_the_network_gives_t_comm_from_its_payload():
    table = estimate("resnet34", network="10gbit", latency_s=2e-3)
    assert table.inputs.t_grad_s == 0.821
    assert table.inputs.t_comm_s == pytest.approx(2e-3 + 4 * 21_416_513 / 1.25e9)


def test_a_number_given_beats_the_profile():
    table = estimate("resnet34", t_grad=0.5, t_comm=0.25)
    assert (table.inputs.t_grad_s, table.inputs.t_comm_s) == (0.5, 0.25)
    assert table.inputs.t_grad_from == "assumed"


@pytest.mark.parametrize("workers", [8, [8], (8,), range(8, 9), np.array([8]), np.int64(8), iter([8])])
def test_worker_counts_may_be_one_or_many(workers):
    table = estimate(t_grad=1.0, t_comm=0.1, workers=workers)
    assert set(table.workers) == {8}


def test_equal_shares_are_assumed_unless_a_placement_is_named():
    options = {"workers": 8, "modes": "sync-join", "servers": "distributed", "method": "thesis"}
    by_rule = {rule: estimate("resnet34", placement=rule, **options)[0] for rule in ("equal", "greedy", "lpt", "bytes")}
    assert by_rule["equal"].equation == "4.12"
    assert by_rule["greedy"].equation == "P.2"
    assert by_rule["greedy"].speedup < by_rule["lpt"].speedup < by_rule["equal"].speedup
    assert by_rule["bytes"].speedup == pytest.approx(by_rule["equal"].speedup, rel=1e-6)


GOOD = {"t_grad": 1.0, "t_comm": 0.1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"t_grad": -1.0}, r"t_grad = -1 s; it must be finite and > 0 s"),
        ({"t_grad": 0}, r"t_grad = 0 s; it must be finite and > 0 s"),
        ({"t_grad": math.nan}, "t_grad = nan s"),
        ({"t_comm": math.inf}, "t_comm = inf s"),
        (
            {"t_comm": 0.0},
            "t_comm = 0 s; it must be finite and > 0 s. Measure it, or name a network= instead.",
        ),
        ({"t_comm": "fast"}, "t_comm = 'fast' is not a number of s"),
        ({"t_grad": None}, "t_grad is missing: name a profile"),
        ({"t_comm": None}, "t_comm is missing: give t_comm="),
        ({"t_comm": None, "network": "1gbit"}, "network needs a profile"),
        ({"network": "1gbit"}, "t_comm and network were both given"),
        ({"workers": 0}, "workers = 0; it must be at least 1"),
        ({"workers": range(3)}, "workers = 0; it must be at least 1"),
        ({"workers": []}, "workers is empty"),
        ({"workers": [2, 2.5]}, "workers = 2.5 is not a whole number"),
        ({"workers": "8"}, "workers = '8' is not a whole number"),
        ({"batches": 0}, "batches = 0; it must be at least 1"),
        ({"batches": 1.5}, "batches = 1.5 is not a whole number"),
        ({"modes": "sync"}, 'modes = "sync" is unknown.*Allowed: sync-join, sync-split, async'),
        ({"modes": []}, "modes is empty"),
        ({"servers": ["central", "cloud"]}, 'servers = "cloud" is unknown'),
        ({"schedules": "fare"}, 'schedules = "fare" is unknown'),
        ({"method": "guess"}, 'method = "guess" is unknown. Allowed: auto, queueing, simulation, thesis, exact'),
        ({"method": "simulation", "schedules": "mean"}, 'schedule = "mean" is a case of the thesis.s formulas'),
        ({"cv_grad": -0.1}, "cv_grad = -0.1; it must be a finite number, at least 0"),
        ({"placement": "random"}, 'placement = "random" is unknown'),
        ({"placement": "greedy"}, "needs tensor sizes: name a profile"),
    ],
)
def test_bad_input_is_refused_with_value_and_cure(change, said):
    with pytest.raises(SpeedupError, match=said):
        estimate(**{**GOOD, **change})


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_of_sync_split_computes_the_largest_part_of_a_batch(method):
    options = {"network": "1gbit", "workers": range(1, 65), "batches": 128, "method": method}
    options["servers"] = ("central", "distributed")
    table = estimate(swept(line), modes="sync-split", **options).to_frame()
    np.testing.assert_allclose(table.t_grad_worker_s, line(np.ceil(64 / table.workers)), rtol=1e-9)
    assert (table.t_grad_s == line(64)).all()
    for row in table.itertuples():
        schedule = None if row.server == "distributed" else row.schedule
        expression = speedup.formula("sync-split", row.server, schedule=schedule)
        symbols = {N: row.workers, D: 128, t_comm: row.t_comm_s, t_grad: row.workers * row.t_grad_worker_s}
        assert row.time_s == pytest.approx(float(expression.subs(symbols)), rel=1e-12)
        assert row.speedup == pytest.approx(128 * line(64) / row.time_s, rel=1e-12)


def test_the_other_modes_know_nothing_of_the_sweep():
    from dataclasses import replace

    profile = swept(line)
    single = replace(profile, t_grad=(profile.t_grad_timing,))
    for options in ({"modes": ("sync-join", "async")}, {"workers": 1}):
        with_sweep, without = (estimate(one, network="1gbit", **options).to_frame() for one in (profile, single))
        pd.testing.assert_frame_equal(with_sweep, without)


def test_one_batch_size_or_a_given_t_grad_leaves_sync_split_as_printed():
    profile = swept(line)
    for table in (
        estimate("resnet34", modes="sync-split", **THESIS),
        estimate("squeezenet-xeon-b16", modes="sync-split", network="1gbit", **THESIS),
        estimate(profile, t_grad=0.5, modes="sync-split", network="1gbit", **THESIS),
    ):
        same = estimate(t_grad=table.inputs.t_grad_s, t_comm=table.inputs.t_comm_s, modes="sync-split", **THESIS)
        np.testing.assert_array_equal(table.time_s, same.time_s)
        np.testing.assert_array_equal(table.t_grad_worker_s, table.inputs.t_grad_s / table.workers)


def test_a_worker_computes_a_whole_batch_in_every_mode_but_sync_split():
    table = estimate(t_grad=1.0, t_comm=0.1).to_frame()
    split = table["mode"] == "sync-split"
    assert (table.t_grad_worker_s[~split] == 1.0).all()
    np.testing.assert_array_equal(table.t_grad_worker_s[split], 1 / table.workers[split])


@given(
    seconds, st.floats(0.0, 100.0), st.floats(0.0, 1.0), seconds, st.lists(st.integers(1, 300), min_size=1, max_size=9)
)
def test_speedup_never_exceeds_the_workers_where_a_part_of_a_batch_takes_at_least_its_share(
    unit, fixed, exponent, comm, workers
):
    profile = swept(lambda size: unit * (fixed + size**exponent))
    table = estimate(profile, t_comm=comm, workers=workers)
    parts = np.ceil(64 / table.workers) / 64 * table.inputs.t_grad_s
    honest = table.t_grad_worker_s >= np.where(table.by_family(lambda one: one.mode == "sync-split"), parts, 0) * (
        1 - 1e-9
    )
    assert (table.speedup <= table.workers * (1 + 1e-9))[honest].all()
    np.testing.assert_allclose(table.speedup * table.time_s, 128 * table.inputs.t_grad_s, rtol=1e-12)


def test_where_parts_fit_a_cache_that_the_batch_does_not_the_speedup_may_exceed_the_workers():
    table = estimate(swept(lambda size: size**1.3), t_comm=1e-6, workers=8, modes="sync-split", servers="distributed")
    assert table[0].speedup == pytest.approx(8**1.3, rel=1e-3)


def test_a_batch_size_takes_its_t_grad_from_the_sweep():
    measured, fitted, outside = (estimate(swept(line), network="1gbit", batch=size) for size in (16, 24, 256))
    assert (measured.inputs.t_grad_s, measured.inputs.t_grad_from) == (line(16), "measured")
    assert (fitted.inputs.t_grad_s, fitted.inputs.t_grad_from) == (pytest.approx(line(24)), "fitted")
    document = fitted.to_dict()["inputs"]
    assert document["batch"] == 24
    assert document["t_grad_low_s"] < line(24) < document["t_grad_high_s"]
    assert (document["t_grad_level"], document["warnings"]) == (0.95, [])
    assert outside.to_dict()["inputs"]["warnings"] == [
        "t_grad of batch 256 is extrapolated: batch sizes 4 to 64 were measured. Measure it too: speedup calibrate."
    ]
    split = estimate(swept(line), network="1gbit", batch=24, modes="sync-split", workers=[3, 24, 25])
    assert [row.t_grad_worker_s for row in split][:3] == pytest.approx([line(8), line(1), line(1)])
    assert [row.status for row in split][:3] == ["ok", "ok", "idle-workers"]


def test_without_a_batch_size_the_workload_s_own_is_meant():
    profile = swept(line)
    own, named = (estimate(profile, network="1gbit", batch=size).to_json() for size in (None, 64))
    assert own == named


def test_from_a_single_batch_size_others_are_assumed_proportional_and_said_so():
    table = estimate("squeezenet-xeon-b16", network="1gbit", batch=64)
    assert table.inputs.t_grad_s == pytest.approx(4 * speedup.Profile.load("squeezenet-xeon-b16").t_grad_s)
    assert (table.inputs.t_grad_from, table.inputs.t_grad.low_s) == ("assumed", None)
    (warning,) = table.inputs.warnings
    assert warning.startswith("t_grad of batch 64 is assumed proportional to the batch: batch 16 alone was measured.")


def test_a_batch_given_with_t_grad_only_tells_where_workers_have_no_sample():
    options = {"t_comm": 0.1, "modes": "sync-split", "servers": "distributed", "workers": [4, 5]}
    for profile in (None, "resnet34", swept(line)):
        table = estimate(profile, t_grad=1.0, batch=4, **options)
        assert (table.inputs.t_grad_s, table.inputs.t_grad_from, table.inputs.warnings) == (1.0, "assumed", ())
        assert [row.status for row in table] == ["ok", "idle-workers"]


@pytest.mark.parametrize(
    ("profile", "change", "said"),
    [
        (
            "resnet34",
            {"batch": 16},
            'batch = 16, but profile "resnet34" does not say which batch size it was measured at',
        ),
        (None, {"batch": 16, "t_comm": 0.1}, "t_grad is missing: name a profile"),
        ("squeezenet-xeon-b16", {"batch": 0, "network": "1gbit"}, "batch = 0; it must be at least 1"),
        ("squeezenet-xeon-b16", {"batch": 1.5, "network": "1gbit"}, "batch = 1.5 is not a whole number"),
    ],
)
def test_a_batch_size_that_cannot_be_used_is_refused(profile, change, said):
    with pytest.raises(SpeedupError, match=said):
        estimate(profile, **change)
