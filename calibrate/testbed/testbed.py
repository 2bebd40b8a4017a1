"""The hosts of a testbed, and what runs on them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from speedup.errors import UnitError
from speedup.units import positive, whole

from .connection import Connection
from .requirements import UnavailableTestbedError, find_tools
from .shaping import link_rate, token_bucket

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

MOST_HOSTS = 200
_ENTRANCE = Path(__file__).with_name("entrance.py")
_AGENT = "/run/speedup/agent"
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Host:
    """A host of a testbed.

    Attributes:
        name: What ``uname -n`` says there, and what other hosts call it.
        address: Its IPv4 address.
    """

    name: str
    address: str


class Testbed:
    """Hosts on this machine, each with a full-duplex link of its own to one switch.

    A host is a network namespace with one interface, ``eth0``; it has a name of its own and shares the files, the
    processors and the user of this machine, but neither its ``/run`` nor its shared memory. Programs run as the
    user who made the testbed; one who is not root appears as root there.

    Args:
        hosts: How many, 1 to 200.
        rate: Of each link and direction.
        congestion: TCP's congestion control, one that the kernel has.

    Raises:
        UnitError: A number or a rate is out of its range.

    Example:
        >>> bed = Testbed(3, "1gbit")
        >>> bed.hosts[0], bed.rate_bytes_per_s
        (Host(name='host1', address='10.77.0.1'), 125000000.0)

        >>> with bed:  # doctest: +SKIP
        ...     bed.run(["ping", "-c1", "host2"], timeout_s=10)
    """

    __test__ = False  # pytest takes every class whose name begins with Test for tests

    def __init__(self, hosts: int, rate: str = "1gbit", *, congestion: str = "cubic") -> None:
        count = whole("hosts", hosts)
        if count > MOST_HOSTS:
            raise UnitError(f"hosts = {count}; a testbed has 1 to {MOST_HOSTS}.")
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,14}", congestion):
            raise UnitError(f'congestion "{congestion}" is no congestion control of TCP. Examples: cubic, reno, bbr.')
        self.rate_bytes_per_s = link_rate(rate)
        self.hosts = tuple(Host(f"host{number}", f"10.77.0.{number}") for number in range(1, count + 1))
        self._rate, self._congestion = rate, congestion
        self._keeper: Connection | None = None
        self._started = set[subprocess.Popen[Any]]()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Make the hosts and links, unless they are there already.

        Raises:
            UnavailableTestbedError: A program is missing or the kernel does not allow it.
        """
        if self._keeper is None:
            tools = find_tools()
            plan: dict[str, object] = {
                "hosts": {host.name: host.address for host in self.hosts},
                "shape": token_bucket(self.rate_bytes_per_s),
                "congestion": self._congestion,
                "tools": tools,
            }
            self._keeper = Connection(plan, tools["unshare"])
        return self

    def close(self) -> None:
        """Kill what runs on the hosts and remove them; a second call does nothing."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.end()
            for process in self._started:
                _wait_or_kill(process)
            self._started.clear()

    def environment(self) -> dict[str, str]:
        """Return the variables that tell a program of the testbed it runs in.

        ``SPEEDUP_HOSTS`` has names and addresses; ``SPEEDUP_TESTBED`` the rate, and says that the wire is emulated;
        ``SPEEDUP_AGENT`` is a program that, on any host, runs a command line on another as ``ssh`` does.

        Example:
            >>> Testbed(2).environment()["SPEEDUP_HOSTS"]
            'host1:10.77.0.1,host2:10.77.0.2'
        """
        return {
            "SPEEDUP_HOSTS": ",".join(f"{host.name}:{host.address}" for host in self.hosts),
            "SPEEDUP_TESTBED": self._rate,
            "SPEEDUP_AGENT": _AGENT,
        }

    def popen(
        self,
        command: Sequence[str],
        *,
        host: int = 0,
        env: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401 - whatever Popen takes
    ) -> subprocess.Popen[Any]:
        """Start a command on a host, in the folder and environment of this process.

        Signals sent to what is returned reach the command, and its exit code is the command's: 127 if there is no
        such program. Killing it kills all that the command started; what is left when the command ends stays until
        the testbed is closed.

        Args:
            command: Program and arguments.
            host: Number of the host, from 0.
            env: Variables beside those of this process and ``environment()``.
            options: Of ``subprocess.Popen``.

        Raises:
            UnitError: There is no such host, or no command.
            UnavailableTestbedError: The testbed is not running.
        """
        return self._enter(command, host, env, "keep", options)

    def run(
        self,
        command: Sequence[str],
        *,
        host: int = 0,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401 - whatever Popen takes
    ) -> subprocess.CompletedProcess[Any]:
        """Run a command on a host, wait for it, and kill whatever it left there.

        Args:
            command: Program and arguments.
            host: Number of the host, from 0.
            timeout_s: How long it may take [s].
            env: Variables beside those of this process and ``environment()``.
            options: Of ``subprocess.run``.

        Raises:
            subprocess.TimeoutExpired: It took longer; it and all it started were killed.
            subprocess.CalledProcessError: With ``check=True``, its exit code is not 0.
            UnitError: There is no such host, or no command, or ``timeout_s`` is not above 0.
            UnavailableTestbedError: The testbed is not running.
        """
        limit_s = positive("timeout_s", timeout_s, "s")
        text, check = options.pop("input", None), options.pop("check", False)
        if options.pop("capture_output", False):
            options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        if text is not None:
            options["stdin"] = subprocess.PIPE
        with self._enter(command, host, env, "sweep", options) as process:
            out, err = _finish(process, text, limit_s)
        done = subprocess.CompletedProcess(list(command), process.returncode, out, err)
        if check:
            done.check_returncode()
        return done

    def set_rate(self, host: int, rate: str) -> None:
        """Give both directions of one host's link another rate, also while bytes flow.

        Raises:
            UnitError: There is no such host, or the rate is out of its range.
            UnavailableTestbedError: The testbed is not running.
        """
        self._running().ask("reshape", self._number(host), token_bucket(link_rate(rate)))

    def set_link(self, host: int, *, up: bool) -> None:
        """Pull the cable of one host, or plug it in again; addresses and routes stay.

        Raises:
            UnitError: There is no such host.
            UnavailableTestbedError: The testbed is not running.
        """
        self._running().ask("switch", self._number(host), "up" if up else "down")

    def _running(self) -> Connection:
        if self._keeper is None:
            raise UnavailableTestbedError("the testbed is not running. Call start(), or use it in a with statement.")
        return self._keeper

    def _number(self, host: int) -> int:
        number = whole("host", host, minimum=0)
        if number >= len(self.hosts):
            raise UnitError(f"host = {number}; the testbed has hosts 0 to {len(self.hosts) - 1}.")
        return number

    def _enter(
        self, command: Sequence[str], host: int, env: Mapping[str, str] | None, way: str, options: dict[str, Any]
    ) -> subprocess.Popen[Any]:
        place = self._running().hosts[self._number(host)]
        if isinstance(command, str) or not command:
            raise UnitError(f'command = {command!r}; it must be a list of words, such as ["uname", "-n"].')
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(_ENTRANCE), str(place), way, *command],
            env={**os.environ, **self.environment(), **(env or {})},
            pass_fds=(place, *options.pop("pass_fds", ())),
            **options,
        )
        self._started.add(process)
        self._started.difference_update([earlier for earlier in self._started.copy() if earlier.poll() is not None])
        return process


def _finish(process: subprocess.Popen[Any], text: str | bytes | None, limit_s: float) -> tuple[Any, Any]:
    """Wait for a command, or kill it; return what it wrote."""
    try:
        return process.communicate(text, timeout=limit_s)
    except BaseException:
        process.send_signal(signal.SIGRTMIN)  # which has the entrance kill all that the command started
        _wait_or_kill(process)
        raise


def _wait_or_kill(process: subprocess.Popen[Any]) -> None:
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def check_testbed() -> None:
    """Try the smallest testbed.

    Raises:
        UnavailableTestbedError: A program is missing or the kernel does not allow it.
    """
    with Testbed(1):
        pass
