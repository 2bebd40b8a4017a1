"""How sure a choice is: probabilities, regrets and the worth of measurements, and that they come true."""

import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from links import EXCHANGES, link
from scipy.optimize import brentq

from speedup import estimate, recommend
from speedup.certainty import certainty
from speedup.doubts import Doubts, Source, doubts_of, nominal_doubt
from speedup.errors import PlanError, UnitError
from speedup.phases import Part
from speedup.responses import Evaluator, log_ratio_grid
from speedup.rivals import Rivals

NORMAL = NormalDist()
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def table_of(t_grad=1.0, t_comm=0.1, **plans):
    usual = {"modes": "sync-join", "servers": "central", "schedules": "mean", "workers": [4, 8], "batches": 64}
    return estimate(t_grad=t_grad, t_comm=t_comm, **(usual | plans))


def best_row(table, factor=1.0):
    return int(np.argmin(table.time_s * factor))


def balanced(table, apart=0.0):
    """Give factors that make the scores of two rows equal, the first lower by ``apart`` in the logarithm."""
    return np.array([1.0, math.exp(apart) * table.time_s[0] / table.time_s[1]])


@pytest.mark.parametrize("apart", [0.0, 0.01, 0.03, 0.06])
def test_two_plans_of_one_kind_have_the_probability_of_the_normal_law(apart):
    table, doubts = table_of(), Doubts(t_grad=0.08, t_comm=0.15)
    found = certainty(table, 0, factor=balanced(table, apart), doubts=doubts)

    # Where the true ratio makes both scores equal, the choice changes.
    def ahead(log_ratio):
        slower = table_of(t_comm=0.1 * math.exp(log_ratio)).time_s * balanced(table, apart)
        return math.log(slower[0] / slower[1])

    change = brentq(ahead, -0.9, 0.9)
    expected = 1 - NORMAL.cdf(change / doubts.ratio)
    assert found.probability_best == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("apart", [0.0, 0.02, 0.05])
def test_two_kinds_apart_by_the_errors_of_their_models(apart):
    table = table_of(servers=["central", "distributed"], workers=8)
    found = certainty(table, 0, factor=balanced(table, apart), doubts=Doubts(model=0.02))
    assert found.probability_best == pytest.approx(NORMAL.cdf(apart / (math.sqrt(2) * 0.02)), abs=0.012)
    assert found.measurement.startswith("Run a few iterations") or found.probability_best > 0.95


def test_the_regret_of_two_kinds_is_that_of_the_normal_law():
    table = table_of(servers=["central", "distributed"], workers=8)
    found = certainty(table, 0, factor=balanced(table), doubts=Doubts(model=0.02))
    # E max(0, d) of a difference d of logarithms with mean 0.
    spread = math.sqrt(2) * 0.02
    assert found.expected_regret == pytest.approx(spread * NORMAL.pdf(0), rel=0.06)
    assert found.expected_regret_score == pytest.approx(found.expected_regret * table.time_s[0], rel=0.05)
    assert found.sources[0].source is Source.MODEL
    assert found.sources[0].share == pytest.approx(1.0, abs=0.01)


def test_smaller_doubts_make_the_best_plan_surer():
    table = table_of()
    factor = balanced(table, 0.02)
    said = [certainty(table, 0, factor=factor, doubts=Doubts(t_comm=doubt)) for doubt in (0.4, 0.2, 0.1, 0.05)]
    assert [one.probability_best for one in said] == sorted(one.probability_best for one in said)
    assert [one.expected_regret for one in said] == sorted((one.expected_regret for one in said), reverse=True)


def test_a_single_candidate_is_certain():
    found = certainty(table_of(workers=4), 0)
    assert found.probability_best == 1
    assert found.expected_regret == 0
    assert found.sources == ()
    assert found.sentences() == ("The choice is the only candidate.",)


def test_without_doubt_the_best_is_certain_and_another_has_its_regret():
    table = table_of()
    best, other = (certainty(table, row, exact=True) for row in (1, 0))
    assert (best.probability_best, best.expected_regret) == (1, 0)
    assert other.probability_best == 0
    assert other.expected_regret == pytest.approx(table.time_s[0] / table.time_s[1] - 1)
    assert other.safest.row == 1
    assert any("Safer" in line for line in other.sentences())


def test_plans_that_tie_share_the_probability_and_none_is_better():
    table = table_of(servers=["central", "distributed"], workers=8)
    found = certainty(table, 0, factor=balanced(table), exact=True)
    assert found.probability_best == 1
    assert [one.probability for one in found.contenders] == pytest.approx([0.5, 0.5])


def test_one_worker_alone_counts_once_whatever_its_server_is_called():
    table = table_of(t_comm=50.0, servers=["distributed", "allreduce"], workers=[1, 2])
    found = certainty(table, best_row(table))
    assert found.probability_best == 1
    assert len(found.contenders) == 1


