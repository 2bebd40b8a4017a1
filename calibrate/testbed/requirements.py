"""What a testbed needs of the machine, and what to do where it is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

from speedup.errors import SpeedupError

_PACKAGES = {"ip": "iproute2", "tc": "iproute2", "unshare": "util-linux", "nsenter": "util-linux"}
_CAPABILITIES = (12, 21)  # CAP_NET_ADMIN, CAP_SYS_ADMIN
_ADVICE = (
    "A testbed needs Linux 5.8 or newer with veth, bridge and sch_tbf. Run it as root, or where ordinary users may "
    "make namespaces (sysctl user.max_user_namespaces and user.max_net_namespaces above 0; on Debian "
    "kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0); start a container "
    "with --privileged."
)
_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


class UnavailableTestbedError(SpeedupError):
    """A testbed that this machine does not allow, or that is not running."""

    exit_code = 4


def search_path() -> str:
    """Return the folders of programs, with those that ordinary users often lack."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def find_tools() -> dict[str, str]:
    """Return the path of every program that a testbed starts, by name.

    Raises:
        UnavailableTestbedError: One is not installed, or this is not Linux.
    """
    if sys.platform != "linux":
        raise UnavailableTestbedError(
            f"no testbed on {platform.system()}: it is made of Linux network namespaces. Use a Linux machine."
        )
    found = {name: shutil.which(name, path=search_path()) for name in _PACKAGES}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        packages = " ".join(sorted({_PACKAGES[name] for name in missing}))
        raise UnavailableTestbedError(
            f"no testbed on this machine: {', '.join(missing)} not found. Install: sudo apt-get install {packages}"
        )
    return {name: path for name, path in found.items() if path}


def is_privileged() -> bool:
    """Tell whether this process may make namespaces without a user namespace around them."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    held = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
    return all(held >> number & 1 for number in _CAPABILITIES)


def refusal(reason: str) -> UnavailableTestbedError:
    """Return the error for what the kernel, or a program, said."""
    if "congestion" in reason.lower():
        known = _AVAILABLE.read_text(encoding="ascii").strip() if _AVAILABLE.exists() else "reno, cubic"
        return UnavailableTestbedError(f"no testbed on this machine: {reason}. Its kernel has: {known}.")
    return UnavailableTestbedError(f"no testbed on this machine: {reason}. {_ADVICE}")
