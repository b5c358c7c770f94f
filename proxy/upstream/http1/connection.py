"""One HTTP/1.1 connection, which sends one request at a time and receives its response."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterable, Callable
from contextvars import Context
from typing import Final, cast

import httpx2
from typing_extensions import override

from .reply import Reply
from .request_writer import RequestWriter

__all__ = ["MAX_UNREAD", "Connection", "NoResponseError"]

MAX_UNREAD: Final = 64 * 1024
"""Bytes of a response body that may be buffered before reading from the socket pauses. The buffer can exceed
this by one read, which is at most 256 KiB."""
_MAX_JOINED: Final = 64 * 1024
"""Bytes. A larger first chunk of the body is written separately, to avoid copying it behind the head."""


class NoResponseError(httpx2.ReadError):
    """The connection ended before the first byte of a response."""


class Connection(asyncio.Protocol):
    """The asyncio protocol of one connection. `on_lost` is called with it once it has ended."""

    __slots__ = (
        "_ended",
        "_fd",
        "_on_lost",
        "_poll",
        "_reply",
        "_request_sent",
        "_transport",
        "_write_paused",
        "loop",
        "read_paused",
        "single_use",
    )

    def __init__(self, on_lost: Callable[[Connection], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self._on_lost: Callable[[Connection], None] | None = on_lost
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._poll: select.poll | None = None
        self._request_sent = True
        self._write_paused = False
        self._ended = False
        self.read_paused = False
        self.single_use = False  # if set, the connection is closed after its first request

    # -- callbacks of the event loop --------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is not a subclass
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    @override
    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self.abort()  # data without a request must not become the response to the next one
            return
        reply.feed(data)
        if reply.buffered > MAX_UNREAD and not self.read_paused and self._transport is not None:
            self.read_paused = True
            self._transport.pause_reading()

    @override
    def eof_received(self) -> None:
        # Over TLS this looks the same as a truncated stream. Whether a response that is delimited only by the
        # end of its connection is complete can be decided only by code that knows the dialect.
        self._mark_ended("")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._mark_ended("" if exc is None else f"connection lost: {type(exc).__name__}")
        on_lost, self._on_lost = self._on_lost, None
        self._transport = self._poll = self._reply = None
        if on_lost is not None:
            on_lost(self)

    @override
    def pause_writing(self) -> None:
        self._write_paused = True

    @override
    def resume_writing(self) -> None:
        self._write_paused = False
        if self._reply is not None:
            self._reply.wake()

    def _mark_ended(self, why: str) -> None:
        self._ended = True
        if self._reply is not None:
            self._reply.eof(why)

    # -- one request ------------------------------------------------------------------------

    async def post(self, head: bytes, body: bytes) -> Reply:
        """Send a request that is complete, and return its reply as `send_request` does."""
        reply = self._reply = Reply()
        if self._ended:
            reply.eof("")
        elif len(body) <= _MAX_JOINED:
            self._write(head + body)
        else:
            self._write(head)
            self._write(body)
        await self._answered(reply)
        if len(body) > _MAX_JOINED and reply.status >= 300:
            # It may have come before all of the body was written, which over TLS nobody can tell.
            self.single_use = True
        return reply

    async def send_request(self, head: RequestWriter, content: AsyncIterable[bytes]) -> Reply:
        """Send a request and return its reply once the response head has arrived.

        Raises NoResponseError if the connection ends before the first byte, httpx2.RemoteProtocolError if the
        response is invalid, and whatever `content` raises. After the response, `end_request` returns whether
        the connection can be reused.
        """
        reply = self._reply = Reply(bodiless=head.bodiless)
        self._request_sent = False
        if self._ended:
            reply.eof("")
        else:
            await self._send(head, content, reply)
        return await self._answered(reply)

    async def _answered(self, reply: Reply) -> Reply:
        while not reply.status:
            if reply.error is not None:
                if reply.started:
                    raise httpx2.RemoteProtocolError(reply.error)
                raise NoResponseError("the connection ended before an answer")
            await self._wait(reply)
        return reply

    async def _send(self, head: RequestWriter, content: AsyncIterable[bytes], reply: Reply) -> None:
        data = head.data
        parts = aiter(content)
        done = False
        try:
            while (part := await anext(parts, None)) is not None:
                framed = head.frame(part)
                if data and len(framed) <= _MAX_JOINED:
                    framed = data + framed
                elif data:
                    self._write(data)
                data = b""
                self._write(framed)
                while self._write_paused and reply.error is None and not reply.status:
                    await self._wait(reply)
                if reply.error is not None or (reply.status and not head.body_complete):
                    return  # the provider responded before it received the whole body
            done = True
        finally:
            if not done and (close := getattr(parts, "aclose", None)) is not None:
                await close()
        self._write(data + head.end())
        self._request_sent = True

    def _wait(self, reply: Reply) -> asyncio.Future[None]:
        waiter = reply.waiter = self.loop.create_future()
        return waiter

    def _write(self, data: bytes) -> None:
        transport = self._transport
        # After a failed write and before `connection_lost`, uvloop's transports raise from every method.
        if data and not self._ended and transport is not None and not transport.is_closing():
            transport.write(data)

    # -- between requests -------------------------------------------------------------------

    def resume_if_drained(self) -> None:
        """Resume reading from the socket if it was paused and the buffer is below its limit again."""
        reply, transport = self._reply, self._transport
        if self.read_paused and (reply is None or reply.buffered <= MAX_UNREAD):
            self.read_paused = False
            if transport is None or transport.is_closing():
                return
            # asyncio's transports keep the context they are resumed in: the request would stay in memory.
            Context().run(transport.resume_reading)

    def end_request(self) -> bool:
        """End the request. Returns whether the connection can be reused; if not, it is closed."""
        reply, transport = self._reply, self._transport
        if (
            self._ended
            or self.single_use
            or reply is None
            or transport is None
            or transport.is_closing()
            or not (reply.complete and reply.keep_alive and self._request_sent)
            or transport.get_write_buffer_size()
        ):
            self.abort()
            return False
        self._reply = None
        if self.read_paused:
            self.resume_if_drained()
        return True

    @property
    def usable(self) -> bool:
        """Whether the idle connection is open and has no data that the event loop has not read yet.

        Such data is either the end of the connection, or bytes that would be mistaken for the response to the
        next request.
        """
        return not self._ended and self._poll is not None and not self._poll.poll(0)

    def abort(self) -> None:
        """Close the connection at once. A pending `send_request` or reader is woken and raises."""
        self._mark_ended("closed")
        if self._transport is not None:
            self._transport.abort()