def test_a_source_that_does_not_matter_is_worth_nothing():
    table = table_of(servers=["central", "distributed"], workers=8)
    # Both hardly depend on the network.
    found = certainty(table_of(t_comm=1e-9, servers=["central", "distributed"], workers=8), 0, exact=False)
    worth = {one.source: one.value for one in found.sources}
    assert worth[Source.MODEL] > 0
    assert worth[Source.T_COMM] == pytest.approx(0, abs=1e-9)
    assert worth[Source.T_GRAD] == pytest.approx(0, abs=1e-9)
    nothing = certainty(table, best_row(table), doubts=Doubts(t_grad=0.01))
    assert [one.value for one in nothing.sources] == [0]
    assert nothing.measurement == ""


def test_the_source_that_decides_is_named_with_what_it_decides():
    table = table_of()
    found = certainty(table, 0, factor=balanced(table), doubts=Doubts(t_grad=0.02, t_comm=0.3))
    assert found.sources[0].source is Source.T_COMM
    assert found.sources[0].share > 0.9
    assert found.measurement == "Measure t_comm on your real link: it decides between 4 and 8 workers."
    assert found.measurement in found.sentences()


def test_the_same_question_has_the_same_answer():
    table = table_of(servers=["central", "distributed"], workers=range(1, 17))
    row = best_row(table)
    assert certainty(table, row).to_dict() == certainty(table, row).to_dict()


@pytest.mark.parametrize("scale", [1e-3, 60.0])
def test_the_unit_of_time_changes_nothing(scale):
    plans = {"servers": ["central", "distributed"], "workers": range(1, 17), "modes": None}
    ours, theirs = table_of(**plans), table_of(scale, 0.1 * scale, **plans)
    one, other = certainty(ours, best_row(ours)), certainty(theirs, best_row(theirs))
    assert other.probability_best == one.probability_best
    assert other.expected_regret == pytest.approx(one.expected_regret)
    assert other.expected_regret_score == pytest.approx(scale * one.expected_regret_score)
    assert [info.value for info in other.sources] == pytest.approx([info.value for info in one.sources])


def test_elasticities_are_derivatives_and_add_up_to_one():
    table = table_of(workers=8)
    found = certainty(table, 0).choice
    longer = table_of(t_comm=0.1 * 1.001, workers=8)
    assert found.by_t_comm == pytest.approx(math.log(longer.time_s[0] / table.time_s[0]) / math.log(1.001), rel=0.01)
    assert found.by_t_grad + found.by_t_comm == pytest.approx(1)


def test_probabilities_add_up_and_the_list_is_short():
    table = table_of(servers=["central", "distributed"], modes=None, workers=range(1, 65))
    factor = table.machines**0.97
    found = certainty(table, best_row(table, factor), factor=factor, unit="USD")
    assert sum(one.probability for one in found.contenders) == pytest.approx(1, abs=0.02)
    assert len(found.contenders) <= 30
    assert found.choice in found.contenders
    json.dumps(found.to_dict(), allow_nan=False)
    assert "costs" in found.sentences()[0]


def test_screening_leaves_no_plan_out_that_can_win():
    table = table_of(servers=["central", "distributed"], modes=None, workers=range(1, 33))
    factor, doubts = table.machines**0.9, Doubts(t_grad=0.1, t_comm=0.4, model=0.02)
    row = best_row(table, factor)
    found = certainty(table, row, factor=factor, doubts=doubts)
    rng, won = np.random.default_rng(3), 0
    alone = (table.workers == 1) & (table.move_s == 0)
    for _ in range(400):
        times = {"t_grad": math.exp(0.1 * rng.normal()), "t_comm": 0.1 * math.exp(0.4 * rng.normal())}
        true = table_of(**times, servers=["central", "distributed"], modes=None, workers=range(1, 33))
        errors = np.exp(0.02 * rng.standard_normal(len(table.families)))[table.family]
        scores = true.time_s * factor * np.where(alone, 1.0, errors)
        won += scores[row] <= scores.min() * (1 + 1e-12)
    assert found.probability_best == pytest.approx(won / 400, abs=0.08)


def test_where_times_vary_the_spread_is_a_source_and_slow_estimators_are_bounded():
    plans = {"schedules": "fair", "servers": ["central", "distributed"], "modes": None, "workers": [2, 4, 6]}
    table = table_of(cv_grad=0.3, cv_comm=0.3, method="queueing", **plans)
    found = certainty(table, best_row(table))
    assert {one.source for one in found.sources} == set(Source) - {Source.NOISE_SCALE}
    assert found.choice.by_cv_grad > 0
    words = dict(found.doubts.assumed)
    assert "cv_grad and cv_comm" in words[Source.SPREAD]


