"""What does importing cost? Fresh processes, in turn, in units of importing NumPy."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import record

REPEATS = 15
CASES = {
    "nothing": "pass",
    "numpy": "import numpy",
    "speedup": "import speedup",
    "speedup, first estimate": "import speedup; speedup.estimate(t_grad=1.0, t_comm=0.1)",
    "speedup --help": "from speedup.cli import run; run(['--help'])",
}


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    for code in CASES.values():
        seconds(code)
    runs = [{name: seconds(code) for name, code in CASES.items()} for _ in range(REPEATS)]
    rows = []
    for name in CASES:
        own = statistics.median(run[name] for run in runs)
        ratio = statistics.median((run[name] - run["nothing"]) / (run["numpy"] - run["nothing"]) for run in runs)
        rows.append({"case": name, "seconds": own, "numpy_imports": ratio})
        print(f"{name:26} {own:6.3f} s   {ratio:6.2f} imports of numpy")
    print(record.write("imports", rows, ("speedup-toolkit", "numpy", "sympy", "cyclopts")))


if __name__ == "__main__":
    main()
