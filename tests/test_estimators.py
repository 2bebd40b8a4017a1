"""Which estimator is taken, what interval it states, and that the simulation agrees."""

from dataclasses import replace

import numpy as np
import pytest

from speedup import Profile, SpeedupError, Timing, Workload, estimate, recommend, simulate
from speedup.profile import Device, Provenance

PLAN = {"t_grad": 1.0, "t_comm": 0.1, "workers": 8, "batches": 128}


def method_of(**options):
    return estimate(**{**PLAN, **options})[0].method


def test_auto_takes_the_cheapest_estimator_that_is_safe():
    assert method_of(modes="async", servers="central", schedules="semaphore") == "closed-form"
    assert method_of(modes="sync-join", servers="central", schedules="fair", cv_grad=0.2) == "recursion"
    assert method_of(modes="async", servers="central", schedules="semaphore", cv_grad=0.2) == "mva"
    assert method_of(modes="async", servers="central", schedules="semaphore", cv_grad=0.2, batches=20) == "simulation"
    assert method_of(modes="async", servers="central", schedules="fair", cv_grad=0.01) == "simulation"
    assert method_of(modes="async", servers="distributed", cv_grad=0.2, t_comm=2.0) == "simulation"
    assert method_of(modes="sync-join", servers="distributed", cv_grad=0.2, cv_comm=0.5) == "simulation"


def test_a_method_that_is_named_is_taken():
    for method, name in (("queueing", "mva"), ("simulation", "simulation"), ("thesis", "thesis"), ("exact", "exact")):
        schedules = "semaphore"
        assert method_of(modes="async", servers="central", schedules=schedules, cv_grad=0.2, method=method) == name


def test_where_nothing_is_safe_and_a_simulation_would_take_long_the_status_says_so():
    row = estimate(
        t_grad=1.0, t_comm=2.0, workers=64, batches=10_000, modes="async", servers="distributed", cv_grad=0.2
    )[0]
    assert (row.method, row.status) == ("mva", "rough")


@pytest.mark.parametrize("mode", ["sync-join", "sync-split", "async"])
@pytest.mark.parametrize(("server", "schedule"), [("central", "fair"), ("central", "semaphore"), ("distributed", None)])
def test_auto_is_within_two_percent_of_the_simulation(mode, server, schedule):
    options = {**PLAN, "modes": mode, "servers": server, "schedules": schedule, "cv_grad": 0.3, "cv_comm": 0.4}
    found = estimate(**options)[0]
    times = {"t_grad": 1.0, "t_comm": 0.1, "cv_grad": 0.3, "cv_comm": 0.4}
    want = simulate(
        workers=8, batches=128, mode=mode, server=server, schedule=schedule or "fair", replications=200, seed=9, **times
    )
    assert found.time_s == pytest.approx(want.mean_s, rel=0.02)
    low, high = np.quantile(want.time_s, [0.05, 0.95])
    speedups = 128 / high, 128 / low
    assert (found.speedup_low, found.speedup_high) == pytest.approx(speedups, rel=0.03)


def measured(spread, count, seed=0):
    rng = np.random.default_rng(seed)

    def timing(mean, **what):
        samples = rng.gamma(spread**-2, mean * spread**2, count)
        return Timing(
            median_s=float(np.median(samples)), samples_s=tuple(samples), provenance=Provenance.MEASURED, **what
        )

    return Profile(
        name="case",
        workload=Workload(architecture="case", tensor_elements=(1000,)),
        t_grad=(timing(1.0),),
        t_comm=timing(0.1, payload_bytes=4000),
        device=Device(platform="cpu", name="made up"),
    )


def test_the_spread_of_a_profile_is_that_of_its_samples():
    table = estimate(measured(0.4, 150), workers=8)
    assert table.inputs.grad_law.cv == pytest.approx(0.4, abs=0.06)
    assert table.inputs.grad_law.mean_s == pytest.approx(1.0, abs=0.08)
    assert estimate(measured(0.4, 150), workers=8, cv_grad=0.1).inputs.grad_law.cv == 0.1
    assert len(estimate(measured(0.4, 300), workers=2).inputs.grad_law.samples_s) == 300


def test_fewer_samples_make_wider_intervals():
    def width(count):
        row = estimate(measured(0.4, count), workers=8, modes="sync-join", servers="central", schedules="fair")[0]
        return np.log(row.speedup_high / row.speedup_low)

    assert width(15) > 1.5 * width(1500)


def test_the_interval_holds_the_estimate_and_says_its_level():
    for row in estimate(measured(0.3, 50), workers=[1, 4, 16]):
        assert row.speedup_low < row.speedup < row.speedup_high
        assert row.level == 0.9
    assert estimate(**PLAN)[0].speedup_low is None


def test_a_calibration_alone_makes_an_interval_where_no_time_varies():
    shaky = replace(
        measured(0.3, 50),
        t_grad=(Timing(median_s=1.0, low_s=0.9, high_s=1.1, level=0.9, provenance=Provenance.MEASURED),),
        t_comm=Timing(median_s=0.5, provenance=Provenance.MEASURED),
    )
    row = estimate(shaky, workers=8, modes="sync-join", servers="distributed")[0]
    assert row.method == "closed-form"
    # S = N Z / (Z + 2 s 7/8): where Z lies between 0.9 and 1.1, S does between these.
    ends = [8 * z / (z + 0.875) for z in (0.9, 1.1)]
    assert (row.speedup_low, row.speedup_high) == pytest.approx(ends, rel=0.01)


def test_a_recommendation_says_the_interval_and_what_a_semaphore_would_do():
    answer = recommend(
        **{key: PLAN[key] for key in ("t_grad", "t_comm")}, cv_grad=0.3, servers="central", modes="async"
    )
    assert answer.choice.schedule == "fair"
    assert "a run is in [" in answer.reasons[0]
    assert any("A semaphore at the server would help" in reason for reason in answer.reasons)
    assert any("t_grad varies by 30%" in note for note in answer.validity)


def test_schedules_of_the_thesis_are_formulas_under_auto_too():
    row = estimate(**PLAN, modes="async", servers="central", schedules="mean", cv_grad=0.3)[0]
    assert (row.method, row.equation) == ("closed-form", "W.6")
    with pytest.raises(SpeedupError, match="is a case of the thesis's formulas"):
        estimate(**PLAN, schedules="mean", method="queueing")
