"""A response whose head has arrived, and whose body is read as it comes."""

from __future__ import annotations

from typing import Self

import httpx2
from typing_extensions import override

from .connection import Connection
from .reply import Reply
from .slots import Slots

__all__ = ["Stream"]


class Stream(httpx2.AsyncByteStream):
    """Iterates over the body in chunks, each with the data of one read from the connection.

    `headers` have names in lower case, and `framed` is whether the response says where its body ends. At the
    end of the body the connection goes back to the pool; `release` before the end closes it. Raises
    httpx2.RemoteProtocolError if the body is cut off, and httpx2.StreamClosed after `release`.
    """

    __slots__ = ("_connection", "_reply", "_slots", "framed", "headers", "status")

    def __init__(self, reply: Reply, connection: Connection, slots: Slots) -> None:
        self._reply = reply
        self._connection: Connection | None = connection
        self._slots = slots
        self.status = reply.status
        self.headers = tuple(reply.headers)
        self.framed = not reply.ends_at_eof

    @override
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        reply = self._reply
        while (connection := self._connection) is not None:
            if reply.unread or (reply.error is not None and not reply.complete):
                chunk = reply.next_chunk()
                if connection.read_paused:
                    connection.resume_if_drained()
                return chunk
            if reply.complete:
                self._release()
                raise StopAsyncIteration
            reply.waiter = connection.loop.create_future()
            await reply.waiter
        if reply.complete and not reply.unread:
            raise StopAsyncIteration
        raise httpx2.StreamClosed

    async def release(self) -> None:
        """End the response. Its connection is kept if the body was read to its end and nothing followed."""
        self._release()

    @override
    async def aclose(self) -> None:
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._slots.release(connection if connection.end_request() else None)

    def __del__(self) -> None:
        """Close the connection of a stream that was neither read to its end nor closed."""
        connection = self._connection
        if connection is not None and not connection.loop.is_closed():
            connection.loop.call_soon_threadsafe(_release_abandoned, connection, self._slots)


def _release_abandoned(connection: Connection, slots: Slots) -> None:
    connection.abort()
    slots.release(None)
