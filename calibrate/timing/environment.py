"""The facts that may change a timing, as one flat record that is safe to publish.

There is no host name, user name, path or process list in it, and of the environment variables only those
listed here that steer the computation.
"""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import psutil

from speedup.profile import Device

from .accelerator import accelerator_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .accelerator import Fact

_PACKAGES = ("numpy", "jax", "jaxlib", "flax", "optax")
# Named one by one: a prefix such as JAX_ would also take in addresses of coordinators and paths of caches.
_VARIABLES = (
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_NUM_CPU_DEVICES",
    "JAX_CPU_ENABLE_ASYNC_DISPATCH",
    "JAX_DISABLE_JIT",
    "JAX_DEBUG_NANS",
    "JAX_COMPILATION_CACHE_MAX_SIZE",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "NCCL_ALGO",
    "NCCL_PROTO",
    "NCCL_P2P_DISABLE",
    "NCCL_IB_DISABLE",
    "NCCL_MIN_NCHANNELS",
    "NCCL_MAX_NCHANNELS",
    "NCCL_BUFFSIZE",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)
_FOLDERS = re.compile(r"(?<![\w.])(?:~|\.{0,2})/[^\s,;\"']+")
_UUIDS = re.compile(r"\b(MIG-GPU-|MIG-|GPU-)[0-9A-Fa-f/-]+")


def _text(path: str) -> str:
    """Return what a file of the kernel says, or nothing: none of them exists everywhere."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def cpu_name(cpuinfo: str) -> str:
    r"""Return the processor's name in the text of ``/proc/cpuinfo``, or the platform's word for it.

    Args:
        cpuinfo: The text; may be empty.

    Example:
        >>> cpu_name("processor : 0\nmodel name : AMD EPYC 9B14\n")
        'AMD EPYC 9B14'
    """
    found = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return " ".join(found[1].split()) if found else (platform.processor() or platform.machine() or "unknown CPU")


def usable_cores() -> int:
    """Return the cores this process may run on, which affinity can make fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def container_hint() -> str | None:
    """Return what seems to contain this process, or None where nothing shows."""
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    found = re.search(r"kubepods|docker|lxc|containerd|podman", _text("/proc/1/cgroup"))
    return found[0] if found else None


def whitelisted_variables(environ: Mapping[str, str]) -> dict[str, Fact]:
    """Return the variables that steer the computation and are set, folders and devices' UUIDs in them hidden.

    Args:
        environ: All variables.

    Example:
        >>> whitelisted_variables({"XLA_FLAGS": "--xla_dump_to=/home/ann/dump", "TOKEN": "x"})
        {'env_XLA_FLAGS': '--xla_dump_to=<path>'}
    """
    found = {f"env_{name}": environ[name] for name in _VARIABLES if name in environ}
    return {name: _FOLDERS.sub("<path>", _UUIDS.sub(r"\1<uuid>", value)) for name, value in found.items()}


def _package_versions() -> dict[str, Fact]:
    versions: dict[str, Fact] = {}
    for name in (*_PACKAGES, "speedup-toolkit"):
        try:
            versions[f"version_{name}"] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[f"version_{name}"] = None
    return versions


def _processor() -> dict[str, Fact]:
    cpuinfo = _text("/proc/cpuinfo")
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return {
        "cpu": cpu_name(cpuinfo),
        "cpu_logical_cores": os.cpu_count(),
        "cpu_usable_cores": usable_cores(),
        "cpu_governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "cpu_mhz": round(frequency.current, 1) if frequency else None,
        "cpu_max_mhz": round(frequency.max, 1) if frequency and frequency.max else None,
        "virtual_machine": "hypervisor" in cpuinfo if cpuinfo else None,
    }


def _load() -> dict[str, Fact]:
    memory = psutil.virtual_memory()
    averages = psutil.getloadavg()
    return {
        "load_1min": round(averages[0], 2),
        "load_5min": round(averages[1], 2),
        "memory_bytes": memory.total,
        "memory_available_bytes": memory.available,
    }


def environment(device: jax.Device | None = None) -> dict[str, Fact]:
    """Return the record: processor, load, memory, system, versions, device, its state, and variables.

    Args:
        device: The device measured; None for JAX's first.

    Returns:
        One flat dictionary of JSON scalars, None where the machine does not say. Names end in their unit.
        The state of an NVIDIA device (``gpu_...``) is that of this moment: see ``accelerator_facts``.
    """
    measured = device or jax.devices()[0]
    driver = re.search(r"Kernel Module\D*([\d.]+)", _text("/proc/driver/nvidia/version"))
    return {
        **_processor(),
        **_load(),
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "container": container_hint(),
        "python": platform.python_version(),
        **_package_versions(),
        "device_platform": measured.platform,
        "device_kind": measured.device_kind,
        "device_count": jax.device_count(),
        "device_runtime": " ".join(str(measured.client.platform_version).split()),
        "nvidia_driver": driver[1] if driver else None,
        **accelerator_facts(measured),
        **whitelisted_variables(os.environ),
    }


def describe_device(device: jax.Device | None = None) -> Device:
    """Return the device as it stands in a profile.

    Args:
        device: A device of JAX; None for its first.

    Returns:
        For a CPU its model, usable cores and the machine's memory, else what the runtime says.
    """
    measured = device or jax.devices()[0]
    if measured.platform == "cpu":
        name = cpu_name(_text("/proc/cpuinfo"))
        return Device(platform="cpu", name=name, cores=usable_cores(), memory_bytes=psutil.virtual_memory().total)
    limit = (measured.memory_stats() or {}).get("bytes_limit")
    return Device(platform=measured.platform, name=measured.device_kind, memory_bytes=limit)
