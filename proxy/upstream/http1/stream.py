"""The body of a response, as an httpx2 stream."""

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

    At the end of the body the connection goes back to the pool. `aclose` before the end closes it. Raises
    httpx2.RemoteProtocolError if the body is cut off, and httpx2.StreamClosed after `aclose`.
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
            chunk = reply.next_chunk()
            if chunk:
                connection.resume_if_drained()
                return chunk
            if reply.complete:
                self._release()
                raise StopAsyncIteration
            await reply.wait()
            connection = self._connection
        if reply.complete and not reply.unread:
            raise StopAsyncIteration
        raise httpx2.StreamClosed

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
