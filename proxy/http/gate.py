"""A `send` that holds a response back until it has proved itself.

HOLD --good--> COMMITTED   the start and what was held are flushed; from then on one `if` per message
HOLD --fault-> DISCARDED   nothing reaches the client; send() raises Superseded, as if it had hung up
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from itertools import chain
from typing import Final

from ..asgi import Message, Send
from ..classify.answer import Answer, Verdict
from ..classify.faults import Fault, is_callers
from ..dialects.registry import operation_at
from ..errors import Superseded
from ..exchange import Attempt, Exchange

__all__ = ["Gate", "State"]


class State(Enum):
    """Where an attempt's response stands."""

    HOLD = "hold"
    COMMITTED = "committed"
    DISCARDED = "discarded"


# Reading an enum's member from its class costs a descriptor call; these are read for every message.
_HOLD: Final = State.HOLD
_COMMITTED: Final = State.COMMITTED
_DISCARDED: Final = State.DISCARDED
_GOOD: Final = Verdict.COMMIT
_FAULT: Final = Verdict.FAULT

_PAIRS: Final = frozenset({tuple})
_BYTES: Final = frozenset({bytes})


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
        self.state = _HOLD

    @property
    def held(self) -> tuple[Message, ...]:
        """What was held back when the attempt was discarded."""
        return tuple(self._held)

    def discard(self) -> None:
        """Let nothing of the attempt reach the client: another one is served."""
        self.state = _DISCARDED

    def send(self, message: Message) -> Awaitable[None]:
        """Take one ASGI message of the attempt. Raises Superseded once the attempt is discarded.

        After commit the caller awaits the outer `send` itself: a coroutine of ours between the two would be
        entered again for every token.
        """
        return self._send(message) if self.state is _COMMITTED else self._judge(message)

    async def _judge(self, message: Message) -> None:
        """Hold the message, and commit or discard the attempt if it settles the matter."""
        if self.state is _DISCARDED:
            raise Superseded
        attempt = self._attempt
        answer = attempt.answer
        if not self._held and not self._reads and answer is not None and self._is_good(answer):
            # It was judged before it began, as ours are: there is nothing to hold.
            self._open(attempt)
            await self._send(message)
            return
        message = _copy(message)
        self._held.append(message)
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
            if self._is_good(answer):
                return True
            if answer.verdict is _FAULT:
                attempt.fault = answer.fault
        if (fault := attempt.fault) is None:
            return False
        callers = is_callers(fault)
        if callers and not self._moves(fault):
            return True
        if last or not callers:
            # Also with nobody left to try: the walk's own end tells the caller more than one attempt can.
            self.state = _DISCARDED
            raise Superseded
        return False  # held whole: if nobody does better, it is what the caller gets

    def _is_good(self, answer: Answer) -> bool:
        return answer.verdict is _GOOD and self._attempt.fault is None

    def _open(self, served: Attempt | None) -> None:
        self.state = _COMMITTED
        self._exchange.served = served
        self._on_commit()

    async def _commit(self, *, served: Attempt | None) -> None:
        self._open(served)
        held, self._held = self._held, []
        for message in held:
            await self._send(message)


def _is_last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def _copy(message: Message) -> Message:
    """What the message says now: an app may reuse it, its headers and its bytes."""
    copy = dict(message)
    if (headers := copy.get("headers")) is not None:
        copy["headers"] = _copies(headers)
    if (body := copy.get("body")) is not None and body.__class__ is not bytes:
        copy["body"] = bytes(body)
    return copy


def _copies(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers as they are now: ASGI lets them be any kind of iterables, of any kind of bytes."""
    pairs = list(headers)
    if _PAIRS.issuperset(map(type, pairs)) and _BYTES.issuperset(map(type, chain.from_iterable(pairs))):
        return pairs  # nobody can change any of them
    return [(bytes(pair[0]), bytes(pair[1])) for pair in pairs]


def _read(answer: Answer, message: Message) -> None:
    """Feed the answer of an app that keeps no reading of its own."""
    if message["type"] == "http.response.start":
        headers = tuple([(name.lower(), value) for name, value in message.get("headers", ())])
        answer.start(message["status"], headers)
    elif message["type"] == "http.response.body":
        answer.feed(message.get("body", b""))
        if not message.get("more_body", False):
            answer.end()
