"""A Redis server that is frozen, closed, restarted or emptied, and answers that are lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Self

import pytest
from standby.proxy.stores.address import open_store
from standby.proxy.stores.records import Denied, Held, LedgerEntry, Line
from standby.proxy.stores.redis import Redis
from standby.proxy.stores.store import StoreDown
from standby.proxy.stores.store_breaker import REST, TIMEOUT, TRIP, StoreBreaker

from tests.proxy.stores.scenes import patient
from tests.redis_server import RedisServer

__all__: list[str] = []

pytestmark = pytest.mark.anyio

LINE = Line("key/a cost", "sum", 10, 1000)
ENTRY = LedgerEntry(at=0.0, request_id="r", attempt=1)


def opened(url: str) -> Redis:
    """The store of a URL, on a machine that may be busy with something else."""
    store = open_store(url)
    assert isinstance(store, Redis)
    store.breaker = patient()
    return store


class Clock:
    """Moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(own_redis: RedisServer, clock: Clock) -> AsyncIterator[Redis]:
    """A store on a server of its own; its breaker goes by `clock`."""
    store = Redis(own_redis.url, breaker=StoreBreaker("Redis", clock, timeout=30.0))
    yield store
    await store.aclose()


@pytest.fixture
async def hasty(own_redis: RedisServer, clock: Clock) -> AsyncIterator[Redis]:
    """The same with the patience that stores have, which a busy machine may well exhaust."""
    store = Redis(own_redis.url, breaker=StoreBreaker("Redis", clock))
    await until_it_answers(store, clock)
    yield store
    await store.aclose()


async def until_it_answers(store: Redis, clock: Clock) -> int:
    """How many holds there are, once the server is asked again and answers."""
    while True:
        clock.now += 2 * REST
        try:
            return await store.held()
        except StoreDown:
            await asyncio.sleep(0.01)


async def settled(store: Redis, clock: Clock, hold_id: str) -> None:
    """Settle until that is answered, as it should be done."""
    while True:
        try:
            await store.settle(hold_id, [LINE], [ENTRY])
        except StoreDown:
            clock.now += 2 * REST
            await asyncio.sleep(0.01)
        else:
            return


async def test_a_frozen_server_is_down(
    hasty: Redis, store: Redis, own_redis: RedisServer, clock: Clock
) -> None:
    """Every call fails in its time, then at once, and all is well when the server goes on."""
    own_redis.freeze()
    began = time.monotonic()
    calls = [hasty.hold(str(number), [LINE], lease=60) for number in range(TRIP)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, StoreDown) for answer in answers)
    assert time.monotonic() - began >= TIMEOUT
    with pytest.raises(StoreDown) as raised:
        await hasty.hold("refused at once", [LINE], lease=60)
    assert not raised.value.asked

    own_redis.thaw()
    for number in range(TRIP):
        await settled(hasty, clock, str(number))
    assert await store.used([LINE]) == (10 * TRIP,)
    assert await store.held() == 0
    assert len([entry async for entry in store.entries()]) == TRIP


