"""A middleware that raises, as one of somebody's own may."""

from __future__ import annotations

from dataclasses import dataclass

from standby.proxy.asgi import ASGIApp, Receive, Scope, Send

__all__ = ["Broken"]


@dataclass(eq=False)
class Broken:
    """Raises for every request."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raise RuntimeError("this middleware is broken")
        await self.app(scope, receive, send)
