"""Answers the liveness and readiness probes of the platform that runs the process."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from ..asgi import ASGIApp, Receive, Scope, Send
from ..exchange import Exchange
from .paths import PROBES, READY

__all__ = ["Probes"]

_BODY: Final = b'{"status":"ok"}'
_WAITING: Final = b'{"status":"the store has not answered yet"}'


@dataclass(eq=False)
class Probes:
    """Answers `/healthz` and `/readyz` before any middleware, since a platform has no credential.

    `/healthz` always returns 200. `/readyz` returns 503 until the store has answered once, since a process
    that was started with a wrong address or password should not replace one that works. Later outages, of the
    store or of a provider, are no reason to stop sending it traffic: they meet all processes alike. A process
    that is stopping closes its port at once.
    """

    app: ASGIApp

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange = Exchange.of(scope)
        if exchange.path in PROBES:
            waits = exchange.path == READY and exchange.store is not None and not exchange.store.is_ready
            return _answer(scope, send, 503 if waits else 200)
        return self.app(scope, receive, send)


async def _answer(scope: Scope, send: Send, status: int) -> None:
    body = _BODY if status == 200 else _WAITING
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
