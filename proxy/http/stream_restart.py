"""Restarts a broken stream with another provider, for a client that supports it.

The bytes of two providers are never joined into one answer. The response body holds two answers instead, with
an event between them that tells the client to discard the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from ..asgi import Message, Send, header
from ..errors import CODES
from ..exchange import Attempt, Break, Exchange, OwnEvents

__all__ = ["ON_BREAK", "StreamRestart", "is_requested"]

ON_BREAK: Final = b"x-standby-on-break"
"""The request header with which a client accepts restarts. Its value is `restart`."""


def is_requested(exchange: Exchange) -> bool:
    """Whether the pool allows restarts of broken streams and the client accepts them."""
    pool = exchange.pool
    return (
        pool is not None
        and pool.on_break == "restart"
        and exchange.relayed
        and exchange.streamed
        and header(exchange.headers, ON_BREAK) == b"restart"
    )


class StreamRestart:
    """The `send` for the attempts after a broken answer. It replaces the new response head by a reset event.

    The client has received a response head, and the body is still open. Only the stream of a provider may
    follow, so other responses, such as refusals, are dropped. The creator must call `close`.
    """

    __slots__ = ("_broken", "_exchange", "_reason", "_resumed", "_send")

    def __init__(self, send: Send, exchange: Exchange, broken: Attempt, reason: Break) -> None:
        self._send = send
        self._exchange = exchange
        self._broken = broken
        self._reason = reason
        self._resumed = False  # whether another stream follows, which ends the body itself

    def __call__(self, message: Message) -> Awaitable[None]:
        return self._send(message) if self._resumed else self._await_start(message)

    async def close(self, code: str | None = None) -> None:
        """End the body if no other stream followed, with the error event of the break or of `code`.

        Sets `exchange.client_gone` if the client does not read it within the pool's stall timeout.
        """
        if self._resumed or self._exchange.client_gone:
            return
        events = _own_events(self._broken)
        body = self._reason.words
        if code is not None and events is not None:
            body = events.broken(code, CODES[code].message, self._exchange.id)
        pool = self._exchange.pool
        try:
            # A client that stopped reading would block this for ever.
            async with asyncio.timeout(None if pool is None else pool.timeouts.stall):
                await self._send({"type": "http.response.body", "body": body, "more_body": False})
        except (TimeoutError, OSError):
            self._exchange.client_gone = True

    async def _await_start(self, message: Message) -> None:
        attempt, broken = self._exchange.served, self._broken
        if message["type"] != "http.response.start" or attempt is None or attempt is broken:
            return
        events = _own_events(broken)
        if attempt.answer is None or events is None:
            return
        self._resumed = True
        reset = events.restarted(self._reason.code, attempt.number)
        await self._send({"type": "http.response.body", "body": reset, "more_body": True})


def _own_events(attempt: Attempt) -> OwnEvents | None:
    """Returns what writes events of the gateway's own into the attempt's stream, or None without a stream."""
    return attempt.events or (None if attempt.answer is None else attempt.answer.reader)
