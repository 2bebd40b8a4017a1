"""Runs a command on a host of a testbed, so that to whoever started it, it looks like the command itself.

A process cannot enter a PID namespace, only its children can. So this one stays outside, passes signals on and ends as
the command ended. Inside, a warden starts the command. When this process is killed, or gets the signal SIGRTMIN, the
warden kills every process that the command started, on this host or others, those that left their parents included:
orphans come to the warden, which is a subreaper.

The warden is no child of this process: the end of a PID namespace waits until all that died in it are buried, and an
orphan's grave would be dug by the machine's first process, which may take its time, or in a container never do it.

Started by its path, isolated: it imports nothing but the standard library.

    entrance.py DESCRIPTOR keep|sweep COMMAND...

DESCRIPTOR is a pidfd of the host's process. With ``sweep`` the warden kills what is left when the command ends, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

_NAMESPACES = 0x20000 | 0x4000000 | 0x8000000 | 0x20000000 | 0x40000000  # mounts, names, IPC, PIDs, network
_NEW_USER = 0x10000000
_CHILD_SUBREAPER = 36
_PASSED_ON = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
_HELD = {*_PASSED_ON, signal.SIGRTMIN, signal.SIGCHLD}


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*map(ctypes.c_ulong, arguments)) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _enter(host: int) -> None:
    try:
        _call("setns", host, _NAMESPACES)
    except PermissionError:
        # Whoever needed a user namespace to make the testbed must enter that as well.
        _call("setns", host, _NAMESPACES | _NEW_USER)
    os.close(host)


def _step_back(channel: socket.socket) -> None:
    """Hold on to nothing of the command's: neither its files, nor signals to its process group."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, 1 << 20)
    with contextlib.suppress(PermissionError):  # the leader of a session leads its group already
        os.setpgid(0, 0)


def _await(channel: socket.socket) -> NoReturn:
    """Pass signals on to the warden, and end as it says that the command ended."""

    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(OSError):  # the command has just ended
            channel.send(bytes([number]))

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGRTMIN, lambda *_: channel.shutdown(socket.SHUT_WR))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    said = channel.recv(8)
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    # A warden that says nothing was killed, by the end of the testbed.
    _end_as(int(said) if said else int(signal.SIGKILL))


def _end_as(status: int) -> NoReturn:
    """End as a process with this status of ``wait`` has ended, by the same signal if it was one."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


def _guard(command: list[str], folder: str, mask: set[int], channel: socket.socket, *, sweep: bool) -> NoReturn:
    """Be the warden."""
    _call("prctl", _CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _execute(command, folder, mask)
    _step_back(channel)

    def bury(*_: object) -> None:
        status = dict(iter(_ended, None)).get(child)
        if status is not None:
            if sweep:
                _sweep()
            channel.send(str(status).encode())
            os._exit(0)

    signal.signal(signal.SIGCHLD, bury)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    while number := channel.recv(1):
        os.kill(child, number[0])
    _sweep()
    os._exit(0)


def _execute(command: list[str], folder: str, mask: set[int]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.chdir(folder)
        os.execvp(command[0], command)  # noqa: S606 - it is what this program is for
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _ended() -> tuple[int, int] | None:
    """Return number and status of a child that ended; None where there is none."""
    with contextlib.suppress(ChildProcessError):
        number, status = os.waitpid(-1, os.WNOHANG)
        return (number, status) if number else None
    return None


def _sweep() -> None:
    """Kill all descendants: children first, whose children then are this process's own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children():
                os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    found = list[int]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == os.getpid():
                    found.append(int(entry.name))
    return found


def main() -> NoReturn:
    """Run the command that the arguments name."""
    host, way, *command = sys.argv[1:]
    folder = os.getcwd()  # noqa: PTH109 - a string, kept while the root changes
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)}
    try:
        _enter(int(host))
    except OSError as error:
        sys.exit(f"the host of the testbed cannot be entered: {error.strerror}")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    between = os.fork()
    if between == 0:
        if os.fork() == 0:
            ours.close()
            _guard(command, folder, mask, theirs, sweep=way == "sweep")
        os._exit(0)
    os.waitpid(between, 0)
    _step_back(ours)
    _await(ours)


if __name__ == "__main__":
    main()
