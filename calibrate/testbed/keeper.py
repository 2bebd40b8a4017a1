"""The first process of a testbed: makes the hosts, holds them, and takes everything along when it ends.

It is PID 1 of a PID namespace, so the kernel kills every process of the testbed with it, and namespaces, mounts and
interfaces vanish with their last process. It ends when its owner does: its standard input is a socket whose other
end the owner holds, and it watches the owner itself, because a fork of the owner may hold that end as well.

The network namespace it starts in has the bridge. Each host is a process that holds namespaces of its own.

Started by its path, isolated: it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

_MESSAGE_BYTES = 1 << 16
_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_NET = 0x20000, 0x4000000, 0x8000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE = 2, 4, 8, 4096, 16384
_FOLDER = Path("/run/speedup")
_AGENT = """\
#!/bin/sh
# Runs a command line on a host of this testbed, as ssh does: agent [OPTIONS] HOST COMMAND...
while :; do
  case "$1" in
    --) shift; break;;
    -[BbcDEeFIiJLlmOopQRSWw]) shift 2 || exit 255;;
    -*) shift;;
    *) break;;
  esac
done
host=${1#*@}
case "$host" in
%(cases)s
  *) echo "agent: this testbed has no host \\"$host\\"; it has %(first)s to %(last)s" >&2; exit 255;;
esac
shift
exec %(nsenter)s --target "$holder" --mount --net --uts --ipc -- \\
  /bin/sh -c 'cd "$1" && exec /bin/sh -c "$2"' sh "$PWD" "${*:-exec ${SHELL:-/bin/sh}}"
