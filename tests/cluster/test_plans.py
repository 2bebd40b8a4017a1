"""What a run is to do, before anything runs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import emulated

from calibrate.cluster.job import Compute, Job, Training, run_plan
from calibrate.cluster.layout import Layout
from calibrate.cluster.servers import Pool
from calibrate.cluster.timeline import Span, timeline
from calibrate.engine.launch import Hosts, common_network, send_buffer
from speedup.errors import PlanError, UnitError
from speedup.placement import place

SERVERS = st.sampled_from(["central", "distributed", "sharded", "allreduce"])


@given(workers=st.integers(1, 9), server=SERVERS, servers=st.integers(1, 4), batches=st.integers(9, 40))
def test_a_job_survives_its_trip_to_the_other_processes(workers, server, servers, batches):
    count = servers if server == "sharded" else 1
    job = emulated(workers, "sync-join", server, servers=count, batches=batches)
    assert Job.from_dict(job.to_dict()) == job


@given(workers=st.integers(1, 9), batches=st.integers(9, 60))
def test_the_rounds_of_sync_join_hold_every_batch_once(workers, batches):
    job = emulated(workers, "sync-join", "central", batches=batches)
    assert sum(len(taking) for _, taking in job.rounds()) == batches
    assert [number for number, _ in job.rounds()] == list(range(len(job.rounds())))


def test_rounds_go_on_where_they_stopped():
    job = emulated(2, "sync-join", "central", batches=9)
    assert job.rounds(3) == job.rounds()[3:]


def test_a_central_server_is_one_process_more_and_a_distributed_one_none():
    assert emulated(4, "async", "central").ranks == (0, 1, 2, 3, 4)
    assert emulated(4, "async", "distributed").ranks == (0, 1, 2, 3)
    assert emulated(4, "async", "sharded", servers=2).worker_ranks == (2, 3, 4, 5)
    assert emulated(4, "sync-join", "allreduce").server_ranks == ()


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=20), units=st.integers(1, 8))
def test_the_parts_of_a_layout_are_the_loads_of_its_placement(sizes, units):
    for rule in ("bytes", "greedy", "lpt"):
        plan = run_plan(workers=units, mode="async", server="distributed", placement=rule)
        layout = Layout.of(plan, tuple(sizes))
        parts = [layout.part(unit) for unit in range(units)]
        assert [part.stop - part.start for part in parts] == list(place(sizes, units, rule).loads)
        assert sorted(layout.order) == list(range(len(sizes)))
        assert parts[-1].stop == sum(sizes)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"server": "allreduce", "mode": "async"}, "needs every worker at once"),
        ({"server": "allreduce", "schedule": "semaphore"}, "belongs to a server"),
        ({"server": "central", "servers": 2}, 'belongs to server = "sharded"'),
        ({"server": "centrl"}, 'Did you mean "central"'),
        ({"workers": 0}, "workers = 0"),
    ],
)
def test_plans_that_cannot_be_run_are_refused(words, message):
    with pytest.raises((PlanError, UnitError), match=message):
        run_plan(**{"workers": 2, "mode": "sync-join", "server": "central", **words})


def test_more_workers_than_batches_are_refused():
    with pytest.raises(PlanError, match="4 workers share batches = 3"):
        emulated(4, "sync-join", "central", batches=3)


def test_a_real_run_needs_a_network():
    with pytest.raises(PlanError, match="needs a network"):
        Job(plan=run_plan(workers=1, mode="async", server="central"), batches=1, tensor_elements=(1,), compute="real")
    training = Training(architecture="nardini_mlp")
    plan = run_plan(workers=1, mode="async", server="central")
    job = Job(plan=plan, batches=1, tensor_elements=(1,), compute=Compute.REAL, training=training)
    assert Job.from_dict(job.to_dict()) == job


@given(st.integers(1, 20), st.integers(1, 5))
def test_a_pool_hands_out_every_batch_once(batches, workers):
    pool, seen, going = Pool(batches), [], list(range(workers))
    while going:
        worker = going.pop(0)
        if (batch := pool.take(worker)) >= 0:
            seen.append(batch)
            going.append(worker)
    assert seen == list(range(batches))


def test_the_batch_of_a_lost_worker_goes_to_another():
    pool = Pool(4)
    assert [pool.take(1), pool.take(2), pool.take(1)] == [0, 1, 2]
    pool.finish(1)  # the first of its two
    pool.give_up(1)
    assert [pool.take(2), pool.take(2), pool.take(2)] == [2, 3, -1]


def test_a_timeline_joins_what_servers_and_worker_saw_and_names_the_waits():
    spans = [
        Span(1, 0, "receive", 0.0, 0.4),  # one server
        Span(1, 0, "receive", 0.1, 0.5),  # another
        Span(1, 0, "receive", 0.6, 0.6),  # the worker, when it had everything
        Span(1, 0, "compute", 0.6, 1.6),
        Span(1, 0, "send", 1.8, 2.0),
    ]
    rows = [(row["stage"], row["start_s"], row["end_s"]) for row in timeline(spans)]
    assert rows == [("receive", 0.0, 0.6), ("compute", 0.6, 1.6), ("wait", 1.6, 1.8), ("send", 1.8, 2.0)]


@given(st.lists(st.tuples(st.integers(1, 3), st.floats(0, 10), st.floats(0, 5)), max_size=20))
def test_the_rows_of_a_worker_never_overlap(drawn):
    spans = [
        Span(worker, place, "compute", start, start + length) for place, (worker, start, length) in enumerate(drawn)
    ]
    rows = timeline(spans)
    for worker in (1, 2, 3):
        own = [row for row in rows if row["worker"] == worker]
        assert all(after["start_s"] >= before["end_s"] - 1e-6 for before, after in pairwise(own))


def test_hosts_are_those_named_or_those_of_the_testbed_around():
    around = {
        "SPEEDUP_HOSTS": "host1:10.77.0.1,host2:10.77.0.2",
        "SPEEDUP_AGENT": "/run/agent",
        "SPEEDUP_TESTBED": "1gbit",
    }
    assert Hosts.of(around).addresses == ("10.77.0.1", "10.77.0.2")
    assert Hosts.of(around, ["a", "b"]) == Hosts(("a", "b"))
    assert Hosts.of({}) == Hosts()


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8))
def test_the_common_network_holds_every_address(numbers):
    import ipaddress

    addresses = [ipaddress.ip_address(number) for number in numbers]
    network = ipaddress.ip_network(common_network([str(address) for address in addresses]))
    assert all(address in network for address in addresses)


@given(st.floats(1e5, 1e11))
def test_a_send_buffer_is_whole_pages(rate):
    assert send_buffer(f"{rate:.0f}bit") % 2**14 == 0
