"""Requests over a pool of connections: what is sent, what is reused, what is repeated."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from typing import Final

import httpx2
import pytest
from typing_extensions import override

from tests.proxy.upstream.http1.peer import BODY, OK, Peer, ask, begin, inside, peer, pool_to, said, until

__all__: list[str] = []

pytestmark = pytest.mark.anyio


class Counted(httpx2.AsyncByteStream):
    """A body that counts how often it was asked for."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self.asked = 0

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.asked += 1
        for part in self._parts:
            yield part


async def test_a_request() -> None:
    """What is sent arrives as it was given, and the answer as it was said."""
    async with peer(said(OK)) as listening, pool_to(listening) as pool:
        response = await begin(pool, listening)
        assert response.status_code == 200
        assert response.headers.raw == [(b"content-length", b"2")]
        assert await response.aread() == b"ok"
        assert listening.received == b"POST /v1/chat HTTP/1.1\r\nhost: x\r\ncontent-length: 14\r\n\r\n" + BODY
        await response.aclose()


async def test_connections_are_used_again() -> None:
    """One after the other requests share one connection, the one used last."""
    async with peer(said(OK)) as listening, pool_to(listening) as pool:
        for _ in range(5):
            assert await ask(pool, listening) == (200, b"ok")
        assert listening.accepted == 1
        both = [await begin(pool, listening) for _ in range(2)]
        for response in both:
            await response.aclose()
        assert listening.accepted == 2
        assert (pool.slots.busy, pool.slots.idle) == (0, 2)


ENDS: Final = {
    "close": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    "old": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "followed": OK + b"\r\n" + OK,
    "line_end": OK + b"\r\n",
}


@pytest.mark.parametrize("name", ENDS)
async def test_connections_that_are_not_used_again(name: str) -> None:
    """When either side says so, or anything stands behind the answer."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.hear(reader)
        writer.write(ENDS[name])

    async with peer(serve) as listening, pool_to(listening) as pool:
        for number in range(3):
            assert await ask(pool, listening) == (200, b"ok")
            assert (listening.accepted, pool.slots.idle) == (number + 1, 0)
        await listening.wait_for(lambda: listening.open == 0)


async def test_a_body_that_its_connection_ends() -> None:
    """It is whole when the connection has ended."""
    data = b"HTTP/1.1 200 OK\r\n\r\nto the end"
    async with peer(said(data)) as listening, pool_to(listening) as pool:
        assert await ask(pool, listening) == (200, b"to the end")


async def test_what_comes_over_an_idle_connection() -> None:
    """Bytes that nobody asked for close it: they are not the answer to the next request."""
    told = asyncio.Event()

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await listening.hear(reader) == 1
        writer.write(OK)
        if first:
            await told.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")

    async with peer(serve) as listening, pool_to(listening) as pool:
        assert await ask(pool, listening) == (200, b"ok")
        assert pool.slots.idle == 1
        told.set()
        await until(pool)
        await listening.wait_for(lambda: listening.open == 0)
        assert await ask(pool, listening) == (200, b"ok")
        assert listening.accepted == 2


async def test_what_has_come_but_was_not_seen_yet() -> None:
    """A loop that was busy does not know yet that an idle connection has something: it is not used."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await listening.hear(reader) == 1
        writer.write(OK)
        if first:
            writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    async with peer(serve) as listening, pool_to(listening) as pool:
        assert await ask(pool, listening) == (200, b"ok")
        [connection] = inside(pool.slots)._idle
        behind = writers[0].get_extra_info("socket")
        assert connection.usable
        # Written past the loop, which does not turn until the next request is on its way.
        os.write(behind.fileno(), b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
        assert await ask(pool, listening) == (200, b"ok")
        assert listening.accepted == 2


# ---------------------------------------------------------------------------------------------------- repeats


async def test_a_stale_connection() -> None:
    """A request is sent once more, on a new connection, when a used one ends without a byte."""
    async with (
        peer(said(lambda number: None if number == 2 else OK)) as listening,
        pool_to(listening) as pool,
    ):
        assert await ask(pool, listening) == (200, b"ok")
        body = Counted(BODY)
        assert await ask(pool, listening, stream=body) == (200, b"ok")
        assert (listening.accepted, listening.asked, body.asked) == (2, 3, 2)
        assert (pool.slots.busy, pool.slots.idle) == (0, 0)


async def test_only_once() -> None:
    """When the new connection ends as well, that is the answer."""
    async with (
        peer(said(lambda number: OK if number == 1 else None)) as listening,
        pool_to(listening) as pool,
    ):
        await ask(pool, listening)
        with pytest.raises(httpx2.ReadError):
            await ask(pool, listening)
        assert (listening.accepted, listening.asked) == (2, 3)
        await until(pool)


async def test_never_on_a_new_connection() -> None:
    """A request that had a connection of its own is not repeated."""
    async with peer(said(lambda _: None)) as listening, pool_to(listening) as pool:
        with pytest.raises(httpx2.ReadError):
            await ask(pool, listening)
        assert (listening.accepted, listening.asked) == (1, 1)


@pytest.mark.parametrize(
    "begun", [b"H", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 100 Continue\r\n\r\n", b"\x00"]
)
async def test_never_once_a_byte_has_come(begun: bytes) -> None:
    """Then the request may have been carried out."""
    async with (
        peer(said(lambda number: OK if number == 1 else begun)) as listening,
        pool_to(listening) as pool,
    ):
        await ask(pool, listening)
        with pytest.raises(httpx2.RemoteProtocolError):
            await ask(pool, listening)
        assert (listening.accepted, listening.asked) == (1, 2)
        await until(pool)


async def test_a_reset_is_like_an_end() -> None:
    """It makes no difference how a stale connection ends."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.hear(reader)
        writer.write(OK)
        await listening.hear(reader)
        found = writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with peer(serve) as listening, pool_to(listening) as pool:
        await ask(pool, listening)
        assert await ask(pool, listening) == (200, b"ok")
        assert (listening.accepted, listening.asked) == (2, 3)


@pytest.mark.parametrize("parts", [(b"short",), (BODY, b"more"), (BODY[:3],), ()])
async def test_a_body_of_another_length(parts: tuple[bytes, ...]) -> None:
    """Nothing that follows could be told from the next request: the connection is closed."""
    async with peer(said(OK)) as listening, pool_to(listening) as pool:
        headers = [(b"content-length", b"%d" % len(BODY))]
        with pytest.raises(httpx2.LocalProtocolError):
            await begin(pool, listening, headers=headers, stream=Counted(*parts))
        await until(pool)
        assert pool.slots.idle == 0
