"""Held-out errors, the run to make next, and the command that says all of it."""

import json

import numpy as np
import pytest
from made_runs import grid, measured, upto, with_steps

from speedup.cli import run
from speedup.errors import FitError, UnitError, UnknownNameError
from speedup.scaling.advice import candidates, suggest, usual
from speedup.scaling.evaluation import MODELS, compare, hold_out, model_named, models_for
from speedup.scaling.rivals import Ernest
from speedup.scaling.runs import Runs
from speedup.scaling.step import AllReduceStep
from speedup.scaling.study import study

PLAN = grid([(64, 64)], [32])


@pytest.fixture
def command(capsys):
    def call(*words):
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def table(tmp_path):
    def write(runs, *, servers=False):
        names = ["workers", "machines", "fullest", "batch", "step_s", *(["servers"] if servers else [])]
        lines = [",".join(names)]
        lines += [",".join(repr(float(getattr(runs, name)[row])) for name in names) for row in range(len(runs))]
        path = tmp_path / "runs.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def few():
    """One batch size, so that leaving each plan out stays quick."""
    runs = upto(measured(), 8)
    return runs.take(runs.batch == 32)


def test_the_model_that_made_the_runs_is_best():
    rows = compare(few())
    assert rows[0].model == "speedup"
    assert [row.error for row in rows] == sorted(row.error for row in rows)
    assert {row.model for row in rows} == {"speedup", "pollux", "ernest", "usl", "amdahl", "linear"}
    assert rows[0].runs == len(few())
    assert rows[0].ahead < rows[-1].ahead


def test_more_plans_are_left_out_in_parts_and_repetitions_together():
    runs = measured()
    assert hold_out(MODELS["amdahl"], runs).runs == len(runs)
    twice = runs.joined(with_steps(runs, runs.step_s, noise=0.01, seed=5))
    assert hold_out(MODELS["linear"], twice).runs == 2 * len(runs)


def test_held_out_errors_do_not_depend_on_the_order_of_runs():
    runs = few()
    order = np.random.default_rng(0).permutation(len(runs))
    one, other = (hold_out(AllReduceStep(), some).error for some in (runs, runs.take(order)))
    assert other == pytest.approx(one, rel=1e-2)


def test_what_cannot_be_left_out_has_its_reason():
    row = hold_out(AllReduceStep(), Runs.of(workers=[1, 2], step_s=[1, 1.1]))
    assert row.runs == 0
    assert np.isnan(row.error)
    assert "a fit needs at least 2" in row.problem


def test_models_go_by_name_and_by_what_the_runs_are_of():
    assert model_named("Amdahl").name == "amdahl"
    with pytest.raises(UnknownNameError, match='Did you mean "amdahl"'):
        model_named("amdal")
    served = [model.name for model in models_for(Runs.of(workers=[1, 2], servers=[1, 2]))]
    assert served == ["servers", "async", "ernest", "usl", "amdahl", "linear"]
    assert next(iter(models_for(Runs.of(workers=[1, 2], servers=[0, 2])))).name == "ernest"


def test_a_measurement_never_makes_the_prediction_less_sure():
    fitted = AllReduceStep().fit(upto(measured(), 4))
    options = candidates(upto(measured(), 4), 32, PLAN)
    rows = suggest(fitted, options, PLAN)
    assert len(rows) == len(options)
    assert all(row.half_width_after <= row.half_width for row in rows)
    gains = [(row.half_width - row.half_width_after) / row.cost_worker_s for row in rows]
    assert gains[0] >= 0.5 * max(gains)


def test_the_run_nearest_to_the_plan_helps_most_and_a_budget_limits_it():
    fitted = AllReduceStep().fit(upto(measured(), 4))
    options = candidates(upto(measured(), 4), 64, PLAN)
    free = suggest(fitted, options, PLAN, budget_worker_s=1e9)[0]
    tight = suggest(fitted, options, PLAN, budget_worker_s=200)[0]
    assert free.workers == 64
    assert tight.cost_worker_s <= 200 < free.cost_worker_s
    assert free.half_width_after < tight.half_width_after


def test_measuring_what_was_suggested_narrows_the_interval():
    runs = upto(measured(), 4)
    best = suggest(AllReduceStep().fit(runs), candidates(runs, 16, PLAN), PLAN, budget_worker_s=1e9)[0]
    made = measured()
    added = made.take((made.workers == best.workers) & (made.machines == best.machines) & (made.batch == best.batch))
    before, after = (AllReduceStep().fit(some).predict(PLAN) for some in (runs, runs.joined(added)))
    assert len(added) == 1
    assert after.high_s[0] / after.low_s[0] < before.high_s[0] / before.low_s[0]


