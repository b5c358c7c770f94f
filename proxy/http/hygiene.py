"""The outermost middleware, which validates requests and answers refusals, whatever server runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, cast

from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ..asgi import ASGIApp, Receive, Scope, Send
from ..config import Network, Origin, Size
from ..errors import ClientGone, Refusal
from ..exchange import DEFAULT_MAX_BODY, Exchange
from .refusal import dialect_of, send_refusal
from .request_checks import RequestChecks, examine
from .response_report import ResponseReport

__all__ = ["Hygiene"]

_MAPPED: Final = "::ffff:"


@dataclass(eq=False)
class Hygiene:
    """Refuses malformed, ambiguous and unknown requests, and turns every refusal into a response.

    The inner app receives a copy of the scope with cleaned headers, and a filled-in `Exchange`. A `Refusal`
    raised by the inner app is answered here in the caller's dialect. So is any other exception, which is then
    raised again for the server to log.

    """

    app: ASGIApp
    _: KW_ONLY
    max_body: Size = DEFAULT_MAX_BODY
    """In bytes. A request whose content-length is larger is refused before its body is read."""
    cors: tuple[Origin, ...] = ()
    """The origins of web pages whose scripts may call the gateway. Their callers need keys of their own."""
    trusted_proxies: tuple[Network, ...] = ()
    """The networks of load balancers whose `X-Forwarded-For` is believed. Then a key's `ips` see the address
    that the nearest untrusted one of them had."""
    _entry: ASGIApp | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        entry: ASGIApp = self._examine
        if self.cors:
            entry = cast(
                "ASGIApp",
                CORSMiddleware(
                    cast("Any", entry),
                    allow_origins=self.cors,
                    allow_methods=("GET", "POST"),
                    allow_headers=("*",),
                    expose_headers=("*",),
                ),
            )
        if self.trusted_proxies:
            entry = _behind_proxies(entry, self.trusted_proxies)
        if self.cors or self.trusted_proxies:
            self._entry = entry

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._pass_other(scope, receive, send)
        return (self._entry or self._examine)(scope, receive, send)

    def _examine(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        try:
            checked = examine(scope, self.max_body)
        except Refusal as refusal:
            exchange = Exchange.of(scope)
            exchange.dialect = dialect_of(_path(scope), exchange.headers)
            return send_refusal(scope, ResponseReport(exchange, send), refusal)
        return self._run_inner(*self._inner_scope(scope, checked), receive, send)

    async def _run_inner(self, inner: Scope, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Call the inner app, and send a refusal if it does not start a response."""
        reporting = ResponseReport(exchange, send)
        try:
            await self.app(inner, receive, reporting)
            if reporting.started or exchange.client_gone:
                return
            # Without a response the server would send its own 500.
            refusal = Refusal("internal_error", close=True)
        except ClientGone:
            return
        except Refusal as error:
            if reporting.started:
                raise
            refusal = error
        except (Exception, asyncio.CancelledError) as error:
            if not reporting.started:
                await _try_refuse(inner, reporting, _refusal_for(error))
            raise
        await send_refusal(inner, reporting, refusal)

    async def _pass_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the lifespan on. Close a WebSocket, since no inner middleware checks WebSockets."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)

    def _inner_scope(self, scope: Scope, checked: RequestChecks) -> tuple[Scope, Exchange]:
        """Returns the scope for the inner app, and its exchange.

        The scope is a copy. So trailers, which httptools appends to the list of headers while the body is
        read, have no effect, and the server and the host keep the original headers.
        """
        inner: Scope = {**scope, "headers": ()}
        exchange = scope["standby"] = Exchange.of(inner)
        exchange.headers = checked.headers
        exchange.path = checked.path
        exchange.operation = checked.operation
        exchange.dialect = (
            checked.operation.dialect if checked.operation else dialect_of(checked.path, checked.headers)
        )
        exchange.time_limit = checked.time_limit
        exchange.max_body = self.max_body
        inner["headers"] = list(checked.headers)
        return inner, exchange


def _refusal_for(error: BaseException) -> Refusal:
    """Returns the refusal for a request that raised an error, or that a stopping server cancelled."""
    if isinstance(error, asyncio.CancelledError):
        return Refusal("gateway_draining", retryable=True, close=True)
    return Refusal("internal_error", close=True)


async def _try_refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Send the refusal, and ignore that the client has disconnected."""
    with suppress(OSError):
        await send_refusal(scope, send, refusal)


def _behind_proxies(app: ASGIApp, networks: tuple[Network, ...]) -> ASGIApp:
    """Returns an app that puts the address of the client before the trusted proxies into the scope."""
    inner = ProxyHeadersMiddleware(cast("Any", app), [str(network) for network in networks])

    def entry(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        client = scope.get("client")
        if client is not None and client[0].startswith(_MAPPED):
            # A socket for both versions of IP shows an IPv4 address in this form.
            client = (client[0].removeprefix(_MAPPED), client[1])
        own: Any = {**scope, "client": client}
        return cast("Awaitable[None]", inner(own, cast("Any", receive), cast("Any", send)))

    return entry


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
