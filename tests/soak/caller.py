"""A caller on a bare socket: it reads as much as it likes, and hangs up when it likes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, Self, cast

import httptools
from typing_extensions import override

__all__ = ["Caller"]

_RESETS: Final = struct.pack("ii", 1, 0)  # linger for no time: closing sends RST, whatever is unsent


class Caller(asyncio.Protocol):
    """One connection to the gateway, for one request at a time. It is in `known` for as long as it is open.

    `over` is done when the answer is complete or the connection has ended, whoever ended it.
    """

    def __init__(self, socket_: socket.socket, known: set[Caller]) -> None:
        self._socket = socket_
        self._known = known
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._on_body: Callable[[], None] | None = None
        self.over: asyncio.Future[None] = self._loop.create_future()
        self.over.set_result(None)
        self.lost = asyncio.Event()
        self.status = 0
        self.body = bytearray()
        self.complete = False

    @classmethod
    async def to(cls, port: int, known: set[Caller], *, buffer: int | None = None) -> Self:
        """Connect. `buffer` is how many bytes the system may take in unread, about, where that matters."""
        loop = asyncio.get_running_loop()
        connection = socket.socket()
        connection.setblocking(False)
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            await loop.sock_connect(connection, ("127.0.0.1", port))
            _, caller = await loop.create_connection(lambda: cls(connection, known), sock=connection)
        except BaseException:
            connection.close()
            raise
        return caller

    def ask(self, request: bytes, on_body: Callable[[], None] | None = None) -> asyncio.Future[None]:
        """Send a request; `on_body` is called when some of the answer's body has come."""
        self._parser = httptools.HttpResponseParser(self)
        self._on_body = on_body
        self.status = 0
        self.body.clear()
        self.complete = False
        self.over = self._loop.create_future()
        self._transport.write(request)
        return self.over

    def read(self, *, on: bool) -> None:
        """Read what comes, or nothing."""
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection, unread data and all, with FIN or with RST."""
        if reset and not self._transport.is_closing():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
        self._transport.abort()
        self._settle()

    def _settle(self) -> None:
        self._on_body = None
        if not self.over.done():
            self.over.set_result(None)

    # -- what the loop calls ----------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of another class
        self._known.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._known.discard(self)
        self.lost.set()
        self._settle()

    @override
    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    # -- what the parser calls --------------------------------------------------------------

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.body += data
        if self._on_body is not None:
            self._on_body()

    def on_message_complete(self) -> None:
        self.complete = True
        self._settle()
