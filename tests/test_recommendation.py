"""The choice: the best of its own table, with reasons made of that table's numbers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import line, swept

from speedup import SpeedupError, estimate, explain, recommend
from speedup.formulas.symbols import t_grad

seconds = st.floats(1e-5, 1e3)


@given(seconds, seconds, st.integers(1, 40), st.integers(1, 200), st.sampled_from(["thesis", "exact"]))
def test_the_choice_is_the_fastest_of_its_own_table(grad, comm, most, batches, method):
    answer = recommend(t_grad=grad, t_comm=comm, max_workers=most, batches=batches, method=method)
    assert answer.choice.time_s == pytest.approx(answer.table.time_s.min(), rel=1e-11)
    assert answer.choice.speedup >= 1 - 1e-12
    assert all(plan.time_s >= answer.choice.time_s * (1 - 1e-11) for plan in answer.runners_up)


@given(seconds, seconds, st.floats(0.05, 1.0))
def test_the_choice_is_the_fastest_that_is_efficient_enough(grad, comm, floor):
    answer = recommend(t_grad=grad, t_comm=comm, min_efficiency=floor)
    enough = answer.table.efficiency >= floor - 1e-12
    assert answer.choice.efficiency >= floor - 1e-12
    assert answer.choice.time_s == pytest.approx(answer.table.time_s[enough].min(), rel=1e-11)


@given(seconds, seconds)
def test_the_table_holds_the_estimates_of_every_plan(grad, comm):
    answer = recommend(t_grad=grad, t_comm=comm)
    same = estimate(t_grad=grad, t_comm=comm, schedules="mean")
    assert answer.table[0].mode == "sequential"
    np.testing.assert_array_equal(answer.table.time_s[1:], same.time_s)


@given(st.floats(1e-3, 10), st.floats(1e-3, 10))
def test_a_faster_network_never_makes_the_answer_slower(slow, fast):
    slow, fast = sorted((slow, fast))
    by_speed = [recommend("resnet34", network=f"{gigabit!r}gbit").choice for gigabit in (slow, fast)]
    assert by_speed[1].time_s <= by_speed[0].time_s * (1 + 1e-12)


def test_one_worker_is_an_answer_and_says_why_and_what_would_change_it():
    answer = recommend("vgg16e")
    assert (answer.choice.workers, answer.choice.speedup) == (1, 1.0)
    assert answer.headline == "Use one worker: 128 batches take 92 s."
    said = " ".join(answer.reasons)
    assert "No plan with up to 8 workers beats one worker alone" in said
    assert "7.17 times the 719 ms of computing a batch" in said
    assert "one transfer must take at most 2.88 s (now 5.15 s): 562 MB over 1.56 Gbit/s" in said
    assert "The smallest count that beats one worker: 16 workers" in said
    printed = " ".join(recommend("vgg16e", method="thesis").reasons)
    assert "The smallest count that beats one worker: 15 workers" in printed


def test_the_link_named_for_one_worker_s_sake_is_where_the_answer_turns():
    limit = 8 * 7 / 14 * 0.719  # S = 1 in 4.12: 2 t (N-1)/N + Z = N Z, with N = 8
    assert recommend("vgg16e", t_comm=limit * 1.001).choice.workers == 1
    assert recommend("vgg16e", t_comm=limit * 0.999).choice.workers == 8


def test_of_plans_with_the_same_time_the_one_without_stale_gradients_is_chosen():
    answer = recommend("squeezenet")
    assert answer.choice.mode == "sync-join"
    same = [plan for plan in answer.runners_up if plan.time_s == answer.choice.time_s]
    assert {(plan.mode, plan.server) for plan in same} == {("sync-join", "allreduce"), ("async", "distributed")}
    assert any("whose gradients are never stale" in reason for reason in answer.reasons)


def test_a_central_server_is_told_with_its_range_and_what_a_semaphore_gives():
    answer = recommend("squeezenet", servers="central", modes="sync-split")
    assert (answer.choice.workers, answer.choice.schedule) == (4, "mean")
    assert any("speedup 1.67 if all transfer at once (4.9), 2.14 if one at a time (4.6)" in r for r in answer.reasons)
    best = recommend("squeezenet", servers="central", modes="sync-split", schedules="semaphore").choice
    assert (best.workers, best.schedule) == (5, "semaphore")


def test_placed_tensors_are_set_against_equal_shares():
    said = " ".join(recommend("resnet34").reasons)
    assert "Algorithm 3.7 give speedup 2.36 instead of 2.93" in said
    assert not any("Algorithm 3.7" in reason for reason in recommend("resnet34", placement="greedy").reasons)


def test_counts_that_leave_workers_without_a_batch_are_no_candidates():
    answer = recommend("squeezenet", max_workers=20, batches=6, modes=["sync-join", "async"])
    assert answer.choice.workers == 6
    assert answer.table.workers.max() == 6
    assert "6 batches keep at most 6 workers busy." in answer.reasons


def test_whole_batches_are_mentioned_where_they_matter():
    answer = recommend("squeezenet", workers=[6], method="thesis")
    assert any(note.startswith("Status fractional-rounds: 128 batches on 6 workers") for note in answer.validity)


def test_counts_that_leave_out_one_worker_are_respected():
    answer = recommend("vgg16e", workers=[4, 8])
    assert answer.choice.workers == 8
    assert answer.choice.speedup < 1


def test_every_number_says_where_it_comes_from():
    published = recommend("resnet34").validity
    assert published[0].startswith("t_grad = 821 ms, published on NVIDIA GeForce GTX 970")
    assert published[1] == "t_comm = 811 ms, published."
    assumed = recommend("resnet34", network="1gbit", t_grad=0.5).validity
    assert assumed[0] == "t_grad = 500 ms, assumed (given)."
    assert assumed[1].startswith("t_comm = 685 ms, assumed: 85.7 MB over 1 Gbit/s (125 MB/s), the full line rate")


def test_text_notebook_and_json_tell_the_same_answer():
    answer = recommend("googlenet", network="1gbit", max_workers=16)
    document = json.loads(answer.to_json())
    assert document["schema"] == "speedup.recommendation/1"
    assert document["choice"] == answer.choice.to_dict()
    assert len(document["rows"]) == len(answer.table)
    for text in (str(answer), answer._repr_html_()):
        assert answer.headline in text
        assert all(plan.equation in text for plan in answer.runners_up)
    for reason in answer.reasons:
        assert reason in str(answer)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 4, "max_workers": 8}, "workers and max_workers were both given"),
        ({"max_workers": 0}, "max_workers = 0; it must be at least 1"),
        ({"objective": "fun"}, 'objective = "fun" is unknown. Allowed: time'),
        ({"min_efficiency": 0.0}, "min_efficiency = 0 speedup per worker; it must be finite and > 0"),
        ({"min_efficiency": "high"}, "min_efficiency = 'high' is not a number"),
        ({"min_efficiency": 1.2}, "min_efficiency = 1.2; it must be above 0 and at most 1"),
        (
            {"workers": [8], "min_efficiency": 0.99},
            "no plan reaches min_efficiency = 0.99; the highest is 0.929",
        ),
        ({"workers": [9], "batches": 4, "modes": "async"}, "all counts exceed batches = 4"),
    ],
)
def test_a_question_without_an_answer_is_refused(options, said):
    with pytest.raises(SpeedupError, match=said):
        recommend("squeezenet", **options)


def test_a_profile_without_t_comm_asks_for_the_network(tmp_path):
    from dataclasses import replace

    from speedup import Profile

    path = replace(Profile.load("resnet34"), t_comm=None, name="lab").save(tmp_path / "lab.json")
    with pytest.raises(SpeedupError, match='profile "lab" has no t_comm; name the network, such as network="1gbit"'):
        recommend(path)
    assert recommend(path, network="10gbit").choice.workers == 8


def test_a_part_of_a_batch_says_how_its_time_is_known():
    def said(**options):
        answer = recommend(swept(line), t_comm=1e-6, modes="sync-split", servers="distributed", **options)
        return next(note for note in answer.validity if "of a batch" in note)

    formula = "0.002 s + 0.001 s/sample x batch"
    assert said(workers=8) == (
        "A worker computes ceil(64/8) = 8 samples in 10 ms [9.8 ms, 10.2 ms] (95%), 15% of the time of a batch of 64: "
        "measured."
    )
    fitted = said(workers=7)
    assert "ceil(64/7) = 10 samples in 12 ms [11.8 ms, 12.2 ms] (95%), 18% of the time of a batch of 64" in fitted
    assert fitted.endswith(f"fitted, t = {formula}, held-out error median 0.0%, at most 0.0%.")
    assert said(workers=32).endswith("Extrapolated: the smallest measured batch size is 4.")
    assumed = recommend("squeezenet", modes="sync-split", workers=8).validity
    assert "Assumes that 1/8 of a batch takes 1/8 of its time." in assumed


def test_what_limits_sync_split_counts_the_time_of_a_part():
    answer = recommend(swept(line), t_comm=1e-3, modes="sync-split", servers="distributed", workers=8)
    assert answer.choice.t_grad_worker_s == pytest.approx(line(8))
    assert any("11.8 ms an iteration, 10 ms (85%) compute" in reason for reason in answer.reasons)


def test_the_link_named_for_sync_split_counts_the_time_of_a_part():
    options = {"modes": "sync-split", "servers": "distributed", "workers": [2]}
    answer = recommend(swept(line), t_comm=0.02, **options)
    limit = (line(64) / 1.6 - line(32)) / (2 * 1 / 2)  # 0.8 N = t_grad / (2 t (N-1)/N + t_grad(b/N)), with N = 2
    assert any(
        f"one transfer must take at most {1e3 * limit:.3g} ms (now 20 ms)" in reason for reason in answer.reasons
    )
    assert recommend(swept(line), t_comm=limit, **options).choice.efficiency == pytest.approx(0.8)


def test_an_efficiency_above_1_is_explained():
    answer = recommend(swept(lambda size: size**1.3), t_comm=1e-6, modes="sync-split", workers=[8])
    assert answer.choice.efficiency > 1
    assert any("An efficiency above 100 % is no slip" in note for note in answer.validity)


def test_t_grad_of_a_batch_size_says_where_it_comes_from():
    by_size = {size: recommend(swept(line), network="1gbit", batch=size).validity for size in (16, 24, 256)}
    assert by_size[16][0] == "t_grad = 18 ms [17.6 ms, 18.4 ms] (95%), measured on A device, batch 16."
    assert by_size[24][0].startswith(
        "t_grad = 26 ms [25.5 ms, 26.5 ms] (95%), fitted on A device, batch 24: 0.002 s + "
    )
    assert by_size[24][0].endswith("from batch sizes 4, 8, 16, 32, 64; held-out error median 0.0%, at most 0.0%.")
    assert "t_grad of batch 256 is extrapolated: batch sizes 4 to 64 were measured." in " ".join(by_size[256])
    single = recommend("squeezenet-xeon-b16", network="1gbit", batch=32).validity
    assert "batch 32: proportional to the batch, 0.0885 s/sample x batch, from batch size 16 alone." in single[0]
    given = recommend(t_grad=0.5, t_comm=0.1, batch=16).validity
    assert given[0] == "t_grad = 500 ms, assumed (given), batch 16."


def test_an_explanation_names_what_stands_for_t_grad_in_sync_split():
    told = explain(swept(line), network="1gbit", mode="sync-split", workers=5)
    assert told.values[t_grad] == pytest.approx(5 * line(13))
    text = str(told)
    assert "t_grad = 0.075 s" in text
    assert "N x t_grad(ceil(b/N)), for t_grad in this formula (fitted)" in text
    assert (
        "The largest of 5 parts of 64 samples has 13: t_grad(13) = 0.015 s (fitted), t_grad(64) = 0.066 s (measured)."
        in text
    )
    assert f"= 128*0.066/{told.estimate.time_s:.6g}" in text
    document = told.to_dict()
    assert eval(document["substituted"].removeprefix("t_train = ")) == pytest.approx(told.estimate.time_s, rel=1e-5)
    assert (document["part_of_a_batch"]["batch"], document["part_of_a_batch"]["t_grad_provenance"]) == (13, "fitted")
    assert explain(swept(line), network="1gbit", workers=5).part is None
    assert "warning: t_grad of batch 512 is extrapolated" in str(explain(swept(line), network="1gbit", batch=512))


def test_speeds_of_as_many_workers_as_are_allowed_are_enough():
    answer = recommend("resnet34", network="10gbit", speeds=[1, 1, 0.5, 2], max_workers=4)
    assert answer.choice.workers == 4
    assert not any("would give speedup" in reason for reason in answer.reasons)
