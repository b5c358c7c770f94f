"""Reads the answer of an app that only speaks by answering, and records what it shows in its attempt.

The gateway's own Relay records its answer and fault itself. Around any other app this adapter does, so that
everything that judges an attempt reads the same two fields.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from ..asgi import ASGIApp, Message, Receive, Scope
from ..classify.answer import Answer, Verdict
from ..classify.faults import Fault
from ..dialects.registry import operation_at
from ..exchange import Attempt, Exchange
from .gate import Gate, State, copied

__all__ = ["ForeignAnswer"]

_COMMITTED: Final = State.COMMITTED


class ForeignAnswer:
    """The `send` around an app that is no Relay, in front of the gate of one attempt.

    Writes `attempt.finished` and `attempt.answer`, and `attempt.fault` if the answer is one, or if none came:
    `timeout_first_byte` if the app was too late, else `bad_response`.
    """

    __slots__ = ("_answer", "_attempt", "_exchange", "_gate", "_limit")

    def __init__(self, gate: Gate, exchange: Exchange, attempt: Attempt) -> None:
        self._gate = gate
        self._exchange = exchange
        self._attempt = attempt
        self._answer: Answer | None = None
        self._limit: asyncio.Timeout | None = None

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, limit: float) -> None:
        """Call the app. `limit` is the most seconds until the commit."""
        try:
            async with asyncio.timeout(limit) as self._limit:
                await app(scope, receive, self.send)
        finally:
            self._attempt.finished = self._exchange.clock()

    @property
    def late(self) -> bool:
        """Whether the app did not prove good in time."""
        return self._limit is not None and self._limit.expired()

    def committed(self) -> None:
        """Lift the limit: the answer is good."""
        if self._limit is not None and not self.late:
            self._limit.reschedule(None)

    def send(self, message: Message) -> Awaitable[None]:
        """Read the message until the commit, and hand it to the gate."""
        if self._gate.state is not _COMMITTED:
            message = copied(message)
            self._read(message)
        return self._gate.send(message)

    def failed(self) -> None:
        """Record the fault of an app that ended without a good answer, unless its answer showed one."""
        if self._attempt.fault is None:
            self._attempt.fault = Fault("timeout_first_byte" if self.late else "bad_response")

    def _read(self, message: Message) -> None:
        answer, attempt = self._answer, self._attempt
        if answer is None:
            if attempt.answer is not None:
                return  # the app records its answer itself
            answer = self._answer = attempt.answer = Answer(operation_at(self._exchange.path), streamed=None)
        if message["type"] == "http.response.start":
            headers = tuple([(name.lower(), value) for name, value in message.get("headers", ())])
            answer.start(message["status"], headers)
        elif message["type"] == "http.response.body":
            answer.feed(message.get("body", b""))
            if not message.get("more_body", False):
                answer.end()
        if answer.verdict is Verdict.FAULT:
            attempt.fault = answer.fault