def test_curves_by_queueing_theory_are_close_to_tables_of_other_times():
    plans = {"schedules": "fair", "servers": ["central", "distributed"], "modes": None, "workers": [4, 6, 8]}
    spread = {"cv_grad": 0.3, "cv_comm": 0.3, "method": "queueing"}
    table, doubts = table_of(**spread, **plans), Doubts(t_comm=0.2, t_grad=0.05)
    evaluator = Evaluator(Rivals((table,), ((Part("", table.inputs, table.batches),),)))
    curves = evaluator.responses(np.arange(len(table)), log_ratio_grid(doubts))
    curves = evaluator.refined(curves, doubts)
    for log_ratio in (-0.3, 0.2, 0.4):
        other = table_of(t_comm=0.1 * math.exp(log_ratio), **spread, **plans)
        found = np.exp(curves.at(np.array([log_ratio]))[:, 0])
        assert found == pytest.approx(other.time_s, rel=0.03)


def test_a_measured_link_has_doubts_of_its_own():
    table = estimate(
        "resnet34", network=link(exchanges=EXCHANGES), workers=[2, 4, 8], servers="distributed", method="queueing"
    )
    found = certainty(table, best_row(table))
    assert set(dict(found.doubts.assumed)) <= {Source.T_GRAD, Source.SPREAD}
    assert found.doubts.model == pytest.approx(0.01)


def test_phases_are_added_up():
    from speedup.phases import course_of
    from speedup.profile import Phase, Profile, Provenance, Timing

    base = Profile.load("squeezenet")
    timing = {"median_s": 0.5, "provenance": Provenance.MEASURED}
    phases = tuple(
        Phase(name=name, batches=64, t_grad=Timing(**timing), tensor_elements=base.workload.tensor_elements)
        for name in ("early", "late")
    )
    profile = replace(base, phases=phases)
    table = recommend(profile, network="1gbit").table
    course = course_of(profile, None, network="1gbit")
    with_course, without = (certainty(table, best_row(table), course=one) for one in (course, None))
    assert with_course.probability_best == pytest.approx(without.probability_best, abs=0.01)


def test_a_table_of_several_batch_sizes_has_a_course_of_each():
    from speedup.phases import course_of

    asked = [{"t_grad": t_grad, "t_comm": 0.1} for t_grad in (1.0, 1.8)]
    tables = [table_of(**one, servers="distributed") for one in asked]
    courses = [course_of(None, 64, **one) for one in asked]
    # The larger batch has twice the samples.
    factor = np.array([1, 1, 0.5, 0.5])
    choice = int(np.argmin(np.concatenate([table.time_s for table in tables]) * factor))
    found = certainty(tables, choice, factor=factor, course=courses)
    assert found.choice.row == choice == 3
    alone = certainty(tables[1], 1)
    assert found.choice.by_t_comm == pytest.approx(alone.choice.by_t_comm)
    with pytest.raises(PlanError, match="1 courses for 2 tables"):
        certainty(tables, 0, course=courses[:1])


def test_a_nominal_bandwidth_is_doubted_the_more_the_faster():
    medians, doubts = zip(*(nominal_doubt(gbit * 1e9 / 8) for gbit in (1, 10, 25, 50, 400)), strict=True)
    assert list(medians) == sorted(medians)
    assert list(doubts) == sorted(doubts)
    inputs = estimate("resnet34", network="100gbit").inputs
    found = doubts_of(inputs)
    assert found.t_comm_median * math.exp(-1.645 * found.t_comm) == pytest.approx(2, rel=0.01)
    assert "nominal" in dict(found.assumed)[Source.T_COMM]
    assert doubts_of(inputs, exact=True) == Doubts()


def test_what_is_no_row_or_no_factor_is_refused():
    table = table_of()
    with pytest.raises(PlanError, match="no row"):
        certainty(table, 2)
    with pytest.raises(UnitError, match="one value for each"):
        certainty(table, 0, factor=np.ones(3))
    with pytest.raises(UnitError, match="above 0"):
        certainty(table, 0, factor=np.array([1.0, 0.0]))
    assert certainty(table, -1).choice.row == 1


@pytest.fixture(scope="module")
def worlds():
    spec = importlib.util.spec_from_file_location("certainty_worlds", BENCHMARKS / "certainty.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_over_500_worlds_stated_probabilities_come_true(worlds):
    rows = worlds.calibration(500, seed=2, servers=("central", "distributed"))
    bins = worlds.reliability(rows)
    for row in bins:
        error = 2.6 * math.sqrt(max(row["stated"] * (1 - row["stated"]), 0.01) / row["worlds"])
        assert abs(row["best"] - row["stated"]) <= error, row
    assert sum(row["worlds"] for row in bins) == 500
    expected, realised = (np.mean([row[name] for row in rows]) for name in ("expected_regret", "regret"))
    assert realised == pytest.approx(expected, rel=0.35)
