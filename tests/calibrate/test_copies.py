"""Copies between host and device are waited for, made anew, and claimed only where bytes moved."""

import itertools
import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrate.transport.copies import (
    COPY_SIZES,
    CopyTiming,
    Direction,
    _copied,
    _host_array,
    _loops,
    _ToDevice,
    _ToHost,
    copy_times,
    doubling,
    timing_of,
)
from speedup.errors import UnitError
from speedup.profile import Provenance, Timing

pytestmark = pytest.mark.device


@pytest.fixture
def device():
    return jax.devices()[0]


@pytest.fixture
def processor():
    if jax.default_backend() != "cpu":
        pytest.skip("JAX's first device is no processor")
    return jax.devices()[0]


@given(st.integers(1, 1000), st.integers(1, 10**7))
def test_sizes_double_up_to_the_last(first, more):
    sizes = doubling(first, first + more)
    assert sizes[0] == first
    assert all(later == 2 * earlier for earlier, later in itertools.pairwise(sizes))
    assert sizes[-1] <= first + more < 2 * sizes[-1]


def test_the_last_size_is_not_below_the_first():
    with pytest.raises(UnitError, match="last = 4 bytes; it must be at least first = 8 bytes"):
        doubling(8, 4)


def test_copies_are_timed_from_4_kib_to_64_mib_unless_asked_otherwise():
    assert (COPY_SIZES[0], COPY_SIZES[-1], len(COPY_SIZES)) == (4096, 64 * 2**20, 15)


def test_every_direction_and_size_has_its_timing():
    sizes = [1, 1000, 2**20]
    records = copy_times(sizes, samples=8)
    assert [record.timing.payload_bytes for record in records] == sizes * 2
    assert [record.direction for record in records] == [Direction.TO_DEVICE] * 3 + [Direction.TO_HOST] * 3
    for record in records:
        timing = record.timing
        assert timing.provenance is Provenance.MEASURED
        assert 0 < timing.low_s <= timing.median_s <= timing.high_s
        assert (len(timing.samples_s), timing.warmup) == (8, 3)


def test_without_time_there_is_one_sample():
    [record] = copy_times([4096], directions=["host-to-device"], max_time_s=1e-9)
    assert len(record.timing.samples_s) == 1
    assert (record.timing.low_s, record.timing.level) == (None, None)


def test_on_a_processor_no_bandwidth_is_claimed_for_memory_that_is_shared(processor):
    for record in copy_times([64, 2**20], samples=2, device=processor):
        assert not record.copied
        assert record.bandwidth_bytes_per_s is None
        assert "nothing is copied" in record.note


def test_on_a_processor_memory_that_begins_elsewhere_is_copied(processor):
    shifted = _host_array(2**16 + 1)[1:]
    assert _copied(_ToDevice(shifted, processor))
    assert not _copied(_ToDevice(_host_array(2**16), processor))


def test_an_array_is_brought_to_the_host_once_only(device):
    way = _ToHost(_host_array(2**16), device)
    arrays = way.prepare(5)
    assert len({array.unsafe_buffer_pointer() for array in arrays}) == 5
    assert len({id(array) for array in arrays + way.prepare(5)}) == 10


@pytest.mark.parametrize("kind", [_ToDevice, _ToHost])
def test_what_arrives_is_what_was_sent(device, kind):
    host = _host_array(10_000)
    way = kind(host, device)
    [source] = way.prepare(1)
    assert (np.asarray(way.copy(source)) == host).all()


def test_what_is_copied_is_random_and_begins_where_it_could_be_shared():
    host = _host_array(4097)
    assert host.ctypes.data % 64 == 0
    assert host.shape == (4097,)
    assert len(np.unique(host)) == 256


@given(st.floats(1e-9, 10), st.integers(1, 2**32))
def test_a_sample_has_at_least_one_copy_and_at_most_what_fits(one_s, size):
    loops = _loops(one_s, size)
    assert 1 <= loops <= 64
    assert loops == 1 or loops * size <= 2**28
    assert loops == 1 or (loops - 1) * one_s <= 2e-3


@given(st.lists(st.floats(1e-7, 1e3), min_size=1, max_size=40))
def test_a_timing_keeps_the_samples_and_their_median(samples):
    timing = timing_of(samples, payload_bytes=10, loops=3, warmup=2)
    assert timing.samples_s == tuple(samples)
    assert timing.median_s == np.median(samples)
    assert (timing.low_s is None) == (len(samples) < 6)


def test_the_bandwidth_is_bytes_by_the_median_time():
    timing = Timing(median_s=2e-3, provenance=Provenance.MEASURED, payload_bytes=8_000_000)
    record = CopyTiming(direction=Direction.TO_HOST, device="one", timing=timing)
    assert record.bandwidth_bytes_per_s == 4e9


def test_a_record_is_json():
    [record] = copy_times([4096], directions=["device-to-host"], samples=2)
    found = json.loads(json.dumps(record.to_dict()))
    assert found["direction"] == "device-to-host"
    assert found["timing"]["payload_bytes"] == 4096
    assert found["bandwidth_bytes_per_s"] == record.bandwidth_bytes_per_s


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": [0]}, "size = 0"),
        ({"samples": 0}, "samples = 0"),
        ({"warmup": 0}, "warmup = 0"),
        ({"max_time_s": 0.0}, "max_time_s = 0 s"),
        ({"directions": ["sideways"]}, 'direction "sideways" does not exist; it is "host-to-device" or'),
    ],
)
def test_arguments_out_of_range_are_refused(wrong, message):
    with pytest.raises(UnitError, match=message):
        copy_times(**{"sizes": [16], **wrong})


@pytest.mark.gpu
def test_a_gpu_has_a_bandwidth_each_way():
    if jax.default_backend() != "gpu":
        pytest.skip("JAX has no GPU here")
    for record in copy_times([2**26], samples=6):
        assert record.note == ""
        # From a tenth of the slowest PCI Express in use to the memory of the fastest GPU.
        assert 1e8 < record.bandwidth_bytes_per_s < 1e13
