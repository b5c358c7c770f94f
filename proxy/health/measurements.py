"""The measurements of one target for one operation: latency, refusals, malformed answers, attempts in flight.

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
"""Seconds over which refusals and malformed answers are counted."""
MALFORMED: Final[frozenset[FaultKind]] = frozenset({"bad_response", "stream_failed", "stream_truncated"})
"""Faults where the response was not a valid answer, or not a complete one."""


class InFlight:
    """An attempt in flight.

    `started` is the time at which it was sent. `first_token` is the number of seconds to its first content,
    None until that has arrived. `before` and `after` are its neighbours in the chain of `Measurements`.
    """

    __slots__ = ("after", "before", "first_token", "started", "streamed")

    def __init__(self) -> None:
        self.started = 0.0
        self.streamed = False
        self.first_token: float | None = None
        self.before: InFlight | None = None
        self.after: InFlight | None = None

    @property
    def waiting(self) -> bool:
        """Whether the answer is streamed and its first token has not arrived yet."""
        return self.streamed and self.first_token is None


class Load:
    """The number of attempts in flight at one target, over all operations, and the credential of the last."""

    __slots__ = ("busy", "credential")

    def __init__(self) -> None:
        self.busy = 0
        self.credential = ""


class Measurements:
    """The measurements of one (target, operation). At most 31 KB, independent of the number of requests.

    Attempts in flight form a linked list, the oldest first, so that they take no memory here.
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
        """Record that `attempt` was sent at `now`."""
        attempt.started = now
        attempt.streamed = streamed
        chain = self._chain
        last = chain.before or chain
        attempt.before, attempt.after = last, chain
        last.after = chain.before = attempt
        self.busy += 1
        self.load.busy += 1

    def answered(self, attempt: InFlight, now: float) -> None:
        """Record that the first content of a streamed answer has arrived."""
        if attempt.waiting:
            attempt.first_token = elapsed = now - attempt.started
            self.latency.first_token.record(elapsed, now)

    def end(self, attempt: InFlight) -> None:
        """Remove `attempt` from the attempts in flight. A second call has no effect."""
        before, after = attempt.before, attempt.after
        if before is None or after is None:
            return
        before.after, after.before = after, before
        attempt.before = attempt.after = None
        self.busy -= 1
        self.load.busy -= 1

    def finished(self, now: float, duration: float | None, fault: Fault | None, *, refused: bool) -> None:
        """Record the result of an attempt. Only successful answers are added to the latency.

        `duration` is in seconds, None if it was not measured. `refused` is whether the answer is a refusal.
        """
        malformed = False
        if fault is None:
            if duration is not None:
                self.latency.total.record(duration, now)
        elif fault.kind == "content_refused":
            refused = True
        elif fault.kind in MALFORMED:
            malformed = True
        else:
            return
        self.malformed.record(now, hit=malformed)
        if not malformed:
            self.refusals.record(now, hit=refused)

    def gave_up(self, attempt: InFlight, now: float) -> None:
        """Record an attempt that was ended by its client, or by us, before its first token.

        The time waited is less than its latency. It counts where it is more than the median, so that a target
        that hangs is noticed also if every client leaves early; less would make the target look fast.
        """
        if attempt.waiting:
            elapsed = now - attempt.started
            median = self.latency.first_token.percentiles(now).p50
            if median is not None and elapsed > median:
                self.latency.first_token.record(elapsed, now)

    def forget(self, *, latency: bool) -> None:
        """Clear the latency windows, or else the windows of refusals and malformed answers."""
        if latency:
            self.latency.first_token.clear()
            self.latency.total.clear()
        else:
            self.refusals.clear()
            self.malformed.clear()

    def overdue(self, limit: float, now: float, *, first_token: bool) -> int:
        """Returns the number of attempts in flight that have exceeded `limit` seconds.

        With `first_token`, only those count whose first token has not arrived yet.
        """
        since = now - limit
        count = 0
        attempt = self._chain.after
        while attempt is not None and attempt is not self._chain and attempt.started < since:
            count += not first_token or attempt.waiting
            attempt = attempt.after
        return count
