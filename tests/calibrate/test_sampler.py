"""The sampler does what it says, to the call, on a clock that only the test moves."""

import math
import random

import pytest
from fake_clock import Script
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrate.timing.sampler import Progress, Rule, Sampler, Stage, Stop, sample, settled
from calibrate.timing.statistics import summarise
from speedup.errors import UnitError, UnstableTimingError
from speedup.profile import Provenance


def run(script, **options):
    options.setdefault("sample_s", 0.1)
    return sample(script, wait=script.wait, clock=script.clock, **options)


def test_a_constant_step_is_measured_exactly():
    result = run(Script(0.25))
    assert set(result.samples_s) == {0.25}
    assert (result.median_s, result.summary.low, result.summary.high) == (0.25, 0.25, 0.25)
    assert result.stop is Stop.TARGET
    assert result.stable
    assert result.warnings() == ()


def test_the_first_call_is_reported_apart_and_in_no_sample():
    result = run(Script(7.0, 0.2))
    assert result.first_s == 7.0
    assert result.samples_s == pytest.approx([0.2] * len(result.samples_s))


@pytest.mark.parametrize(("duration", "loops"), [(0.2, 1), (0.1, 1), (0.06, 2), (0.01, 16), (1e-4, 1024)])
def test_loops_double_until_a_sample_lasts_long_enough(duration, loops):
    result = run(Script(duration), sample_s=0.1)
    assert result.loops == loops
    assert result.median_s == pytest.approx(duration)


def test_a_sample_lasts_half_a_second_unless_asked_otherwise():
    script = Script(0.01)
    assert sample(script, wait=script.wait, clock=script.clock).loops == 64


def test_the_wait_is_timed_once_a_sample():
    script = Script(0.05, wait=0.02)
    result = run(script)
    # Two calls of 50 ms and one wait of 20 ms; the wait of a call alone would make 70 ms.
    assert result.loops == 2
    assert result.median_s == pytest.approx((2 * 0.05 + 0.02) / 2)
    samples = len(result.samples_s) + (result.warmup - 1 - 1) // 2
    assert script.waits == 2 + samples + len(result.steps_s)


def test_warm_up_lasts_until_the_step_no_longer_gets_faster():
    falling = [10.0, 8.0, 6.0, 4.0, 2.0, 1.0]
    result = run(Script(*falling, 0.5), max_time_s=1000)
    assert set(result.samples_s) == {0.5}
    assert result.warmup >= len(falling) + 3


def test_warm_up_is_bounded_and_an_endless_trend_is_reported_as_drift():
    durations = [0.2 * 0.97**index for index in range(1000)]
    script = Script(*durations)
    result = run(script, sample_s=0.001, max_time_s=4.0, min_time_s=1.0)
    assert result.warmup < 20
    assert any("faster" in warning for warning in result.warnings())


def test_settled_needs_three_samples_no_faster_than_those_before():
    assert not settled([1.0, 1.0, 1.0])
    assert settled([1.0, 1.0, 1.0, 1.0])
    assert settled([1.0, 5.0, 1.1, 0.99])
    assert not settled([1.0, 1.0, 0.9, 1.0])


def test_samples_are_spread_over_the_minimum_time():
    result = run(Script(0.1), min_time_s=20.0)
    assert sum(result.samples_s) == pytest.approx(20.0, abs=0.11)


def test_at_least_the_minimum_of_samples_is_taken():
    result = run(Script(2.0), min_samples=17, min_time_s=0.0)
    assert len(result.samples_s) == 17


def test_at_most_the_maximum_of_samples_is_taken_and_said_so():
    noise = random.Random(1)
    result = run(Script(*(noise.uniform(0.1, 0.3) for _ in range(5000))), max_samples=30, min_time_s=0.0)
    assert len(result.samples_s) == 30
    assert result.stop is Stop.SAMPLES
    assert "after 30 samples" in result.unmet[0]


