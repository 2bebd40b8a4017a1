"""Links that were measured: their file, what they say of a transfer, and what estimates make of them."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from links import EXCHANGES, RATE, link

import speedup
from calibrate.transport.links import default_sizes, fit_line
from speedup.cluster import Flows, MeasuredLink
from speedup.errors import ProfileError, UnitError
from speedup.plans import Schedule
from speedup.profile import Profile, Provenance
from speedup.simulation.crossing import crossing


def test_a_link_survives_its_file(tmp_path):
    known = link(exchanges=EXCHANGES, flows=(Flows(count=2, payload_bytes=10, ends_s=((1.0, 2.0),)),))
    assert MeasuredLink.load(known.save(tmp_path / "lab.json")) == known


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:40], "cannot be read"),
        (lambda text: text.replace("speedup.link/1", "speedup.link/9"), "its schema is not"),
        (lambda text: text.replace('"latency_s"', '"latency"'), "latency"),
        (lambda text: text.replace("119600000.0", "-1.0"), "bandwidth_bytes_per_s"),
    ],
)
def test_a_broken_link_file_says_what_is_wrong_and_where(tmp_path, change, message):
    path = link().save(tmp_path / "lab.json")
    path.write_text(change(path.read_text()))
    with pytest.raises(ProfileError, match=message) as caught:
        MeasuredLink.load(path)
    assert "lab.json" in str(caught.value)


def test_a_missing_link_file_says_how_to_measure_one(tmp_path):
    with pytest.raises(ProfileError, match="speedup transport -o"):
        MeasuredLink.load(tmp_path / "none.json")


@given(st.integers(10**5, 10**8))
def test_a_transfer_between_measured_sizes_lies_on_their_line(size):
    assert link().transfer_time_s(size) == pytest.approx(1e-3 + size / RATE, rel=1e-9)


@given(st.integers(1, 10**10))
def test_the_interval_of_a_transfer_contains_it(size):
    low, high = link().transfer_interval_s(size)
    assert low <= link().transfer_time_s(size) <= high


def test_an_interval_that_misses_its_value_is_refused():
    with pytest.raises(UnitError, match="does not contain it"):
        replace(link(), bandwidth_low_bytes_per_s=2 * RATE)


@given(st.floats(0, 0.1), st.floats(1e6, 1e11))
def test_the_fit_recovers_latency_and_bandwidth(latency, rate):
    sizes = default_sizes(10**8, 10**4)
    found_latency, per_byte = fit_line(sizes, [latency + size / rate for size in sizes])
    times = [latency + size / rate for size in sizes]
    again = [found_latency + size * per_byte for size in sizes]
    assert again == pytest.approx(times, rel=1e-6)


def test_larger_transfers_that_are_the_faster_ones_still_give_a_bandwidth():
    latency, per_byte = fit_line([1e6, 4e6], [0.02, 0.01])
    assert latency == 0.0
    assert 1e6 / 0.02 < 1 / per_byte < 4e6 / 0.01


def test_exchanges_tell_how_much_longer_shared_links_take():
    known = link(exchanges=EXCHANGES)
    perfect = 7 / 8 * known.transfer_time_s(10**8)
    near = known.near_exchange(8)
    assert known.exchange_excess(near) == (pytest.approx(0.76 / perfect), 0.0, 0.0)
    excess, cv, doubt = known.exchange_excess(near, 1.0)
    assert excess == pytest.approx((0.76 + 0.8) / 2 / perfect)  # workers begin in step and fall out of it
    assert cv == pytest.approx(0.125)
    assert doubt == pytest.approx((0.8 - 0.76) / (0.8 + 0.76) / 1.645, rel=1e-3)
    assert known.near_exchange(3).hosts == 2
    assert known.near_exchange(1) is None
    assert link().near_exchange(8) is None


def test_what_perfectly_shared_links_cost_hosts_out_of_step_is_no_excess():
    known = link(exchanges=EXCHANGES)
    near = known.near_exchange(8)
    assert known.exchange_excess(near, 0.8 / 0.76)[0] == pytest.approx(known.exchange_excess(near)[0])


def test_hosts_in_step_meet_nobody_and_hosts_out_of_step_do():
    for hosts in (2, 3, 8):
        assert crossing(hosts, 0.0) == pytest.approx(1, abs=1e-5)
        assert crossing(hosts, 0.1) > 1.02
        assert crossing(hosts, 3.0) == pytest.approx(1, abs=1e-5)  # each is through before the next begins
        assert crossing(hosts, 0.1, Schedule.SEMAPHORE) > 1


@pytest.mark.parametrize("placement", ["equal", "greedy"])
def test_asynchronous_workers_keep_closer_to_step_where_the_engine_sends_in_turn(placement):
    evenly, in_turn = (
        speedup.estimate(
            "resnet34", network=replace(link(), in_turn=how), t_grad=0.7, cv_grad=0.03, workers=[2, 4], batches=32,
            modes=["async", "sync-join"], servers="distributed", placement=placement,
        )
        for how in (False, True)
    )  # fmt: skip
    for one, other in zip(evenly, in_turn, strict=True):
        if str(one.mode) == "async":
            assert other.time_s < one.time_s
        else:
            assert other.time_s == one.time_s


def test_an_estimate_takes_the_file_of_a_link_for_a_network(tmp_path):
    path = link(spread=0.01).save(tmp_path / "lab.json")
    by_file = speedup.estimate("squeezenet", network=str(path), workers=4, modes="sync-join", servers="distributed")[0]
    profile = Profile.load("squeezenet")
    assert by_file.t_comm_s == pytest.approx(link().transfer_time_s(profile.workload.payload_bytes))
    assert by_file.speedup_low < by_file.speedup < by_file.speedup_high


def test_a_profile_with_a_measured_link_needs_no_network():
    profile = replace(Profile.load("squeezenet"), t_comm=None, link=link())
    answer = speedup.recommend(profile, max_workers=8)
    assert answer.table.inputs.t_comm_from is Provenance.MEASURED
    assert "over a measured link" in str(answer)
    named = speedup.estimate(profile, network="10gbit", workers=2)
    assert named.inputs.t_comm_from is Provenance.ASSUMED


def test_a_payload_beyond_the_largest_size_is_fitted_not_measured():
    profile = replace(Profile.load("vgg16e"), t_comm=None, link=link())
    assert speedup.estimate(profile, workers=2).inputs.t_comm_from is Provenance.FITTED


def test_a_profile_keeps_its_link_in_its_file(tmp_path):
    profile = replace(Profile.load("squeezenet"), link=link(exchanges=EXCHANGES))
    assert Profile.load(profile.save(tmp_path / "with-link.json")) == profile


def test_the_model_doubt_widens_the_interval_of_constant_times():
    known = speedup.estimate("squeezenet", network=link(), workers=4, servers="central", schedules="semaphore")
    for row in known:
        assert math.log(row.speedup_high / row.speedup_low) > 2 * 1.6 * 0.01


def test_a_link_is_json_that_says_what_it_is():
    assert json.loads(json.dumps(link().to_dict()))["schema"] == "speedup.link/1"
