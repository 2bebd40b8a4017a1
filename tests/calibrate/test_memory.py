"""What does not fit a device is refused before it is tried, with its numbers."""

import jax
import jax.numpy as jnp
import pytest

from calibrate.timing.memory import (
    DeviceMemoryError,
    _groups,
    available_bytes,
    group_left,
    is_out_of_memory,
    refuse_too_big,
)


class Card:
    """What JAX says of a graphics card, where it says it."""

    platform = "gpu"

    def __init__(self, stats):
        self._stats = stats

    def memory_stats(self):
        return self._stats


def test_a_card_has_left_what_its_runtime_does_not_use():
    assert available_bytes(Card({"bytes_limit": 100, "bytes_in_use": 30})) == 70


@pytest.mark.parametrize("stats", [None, {}])
def test_a_card_whose_runtime_does_not_say_refuses_nothing(stats):
    assert available_bytes(Card(stats)) is None
    refuse_too_big(10**18, "batch 4", Card(stats))


def test_a_processor_has_left_no_more_than_the_machine_has():
    import psutil

    assert 2**20 < available_bytes(jax.devices("cpu")[0]) <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "1000", "memory.current": "300"}, 700),
        ({"memory.max": "1000", "memory.current": "300", "memory.stat": "anon 100\ninactive_file 200\n"}, 900),
        ({"memory.max": "1000", "memory.current": "1200"}, 0),
        ({"memory.max": "max", "memory.current": "300"}, None),
        ({"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "400"}, 600),
        ({}, None),
    ],
)
def test_the_limit_of_a_container_counts(tmp_path, files, left):
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert group_left(tmp_path) == left


def test_the_groups_of_this_process_are_found_up_to_the_root():
    second = [str(folder) for folder in _groups("0::/system/job.slice")]
    assert second[-3:] == ["/sys/fs/cgroup/system/job.slice", "/sys/fs/cgroup/system", "/sys/fs/cgroup"]
    first = [str(folder) for folder in _groups("4:memory:/job\n3:cpuset:/other")]
    assert first[-2:] == ["/sys/fs/cgroup/memory/job", "/sys/fs/cgroup/memory"]
    assert len(_groups("")) == 2


def test_too_big_is_refused_with_need_supply_and_advice():
    with pytest.raises(DeviceMemoryError) as caught:
        refuse_too_big(5_000_000_000, "batch 512", Card({"bytes_limit": 2_000_000_000}))
    assert str(caught.value) == (
        "batch 512 needs 5 GB of memory, and 2 GB are available. Use a smaller batch, or free memory."
    )
    assert caught.value.exit_code == 4


def test_what_fits_is_not_refused():
    refuse_too_big(70, "batch 4", Card({"bytes_limit": 100, "bytes_in_use": 30}))


def test_running_out_of_memory_is_recognised_however_it_is_said():
    with pytest.raises(Exception, match="memory") as caught:
        jnp.zeros((2**46,), jnp.int8).block_until_ready()
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(DeviceMemoryError("too big"))
    assert not is_out_of_memory(ValueError("RESOURCE_EXHAUSTED"))
