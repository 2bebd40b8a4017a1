"""Runs that change on the way: their times are those of their phases, and their plans may change too."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import estimate, explain, recommend
from speedup.errors import PlanError, ProfileError, UnitError
from speedup.phases import best_sequence
from speedup.profile import Phase, Profile, Provenance, Timing
from speedup.tables import Status


def phase(name, batches, t_grad_s, share, base):
    elements = tuple(max(1, int(share * one)) for one in base.workload.tensor_elements)
    return Phase(
        name=name,
        batches=batches,
        t_grad=Timing(median_s=t_grad_s, provenance=Provenance.MEASURED),
        tensor_elements=elements,
    )


@pytest.fixture(scope="module")
def shrinking():
    """A profile whose payload falls to a hundredth over five epochs."""
    base = Profile.load("vgg16e")
    shares = [1.0, 0.3, 0.1, 0.03, 0.01]
    phases = tuple(phase(f"epoch {n + 1}", 600, 0.7 * 0.9**n, share, base) for n, share in enumerate(shares))
    return replace(base, phases=phases, t_comm=None)


@pytest.mark.parametrize("method", ["auto", "thesis"])
def test_the_time_of_a_run_is_the_sum_over_its_phases(shrinking, method):
    whole = estimate(shrinking, network="1gbit", method=method)
    parts = [
        estimate(shrinking.of_phase(one), network="1gbit", batches=one.batches, method=method)
        for one in shrinking.phases
    ]
    np.testing.assert_allclose(whole.time_s, sum(part.time_s for part in parts))
    assert whole.batches == 3000
    sequential = sum(part.batches * part.t_grad_s for part in parts)
    np.testing.assert_allclose(whole.speedup, sequential / whole.time_s)


def test_phases_that_are_alike_are_a_run_that_does_not_change():
    base = Profile.load("squeezenet")
    alike = replace(base, phases=tuple(phase(f"epoch {n}", 64, base.t_grad_s, 1.0, base) for n in (1, 2)))
    # Counts that divide a phase: each ends when its last batch does.
    given_ = {"network": "1gbit", "workers": [1, 2, 4, 8], "modes": ["sync-join", "sync-split"]}
    np.testing.assert_allclose(estimate(alike, **given_).time_s, estimate(base, batches=128, **given_).time_s)
    assert len(recommend(alike, network="1gbit").stages) == 1


def test_intervals_add_up_as_if_all_phases_erred_together(shrinking):
    whole = estimate(shrinking, network="1gbit", cv_grad=0.2, workers=4, modes="sync-join", servers="central")
    parts = [
        estimate(one, network="1gbit", batches=600, cv_grad=0.2, workers=4, modes="sync-join", servers="central")
        for one in map(shrinking.of_phase, shrinking.phases)
    ]
    slowest = sum(part.batches * part.t_grad_s / part.low for part in parts)
    np.testing.assert_allclose(whole.low, whole.batches * whole.t_grad_s / slowest)
    assert (whole.low < whole.speedup).all()
    assert (whole.speedup < whole.high).all()


times = st.lists(st.lists(st.floats(0.1, 100.0), min_size=3, max_size=3), min_size=1, max_size=5)


@given(times=times, switch=st.floats(0.0, 50.0))
def test_the_best_sequence_of_plans_is_the_fastest_of_all_sequences(times, switch):
    table = np.array(times)
    plans, found = best_sequence(table, np.full(len(table), switch))

    def taken(sequence):
        changes = sum(one != other for one, other in pairwise(sequence))
        return sum(table[place, plan] for place, plan in enumerate(sequence)) + switch * changes

    assert found == pytest.approx(min(map(taken, product(range(3), repeat=len(table)))))
    assert taken(plans) == pytest.approx(found)


def test_a_sequence_of_plans_is_never_slower_than_the_best_single_plan(shrinking):
    for switch in (0.0, 10.0, 1e6):
        found = recommend(shrinking, network="1gbit", switch_s=switch)
        time_s = sum(stage.plan.time_s + stage.switch_s for stage in found.stages)
        assert time_s <= found.choice.time_s * (1 + 1e-9)
        assert sum(stage.plan.batches for stage in found.stages) == 3000
        assert (len(found.stages) == 1) == (switch == 1e6)


def test_the_recommendation_says_when_to_change_the_plan_and_what_that_gains(shrinking):
    found = recommend(shrinking, network="1gbit")
    first, last = found.stages[0], found.stages[-1]
    assert (first.first, first.plan.workers) == ("epoch 1", 1)
    assert (last.last, last.plan.workers) == ("epoch 5", 8)
    assert last.switch_s > 10
    said = next(reason for reason in found.reasons if reason.startswith("Changing the plan"))
    assert "epoch 1: one worker alone; then epoch 2" in said
    assert found.to_dict()["stages"][-1]["plan"]["workers"] == 8
    assert "means over 5 phases" in str(found)


def test_a_plan_that_leaves_workers_idle_in_one_phase_is_no_candidate(shrinking):
    short = replace(shrinking, phases=(replace(shrinking.phases[0], batches=3), *shrinking.phases[1:]))
    assert {row.status for row in estimate(short, network="1gbit", workers=8, modes="sync-join")} == {
        Status.IDLE_WORKERS
    }
    assert recommend(short, network="1gbit").table.workers.max() < 8 or all(
        str(row.mode) == "sync-split" for row in recommend(short, network="1gbit").table if row.workers > 3
    )


def test_a_profile_with_phases_survives_its_file(shrinking, tmp_path):
    assert Profile.load(shrinking.save(tmp_path / "lab.json")) == shrinking


@pytest.mark.parametrize(
    ("given_", "error", "message"),
    [
        ({"network": "1gbit", "batches": 10}, PlanError, "batches cannot be given"),
        ({"network": "1gbit", "t_grad": 1.0}, PlanError, "t_grad cannot be given"),
        ({}, ProfileError, "has no t_comm"),
    ],
)
def test_numbers_that_change_from_phase_to_phase_cannot_be_given_once(shrinking, given_, error, message):
    with pytest.raises(error, match=message):
        estimate(shrinking, **given_)


def test_explain_wants_one_phase(shrinking):
    with pytest.raises(PlanError, match="takes one phase"):
        explain(shrinking, network="1gbit")
    assert explain(shrinking.of_phase(shrinking.phases[2]), network="1gbit", batches=600).estimate.batches == 600


def test_a_phase_without_tensors_is_refused(shrinking):
    with pytest.raises(UnitError, match='phase "epoch 1": tensor_elements is empty'):
        replace(shrinking.phases[0], tensor_elements=())
