"""The record of the environment explains a timing and gives away nothing else."""

import getpass
import json
import os
import socket

import jax
import pytest

from calibrate.calibration import device_slug
from calibrate.timing import environment as module
from calibrate.timing.environment import cpu_name, describe_device, environment, whitelisted_variables
from speedup.profile import Device


def test_there_is_no_host_user_folder_or_secret_in_it(monkeypatch):
    monkeypatch.setenv("API_TOKEN", "hunter2")
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "10.1.2.3:1234")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/somebody/dump --xla_cpu_enable_fast_math=false")
    text = json.dumps(environment())
    for private in ("hunter2", "10.1.2.3", "somebody", socket.gethostname(), os.fspath(os.getcwd())):  # noqa: PTH109
        assert private not in text
    if getpass.getuser() != "root":
        assert getpass.getuser() not in text
    assert "--xla_cpu_enable_fast_math=false" in text


def test_it_is_flat_json_without_nested_values():
    facts = environment()
    assert all(isinstance(value, (str, int, float, bool, type(None))) for value in facts.values())
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_it_names_what_changes_a_timing():
    facts = environment()
    for name in ("cpu", "cpu_usable_cores", "cpu_governor", "load_1min", "memory_bytes", "kernel", "container"):
        assert name in facts
    assert facts["version_jax"] == jax.__version__
    assert facts["python"].startswith("3.")
    assert 1 <= facts["cpu_usable_cores"] <= facts["cpu_logical_cores"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("--xla_dump_to=/a/b", "--xla_dump_to=<path>"),
        ("--xla_dump_to=~/b --x=1", "--xla_dump_to=<path> --x=1"),
        ("--xla_dump_to=../b", "--xla_dump_to=<path>"),
        ("--xla_cpu_use_thunk_runtime=true", "--xla_cpu_use_thunk_runtime=true"),
        ("0.75", "0.75"),
    ],
)
def test_folders_in_variables_are_hidden(value, shown):
    assert whitelisted_variables({"XLA_FLAGS": value}) == {"env_XLA_FLAGS": shown}


def test_devices_in_variables_are_named_by_kind_alone():
    visible = {"CUDA_VISIBLE_DEVICES": "GPU-8f2a1b3c-0000-1111,MIG-GPU-8f2a/1/0,3"}
    assert whitelisted_variables(visible) == {"env_CUDA_VISIBLE_DEVICES": "GPU-<uuid>,MIG-GPU-<uuid>,3"}


def test_there_are_facts_of_a_gpu_only_where_one_is_measured():
    facts = environment(jax.devices("cpu")[0])
    assert not any(name.startswith("gpu_") for name in facts)


@pytest.mark.gpu
def test_the_state_of_the_gpu_is_in_it():
    if jax.default_backend() != "gpu":
        pytest.skip("JAX has no GPU here")
    facts = environment()
    assert facts["gpu_name"] == facts["device_kind"]
    assert facts["gpu_driver"]
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert "GPU-" not in json.dumps({name: fact for name, fact in facts.items() if name.startswith("gpu_")})


def test_only_listed_variables_are_taken():
    assert whitelisted_variables({"JAX_SECRET": "1", "NCCL_ALGO": "Ring"}) == {"env_NCCL_ALGO": "Ring"}


def test_the_processor_is_named_from_the_kernels_text():
    assert (
        cpu_name("model name\t: Intel(R)  Xeon(R) CPU @ 2.20GHz\nflags : hypervisor")
        == "Intel(R) Xeon(R) CPU @ 2.20GHz"
    )
    assert cpu_name("")


def test_files_the_kernel_does_not_have_are_none_not_errors(monkeypatch):
    monkeypatch.setattr(module, "_text", lambda _path: "")
    facts = environment()
    assert facts["cpu_governor"] is None
    assert facts["virtual_machine"] is None


def test_the_driver_is_read_from_the_kernels_text(monkeypatch):
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23\nGCC version: 12.3.0"
    monkeypatch.setattr(module, "_text", lambda path: text if "nvidia" in path else "")
    assert environment()["nvidia_driver"] == "570.86.15"


def test_the_device_is_the_processor_with_its_usable_cores():
    device = describe_device(jax.devices("cpu")[0])
    assert device.platform == "cpu"
    assert device.cores >= 1
    assert device.memory_bytes > 2**20


class Card:
    """What JAX says of a graphics card, where it says it."""

    platform, device_kind = "gpu", "NVIDIA H200"

    def memory_stats(self):
        return {"bytes_limit": 100}


def test_a_card_is_named_by_its_runtime():
    assert describe_device(Card()) == Device(platform="gpu", name="NVIDIA H200", memory_bytes=100)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Intel(R) Xeon(R) Processor", "xeon"),
        ("AMD EPYC 7B13 64-Core Processor", "epyc-7b13"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("CPU", "gpu"),
    ],
)
def test_the_slug_keeps_what_tells_devices_apart(name, slug):
    assert device_slug(Device(platform="gpu", name=name)) == slug
