"""What a platform asks of the process: is it alive, may it get traffic."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from ..asgi import ASGIApp, Receive, Scope, Send
from ..exchange import Exchange
from .paths import HEALTH, READY

__all__ = ["Probes"]

_PROBES: Final = frozenset({HEALTH, READY})
_BODY: Final = b'{"status":"ok"}'


@dataclass(eq=False)
class Probes:
    """Answers `/healthz` and `/readyz` before any middleware: a platform has no credential to show.

    Both say the same: the process answers. That a provider is down is no reason to restart the gateway or to
    take traffic from it; that is what it is for. A process that is told to stop closes its port at once.
    """

    app: ASGIApp

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if Exchange.of(scope).path in _PROBES:
            return _answer(scope, send)
        return self.app(scope, receive, send)


async def _answer(scope: Scope, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else _BODY})
