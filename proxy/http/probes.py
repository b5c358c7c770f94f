"""Answers the liveness and readiness probes of the platform that runs the process."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from ..asgi import ASGIApp, Receive, Scope, Send
from ..exchange import Exchange
from .paths import PROBES

__all__ = ["Probes"]

_BODY: Final = b'{"status":"ok"}'


@dataclass(eq=False)
class Probes:
    """Answers `/healthz` and `/readyz` before any middleware, since a platform has no credential.

    Both always return 200. A provider outage is no reason to restart the gateway or to stop sending it
    traffic, because failover is its purpose. A process that is stopping closes its port at once.
    """

    app: ASGIApp

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if Exchange.of(scope).path in PROBES:
            return _answer(scope, send)
        return self.app(scope, receive, send)


async def _answer(scope: Scope, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else _BODY})