async def test_what_was_not_sent_in_time_is_not_sent(
    hasty: Redis, store: Redis, own_redis: RedisServer
) -> None:
    """What waited behind a frozen server, until its callers had gone, is not done when that goes on."""
    own_redis.freeze()
    first = asyncio.ensure_future(hasty.hold("sent", [LINE], lease=60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the lane has sent it
    second = asyncio.ensure_future(hasty.hold("waits", [LINE], lease=60))
    for answer in await asyncio.gather(first, second, return_exceptions=True):
        assert isinstance(answer, StoreDown)
    own_redis.thaw()
    await hasty.aclose()
    assert await store.held() <= 1
    assert await store.used([LINE]) <= (10,)


@pytest.mark.parametrize("hard", [False, True])
async def test_a_closed_server_is_down(
    store: Redis, own_redis: RedisServer, clock: Clock, hard: bool
) -> None:
    """Ended or killed, it is down at once; started again, it is used again, with its scripts."""
    await store.hold("1", [LINE], lease=60)
    own_redis.stop(hard=hard)
    for _ in range(TRIP):
        with pytest.raises(StoreDown):
            await store.hold("2", [LINE], lease=60)
    with pytest.raises(StoreDown):
        await store.settle("1", [LINE], [])
    own_redis.start()
    assert await until_it_answers(store, clock) == 0
    assert await store.hold("3", [LINE], lease=60) == Held((10,))


async def test_it_starts_without_a_server(own_redis: RedisServer, clock: Clock) -> None:
    """A store whose server is not there yet is down, and no error of another kind."""
    own_redis.stop()
    store = Redis(own_redis.url, breaker=StoreBreaker("Redis", clock, timeout=30.0))
    with pytest.raises(StoreDown):
        await store.key_by_hash("x")
    own_redis.start()
    assert await until_it_answers(store, clock) == 0
    await store.aclose()


async def test_append_only_files_survive_a_kill(own_redis: RedisServer, clock: Clock) -> None:
    """With `--appendonly yes --appendfsync always` nothing that was answered is lost."""
    own_redis.stop()
    own_redis.start("--appendonly", "yes", "--appendfsync", "always")
    store = Redis(own_redis.url, breaker=StoreBreaker("Redis", clock, timeout=30.0))
    await store.hold("held", [LINE], lease=60)
    await store.settle("settled", [LINE], [ENTRY])
    own_redis.stop(hard=True)
    own_redis.start("--appendonly", "yes", "--appendfsync", "always")
    assert await until_it_answers(store, clock) == 1
    assert await store.used([LINE]) == (20,)
    assert not await store.settle("settled", [LINE], [ENTRY])
    assert [entry async for entry in store.entries()] == [ENTRY]
    await store.aclose()


async def test_flushed_scripts_are_loaded_again(redis_server: RedisServer, redis_url: str) -> None:
    """An operator's SCRIPT FLUSH fails nothing, and order is kept."""
    store = opened(redis_url)
    await store.hold("1", [LINE], lease=60)
    redis_server.say("SCRIPT", "FLUSH")
    calls = [store.settle("1", [LINE], []), *[store.hold(name, [LINE], lease=60) for name in "12"]]
    answers: list[object] = list(await asyncio.gather(*calls))
    assert answers == [True, Denied(-1, 0), Held((20,))]
    await store.aclose()


async def test_a_server_that_cannot_write_is_down(store: Redis, own_redis: RedisServer) -> None:
    """Out of memory, it refuses what would write; that is a fault of the store and tells no secret."""
    await store.held()
    own_redis.say("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreDown):
        await store.hold("1", [LINE], lease=60)


async def test_a_lost_answer_books_nothing_twice(own_redis: RedisServer) -> None:
    """A settlement whose answer was lost is repeated, a hold whose answer was lost is ended: once each."""
    async with Severed(own_redis.port) as severed:
        store = Redis(f"redis://127.0.0.1:{severed.port}/0", breaker=patient())
        await store.hold("1", [LINE], lease=60)
        severed.deaf = True
        for lost in (store.settle("1", [LINE], [ENTRY]), store.hold("2", [LINE], lease=60)):
            with pytest.raises(StoreDown):
                await lost
        severed.deaf = False
        assert not await store.settle("1", [LINE], [ENTRY])
        assert await store.used([LINE]) == (20,)
        assert await store.held() == 1
        assert await store.settle("2", [], [])
        assert await store.used([LINE]) == (10,)
        assert [entry async for entry in store.entries()] == [ENTRY]
        await store.aclose()


async def test_passwords_databases_and_sockets(own_redis: RedisServer) -> None:
    """The URL says with what password, to which database, over which socket; a wrong password is no store."""
    own_redis.stop()
    own_redis.start("--unixsocketperm", "700")
    own_redis.say("CONFIG", "SET", "requirepass", "hunter2")
    for place in (
        f"redis://:hunter2@127.0.0.1:{own_redis.port}/3",
        f"unix://:hunter2@{own_redis.socket}?db=3",
    ):
        store = opened(place)
        await store.hold(place, [LINE], lease=60)
        await store.aclose()
    store = opened(f"redis://:hunter2@127.0.0.1:{own_redis.port}/3")
    assert await store.held() == 2
    await store.aclose()
    for wrong in (own_redis.url, f"redis://:hunter3@127.0.0.1:{own_redis.port}/3"):
        store = opened(wrong)
        with pytest.raises(StoreDown) as raised:
            await store.held()
        assert "hunter" not in str(raised.value)
        await store.aclose()


async def test_two_gateways_share_a_store(redis_url: str) -> None:
    """What one holds the other sees, and fifty at once over both admit what there is room for."""
    stores = [opened(redis_url) for _ in range(2)]
    line = Line("key/a cost", "sum", 20, 100)
    answers = await asyncio.gather(
        *[stores[number % 2].hold(str(number), [line], lease=60) for number in range(50)]
    )
    assert sum(isinstance(answer, Held) for answer in answers) == 5
    for store in stores:
        await store.aclose()


class Severed:
    """Between a store and its server. While it is `deaf`, answers get lost and their connection ends."""

    def __init__(self, port: int) -> None:
        self.deaf = False
        self.port = 0
        self._to = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, here = await asyncio.open_connection("127.0.0.1", self._to)
        upward = asyncio.ensure_future(self._carry(reader, here))
        try:
            answers = 0
            while data := await there.read(65536):
                answers += data.count(b"\n*") + data.startswith(b"*")  # of scripts: their answers are lists
                if self.deaf and answers:
                    break
                writer.write(data)
        finally:
            upward.cancel()
            for ended in (writer, here):
                ended.close()

    @staticmethod
    async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
