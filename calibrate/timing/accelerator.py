"""The state of an NVIDIA device: what it is, how fast it is clocked, what holds it back, who else is on it.

It is asked through NVIDIA's management library (the package ``nvidia-ml-py``). Where the package or the
driver is missing there are no facts, and where the device does not tell one of them it is None.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import jax

if TYPE_CHECKING:
    from collections.abc import Mapping

Fact: TypeAlias = "str | int | float | bool | None"

_REASONS = {
    0x001: "idle",
    0x002: "clocks set by an application",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "synchronised boost",
    0x020: "thermal slowdown by software",
    0x040: "thermal slowdown by hardware",
    0x080: "power brake",
    0x100: "display clocks",
}
_HELD_BACK = ("power cap", "hardware slowdown", "thermal slowdown", "power brake")
_CLOCK_SHARE = 0.9
# Numbers of the library's enumerations: clock domains and temperature sensor; and links a device may have.
_SM, _MEMORY, _CORE, _MOST_LINKS = 1, 2, 0, 36


def throttle_words(bits: int) -> str:
    """Return the reasons for reduced clocks in a bit mask of the management library.

    Args:
        bits: The mask.

    Example:
        >>> throttle_words(0), throttle_words(0x44), throttle_words(0x1000)
        ('none', 'power cap, thermal slowdown by hardware', 'unknown (0x1000)')
    """
    known = sum(_REASONS)
    words = [word for bit, word in _REASONS.items() if bits & bit]
    if bits & ~known:
        words.append(f"unknown ({bits & ~known:#x})")
    return ", ".join(words) or "none"


def visible_device(position: int, visible: str | None) -> int | str | None:
    """Return which of the machine's devices a process sees at a position.

    Args:
        position: Number of the device within the process.
        visible: ``CUDA_VISIBLE_DEVICES``; None where it is not set.

    Returns:
        Its index on the machine, or its UUID where the variable has one; None where it hides the position.
        CUDA counts devices of unequal speed from the fastest unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID``, while
        an index here counts by PCI bus; among equal devices both are the same.

    Example:
        >>> visible_device(1, "3,5"), visible_device(0, "GPU-8f2a"), visible_device(2, None), visible_device(1, "3")
        (5, 'GPU-8f2a', 2, None)
    """
    if visible is None:
        return position
    entries = [entry.strip() for entry in visible.split(",")]
    if position >= len(entries) or not entries[position]:
        return None
    return int(entries[position]) if entries[position].isdigit() else entries[position]


class _Library:
    """The management library, asked without exceptions."""

    def __init__(self, nvml: Any) -> None:  # noqa: ANN401 - the library has no types
        self._nvml = nvml

    def ask(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - the library has no types
        """Return what a function says, or None where it does not exist or the device does not tell."""
        try:
            return getattr(self._nvml, f"nvml{name}")(*arguments)
        except (self._nvml.NVMLError, AttributeError):
            return None

    def handle(self, device: int | str | None) -> Any:  # noqa: ANN401 - the library has no types
        """Return the handle of a device by index or UUID; None where there is none."""
        if isinstance(device, int):
            return self.ask("DeviceGetHandleByIndex", device)
        if device is None:
            return None
        for index in range(self.ask("DeviceGetCount") or 0):
            handle = self.ask("DeviceGetHandleByIndex", index)
            # CUDA takes a beginning of the UUID for the whole.
            if str(self.ask("DeviceGetUUID", handle)).startswith(device):
                return handle
        return self.ask("DeviceGetHandleByUUID", device)


def accelerator_facts(device: jax.Device | None = None) -> dict[str, Fact]:
    """Return the facts of an NVIDIA device, as it is at this moment.

    Clocks, power and throttling say something of a measurement only if they are read while the device is
    busy, or right after.

    Args:
        device: A device of JAX; None for its first.

    Returns:
        Facts whose names begin with ``gpu_`` and end in their unit; empty where it is no NVIDIA device, or
        the package or the driver is missing.

    Example:
        >>> accelerator_facts(jax.devices("cpu")[0])
        {}
    """
    measured = device or jax.devices()[0]
    if measured.platform != "gpu":
        return {}
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except (ImportError, OSError):
        return {}
    except nvml.NVMLError:
        return {}
    try:
        position = getattr(measured, "local_hardware_id", None)
        return _facts(_Library(nvml), measured.id if position is None else position)
    finally:
        nvml.nvmlShutdown()


def _facts(library: _Library, position: int) -> dict[str, Fact]:
    which = visible_device(position, os.environ.get("CUDA_VISIBLE_DEVICES"))
    handle = library.handle(which)
    if handle is None:
        return {}

    def ask(name: str, *arguments: object) -> Any:  # noqa: ANN401 - the library has no types
        return library.ask(f"DeviceGet{name}", handle, *arguments)

    memory, bits = ask("MemoryInfo"), ask("CurrentClocksEventReasons")
    if bits is None:
        bits = ask("CurrentClocksThrottleReasons")
    return {
        "gpu_name": ask("Name"),
        "gpu_uuid_sha256": _pseudonym(ask("UUID")),
        "gpu_index": ask("Index"),
        "gpu_count": library.ask("DeviceGetCount"),
        "gpu_driver": library.ask("SystemGetDriverVersion"),
        "gpu_cuda": _version(library.ask("SystemGetCudaDriverVersion")),
        "gpu_memory_bytes": None if memory is None else int(memory.total),
        "gpu_sm_mhz": ask("ClockInfo", _SM),
        "gpu_sm_max_mhz": ask("MaxClockInfo", _SM),
        "gpu_memory_mhz": ask("ClockInfo", _MEMORY),
        "gpu_memory_max_mhz": ask("MaxClockInfo", _MEMORY),
        "gpu_throttle": None if bits is None else throttle_words(bits),
        "gpu_power_w": _watts(ask("PowerUsage")),
        "gpu_power_limit_w": _watts(ask("EnforcedPowerLimit")),
        "gpu_temperature_c": ask("Temperature", _CORE),
        "gpu_ecc": _current(ask("EccMode")),
        "gpu_mig": _current(ask("MigMode")),
        "gpu_pcie_generation": ask("CurrPcieLinkGeneration"),
        "gpu_pcie_width": ask("CurrPcieLinkWidth"),
        "gpu_nvlinks": sum(1 for link in range(_MOST_LINKS) if ask("NvLinkState", link) == 1),
        "gpu_other_processes": _others(ask("ComputeRunningProcesses"), ask("GraphicsRunningProcesses")),
    }


def _pseudonym(uuid: str | None) -> str | None:
    """Return a name that tells devices apart without giving the UUID away."""
    return None if uuid is None else hashlib.sha256(uuid.encode()).hexdigest()[:12]


def _version(number: int | None) -> str | None:
    """Return 12.8 for 12080."""
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _current(modes: list[int] | None) -> bool | None:
    """Return the first of a current and a pending mode."""
    return None if modes is None else bool(modes[0])


def _others(compute: list[Any] | None, graphics: list[Any] | None) -> int | None:
    """Return how many processes but this are on the device; None where it does not list even this.

    This process is on the device it measures, but in a container it is listed by another number, so one of
    the listed is taken for it.
    """
    listed = {process.pid for process in [*(compute or ()), *(graphics or ())]}
    return len(listed) - 1 if listed else None


def warnings_from(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """Return what in the facts makes a timing doubtful, one sentence each.

    Args:
        facts: From ``accelerator_facts``, read while the device was busy; others are left alone.

    Example:
        >>> warnings_from({"gpu_throttle": "power cap", "gpu_power_w": 698.0, "gpu_power_limit_w": 700.0})
        ('The GPU was held back (power cap; 698 W of 700 W). Raise the limit, cool it, or say so beside the numbers.',)
        >>> warnings_from({"cpu": "AMD EPYC 9B14"})
        ()
    """
    found = list[str]()
    held = [word for word in str(facts.get("gpu_throttle")).split(", ") if word.startswith(_HELD_BACK)]
    if held:
        readings = "; ".join([", ".join(held), *_readings(facts)])
        found.append(f"The GPU was held back ({readings}). Raise the limit, cool it, or say so beside the numbers.")
    elif (share := _clock_share(facts)) < _CLOCK_SHARE:
        found.append(f"The GPU's clock was at {share:.0%} of its maximum. Fix it for numbers that repeat.")
    others = facts.get("gpu_other_processes")
    if isinstance(others, int) and others > 0:
        listed = "1 other process was" if others == 1 else f"{others} other processes were"
        found.append(f"{listed} on the GPU. Measure on a GPU of your own.")
    return tuple(found)


def _readings(facts: Mapping[str, Fact]) -> list[str]:
    power, limit, heat = (facts.get(f"gpu_{name}") for name in ("power_w", "power_limit_w", "temperature_c"))
    found = [] if power is None or limit is None else [f"{power:.0f} W of {limit:.0f} W"]
    return found if heat is None else [*found, f"{heat} °C"]


def _clock_share(facts: Mapping[str, Fact]) -> float:
    """Return the clock by its maximum; 1 where it says nothing, as that of an idle device."""
    clock, most = facts.get("gpu_sm_mhz"), facts.get("gpu_sm_max_mhz")
    if not (isinstance(clock, int) and isinstance(most, int)) or "idle" in str(facts.get("gpu_throttle")):
        return 1.0
    return clock / most
