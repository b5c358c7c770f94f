"""One connection under load: slow readers, slow providers, and early responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import httpx2
import pytest
from standby.proxy.upstream.http1.connection import MAX_UNREAD
from typing_extensions import override

from tests.proxy.upstream.http1.peer import (
    BODY,
    OK,
    Peer,
    fetch,
    open_response,
    peer,
    pool_to,
    turn_until,
    until_idle,
)

__all__: list[str] = []

pytestmark = pytest.mark.anyio

LARGE: Final = 20_000_000
"""Bytes. This is more than the kernel buffers for a loopback connection."""
TLS: Final = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])


class Parts(httpx2.AsyncByteStream):
    """A body in parts that records whether it was closed."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self.given = 0
        self.closed = False

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for part in self._parts:
                self.given += 1
                yield part
        finally:
            self.closed = True


@TLS
async def test_a_reader_that_is_slow(tls: bool) -> None:
    """Reading from a provider pauses if the reader is slower, so that the unread data stays bounded."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // 100_000):
            writer.write(b"x" * 100_000)
            await writer.drain()
        written.set()

    written = asyncio.Event()
    async with peer(serve, tls=tls) as listening, pool_to(listening) as pool:
        response = await open_response(pool, listening)
        stream: Any = response.stream
        size, most = 0, 0
        async for chunk in stream:
            size += len(chunk)
            for _ in range(3):
                await asyncio.sleep(0)
            most = max(most, stream._reply.buffered)
            if size < LARGE // 4:
                assert not written.is_set()
        assert size == LARGE
        assert most <= MAX_UNREAD + 512 * 1024
        assert pool.slots.idle == 1


@TLS
async def test_a_provider_that_reads_slowly(tls: bool) -> None:
    """A large body is sent part by part, as fast as the provider reads it."""
    body = bytes(range(256)) * 4096

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        received = b""
        while len(received) < 8 * len(body):
            received += await reader.read(65536)
        assert received == body * 8
        writer.write(OK)

    async with peer(serve, tls=tls) as listening, pool_to(listening) as pool:
        parts = Parts(*[body] * 8)
        headers = [(b"content-length", b"%d" % (8 * len(body)))]
        assert await fetch(pool, listening, headers=headers, stream=parts) == (200, b"ok")
        assert pool.slots.idle == 1


async def test_a_body_of_unknown_length() -> None:
    """It is sent in chunks, the head together with the first chunk."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.endswith(b"transfer-encoding: chunked\r\n\r\n")
        assert await reader.readuntil(b"\r\n0\r\n\r\n") == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        writer.write(OK)

    async with peer(serve) as listening, pool_to(listening) as pool:
        chunked = [(b"host", b"x"), (b"transfer-encoding", b"chunked")]
        assert await fetch(pool, listening, headers=chunked, stream=Parts(b"ab", b"", b"c")) == (200, b"ok")


async def test_a_request_without_a_body() -> None:
    """Only the head is sent."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await listening.read_request(reader, b"")
            writer.write(OK)

    async with peer(serve) as listening, pool_to(listening) as pool:
        for _ in range(2):
            assert await fetch(pool, listening, method="GET", headers=[(b"host", b"x")], stream=Parts()) == (
                200,
                b"ok",
            )
        assert listening.accepted == 1


@pytest.mark.parametrize("parts", [1, 40])
async def test_an_answer_that_comes_early(parts: int) -> None:
    """A response before the end of the request body is delivered, and the connection is closed."""
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno"

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await listening.notify()
        writer.write(refusal)
        await writer.drain()
        await enough.wait()

    enough = asyncio.Event()
    async with peer(serve) as listening, pool_to(listening) as pool:
        body = Parts(*[b"x" * (LARGE // parts)] * parts)
        headers = [(b"content-length", b"%d" % LARGE)]
        assert await fetch(pool, listening, headers=headers, stream=body) == (413, b"no")
        assert pool.slots.connections == pool.slots.idle == 0 or await _gone(pool)
        assert body.closed
        assert body.given < 40
        enough.set()


async def _gone(pool: Any) -> bool:
    await until_idle(pool)
    return bool(pool.slots.idle == 0)


async def test_cancelled_in_the_middle_of_a_body() -> None:
    """After a cancellation no more of the body is read, and its generator is closed."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await enough.wait()

    enough = asyncio.Event()
    async with peer(serve) as listening, pool_to(listening) as pool:
        body = Parts(*[b"x" * 500_000] * 40)
        headers = [(b"content-length", b"%d" % LARGE)]
        asking = asyncio.create_task(fetch(pool, listening, headers=headers, stream=body))
        await turn_until(lambda: body.given)
        for _ in range(20):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert body.closed
        assert body.given < 40
        await until_idle(pool)
        enough.set()


async def test_a_provider_that_speaks_first() -> None:
    """Data that arrives before a request is not treated as its response."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await listening.read_request(reader)

    async with peer(serve) as listening, pool_to(listening) as pool:
        response = None
        with suppress(httpx2.TransportError):
            response = await open_response(pool, listening)
        # Data that arrives just after the request looks like its response; no other request may get it.
        if response is not None:
            await response.aclose()
        await until_idle(pool)


async def test_pieces_are_given_as_they_come() -> None:
    """Each chunk has the data of one read; the reader does not wait for more."""
    turns = asyncio.Queue[bytes]()

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while data := await turns.get():
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        writer.write(b"0\r\n\r\n")

    async with peer(serve) as listening, pool_to(listening) as pool:
        stream: Any = (await open_response(pool, listening)).stream
        for word in (b"one", b"two", b"three"):
            turns.put_nowait(word)
            assert await anext(stream) == word
        turns.put_nowait(b"")
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert pool.slots.idle == 1


@pytest.mark.parametrize("cut", [b"5\r\nhel", b"5\r\nhello\r\n", b"", b"5\r\nhello\r\n0\r\n"])
async def test_a_body_that_is_cut(cut: bytes) -> None:
    """The data before the cut is read, and then an error is raised."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await listening.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + cut)
        writer.close()

    async with peer(serve) as listening, pool_to(listening) as pool:
        stream: Any = (await open_response(pool, listening)).stream
        if b"hello" in cut:
            assert await anext(stream) == b"hello"
        elif cut:
            assert await anext(stream) == b"hel"
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(stream)
        await stream.aclose()
        await until_idle(pool)
        assert BODY in listening.received
