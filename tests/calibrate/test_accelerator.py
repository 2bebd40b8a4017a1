"""What an NVIDIA device says of itself, in words; and on one, that it says it."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import calibrate
from calibrate.timing.accelerator import (
    _current,
    _others,
    _pseudonym,
    _version,
    _watts,
    accelerator_facts,
    throttle_words,
    visible_device,
    warnings_from,
)
from calibrate.timing.inputs import input_time
from calibrate.timing.memory import available_bytes
from calibrate.timing.sampler import Rule, Sampler
from speedup.errors import UnfinishedWorkError

BUSY = {"gpu_sm_mhz": 1980, "gpu_sm_max_mhz": 1980, "gpu_throttle": "none", "gpu_other_processes": 0}


@pytest.fixture
def gpu():
    if jax.default_backend() != "gpu":
        pytest.skip("JAX has no GPU here")
    return jax.devices()[0]


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0x0, "none"),
        (0x1, "idle"),
        (0x4, "power cap"),
        (0x28, "hardware slowdown, thermal slowdown by software"),
        (0x1FF & ~0x1FE, "idle"),
        (0x204, "power cap, unknown (0x200)"),
    ],
)
def test_reasons_for_reduced_clocks_are_words(bits, words):
    assert throttle_words(bits) == words


def test_every_reason_of_the_library_has_a_word():
    pynvml = pytest.importorskip("pynvml")
    assert "unknown" not in throttle_words(pynvml.nvmlClocksEventReasonAll)


@pytest.mark.parametrize(
    ("position", "visible", "device"),
    [
        (0, None, 0),
        (3, None, 3),
        (0, "2", 2),
        (1, "2, 0", 0),
        (1, "GPU-aa,GPU-bb", "GPU-bb"),
        (0, "MIG-cc", "MIG-cc"),
        (0, "", None),
        (2, "0,1", None),
    ],
)
def test_the_measured_device_is_found_behind_the_variable_that_hides_others(position, visible, device):
    assert visible_device(position, visible) == device


def test_a_processor_has_no_such_facts():
    assert accelerator_facts(jax.devices("cpu")[0]) == {}


class Card:
    """What JAX says of a graphics card."""

    platform, id, local_hardware_id = "gpu", 0, 0


@pytest.mark.parametrize("hidden", [True, False])
def test_without_library_or_driver_there_are_no_facts_and_no_error(monkeypatch, hidden):
    if hidden:
        monkeypatch.setitem(sys.modules, "pynvml", None)
    elif os.path.exists("/dev/nvidiactl"):  # noqa: PTH110
        pytest.skip("there is a driver here")
    assert accelerator_facts(Card()) == {}


def test_the_library_is_not_imported_for_a_processor():
    code = "import sys, calibrate.timing.environment as e; e.environment(); sys.exit('pynvml' in sys.modules)"
    environ = {**os.environ, "JAX_PLATFORMS": "cpu"}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environ).returncode == 0


def test_what_the_library_says_gets_units():
    assert (_version(12080), _version(13000), _version(None)) == ("12.8", "13.0", None)
    assert (_watts(698123), _watts(None)) == (698.123, None)
    assert (_current([1, 0]), _current([0, 0]), _current(None)) == (True, False, None)
    assert _pseudonym("GPU-8f2a") == _pseudonym("GPU-8f2a") != _pseudonym("GPU-8f2b")
    assert len(_pseudonym("GPU-8f2a")) == 12


class Listed:
    def __init__(self, pid):
        self.pid = pid


def test_this_process_is_not_among_the_others():
    assert _others([Listed(1)], []) == 0
    assert _others([Listed(1), Listed(2)], [Listed(2), Listed(3)]) == 2
    assert _others([], None) is None
    assert _others(None, None) is None


def test_a_busy_device_at_full_clock_alone_has_no_warning():
    assert warnings_from(BUSY) == ()
    assert warnings_from({}) == ()
    assert warnings_from(dict.fromkeys(BUSY)) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gpu_throttle": "power cap"}, "The GPU was held back (power cap). Raise"),
        (
            {"gpu_throttle": "thermal slowdown by hardware", "gpu_temperature_c": 91},
            "The GPU was held back (thermal slowdown by hardware; 91 °C).",
        ),
        (
            {"gpu_throttle": "power cap", "gpu_sm_mhz": 900, "gpu_power_w": 699.7, "gpu_power_limit_w": 700.0},
            "The GPU was held back (power cap; 700 W of 700 W).",
        ),
        ({"gpu_sm_mhz": 1200}, "The GPU's clock was at 61% of its maximum."),
        ({"gpu_other_processes": 1}, "1 other process was on the GPU."),
        ({"gpu_other_processes": 2}, "2 other processes were on the GPU."),
    ],
)
def test_what_makes_a_timing_doubtful_is_one_sentence_with_its_numbers(changes, sentence):
    found = warnings_from(BUSY | changes)
    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_the_clock_of_an_idle_device_says_nothing():
    assert warnings_from(BUSY | {"gpu_sm_mhz": 210, "gpu_throttle": "idle"}) == ()
    assert warnings_from(BUSY | {"gpu_throttle": "clocks set by an application"}) == ()


@pytest.mark.gpu
def test_a_gpu_tells_what_it_is_and_how_it_is(gpu):
    jnp.ones((64, 64)).block_until_ready()
    facts = accelerator_facts(gpu)
    assert facts["gpu_name"] == gpu.device_kind
    assert facts["gpu_count"] >= 1
    assert 0 <= facts["gpu_index"] < facts["gpu_count"]
    assert int(facts["gpu_uuid_sha256"], 16) >= 0
    assert facts["gpu_memory_bytes"] > 2**30
    assert 0 < facts["gpu_sm_mhz"] <= facts["gpu_sm_max_mhz"] < 10_000
    assert 0 < facts["gpu_memory_mhz"] <= facts["gpu_memory_max_mhz"] < 50_000
    assert "unknown" not in facts["gpu_throttle"]
    assert 0 < facts["gpu_power_w"] < 1.5 * facts["gpu_power_limit_w"] < 5000
    assert 0 < facts["gpu_temperature_c"] < 110
    assert float(facts["gpu_cuda"]) >= 11
    assert facts["gpu_pcie_generation"] in range(1, 8)
    assert facts["gpu_pcie_width"] in (1, 2, 4, 8, 16, 32)
    assert 0 <= facts["gpu_nvlinks"] <= 36
    assert facts["gpu_other_processes"] is None or facts["gpu_other_processes"] >= 0


def product(gpu, kind, size=8192):
    """A step that multiplies square matrices."""
    given = jax.device_put(jnp.full((size, size), 1e-3, kind), gpu)
    multiply = jax.jit(lambda x: x @ x).lower(given).compile()
    return lambda: multiply(given)


def sampled(step):
    sampler = Sampler(step, wait=jax.block_until_ready, rule=Rule(min_time_s=0.5, max_time_s=5.0, sample_s=0.05))
    sampler.visit(5.0)
    return sampler.result()


@pytest.mark.gpu
def test_a_product_on_a_gpu_is_sampled_with_a_narrow_interval(gpu):
    result = sampled(product(gpu, jnp.bfloat16))
    assert result.relative_half_width < 0.1
    # 1.1 TFLOP: between 1 TFLOP/s and 10 PFLOP/s.
    assert 1e-4 < result.median_s < 1.2
    assert len(result.steps_s) >= 5


@pytest.mark.gpu
def test_a_product_in_half_precision_is_faster(gpu):
    half, single = (sampled(product(gpu, kind)).median_s for kind in (jnp.bfloat16, jnp.float32))
    assert half < 0.8 * single


@pytest.mark.gpu
def test_a_call_not_waited_for_is_refused_on_a_gpu(gpu):
    step = product(gpu, jnp.bfloat16)
    with pytest.raises(UnfinishedWorkError, match="returned before its work was done"):
        calibrate.measure(step, sync=None, min_time_s=0.0, max_time_s=1.0)
    assert calibrate.measure(step, min_time_s=0.0, max_time_s=1.0).median_s > 1e-4


@pytest.mark.gpu
def test_a_gpu_has_memory_left_and_takes_time_to_fill(gpu):
    batch = jax.device_get(jnp.ones((64, 2**20)))
    assert 2**28 < available_bytes(gpu) < accelerator_facts(gpu)["gpu_memory_bytes"]
    # A quarter of a gigabyte: between 0.1 and 1000 GB/s.
    assert 2.6e-4 < input_time(batch, gpu) < 2.6
