"""What a platform asks of the process: is it alive, may it get traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .exchange import ASGIApp, Exchange, Receive, Scope, Send
from .paths import HEALTH, READY

__all__ = ["Probes"]

_BODY: Final = b'{"status":"ok"}'


@dataclass(eq=False)
class Probes:
    """Answers `/healthz` and `/readyz` before any middleware: a platform has no credential to show.

    Both say the same: the process answers. That a provider is down is no reason to restart the gateway or to
    take traffic from it; that is what it is for. A process that is told to stop closes its port at once.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if Exchange.of(scope).path not in {HEALTH, READY}:
            await self.app(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else _BODY})
