"""What fits: memory of a step by its batch, servers, links, and words for what does not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import Link, Profile, SpeedupError, Timing, Workload, estimate, place
from speedup.errors import PlanError, UnitError
from speedup.memory import MemoryModel, feasibility_of
from speedup.plans import COLLECTIVES, SERVERS
from speedup.profile import Device, Provenance, StepCost

MB = 10**6
TENSORS = (1_000_000, 1_000, 2_000_000, 999_000)
WEIGHTS = 4 * sum(TENSORS)
ACTIVATIONS = {8: 10 * MB, 16: 18 * MB, 32: 34 * MB}
sizes = st.integers(0, 10**12)


def step(batch, activations):
    return StepCost(
        batch=batch,
        weights_bytes=WEIGHTS,
        gradients_bytes=WEIGHTS,
        optimizer_state_bytes=2 * WEIGHTS,
        activations_bytes=activations,
    )


MEASURED = tuple(step(*pair) for pair in ACTIVATIONS.items())


def profile(costs=MEASURED, memory=200 * MB, **load):
    workload = {"architecture": "net", "tensor_elements": TENSORS, "algorithm": "adam", "batch": 16, **load}
    return Profile(
        name="net",
        workload=Workload(**workload),
        t_grad=(Timing(median_s=0.1, provenance=Provenance.MEASURED, batch=16),),
        device=Device(platform="gpu", name="card", memory_bytes=memory),
        costs=tuple(costs),
    )


def plans(known=None, **options):
    usual = {
        "network": "1gbit",
        "workers": [1, 4, 8],
        "servers": SERVERS,
        "shards": 3,
        "schedules": ("fair", "pipelined"),
    }
    return estimate(known or profile(), **{**usual, **options})


def row_of(table, **wanted):
    (found,) = [
        row for row, one in enumerate(table) if all(str(getattr(one, name)) == str(is_) for name, is_ in wanted.items())
    ]
    return found


def test_a_measured_step_is_the_sum_of_its_parts():
    model = MemoryModel.of(profile())
    assert model.complete
    assert model.provenance is Provenance.MEASURED
    assert not model.assumed
    for batch, used in ACTIVATIONS.items():
        assert model.worker_bytes(batch) == 4 * WEIGHTS + used
        assert model.worker_bytes(batch, state=False) == 2 * WEIGHTS + used


def test_activations_lie_on_the_line_between_batches_and_go_on_beyond_them():
    model = MemoryModel.of(profile())
    assert model.activations_bytes([12, 24, 64, 1]) == pytest.approx([14 * MB, 26 * MB, 66 * MB, 3 * MB])


def test_a_batch_that_saves_memory_is_believed_but_not_continued():
    model = MemoryModel.of(profile([step(8, 20 * MB), step(16, 12 * MB)]))
    assert model.activations_bytes([8, 16, 32]).tolist() == [20 * MB, 12 * MB, 12 * MB]


def test_one_batch_alone_is_taken_in_proportion_and_said_so():
    model = MemoryModel.of(profile([step(16, 16 * MB)]))
    assert model.activations_bytes([1, 32]).tolist() == [MB, 32 * MB]
    assert model.assumed == ("activations in proportion to the batch, from batch 16 alone: assumed",)
    assert model.provenance is Provenance.ASSUMED


@pytest.mark.parametrize(
    ("algorithm", "copies", "slots"),
    [("sgd", 1, 0), ("momentum", 1, 1), ("adam", 1, 2), ("Adam-W", 1, 2), ("lion", 1, 2), ("edge_popup", 2, 1)],
)
def test_what_nobody_measured_follows_from_tensors_and_algorithm(algorithm, copies, slots):
    model = MemoryModel.of(profile([], algorithm=algorithm))
    assert model.weights_bytes == copies * WEIGHTS
    assert model.trained_bytes == model.gradients_bytes == WEIGHTS
    assert model.optimizer_state_bytes == slots * WEIGHTS
    assert not model.complete
    assert len(model.assumed) == 3
    assert any("activations were not measured" in one for one in model.assumed)


def test_an_algorithm_nobody_knows_is_taken_for_the_hungriest_and_named():
    assert 'because nobody knows "lion"' in MemoryModel.of(profile([], algorithm="lion")).assumed[1]


@given(st.dictionaries(st.integers(1, 512), sizes, min_size=1, max_size=6), st.integers(1, 2048))
def test_activations_pass_through_what_was_measured_and_are_never_negative(measured, batch):
    model = MemoryModel.of(profile([step(*pair) for pair in measured.items()]))
    for size, used in measured.items():
        assert float(model.activations_bytes(size)) == pytest.approx(used)
    assert float(model.activations_bytes(batch)) >= 0


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(1, 10**12), st.booleans())
def test_the_largest_batch_fits_and_one_sample_more_does_not(weights, each, memory, state):
    model = MemoryModel(
        weights_bytes=weights,
        trained_bytes=weights,
        gradients_bytes=weights,
        optimizer_state_bytes=2 * weights,
        activations=((1, each), (10, 10 * each)),
    )
    batch = model.largest_batch(memory, state=state)
    assert batch == 0 or model.worker_bytes(batch, state=state) <= memory
    assert model.worker_bytes(batch + 1, state=state) > memory


def test_a_batch_that_needs_no_memory_has_no_largest():
    assert MemoryModel.of(profile([])).largest_batch(10**9) is None
    assert MemoryModel.of(profile([])).largest_batch(1) == 0


def test_workers_have_the_optimizer_s_state_where_no_server_has_it():
    table = plans(modes="sync-join")
    found = feasibility_of(table)
    for row, one in enumerate(table):
        state = one.server in {"allreduce", "byteps", "none"}
        assert found.worker_bytes[row] == (4 if state else 2) * WEIGHTS + ACTIVATIONS[16]


def test_workers_that_step_between_exchanges_have_it_too():
    table = plans(modes="sync-join", servers="central", schedules="fair", workers=[4], local_steps=4)
    assert feasibility_of(table).worker_bytes[0] == 4 * WEIGHTS + ACTIVATIONS[16]


def test_a_part_of_a_batch_needs_less():
    table = plans(modes="sync-split", servers="allreduce", collectives="ring", workers=[1, 2, 3])
    model = MemoryModel.of(profile())
    assert feasibility_of(table).worker_bytes.tolist() == [float(model.worker_bytes(size)) for size in (16, 8, 6)]


def test_servers_hold_weights_state_and_gradients():
    table = plans(modes="async", workers=[8])
    found, summed = feasibility_of(table), feasibility_of(table, buffers="sum")
    central = row_of(table, server="central")
    assert found.server_bytes[central] == (1 + 2 + 8) * WEIGHTS
    assert summed.server_bytes[central] == (1 + 2 + 1) * WEIGHTS
    sharded = row_of(table, server="sharded", schedule="fair")
    assert found.server_bytes[sharded] == pytest.approx((1 + 2 + 8) * WEIGHTS / 3)
    distributed = row_of(table, server="distributed")
    assert found.server_bytes[distributed] == pytest.approx((1 + 2 + 8) * WEIGHTS / 8)


def test_helpers_hold_sums_alone_and_allreduce_has_no_server():
    table = plans(modes="sync-join", workers=[4], collectives="ring")
    found = feasibility_of(table, buffers="sum")
    # K.3: each of 3 helpers sums 2 (N - 1) / (N^2 + k N - 2 k) of the gradients.
    assert found.server_bytes[row_of(table, server="byteps")] == pytest.approx(WEIGHTS * 6 / 22)
    assert found.server_bytes[row_of(table, server="allreduce")] == 0


def test_a_placement_of_whole_tensors_counts_its_largest_share():
    table = plans(modes="async", servers="distributed", workers=[2, 8], placement="greedy")
    shares = [max(place(TENSORS, count, "greedy").shares) for count in (2, 8)]
    want = [share * (3 + count) * WEIGHTS for share, count in zip(shares, (2, 8), strict=True)]
    assert feasibility_of(table).server_bytes == pytest.approx(want)


def test_machines_of_several_accelerators_send_one_sum():
    table = plans(modes="sync-join", servers="central", schedules="fair", workers=[8], per_machine=4, intra="100gbit")
    assert feasibility_of(table).server_bytes[0] == (3 + 2) * WEIGHTS


@pytest.mark.parametrize("cv_grad", [0.0, 0.2])
@pytest.mark.parametrize("up", [None, "int8"])
def test_no_plan_of_ours_asks_more_of_a_server_s_link_than_it_has(cv_grad, up):
    schedules = ("fair", "semaphore", "pipelined") if cv_grad else ("best", "worst", "mean", "semaphore", "pipelined")
    for extra in ({}, {"modes": "sync-join", "local_steps": 3}, {"modes": "sync-join", "overlap": "full"}):
        table = plans(
            workers=[1, 2, 5, 16, 64], schedules=schedules, collectives=COLLECTIVES, cv_grad=cv_grad, up=up, **extra
        )
        found = feasibility_of(table, device_bytes=10**12)
        assert found.feasible.all(), set(found.reasons())
        assert (found.incoming_bytes_per_s[table.servers > 0] >= 0).all()


def test_a_link_that_is_slower_than_what_was_estimated_with_is_named():
    table = plans(modes="sync-join", servers="central", schedules="fair", workers=[8])
    slower = replace(table, inputs=replace(table.inputs, link=Link.parse("100mbit")))
    reason = feasibility_of(slower).reason(0)
    assert reason.startswith("a server must take ")
    assert reason.endswith("its link has 100 Mbit/s (12.5 MB/s)")


def test_what_does_not_fit_says_why_in_words():
    table = plans(modes="sync-join", workers=[8])
    found = feasibility_of(table, device_bytes=60 * MB, server_bytes=100 * MB)
    row = row_of(table, server="allreduce")
    assert found.reason(row) == "a worker needs 82 MB, the device has 60 MB"
    assert found.reason(row_of(table, server="central")) == "a server needs 176 MB, its machine has 100 MB"
    assert found.reason(row_of(table, server="distributed")) == ""
    assert found.reasons() == [found.reason(index) for index in range(len(table))]
    assert [not reason for reason in found.reasons()] == found.feasible.tolist()


def test_sizes_that_round_to_the_same_are_told_apart():
    table = plans(modes="sync-join", servers="allreduce", collectives="ring", workers=[8])
    exact = 4 * WEIGHTS + ACTIVATIONS[16]
    assert feasibility_of(table, device_bytes=exact).feasible.all()
    assert feasibility_of(table, device_bytes=exact - 1).reason(0) == (
        "a worker needs 82 MB (82,000,000 bytes), the device has 81,999,999 bytes"
    )


def test_the_device_s_memory_is_the_profile_s_unless_it_is_said():
    assert feasibility_of(plans()).device_limit == 200 * MB
    assert feasibility_of(plans(), device_bytes=10**9).device_limit == 10**9
    unknown = feasibility_of(plans(profile(memory=None)))
    assert unknown.device_limit is None
    assert unknown.feasible.all()
    assert "nobody knows the memory of the device: not checked" in unknown.notes


def test_without_activations_what_is_known_may_already_be_too_much():
    table = plans(profile([]), modes="sync-join", servers="allreduce", collectives="ring", workers=[8])
    assert not feasibility_of(table, device_bytes=60 * MB).feasible.any()
    assert any("at least the rest" in note for note in feasibility_of(table).notes)


def test_a_model_by_hand_does_without_a_profile():
    model = MemoryModel(weights_bytes=4e9, trained_bytes=4e9, gradients_bytes=4e9, optimizer_state_bytes=8e9)
    table = estimate(t_grad=1.0, t_comm=0.1, workers=[4], modes="sync-join", servers=("central", "allreduce"))
    found = feasibility_of(table, model=model, device_bytes=12e9)
    assert found.worker_bytes[row_of(table, server="allreduce")] == 16e9
    assert (found.incoming_bytes_per_s == 0).all()
    assert found.link_limit is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device_bytes": 0}, "device memory = 0 bytes"),
        ({"device_bytes": float("nan")}, "device memory = nan"),
        ({"server_bytes": -1}, "server memory = -1 bytes"),
        ({"batch": 0}, "batch = 0"),
        ({"buffers": "all"}, "Allowed: each, sum"),
    ],
)
def test_wrong_figures_are_refused(options, said):
    with pytest.raises(SpeedupError, match=said):
        feasibility_of(plans(workers=[2]), **options)


def test_neither_profile_nor_model_is_refused():
    table = estimate(t_grad=1.0, t_comm=0.1, workers=[4])
    with pytest.raises(PlanError, match="name one, or give model="):
        feasibility_of(table)


def test_activations_without_a_batch_are_refused():
    model = replace(MemoryModel.of(profile()), assumed=())
    table = estimate(t_grad=1.0, t_comm=0.1, workers=[4])
    with pytest.raises(UnitError, match="Give batch="):
        feasibility_of(table, model=model)
    assert np.isfinite(feasibility_of(table, model=model, batch=16).worker_bytes).all()
