"""Hygiene, the outermost step: one behaviour for every request, whatever the server's parser let through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import Final

from ..asgi import ASGIApp, Message, Receive, Scope, Send
from ..config import Size
from ..errors import ClientGone, Refusal
from ..exchange import DEFAULT_MAX_BODY, Exchange
from .refusal import dialect_of, send_refusal
from .request_checks import RequestChecks, examine

__all__ = ["Hygiene"]

_OURS: Final = b"x-standby-"


@dataclass(eq=False)
class Hygiene:
    """Refuse what is malformed, ambiguous or unknown, hand on only what counts, and answer every refusal.

    What stands inside sees a copy of the scope whose headers were taken at entry and cleaned, and a filled-in
    `Exchange`. A `Refusal` raised by anything inside is answered here, in the caller's dialect; so is a
    crash, which then travels on for the server to log.

    `max_body` is in bytes: a request that announces more is refused before any of it is read.
    """

    app: ASGIApp
    _: KW_ONLY
    max_body: Size = DEFAULT_MAX_BODY

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._other(scope, receive, send)
        try:
            checked = examine(scope, self.max_body)
        except Refusal as refusal:
            exchange = Exchange.of(scope)
            exchange.dialect = dialect_of(_path(scope), exchange.headers)
            return send_refusal(scope, send, refusal)
        return self._within(*self._entered(scope, checked), receive, send)

    async def _within(self, inside: Scope, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Let what stands inside answer, and answer in its place if it does not."""
        started = False

        def reporting(message: Message) -> Awaitable[None]:
            nonlocal started
            if not started and message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _reported(message.get("headers", ()), exchange)}
            return send(message)

        try:
            await self.app(inside, receive, reporting)
            if started or exchange.client_gone:
                return
            refusal = Refusal("internal_error", close=True)  # silence would be a 500 in the server's words
        except ClientGone:
            return
        except Refusal as error:
            if started:
                raise
            refusal = error
        except (Exception, asyncio.CancelledError) as error:
            if not started:
                await _refuse(inside, reporting, _in_place_of(error))
            raise
        await send_refusal(inside, reporting, refusal)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The lifespan passes; a WebSocket is told no, since nothing inside would judge it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)

    def _entered(self, scope: Scope, checked: RequestChecks) -> tuple[Scope, Exchange]:
        """The scope for what stands inside, and its exchange.

        A copy, so that trailers, which httptools adds to the list of headers while the body is read, cannot
        count, and so that the server and the host still find the headers as they came.
        """
        inside: Scope = {**scope, "headers": ()}
        exchange = scope["standby"] = Exchange.of(inside)
        exchange.headers = checked.headers
        exchange.path = checked.path
        exchange.operation = checked.operation
        exchange.dialect = (
            checked.operation.dialect if checked.operation else dialect_of(checked.path, checked.headers)
        )
        exchange.time_limit = checked.time_limit
        exchange.max_body = self.max_body
        inside["headers"] = list(checked.headers)
        return inside, exchange


def _reported(headers: Iterable[tuple[bytes, bytes]], exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with what the gateway, and nobody else, tells of it."""
    kept = list(headers)
    if _OURS in b",".join([name for name, _ in kept]):
        kept = [pair for pair in kept if not pair[0].startswith(_OURS)]
    return kept + exchange.report()


def _in_place_of(error: BaseException) -> Refusal:
    """What to tell a client whose request ended in a crash, or was cancelled by a server that stops."""
    if isinstance(error, asyncio.CancelledError):
        return Refusal("gateway_draining", retryable=True, close=True)
    return Refusal("internal_error", close=True)


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer, if there is still somebody to hear it."""
    with suppress(OSError):
        await send_refusal(scope, send, refusal)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
