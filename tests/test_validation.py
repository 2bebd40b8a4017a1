"""Predicted against measured, without running anything."""

import pytest
from links import link

from speedup.measured import Measured
from speedup.plans import PlacementRule, Schedule, ServerKind, UpdateMode
from speedup.profile import Profile
from speedup.validation import THESIS_NETWORKS, Validation, cases_of, compare, diluted, grid, predict


@pytest.mark.parametrize("name", THESIS_NETWORKS)
def test_dilution_keeps_the_ratio_and_the_shares_of_the_tensors(name):
    profile = Profile.load(name)
    small, factor = diluted(profile, link(), 0.42)
    assert small.link.transfer_time_s(small.workload.payload_bytes) == pytest.approx(0.42, rel=0.01)
    ratio = profile.t_grad_s / profile.t_comm.median_s
    assert small.t_grad_s / link().transfer_time_s(small.workload.payload_bytes) == pytest.approx(ratio)
    large = max(profile.workload.tensor_elements)
    assert max(small.workload.tensor_elements) == pytest.approx(factor * large, rel=1e-3)


def test_a_grid_has_every_plan_once_and_one_worker_only_behind_one_server():
    plans = [case.plan for case in grid(diluted(Profile.load("resnet34"), link(), 0.42)[0], [1, 2, 8])]
    assert len(plans) == len(set(plans)) == 3 + 14 + 14
    assert {plan.server for plan in plans if plan.workers == 1} == {ServerKind.CENTRAL}
    assert not [plan for plan in plans if plan.server is ServerKind.ALLREDUCE and plan.mode is UpdateMode.ASYNC]


def measured(case, seconds):
    return Measured(
        plan=case.plan,
        batches=case.batches,
        time_s=seconds,
        t_grad_s=case.t_grad_part_s,
        payload_bytes=case.profile.workload.payload_bytes,
        compute="emulated",
        wire="emulated links of 1gbit",
        engine="an engine",
        sent_bytes=1,
        counted_bytes=1,
    )


def test_a_run_as_long_as_predicted_has_no_error_and_lies_in_its_interval():
    for case in cases_of(["resnet34"], [2, 4], link(), 2, 0.42):
        row = compare(case, measured(case, predict(case).time_s))
        assert row.error == 0
        assert row.hit
        assert row.predicted_low_s < row.predicted_s < row.predicted_high_s


def test_a_validation_names_the_recommended_and_the_fastest_plan():
    cases = cases_of(["resnet34"], [4], link(), 2, 0.42)
    rows = tuple(compare(case, measured(case, 1.02 * predict(case).time_s)) for case in cases)
    validation = Validation(rows, link())
    assert validation.median_error == pytest.approx(0.02)
    (found,) = validation.fastest()
    assert found["slower"] == pytest.approx(0.0)
    text = str(validation)
    assert "median error 2.00%" in text
    assert validation.to_dict()["rows"][0].keys() >= {
        "workers",
        "mode",
        "server",
        "schedule",
        "measured_s",
        "predicted_s",
        "predicted_low_s",
        "predicted_high_s",
        "compute",
        "interval_hit",
    }


def test_the_thesis_stands_beside_our_prediction():
    case = next(
        case
        for case in cases_of(["resnet34"], [4], link(), 2, 0.42)
        if case.plan.schedule is Schedule.FAIR and case.plan.mode is UpdateMode.SYNC_JOIN
    )
    row = compare(case, measured(case, 1.0))
    s, z = row.t_comm_s, row.t_grad_s
    assert row.thesis_s == pytest.approx(2 * ((5 * s + z) + (8 * s + z)) / 2)
    assert row.predicted_s == pytest.approx(2 * (8 * s + z), rel=0.02)


def test_algorithm_3_7_takes_longer_than_equal_shares():
    cases = {
        case.plan.placement: case
        for case in cases_of(["vgg16e"], [8], link(), 2, 0.42)
        if case.plan.server is ServerKind.DISTRIBUTED and case.plan.mode is UpdateMode.SYNC_JOIN
    }
    greedy, equal = predict(cases[PlacementRule.GREEDY]).time_s, predict(cases[PlacementRule.BYTES]).time_s
    assert greedy > 3 * equal
