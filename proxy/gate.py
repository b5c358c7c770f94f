"""A `send` that holds a response back until it has proved itself.

HOLD --good--> COMMITTED   the start and what was held are flushed; from then on one `if` per message
HOLD --fault-> DISCARDED   nothing reaches the client; send() raises Superseded, as if it had hung up
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from .answer import Answer, Verdict
from .classify import is_callers
from .dialects.registry import operation_at
from .errors import Superseded
from .exchange import Attempt, Exchange, Fault, Message, Send

__all__ = ["Gate", "State"]


class State(Enum):
    """Where an attempt's response stands."""

    HOLD = "hold"
    COMMITTED = "committed"
    DISCARDED = "discarded"


class Gate:
    """The `send` of one attempt.

    `moves` tells whether a fault lets the walk go on, now, to another candidate; `on_commit` is called once,
    before the first byte goes out.
    """

    __slots__ = ("_attempt", "_exchange", "_held", "_moves", "_on_commit", "_reads", "_send", "state")

    def __init__(
        self,
        send: Send,
        exchange: Exchange,
        attempt: Attempt,
        *,
        moves: Callable[[Fault], bool],
        on_commit: Callable[[], None],
    ) -> None:
        self._send = send
        self._exchange = exchange
        self._attempt = attempt
        self._moves = moves
        self._on_commit = on_commit
        self._held: list[Message] = []
        self._reads = False
        self.state = State.HOLD

    @property
    def held(self) -> tuple[Message, ...]:
        """What was held back when the attempt was discarded."""
        return tuple(self._held)

    async def send(self, message: Message) -> None:
        """Take one ASGI message of the attempt. Raises Superseded once the attempt is discarded."""
        if self.state is State.COMMITTED:
            await self._send(message)
            return
        if self.state is State.DISCARDED:
            raise Superseded
        attempt = self._attempt
        message = _copy(message)
        self._held.append(message)
        answer = attempt.answer
        if answer is None and attempt.fault is None:
            if self._exchange.relayed:
                # Our own stack answers: a refusal of ours is never a reason to try another provider.
                await self._commit(served=None)
                return
            answer = attempt.answer = Answer(operation_at(self._exchange.path), streamed=None)
            self._reads = True
        if self._reads and answer is not None:
            _read(answer, message)
        if self._proves_good(answer, last=_is_last(message)):
            await self._commit(served=attempt)

    def _proves_good(self, answer: Answer | None, *, last: bool) -> bool:
        """Whether to commit now. Raises Superseded where the attempt is to be discarded now."""
        attempt = self._attempt
        if attempt.fault is None and answer is not None:
            if answer.verdict is Verdict.COMMIT:
                return True
            if answer.verdict is Verdict.FAULT:
                attempt.fault = answer.fault
        if (fault := attempt.fault) is None:
            return False
        callers = is_callers(fault)
        if callers and not self._moves(fault):
            return True
        if last or not callers:
            # Also with nobody left to try: the walk's own end tells the caller more than one attempt can.
            self.state = State.DISCARDED
            raise Superseded
        return False  # held whole: if nobody does better, it is what the caller gets

    async def _commit(self, *, served: Attempt | None) -> None:
        self.state = State.COMMITTED
        self._exchange.served = served
        self._on_commit()
        held, self._held = self._held, []
        for message in held:
            await self._send(message)


def _is_last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def _copy(message: Message) -> Message:
    """What the message says now: an app may reuse it, its headers and its bytes."""
    copy = dict(message)
    if (headers := copy.get("headers")) is not None:
        copy["headers"] = [(bytes(pair[0]), bytes(pair[1])) for pair in headers]
    if (body := copy.get("body")) is not None and body.__class__ is not bytes:
        copy["body"] = bytes(body)
    return copy


def _read(answer: Answer, message: Message) -> None:
    """Feed the answer of an app that keeps no reading of its own."""
    if message["type"] == "http.response.start":
        headers = tuple([(name.lower(), value) for name, value in message.get("headers", ())])
        answer.start(message["status"], headers)
    elif message["type"] == "http.response.body":
        answer.feed(message.get("body", b""))
        if not message.get("more_body", False):
            answer.end()
