"""Runs one attempt of a plan walk, and records its outcome in the health of its target."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from ..asgi import ASGIApp, Scope, Send
from ..classify.faults import Fault
from ..classify.provider_errors import is_refusal
from ..exchange import Attempt, Candidate, Exchange, Kind
from ..health.target_health import Health, Permit
from ..http.body import Body
from ..http.foreign_answer import ForeignAnswer
from ..http.gate import Gate, State

__all__ = ["AttemptRun"]

log: Final = logging.getLogger("standby.failover")

_COMMITTED: Final = State.COMMITTED  # reading an enum member from its class costs a descriptor call


class AttemptRun:
    """Runs one attempt: `with run: await run.inside(...)`. Suppresses errors that failover can fix.

    `permit` is the permission of the target's health for this attempt, and `moves` is passed to the gate.
    `deadline` is that of the exchange. `first` is the timeout in seconds until the commit, for an app that
    applies no timeouts itself. `won` is called at the commit, before the first byte is sent.
    """

    __slots__ = (
        "_deadline",
        "_exchange",
        "_first",
        "_foreign",
        "_health",
        "_moves",
        "_permit",
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
        permit: Permit | None,
        candidate: Candidate,
        send: Send,
        *,
        kind: Kind,
        moves: Callable[[Candidate, Fault], bool],
        first: float | None,
        deadline: float,
    ) -> None:
        self._exchange = exchange
        self._health = health
        self._permit = permit
        self._moves: Callable[[Candidate, Fault], bool] | None = moves
        self._first = first
        self._deadline = deadline
        self._foreign: ForeignAnswer | None = None  # around an app that is no Relay
        self.candidate = candidate
        self.attempt: Attempt = exchange.begin(candidate, kind)
        self.gate = Gate(send, exchange, self.attempt, moves=self._may_move, on_commit=self._committed)
        self.lost = False  # another attempt is served, or the client needs no answer any more
        self.won: Callable[[AttemptRun], None] | None = None

    @property
    def committed(self) -> bool:
        """Whether the answer was judged good and is being sent to the client."""
        return self.gate.state is _COMMITTED

    def lose(self) -> None:
        """Discard this attempt because another one is served. It does not count as a fault of the target."""
        self.lost = True
        self.gate.discard()

    def inside(self, app: ASGIApp, scope: Scope, body: Body) -> Awaitable[None]:
        """Returns the awaitable that runs the attempt.

        Relay applies its timeouts itself, so no coroutine is put around it that would run for every token.
        """
        own = {**scope, "headers": list(scope["headers"]), "standby.attempt": self.attempt}
        if self._exchange.relayed:  # then Relay applies the deadline together with its other timeouts
            return app(own, body, self.gate.send)
        left = self._deadline - self.attempt.began
        limit = left if self._first is None else min(left, self._first)
        self._foreign = ForeignAnswer(self.gate, self._exchange, self.attempt)
        return self._foreign.run(app, own, body, limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Record the outcome. Suppresses errors of the target."""
        del kind, trace
        try:
            is_targets = isinstance(error, Exception) and not self._is_ours(error)
            if self._foreign is not None and (is_targets or error is None) and not self._is_decided:
                self._foreign.failed()
        finally:
            self._record()
            self._release()
        return is_targets

    def _is_ours(self, error: Exception) -> bool:
        """Whether the error is the gateway's own, so that another target would not help.

        This is decided by the state of the gate, because an inner layer may wrap or suppress exceptions.
        """
        attempt, foreign = self.attempt, self._foreign
        if self.lost:
            return False
        if self.gate.state is _COMMITTED or (attempt.fault is None and foreign is None):
            return True
        if attempt.fault is None and foreign is not None and not foreign.late:
            log.warning("%s: %s: %r", self._exchange.id, attempt.candidate.name, error)
        return False

    @property
    def _is_decided(self) -> bool:
        """Whether the attempt needs no fault: it is served, or nobody waits for it."""
        return self.committed or self.lost or self._exchange.client_gone

    def _record(self) -> None:
        attempt = self.attempt
        now = attempt.ended = self._exchange.clock()
        permit, self._permit = self._permit, None
        if permit is None:
            return
        fault, answer = attempt.fault, attempt.answer
        cut_short = self.gate.state is not _COMMITTED and now >= self._deadline
        # A disconnect of the client, or the gateway's own deadline, says nothing about the target.
        has_outcome = answer is not None or fault is not None
        proved = has_outcome and not (self._exchange.client_gone or cut_short or self.lost)
        finish = None if answer is None or answer.reader is None else answer.reader.finish
        self._health.record(
            permit, fault if proved else None, proved=proved, refused=proved and is_refusal(fault, finish)
        )

    def _release(self) -> None:
        """Drop the references by which this attempt is part of cycles.

        Without cycles a request is freed when it ends, and its memory is used again while it is in the
        processor's caches. Otherwise it would be kept until the garbage collector runs.
        """
        self.gate.end()
        self._moves = self.won = self.attempt.takes_over = None

    def _may_move(self, fault: Fault) -> bool:
        return self._moves is not None and self._moves(self.candidate, fault)

    def _committed(self) -> None:
        """Lift the timeout of a foreign app, and report the first byte to the target's health."""
        if self._foreign is not None:
            self._foreign.committed()
        if self._permit is not None:
            attempt, exchange = self.attempt, self._exchange
            good = exchange.served is attempt and attempt.fault is None
            self._health.answered(self._permit, streamed=good and exchange.streamed)
        if self.won is not None:
            self.won(self)
