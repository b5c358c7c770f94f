"""A pool of HTTP/1.1 connections to one origin, as an httpx2 `AsyncBaseTransport`.

It is written for a gateway, where the overhead per request and per streamed chunk must be small. It applies
only two timeouts: waiting for a free connection, and connecting. Read and write timeouts are the caller's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import httpx2
from typing_extensions import override

from .connection import Connection, NoResponseError
from .dialing import dial
from .proxy import REJECTED, Proxy
from .reply import Reply
from .request_writer import RequestWriter
from .slots import Slots
from .stream import Stream

__all__ = ["Pool"]


class Pool(httpx2.AsyncBaseTransport):
    """At most `connections` connections to the origin of `url`, each closed after `keep_alive` idle seconds.

    `context` is required for https; its ALPN is set to HTTP/1.1. `post` sends a request that is serialised
    already; any other goes through `handle_async_request`. Of a request's timeouts, `pool` limits the wait
    for a free connection and `connect` limits name resolution, TCP and TLS together, both in seconds.
    With a `proxy`, connections go to it: it tunnels https, and forwards http.
    Raises the exceptions of httpx2's transports.

    A provider may close an idle connection at the moment it is reused. If no byte of a response has arrived,
    the request is sent once more on a new connection. That connection is closed after its response, because
    this provider has just dropped a reused connection.
    """

    def __init__(
        self,
        url: httpx2.URL,
        *,
        context: ssl.SSLContext | None,
        connections: int,
        keep_alive: float,
        proxy: Proxy | None = None,
    ) -> None:
        if url.scheme not in {"http", "https"} or (url.scheme == "https" and context is None):
            raise ValueError("a pool speaks http, or https with a context")
        self._origin = (url.scheme, url.raw_host, url.port)
        self._host = url.raw_host.decode("ascii")  # in the form for resolving: IDNA, without brackets
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._context = context if url.scheme == "https" else None
        if self._context is not None:
            self._context.set_alpn_protocols(["http/1.1"])
        self._proxy = proxy
        self._forwarded: tuple[bytes, bytes] = (b"", b"")
        if proxy is not None and self._context is None:
            self._forwarded = (b"http://%b" % url.netloc, proxy.credential)
        self._limit = connections
        self._keep_alive = keep_alive
        self._slots: Slots | None = None

    @property
    def slots(self) -> Slots:
        """The connections of the running event loop. Connections of another loop cannot be used in it."""
        slots = self._slots
        if slots is None or slots.loop is not asyncio.get_running_loop():
            slots = self._slots = Slots(self._limit, self._keep_alive)
        return slots

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._check_origin(request.url)
        content = request.stream
        if not isinstance(content, httpx2.AsyncByteStream):
            raise httpx2.LocalProtocolError("the body of the request cannot be read asynchronously")
        head = RequestWriter(request, *self._forwarded)
        timeouts = request.extensions.get("timeout", {})

        def send(connection: Connection) -> Awaitable[Reply]:
            head.restart()
            return connection.send_request(head, content)

        stream = await self._send(send, timeouts.get("pool"), timeouts.get("connect"))
        return httpx2.Response(stream.status, headers=stream.headers, stream=stream)

    def post(
        self, head: bytes, body: bytes, pool: float, connect: float, connected: Callable[[], None]
    ) -> Awaitable[Stream]:
        """Send a POST. `head` begins with `request_line`, states the length of the `body`, and ends with a
        blank line. `connected` is called once there is a connection, before the first byte is sent over it.
        """

        def send(connection: Connection) -> Awaitable[Reply]:
            connected()
            return connection.post(head, body)

        return self._send(send, pool, connect)

    def request_line(self, url: httpx2.URL) -> bytes:
        """Returns the line that begins a POST to `url`, and the proxy's credential if it needs one."""
        self._check_origin(url)
        origin, credential = self._forwarded
        return b"POST %b%b HTTP/1.1\r\n%b" % (origin, url.raw_path, credential)

    def _check_origin(self, url: httpx2.URL) -> None:
        if (url.scheme, url.raw_host, url.port) != self._origin:
            raise httpx2.LocalProtocolError("the request is for another origin")

    async def _send(
        self, send: Callable[[Connection], Awaitable[Reply]], pool: float | None, connect: float | None
    ) -> Stream:
        slots = self.slots
        connection = await slots.acquire(pool)
        is_repeat = False
        try:
            if connection is not None:
                try:
                    return self._stream(await send(connection), connection, slots)
                except NoResponseError:
                    connection.abort()
                is_repeat = True
            connection = await self._dial(slots, connect)
            connection.single_use = is_repeat
            return self._stream(await send(connection), connection, slots)
        except BaseException:
            if connection is not None:
                connection.abort()
            slots.release(None)
            raise

    def _stream(self, reply: Reply, connection: Connection, slots: Slots) -> Stream:
        if reply.status == 407 and self._forwarded[0]:
            raise httpx2.ConnectError(REJECTED)  # the word of the proxy that forwards, never the provider's
        return Stream(reply, connection, slots)

    async def _dial(self, slots: Slots, max_seconds: float | None) -> Connection:
        make = partial(Connection, slots.remove)
        origin = (self._host, self._port)
        return await slots.connect(partial(dial, *origin, self._context, make, max_seconds, self._proxy))

    @override
    async def aclose(self) -> None:
        """Close every connection, including those in use. A later request opens new ones."""
        slots, self._slots = self._slots, None
        if slots is not None and slots.loop is asyncio.get_running_loop():
            await slots.aclose()
