"""The limit of a pool's connections, and closing responses and the pool."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from standby.proxy.upstream.http1.pool import Pool

from tests.proxy.upstream.http1.peer import (
    OK,
    Peer,
    fetch,
    inside,
    open_response,
    peer,
    pool_to,
    respond_with,
    turn_until,
    until_idle,
)

__all__: list[str] = []

pytestmark = pytest.mark.anyio


async def hold(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a response head at once, and never its body."""
    await listening.read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")


async def test_more_requests_than_connections() -> None:
    """A request that waits too long gets PoolTimeout; the others are served in order."""
    async with peer(hold) as listening, pool_to(listening, connections=2) as pool:
        held = [await open_response(pool, listening) for _ in range(2)]
        with pytest.raises(httpx2.PoolTimeout):
            await open_response(pool, listening, wait=0.01)
        waiting = [asyncio.create_task(open_response(pool, listening)) for _ in range(2)]
        await turn_until(lambda: pool.slots.waiting >= 2)
        await held[0].aclose()
        held.append(await waiting[0])
        assert not waiting[1].done()
        await held[1].aclose()
        held.append(await waiting[1])
        assert listening.accepted == 4
        for response in held:
            await response.aclose()
        await until_idle(pool)


async def test_a_connection_goes_to_who_waits() -> None:
    """A released connection is handed to a waiting request."""
    async with peer(respond_with(OK)) as listening, pool_to(listening, connections=1) as pool:
        held = await open_response(pool, listening)
        waiting = asyncio.create_task(fetch(pool, listening))
        await turn_until(lambda: pool.slots.waiting)
        await held.aread()
        assert await waiting == (200, b"ok")
        assert listening.accepted == 1


async def test_a_connection_that_ends_as_it_is_handed_over() -> None:
    """The request that was given it opens a new one."""
    async with peer(respond_with(OK)) as listening, pool_to(listening, connections=1) as pool:
        held = await open_response(pool, listening)
        waiting = asyncio.create_task(fetch(pool, listening))
        await turn_until(lambda: pool.slots.waiting)
        [connection] = inside(pool.slots)._all
        await held.aread()
        connection.abort()
        assert await waiting == (200, b"ok")
        assert listening.accepted == 2


async def test_closing_frees_at_once() -> None:
    """Closing a response before its end closes its connection and frees its slot."""
    async with peer(hold) as listening, pool_to(listening, connections=1) as pool:
        for number in range(5):
            response = await open_response(pool, listening)
            await response.aclose()
            await response.aclose()
            assert (listening.accepted, pool.slots.busy) == (number + 1, 0)
        await listening.wait_for(lambda: listening.open == 0)


async def test_reading_on_after_closing() -> None:
    """Reading after the close raises StreamClosed, and reads no data of the next response."""
    async with peer(hold) as listening, pool_to(listening) as pool:
        response = await open_response(pool, listening)
        stream: Any = response.stream
        await stream.aclose()
        with pytest.raises(httpx2.StreamClosed):
            await anext(aiter(stream))


async def test_closed_by_somebody_else() -> None:
    """If another task closes a response, its reader gets StreamClosed."""
    async with peer(hold) as listening, pool_to(listening) as pool:
        response = await open_response(pool, listening)
        stream: Any = response.stream
        reading = asyncio.create_task(anext(aiter(stream)))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(httpx2.StreamClosed):
            await reading
        await until_idle(pool)


async def test_a_reader_that_comes_late_sees_its_own_answer() -> None:
    """A reader that wakes after its response was closed reads no data of the next response."""
    ready = asyncio.Event()

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await ready.wait()
        writer.write(b"0\r\n\r\n")
        while True:
            await listening.read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")

    async with peer(serve) as listening, pool_to(listening, connections=1) as pool:
        response = await open_response(pool, listening)
        stream: Any = response.stream
        reading: asyncio.Task[bytes] = asyncio.create_task(anext(aiter(stream), b"end"))
        await asyncio.sleep(0)
        following = asyncio.create_task(fetch(pool, listening))
        ready.set()
        await turn_until(lambda: stream._reply.complete)
        await stream.aclose()
        assert await following == (200, b"secret")
        assert await reading == b"end"
        assert listening.accepted == 1


async def test_a_forgotten_answer() -> None:
    """A response that is neither read nor closed releases its connection when it is deleted."""
    async with peer(hold) as listening, pool_to(listening, connections=1) as pool:
        for _ in range(3):
            response = await open_response(pool, listening)
            del response
            await until_idle(pool)
        await listening.wait_for(lambda: listening.open == 0)


async def test_closing_the_pool() -> None:
    """Connections in use and waiting requests end too; a later request opens a new connection."""
    async with peer(hold) as listening:
        async with pool_to(listening, connections=2) as pool:
            held = [await open_response(pool, listening) for _ in range(2)]
            waiting = asyncio.create_task(open_response(pool, listening))
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
            await (await open_response(pool, listening)).aclose()
            await pool.aclose()
            await pool.aclose()
        await listening.wait_for(lambda: listening.open == 0)


async def test_closing_while_an_answer_is_awaited() -> None:
    """A request without a response yet fails, and is not repeated."""

    async def silent(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await listening.read_request(reader) == 1:
            writer.write(OK)
            await listening.read_request(reader)

    async with peer(silent) as listening, pool_to(listening) as pool:
        await fetch(pool, listening)
        asking = asyncio.create_task(fetch(pool, listening))
        await listening.wait_for(lambda: listening.requests == 2)
        await pool.aclose()
        with pytest.raises(httpx2.TransportError):
            await asking
        assert listening.requests == 2


async def test_another_origin() -> None:
    """A request for another origin is refused and never sent."""
    async with peer(respond_with(OK)) as listening, pool_to(listening) as pool:
        for other in ("https://127.0.0.1/", f"http://127.0.0.1:{listening.port + 1}/", "http://localhost/"):
            with pytest.raises(httpx2.LocalProtocolError):
                await open_response(pool, listening, url=httpx2.URL(other))
        assert (listening.accepted, pool.slots.busy) == (0, 0)


async def test_what_is_no_request() -> None:
    """A request that is not valid HTTP uses no connection."""
    async with peer(respond_with(OK)) as listening, pool_to(listening) as pool:
        with pytest.raises(httpx2.LocalProtocolError):
            await open_response(pool, listening, headers=[(b"x", b"a\r\nb: c")])
        assert (listening.accepted, pool.slots.busy) == (0, 0)


def test_a_pool_needs_to_know_how() -> None:
    """A pool accepts only http, and https with a context, to prevent plain text by mistake."""
    for url in ("https://a.test/", "ftp://a.test/"):
        with pytest.raises(ValueError, match="http"):
            Pool(httpx2.URL(url), context=None, connections=1, keep_alive=1)


def test_another_loop() -> None:
    """Connections of an event loop that has ended are not used in the next one."""
    pools: list[Pool] = []

    async def once() -> None:
        async with peer(respond_with(OK)) as listening:
            if not pools:
                pools.append(Pool(listening.url, context=None, connections=1, keep_alive=30))
            [pool] = pools
            inside(pool)._origin = ("http", b"127.0.0.1", listening.port)
            inside(pool)._port = listening.port
            assert await fetch(pool, listening) == (200, b"ok")
            for connection in tuple(inside(pool.slots)._all):
                connection.abort()

    asyncio.run(once())
    asyncio.run(once())
