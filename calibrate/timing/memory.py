"""How much memory a device has left, and refusing what does not fit before it is tried."""

from __future__ import annotations

from pathlib import Path

import jax
import psutil

from speedup.errors import SpeedupError
from speedup.units import show_bytes

_GROUPS = Path("/sys/fs/cgroup")


class DeviceMemoryError(SpeedupError):
    """Work that needs more memory than the device has left."""

    exit_code = 4


def _number(file: Path) -> int | None:
    """Return the number in a file of the kernel; None where there is none, or it says ``max``."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _reclaimable(file: Path) -> int:
    """Return the bytes of cached files that a group would give up."""
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "total_inactive_file ")))


def group_left(folder: Path) -> int | None:
    """Return the bytes left in a memory control group of the Linux kernel, of version 2 or 1.

    Args:
        folder: The group's.

    Returns:
        Limit less use, where cached files that can be dropped are no use; None for a group without limit.
    """
    for limit_name, use_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, use = _number(folder / limit_name), _number(folder / use_name)
        if limit is not None and use is not None:
            return max(0, limit - use + _reclaimable(folder / "memory.stat"))
    return None


def _groups(membership: str) -> list[Path]:
    """Return the folders of the memory groups this process is in, outermost last.

    A container often sees its own group as the root, whatever path the kernel names, so roots are always in.
    """
    found = [_GROUPS, _GROUPS / "memory"]
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = _GROUPS / controllers
            own = root / path.lstrip("/")
            found += [folder for folder in (own, *own.parents) if folder.is_relative_to(root)]
    return found


def available_bytes(device: jax.Device | None = None) -> int | None:
    """Return the memory that can still be allocated on a device [bytes].

    For a processor that is what the machine has left, or the limit of the container leaves, if less. For
    others it is the runtime's limit, less what is in use: None where the runtime does not say.

    Args:
        device: A device of JAX; None for its first.

    Example:
        >>> available_bytes(jax.devices("cpu")[0]) > 2**20
        True
    """
    measured = device or jax.devices()[0]
    if measured.platform != "cpu":
        stats = measured.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    try:
        membership = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        membership = ""
    lefts = [group_left(folder) for folder in _groups(membership)]
    return min([int(psutil.virtual_memory().available), *(left for left in lefts if left is not None)])


def refuse_too_big(needed_bytes: int, what: str, device: jax.Device | None = None) -> None:
    """Refuse work that needs more memory than there is.

    Args:
        needed_bytes: Memory that it needs beyond what is in use [bytes].
        what: Name of the work, for the sentence.
        device: A device of JAX; None for its first.

    Raises:
        DeviceMemoryError: It does not fit.

    Example:
        >>> refuse_too_big(1000, "batch 2")
    """
    available = available_bytes(device)
    if available is not None and needed_bytes > available:
        raise DeviceMemoryError(
            f"{what} needs {show_bytes(needed_bytes)} of memory, and {show_bytes(available)} are available. "
            "Use a smaller batch, or free memory."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: Python's, XLA's, or that of ``refuse_too_big``.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
        (True, True)
        >>> is_out_of_memory(RuntimeError("INVALID_ARGUMENT"))
        False
    """
    if isinstance(error, (MemoryError, DeviceMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
