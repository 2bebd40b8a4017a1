"""Stragglers: against draws and recursions of the tests' own, closed forms, and limits."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from speedup import CATALOGUE, SpeedupError
from speedup.formulas.symbols import B, D, H, N, k, r_min, r_sum, t_comm, t_grad, t_iter, t_min, t_serve
from speedup.laws import Law
from speedup.numeric import numeric
from speedup.queueing import (
    async_rate,
    join_s,
    kth_s,
    local_steps_law,
    mva_throughput,
    served_bound,
    served_throughput,
    shared_stations_throughput,
    slowest_s,
    split_s,
    stale_rate,
    stations_throughput,
    visit_s,
)

SAMPLES = tuple(np.random.default_rng(3).lognormal(-0.5, 0.6, 37).tolist())
LAWS = {
    "gamma": Law.named("gamma", 0.7, 0.3),
    "gamma-wide": Law.named("gamma", 2.0, 1.5),
    "lognormal": Law.named("lognormal", 0.7, 0.5),
    "exponential": Law.named("exponential", 1.3),
    "empirical": Law.of_samples(SAMPLES),
}
SPREAD = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)

counts = st.integers(1, 3000)
cvs = st.floats(0.01, 2.0)
kinds = st.sampled_from(["gamma", "lognormal"])
speed_lists = st.lists(st.floats(0.1, 10), min_size=1, max_size=12)


def printed(number, **values):
    """Evaluate an equation of the catalogue."""
    symbols = {str(symbol): symbol for symbol in (B, D, H, N, k, r_min, r_sum, t_comm, t_grad, t_iter, t_min, t_serve)}
    return numeric(CATALOGUE[number].expression, tuple(symbols[name] for name in values))(*values.values())


def scipy_law(law):
    """Give SciPy's own form of a gamma or lognormal law."""
    if law.kind == "gamma":
        return stats.gamma(law.cv**-2, scale=law.mean_s * law.cv**2)
    sigma = math.sqrt(math.log1p(law.cv**2))
    return stats.lognorm(sigma, scale=law.mean_s * math.exp(-(sigma**2) / 2))


def close_to_draws(found, draws, *, extra=0.0):
    """Tell whether a mean is within five standard errors of draws, and a relative error more."""
    return abs(found - draws.mean()) < 5 * draws.std() / math.sqrt(len(draws)) + extra * draws.mean()


def played_iteration(law, workers, slack, rng, *, t_comm=0.0, rounds=400, copies=40):
    """Play stale synchronous iterations worker by worker, and return the mean of each copy [s]."""
    begun, found = rounds // 4, []
    for _ in range(copies):
        times = law.draw(rng, (rounds, workers)) + t_comm
        ends = np.zeros((rounds, workers))
        for number in range(rounds):
            ready = ends[number - 1] if number else np.zeros(workers)
            if number > slack:
                ready = np.maximum(ready, ends[number - slack - 1].max())
            ends[number] = ready + times[number]
        found.append((ends[-1].max() - ends[begun].max()) / (rounds - 1 - begun))
    return np.array(found)


@SPREAD
def test_the_slowest_and_the_kth_are_those_of_draws(law):
    rng = np.random.default_rng(1)
    for workers, backup in ((2, 0), (9, 0), (9, 2), (60, 3), (60, 59), (100, 0)):
        draws = np.sort(law.draw(rng, (6000, workers)), axis=1)[:, workers - backup - 1]
        assert close_to_draws(float(kth_s(workers, law, backup)), draws)


@pytest.mark.parametrize("name", ["gamma", "gamma-wide", "lognormal"])
@pytest.mark.parametrize("workers", [1, 2, 33, 65_536])
def test_the_slowest_is_the_integral_of_the_chance_that_somebody_is_at_work(name, workers):
    law = LAWS[name]
    frozen = scipy_law(law)
    ends = [0.0, *(frozen.ppf((1 - part) ** (1 / workers)) for part in (0.999, 0.5, 1e-3, 1e-8)), frozen.isf(1e-22)]
    want = sum(
        integrate.quad(lambda t: -math.expm1(workers * frozen.logcdf(t)), *pair, epsabs=1e-13, epsrel=1e-12)[0]
        for pair in itertools.pairwise(ends)
    )
    assert float(slowest_s(workers, law)) == pytest.approx(want, rel=1e-9)


