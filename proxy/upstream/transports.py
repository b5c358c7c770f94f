"""Connections to providers: our own, or those of any httpx2 `AsyncBaseTransport` that a provider names.

Transports are called directly, never through an `AsyncClient`: no cookie jar that two tenants would share, no
redirects, no decompression. Every target has its own connections, so that a target that hangs cannot use up
those of another.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import httpx2

from ..asgi import Headers
from ..classify.faults import FaultKind
from ..config import Secret, Target
from ..config.authorities import Authorities
from ..config.forward_proxy import ForwardProxy
from ..dialects.registry import dialect_named
from ..errors import StandbyError
from ..http.headers import RequestHeaders
from . import foreign_transport
from .environment import proxy_of_environment, trusted_by_environment
from .foreign_transport import ForeignStream
from .http1.pool import Pool
from .http1.proxy import Proxy
from .http1.request_writer import header_lines
from .http1.stream import Stream
from .timeouts import AttemptTimeouts

__all__ = ["KEEP_ALIVE", "POOL_WAIT", "Received", "Transports", "Unreachable", "Upstream", "pooled"]

POOL_WAIT: Final = 0.5
"""Seconds to wait for one of a target's connections, or half the connect timeout if that is less. It must end
before the connect timeout, since a full pool is our own overload and not the target's fault."""
KEEP_ALIVE: Final = 30.0
"""Seconds an idle connection is kept; below the 60 s after which common load balancers drop it."""
_log: Final = logging.getLogger("standby.upstream")


Received = Stream | ForeignStream
"""A response whose head has arrived."""


class Unreachable(StandbyError):
    """The provider could not be reached, or answered nothing. `kind` is the fault that follows."""

    def __init__(self, kind: FaultKind) -> None:
        super().__init__(kind)
        self.kind: FaultKind = kind


class Upstream:
    """The connections to one target, over `transport`."""

    def __init__(self, target: Target, transport: httpx2.AsyncBaseTransport) -> None:
        self.target = target
        self.transport = transport
        self._base, self._query = _base_of(target), _query_of(target)
        self._urls: dict[str, httpx2.URL] = {}
        self._heads: dict[str, bytes] = {}
        self.headers = _own_headers(target, httpx2.URL(self._base).netloc)
        self._headers = RequestHeaders(self.headers, dialect_named(target.provider.dialect))
        self._reason = ""
        """Why the last attempt had no connection, as it was logged. Empty once one had."""

    def url(self, path: str) -> httpx2.URL:
        """The URL of `path`, a fixed upstream path, at this target. Nothing of a request enters it."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx2.URL(self._base + path + self._query)
        return url

    async def send(
        self, path: str, caller: Headers, more: Headers, content: bytes, clocks: AttemptTimeouts
    ) -> Received:
        """POST `content` to `path`, with those of the `caller`'s headers that are forwarded, and `more`.

        Returns the response with its body unread. Raises Unreachable.
        """
        clocks.connecting()
        connect = clocks.timeouts.connect
        # AttemptTimeouts limits the rest, since a socket timeout is per read. These two end a little before
        # the attempt's own connect limit, so that the error says which it was.
        limits = min(POOL_WAIT, connect / 2), 0.95 * connect, clocks.connected
        headers = [*self._headers.of(caller, len(content)), *more]
        try:
            if isinstance(self.transport, Pool):
                head = b"%b%b\r\n" % (self._head(path, self.transport), header_lines(headers))
                response: Received = await self.transport.post(head, content, *limits)
            else:
                response = await foreign_transport.post(
                    self.transport, self.url(path), [*self._headers.fixed, *headers], content, *limits
                )
        except httpx2.PoolTimeout as error:
            raise Unreachable("local_overload") from error
        except OSError as error:
            raise Unreachable("connect") from error  # only a custom transport raises a bare OSError
        except httpx2.TransportError as error:
            if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                self._log_reason(str(error))
            raise Unreachable(_kind(error)) from error
        self._reason = ""
        return response

    def _head(self, path: str, pool: Pool) -> bytes:
        """The beginning of every request to `path`: its first line and the operator's headers."""
        head = self._heads.get(path)
        if head is None:
            head = pool.request_line(self.url(path)) + header_lines(self._headers.fixed)
            self._heads[path] = head
        return head

    def _log_reason(self, reason: str) -> None:
        # Once until it changes, since health is logged too. Messages of other transports may have secrets.
        if reason != self._reason and isinstance(self.transport, Pool):
            self._reason = reason
            _log.warning("no connection to target %s: %s", self.target.name, reason)

    async def get(self, path: str) -> int:
        """GET `path`. Returns the status; the body is not read. Raises what the transport raises."""
        headers = [pair for pair in self.headers if pair[0] != b"content-type"]
        request = httpx2.Request("GET", self.url(path), headers=headers, extensions={"timeout": {}})
        response = await self.transport.handle_async_request(request)
        await response.aclose()
        return response.status_code

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        await self.transport.aclose()


def _base_of(target: Target) -> str:
    return target.provider.base_url.rstrip("/").replace("{model}", quote(target.model, safe=""))


def _query_of(target: Target) -> str:
    query = target.provider.query
    return f"?{urlencode(query)}" if query else ""


