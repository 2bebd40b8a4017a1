"""N hosts on one Linux machine: network namespaces with shaped full-duplex links.

``Testbed`` makes them, ``check_testbed`` says why it cannot, ``run_in_testbed`` runs one command among them.
ADR 0016 has the design.
"""

from __future__ import annotations

from .foreground import run_in_testbed
from .requirements import UnavailableTestbedError
from .testbed import Host, Testbed, check_testbed

__all__ = ["Host", "Testbed", "UnavailableTestbedError", "check_testbed", "run_in_testbed"]