@SPREAD
def test_many_counts_at_once_are_those_one_by_one(law):
    workers = np.arange(1, 65_537)
    found, dropped = slowest_s(workers, law), kth_s(workers, law, workers // 50)
    for count in (1, 2, 3, 49, 50, 51, 1000, 12_345, 65_536):
        assert found[count - 1] == pytest.approx(float(slowest_s(count, law)), rel=1e-9)
        assert dropped[count - 1] == pytest.approx(float(kth_s(count, law, count // 50)), rel=1e-8)
    assert (np.diff(found) > -1e-9).all()


def test_exponential_times_have_harmonic_numbers_as_x_1_and_x_2_say():
    law = Law.named("exponential", 0.4)
    for workers, backup in ((1, 0), (8, 0), (8, 3), (5000, 20)):
        harmonic = sum(1 / n for n in range(backup + 1, workers + 1))
        found = 0.6 + float(kth_s(workers, law, backup))
        assert found == pytest.approx(0.6 + 0.4 * harmonic, rel=1e-12)
        values = {"N": workers, "t_grad": 1.0, "t_min": 0.6}
        want = printed("X.2", **values, B=backup) if backup else printed("X.1", **values)
        assert found == pytest.approx(float(want), rel=1e-12)


def test_a_gamma_law_of_cv_1_is_exponential():
    workers = np.array([1, 7, 4096])
    one, other = slowest_s(workers, Law.named("gamma", 2.0, 1.0)), slowest_s(workers, Law.named("exponential", 2.0))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_samples_are_counted_out_exactly():
    law = Law.of_samples([1.0, 2.0, 2.0, 5.0])
    assert float(slowest_s(2, law)) == pytest.approx((1 * 1 + 2 * 8 + 5 * 7) / 16)
    assert float(kth_s(2, law, 1)) == pytest.approx((1 * 7 + 2 * 8 + 5 * 1) / 16)
    in_order = Law.of_samples([1.0, 2.0, 2.0, 5.0], in_order=True)
    assert float(slowest_s(2, in_order)) == float(slowest_s(2, law))
    assert float(slowest_s(65_536, law)) == pytest.approx(5.0)


@given(counts, kinds, cvs)
@settings(max_examples=30)
def test_more_workers_wait_longer_and_backup_shortens_it(workers, kind, cv):
    law = Law.named(kind, 1.0, cv)
    found = slowest_s([workers, workers + 1, 2 * workers + 1], law)
    assert (np.diff(found) > 0).all()
    assert float(kth_s(workers + 1, law, 1)) < found[1]
    # The means of all ranks add up to n means.
    ranks = np.arange(1, 21)
    assert slowest_s(ranks, law, among=20).sum() == pytest.approx(20, rel=1e-8)


@given(counts, kinds, st.floats(0.01, 1.9))
@settings(max_examples=30)
def test_more_spread_makes_the_slowest_slower(workers, kind, cv):
    less, more = (float(slowest_s(workers + 1, Law.named(kind, 1.0, spread))) for spread in (cv, cv + 0.1))
    assert 1 < less < more


def test_one_worker_or_no_spread_takes_the_mean():
    for law in LAWS.values():
        assert float(slowest_s(1, law)) == pytest.approx(law.mean_s, rel=1e-9)
    assert slowest_s([1, 10, 65_536], Law(0.3)).tolist() == [0.3] * 3
    assert kth_s([3, 4], Law(0.3), [0, 3]).tolist() == [0.3] * 2


@SPREAD
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_local_steps_add_times_up(law, steps):
    found = local_steps_law(law, steps)
    assert found.mean_s == pytest.approx(steps * law.mean_s)
    assert found.cv == pytest.approx(law.cv / math.sqrt(steps))
    sums = law.draw(np.random.default_rng(2), (8000, 8, steps)).sum(axis=2).max(axis=1)
    # Sums of lognormal times and of samples are only about lognormal or gamma.
    assert close_to_draws(float(slowest_s(8, found)), sums, extra=0.01)


def test_local_steps_of_a_sequence_keep_its_order():
    law = Law.of_samples([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], in_order=True)
    assert local_steps_law(law, 3).samples_s == (6.0, 15.0)
    assert local_steps_law(law, 4).samples_s == (10.0, 14.0, 18.0)
    assert local_steps_law(law, 1) == law
    assert local_steps_law(Law(0.5), 4) == Law(2.0)


def test_local_steps_send_less_often():
    known = {"N": 8, "D": 128, "t_grad": 1.0, "t_iter": 2.6}
    assert printed("X.3", **known, H=1) == pytest.approx(128 / 8 * 2.6)
    assert printed("X.3", **known, H=8) == pytest.approx(128 / 8 * 1.2)


@SPREAD
@pytest.mark.parametrize("workers", [2, 10])
def test_stale_iterations_are_those_played_worker_by_worker(law, workers):
    rng = np.random.default_rng(4)
    for slack in (1, 3):
        played = played_iteration(law, workers, slack, rng)
        assert close_to_draws(1 / float(stale_rate(workers, law, slack)), played, extra=0.006)


@pytest.mark.parametrize("name", ["gamma", "lognormal", "exponential", "empirical"])
def test_stale_iterations_of_many_workers_are_within_three_percent_of_those_played(name):
    rng = np.random.default_rng(5)
    for workers, slack, rounds, copies in ((300, 1, 160, 12), (300, 4, 320, 8), (3000, 2, 160, 3)):
        played = played_iteration(LAWS[name], workers, slack, rng, rounds=rounds, copies=copies)
        assert 1 / float(stale_rate(workers, LAWS[name], slack)) == pytest.approx(played.mean(), rel=0.03)


def test_stale_iterations_with_communication_are_those_played():
    law, rng = LAWS["gamma"], np.random.default_rng(6)
    played = played_iteration(law, 12, 2, rng, t_comm=0.5)
    assert close_to_draws(1 / float(stale_rate(12, law, 2, t_comm_s=0.5)), played, extra=0.005)


@SPREAD
def test_no_slack_is_lockstep_and_endless_slack_is_asynchronous(law):
    workers = np.array([1, 5, 700])
    np.testing.assert_allclose(stale_rate(workers, law, 0), 1 / slowest_s(workers, law), rtol=1e-12)
    np.testing.assert_allclose(
        stale_rate(workers, law, 0, t_comm_s=0.3), 1 / (slowest_s(workers, law) + 0.3), rtol=1e-12
    )
    np.testing.assert_allclose(stale_rate(workers, law, math.inf, t_comm_s=0.3), 1 / (law.mean_s + 0.3), rtol=1e-12)
    assert float(stale_rate(1, law, 3)) == pytest.approx(1 / law.mean_s, rel=1e-12)
    np.testing.assert_allclose(stale_rate(workers, law, 20_000), 1 / law.mean_s, rtol=0.01)


@pytest.mark.parametrize("name", ["gamma", "lognormal", "empirical"])
def test_more_slack_is_faster_and_more_workers_are_slower(name):
    workers = np.unique(np.geomspace(1, 65_536, 60).astype(int))
    rates = np.array([stale_rate(workers, LAWS[name], slack) for slack in (0, 1, 2, 4, 8, 32, 100, math.inf)])
    assert (np.diff(rates, axis=1) <= 1e-12).all()
    # Each is played on its own: neighbours may cross within what that leaves open.
    assert (np.diff(rates, axis=0) >= -0.003 * rates[:-1]).all()


@pytest.mark.parametrize("name", ["gamma", "exponential", "empirical"])
def test_two_workers_with_much_slack_wait_as_a_diffusion_between_two_walls_does(name):
    # The lead of one over the other has variance 2 sigma^2 an iteration and s means of room on either side: it is held
    # at each wall by sigma^2 / (2 s) an iteration.
    law = LAWS[name]
    for slack in (20, 300, 10**6):
        waited = 1 / float(stale_rate(2, law, slack)) / law.mean_s - 1
        assert waited == pytest.approx(law.cv**2 / (2 * slack), rel=0.15)


def test_one_sample_far_from_all_others_is_no_trouble():
    law = Law.of_samples([*SAMPLES * 40, 500.0])
    assert 1 / slowest_s(300, law) < stale_rate(300, law, 2) < 1 / law.mean_s


def test_stale_rates_do_not_depend_on_what_else_is_asked_and_scale_with_time():
    law = LAWS["lognormal"]
    together = stale_rate([3, 100, 5000], law, 2, seed=7)
    alone = [float(stale_rate(workers, law, 2, seed=7)) for workers in (3, 100, 5000)]
    assert together.tolist() == alone
    np.testing.assert_allclose(stale_rate([3, 100], law.scaled(5.0), 2, seed=7) * 5, together[:2], rtol=1e-9)
    assert stale_rate([3, 100], Law(0.5), 2, t_comm_s=0.5).tolist() == [1.0, 1.0]


@SPREAD
def test_unequal_workers_are_those_of_draws(law):
    speeds = np.array([1.0] * 6 + [0.5, 2.0, 3.0, 0.8])
    draws = law.draw(np.random.default_rng(8), (20_000, len(speeds))) / speeds
    assert close_to_draws(join_s(speeds, law), draws.max(axis=1))
    assert close_to_draws(split_s(speeds, law, proportional=False), draws.max(axis=1) / len(speeds))
    parts = draws * speeds / speeds.sum()
    assert close_to_draws(split_s(speeds, law), parts.max(axis=1))
    assert async_rate(speeds, law) == pytest.approx(speeds.sum() / law.mean_s)
    assert async_rate(speeds, law, t_comm_s=0.2) == pytest.approx((1 / (law.mean_s / speeds + 0.2)).sum())


@SPREAD
def test_equal_speeds_are_equal_workers_also_when_nearly_so(law):
    want = float(slowest_s(20, law)) / 2
    assert join_s([2.0] * 20, law) == pytest.approx(want, rel=1e-12)
    assert join_s(2.0 + 1e-9 * np.arange(20), law) == pytest.approx(want, rel=1e-7)


def test_many_different_speeds_are_put_on_a_grid():
    speeds = np.random.default_rng(9).uniform(0.5, 2.0, 3000)
    law = LAWS["gamma"]
    draws = law.draw(np.random.default_rng(10), (3000, 3000)) / speeds
    assert close_to_draws(join_s(speeds, law), draws.max(axis=1))
    few = np.repeat(np.linspace(0.5, 2.0, 500), 6)
    from speedup.queueing import stragglers

    with pytest.MonkeyPatch.context() as patch:
        exact = join_s(few, law)
        patch.setattr(stragglers, "_SPEEDS", 300)
        assert join_s(few, law) == pytest.approx(exact, rel=1e-4)


@given(speed_lists)
def test_unequal_workers_of_constant_times_are_x_4_to_x_7(speeds):
    law, known = Law(0.7), {"t_grad": 0.7}
    assert join_s(speeds, law) == pytest.approx(printed("X.4", **known, r_min=min(speeds)))
    assert split_s(speeds, law) == pytest.approx(printed("X.5", **known, r_sum=sum(speeds)))
    equal = printed("X.6", **known, N=len(speeds), r_min=min(speeds))
    assert split_s(speeds, law, proportional=False) == pytest.approx(equal)
    assert async_rate(speeds, law) == pytest.approx(printed("X.7", **known, r_sum=sum(speeds)))
    assert split_s(speeds, law) <= split_s(speeds, law, proportional=False) * (1 + 1e-12)


@given(speed_lists, kinds, cvs)
@settings(max_examples=40)
def test_the_join_lies_between_the_slowest_mean_and_the_slowest_of_as_slow_workers(speeds, kind, cv):
    law = Law.named(kind, 1.0, cv)
    found = join_s(speeds, law)
    assert found >= 1 / min(speeds) * (1 - 1e-7)
    assert found <= float(slowest_s(len(speeds), law)) / min(speeds) * (1 + 1e-7)
    assert join_s([*speeds, 1.0], law) >= found * (1 - 1e-7)


def test_a_server_that_does_no_work_is_the_link_alone():
    np.testing.assert_allclose(served_throughput(20, 1.0, 0.1, 0.0), mva_throughput(20, 1.0, 0.1), rtol=1e-12)
    np.testing.assert_allclose(
        served_throughput(20, 1.0, 0.1, 0.0, shards=4), shared_stations_throughput(20, 1.0, 0.1, 4), rtol=1e-12
    )


def test_two_ways_to_solve_a_server_that_works_agree():
    found = shared_stations_throughput(30, 1.0, 0.1, 1, serving=0.25)
    np.testing.assert_allclose(found, served_throughput(30, 1.0, 0.1, 0.25), rtol=1e-10)
    arrays = stations_throughput(30, np.array([1.0, 2.0]), [np.array([0.1, 0.2]), 0.25, 0.1])
    np.testing.assert_allclose(arrays[:, 0], stations_throughput(30, 1.0, [0.1, 0.25, 0.1]), rtol=1e-12)


@given(st.integers(1, 40), st.floats(0.01, 10), st.floats(0.01, 3), st.floats(0.01, 3), st.integers(1, 6))
def test_servers_that_work_stay_within_their_bottleneck_and_reach_it(workers, grad, comm, work, shards):
    found = served_throughput(workers, grad, comm, work / shards, shards=shards)
    bound = served_bound(np.arange(1, workers + 1), grad, comm, work / shards, shards=shards)
    assert (found <= bound * (1 + 1e-9)).all()
    assert found[0] == pytest.approx(bound[0])
    assert (np.diff(found) >= -1e-9 * found[:-1]).all()
    values = {"N": workers, "k": shards, "t_comm": comm, "t_grad": grad, "t_serve": work}
    assert bound[-1] == pytest.approx(float(printed("X.8", **values)))


def test_a_processor_slower_than_the_link_is_what_workers_wait_for():
    # Three queues one after another with exponential times, played as a closed line of 6 customers.
    rng = np.random.default_rng(12)
    grad, comm, work, workers = 1.0, 0.1, 0.3, 6
    ready, free, rounds = np.zeros(workers), np.zeros(3), 40_000
    for _ in range(rounds):
        # First come, first served at each station, so customers keep their order between the delays.
        first = ready.argmin()
        now = ready[first]
        for station, mean in enumerate((comm, work, comm)):
            now = free[station] = max(now, free[station]) + rng.exponential(mean)
        ready[first] = now + rng.exponential(grad)
    assert served_throughput(workers, grad, comm, work)[-1] == pytest.approx(rounds / free[2], rel=0.02)
    assert served_throughput(400, grad, comm, work)[-1] == pytest.approx(1 / work, rel=1e-6)


def test_work_is_shared_among_servers_and_among_the_gradients_of_an_iteration():
    assert visit_s(0.02, 0.08) == pytest.approx(0.1)
    assert visit_s(0.02, 0.08, shards=2, gradients=8) == pytest.approx(0.015)
    assert 8 * visit_s(0.02, 0.08, gradients=8) == pytest.approx(8 * 0.02 + 0.08)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: slowest_s([4, 0], Law(1.0)), "workers = 0; it must be a whole number of at least 1"),
        (lambda: slowest_s(2.5, Law(1.0)), "workers = 2.5"),
        (lambda: slowest_s(4, Law(1.0), among=3), "4 are waited for among 3"),
        (lambda: kth_s(4, Law(1.0), 4), "backup = 4 of 4 workers"),
        (lambda: kth_s(4, Law(1.0), -1), "backup = -1"),
        (lambda: local_steps_law(Law(1.0), 0), "steps = 0"),
        (lambda: stale_rate(4, Law(1.0), -1), "staleness = -1"),
        (lambda: stale_rate(4, Law(1.0), 1.5), "staleness = 1.5"),
        (lambda: stale_rate(4, Law(1.0), 1, t_comm_s=-1.0), "t_comm = -1.0 s"),
        (lambda: join_s([], Law(1.0)), "there are no speeds"),
        (lambda: split_s([1.0, 0.0], Law(1.0)), "speed = 0"),
        (lambda: async_rate([1.0], Law(1.0), t_comm_s=-1.0), "t_comm = -1.0 s"),
        (lambda: visit_s(-0.1), "per_gradient = -0.1 s"),
        (lambda: visit_s(0.1, shards=0), "shards = 0"),
        (lambda: served_bound(4, 1.0, -0.1, 0.1), "t_comm = -0.1 s"),
        (lambda: served_throughput(0, 1.0, 0.1, 0.1), "workers = 0"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(call, said):
    with pytest.raises(SpeedupError, match=said):
        call()
