"""An ASGI `send` that buffers the response of one attempt until it is judged to be good or faulty.

HOLD --good--> COMMITTED   the buffered messages are sent; every later message passes with one `if`
HOLD --fault-> DISCARDED   nothing reaches the client; send() raises Superseded, as after a disconnect
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from itertools import chain
from typing import Final

from ..asgi import Message, Send
from ..classify.answer import Verdict
from ..classify.faults import Fault, is_callers
from ..errors import Superseded
from ..exchange import Attempt, Exchange

__all__ = ["Gate", "State", "copied"]


class State(Enum):
    """The state of an attempt's response."""

    HOLD = "hold"
    COMMITTED = "committed"
    DISCARDED = "discarded"


# Reading an enum member from its class costs a descriptor call; these are read for every message.
_HOLD: Final = State.HOLD
_COMMITTED: Final = State.COMMITTED
_DISCARDED: Final = State.DISCARDED
_GOOD: Final = Verdict.COMMIT

_PAIRS: Final = frozenset({tuple})
_BYTES: Final = frozenset({bytes})


class Gate:
    """The `send` of one attempt. It judges by the attempt's `answer` and `fault`, which others write.

    `moves` returns whether another candidate can be tried now after a given fault. `on_commit` is called
    once, before the first message is sent to the client.
    """

    __slots__ = ("_attempt", "_exchange", "_held", "_moves", "_on_commit", "_send", "state")

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
        self.state = _HOLD

    @property
    def held(self) -> tuple[Message, ...]:
        """The messages that are buffered, or were when the attempt was discarded."""
        return tuple(self._held)

    def discard(self) -> None:
        """Discard the attempt, because the client receives the response of another one."""
        self.state = _DISCARDED

    def end(self) -> None:
        """End the attempt. A response that is not committed by now never will be.

        The callbacks are dropped, since they refer to the owner of this gate: a cycle of references would
        keep the whole request until the garbage collector runs.
        """
        if self.state is _HOLD:
            self.state = _DISCARDED
        self._moves = _never
        self._on_commit = _nothing

    def send(self, message: Message) -> Awaitable[None]:
        """Handle one ASGI message of the attempt. Raises Superseded once the attempt is discarded.

        After the commit this returns the awaitable of the outer `send`. A coroutine here would add its
        overhead to every token.
        """
        return self._send(message) if self.state is _COMMITTED else self._judge(message)

    async def _judge(self, message: Message) -> None:
        """Buffer the message, and commit or discard the attempt if the message decides that."""
        if self.state is _DISCARDED:
            raise Superseded
        attempt = self._attempt
        if not self._held and self._is_good():
            # The answer was judged before its first message, as Relay does: nothing has to be buffered.
            self._open(attempt)
            await self._send(message)
            return
        message = copied(message)
        self._held.append(message)
        if attempt.answer is None and attempt.fault is None:
            # The gateway itself responds. Its refusals are never a reason to try another provider.
            await self._commit(served=None)
        elif self._proves_good(last=_is_last(message)):
            await self._commit(served=attempt)

    def _proves_good(self, *, last: bool) -> bool:
        """Whether to commit now. Raises Superseded if the attempt has to be discarded now."""
        if (fault := self._attempt.fault) is None:
            return self._is_good()
        is_callers_fault = is_callers(fault)
        if is_callers_fault and not self._moves(fault):
            return True
        if last or not is_callers_fault:
            # Also if no candidate is left: Failover's final response covers all attempts, not only this one.
            self.state = _DISCARDED
            raise Superseded
        return False  # buffer the whole response: the caller receives it if no other attempt succeeds

    def _is_good(self) -> bool:
        answer = self._attempt.answer
        return answer is not None and answer.verdict is _GOOD and self._attempt.fault is None

    def _open(self, served: Attempt | None) -> None:
        self.state = _COMMITTED
        self._exchange.served = served
        self._on_commit()

    async def _commit(self, *, served: Attempt | None) -> None:
        self._open(served)
        held, self._held = self._held, []
        for message in held:
            await self._send(message)


def _never(fault: Fault) -> bool:
    del fault
    return False


def _nothing() -> None:
    pass


def _is_last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def copied(message: Message) -> Message:
    """Returns a copy of the message, since an app may reuse the message, its headers and its buffers."""
    copy = dict(message)
    if (headers := copy.get("headers")) is not None:
        copy["headers"] = _copy_headers(headers)
    if (body := copy.get("body")) is not None and body.__class__ is not bytes:
        copy["body"] = bytes(body)
    return copy


def _copy_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Returns a copy of the headers. ASGI allows any iterable of iterables, and any bytes-like type."""
    pairs = list(headers)
    if _PAIRS.issuperset(map(type, pairs)) and _BYTES.issuperset(map(type, chain.from_iterable(pairs))):
        return pairs  # tuples of bytes are immutable
    return [(bytes(pair[0]), bytes(pair[1])) for pair in pairs]