def test_sampling_stops_at_the_first_look_at_which_the_interval_is_narrow_enough():
    noise = random.Random(2)
    script = Script(*(noise.gauss(0.2, 0.004) for _ in range(5000)))
    result = run(script, target=0.01, min_time_s=0.0, max_time_s=10_000)
    assert result.relative_half_width <= 0.01
    looks = [10]
    while looks[-1] < len(result.samples_s):
        looks.append(math.ceil(1.25 * looks[-1]))
    assert looks[-1] == len(result.samples_s) > 30
    for look in looks[:-1]:
        assert summarise(result.samples_s[:look], times=result.times_s[:look]).relative_half_width > 0.01


def test_a_narrower_target_takes_more_samples():
    def taken(target):
        noise = random.Random(3)
        script = Script(*(noise.gauss(0.2, 0.004) for _ in range(20_000)))
        return len(run(script, target=target, min_time_s=0.0, max_time_s=10_000).samples_s)

    assert taken(0.03) < taken(0.01)


def test_the_time_limit_ends_sampling_and_names_what_was_not_reached():
    noise = random.Random(4)
    script = Script(*(noise.uniform(0.5, 1.5) for _ in range(500)))
    result = run(script, max_time_s=20.0)
    assert result.stop is Stop.TIME
    assert 20.0 <= result.elapsed_s <= 21.5
    assert not result.stable
    assert any("+-2 % was asked for" in warning and "max_time_s" in warning for warning in result.warnings())


def test_a_step_longer_than_the_time_limit_still_gives_one_sample():
    result = run(Script(100.0), max_time_s=10.0)
    assert result.samples_s == (100.0,)
    assert result.summary.low is None
    text = " ".join(result.warnings())
    assert "only 1 of at least 10 samples" in text
    assert "without an interval" in text


def test_each_condition_not_met_is_named_with_its_numbers():
    unmet = Rule(min_samples=10, min_time_s=5.0, target=0.02).unmet(summarise([1.0, 1.4, 1.0, 1.4, 1.0, 1.4]), 6, 3.0)
    assert len(unmet) == 3
    assert "6 of at least 10" in unmet[0]
    assert "span 3 s, not 5 s" in unmet[1]
    assert "+-42 % after 6 samples" in unmet[2]


def test_a_spread_above_five_percent_is_called_unstable_with_its_number():
    script = Script(*[0.2, 0.24] * 500)
    result = run(script, target=0.5)
    assert result.stop is Stop.TARGET
    assert not result.stable
    assert "t_grad varies by 9.3 % (limit 5 %)" in result.warnings()[0]


def test_a_slower_second_half_is_called_drift():
    script = Script(*[0.2] * 40, *[0.23] * 60)
    result = run(script, max_samples=70, min_samples=70, min_time_s=0.0)
    assert any("15 % slower" in warning for warning in result.warnings())


def test_other_names_can_stand_in_the_warnings():
    result = run(Script(*[0.2, 0.24] * 500), target=0.5)
    assert result.warnings("t_comm")[0].startswith("t_comm varies")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_passes_through(failure):
    script = Script(0.1)

    def step():
        if script.calls == 12:
            raise failure
        return script()

    with pytest.raises(failure):
        sample(step, wait=script.wait, clock=script.clock)


def test_a_clock_that_stands_still_is_an_error_not_an_endless_loop(monkeypatch):
    monkeypatch.setattr("calibrate.timing.sampler._MOST_LOOPS", 64)
    with pytest.raises(UnstableTimingError, match="64 calls took 0 s"):
        run(Script(0.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": 0.0},
        {"level": 1.0},
        {"min_samples": 0},
        {"max_samples": 5},
        {"max_time_s": math.nan},
        {"min_time_s": -1.0},
        {"sample_s": 0.0},
    ],
)
def test_a_limit_out_of_range_is_refused_before_the_first_call(wrong):
    script = Script(0.1)
    with pytest.raises(UnitError):
        run(script, **wrong)
    assert script.calls == 0


