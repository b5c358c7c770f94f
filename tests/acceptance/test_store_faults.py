"""Stores that are down, slow, or whose answers are lost: F45 to F47 of the fault matrix."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Received

from tests.acceptance.money import SECRETS, Shop, shop
from tests.acceptance.outages import OUTAGES, Way, outage
from tests.acceptance.serving import Front
from tests.chaos.caller import CallResult
from tests.chaos.setting import Card
from tests.redis_server import RedisServer

__all__: list[str] = []

pytestmark = pytest.mark.anyio

DOLLAR: Final = 10**9
CARDS: Final = {"alpha": Card(0, 0, DOLLAR), "beta": Card(0, 0, 3 * DOLLAR)}
BUDGET: Final = 'budget = [{ limit = "100.00", window = "month" }]'
SOON: Final = 1.0
"""Seconds in which a caller is answered, whatever the store does: its 250 ms, on a busy machine."""
AT_ONCE: Final = 0.15
"""The same while nobody asks the store: less than it is given to answer."""

ways: Final = pytest.mark.parametrize("way", OUTAGES)
silent_ways: Final = pytest.mark.parametrize("way", [way for way in OUTAGES if way.endswith("frozen")])
two_ways: Final = pytest.mark.parametrize("way", ["redis frozen", "sqlite closed"])
"""One of each store and one of each kind, where what is done without the store is the same for all."""


async def timed(ask: Awaitable[CallResult]) -> tuple[CallResult, float]:
    """An answer, and the seconds that it took."""
    began = time.perf_counter()
    result = await ask
    return result, time.perf_counter() - began


async def until_answered(counted: Shop) -> CallResult:
    """Ask until the store is found to answer again, as it will be asked within a second or two."""
    async with asyncio.timeout(10):
        while (result := await counted.ask()).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return result


@ways
async def test_without_its_store_a_budget_refuses(front: Front, way: Way, tmp_path: Path) -> None:
    """Callers get 503 and nothing goes to a provider; once the store is back, they are answered (F45)."""
    with outage(way, tmp_path) as store:
        async with shop(front, store=store.url, cards=CARDS, key=BUDGET) as counted:
            store.begin()
            try:
                for _ in range(3):
                    result, seconds = await timed(counted.ask())
                    assert (result.status, result.code) == (503, "budget_unavailable")
                    assert "retry-after" in result.headers
                    assert seconds < SOON
                assert not counted.alpha.requests
            finally:
                store.end()
            result = await until_answered(counted)
            entries = await counted.settled()
            assert [entry.request_id for entry in entries] == [result.request_id]
            assert await counted.spent() == DOLLAR


@silent_ways
async def test_a_slow_store_is_soon_not_asked_any_more(front: Front, way: Way, tmp_path: Path) -> None:
    """After five failures nobody waits for the store, so that its slowness is not everybody's (F46)."""
    with outage(way, tmp_path) as store:
        async with shop(front, store=store.url, cards=CARDS, key=BUDGET) as counted:
            store.begin()
            try:
                await asyncio.gather(*(counted.ask() for _ in range(5)))
                waited = sorted([(await timed(counted.ask()))[1] for _ in range(20)])
            finally:
                store.end()
            assert waited[len(waited) // 2] < AT_ONCE
            await until_answered(counted)
            await counted.settled()


@two_ways
async def test_an_allowance_is_spent_and_no_more(front: Front, way: Way, tmp_path: Path) -> None:
    """With an allowance of three dollars three requests of a dollar pass, and are booked later (F45)."""
    with outage(way, tmp_path) as store:
        parts = {"key": BUDGET, "budget": 'on_store_error = "3.00"'}
        async with shop(front, store=store.url, cards=CARDS, **parts) as counted:
            store.begin()
            try:
                result = [await counted.ask() for _ in range(6)]
                result += await asyncio.gather(*(counted.ask() for _ in range(10)))
                assert [each.status for each in result] == [200] * 3 + [503] * 13
                assert len(counted.alpha.bill) == 3
            finally:
                store.end()
            result.append(await until_answered(counted))
            async with asyncio.timeout(10):
                while len(await counted.settled()) < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # what waited is asked again
            entries = await counted.settled()
            assert {entry.request_id for entry in entries} == {
                each.request_id for each in result if each.status == 200
            }
            assert await counted.spent() == len(entries) * DOLLAR == counted.due(CARDS)


@ways
async def test_a_key_that_cannot_be_looked_up_is_not_called_wrong(
    front: Front, way: Way, tmp_path: Path
) -> None:
    """While the store is down an unknown key is 503, never 401; one of the file works as far as it can."""
    with outage(way, tmp_path) as store:
        parts = {"key": "", "stack": 'stack = ["auth", "failover"]', "budget_table": ""}
        async with shop(front, store=store.url, **parts) as counted:
            store.begin()
            try:
                result = await counted.ask(secret="sk-standby-that-only-the-store-may-know")
                assert (result.status, result.code) == (503, "auth_unavailable")
                assert (await counted.ask(secret=SECRETS["checkout"])).status == 200
            finally:
                store.end()


class _Deaf:
    """Stands between a gateway and its store; while `deaf`, what the store says does not come back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._calls = set[asyncio.Task[None]]()
        self.deaf = False
        self.document = 0
        self.swallowed = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, both ways."""
        back, out = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.create_task(self._there(reader, out))
        try:
            while data := await back.read(65536):
                if self.deaf:
                    self.swallowed += 1
                else:
                    writer.write(data)
        finally:
            there.cancel()
            out.close()
            writer.close()

    async def _there(self, reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.document += 1
            out.write(data)
        out.close()


@asynccontextmanager
async def deaf(server: RedisServer) -> AsyncGenerator[tuple[_Deaf, str]]:
    """The relay, and its URL."""
    relay = _Deaf(server.port)
    listening = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    try:
        yield relay, f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
    finally:
        listening.close()


async def test_a_settlement_whose_answer_is_lost_happens_once(front: Front, own_redis: RedisServer) -> None:
    """The store did it and nobody heard: it is asked again, and nothing is charged twice (F47)."""
    async with deaf(own_redis) as (relay, url), shop(front, store=url, cards=CARDS, key=BUDGET) as counted:
        assert (await counted.ask()).status == 200
        await counted.settled()

        def lose_what_follows(received: Received) -> None:
            relay.deaf = True

        counted.alpha.fault = lose_what_follows
        assert (await counted.ask()).status == 200
        async with asyncio.timeout(5):
            while not relay.swallowed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        relay.deaf = False
        counted.alpha.fault = None
        async with asyncio.timeout(10):
            while not await counted.reachable() or len(await counted.settled()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        last = await until_answered(counted)
        entries = await counted.settled()
        assert len(entries) == 3
        assert entries[-1].request_id == last.request_id
        assert await counted.spent() == 3 * DOLLAR


async def test_a_hold_whose_answer_is_lost_is_let_go(front: Front, own_redis: RedisServer) -> None:
    """The caller was refused, as nobody heard of the hold; it does not stay until its lease is over."""
    async with deaf(own_redis) as (relay, url), shop(front, store=url, cards=CARDS, key=BUDGET) as counted:
        assert (await counted.ask()).status == 200
        await counted.settled()
        relay.deaf = True
        result = await counted.ask()
        assert (result.status, result.code) == (503, "budget_unavailable")
        relay.deaf = False
        await until_answered(counted)
        async with asyncio.timeout(10):
            while await counted.store.held():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert len(await counted.settled()) == 2
        assert await counted.spent() == 2 * DOLLAR
