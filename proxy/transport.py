"""Connections to providers, behind httpx2's `AsyncBaseTransport`.

Transports are called directly, never through a client: no cookie jar that two tenants would share, no
redirects, no proxies from the environment, no decompression. Every target has connections of its own, so that
one that hangs cannot use up another's.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from importlib import import_module
from traceback import walk_tb
from typing import Any, Final, cast

import httpx2

from .clocks import Clocks
from .config import Target
from .dialects.registry import dialect_named
from .errors import StandbyError
from .exchange import FaultKind, Headers

__all__ = ["KEEP_ALIVE", "MAX_IDLE", "POOL_WAIT", "Transports", "Unreachable", "Upstream"]

POOL_WAIT: Final = 0.5
"""Seconds to wait for one of a target's connections, or half the limit for connecting where that is less: it
must end first, since a wait is our own overload and not the target's fault."""
MAX_IDLE: Final = 20
"""Idle connections kept for each target. httpcore looks at each of them twice a request, at 20 µs a time."""
KEEP_ALIVE: Final = 30.0
"""Seconds an idle connection is kept; below the 60 s after which common load balancers drop it."""
_RawHeaders = list[tuple[bytes, bytes]]


class Unreachable(StandbyError):
    """No answer came over the connection. `kind` is the fault that follows."""

    def __init__(self, kind: FaultKind) -> None:
        super().__init__(kind)
        self.kind: FaultKind = kind


