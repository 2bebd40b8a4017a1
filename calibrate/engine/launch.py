"""Start the processes of a run: with the Open MPI that comes as a wheel, the MPI of the machine or cluster, or without.

Where the processes were started already, by ``srun`` or ``mpirun``, nothing is left to do: see ``mpi.launched``.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speedup.errors import MissingExtraError, PlanError
from speedup.plans import one_of
from speedup.units import bandwidth

from .mpi import CURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOSTS, AGENT, TESTBED = "SPEEDUP_HOSTS", "SPEEDUP_AGENT", "SPEEDUP_TESTBED"
"""Variables in which a testbed tells of its hosts, of what starts a command there, and of its emulated links."""

ENGINES = ("mpi", "tcp")
"""MPI, or plain TCP sockets that listen on the addresses of the hosts alone."""

_AHEAD_S, _STEP = 0.00075, 2**14
_PARAMETERS = {
    "pml": "ob1",
    "btl": "tcp,self",
    # Without "put", which writes a whole message to the socket before any other: small messages wait for seconds, and
    # the two directions of a pair get in each other's way.
    "btl_tcp_flags": "send,inplace",
}


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where processes run.

    Attributes:
        names: Name of each host; empty for this machine alone.
        addresses: Its address, in the same order; empty where the name is enough.
        agent: What starts a command on a host; None for MPI's own way, such as ssh.
        wire: What the links are, where they are emulated.
        engine: What carries the messages: ``mpi`` or ``tcp``.

    Raises:
        PlanError: The engine is unknown.
    """

    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    agent: str | None = None
    wire: str | None = None
    engine: str = "mpi"

    def __post_init__(self) -> None:
        one_of("engine", self.engine, ENGINES)

    @classmethod
    def of(cls, environ: Mapping[str, str], names: Sequence[str] = (), engine: str = "mpi") -> Hosts:
        """Return the hosts that the user names, or else those of the testbed around this process.

        Example:
            >>> Hosts.of({"SPEEDUP_HOSTS": "host1:10.77.0.1,host2:10.77.0.2"}).names
            ('host1', 'host2')
        """
        if names:
            return cls(tuple(names), engine=engine)
        pairs = [entry.partition(":") for entry in environ.get(HOSTS, "").split(",") if entry]
        return cls(
            tuple(name for name, _, _ in pairs),
            tuple(address for _, _, address in pairs),
            environ.get(AGENT),
            environ.get(TESTBED),
            engine,
        )

    def places(self, ranks: int) -> list[tuple[str, str]]:
        """Return name and address of the host of each process; no name where all are on this machine.

        Raises:
            PlanError: There are too few hosts, or one has no address.

        Example:
            >>> Hosts().places(2)
            [('', '127.0.0.1'), ('', '127.0.0.1')]
        """
        if not self.names:
            return [("", "127.0.0.1")] * ranks
        self.check(ranks)
        addresses = self.addresses or tuple(_address(name) for name in self.names[:ranks])
        return list(zip(self.names, addresses, strict=False))[:ranks]

    def check(self, ranks: int, per_host: int = 1) -> None:
        """Check that there are hosts enough.

        Raises:
            PlanError: There are not.
        """
        if self.names and ranks > len(self.names) * per_host:
            raise PlanError(
                f"{ranks} processes need {-(-ranks // per_host)} hosts, but there are {len(self.names)}. "
                "Give more hosts, or fewer workers."
            )


def _address(name: str) -> str:
    # As ssh reads it: the user is not part of the host.
    host = name.rpartition("@")[2]
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise PlanError(f'host "{host}" has no address ({error.strerror}). Give its name as others reach it.') from None


def find_mpirun() -> str:
    """Return the launcher: that of the wheel beside this Python, or else the machine's own.

    Raises:
        MissingExtraError: There is none.
    """
    beside = Path(sysconfig.get_path("scripts")) / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise MissingExtraError(f"running on a cluster needs MPI's launcher mpirun. {CURE}")
    return found