"""


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, data)]
    try:
        _call("mount", *words[:3], ctypes.c_ulong(flags), words[3])
    except OSError as error:
        raise OSError(error.errno, f"{target}: {error.strerror}") from error


def _set(setting: str, value: str) -> None:
    # The setting of IPv6 is missing where the kernel has no IPv6.
    with contextlib.suppress(FileNotFoundError):
        Path("/proc/sys/net", setting).write_text(value, encoding="ascii")


def _hide_machine(hosts: dict[str, str]) -> None:
    """Give the testbed a /run of its own, where ``ip netns`` keeps its names, and the names of its hosts."""
    _mount("tmpfs", "/run", "tmpfs", _NOSUID | _NODEV, "mode=755")
    _FOLDER.mkdir()
    lines = ["127.0.0.1 localhost", "::1 localhost", *(f"{address} {name}" for name, address in hosts.items())]
    names = _FOLDER / "hosts"
    names.write_text("\n".join([*lines, ""]), encoding="ascii")
    _mount(str(names), "/etc/hosts", None, _BIND)
    _set("ipv6/conf/default/disable_ipv6", "1")


def _become_host(name: str) -> None:
    """Leave for namespaces of its own, with a /sys that shows them and shared memory that no other host sees."""
    _call("unshare", _NEW_MOUNTS | _NEW_UTS | _NEW_IPC | _NEW_NET)
    socket.sethostname(name)
    groups = os.open("/sys/fs/cgroup", os.O_PATH) if os.path.ismount("/sys/fs/cgroup") else None
    # A read-only instance, as containers have it, may not be covered by a writable one.
    _mount("sysfs", "/sys", "sysfs", _NOSUID | _NODEV | _NOEXEC | os.statvfs("/sys").f_flag & os.ST_RDONLY)
    if groups is not None:
        _mount(f"/proc/self/fd/{groups}", "/sys/fs/cgroup", None, _BIND | _RECURSIVE)
        os.close(groups)
    _mount("tmpfs", "/dev/shm", "tmpfs", _NOSUID | _NODEV, "mode=1777")  # noqa: S108 - a mount, no file
    _set("ipv4/tcp_slow_start_after_idle", "0")
    _set("ipv6/conf/default/disable_ipv6", "1")


def _hold(name: str, report: int) -> NoReturn:
    """Be a host until killed; say ``ready`` or what went wrong, on a line of its own."""
    # Whoever ends all processes of a host means those that run there, not the host.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _become_host(name)
        os.write(report, b"ready\n")
    except OSError as error:
        os.write(report, f"{error.strerror}\n".encode())
    while True:
        signal.pause()


def _start_holders(names: list[str]) -> list[int]:
    """Return a process for each host, once all of them are ready."""
    reader, report = os.pipe()
    holders = list[int]()
    for name in names:
        holder = os.fork()
        if holder == 0:
            _hold(name, report)
        holders.append(holder)
    os.close(report)
    with os.fdopen(reader) as answers:
        for _ in names:
            answer = answers.readline().strip()
            if answer != "ready":
                raise OSError(0, answer or "a host ended")
    return holders


class Keeper:
    """The hosts, and the links between them.

    Args:
        plan: Names and addresses of the hosts, ``shape`` of the links, ``congestion`` control, paths of the ``tools``.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self._hosts: dict[str, str] = plan["hosts"]
        self._tools: dict[str, str] = plan["tools"]
        _hide_machine(self._hosts)
        self._holders = _start_holders(list(self._hosts))
        self._wire(plan["shape"], plan["congestion"])
        self._write_agent()

    def _batch(self, tool: str, lines: list[str], holder: int | None = None) -> None:
        """Give a tool a list of commands, in the network of a host or of the bridge."""
        enter = [] if holder is None else [self._tools["nsenter"], f"--net=/proc/{holder}/ns/net", "--"]
        text = "".join(f"{line}\n" for line in lines)
        line = [*enter, self._tools[tool], "-batch", "-"]
        done = subprocess.run(line, input=text, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            said = " ".join(done.stderr.split("Command failed")[0].split())
            raise OSError(0, f"{tool}: {said or f'exit code {done.returncode}'}")

    def _wire(self, shape: str, congestion: str) -> None:
        lines = ["link add switch type bridge", "link set switch up"]
        for number, holder in enumerate(self._holders):
            lines.append(f"link add port{number} type veth peer name eth0 netns {holder}")
            lines.append(f"link set port{number} master switch up")
        self._batch("ip", lines)
        self._batch("tc", [f"qdisc replace dev port{number} root {shape}" for number in range(len(self._holders))])
        for holder, address in zip(self._holders, self._hosts.values(), strict=True):
            route = f"route replace 10.77.0.0/24 dev eth0 src {address} congctl {congestion}"
            link = [f"addr add {address}/24 dev eth0", "link set lo up", "link set eth0 up"]
            self._batch("ip", [*link, route], holder)
            self._batch("tc", [f"qdisc replace dev eth0 root {shape}"], holder)

    def _write_agent(self) -> None:
        places = zip(self._hosts.items(), self._holders, strict=True)
        cases = [f"  {name}|{address}) holder={holder};;" for (name, address), holder in places]
        names, agent = list(self._hosts), _FOLDER / "agent"
        words = {"cases": "\n".join(cases), "first": names[0], "last": names[-1], "nsenter": self._tools["nsenter"]}
        agent.write_text(_AGENT % words, encoding="ascii")
        agent.chmod(0o755)

    def descriptors(self) -> list[int]:
        """Return a file descriptor of each host's process, by which other processes enter the host."""
        return [os.pidfd_open(holder) for holder in self._holders]

    def reshape(self, host: int, shape: str) -> None:
        """Give both directions of a host's link another rate."""
        self._batch("tc", [f"qdisc replace dev port{host} root {shape}"])
        self._batch("tc", [f"qdisc replace dev eth0 root {shape}"], self._holders[host])

    def switch(self, host: int, state: str) -> None:
        """Pull a host's cable out of the bridge, or plug it in: the host loses its carrier, but no address or route."""
        self._batch("ip", [f"link set port{host} {state}"])


def _answer(keeper: Keeper, message: bytes) -> bytes:
    action, *arguments = json.loads(message)
    try:
        {"reshape": keeper.reshape, "switch": keeper.switch}[action](*arguments)
    except OSError as error:
        return str(error.strerror).encode()
    return b"ready"


def _serve(keeper: Keeper, owner: socket.socket, owner_process: int) -> None:
    """Answer the owner and bury orphans until the owner is gone."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    for descriptor in (owner.fileno(), owner_process, woken):
        poll.register(descriptor, select.POLLIN)
    while owner_process not in (ready := dict(poll.poll())):
        if woken in ready:
            os.read(woken, _MESSAGE_BYTES)
        if owner.fileno() in ready:
            message = owner.recv(_MESSAGE_BYTES)
            if not message:
                return
            owner.send(_answer(keeper, message))
        _bury()


def _bury() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> NoReturn:
    """Keep a testbed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    owner = socket.socket(fileno=0)
    text, (owner_process,), _, _ = socket.recv_fds(owner, _MESSAGE_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
    try:
        keeper = Keeper(json.loads(text))
        socket.send_fds(owner, [b"ready"], keeper.descriptors())
    except OSError as error:
        owner.send(str(error.strerror).encode())
        sys.exit(1)
    with contextlib.suppress(OSError):  # the owner may end while it is answered
        _serve(keeper, owner, owner_process)
    os._exit(0)


if __name__ == "__main__":
    main()