class Upstream:
    """The connections to one target.

    `connect` makes a transport that keeps at most so many idle connections; it is called once, and once more
    the first time a request must have a fresh connection.
    """

    def __init__(self, target: Target, connect: Callable[[int], httpx2.AsyncBaseTransport]) -> None:
        self.target = target
        self.transport = connect(min(target.connections, MAX_IDLE))
        self._connect = connect
        self._unpooled: httpx2.AsyncBaseTransport | None = None
        self._tells = target.provider.transport is None  # somebody else's says nothing of its connections
        self._base = target.provider.base_url.rstrip("/")
        self._urls: dict[str, httpx2.URL] = {}
        self.headers = _own_headers(target, httpx2.URL(self._base).netloc)

    def url(self, path: str) -> httpx2.URL:
        """Where `path`, a fixed upstream path, is at this target. Nothing of a request enters it."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx2.URL(self._base + path)
        return url

    async def send(
        self, url: httpx2.URL, headers: _RawHeaders, content: bytes, clocks: Clocks
    ) -> httpx2.Response:
        """POST `content` and return the answer's head; its stream is still to be read. Raises Unreachable.

        A provider may give up an idle connection at the moment we use it. That looks like a failure of this
        request, so it is sent once more, on a connection that is certainly new, if no answer had begun.
        """
        body = _Content(content, clocks)
        clocks.connecting()
        try:
            return await _post(self.transport, url, headers, body)
        except httpx2.PoolTimeout as error:
            raise Unreachable("local_overload") from error
        except OSError as error:
            raise Unreachable("connect") from error  # only somebody else's transport lets one through
        except httpx2.TransportError as error:
            if not (body.reused and self._tells and _no_answer(error)) or _had_begun(error):
                raise Unreachable(_kind(error)) from error
        if self._unpooled is None:
            self._unpooled = self._connect(0)
        clocks.connecting()
        try:
            return await _post(self._unpooled, url, headers, _Content(content, clocks))
        except httpx2.PoolTimeout as error:
            raise Unreachable("local_overload") from error
        except httpx2.TransportError as error:
            raise Unreachable(_kind(error)) from error

    @staticmethod
    async def release(response: httpx2.Response) -> None:
        """Be done with an answer. Its connection is kept if it was read to its end and nothing followed."""
        stream = cast("httpx2.AsyncByteStream", response.stream)
        if _has_more(stream):
            await response.extensions["network_stream"].aclose()
        await stream.aclose()

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        await self.transport.aclose()
        if self._unpooled is not None:
            await self._unpooled.aclose()


def _own_headers(target: Target, host: bytes) -> Headers:
    """What every request to `target` says, whoever asks. Identity: a stream must be readable as it passes."""
    provider = target.provider
    headers = [(b"host", host), (b"content-type", b"application/json"), (b"accept-encoding", b"identity")]
    if provider.key is not None:
        headers += dialect_named(provider.dialect).credential(provider.key.reveal())
    headers += [(name.lower().encode(), value.encode()) for name, value in provider.headers.items()]
    return tuple(headers)


class Transports:
    """The connections to every target, made when first used."""

    def __init__(self) -> None:
        self._upstreams: dict[str, Upstream] = {}
        self._ssl: ssl.SSLContext | None = None

    def to(self, target: Target) -> Upstream:
        """The connections to `target`."""
        upstream = self._upstreams.get(target.name)
        if upstream is None:
            upstream = self._upstreams[target.name] = Upstream(target, self._factory(target))
        return upstream

    def __iter__(self) -> Any:
        return iter(self._upstreams.values())

    async def aclose(self) -> None:
        """Close every connection. What is asked for afterwards is connected anew."""
        upstreams, self._upstreams = self._upstreams, {}
        for upstream in upstreams.values():
            await upstream.aclose()

    def _factory(self, target: Target) -> Callable[[int], httpx2.AsyncBaseTransport]:
        named = target.provider.transport
        if named is not None:
            module, _, attribute = named.partition(":")
            make = getattr(import_module(module), attribute)
            return lambda _: make()
        if self._ssl is None:
            # One for all targets: loading the trust store takes 20 ms and 1 MB.
            self._ssl = httpx2.create_ssl_context(trust_env=False)
        return partial(_pooled, self._ssl, target.connections)


class _Opening:
    """Learns whether a request had a new connection made for it.

    httpcore asks for the socket options of every connection that it opens, in the task that opens it. That is
    the cheapest public place to hear of one: its trace of events costs 8 µs a request.
    """

    def __iter__(self) -> Iterator[Any]:
        if (way := _WAY.get()) is not None:
            way.fresh = True
        return iter(())


class _Way:
    """Whether a request's connection was made for it.

    It knows no more, as a connection keeps the context it was made in for as long as it lives: a request that
    were named there would stay in memory, prompt and all.
    """

    __slots__ = ("fresh",)

    def __init__(self) -> None:
        self.fresh = False


_WAY: Final = ContextVar["_Way | None"]("way", default=None)


class _Content(httpx2.AsyncByteStream):
    """The body of one request. That it is asked for means that a connection stands."""

    def __init__(self, content: bytes, clocks: Clocks) -> None:
        self._content = content
        self._clocks = clocks
        self.way = _Way()
        self.reused = False

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        self.reused = not self.way.fresh
        self._clocks.connected()
        yield self._content

    @property
    def connect(self) -> float:
        """Seconds until a connection stands; a little less than Clocks would wait."""
        return 0.95 * self._clocks.timeouts.connect

    @property
    def pool_wait(self) -> float:
        """Seconds to wait for a connection."""
        return min(POOL_WAIT, self._clocks.timeouts.connect / 2)


async def _post(
    transport: httpx2.AsyncBaseTransport, url: httpx2.URL, headers: _RawHeaders, content: _Content
) -> httpx2.Response:
    _WAY.set(content.way)
    # Clocks measures all else, since a socket timeout is beaten by one byte per read. But only its own limit
    # makes the transport close a connection whose TLS handshake stalls: when it is cancelled, it forgets it.
    limits = {"connect": content.connect, "read": None, "write": None, "pool": content.pool_wait}
    request = httpx2.Request("POST", url, headers=headers, stream=content, extensions={"timeout": limits})
    return await transport.handle_async_request(request)


def _pooled(context: ssl.SSLContext, connections: int, idle: int) -> httpx2.AsyncBaseTransport:
    limits = httpx2.Limits(
        max_connections=connections, max_keepalive_connections=idle, keepalive_expiry=KEEP_ALIVE
    )
    return httpx2.AsyncHTTPTransport(
        verify=context, trust_env=False, limits=limits, socket_options=_Opening()
    )


def _has_more(stream: object) -> bool:
    """Whether the provider has sent bytes beyond its answer.

    httpcore would take them for the answer to the next request on this connection, which may be another
    tenant's. It offers no way to ask, so this looks inside; a test sees to it that it still finds something.
    """
    for inside in ("_httpcore_stream", "_stream", "_connection", "_h11_state"):
        stream = getattr(stream, inside, None)
    left_over, _ = getattr(stream, "trailing_data", (b"", False))
    return bool(left_over)


def _no_answer(error: httpx2.TransportError) -> bool:
    """Whether the connection ended without an answer, rather than with a wrong one."""
    if isinstance(error, httpx2.RemoteProtocolError):
        return "without sending a response" in str(error)
    return isinstance(error, httpx2.ReadError | httpx2.WriteError)


def _had_begun(error: httpx2.TransportError) -> bool:
    """Whether a part of an answer's head had come: then the request may have been carried out."""
    for frame, _ in walk_tb((error.__cause__ or error).__traceback__):
        parser = getattr(frame.f_locals.get("self"), "_h11_state", None)
        left_over, _closed = getattr(parser, "trailing_data", (b"", False))
        if left_over:
            return True
    return False


def _kind(error: httpx2.TransportError) -> FaultKind:
    if isinstance(error, httpx2.LocalProtocolError):
        return "policy"  # what we were about to send is no HTTP: nothing left, and no provider is to blame
    answered = isinstance(error, httpx2.RemoteProtocolError) and not _no_answer(error)
    return "bad_response" if answered else "connect"