def test_progress_never_falls_and_ends_at_one():
    noise, seen = random.Random(5), list[Progress]()
    script = Script(3.0, *(noise.uniform(0.05, 0.4) for _ in range(5000)))
    run(script, max_time_s=40.0, on_progress=seen.append)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] == 1
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == [Stage.FIRST, Stage.WARMUP, Stage.SAMPLING, Stage.DONE]
    sampling = [progress for progress in seen if progress.stage is Stage.SAMPLING]
    assert [progress.samples for progress in sampling] == list(range(1, len(sampling) + 1))
    assert all(progress.remaining_s >= 0 for progress in sampling)


def test_time_spent_on_progress_is_in_no_sample():
    script = Script(0.2)

    def slow(_progress):
        script.clock.now += 5.0

    result = run(script, on_progress=slow, max_time_s=500.0)
    assert result.samples_s == pytest.approx([0.2] * len(result.samples_s))


def test_the_profile_gets_the_samples_as_they_were_taken():
    script = Script(*[0.2, 0.2, 0.201] * 300)
    result = run(script)
    timing = result.timing(batch=16)
    assert timing.samples_s == result.samples_s
    assert (timing.batch, timing.loops, timing.warmup) == (16, 1, result.warmup)
    assert timing.provenance is Provenance.MEASURED
    assert timing.low_s <= timing.median_s <= timing.high_s
    assert timing.stable is result.stable is True


@settings(max_examples=20, deadline=None)
@given(median=st.floats(1e-3, 0.5), seed=st.integers(0, 1000))
def test_a_generated_duration_is_recovered_to_the_target(median, seed):
    noise = random.Random(seed)
    script = Script(*(median * noise.lognormvariate(0, 0.03) for _ in range(60_000)))
    result = run(script, target=0.02, max_time_s=600.0)
    # Loops average the noise, and an average of log-normal noise lies 0.05 % above its median.
    assert result.median_s == pytest.approx(median, rel=0.04)


def visited(script, **rule):
    rule = Rule(**{"sample_s": 0.1, "min_time_s": 0.0} | rule)
    return Sampler(script, wait=script.wait, rule=rule, clock=script.clock)


def test_one_visit_to_the_end_is_what_sample_does():
    durations = [random.Random(6).uniform(0.1, 0.2) for _ in range(500)]
    sampler = visited(Script(*durations), max_time_s=20.0)
    sampler.prepare()
    sampler.visit(math.inf)
    assert sampler.done
    assert sampler.result() == run(Script(*durations), max_time_s=20.0, min_time_s=0.0)


def test_a_visit_lasts_as_long_as_asked_and_takes_at_least_one_sample():
    sampler = visited(Script(0.2), target=1e-9, max_samples=10**6)
    sampler.visit(1.0)
    sampler.visit(0.0)
    sampler.visit(0.5)
    assert sampler.result().visits == (5, 1, 3)
    assert sum(sampler.result().visits) == len(sampler.result().samples_s)


def test_time_between_visits_spreads_the_samples_but_uses_no_time():
    script = Script(0.2)
    sampler = visited(script, min_time_s=100.0, max_time_s=10.0)
    for _ in range(11):
        assert not sampler.done
        sampler.visit(0.2)
        script.clock.now += 10.0
    result = sampler.result()
    assert result.stop is Stop.TARGET
    assert result.times_s[-1] == pytest.approx(10 * 10.2)


def test_what_happens_between_visits_is_in_no_sample():
    script, other = Script(0.05), Script(3.0)
    other.clock = script.clock
    samplers = [visited(step, min_samples=8, max_samples=8, max_time_s=1e3) for step in (script, other)]
    while not all(sampler.done for sampler in samplers):
        for sampler in samplers:
            sampler.visit(1.0)
    results = [sampler.result() for sampler in samplers]
    assert results[0].samples_s == pytest.approx([0.05] * 8)
    assert results[1].samples_s == pytest.approx([3.0] * 8)


