"""What every process of a session runs: ``python -m calibrate.cluster``, started by ``mpirun`` or by our launcher.

Behind ``tcp`` the latter gives the rank and the address to listen on.

Rank 0 reads what to do from its standard input, and writes what happens to its standard output; see ``tell``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from speedup.errors import SpeedupError

from ..engine.base import ClusterError, explanation
from ..engine.exchange import Exchange
from ..engine.mpi import MpiEngine
from ..engine.tcp import TcpEngine, end_with_launcher, joined
from .session import do_session
from .tell import Lines

if TYPE_CHECKING:
    from ..engine.base import Engine
    from .tell import Tell

ALIVE_S = 2.0


async def _live(tell: Tell) -> None:
    while True:
        tell(alive=True)
        await asyncio.sleep(ALIVE_S)


async def _work(exchange: Exchange, document: dict[str, Any] | None, tell: Tell) -> None:
    living = asyncio.create_task(_live(tell)) if exchange.rank == 0 else None
    await do_session(exchange, document, tell)
    if living is not None:
        living.cancel()


def _engine(words: list[str]) -> Engine:
    return joined(int(words[1]), words[2]) if words[:1] == ["tcp"] else MpiEngine()


def main() -> int:
    """Do a session and return the exit code."""
    try:
        engine = _engine(sys.argv[1:])
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - nobody listens for anything else yet
        return error.exit_code
    tell, exchange = Lines(engine.rank), Exchange(engine)
    document = json.loads(sys.stdin.readline()) if engine.rank == 0 else None
    if isinstance(engine, TcpEngine):
        end_with_launcher()
    try:
        exchange.run(_work(exchange, document, tell))
    except (SpeedupError, ExceptionGroup) as error:
        first = explanation(error)
        tell(error=str(first), code=first.exit_code)
        engine.abort(first.exit_code)
        return first.exit_code
    tell(done=True)
    engine.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
