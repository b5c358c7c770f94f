"""Tests with a Redis server that is frozen, stopped, restarted or flushed, and with lost replies."""

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
    """The store of a URL, with a long timeout for busy machines."""
    store = open_store(url)
    assert isinstance(store, Redis)
    store.breaker = patient()
    return store


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(own_redis: RedisServer, clock: Clock) -> AsyncIterator[Redis]:
    """A store on its own server; its breaker uses `clock`."""
    store = Redis(own_redis.url, breaker=StoreBreaker("Redis", clock, timeout=30.0))
    yield store
    await store.aclose()


@pytest.fixture
async def hasty(own_redis: RedisServer, clock: Clock) -> AsyncIterator[Redis]:
    """The same with the default timeout, which a busy machine may exceed."""
    store = Redis(own_redis.url, breaker=StoreBreaker("Redis", clock))
    await until_it_answers(store, clock)
    yield store
    await store.aclose()


async def until_it_answers(store: Redis, clock: Clock) -> int:
    """Waits until the store works again, and returns the number of holds."""
    while True:
        clock.now += 2 * REST
        try:
            return await store.held()
        except StoreDown:
            await asyncio.sleep(0.01)


async def settled(store: Redis, clock: Clock, hold_id: str) -> None:
    """Repeats a settlement until it succeeds."""
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
    """Calls fail at the timeout, then at once; they succeed when the server continues."""
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
    """Commands that timed out while they waited are not sent when the server continues."""
    own_redis.freeze()
    first = asyncio.ensure_future(hasty.hold("sent", [LINE], lease=60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the connection has sent it
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
    """A stopped or killed server is down at once, and is used again, with its scripts, after a restart."""
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
    """A store whose server is not running raises StoreDown and no other error."""
    own_redis.stop()
    store = Redis(own_redis.url, breaker=StoreBreaker("Redis", clock, timeout=30.0))
    with pytest.raises(StoreDown):
        await store.key_by_hash("x")
    own_redis.start()
    assert await until_it_answers(store, clock) == 0
    await store.aclose()


async def test_append_only_files_survive_a_kill(own_redis: RedisServer, clock: Clock) -> None:
    """With `--appendonly yes --appendfsync always` no answered operation is lost."""
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
    """SCRIPT FLUSH causes no failure, and the order of commands is kept."""
    store = opened(redis_url)
    await store.hold("1", [LINE], lease=60)
    redis_server.say("SCRIPT", "FLUSH")
    calls = [store.settle("1", [LINE], []), *[store.hold(name, [LINE], lease=60) for name in "12"]]
    answers: list[object] = list(await asyncio.gather(*calls))
    assert answers == [True, Denied(-1, 0), Held((20,))]
    await store.aclose()


async def test_a_server_that_cannot_write_is_down(store: Redis, own_redis: RedisServer) -> None:
    """A server that is out of memory counts as down."""
    await store.held()
    own_redis.say("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreDown):
        await store.hold("1", [LINE], lease=60)


async def test_a_lost_answer_books_nothing_twice(own_redis: RedisServer) -> None:
    """After lost replies, a settlement can be repeated and a hold settled; each takes effect once."""
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
    """The URL's password, database and socket are used. A wrong password raises StoreDown."""
    own_redis.stop()
    own_redis.start("--unixsocketperm", "700")
    own_redis.say("CONFIG", "SET", "requirepass", "hunter2")
    for url in (
        f"redis://:hunter2@127.0.0.1:{own_redis.port}/3",
        f"unix://:hunter2@{own_redis.socket}?db=3",
    ):
        store = opened(url)
        await store.hold(url, [LINE], lease=60)
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
    """Two gateways see each other's holds, and together admit exactly what the limit allows."""
    stores = [opened(redis_url) for _ in range(2)]
    line = Line("key/a cost", "sum", 20, 100)
    answers = await asyncio.gather(
        *[stores[number % 2].hold(str(number), [line], lease=60) for number in range(50)]
    )
    assert sum(isinstance(answer, Held) for answer in answers) == 5
    for store in stores:
        await store.aclose()


class Severed:
    """A proxy between a store and its server. While `deaf`, it drops replies and closes their connection."""

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
                answers += data.count(b"\n*") + data.startswith(b"*")  # replies of scripts are lists
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