def test_a_later_visit_begins_with_a_call_thrown_away():
    script = Script(*[0.05] * 200)
    sampler = visited(script)
    sampler.visit(0.0)
    before, calls = sampler.result(), script.calls
    sampler.visit(0.0)
    result = sampler.result()
    assert result.warmup == before.warmup + 1
    assert script.calls - calls == 1 + result.loops + len(result.steps_s) - len(before.steps_s)


def test_noise_that_comes_between_visits_widens_the_interval():
    quiet = random.Random(7)

    def measured(levels):
        script = Script(*(level * quiet.gauss(0.2, 0.001) for level in levels for _ in range(200)))
        sampler = visited(script, target=1e-9, max_samples=10**6)
        for _ in levels:
            sampler.visit(1.9)
            script.calls += 200 - script.calls % 200
        return sampler.result().relative_half_width

    assert measured([1.0] * 6) < 0.01
    assert measured([1.0, 1.0, 1.2, 1.2, 1.0, 1.2]) > 0.1


def test_a_caller_who_stops_early_gets_what_there_is():
    sampler = visited(Script(0.2))
    with pytest.raises(UnstableTimingError, match="nothing was timed yet"):
        sampler.result()
    sampler.visit(0.6)
    result = sampler.result()
    assert not sampler.done
    assert result.stop is Stop.CALLER
    assert len(result.samples_s) == 3
    assert "only 3 of at least 10 samples" in result.unmet[0]


def test_single_steps_are_timed_over_all_the_samples_in_a_tenth_of_the_time():
    result = run(Script(0.01, wait=0.001), min_time_s=10.0)
    assert result.steps_s == pytest.approx([0.011] * len(result.steps_s))
    assert len(result.steps_s) * 0.011 == pytest.approx(0.1 * sum(result.samples_s) * result.loops, rel=0.15)


def test_single_steps_are_thinned_evenly_to_a_thousand():
    result = run(Script(1e-5), min_time_s=10.0)
    assert result.loops > 1000
    assert 500 <= len(result.steps_s) <= 1000


def test_where_a_sample_is_one_call_the_samples_are_the_single_steps():
    result = run(Script(0.3, 0.31, 0.32))
    assert result.loops == 1
    assert result.steps_s == result.samples_s


def test_the_uncontended_time_is_that_of_the_quiet_samples():
    result = run(Script(*[0.2, 0.2, 0.3, 0.3, 0.3] * 200), target=0.001, max_samples=100)
    assert result.median_s == pytest.approx(0.3)
    assert result.uncontended_s == result.timing().uncontended_s == pytest.approx(0.2)
    assert result.timing().steps_s == result.samples_s


def test_visits_asked_for_are_made_and_short_when_all_else_is_met():
    script = Script(0.2)
    sampler = visited(script, min_visits=3)
    for _ in range(3):
        assert not sampler.done
        sampler.visit(1000.0)
        script.clock.now += 60.0
    result = sampler.result()
    assert (result.stop, result.unmet) == (Stop.TARGET, ())
    assert result.visits == (10, 3, 4)


def test_visits_missing_are_named():
    sampler = visited(Script(0.2), min_visits=3)
    sampler.visit(1000.0)
    assert sampler.result().unmet == ("only 1 of at least 3 visits were made.",)


def test_every_visit_gets_its_share_of_the_time():
    script = Script(0.25)
    sampler = visited(script, target=1e-9, min_samples=1000, max_samples=1000, max_time_s=20.0, min_visits=4)
    for _ in range(4):
        assert not sampler.done
        sampler.visit(math.inf)
        script.clock.now += 60.0
    result = sampler.result()
    assert result.stop is Stop.TIME
    assert sum(result.visits) + result.warmup == 80
    assert max(result.visits) - min(result.visits) <= 1