def test_advice_is_refused_without_a_posterior_or_a_budget_that_suffices():
    runs = few()
    with pytest.raises(FitError, match="no posterior"):
        suggest(Ernest().fit(runs), runs, PLAN)
    with pytest.raises(FitError, match="the cheapest run costs"):
        suggest(AllReduceStep().fit(runs), runs, PLAN, budget_worker_s=1e-6)
    with pytest.raises(UnitError, match="max-workers = 0"):
        candidates(runs, 0, PLAN)


def test_usual_is_the_most_frequent():
    assert usual(np.array([1.0, 2.0, 2.0, 3.0])) == 2


def test_a_study_predicts_twice_and_four_times_the_largest_unless_told():
    found = study(few(), comparing=False)
    assert found.plans.workers.tolist() == [16, 32]
    assert found.plans.fullest.tolist() == [4, 4]
    assert np.all(found.speedup < found.plans.workers)
    inside = study(few(), predict_workers=[6], per_machine=2, batch=64, comparing=False)
    assert (inside.plans.machines[0], inside.plans.batch[0]) == (3, 64)
    assert "beyond the runs" not in str(inside)


def test_fit_prints_parameters_comparison_predictions_and_the_next_run(command, table):
    code, out, err = command("fit", table(few()), "--predict-workers", 8, 32, "--next", "--max-workers", 32)
    assert (code, err) == (0, "")
    assert "model speedup, fitted to 9 runs of 1 to 8 workers" in out
    for part in (
        "inter_s",
        "overlap",
        "pollux",
        "usl",
        "beyond the runs by 2.0 doublings: expect +-",
        "next run to make",
    ):
        assert part in out
    assert "not identified" in out


def test_fit_writes_one_json_document(command, table):
    code, out, err = command("fit", table(few()), "--model", "ernest", "--no-compare", "--json")
    document = json.loads(out)
    assert (code, err, document["schema"], document["model"]) == (0, "", "speedup.fit/1", "ernest")
    assert [row["workers"] for row in document["predictions"]] == [16, 32]
    assert document["parameters"][0]["low"] is None
    assert all(row["low_s"] <= row["step_s"] <= row["high_s"] for row in document["predictions"])


def test_fit_takes_servers_a_profile_and_a_collective(command, table, tmp_path):
    runs = Runs.of(workers=[1, 2, 4, 8], servers=2, batch=16, step_s=[0.3, 0.32, 0.4, 0.6])
    code, out, _ = command("fit", table(runs, servers=True), "--no-compare", "--profile", "squeezenet-xeon-b16")
    assert code == 0
    assert "model servers, fitted to 5 runs" in out
    text = tmp_path / "nccl.txt"
    text.write_text(
        "# nThread 1 nGpus 8 minBytes 1 maxBytes 2\n# size count type redop root time algbw busbw #wrong\n"
        "1048576 262144 float sum -1 100.0 10.49 18.35 0\n16777216 4194304 float sum -1 400.0 41.94 73.40 0\n",
        encoding="utf-8",
    )
    code, out, _ = command(
        "fit", table(few()), "--no-compare", "--nccl", text, "--profile", "squeezenet-xeon-b16", "--json"
    )
    document = json.loads(out)
    assert (code, document["link"]["ranks"], document["runs"]) == (0, 8, 10)
    assert document["link"]["bandwidth_bytes_per_s"] == pytest.approx(15 * 2**20 * 1.75 / 300e-6, rel=0.02)
    code, out, _ = command("fit", "--nccl", text, "--json")
    alone = json.loads(out)
    assert (code, alone.pop("schema")) == (0, "speedup.collective/1")
    assert alone == document["link"]
    code, out, err = command("fit")
    assert (code, out) == (2, "")
    assert "nothing to fit" in err


def test_fit_ends_with_what_is_wrong(command, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("workers,step_s\n2,1.0\n", encoding="utf-8")
    assert command("fit", path) == (
        2,
        "",
        "error: runs = 1; a fit needs at least 2. Measure another, with other workers.\n",
    )
    code, out, err = command("fit", tmp_path / "none.csv")
    assert (code, out) == (3, "")
    assert "none.csv" in err
