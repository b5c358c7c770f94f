"""The report of a request in the headers of its response."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Final

from ..asgi import Message, Send
from ..exchange import Exchange

__all__ = ["ResponseReport"]

_OWN_PREFIX: Final = b"x-standby-"


class ResponseReport:
    """The `send` of the gateway: it adds the report of the exchange to the head of the response."""

    __slots__ = ("_exchange", "_send", "started")

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self._exchange = exchange
        self._send = send
        self.started = False

    def __call__(self, message: Message) -> Awaitable[None]:
        if not self.started and message["type"] == "http.response.start":
            self.started = True
            exchange = self._exchange
            exchange.status, exchange.responded = message["status"], exchange.clock()
            message = {**message, "headers": _with_report(message.get("headers", ()), exchange)}
        return self._send(message)


def _with_report(headers: Iterable[tuple[bytes, bytes]], exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """Returns the headers of a response with the `x-standby-*` headers of the exchange and no others."""
    kept = list(headers)
    if _OWN_PREFIX in b",".join([name for name, _ in kept]):
        kept = [pair for pair in kept if not pair[0].startswith(_OWN_PREFIX)]
    return kept + exchange.report()
