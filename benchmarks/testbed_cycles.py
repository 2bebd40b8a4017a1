"""What does a testbed cost, and does it leave anything? It is started and stopped many times.

Afterwards namespaces, interfaces, processes, mounts and open files are compared with those before; the program ends
with 1 if there are more. Times are also given in starts of a bare Python, measured in turn. Processes that others
start meanwhile do not count; namespaces that others make do.

    python benchmarks/testbed_cycles.py [--cycles 1000] [--hosts 4]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import record

from calibrate.testbed import Testbed

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
SETTLE_S = 30.0


def processes() -> list[Path]:
    return [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def namespaces() -> set[str]:
    found = set[str]()
    for folder in processes():
        with suppress(OSError):
            found |= {str((folder / "ns" / kind).readlink()) for kind in KINDS}
    return found


def marked(mark: str) -> set[str]:
    found = set[str]()
    for folder in processes():
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.add(folder.name)
    return found


def lines(*command: str) -> set[str]:
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


def inventory(mark: str) -> dict[str, set[str]]:
    return {
        "namespaces": namespaces(),
        "named namespaces": lines("ip", "netns", "list"),
        "interfaces": lines("ip", "-o", "link"),
        "processes": marked(mark),
        "mounts": set(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()),
        "open files": {str(file) for file in Path("/proc/self/fd").iterdir()},
    }


def kernel_networks() -> int:
    """Return how many network namespaces the kernel holds, which it frees some time after their end; 0 if hidden."""
    with suppress(OSError):
        for line in Path("/proc/slabinfo").read_text(encoding="ascii").splitlines():
            if line.startswith("net_namespace "):
                return int(line.split()[1])
    return 0


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def cycle(hosts: int) -> dict[str, float]:
    bed = Testbed(hosts)
    python = [sys.executable, "-I", "-S", "-c", "pass"]
    return {
        "start": seconds(bed.start),
        "stop": seconds(bed.close),
        "python": seconds(lambda: subprocess.run(python, check=True)),
    }


def settled(before: int, allowed: int) -> int:
    """Return how many more network namespaces the kernel holds, when it has had time to free them."""
    end = time.monotonic() + SETTLE_S
    while (more := kernel_networks() - before) > allowed and time.monotonic() < end:
        time.sleep(0.5)
    return more


def main() -> int:
    parser = argparse.ArgumentParser(description="Start and stop a testbed many times, and look what is left.")
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--hosts", type=int, default=4)
    options = parser.parse_args()
    mark = os.environ["SPEEDUP_BENCHMARK_MARK"] = uuid.uuid4().hex
    cycle(options.hosts)
    before, networks = inventory(mark), kernel_networks()
    runs = [cycle(options.hosts) for _ in range(options.cycles)]
    after = inventory(mark)
    left = {kind: len(after[kind] - before[kind]) for kind in before}
    median = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    whole = [run["start"] + run["stop"] for run in runs]
    row: dict[str, object] = {
        "hosts": options.hosts,
        "cycles": options.cycles,
        "cycle_s": statistics.median(whole),
        "longest_s": max(whole),
        "start_s": median["start"],
        "stop_s": median["stop"],
        "python_starts": statistics.median(whole) / median["python"],
        **{f"left_{kind.replace(' ', '_')}": count for kind, count in left.items()},
        # Counted by the page: a few more are no leak, one a cycle would be.
        "left_in_kernel": settled(networks, options.cycles // 2),
    }
    for name, value in row.items():
        print(f"{name:22} {value:.4g}" if isinstance(value, float) else f"{name:22} {value}")
    print(record.write("testbed_cycles", [row], ("speedup-toolkit",)))
    return int(any(left.values()) or int(str(row["left_in_kernel"])) > options.cycles // 2)


if __name__ == "__main__":
    sys.exit(main())
