"""One HTTP/1.1 connection: one request at a time, and its answer."""

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

__all__ = ["MAX_UNREAD", "Connection", "Silent"]

MAX_UNREAD: Final = 64 * 1024
"""Bytes of an answer that wait for their reader before no more are taken from the provider. One more read may
come on top: 256 KiB at most."""
_JOINED: Final = 64 * 1024
"""Bytes. A larger body is not copied to stand behind its head."""


class Silent(httpx2.ReadError):
    """The connection ended, and not a byte of an answer had come over it."""


class Connection(asyncio.Protocol):
    """Made by the event loop. `lost` is called when it has ended."""

    __slots__ = (
        "_clogged",
        "_fd",
        "_gone",
        "_lost",
        "_paused",
        "_poll",
        "_reply",
        "_sent",
        "_transport",
        "loop",
        "once",
    )

    def __init__(self, lost: Callable[[Connection], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self._lost: Callable[[Connection], None] | None = lost
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._poll: select.poll | None = None
        self._sent = True
        self._clogged = False
        self._paused = False
        self._gone = False
        self.once = False  # it serves one request and no other

    # -- what the event loop calls ----------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of another class
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    @override
    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self.abort()  # nobody has asked for anything
            return
        reply.feed(data)
        if reply.size > MAX_UNREAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    @override
    def eof_received(self) -> None:
        # Over TLS this is not told from a cut. What an answer is worth that only its connection ends, those
        # decide who know the dialect.
        self._end("")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end("" if exc is None else f"connection lost: {type(exc).__name__}")
        lost, self._lost = self._lost, None
        self._transport = self._poll = self._reply = None
        if lost is not None:
            lost(self)

    @override
    def pause_writing(self) -> None:
        self._clogged = True

    @override
    def resume_writing(self) -> None:
        self._clogged = False
        if self._reply is not None:
            self._reply.wake()

    def _end(self, why: str) -> None:
        self._gone = True
        if self._reply is not None:
            self._reply.eof(why)

    # -- one request ------------------------------------------------------------------------

    async def ask(self, head: RequestWriter, content: AsyncIterable[bytes]) -> Reply:
        """Send a request, and return its answer once the head of that is here.

        Raises Silent, httpx2.RemoteProtocolError if what comes is no answer, and whatever `content` raises.
        Afterwards `free` says whether the connection can be used again, as it does after an answer.
        """
        reply = self._reply = Reply(bodiless=head.bodiless)
        self._sent = False
        if self._gone:
            reply.eof("")
        else:
            await self._send(head, content, reply)
        while not reply.status:
            if reply.wrong is not None:
                if reply.begun:
                    raise httpx2.RemoteProtocolError(reply.wrong)
                raise Silent("the connection ended before an answer")
            await reply.news()
        return reply

    async def _send(self, head: RequestWriter, content: AsyncIterable[bytes], reply: Reply) -> None:
        data = head.data
        parts = aiter(content)
        done = False
        try:
            while (part := await anext(parts, None)) is not None:
                piece = head.piece(part)
                if data and len(piece) <= _JOINED:
                    piece = data + piece
                elif data:
                    self._write(data)
                data = b""
                self._write(piece)
                while self._clogged and reply.wrong is None and not reply.status:
                    await reply.news()
                if reply.wrong is not None or (reply.status and not head.sent):
                    return  # it has made up its mind before it heard all
            done = True
        finally:
            if not done and (close := getattr(parts, "aclose", None)) is not None:
                await close()
        self._write(data + head.end())
        self._sent = True

    def _write(self, data: bytes) -> None:
        transport = self._transport
        # Between a write that failed and the word of it, uvloop's transports raise whatever they are asked.
        if data and not self._gone and transport is not None and not transport.is_closing():
            transport.write(data)

    # -- between requests -------------------------------------------------------------------

    def taken(self) -> None:
        """The reader has taken something: go on if that was waited for."""
        reply, transport = self._reply, self._transport
        if self._paused and (reply is None or reply.size <= MAX_UNREAD):
            self._paused = False
            if transport is None or transport.is_closing():
                return
            # asyncio's transports keep the context they are resumed in, and with it the reader's request.
            Context().run(transport.resume_reading)

    def free(self) -> bool:
        """End the request; whether the connection can take another. If not, it is closed."""
        reply, transport = self._reply, self._transport
        if (
            self._gone
            or self.once
            or reply is None
            or transport is None
            or transport.is_closing()
            or not (reply.whole and reply.keep_alive and self._sent)
            or transport.get_write_buffer_size()
        ):
            self.abort()
            return False
        self._reply = None
        self.taken()
        return True

    @property
    def usable(self) -> bool:
        """Whether it stands, and nothing has come over it that the loop has not seen yet.

        What has come is its end, or something that would be taken for the answer to the next request.
        """
        return not self._gone and self._poll is not None and not self._poll.poll(0)

    def abort(self) -> None:
        """Close it at once. Whoever waits for something of it learns that it has ended."""
        self._end("closed")
        if self._transport is not None:
            self._transport.abort()
