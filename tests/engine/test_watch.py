"""Who is given up, and who is blamed for it, when processes fall silent."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from loopback import connected

from calibrate.cluster.watch import Watch
from calibrate.engine.exchange import Exchange

LIMIT_S = 20.0


def blamed(exchange):
    """Return why a process gives the first of the others up."""

    async def work():
        watch = Watch(exchange, 1.5, 3.0, lambda _: None, lambda rank: f"rank {rank}")
        async with watch, asyncio.timeout(LIMIT_S):
            while not exchange.lost:
                await asyncio.sleep(0.05)
        return next(iter(exchange.lost.values()))

    return exchange.run(work())


def blames(engines):
    with ThreadPoolExecutor(len(engines)) as pool:
        return dict(zip((one.rank for one in engines), pool.map(blamed, map(Exchange, engines)), strict=True))


@pytest.fixture
def engines():
    made = connected(3)
    yield made
    for engine in made:
        engine._close()


def test_a_process_that_hears_of_nobody_names_itself(engines):
    assert "rank 2 has heard of no other process" in blames(engines[2:])[2]


def test_processes_that_hear_one_another_name_the_silent_one(engines):
    found = blames(engines[:2])
    assert sorted(found) == [0, 1]
    assert all(reason.startswith("rank 2 was silent") for reason in found.values())
