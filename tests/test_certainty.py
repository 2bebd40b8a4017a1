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

from speedup import Profile, Timing, estimate, recommend
from speedup.certainty import Target, certainty
from speedup.doubts import Doubts, SizeDoubt, Source, doubts_of, nominal_doubt
from speedup.efficiency import NoiseScale
from speedup.errors import PlanError, UnitError
from speedup.goals import Goal
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
    from speedup.profile import Phase, Provenance

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


def test_the_doubt_of_slow_links_is_that_of_published_runs_which_hide_nothing():
    from speedup.published.nominal import wire_times
    from speedup.published.records import scaling_series

    bare = [one for one in scaling_series() if one.name.startswith("bsp-")]
    ratios = np.concatenate(
        [
            (one.between.step_s - one.alone_step_s)
            / (wire_times(one, one.between) * one.payload_bytes / one.bandwidth_bytes_s)
            for one in bare
        ]
    )
    median, doubt = nominal_doubt(10e9 / 8)
    assert len(ratios) == 18
    assert np.median(ratios) == pytest.approx(median, rel=0.02)
    assert math.sqrt(np.mean(np.log(ratios / median) ** 2)) == pytest.approx(doubt, abs=0.005)


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


def sizes_of(*t_grads, **plans):
    """Return one table a batch size, twice as large from one to the next, and their factors to one score."""
    tables = [table_of(t_grad, batch=8 * 2**place, **plans) for place, t_grad in enumerate(t_grads)]
    return tables, np.concatenate([np.full(len(table), 0.5**place) for place, table in enumerate(tables)])


@pytest.mark.parametrize("apart", [0.0, 0.03])
@pytest.mark.parametrize("groups", [(0, 1), (0, 0)])
def test_two_batch_sizes_err_apart_or_together(apart, groups):
    tables, _ = sizes_of(1.0, 1.5, servers="distributed", workers=1)
    factor = np.array([1.0, math.exp(apart) * tables[0].time_s[0] / tables[1].time_s[0]])
    own = tuple(SizeDoubt(t_grad=doubt, group=group) for doubt, group in zip((0.04, 0.1), groups, strict=True))
    found = certainty(tables, 0, factor=factor, doubts=Doubts(t_grad=0.2, by_size=own))
    spread = math.hypot(0.04, 0.1) if groups == (0, 1) else 0.1 - 0.04
    assert found.probability_best == pytest.approx(NORMAL.cdf(apart / spread), abs=0.012)
    assert found.doubts.of(Source.T_GRAD) == pytest.approx(math.hypot(0.2, 0.1))


def test_a_noise_scale_in_doubt_decides_between_few_and_many_samples_an_update():
    table, samples = table_of(servers="distributed"), np.array([40.0, 800.0])
    target = Target(200.0, samples, 20)
    needed = (200 + samples) / 220
    factor = needed * np.array([1.0, 1.05]) * table.time_s[0] * needed[0] / (table.time_s * needed)
    found = certainty(table, 0, factor=factor, doubts=Doubts(noise_scale=0.3), target=target)

    def ahead(log_noise):
        noise = 200 * math.exp(log_noise)
        changed = (noise + samples) / (noise + 20) * 220 / (200 + samples)
        return math.log(1.05 * changed[1] / changed[0])

    change = brentq(ahead, 0, 1)
    assert found.probability_best == pytest.approx(NORMAL.cdf(change / 0.3), abs=0.012)
    assert found.sources[0].source is Source.NOISE_SCALE
    assert found.measurement.startswith("Measure the gradient noise scale")