def mpirun_command(
    ranks: int, command: Sequence[str], hosts: Hosts, *, per_host: int = 1, folder: str | None = None
) -> list[str]:
    """Return the command line that starts a run.

    Processes of one machine would share memory; here they use TCP, so that what is measured is a link. MPI listens on
    the addresses of the hosts named, or on the loopback interface alone.

    Args:
        ranks: Processes.
        command: What each of them runs.
        hosts: Where; one process a host, in order, and all on this machine if there are none.
        per_host: Processes a host may have.
        folder: Where the launcher keeps its files; None for where it likes.

    Raises:
        PlanError: There are too few hosts.
        MissingExtraError: There is no launcher.
    """
    line = [find_mpirun(), "--np", str(ranks), "--with-ft", "ulfm", "--bind-to", "none"]
    parameters = {**_PARAMETERS, "btl_tcp_sndbuf": str(send_buffer(hosts.wire))}
    line += [word for name, value in parameters.items() for word in ("--mca", name, value)]
    if folder is not None:
        # Its files are named after host and process number, which testbeds share.
        line += ["--prtemca", "prte_tmpdir_base", folder]
    if os.geteuid() == 0:
        line.append("--allow-run-as-root")
    if not hosts.names:
        # PRRTE wants an interface besides the loopback to talk through, even where it talks to nobody.
        return [*line, "--host", f"localhost:{ranks}", "--mca", "btl_tcp_if_include", "lo", *command]
    hosts.check(ranks, per_host)
    line += ["--map-by", "node", "--host", ",".join(f"{name}:{per_host}" for name in hosts.names)]
    if hosts.agent:
        line += ["--prtemca", "plm_ssh_agent", hosts.agent, "--prtemca", "plm_ssh_no_tree_spawn", "1"]
    if hosts.addresses:
        network = common_network(hosts.addresses)
        line += ["--mca", "btl_tcp_if_include", network, "--prtemca", "prte_if_include", network]
    return [*line, *command]


def tcp_command(ranks: int, command: Sequence[str], hosts: Hosts) -> list[str]:
    """Return the command line that starts a run whose processes talk over plain TCP.

    Args:
        ranks: Processes.
        command: What each of them runs; its rank and address come behind it.
        hosts: Where; one process a host, in order, and all on this machine if there are none.

    Raises:
        PlanError: There are too few hosts, or one has no address.
    """
    line = rank_command("calibrate.engine.launcher", "--send-buffer", str(send_buffer(hosts.wire)))
    if hosts.agent:
        line += ["--agent", hosts.agent]
    return [*line, "--hosts", *(f"{name}={address}" for name, address in hosts.places(ranks)), "--", *command]


def send_buffer(wire: str | None) -> int:
    """Return the bytes that a sender hands to the system ahead of the wire, of which Linux makes twice as many.

    Few, because what waits there no semaphore holds back, and because several flows with full buffers keep one another
    from the links: over shaped links of 1 Gbit/s, four hosts that all send to all take 4 % longer than they must with
    96 KiB, 11 % with 512 KiB. Enough for the time between two looks, and for acknowledgements that wait behind the
    opposite direction: with 64 KiB two hosts that send to each other take 8 % longer. And whole pages: with 100,000
    bytes all of these take 5 to 10 % longer than with 98,304.

    Args:
        wire: Bandwidth of a link, such as ``1gbit``; None where it is not known.

    Example:
        >>> send_buffer("1gbit"), send_buffer("10gbit"), send_buffer(None)
        (98304, 933888, 262144)
    """
    return 2**18 if wire is None else _STEP * max(1, round(_AHEAD_S * bandwidth(wire) / _STEP))


def common_network(addresses: Sequence[str]) -> str:
    """Return the smallest network that has all addresses.

    Example:
        >>> common_network(["10.77.0.1", "10.77.0.2", "10.77.0.3"])
        '10.77.0.0/30'
    """
    networks = [ipaddress.ip_network(address) for address in addresses]
    covering = networks[0]
    while not all(covering.supernet_of(network) for network in networks):  # type: ignore[arg-type]
        covering = covering.supernet()
    return str(covering)


def rank_command(module: str, *arguments: str) -> list[str]:
    """Return what one process runs: a module of this package under this Python."""
    return [sys.executable, "-m", module, *arguments]


def start(command: Sequence[str], **options: object) -> subprocess.Popen[str]:
    """Start a launcher in a process group of its own, so that a Ctrl-C reaches it once, through us."""
    return subprocess.Popen(list(command), text=True, start_new_session=True, **options)  # type: ignore[call-overload,no-any-return]  # noqa: S603
