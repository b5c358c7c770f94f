"""One attempt of a walk: from the claim on its target's health to the record of how it went."""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from ..asgi import ASGIApp, Receive, Scope, Send
from ..classify.faults import Fault
from ..classify.provider_errors import is_refusal
from ..exchange import Attempt, Candidate, Exchange, Kind
from ..health.target_health import Health, Permit
from ..http.body import Body
from ..http.gate import Gate, State

__all__ = ["AttemptRun"]

log: Final = logging.getLogger("standby.failover")

_COMMITTED: Final = State.COMMITTED  # reading an enum's member from its class costs a descriptor call


class AttemptRun:
    """One attempt: `with leg: await leg.inside(...)`. What another target would mend is not raised.

    `first` is until when it may prove good, on the loop's clock, around an app without clocks; `moves` is the
    gate's. `won` is called when it is committed, before the first byte goes out.
    """

    __slots__ = (
        "_deadline",
        "_entry",
        "_exchange",
        "_first",
        "_health",
        "_limit",
        "_loop",
        "_moves",
        "attempt",
        "candidate",
        "gate",
        "lost",
        "won",
    )

    def __init__(
        self,
        exchange: Exchange,
        health: Health,
        entry: Permit | None,
        candidate: Candidate,
        send: Send,
        loop: AbstractEventLoop,
        *,
        kind: Kind,
        moves: Callable[[Candidate, Fault], bool],
        first: float | None,
        deadline: float,
    ) -> None:
        now = loop.time()
        self._exchange = exchange
        self._health = health
        self._entry = entry
        self._loop = loop
        self._moves = moves
        self._first = deadline if first is None else min(deadline, now + first)
        self._deadline = deadline
        self._limit: asyncio.Timeout | None = None
        self.candidate = candidate
        self.attempt: Attempt = exchange.begin(candidate, now, kind)
        self.gate = Gate(send, exchange, self.attempt, moves=self._may_move, on_commit=self._committed)
        self.lost = False  # another one is served, or nobody wants an answer any more
        self.won: Callable[[AttemptRun], None] | None = None

    @property
    def committed(self) -> bool:
        """Whether its answer has proved good."""
        return self.gate.state is _COMMITTED

    def lose(self) -> None:
        """Another one is served: nothing of this one may reach the client, and nobody is to blame."""
        self.lost = True
        self.gate.discard()

    def inside(self, app: ASGIApp, scope: Scope, body: Body) -> Awaitable[None]:
        """The attempt. Around one that keeps clocks is no coroutine of ours to be entered for every token."""
        own = {**scope, "headers": list(scope["headers"]), "standby.attempt": self.attempt}
        if self._exchange.relayed:
            self.attempt.deadline = self._deadline  # Relay keeps it, with its other clocks
            return app(own, body, self.gate.send)
        return self._timed(app, own, body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """It is over: name its fault, if that is still to be done, and tell its target's health."""
        del kind, trace
        try:
            theirs = isinstance(error, Exception) and not self._is_ours(error)
            if theirs or error is None:
                self._explain()
        finally:
            self._record()
        return theirs

    def _is_ours(self, error: Exception) -> bool:
        """Whether what it raised is ours, so that another target would not mend it.

        The gate's state judges: a layer inside may wrap or swallow exceptions.
        """
        attempt = self.attempt
        if self.lost:
            return False
        unexplained = attempt.fault is None and not self._timed_out
        if self.gate.state is _COMMITTED or (unexplained and self._exchange.relayed):
            return True
        if attempt.fault is None:
            log.warning("%s: %s: %r", self._exchange.id, attempt.candidate.name, error)
        return False

    def _explain(self) -> None:
        """Name the fault of an attempt that ended without a word of why."""
        attempt, exchange = self.attempt, self._exchange
        if (
            self.gate.state is not _COMMITTED
            and attempt.fault is None
            and not (self.lost or exchange.client_gone)
        ):
            attempt.fault = Fault("timeout_first_byte" if self._timed_out else "bad_response")

    def _record(self) -> None:
        attempt = self.attempt
        now = attempt.ended = self._loop.time()
        entry, self._entry = self._entry, None
        if entry is None:
            return
        fault, answer = attempt.fault, attempt.answer
        cut_short = self.gate.state is not _COMMITTED and now >= self._deadline
        # A hang-up, or a deadline that we set, says nothing of the target.
        has_outcome = answer is not None or fault is not None
        proved = has_outcome and not (self._exchange.client_gone or cut_short or self.lost)
        finish = None if answer is None or answer.reader is None else answer.reader.finish
        self._health.record(
            entry, fault if proved else None, proved=proved, refused=proved and is_refusal(fault, finish)
        )

    async def _timed(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        async with asyncio.timeout_at(self._first) as self._limit:
            await app(scope, receive, self.gate.send)

    @property
    def _timed_out(self) -> bool:
        return self._limit is not None and self._limit.expired()

    def _may_move(self, fault: Fault) -> bool:
        return self._moves(self.candidate, fault)

    def _committed(self) -> None:
        """A committed attempt is bound by its own clocks alone."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(None)
        if self._entry is not None:
            attempt, exchange = self.attempt, self._exchange
            good = exchange.served is attempt and attempt.fault is None
            self._health.answered(self._entry, streamed=good and exchange.streamed)
        if self.won is not None:
            self.won(self)
