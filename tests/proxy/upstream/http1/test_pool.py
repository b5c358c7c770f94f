"""Requests over a pool of connections: what is sent, reused and repeated."""

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

from tests.proxy.upstream.http1.peer import (
    BODY,
    OK,
    Peer,
    fetch,
    inside,
    open_response,
    peer,
    pool_to,
    respond_with,
    until_idle,
)

__all__: list[str] = []

pytestmark = pytest.mark.anyio


class Counted(httpx2.AsyncByteStream):
    """A body that counts how often it was read."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self.reads = 0

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.reads += 1
        for part in self._parts:
            yield part


async def test_a_request() -> None:
    """The request arrives unchanged, and so does the response."""
    async with peer(respond_with(OK)) as listening, pool_to(listening) as pool:
        response = await open_response(pool, listening)
        assert response.status_code == 200
        assert response.headers.raw == [(b"content-length", b"2")]
        assert await response.aread() == b"ok"
        assert listening.received == b"POST /v1/chat HTTP/1.1\r\nhost: x\r\ncontent-length: 14\r\n\r\n" + BODY
        await response.aclose()


async def test_connections_are_used_again() -> None:
    """Sequential requests share one connection."""
    async with peer(respond_with(OK)) as listening, pool_to(listening) as pool:
        for _ in range(5):
            assert await fetch(pool, listening) == (200, b"ok")
        assert listening.accepted == 1
        both = [await open_response(pool, listening) for _ in range(2)]
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
    """A connection is not reused if either side closes it, or if data follows the response."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.read_request(reader)
        writer.write(ENDS[name])

    async with peer(serve) as listening, pool_to(listening) as pool:
        for number in range(3):
            assert await fetch(pool, listening) == (200, b"ok")
            assert (listening.accepted, pool.slots.idle) == (number + 1, 0)
        await listening.wait_for(lambda: listening.open == 0)


async def test_a_body_that_its_connection_ends() -> None:
    """A body without a length is complete when the connection has ended."""
    data = b"HTTP/1.1 200 OK\r\n\r\nto the end"
    async with peer(respond_with(data)) as listening, pool_to(listening) as pool:
        assert await fetch(pool, listening) == (200, b"to the end")


async def test_what_comes_over_an_idle_connection() -> None:
    """Data on an idle connection closes it, so that it is not taken for the next response."""
    send_more = asyncio.Event()

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await listening.read_request(reader) == 1
        writer.write(OK)
        if first:
            await send_more.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")

    async with peer(serve) as listening, pool_to(listening) as pool:
        assert await fetch(pool, listening) == (200, b"ok")
        assert pool.slots.idle == 1
        send_more.set()
        await until_idle(pool)
        await listening.wait_for(lambda: listening.open == 0)
        assert await fetch(pool, listening) == (200, b"ok")
        assert listening.accepted == 2


async def test_what_has_come_but_was_not_seen_yet() -> None:
    """An idle connection is not reused if data has arrived that a busy event loop has not read yet."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await listening.read_request(reader) == 1
        writer.write(OK)
        if first:
            writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    async with peer(serve) as listening, pool_to(listening) as pool:
        assert await fetch(pool, listening) == (200, b"ok")
        [connection] = inside(pool.slots)._idle
        behind = writers[0].get_extra_info("socket")
        assert connection.usable
        # Written without the event loop, which does not run again until the next request is sent.
        os.write(behind.fileno(), b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
        assert await fetch(pool, listening) == (200, b"ok")
        assert listening.accepted == 2


# ---------------------------------------------------------------------------------------------------- repeats


async def test_a_stale_connection() -> None:
    """If a reused connection ends without a byte, the request is sent once more on a new one."""
    async with (
        peer(respond_with(lambda number: None if number == 2 else OK)) as listening,
        pool_to(listening) as pool,
    ):
        assert await fetch(pool, listening) == (200, b"ok")
        body = Counted(BODY)
        assert await fetch(pool, listening, stream=body) == (200, b"ok")
        assert (listening.accepted, listening.requests, body.reads) == (2, 3, 2)
        assert (pool.slots.busy, pool.slots.idle) == (0, 0)


async def test_only_once() -> None:
    """If the new connection ends as well, the request fails."""
    async with (
        peer(respond_with(lambda number: OK if number == 1 else None)) as listening,
        pool_to(listening) as pool,
    ):
        await fetch(pool, listening)
        with pytest.raises(httpx2.ReadError):
            await fetch(pool, listening)
        assert (listening.accepted, listening.requests) == (2, 3)
        await until_idle(pool)


async def test_never_on_a_new_connection() -> None:
    """A request on a new connection is not repeated."""
    async with peer(respond_with(lambda _: None)) as listening, pool_to(listening) as pool:
        with pytest.raises(httpx2.ReadError):
            await fetch(pool, listening)
        assert (listening.accepted, listening.requests) == (1, 1)


@pytest.mark.parametrize(
    "first_bytes", [b"H", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 100 Continue\r\n\r\n", b"\x00"]
)
async def test_never_once_a_byte_has_come(first_bytes: bytes) -> None:
    """A request is not repeated after the first byte, because it may have been carried out."""
    async with (
        peer(respond_with(lambda number: OK if number == 1 else first_bytes)) as listening,
        pool_to(listening) as pool,
    ):
        await fetch(pool, listening)
        with pytest.raises(httpx2.RemoteProtocolError):
            await fetch(pool, listening)
        assert (listening.accepted, listening.requests) == (1, 2)
        await until_idle(pool)


async def test_a_reset_is_like_an_end() -> None:
    """A stale connection may end with a reset or with a normal close."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.read_request(reader)
        writer.write(OK)
        await listening.read_request(reader)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with peer(serve) as listening, pool_to(listening) as pool:
        await fetch(pool, listening)
        assert await fetch(pool, listening) == (200, b"ok")
        assert (listening.accepted, listening.requests) == (2, 3)


@pytest.mark.parametrize("parts", [(b"short",), (BODY, b"more"), (BODY[:3],), ()])
async def test_a_body_of_another_length(parts: tuple[bytes, ...]) -> None:
    """If the body does not match its content-length, the connection is closed."""
    async with peer(respond_with(OK)) as listening, pool_to(listening) as pool:
        headers = [(b"content-length", b"%d" % len(BODY))]
        with pytest.raises(httpx2.LocalProtocolError):
            await open_response(pool, listening, headers=headers, stream=Counted(*parts))
        await until_idle(pool)
        assert pool.slots.idle == 0
