"""What every process of a session runs: ``python -m calibrate.cluster``, started by ``mpirun``.

Rank 0 reads what to do from its standard input, and writes what happens to its standard output; see ``tell``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from speedup.errors import SpeedupError

from ..engine.base import explanation
from ..engine.exchange import Exchange
from ..engine.mpi import MpiEngine
from .session import do_session
from .tell import Lines

if TYPE_CHECKING:
    from .tell import Tell

ALIVE_S = 2.0


async def _live(tell: Tell) -> None:
    while True:
        tell(alive=True)
        await asyncio.sleep(ALIVE_S)


async def _work(exchange: Exchange, tell: Tell) -> None:
    living = asyncio.create_task(_live(tell)) if exchange.rank == 0 else None
    document = json.loads(await asyncio.to_thread(sys.stdin.readline)) if exchange.rank == 0 else None
    await do_session(exchange, document, tell)
    if living is not None:
        living.cancel()


def main() -> int:
    """Do a session and return the exit code."""
    engine = MpiEngine()
    tell, exchange = Lines(engine.rank), Exchange(engine)
    try:
        exchange.run(_work(exchange, tell))
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
