"""The parts of a step are differences of neighbours in time."""

import random

import pytest
from fake_clock import FakeClock

from calibrate.timing.split import split_step
from speedup.errors import UnitError


class Scripted:
    """A part that takes a duration, times what the noise says at that moment."""

    def __init__(self, clock, duration, noise):
        self.clock, self.duration, self.noise, self.calls = clock, duration, noise, 0

    def __call__(self):
        self.calls += 1
        self.clock.now += self.duration * self.noise(self.clock.now)
        return self.calls

    def wait(self, result):
        assert result == self.calls


def split(forward, gradient, step, seconds=20.0, noise=lambda _now: 1.0):
    clock = FakeClock()
    parts = [Scripted(clock, duration, noise) for duration in (step, forward, gradient)]
    return split_step(*parts, seconds=seconds, clock=clock)


def test_the_parts_add_up_to_the_step():
    parts = split(0.01, 0.03, 0.034)
    assert parts.forward_s == pytest.approx(0.01)
    assert parts.backward_s == pytest.approx(0.02)
    assert parts.update_s == pytest.approx(0.004)
    assert parts.step_s == pytest.approx(0.034)
    assert parts.notes == ()


def test_slow_noise_falls_out_of_the_differences():
    slow = random.Random(1)
    levels = [slow.uniform(1, 2) for _ in range(1000)]
    parts = split(0.02, 0.06, 0.07, seconds=400.0, noise=lambda now: levels[int(now - 1000) // 40])
    # Each level lasts for some hundred rounds; the parts keep their proportions within it.
    assert parts.backward_s / parts.update_s == pytest.approx(4, rel=0.15)


def test_an_update_lost_in_noise_is_zero_and_says_so():
    parts = split(0.01, 0.03, 0.0275)
    assert parts.update_s == 0
    assert parts.notes == ("update: the difference was -2.5 ms, lost in noise or in what compilers fuse; set to 0 s.",)


def test_there_are_three_rounds_however_slow_the_parts():
    assert split(10.0, 30.0, 40.0, seconds=1.0).rounds == 3


def test_short_parts_are_timed_in_blocks():
    parts = split(1e-5, 2e-5, 3e-5, seconds=2.0)
    assert parts.backward_s == pytest.approx(1e-5, rel=1e-6)
    assert 3 <= parts.rounds <= 8


def test_the_rounds_are_bounded():
    assert split(0.2, 0.3, 0.4, seconds=1e6).rounds == 200


def test_no_time_is_refused():
    with pytest.raises(UnitError, match="seconds"):
        split(0.1, 0.2, 0.3, seconds=0.0)
