"""What ASGI apps are made of, by name, and how a header is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["ASGIApp", "Headers", "Message", "Receive", "Scope", "Send", "closing_at_shutdown", "header"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]


def closing_at_shutdown(send: Send, aclose: Callable[[], Awaitable[None]]) -> Send:
    """Returns the `send` of a lifespan that closes something before the server hears that the app has ended.

    Not after: the server may exit right then.
    """

    async def closing(message: Message) -> None:
        if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
            await aclose()
        await send(message)

    return closing


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of `name` (lower case), or None."""
    for own, value in headers:
        if own == name:
            return value
    return None
