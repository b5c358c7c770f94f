"""What is measured of one target for one operation: how fast it answers, with what, and what is under way.

No I/O. `now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

from typing import Final

from ..classify.faults import Fault, FaultKind
from .breaker import Breaker
from .latency import Latency
from .ratio_window import RatioWindow
from .retry_budget import RetryBudget

__all__ = ["MALFORMED", "SPAN", "InFlight", "Load", "Measurements"]

SPAN: Final = 60.0
"""Seconds over which answers that refuse, or are none, are counted."""
MALFORMED: Final[frozenset[FaultKind]] = frozenset({"bad_response", "stream_failed", "stream_truncated"})
"""What came was no answer, or not all of one."""


class InFlight:
    """An attempt, since it `started`; `first_token` is in seconds, once something of it has come."""

    __slots__ = ("after", "before", "first_token", "started", "streamed")

    def __init__(self) -> None:
        self.started = 0.0
        self.streamed = False
        self.first_token: float | None = None
        self.before: InFlight | None = None
        self.after: InFlight | None = None

    @property
    def waiting(self) -> bool:
        """Whether it is to be streamed, and nothing of it has come yet."""
        return self.streamed and self.first_token is None


class Load:
    """How many attempts are under way at one target, whatever the operation."""

    __slots__ = ("busy",)

    def __init__(self) -> None:
        self.busy = 0


class Measurements:
    """The measurements of one (target, operation). 31 KB at most, however many requests there are.

    Attempts under way hang on one chain, the oldest first, so that they take no memory here.
    """

    __slots__ = ("_chain", "breaker", "busy", "latency", "load", "malformed", "refusals", "retries")

    def __init__(self, load: Load) -> None:
        self.load = load
        self.busy = 0
        self.breaker = Breaker()
        self.latency = Latency()
        self.refusals = RatioWindow(SPAN)
        self.malformed = RatioWindow(SPAN)
        self.retries = RetryBudget()
        self._chain = InFlight()
        self._chain.before = self._chain.after = self._chain

    def begin(self, attempt: InFlight, now: float, *, streamed: bool) -> None:
        """An attempt is under way."""
        attempt.started = now
        attempt.streamed = streamed
        chain = self._chain
        last = chain.before or chain
        attempt.before, attempt.after = last, chain
        last.after = chain.before = attempt
        self.busy += 1
        self.load.busy += 1

    def answered(self, attempt: InFlight, now: float) -> None:
        """Its first content has come."""
        if attempt.waiting:
            attempt.first_token = took = now - attempt.started
            self.latency.first_token.record(took, now)

    def end(self, attempt: InFlight) -> None:
        """It is under way no more. The second time nothing happens."""
        before, after = attempt.before, attempt.after
        if before is None or after is None:
            return
        before.after, after.before = after, before
        attempt.before = attempt.after = None
        self.busy -= 1
        self.load.busy -= 1

    def finished(self, now: float, took: float | None, fault: Fault | None, *, refused: bool) -> None:
        """The target has answered, well or not, after `took` seconds. Only good answers are timed."""
        malformed = False
        if fault is None:
            if took is not None:
                self.latency.total.record(took, now)
        elif fault.kind == "content_refused":
            refused = True
        elif fault.kind in MALFORMED:
            malformed = True
        else:
            return
        self.malformed.record(now, hit=malformed)
        if not malformed:
            self.refusals.record(now, hit=refused)

    def forget(self, *, latency: bool) -> None:
        """What comes next is judged by itself: how long it takes, or what is in it."""
        if latency:
            self.latency.first_token.clear()
            self.latency.total.clear()
        else:
            self.refusals.clear()
            self.malformed.clear()

    def overdue(self, limit: float, now: float, *, first_token: bool) -> int:
        """How many under way have lasted longer than `limit` seconds, to their first token or in all."""
        since = now - limit
        count = 0
        attempt = self._chain.after
        while attempt is not None and attempt is not self._chain and attempt.started < since:
            count += not first_token or attempt.waiting
            attempt = attempt.after
        return count
