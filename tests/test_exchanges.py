"""Exchanges beyond the thesis: sharded servers, all-reduces, machines of several accelerators, overlap, local steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import Link, SpeedupError, estimate, explain, recommend, simulate
from speedup.inputs import gather
from speedup.practice import Overlap

TIMES = st.floats(0.01, 2.0)
LATENCIES = st.floats(0.0, 0.1)
COLLECTIVES = ("ring", "hierarchical", "halving-doubling", "recursive-doubling", "tree")
IN_STEP = ("sync-join", "sync-split")


def exchange(workers, t_comm, latency=0.0, **options):
    """Return what an all-reduce of a payload takes, by the difference of an iteration and its gradient."""
    link = Link(bandwidth_bytes_per_s=1e6 / t_comm, latency_s=latency)
    table = estimate(payload(), network=link, workers=workers, batches=workers, servers="allreduce", **options)
    return float(table.time_s[0] - table.t_grad_s)


def payload(t_grad=1.0):
    """Return a profile whose gradients are a million bytes."""
    from speedup import Device, Profile, Timing, Workload

    return Profile(
        name="made",
        workload=Workload(architecture="made", tensor_elements=(250_000,), algorithm="sgd", batch=8),
        t_grad=(Timing(median_s=t_grad, provenance="assumed", batch=8),),
        device=Device(platform="cpu", name="none"),
    )


def messages(collective, workers):
    """Return the shares of the payload that one worker sends in each step, from how the algorithm goes."""
    if collective == "ring":
        return [1 / workers] * (2 * (workers - 1))
    whole = 2 ** int(np.floor(np.log2(workers)))
    steps = round(np.log2(whole))
    if collective == "halving-doubling":
        halves = [0.5**step for step in range(1, steps + 1)]
        return halves + halves[::-1] + [1.0] * (2 * (whole < workers))
    return [1.0] * (steps + (whole < workers))


@pytest.mark.parametrize("collective", ["ring", "halving-doubling", "recursive-doubling"])
@given(workers=st.integers(1, 70), t_comm=TIMES, latency=LATENCIES)
def test_a_collective_takes_what_its_messages_take_one_after_another(collective, workers, t_comm, latency):
    want = sum(latency + t_comm * share for share in messages(collective, workers))
    got = exchange(workers, t_comm, latency, modes="sync-join", collectives=collective)
    assert got == pytest.approx(want, rel=1e-9, abs=1e-9)


@given(workers=st.integers(1, 4096), t_comm=TIMES, latency=LATENCIES)
def test_the_best_collective_is_the_fastest_and_is_named(workers, t_comm, latency):
    link = Link(bandwidth_bytes_per_s=1e6 / t_comm, latency_s=latency)
    options = {"network": link, "workers": workers, "servers": "allreduce", "modes": "sync-join", "batches": 10**4}
    each = estimate(payload(), collectives=COLLECTIVES, **options)
    best = estimate(payload(), **options)[0]
    assert best.time_s == pytest.approx(each.time_s.min(), rel=1e-12)
    named = next(row for row in each if row.collective == best.collective)
    assert named.time_s == pytest.approx(best.time_s, rel=1e-12)


@given(machines=st.integers(1, 64), r=st.integers(1, 16), t_comm=TIMES, latency=LATENCIES)
def test_a_hierarchical_exchange_is_one_inside_and_one_between_machines(machines, r, t_comm, latency):
    whole = exchange(
        machines * r, t_comm, latency, modes="sync-join", collectives="hierarchical", per_machine=r, intra=0.25
    )
    inside = 2 * (r - 1) / r * 0.25
    between = exchange(machines, t_comm, latency, modes="sync-join", collectives="ring")
    assert whole == pytest.approx(inside + between, rel=1e-9, abs=1e-9)


@given(workers=st.integers(2, 500), t_comm=TIMES)
def test_a_shard_on_every_worker_a_ring_and_no_helper_are_the_same_without_latency(workers, t_comm):
    options = {"t_grad": 1.0, "t_comm": t_comm, "workers": workers, "batches": workers, "modes": "sync-join"}
    distributed = estimate(**options, servers="distributed", method="exact").time_s[0]
    ring = estimate(**options, servers="allreduce", collectives="ring").time_s[0]
    assert ring == pytest.approx(distributed, rel=1e-12)
    # As many helpers as workers: everything once each way, as pipelined shards.
    helped = estimate(**options, servers="byteps").time_s[0]
    shards = estimate(**options, servers="sharded", schedules="pipelined").time_s[0]
    assert helped == pytest.approx(shards, rel=1e-12)
    assert helped == pytest.approx(1.0 + t_comm, rel=1e-12)


@pytest.mark.parametrize("mode", IN_STEP)
@given(workers=st.integers(1, 9), shards=st.integers(1, 6), grad=TIMES, comm=TIMES)
def test_a_sharded_server_in_step_is_the_simulated_one(mode, workers, shards, grad, comm):
    options = {"t_grad": grad, "t_comm": comm, "workers": workers, "batches": 2 * workers}
    found = estimate(**options, modes=mode, servers="sharded", shards=shards)[0]
    run = simulate(**options, mode=mode, server="sharded", shards=shards, schedule="fair", replications=1)
    assert found.time_s == pytest.approx(run.mean_s, rel=1e-9)


@pytest.mark.parametrize(("workers", "shards", "comm"), [(8, 2, 0.1), (16, 4, 0.05), (12, 3, 0.3), (6, 6, 0.2)])
def test_a_sharded_server_out_of_step_is_near_the_simulated_one(workers, shards, comm):
    options = {"t_grad": 1.0, "t_comm": comm, "cv_grad": 0.2, "workers": workers, "batches": 60 * workers}
    options |= {"modes": "async", "servers": "sharded", "shards": shards}
    fast, slow = (estimate(**options, method=method)[0] for method in ("auto", "simulation"))
    assert fast.time_s == pytest.approx(slow.time_s, rel=0.08)


@given(layers=st.integers(1, 30), share=st.floats(0, 1), grad=TIMES, comm=TIMES, workers=st.integers(2, 64))
def test_overlap_hides_what_wait_free_backpropagation_over_like_layers_hides(layers, share, grad, comm, workers):
    from dataclasses import replace

    made = payload(grad)
    made = replace(made, workload=replace(made.workload, tensor_elements=(1000,) * layers))
    options = {"workers": workers, "batches": workers, "modes": "sync-join", "servers": "allreduce"}
    options |= {"collectives": "ring", "t_comm": comm}
    net, backward = 2 * (workers - 1) / workers * comm, 2 / 3 * grad
    finished = 0.0
    for layer in range(1, layers + 1):
        finished = max(finished, backward * layer / layers) + net / layers
    hidden = backward + net - finished
    off = estimate(made, **options)[0]
    full = estimate(made, **options, overlap="full")[0]
    partly = estimate(made, **options, overlap=share)[0]
    by_layers = estimate(made, **options, overlap="layers")[0]
    assert off.time_s == pytest.approx(grad + net, rel=1e-9)
    assert by_layers.time_s == pytest.approx(grad + net - hidden, rel=1e-9)
    assert full.time_s == pytest.approx(by_layers.time_s, rel=1e-9)
    assert partly.hidden_s == pytest.approx(share * full.hidden_s, rel=1e-9, abs=1e-12)


@given(gamma=st.floats(1, 10), grad=TIMES, comm=TIMES, workers=st.integers(2, 64))
def test_an_exponent_of_overlap_lies_between_nothing_and_all_of_the_shorter_hidden(gamma, grad, comm, workers):
    options = {"t_grad": grad, "t_comm": comm, "workers": workers, "batches": workers, "modes": "sync-join"}
    options |= {"servers": "allreduce"}
    off = estimate(**options)[0]
    one = estimate(**options, overlap=f"gamma={gamma}")[0]
    assert max(grad, off.move_s) * (1 - 1e-9) <= one.time_s <= off.time_s * (1 + 1e-9)
    assert estimate(**options, overlap="gamma=1")[0].time_s == pytest.approx(off.time_s, rel=1e-12)


@given(steps=st.integers(1, 20), workers=st.integers(1, 40), batches=st.integers(1, 500), comm=TIMES)
def test_local_steps_exchange_once_every_so_many_iterations(steps, workers, batches, comm):
    options = {"t_grad": 1.0, "t_comm": comm, "workers": workers, "batches": batches, "modes": "sync-join"}
    net = 2 * (workers - 1) / workers * comm
    iterations = -(-batches // workers)
    got = estimate(**options, servers="allreduce", local_steps=steps)[0].time_s
    assert got == pytest.approx(iterations + -(-iterations // steps) * net, rel=1e-9)


def test_stragglers_and_backup_workers_are_what_drawing_them_gives():
    rng, workers, backup, cv = np.random.default_rng(5), 16, 2, 0.3
    draws = np.sort(rng.gamma(1 / cv**2, cv**2, (40_000, workers)), axis=1)
    options = {"t_grad": 1.0, "t_comm": 0.1, "cv_grad": cv, "workers": workers, "modes": "sync-join"}
    options |= {"servers": "allreduce", "batches": 1120}
    slowest = estimate(**options)[0]
    assert slowest.straggler_s == pytest.approx(draws[:, -1].mean() - 1, rel=0.01)
    backed = estimate(**options, backup=backup)[0]
    assert backed.straggler_s == pytest.approx(draws[:, -1 - backup].mean() - 1, rel=0.01)
    # 1120 batches are 70 iterations of 16, and 80 of which two gradients are lost.
    net = slowest.move_s
    assert slowest.time_s == pytest.approx(70 * (1 + slowest.straggler_s + net), rel=1e-9)
    assert backed.time_s == pytest.approx(80 * (1 + backed.straggler_s + net), rel=1e-9)
    assert slowest.speedup_low < slowest.speedup < slowest.speedup_high


@given(
    workers=st.integers(1, 80),
    grad=TIMES,
    comm=TIMES,
    overlap=st.sampled_from(["off", "full", 0.4]),
    r=st.sampled_from([1, 4]),
)
def test_an_iteration_is_the_sum_of_its_parts(workers, grad, comm, overlap, r):
    table = estimate(
        t_grad=grad, t_comm=comm, workers=workers, batches=10 * workers, shards=3, overlap=overlap, per_machine=r
    )
    parts = table.t_grad_worker_s + table.move_s + table.straggler_s + table.wait_s - table.hidden_s
    np.testing.assert_allclose(parts, table.t_iter_s, rtol=1e-9)
    assert (table.wait_s >= 0).all()
    assert (table.hidden_s <= table.move_s + table.wait_s + 1e-12).all()


@pytest.mark.parametrize("server", ["sharded", "byteps", "allreduce"])
@pytest.mark.parametrize("mode", IN_STEP)
@pytest.mark.parametrize("practice", [{}, {"overlap": "full", "per_machine": 4, "intra": "100gbit", "local_steps": 3}])
def test_the_formula_of_an_explanation_has_the_time_of_the_estimate(server, mode, practice):
    told = explain("vgg16e", network="10gbit", latency_s=1e-4, workers=24, mode=mode, server=server, **practice)
    assert float(told.expression.subs(told.values)) == pytest.approx(told.estimate.time_s, rel=1e-9)
    assert "t_net" in str(told)
    assert "compute" in str(told)


def test_a_hierarchical_plan_of_65536_workers_is_a_usual_answer():
    table = estimate(
        "vgg16e",
        network="100gbit",
        latency_s=1e-5,
        workers=65_536,
        batches=10**6,
        servers="allreduce",
        modes="sync-join",
        per_machine=8,
        intra="2400gbit",
        collectives=("hierarchical", "ring"),
    )
    hierarchical, ring = table
    assert hierarchical.time_s < ring.time_s
    assert hierarchical.machines == 8192
    assert 0 < hierarchical.efficiency < 1


def test_what_would_change_the_answer_is_so():
    answer = recommend("vgg16e", network="10gbit", max_workers=16, modes="sync-join", servers="allreduce")
    (said,) = [one for one in answer.reasons if "Pipelined shards" in one]
    count = int(said.split(" from ")[1].split(" ")[0])
    chosen = answer.choice
    options = {"network": "10gbit", "workers": 16, "modes": "sync-join"}
    shards = {
        k: estimate("vgg16e", **options, servers="sharded", schedules="pipelined", shards=k)[0].time_s
        for k in (count - 1, count)
    }
    assert shards[count - 1] > chosen.time_s >= shards[count]
    (link,) = [one for one in answer.reasons if "efficiency at 16 workers" in one]
    rate = link.split(" over ")[1].split(" Gbit/s")[0]
    faster = estimate("vgg16e", network=f"{rate}gbit", workers=16, modes="sync-join", servers="allreduce")[0]
    assert faster.efficiency == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"overlap": "half"}, "overlap"),
        ({"overlap": 1.5}, "from 0"),
        ({"overlap": "gamma=0.5"}, "at least 1"),
        ({"per_machine": 0}, "per_machine"),
        ({"local_steps": 1.5}, "local_steps"),
        ({"backup": -1}, "backup"),
        ({"shards": 0}, "shards"),
        ({"intra": "fast"}, "fast"),
        ({"servers": "allreduce", "modes": "async"}, "no plan"),
        ({"servers": "allreduce", "method": "thesis"}, "thesis"),
        ({"servers": "allreduce", "method": "simulation"}, "simulation"),
        ({"servers": "sharded", "schedules": "semaphore"}, "sharded"),
        ({"overlap": "full", "modes": "async"}, "async"),
        ({"overlap": "full", "method": "thesis"}, "thesis"),
        ({"collectives": "star"}, "collectives"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, words):
    with pytest.raises(SpeedupError, match=words):
        estimate("vgg16e", network="1gbit", **options)


def test_overlap_is_off_unless_it_is_said():
    assert gather("vgg16e", network="1gbit").practice.overlap == Overlap.of("off")
    assert any("no overlap" in one for one in recommend("vgg16e", network="1gbit").validity)
    full = recommend("vgg16e", network="10gbit", overlap="full", max_workers=8)
    assert any("overlap of transfers with the backward pass 100%" in one for one in full.validity)


def test_very_many_workers_are_estimated_as_fewer_are():
    options = {"t_grad": 1.0, "t_comm": 0.05, "cv_grad": 0.1, "batches": 255 * 256 * 2, "modes": IN_STEP}
    counts = [1, 2, 128, 255, 256, 512]
    together = estimate(**options, workers=counts, servers="distributed")
    for row in together:
        alone = estimate(**options, workers=row.workers, servers="distributed")
        assert row.time_s == next(one.time_s for one in alone if one.mode == row.mode)
    for mode in IN_STEP:
        drawn, counted = (next(r for r in together if (r.mode, r.workers) == (mode, n)) for n in (255, 256))
        assert (drawn.method, counted.method) == ("recursion", "order-statistics")
        assert counted.t_iter_s == pytest.approx(drawn.t_iter_s, rel=0.01)


def drawn_speedup(speeds, mode, cv=0.0):
    options = {"t_grad": 1.0, "t_comm": 1e-9, "cv_grad": cv, "workers": len(speeds), "batches": 600 * len(speeds)}
    servers = "central" if mode == "async" else "allreduce"
    return estimate(**options, modes=mode, servers=servers, schedules="fair", speeds=speeds)[0]


@given(speeds=st.lists(st.floats(0.25, 4.0), min_size=1, max_size=12))
def test_unequal_workers_join_at_the_slowest_split_by_their_speeds_and_add_up_out_of_step(speeds):
    assert drawn_speedup(speeds, "sync-join").speedup == pytest.approx(len(speeds) * min(speeds), rel=1e-6)
    assert drawn_speedup(speeds, "sync-split").speedup == pytest.approx(sum(speeds), rel=1e-6)
    assert drawn_speedup(speeds, "async").speedup == pytest.approx(sum(speeds), rel=1e-6)


def test_unequal_workers_whose_times_vary_are_what_drawing_them_gives():
    speeds, cv = (1.0, 1.0, 0.5, 2.0), 0.3
    draws = np.random.default_rng(2).gamma(1 / cv**2, cv**2, (60_000, 4)) / speeds
    found = drawn_speedup(speeds, "sync-join", cv)
    assert found.t_iter_s == pytest.approx(draws.max(axis=1).mean(), rel=0.01)


def test_bounded_staleness_of_a_count_does_not_depend_on_which_others_are_asked():
    options = {"t_grad": 1.0, "t_comm": 0.2, "cv_grad": 0.5, "modes": "async", "servers": "distributed", "staleness": 2}
    alone = estimate(**options, workers=[4])[0].time_s
    (among,) = (row.time_s for row in estimate(**options, workers=range(1, 65)) if row.workers == 4)
    assert among == pytest.approx(alone, rel=1e-12)


def test_bounded_staleness_lies_between_lockstep_and_none():
    options = {"t_grad": 1.0, "t_comm": 0.01, "cv_grad": 0.4, "workers": 32, "batches": 3200, "servers": "distributed"}
    free = estimate(**options, modes="async")[0].time_s
    bounded = [estimate(**options, modes="async", staleness=s)[0].time_s for s in (0, 1, 3, 30)]
    in_step = estimate(**options, modes="sync-join")[0].time_s
    assert bounded == sorted(bounded, reverse=True)
    assert bounded[0] == pytest.approx(in_step, rel=0.02)
    assert bounded[-1] == pytest.approx(free, rel=0.03)
    # Nobody may leave a worker of half the speed behind.
    slow = estimate(**options, modes="async", staleness=3, speeds=[1.0] * 31 + [0.5])[0]
    assert slow.t_iter_s == pytest.approx(2.02, rel=0.01)


def test_a_server_that_works_for_every_gradient_limits_workers_in_step_and_out_of_step():
    options = {
        "t_grad": 1.0,
        "t_comm": 0.001,
        "workers": 64,
        "batches": 6400,
        "servers": "central",
        "schedules": "best",
    }
    in_step = estimate(**options, modes="sync-join", t_serve=0.02, t_update=0.1)[0]
    alone = estimate(**options, modes="sync-join")[0]
    assert in_step.t_iter_s - alone.t_iter_s == pytest.approx(64 * 0.02 + 0.1, rel=1e-6)
    out_of_step = estimate(**options, modes="async", t_serve=0.05)[0]
    assert out_of_step.batches / out_of_step.time_s == pytest.approx(1 / 0.05, rel=0.03)


def test_speeds_are_given_for_every_worker():
    with pytest.raises(SpeedupError, match="speeds has 2 values"):
        estimate(t_grad=1.0, t_comm=0.1, workers=3, speeds=(1.0, 0.5))
    with pytest.raises(SpeedupError, match=r"speeds\[1\]"):
        estimate(t_grad=1.0, t_comm=0.1, workers=2, speeds=(1.0, 0.0))


def test_layers_overlap_by_their_own_backward_passes():
    from dataclasses import replace

    made = payload(1.0)
    made = replace(made, workload=replace(made.workload, tensor_elements=(1000, 3000)))
    options = {"workers": 2, "batches": 2, "modes": "sync-join", "servers": "allreduce", "collectives": "ring"}
    found = estimate(made, **options, t_comm=0.8, overlap="layers", backward=[0.1, 0.5])[0]
    # The last layer's 3/4 leave when 0.5 s of the backward pass are over, the first's 1/4 after both.
    finished = max(0.5 + 0.6, 0.6) + 0.2
    assert found.time_s == pytest.approx(0.4 + finished, rel=1e-9)
    with pytest.raises(SpeedupError, match="2 tensors"):
        estimate(made, **options, t_comm=0.8, overlap="layers", backward=[0.1])
    with pytest.raises(SpeedupError, match="layers"):
        estimate(made, **options, t_comm=0.8, overlap="full", backward=[0.1, 0.5])


@pytest.mark.parametrize(("shards", "t_comm"), [(1, 2.0), (3, 0.5), (16, 0.5), (64, 0.01)])
@pytest.mark.parametrize(("schedule", "ways", "equation"), [("fair", 2, "K.4"), ("pipelined", 1, "K.6")])
def test_out_of_step_each_direction_of_a_server_s_link_carries_every_gradient(shards, t_comm, schedule, ways, equation):
    options = {"t_grad": 1.0, "t_comm": t_comm, "shards": shards}
    plan = {"server": "sharded", "schedule": schedule, "workers": 16, "mode": "async"}
    table = estimate(
        **options, batches=128, workers=[16], modes="async", servers="sharded", schedules=schedule, method="auto"
    )
    assert table.time_s[0] == pytest.approx(128 / 16 * max(1.0 + ways * t_comm, 16 * t_comm / shards))
    assert table[0].equation == equation
    assert f"equation {equation}" in str(explain(**options, **plan, batches=128))
