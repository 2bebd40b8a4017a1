"""What the user wants: time or money, of the run or to a target, within limits; chosen as brute force chooses."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speedup import Device, Profile, SpeedupError, Timing, Workload, estimate, recommend
from speedup.efficiency import NoiseScale
from speedup.profile import StepCost

SIZES = (8, 16, 32, 64)
PLANS = {"modes": ("sync-join", "sync-split"), "servers": ("central", "allreduce"), "schedules": "mean"}


def profile(per_sample=0.01, fixed=0.05, elements=250_000):
    """Return a profile with a sweep of batch sizes."""
    return Profile(
        name="made",
        workload=Workload(architecture="made", tensor_elements=(elements,), algorithm="sgd", batch=16),
        t_grad=tuple(
            Timing(median_s=fixed + per_sample * size, provenance="measured", batch=size) for size in (4, *SIZES)
        ),
        device=Device(platform="cpu", name="none"),
    )


def worth(row, size, batches, noise, reference=16):
    """Return the time to the target of a row, written out."""
    together = size * row.workers if row.mode == "sync-join" else size
    assert batches * size == pytest.approx(100 * reference, rel=0.3)
    return row.time_s * (1 + together / noise) / (1 + reference / noise)


@settings(max_examples=15)
@given(noise=st.floats(1, 1e5), rate=st.sampled_from(["1gbit", "10gbit", "100mbit"]), price=st.floats(0.1, 9))
def test_the_joint_choice_of_workers_batch_mode_and_server_is_that_of_brute_force(noise, rate, price):
    made, best = profile(), {}
    for size in SIZES:
        batches = max(1, round(100 * 16 / size))
        table = estimate(made, network=rate, batch=size, batches=batches, workers=range(1, 13), **PLANS)
        for row in (one for one in table if one.status != "idle-workers"):
            time_s = worth(row, size, batches, noise)
            for name, score in {
                "time": row.time_s,
                "cost": row.time_s * row.machines * price / 3600,
                "time-to-target": time_s,
                "cost-to-target": time_s * row.machines * price / 3600,
            }.items():
                best[name] = min(best.get(name, np.inf), score)
    for objective, least in best.items():
        answer = recommend(
            made, network=rate, batch=SIZES, batches=100, workers=range(1, 13), objective=objective,
            noise_scale=noise, price=price, **PLANS,
        )  # fmt: skip
        assert answer.outcomes[0].score <= least * (1 + 1e-9)
        alone = answer.choice.mode == "sequential"
        assert alone or answer.outcomes[0].score == pytest.approx(least, rel=1e-9)


def test_a_small_noise_scale_makes_more_workers_of_whole_batches_worth_little():
    made = profile()
    options = {"network": "10gbit", "batches": 1000, "max_workers": 32, "objective": "time-to-target"}
    many = recommend(made, **options, modes="sync-join", noise_scale=1e6).choice.workers
    few = recommend(made, **options, modes="sync-join", noise_scale=20.0).choice.workers
    assert many == 32
    assert few < 32


def test_money_is_that_of_all_machines_servers_included():
    made = profile()
    options = {"network": "1gbit", "workers": 4, "servers": "central", "modes": "async", "objective": "cost"}
    answer = recommend(made, **options, price=3.6)
    one = answer.outcomes[0]
    assert one.cost == pytest.approx(one.time_s * 5 * 3.6 / 3600)
    cheap = recommend(made, **options, price=3.6, server_price=0.36)
    assert cheap.outcomes[0].cost == pytest.approx(one.time_s * 4.1 * 3.6 / 3600)
    assert "USD" in answer.headline


def test_a_deadline_and_a_budget_are_kept_and_what_is_refused_is_told_with_its_reason():
    made = profile()
    options = {"network": "10gbit", "batches": 1000, "max_workers": 16, "price": 3.0}
    free = recommend(made, **options, objective="cost")
    fast = recommend(made, **options, objective="cost", deadline_s=free.outcomes[0].time_s / 4)
    assert fast.outcomes[0].time_s <= free.outcomes[0].time_s / 4
    assert fast.outcomes[0].cost >= free.outcomes[0].cost
    assert any("later than" in one.reason for one in fast.refused)
    assert all(not one.reason for one in fast.outcomes)
    times = [one.time_s for one in fast.front]
    costs = [one.cost for one in fast.front]
    assert times == sorted(times)
    assert costs == sorted(costs, reverse=True)
    within = recommend(made, **options, objective="time", budget=fast.outcomes[0].cost)
    assert within.outcomes[0].cost <= fast.outcomes[0].cost * (1 + 1e-9)


def test_limits_that_nothing_keeps_are_answered_with_the_nearest_plan():
    made = profile()
    options = {"network": "10gbit", "batches": 1000, "max_workers": 16, "price": 3.0}
    answer = recommend(made, **options, objective="cost", deadline_s=0.001)
    assert "nearest" in answer.headline
    assert "later than" in answer.reasons[0]
    fastest = recommend(made, **options).choice.time_s
    assert answer.outcomes[0].time_s == pytest.approx(fastest)
    plain = recommend(made, network="10gbit", max_workers=16, deadline_s=0.001)
    assert plain.headline.startswith("No plan keeps all limits; the nearest: Use ")


def test_plans_that_do_not_fit_are_not_chosen():
    made = profile(elements=25_000_000)
    roomy = recommend(made, network="10gbit", max_workers=8, device_bytes=1e9)
    assert roomy.choice.workers == 8
    with pytest.raises(SpeedupError, match=r"no plan can be run.* Weights, gradients and one sample need more"):
        recommend(made, network="10gbit", max_workers=8, device_bytes=1e6)


def test_where_no_batch_fits_the_one_that_does_is_named():
    costs = tuple(StepCost(batch=size, activations_bytes=10**6 * size) for size in (8, 16))
    made = replace(profile(), costs=costs)
    weights = 4 * 250_000
    with pytest.raises(SpeedupError, match=r"the device has .* Take batches of at most 10, or"):
        recommend(made, network="10gbit", modes="sync-join", batch=[16, 32], device_bytes=2 * weights + 10.5e6)
    assert recommend(made, network="10gbit", batch=10, device_bytes=2 * weights + 10.5e6).choice.workers == 8


def test_machines_that_fail_faster_than_a_run_gets_on_are_told_so():
    asked = {"network": "10gbit", "batches": 10**5, "save_s": 60, "restart_s": 60}
    with pytest.raises(SpeedupError, match=r"never finishes.* fail less often"):
        recommend(profile(), **asked, mtbf_h=1e-4)
    answer = recommend(profile(), **asked, mtbf_h=2.0, workers=range(1, 513), modes="sync-join")
    assert np.isinf(answer.field.judged.time_s).any() or answer.field.judged.time_s.max() > 1e6
    assert answer.outcomes[0].time_s < 1e6
    answer.to_json()


@pytest.mark.parametrize("objective", ["cost", "cost-to-target"])
def test_of_plans_that_cost_nothing_the_fastest_is_taken_and_the_price_warned_of(objective):
    asked = {"network": "10gbit", "noise_scale": 1e4, "max_workers": 8}
    answer = recommend(profile(), **asked, objective=objective, price=0)
    assert answer.outcomes[0].cost == 0
    fastest = recommend(profile(), **asked, objective="time-to-target" if "target" in objective else "time")
    assert answer.choice.plan == fastest.choice.plan
    assert any("price of 0" in one for one in answer.validity)
    assert any("the fastest is chosen" in one for one in answer.reasons)
    sure, usual = answer.certainty(), fastest.certainty()
    assert (sure.unit, sure.probability_best) == ("s", usual.probability_best)
    assert sure.expected_regret_score == pytest.approx(usual.expected_regret_score)
    assert "How sure" in str(answer)
    answer.to_json()


def test_workers_for_nothing_with_servers_that_cost_compare_what_is_free():
    answer = recommend(profile(), network="10gbit", max_workers=8, objective="cost", price=0, server_price=1.0)
    assert answer.outcomes[0].cost == 0
    assert answer.choice.server != "central"
    assert answer.choice.workers == 8
    answer.to_json()


def test_failures_make_large_runs_in_step_longer():
    options = {"network": "10gbit", "batches": 10**6, "workers": 64, "modes": "sync-join", "servers": "allreduce"}
    smooth = recommend(profile(), **options)
    rough = recommend(profile(), **options, mtbf_h=500, save_s=60, restart_s=600)
    assert rough.outcomes[0].time_s > smooth.choice.time_s
    assert any("a machine fails every 500 h" in one for one in rough.validity)


def test_a_measured_noise_scale_of_the_profile_is_used():
    made = replace(profile(), noise_scale=NoiseScale.assumed(300.0))
    answer = recommend(made, network="10gbit", objective="time-to-target")
    given_ = recommend(profile(), network="10gbit", objective="time-to-target", noise_scale=300.0)
    assert answer.outcomes[0].score == given_.outcomes[0].score


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "speed"}, "objective"),
        ({"objective": "cost"}, "needs a price"),
        ({"budget": 3.0}, "needs a price"),
        ({"objective": "time-to-target"}, "noise scale"),
        ({"price": -1.0}, "price"),
        ({"deadline_s": 0.0}, "deadline"),
        ({"save_s": 3.0}, "mtbf_h"),
        ({"batch": []}, "batch is empty"),
        ({"batch": [8, 16], "t_grad": 1.0}, "t_grad is that of one batch size"),
        ({"min_efficiency": 2.0}, "at most 1"),
        ({"budget": 0.0, "price": 1.0}, "budget = 0 USD"),
        ({"deadline_s": -1.0}, "deadline = -1 s"),
        ({"noise_scale": 0.0, "objective": "time-to-target"}, "noise_scale = 0 samples"),
        ({"staleness_cost": -1.0}, "staleness_cost = -1"),
        ({"mtbf_h": 0.0}, "mtbf = 0 h"),
        ({"device_bytes": 0.0}, "device memory = 0 bytes"),
    ],
)
def test_what_cannot_be_wanted_is_refused_in_a_sentence(options, words):
    with pytest.raises(SpeedupError, match=words):
        recommend(profile(), network="1gbit", **options)


def test_a_cost_of_staleness_without_a_target_is_said_to_count_for_nothing():
    answer = recommend(profile(), network="1gbit", staleness_cost=3.0)
    assert any("counts for a target alone" in one for one in answer.validity)


def test_how_sure_is_part_of_the_answer():
    answer = recommend(profile(), network="10gbit", max_workers=8)
    found = answer.certainty()
    assert 0 < found.probability_best <= 1
    assert "How sure:" in str(answer)
    assert answer.to_dict()["certainty"]["probability_best"] == found.probability_best
    assert found.choice.plan.plan == answer.choice.plan
    assert max(one.plan.workers for one in found.contenders) <= 8
