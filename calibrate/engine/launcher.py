"""Start the processes of a run that talk over TCP, each on its host, and pass on what the first says.

What ``mpirun`` is for MPI: ``python -m calibrate.engine.launcher --hosts NAME=ADDRESS ... -- COMMAND``. Each process
runs the command with its rank and address behind it, says at which port it listens, and is told where the others are.
When the launcher ends, for whatever reason, so do they, because their standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from .base import ClusterError
from .rendezvous import START_S, Book

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

_LINE_BYTES = 2**28
_SSH = "ssh -o BatchMode=yes"


def process_line(host: str, agent: str | None, command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command on a host; on this one if the host has no name.

    Example:
        >>> process_line("", None, ["python", "-c", "print(1)"])
        ['python', '-c', 'print(1)']
        >>> process_line("host2", "agent", ["python", "-c", "print(1)"])[:2]
        ['agent', 'host2']
    """
    if not host:
        return list(command)
    return [*shlex.split(agent or _SSH), host, f"cd {shlex.quote(os.getcwd())} && exec {shlex.join(command)}"]  # noqa: PTH109 - of the shell


async def _port(rank: int, process: Process) -> int:
    line = await process.stdout.readline() if process.stdout else b""
    try:
        port: int = json.loads(line)["port"]
    except (json.JSONDecodeError, KeyError, TypeError):
        code = await process.wait()
        raise ClusterError(f"the process of rank {rank} did not start (exit code {code}).") from None
    return port


async def _pass_on(process: Process, stream: TextIO) -> None:
    """Write what a process says on its standard output."""
    while process.stdout and (line := await process.stdout.readline()):
        stream.write(line.decode())
        stream.flush()


async def _run(places: Sequence[tuple[str, str]], agent: str | None, buffer: int, command: Sequence[str]) -> int:
    lines = [process_line(name, agent, [*command, str(rank), address]) for rank, (name, address) in enumerate(places)]
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(*line, stdin=pipe, stdout=pipe, limit=_LINE_BYTES) for line in lines
    ]
    try:
        async with asyncio.timeout(START_S):
            ports = await asyncio.gather(*(_port(rank, one) for rank, one in enumerate(processes)))
        book = Book.of([address for _, address in places], ports, buffer)
        for one in processes:
            _tell(one, book.to_line().encode())
        first, *others = processes
        _feed(first)
        told = [_pass_on(first, sys.stdout), *(_pass_on(one, sys.stderr) for one in others)]
        await asyncio.gather(*told, *(one.wait() for one in processes))
    except TimeoutError:
        raise ClusterError(f"not all processes started in {START_S:.0f} s. Are all hosts reachable?") from None
    finally:
        for one in processes:
            with suppress(ProcessLookupError):
                one.terminate()
    return next((code for one in processes if (code := one.returncode)), 0)


def _tell(process: Process, content: bytes) -> None:
    if process.stdin is not None:
        process.stdin.write(content)


def _feed(process: Process) -> None:
    """Pass our standard input on to a process; when it ends, end, and with us all processes."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        while content := os.read(sys.stdin.fileno(), 2**16):
            loop.call_soon_threadsafe(_tell, process, content)
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()


def main(words: Sequence[str] | None = None) -> int:
    """Start processes, wait for them, and return the exit code of the first that failed."""
    parser = argparse.ArgumentParser(
        prog="python -m calibrate.engine.launcher", description="Start connected processes."
    )
    parser.add_argument("--hosts", nargs="+", required=True, help="NAME=ADDRESS each; =ADDRESS for this machine")
    parser.add_argument("--agent", help="what starts a command on a host, as ssh does")
    parser.add_argument("--send-buffer", type=int, default=2**18, help="bytes ahead of the wire")
    parser.add_argument("command", nargs="+", help="after --")
    options = parser.parse_args(words)
    places = [(name, address) for name, _, address in (one.partition("=") for one in options.hosts)]
    try:
        return asyncio.run(_run(places, options.agent, options.send_buffer, options.command))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a program of its own
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
