"""The owner's end of a testbed: starts its keeper, tells it what to do, and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from .requirements import UnavailableTestbedError, is_privileged, refusal, search_path

_KEEPER = Path(__file__).with_name("keeper.py")
_MESSAGE_BYTES = 1 << 16
_MOST_DESCRIPTORS = 253  # that one message can carry
_ANSWER_S = 60.0
_END_S = 10.0


class Connection:
    """A running keeper.

    Args:
        plan: What the keeper makes; see ``keeper.Keeper``.
        unshare: Path of the program that starts it.

    Raises:
        UnavailableTestbedError: The kernel does not allow it.
    """

    def __init__(self, plan: dict[str, object], unshare: str) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_ANSWER_S)
        with theirs:
            # In a session of its own, so that Ctrl-C reaches the owner alone, who then ends it.
            self._process = subprocess.Popen(  # noqa: S603
                [*_unshare(unshare), sys.executable, "-I", "-S", str(_KEEPER)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PATH": search_path()},
                start_new_session=True,
            )
        self.hosts: tuple[int, ...] = ()
        try:
            self.hosts = self._begin(plan)
        except BaseException:
            self.end()
            raise

    def _begin(self, plan: dict[str, object]) -> tuple[int, ...]:
        owner = os.pidfd_open(os.getpid())
        try:
            socket.send_fds(self._socket, [json.dumps(plan).encode()], [owner])
            text, hosts, _, _ = socket.recv_fds(
                self._socket, _MESSAGE_BYTES, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except TimeoutError:
            raise refusal(f"its first process did not answer in {_ANSWER_S:g} s") from None
        except OSError as error:
            text, hosts = str(error.strerror).encode(), []
        finally:
            os.close(owner)
        if not hosts:
            raise refusal(self._last_words(text.decode()))
        return tuple(hosts)

    def _last_words(self, said: str) -> str:
        """Return why the keeper did not start: what it said, or what was written on its way there."""
        self._socket.close()
        written = (self._process.communicate(timeout=_END_S)[1] or "").strip()
        return (written.splitlines()[-1] if written else said or "the first process ended").rstrip(".")

    def ask(self, action: str, *arguments: object) -> None:
        """Have the keeper do something.

        Raises:
            UnavailableTestbedError: It could not, or is no more.
        """
        with self._lock:
            try:
                self._socket.send(json.dumps([action, *arguments]).encode())
                answer = self._socket.recv(_MESSAGE_BYTES).decode()
            except OSError as error:
                answer = str(error)
        if answer != "ready":
            raise UnavailableTestbedError(f"the testbed did not {action}: {answer or 'it has ended'}. Start it again.")

    def end(self) -> None:
        """End the keeper, and with it every process of the testbed; return when they are gone."""
        with contextlib.suppress(OSError):  # the keeper has ended, or the socket is closed
            self._socket.shutdown(socket.SHUT_RDWR)  # also for forks of this process, which hold it too
        self._socket.close()
        for host in self.hosts:
            with contextlib.suppress(OSError):
                os.close(host)
        self.hosts = ()
        try:
            self._process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def _unshare(program: str) -> list[str]:
    line = [program, "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "--net"]
    return line if is_privileged() else [*line, "--user", "--map-root-user"]