def _own_headers(target: Target, host: bytes) -> Headers:
    """The headers of every request to `target`. No compression: a stream must be readable as it passes."""
    provider = target.provider
    headers = [(b"host", host), (b"content-type", b"application/json"), (b"accept-encoding", b"identity")]
    if provider.key is not None:
        vendor = provider.known_as
        scheme = provider.auth or (None if vendor is None else vendor.key)
        headers += dialect_named(provider.dialect).credential(provider.key.reveal(), scheme)
    headers += [(name.lower().encode(), value.encode()) for name, value in provider.headers.items()]
    return tuple(headers)


def pooled(
    url: httpx2.URL,
    connections: int,
    context: ssl.SSLContext | None = None,
    proxy: ForwardProxy | None = None,
) -> Pool:
    """Connections to the origin of `url` as every target has them, unless its provider names others.

    Without a `context` or `proxy` those of the environment hold. Raises ValueError or OSError if these are
    wrong.
    """
    if context is None and url.scheme == "https":
        context = trusted_by_environment()
    proxy = proxy or proxy_of_environment(str(url))
    way = None if proxy is None else Proxy(proxy.host, proxy.port, _credential(proxy))
    return Pool(url, context=context, connections=connections, keep_alive=KEEP_ALIVE, proxy=way)


def _credential(proxy: ForwardProxy) -> bytes:
    if proxy.authorization is None:
        return b""
    return b"Proxy-Authorization: %b\r\n" % proxy.authorization


class _Line(NamedTuple):
    """All of a configuration that connections to a target depend on: two with the same line share them."""

    target: str
    connections: int
    dialect: str
    base_url: str
    query: str
    key: Secret | None
    auth: str | None
    vendor: str | None
    headers: tuple[tuple[str, str], ...]
    transport: str | None
    proxy: ForwardProxy | None
    ca: Authorities | None


class _Shared:
    """What the configurations of one gateway have in common: connections, and how many of them use each."""

    def __init__(self) -> None:
        self.upstreams: dict[_Line, Upstream] = {}
        self.users: dict[_Line, int] = {}
        self.contexts: dict[Authorities | None, ssl.SSLContext] = {}


class Transports:
    """The connections to every target of one configuration, made when first used."""

    def __init__(self) -> None:
        self._upstreams: dict[str, Upstream] = {}
        self._lines: dict[str, _Line] = {}
        self._shared = _Shared()

    def to(self, target: Target) -> Upstream:
        """The connections to `target`."""
        upstream = self._upstreams.get(target.name)
        if upstream is None:
            upstream = self._take(target, _line(target))
        return upstream

    def __iter__(self) -> Any:
        return iter(self._upstreams.values())

    def following(self) -> Transports:
        """Those of another configuration of the same gateway."""
        transports = Transports()
        transports._shared = self._shared
        return transports

    def adopt(self, targets: Iterable[Target]) -> None:
        """Take the connections that stand already, so that they outlive the configuration that made them."""
        for target in targets:
            line = _line(target)
            if line in self._shared.upstreams and target.name not in self._upstreams:
                self._take(target, line)

    async def aclose(self) -> None:
        """Close every connection that no other configuration uses. A later request opens new ones."""
        lines, self._lines, self._upstreams = self._lines, {}, {}
        shared, unused = self._shared, list[Upstream]()
        for line in lines.values():
            shared.users[line] -= 1
            if not shared.users[line]:
                del shared.users[line]
                unused.append(shared.upstreams.pop(line))
        for upstream in unused:
            await upstream.aclose()

    def _take(self, target: Target, line: _Line) -> Upstream:
        shared = self._shared
        upstream = shared.upstreams.get(line)
        if upstream is None:
            upstream = shared.upstreams[line] = Upstream(target, self._transport(target))
        shared.users[line] = shared.users.get(line, 0) + 1
        self._lines[target.name], self._upstreams[target.name] = line, upstream
        return upstream

    def _transport(self, target: Target) -> httpx2.AsyncBaseTransport:
        named = target.provider.transport
        if named is not None:
            module, _, attribute = named.partition(":")
            made: httpx2.AsyncBaseTransport = getattr(import_module(module), attribute)()
            return made
        url = httpx2.URL(target.provider.base_url)
        context = self._context(target.provider.ca) if url.scheme == "https" else None
        return pooled(url, target.connections, context, target.provider.proxy)

    def _context(self, ca: Authorities | None) -> ssl.SSLContext:
        # One for all targets: loading the trust store takes 20 ms and 1 MB.
        context = self._shared.contexts.get(ca)
        if context is None:
            context = trusted_by_environment() if ca is None else ca.context()
            self._shared.contexts[ca] = context
        return context


def _line(target: Target) -> _Line:
    provider = target.provider
    headers = tuple(provider.headers.items())
    name = target.name
    return _Line(
        *(name, target.connections, provider.dialect, _base_of(target), _query_of(target)),
        *(provider.key, provider.auth, provider.vendor, headers),
        *(provider.transport, provider.proxy, provider.ca),
    )


def _kind(error: httpx2.TransportError) -> FaultKind:
    if isinstance(error, httpx2.LocalProtocolError):
        return "policy"  # what we were about to send is no HTTP: nothing left, and no provider is to blame
    # httpx2's own transport calls it a protocol's error too when a connection ends without an answer.
    answered = isinstance(error, httpx2.RemoteProtocolError) and "without sending" not in str(error)
    return "bad_response" if answered else "connect"