def test_over_batch_sizes_probabilities_are_those_of_brute_force():
    plans = {"servers": ["central", "distributed"], "modes": None, "workers": range(1, 17)}
    sizes, t_grads = (8, 16, 32), (0.5, 0.8, 1.4)
    goal = Goal(objective="time-to-target", noise_scale=NoiseScale.assumed(300.0))

    def tables(t_grads, t_comm):
        return [
            table_of(t_grad, t_comm, batch=size, **(plans | {"batches": 4096 // size}))
            for size, t_grad in zip(sizes, t_grads, strict=True)
        ]

    own = tuple(SizeDoubt(t_grad=0.06, group=group) for group in (0, 1, 1))
    doubts = Doubts(t_grad=0.1, t_comm=0.3, model=0.02, noise_scale=0.4, by_size=own)
    stated = tables(t_grads, 0.1)
    samples = np.concatenate([goal.update_samples(table) for table in stated])
    factor = (300 + samples) / 308
    row = int(np.argmin(np.concatenate([table.time_s for table in stated]) * factor))
    found = certainty(stated, row, factor=factor, doubts=doubts, target=Target(300.0, samples, 8))

    rng, won = np.random.default_rng(5), 0
    alone = np.concatenate([(table.workers == 1) & (table.move_s == 0) for table in stated])
    family = np.concatenate([table.family for table in stated])
    for _ in range(300):
        shared, apart = math.exp(0.1 * rng.normal()), np.exp(0.06 * rng.standard_normal(2))
        true = tables(np.array(t_grads) * shared * apart[[0, 1, 1]], 0.1 * math.exp(0.3 * rng.normal()))
        noise = 300 * math.exp(0.4 * rng.normal())
        errors = np.exp(0.02 * rng.standard_normal(len(stated[0].families)))[family]
        times = np.concatenate([table.time_s for table in true]) * np.where(alone, 1.0, errors)
        scores = times * (noise + samples) / (noise + 8)
        won += scores[row] <= scores.min() * (1 + 1e-12)
    assert found.probability_best == pytest.approx(won / 300, abs=0.08)
    assert found.choice.batch in sizes


def test_thinning_a_large_table_of_sizes_changes_little(monkeypatch):
    tables, factor = sizes_of(1.0, 1.7, 3.0, servers=["central", "distributed"], modes=None, workers=range(1, 257))
    factor = factor * np.concatenate([table.machines for table in tables]) ** 0.9
    row = int(np.argmin(np.concatenate([table.time_s for table in tables]) * factor))
    own = tuple(SizeDoubt(t_grad=0.05, group=group) for group in range(3))
    asked = {"factor": factor, "doubts": Doubts(t_comm=0.2, model=0.01, by_size=own)}
    thinned = certainty(tables, row, **asked)
    monkeypatch.setattr("speedup.contest._MANY", 10**9)
    whole = certainty(tables, row, **asked)
    assert thinned.probability_best == pytest.approx(whole.probability_best, abs=0.03)
    assert thinned.expected_regret == pytest.approx(whole.expected_regret, rel=0.1, abs=1e-4)


def test_over_500_worlds_of_several_batch_sizes_stated_probabilities_come_true(worlds):
    bins = worlds.reliability(worlds.calibration(500, seed=3, sizes="apart", servers=("central", "distributed")))
    for row in bins:
        error = 2.6 * math.sqrt(max(row["stated"] * (1 - row["stated"]), 0.01) / row["worlds"])
        assert abs(row["best"] - row["stated"]) <= error, row


def sweep(*timings):
    base = Profile.load("squeezenet")
    return replace(base, t_grad=tuple(timings), workload=replace(base.workload, batch=16))


def test_measured_batch_sizes_err_apart_and_fitted_ones_with_their_neighbours():
    interval = {"low_s": 0.99, "high_s": 1.01, "level": 0.95, "provenance": "measured"}
    made = sweep(*(Timing(median_s=0.04 * size, batch=size, **scaled(interval, 0.04 * size)) for size in (8, 16, 32)))
    inputs = [estimate(made, network="1gbit", batch=size).inputs for size in (8, 20, 24, 32)]
    found = doubts_of(inputs)
    groups = [one.group for one in found.by_size]
    assert groups[1] == groups[2]
    assert len({groups[0], groups[1], groups[3]}) == 3
    assert found.t_grad == 0
    assert found.by_size[1].t_grad > found.by_size[0].t_grad


def scaled(interval, centre):
    return interval | {name: interval[name] * centre for name in ("low_s", "high_s")}


def test_one_batch_size_measured_leaves_the_others_to_proportion_and_doubt():
    made = sweep(Timing(median_s=0.6, batch=16, provenance="measured"))
    answer = recommend(made, network="1gbit", batch=[8, 16, 64], max_workers=8)
    found = answer.certainty()
    assert [one.t_grad for one in found.doubts.by_size] == pytest.approx([-0.16, 0, 0.32])
    assert any("16% a doubling" in words for _, words in found.doubts.assumed)
    assert found.doubts.t_grad == 0.05
    assert found.sources[0].source is Source.T_GRAD
    assert found.candidates == answer.considered


def test_the_choice_of_a_batch_size_has_rivals_of_the_other_sizes():
    asked = {"network": "10gbit", "batches": 1000, "max_workers": 16, "objective": "time-to-target"}
    measured = NoiseScale(value=400.0, low=300.0, high=500.0, level=0.9, provenance="measured")
    made = sweep(*(Timing(median_s=0.05 + 0.04 * size, batch=size, provenance="measured") for size in (8, 16, 32, 64)))
    answer = recommend(made, **asked, noise_scale=measured, batch=[8, 16, 32, 64])
    found = answer.certainty()
    assert found.choice.batch == answer.outcomes[0].batch
    assert found.choice.plan.plan == answer.choice.plan
    assert len({one.batch for one in found.contenders}) > 1
    assert any(" with batches of " in line for line in found.sentences())
    assert found.doubts.noise_scale == pytest.approx(math.hypot(math.log(5 / 3) / (2 * 1.645), 0.1), rel=0.01)
    alone = recommend(made, **asked, noise_scale=measured, batch=answer.outcomes[0].batch).certainty()
    assert found.probability_best <= alone.probability_best + 0.01
    json.dumps(found.to_dict(), allow_nan=False)
