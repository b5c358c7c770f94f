"""A stream that broke, begun anew by another provider for a client that said it can take that.

Bytes of two providers are never one answer. Here they are two answers in one body, and between them stands
an event that tells the client to forget the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from ..asgi import Message, Send, header
from ..errors import CODES
from ..exchange import Attempt, Break, Exchange

__all__ = ["ON_BREAK", "StreamRestart", "is_requested"]

ON_BREAK: Final = b"x-standby-on-break"
"""The header by which a client says what it understands: `restart`."""


def is_requested(exchange: Exchange) -> bool:
    """Whether the pool offers to begin a broken stream anew, and this client takes it."""
    pool = exchange.pool
    return (
        pool is not None
        and pool.on_break == "restart"
        and exchange.relayed
        and exchange.streamed
        and header(exchange.headers, ON_BREAK) == b"restart"
    )


class StreamRestart:
    """The `send` of what follows an answer that broke: its head becomes the event that says so.

    The client has had a head, and its body is open. So what is no stream of a provider's has no place in it,
    and is not sent on. Whoever began this `close`s it.
    """

    __slots__ = ("_broken", "_exchange", "_reason", "_send", "_taken")

    def __init__(self, send: Send, exchange: Exchange, broken: Attempt, reason: Break) -> None:
        self._send = send
        self._exchange = exchange
        self._broken = broken
        self._reason = reason
        self._taken = False  # another answer goes on, and will end itself

    def __call__(self, message: Message) -> Awaitable[None]:
        return self._send(message) if self._taken else self._first(message)

    async def close(self, code: str | None = None) -> None:
        """End the body if nobody went on with it: as it broke, or with this code."""
        if self._taken or self._exchange.client_gone:
            return
        reader = None if self._broken.answer is None else self._broken.answer.reader
        words = self._reason.words
        if code is not None and reader is not None:
            words = reader.broken(code, CODES[code].message, self._exchange.id)
        pool = self._exchange.pool
        try:
            # A client need not ever read the end of its answer.
            async with asyncio.timeout(None if pool is None else pool.timeouts.stall):
                await self._send({"type": "http.response.body", "body": words, "more_body": False})
        except (TimeoutError, OSError):
            self._exchange.client_gone = True

    async def _first(self, message: Message) -> None:
        attempt, broken = self._exchange.served, self._broken
        if message["type"] != "http.response.start" or attempt is None or attempt is broken:
            return
        if attempt.answer is None or broken.answer is None or broken.answer.reader is None:
            return
        self._taken = True
        reset = broken.answer.reader.restarted(self._reason.code, attempt.number)
        await self._send({"type": "http.response.body", "body": reset, "more_body": True})
