"""Who waits for a connection of a pool, who closes one, and whose they are."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from standby.proxy.upstream.http1.pool import Pool

from tests.proxy.upstream.http1.peer import (
    OK,
    Peer,
    ask,
    begin,
    inside,
    peer,
    pool_to,
    said,
    turn_until,
    until,
)

__all__: list[str] = []

pytestmark = pytest.mark.anyio


async def hold(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a head at once, and the body never."""
    await listening.hear(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")


async def test_more_requests_than_connections() -> None:
    """Who waits too long is turned away; who waits is served in order."""
    async with peer(hold) as listening, pool_to(listening, connections=2) as pool:
        held = [await begin(pool, listening) for _ in range(2)]
        with pytest.raises(httpx2.PoolTimeout):
            await begin(pool, listening, wait=0.01)
        waiting = [asyncio.create_task(begin(pool, listening)) for _ in range(2)]
        await turn_until(lambda: pool.slots.waiting >= 2)
        await held[0].aclose()
        held.append(await waiting[0])
        assert not waiting[1].done()
        await held[1].aclose()
        held.append(await waiting[1])
        assert listening.accepted == 4
        for response in held:
            await response.aclose()
        await until(pool)


async def test_a_connection_goes_to_who_waits() -> None:
    """One that becomes free is handed over, not closed."""
    async with peer(said(OK)) as listening, pool_to(listening, connections=1) as pool:
        held = await begin(pool, listening)
        waiting = asyncio.create_task(ask(pool, listening))
        await turn_until(lambda: pool.slots.waiting)
        await held.aread()
        assert await waiting == (200, b"ok")
        assert listening.accepted == 1


async def test_a_connection_that_ends_as_it_is_handed_over() -> None:
    """Who was given it makes another."""
    async with peer(said(OK)) as listening, pool_to(listening, connections=1) as pool:
        held = await begin(pool, listening)
        waiting = asyncio.create_task(ask(pool, listening))
        await turn_until(lambda: pool.slots.waiting)
        [connection] = inside(pool.slots)._all
        await held.aread()
        connection.abort()
        assert await waiting == (200, b"ok")
        assert listening.accepted == 2


async def test_closing_frees_at_once() -> None:
    """An answer that is left before its end closes its connection, and its place is free."""
    async with peer(hold) as listening, pool_to(listening, connections=1) as pool:
        for number in range(5):
            response = await begin(pool, listening)
            await response.aclose()
            await response.aclose()
            assert (listening.accepted, pool.slots.busy) == (number + 1, 0)
        await listening.wait_for(lambda: listening.open == 0)


async def test_reading_on_after_closing() -> None:
    """It is no end of the body, and nothing of the connection's next answer is ever seen."""
    async with peer(hold) as listening, pool_to(listening) as pool:
        response = await begin(pool, listening)
        stream: Any = response.stream
        await stream.aclose()
        with pytest.raises(httpx2.StreamClosed):
            await anext(aiter(stream))


async def test_closed_by_somebody_else() -> None:
    """Another task may close an answer that is being read: the reader hears of it."""
    async with peer(hold) as listening, pool_to(listening) as pool:
        response = await begin(pool, listening)
        stream: Any = response.stream
        reading = asyncio.create_task(anext(aiter(stream)))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(httpx2.StreamClosed):
            await reading
        await until(pool)


async def test_a_reader_that_comes_late_sees_its_own_answer() -> None:
    """A reader woken as its answer is closed for it reads nothing of the request that follows."""
    ready = asyncio.Event()

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.hear(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await ready.wait()
        writer.write(b"0\r\n\r\n")
        while True:
            await listening.hear(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")

    async with peer(serve) as listening, pool_to(listening, connections=1) as pool:
        response = await begin(pool, listening)
        stream: Any = response.stream
        reading: asyncio.Task[bytes] = asyncio.create_task(anext(aiter(stream), b"end"))
        await asyncio.sleep(0)
        following = asyncio.create_task(ask(pool, listening))
        ready.set()
        await turn_until(lambda: stream._reply.whole)
        await stream.aclose()
        assert await following == (200, b"secret")
        assert await reading == b"end"
        assert listening.accepted == 1


async def test_a_forgotten_answer() -> None:
    """An answer that nobody reads or closes gives its connection back when it is gone."""
    async with peer(hold) as listening, pool_to(listening, connections=1) as pool:
        for _ in range(3):
            response = await begin(pool, listening)
            del response
            await until(pool)
        await listening.wait_for(lambda: listening.open == 0)


async def test_closing_the_pool() -> None:
    """Connections in use end too, and so does waiting for one; a later request makes a new one."""
    async with peer(hold) as listening:
        async with pool_to(listening, connections=2) as pool:
            held = [await begin(pool, listening) for _ in range(2)]
            waiting = asyncio.create_task(begin(pool, listening))
            await turn_until(lambda: pool.slots.waiting)
            slots = pool.slots
            await pool.aclose()
            assert (slots.connections, slots.waiting) == (0, 0)
            with pytest.raises(httpx2.PoolTimeout):
                await waiting
            for response in held:
                with pytest.raises(httpx2.RemoteProtocolError):
                    await response.aread()
                await response.aclose()
            assert slots.busy == 0
            await listening.wait_for(lambda: listening.open == 0)
            await (await begin(pool, listening)).aclose()
            await pool.aclose()
            await pool.aclose()
        await listening.wait_for(lambda: listening.open == 0)


async def test_closing_while_an_answer_is_awaited() -> None:
    """A request without an answer yet fails, and is not sent again."""

    async def silent(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await listening.hear(reader) == 1:
            writer.write(OK)
            await listening.hear(reader)

    async with peer(silent) as listening, pool_to(listening) as pool:
        await ask(pool, listening)
        asking = asyncio.create_task(ask(pool, listening))
        await listening.wait_for(lambda: listening.asked == 2)
        await pool.aclose()
        with pytest.raises(httpx2.TransportError):
            await asking
        assert listening.asked == 2


async def test_another_origin() -> None:
    """A pool connects to its own origin only: what is for another never leaves."""
    async with peer(said(OK)) as listening, pool_to(listening) as pool:
        for other in ("https://127.0.0.1/", f"http://127.0.0.1:{listening.port + 1}/", "http://localhost/"):
            with pytest.raises(httpx2.LocalProtocolError):
                await begin(pool, listening, url=httpx2.URL(other))
        assert (listening.accepted, pool.slots.busy) == (0, 0)


async def test_what_is_no_request() -> None:
    """A request that is no HTTP takes no connection."""
    async with peer(said(OK)) as listening, pool_to(listening) as pool:
        with pytest.raises(httpx2.LocalProtocolError):
            await begin(pool, listening, headers=[(b"x", b"a\r\nb: c")])
        assert (listening.accepted, pool.slots.busy) == (0, 0)


def test_a_pool_needs_to_know_how() -> None:
    """Only http, and https with a context: nothing is sent in the clear by mistake."""
    for url in ("https://a.test/", "ftp://a.test/"):
        with pytest.raises(ValueError, match="http"):
            Pool(httpx2.URL(url), context=None, connections=1, keep_alive=1)


def test_another_loop() -> None:
    """Connections of a loop that has ended are never used in the next."""
    pools: list[Pool] = []

    async def once() -> None:
        async with peer(said(OK)) as listening:
            if not pools:
                pools.append(Pool(listening.url, context=None, connections=1, keep_alive=30))
            [pool] = pools
            inside(pool)._origin = ("http", b"127.0.0.1", listening.port)
            inside(pool)._port = listening.port
            assert await ask(pool, listening) == (200, b"ok")
            for connection in tuple(inside(pool.slots)._all):
                connection.abort()

    asyncio.run(once())
    asyncio.run(once())
