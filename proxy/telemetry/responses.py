"""Notes the status of a response, around an app that is not in a gateway."""

from __future__ import annotations

from collections.abc import Awaitable

from ..asgi import Message, Send
from ..exchange import Exchange

__all__ = ["Noting"]


class Noting:
    """The `send` of Trace around a foreign app: it writes `status` and `responded`, as Hygiene does."""

    __slots__ = ("_exchange", "_send")

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self._exchange = exchange
        self._send = send

    def __call__(self, message: Message) -> Awaitable[None]:
        exchange = self._exchange
        if exchange.status is None and message["type"] == "http.response.start":
            exchange.status, exchange.responded = message["status"], exchange.clock()
            if exchange.trace is not None and exchange.refusal is None:  # a refusal has the header already
                message = {
                    **message,
                    "headers": [*message.get("headers", ()), *exchange.trace.note(exchange)],
                }
        return self._send(message)
