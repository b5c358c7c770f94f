"""HTTP/1.1 connections to one origin, behind httpx2's `AsyncBaseTransport`.

Made for a gateway, where a request and a streamed chunk may cost little. It measures no time but that of
waiting for a connection and of making one: whoever sends a request knows how long its answer may take.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial

import httpx2
from typing_extensions import override

from .connection import Connection, Silent
from .dialing import dial
from .reply import Reply
from .request_writer import RequestWriter
from .slots import Slots
from .stream import Stream

__all__ = ["Pool"]


class Pool(httpx2.AsyncBaseTransport):
    """At most `connections` to the origin of `url`, each kept for `keep_alive` seconds when idle.

    `context` is for https, and is told to offer HTTP/1.1. Of a request's timeouts, `pool` limits the wait
    for a connection and `connect` the making of one: name, TCP, TLS. Raises what httpx2's transports raise.

    A provider may give up an idle connection at the moment it is used. That looks like a failure of the
    request, so it is sent once more, on a new connection, if not a byte of an answer has come. That one is
    closed after its answer: a provider that drops what is used again is not offered it again.
    """

    def __init__(
        self, url: httpx2.URL, *, context: ssl.SSLContext | None, connections: int, keep_alive: float
    ) -> None:
        if url.scheme not in {"http", "https"} or (url.scheme == "https" and context is None):
            raise ValueError("a pool speaks http, or https with a context")
        self._origin = (url.scheme, url.raw_host, url.port)
        self._host = url.raw_host.decode("ascii")  # as it is resolved: without brackets, in IDNA
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._context = context if url.scheme == "https" else None
        if self._context is not None:
            self._context.set_alpn_protocols(["http/1.1"])
        self._limit = connections
        self._keep_alive = keep_alive
        self._slots: Slots | None = None

    @property
    def slots(self) -> Slots:
        """The connections of the running loop. Those of another loop are of no use in this one."""
        slots = self._slots
        if slots is None or slots.loop is not asyncio.get_running_loop():
            slots = self._slots = Slots(self._limit, self._keep_alive)
        return slots

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if (url.scheme, url.raw_host, url.port) != self._origin:
            raise httpx2.LocalProtocolError("the request is for another origin")
        content = request.stream
        if not isinstance(content, httpx2.AsyncByteStream):
            raise httpx2.LocalProtocolError("the body of the request cannot be read asynchronously")
        head = RequestWriter(request)
        limits = request.extensions.get("timeout", {})
        slots = self.slots
        connection = await slots.take(limits.get("pool"))
        once = False
        try:
            if connection is not None:
                try:
                    return _response(await connection.ask(head, content), connection, slots)
                except Silent:
                    connection.abort()
                once, head = True, RequestWriter(request)
            connection = await self._dial(slots, limits.get("connect"))
            connection.once = once
            return _response(await connection.ask(head, content), connection, slots)
        except BaseException:
            if connection is not None:
                connection.abort()
            slots.give(None)
            raise

    async def _dial(self, slots: Slots, limit: float | None) -> Connection:
        make = partial(Connection, slots.lost)
        return await slots.dialling(partial(dial, self._host, self._port, self._context, make, limit))

    @override
    async def aclose(self) -> None:
        """Close every connection, also those in use. A request that comes later makes new ones."""
        slots, self._slots = self._slots, None
        if slots is not None and slots.loop is asyncio.get_running_loop():
            await slots.aclose()


def _response(reply: Reply, connection: Connection, slots: Slots) -> httpx2.Response:
    stream = Stream(reply, connection, slots)
    return httpx2.Response(reply.status, headers=reply.headers, stream=stream)
