"""The body of an answer, for whoever reads it."""

from __future__ import annotations

from typing import Self

import httpx2
from typing_extensions import override

from .connection import Connection
from .reply import Reply
from .slots import Slots

__all__ = ["Stream"]


class Stream(httpx2.AsyncByteStream):
    """What came with one read of the connection, piece by piece, until the end.

    The end frees the connection for the next request. So does `aclose`; before the end it closes it.
    """

    __slots__ = ("_connection", "_reply", "_slots")

    def __init__(self, reply: Reply, connection: Connection, slots: Slots) -> None:
        self._reply = reply
        self._connection: Connection | None = connection
        self._slots = slots

    @override
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        reply, connection = self._reply, self._connection
        while connection is not None:
            chunk = reply.take()
            if chunk:
                connection.taken()
                return chunk
            if reply.whole:
                self._let_go()
                raise StopAsyncIteration
            await reply.news()
            connection = self._connection
        if reply.whole and not reply.unread:
            raise StopAsyncIteration
        raise httpx2.StreamClosed

    @override
    async def aclose(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._slots.give(connection if connection.free() else None)

    def __del__(self) -> None:
        """A stream that was forgotten keeps no connection."""
        connection = self._connection
        if connection is not None and not connection.loop.is_closed():
            connection.loop.call_soon_threadsafe(_forgotten, connection, self._slots)


def _forgotten(connection: Connection, slots: Slots) -> None:
    connection.abort()
    slots.give(None)
