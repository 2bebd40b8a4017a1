"""Formulas without fitted constants, splits, judges, and the stated accuracies."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from speedup import cli
from speedup.published import contestants, leaderboard, trials
from speedup.published.accuracy import STATED, Check, Stated, check, sentence
from speedup.published.asynchronous import queued_steps
from speedup.published.judging import Heading, judge, judge_prediction, overall
from speedup.published.leaderboard import judge_all
from speedup.published.nominal import FRAMING, fitted_bandwidth, linear_steps, nominal_steps, paleo_steps, step_times
from speedup.published.records import Series, pollux_aws
from speedup.published.splits import POLLUX_SPLITS, halves, left_out
from speedup.scaling.models import Prediction
from speedup.scaling.runs import Runs

MADE = Heading("somewhere", "half", "model")


def column(*values):
    return np.array(values, dtype=float)


def made_series(**changes):
    runs = Runs(
        workers=column(1, 4, 8, 16),
        machines=column(1, 1, 2, 4),
        fullest=column(1, 4, 4, 4),
        servers=column(0, 0, 2, 4),
        batch=column(8, 8, 8, 8),
        step_s=column(0.9, 1.0, 1.0, 1.0),
    )
    series = Series("somewhere", "made", "net", "sharded", False, False, "fp32", 1e9, 1e9, 4, runs)
    return replace(series, **changes)


def test_formulas_are_those_of_the_docstrings_by_hand():
    sharded = made_series()
    rate = 1e9
    assert step_times(sharded, sharded.between, rate) == pytest.approx([0.9 + 1, 0.9 + 1.5])
    assert step_times(sharded, sharded.between, rate, alone=False) == pytest.approx([1 + 1, 1 + 1.5])
    own = replace(sharded, dedicated=True)
    assert step_times(own, own.between, rate) == pytest.approx([0.9 + 2, 0.9 + 2])
    ring = replace(sharded, kind="allreduce", overlaps=True)
    assert step_times(ring, ring.between, rate) == pytest.approx([0.3 + 14 / 8, 0.3 + 30 / 16])
    assert step_times(ring, ring.between, 1e12) == pytest.approx([1.0, 1.0])
    assert nominal_steps(ring, ring.between) == pytest.approx(step_times(ring, ring.between, FRAMING * rate))
    assert paleo_steps(ring, ring.between) == pytest.approx([1 + 2, 1 + 4])
    assert paleo_steps(sharded, sharded.between) == pytest.approx([1 + 1, 1 + 1.5])
    assert linear_steps(sharded, sharded.between) == pytest.approx([1, 1])


@pytest.mark.parametrize("kind", ["sharded", "allreduce"])
def test_a_bandwidth_is_found_again_in_steps_made_with_it(kind):
    series = made_series(kind=kind)
    made = step_times(series, series.between, 3.3e8)
    found = fitted_bandwidth(lambda rate: step_times(series, series.between, rate), made)
    assert found == pytest.approx(3.3e8, rel=1e-4)


def test_one_asynchronous_worker_takes_its_own_step_and_many_wait_for_the_server():
    series = made_series()
    runs = replace(series.runs, workers=column(1, 2, 64, 128))
    steps = queued_steps(series, runs, 1e10)
    assert steps[0] == pytest.approx(0.9)
    assert (np.diff(steps) > 0).all()
    assert steps[-1] == pytest.approx(128 * 0.1, rel=1e-3)


def test_fitted_and_tested_runs_of_a_split_never_meet():
    runs = Runs(*(column(*range(1, 65)) for _ in range(6)))
    for split in POLLUX_SPLITS:
        assert not (split.fitted(runs) & split.tested(runs)).any()
    for fitted, tested in (*halves(64), *left_out(runs.workers > 60)):
        assert (fitted ^ tested).all()


def test_halves_are_the_same_each_time_and_unlike_one_another():
    first, again = ([fitted.tolist() for fitted, _ in halves(20)] for _ in range(2))
    assert first == again
    assert len({tuple(one) for one in first}) == len(first)


def test_an_error_of_speedup_is_that_of_the_reciprocal():
    measured, predicted = column(2.0), column(1.0)
    assert judge(MADE, "net", measured, predicted).mean_error == pytest.approx(0.5)
    assert judge(replace(MADE, quantity="speedup"), "net", measured, predicted).mean_error == pytest.approx(1.0)


def test_coverage_and_width_count_what_intervals_hold():
    measured = column(1.0, 2.0, 3.0, 4.0)
    said = Prediction(column(1, 2, 2, 4), column(0.9, 1.9, 1.9, 3), column(1.1, 2.1, 2.1, 5), column(0, 0, 0, 0))
    score = judge_prediction(MADE, "net", measured, said)
    assert score.coverage == pytest.approx(0.75)
    assert score.width == pytest.approx(0.15)
    without = replace(said, low_s=np.full(4, np.nan), high_s=np.full(4, np.nan))
    assert judge_prediction(MADE, "net", measured, without).coverage is None


def test_groups_have_the_same_weight_in_their_sum():
    small = judge(MADE, "small", column(1.0), column(1.3))
    large = judge(MADE, "large", np.ones(9), np.full(9, 1.1))
    both = overall([small, large])
    assert both.mean_error == pytest.approx(0.2)
    assert both.runs == 10


def test_a_model_that_cannot_be_fitted_is_not_listed():
    class Refusing:
        name = "refusing"

        def fit(self, runs):
            raise trials.FitError("too few")

    runs = Runs(*(column(1, 2, 4, 8) for _ in range(6)))
    models = (contestants.Linear(), Refusing())
    (scores,) = trials.contest(MADE, models, {"net": runs}, lambda some: left_out(some.workers > 4))
    assert [score.group for score in scores] == ["net", trials.TOGETHER]
    assert scores[0].model == trials.OURS


@pytest.fixture
def _ours_alone(monkeypatch):
    # Rivals take most of the time, and nothing is stated of them.
    monkeypatch.setattr(contestants, "laws", tuple)


@pytest.mark.usefixtures("_ours_alone")
def test_every_stated_accuracy_holds():
    board = judge_all()
    assert [one.stated for one in board.checks] == list(STATED)
    assert [sentence(one) for one in board.broken] == []


@pytest.mark.parametrize("kind", ["servers", "all-reduce"])
def test_without_fitted_constants_our_mean_error_is_the_smallest(kind):
    (trial,) = (one for one in trials.trials() if one.split == f"nominal bandwidth, {kind}")
    errors = {score.model: score.mean_error for score in trial.run() if score.group == "all"}
    assert min(errors, key=errors.get) == "speedup"
    assert {"paleo", "linear", trials.MACHINE_ALONE} < set(errors)


def test_rivals_are_on_the_board():
    split = POLLUX_SPLITS[-1]
    groups = {"yolov3": pollux_aws()["yolov3"]}
    found = trials.contest(
        MADE, contestants.allreduce(), groups, lambda runs: [(split.fitted(runs), split.tested(runs))]
    )
    errors = {scores[0].model: scores[0].mean_error for scores in found}
    assert set(errors) == {"speedup", "pollux", "ernest", "usl", "amdahl", "linear"}
    assert errors["speedup"] < min(errors["pollux"], errors["linear"])


def test_every_stated_accuracy_is_of_a_split_that_there_is_and_misses_say_their_goal():
    known = {(trial.source, trial.split) for trial in trials.trials()}
    for stated in STATED:
        assert (stated.source, stated.split) in known or stated.source == "everything"
        assert stated.low < stated.high
        beyond = stated.measure == "coverage" and stated.high > 0.95
        assert bool(stated.goal) == (beyond or (stated.source, stated.measure) == ("mxnet-grid", "mean error"))


def test_an_interval_that_is_no_longer_given_breaks_what_is_stated_of_it():
    bare = judge(Heading("cm-dare", "leave one out", "speedup"), "all", column(1.0), column(1.0))
    (found,) = check([bare], [Stated("cm-dare", "leave one out", "coverage", 0.85, 0.95)])
    assert not found.holds
    assert not Check(Stated("a", "b", "mean error", 0, 0.1), 0.11).holds


@pytest.mark.usefixtures("_ours_alone")
def test_the_command_ends_with_0_and_writes_one_document_and_the_scores(capsys, tmp_path):
    file = tmp_path / "scores.csv"
    assert cli.run(["validate", "--source", "cm-dare", "--json", "--out", str(file)]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert set(document) == {"schema", "scores", "stated"}
    assert document["schema"] == "speedup.leaderboard/1"
    assert {row["source"] for row in document["scores"]} == {"cm-dare"}
    fields = {
        "source",
        "split",
        "model",
        "group",
        "quantity",
        "runs",
        "mean_error",
        "median_error",
        "coverage",
        "width",
    }
    assert all(set(row) == fields for row in document["scores"])
    assert all(row["holds"] is True and row["value"] <= row["high"] for row in document["stated"])
    assert "1/3 cm-dare" in err
    assert len(file.read_text().splitlines()) == 1 + len(document["scores"])


@pytest.mark.usefixtures("_ours_alone")
def test_the_command_ends_with_1_and_names_the_broken_accuracy(capsys, monkeypatch):
    tight = Stated("cm-dare", "one bandwidth for all", "mean error", 0.0, 0.001)
    monkeypatch.setattr(leaderboard.judge_all, "__kwdefaults__", {"stated": (tight,), "on_trial": None})
    assert cli.run(["validate", "--source", "cm-dare", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert "FAILS  cm-dare, one bandwidth for all: mean error" in out
    assert err.startswith("error: cm-dare, one bandwidth for all: mean error")
    assert "stated at most 0.1 %" in err


def test_an_unknown_source_is_refused_before_any_work(capsys):
    assert cli.run(["validate", "--source", "elsewhere"]) == 2
    assert "elsewhere" in capsys.readouterr().err


def test_validate_cluster_is_still_its_own_command():
    done = subprocess.run(
        [sys.executable, "-m", "speedup", "validate", "cluster", "--help"], capture_output=True, text=True, check=True
    )
    assert "grid of plans" in done.stdout
