"""A breaker: rests a target for an operation after failures, and lets it come back by single probes. No I/O.

    closed     everybody is let in; failures in a row, or too large a share of them, open it
    open       nobody is, for a time that doubles with each time it opens again
    half open  that time is over: one attempt at a time is let in, a probe. Two good ones in a row close it

`now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Literal, TypeAlias

from .ratio_window import RatioWindow

__all__ = [
    "CLOSE_AFTER",
    "LEAST",
    "MAX_OPEN",
    "OPEN",
    "SETTLED",
    "SHARE",
    "TRIP",
    "WINDOW",
    "Breaker",
    "Turn",
]

TRIP: Final = 5
"""Consecutive failures that open a breaker (Envoy, Finagle and LiteLLM agree on five)."""
SHARE: Final = 0.5
"""Failures by attempts that open it too: what fails every other time may never fail five times in a row."""
LEAST: Final = 10
"""Attempts of which that share is taken, at least."""
WINDOW: Final = 30.0
"""Seconds over which both are counted."""
OPEN: Final = 5.0
"""Seconds a breaker stays open the first time; doubled each time it opens again."""
MAX_OPEN: Final = 300.0
"""Seconds a breaker stays open at most (Envoy, Finagle)."""
CLOSE_AFTER: Final = 2
"""Successful probes that close a breaker (HAProxy's `rise`)."""
SETTLED: Final = 30.0
"""Seconds that a breaker must stay closed, at least, until the next opening counts as a first one again."""

Turn: TypeAlias = Literal["opened", "closed"]


class Breaker:
    """Closed while `until` is None.

    The time it stays open is not forgotten when it closes, or a target that fails every other time would be
    tried every five seconds for ever. It is when the breaker has stayed closed for as long as it was last to
    stay open, and for SETTLED at least.
    """

    __slots__ = ("_closed", "_opened", "failures", "probing", "span", "successes", "until", "window")

    def __init__(self) -> None:
        self.failures = 0
        self.successes = 0
        self.span = OPEN / 2
        self.until: float | None = None
        self.probing = False
        self.window = RatioWindow(WINDOW)
        self._opened = -inf
        self._closed = -inf

    @property
    def well(self) -> bool:
        """Whether it is closed, and nothing has failed since something succeeded."""
        return self.until is None and not self.failures

    def wait(self, now: float) -> float | None:
        """Seconds of rest that are left (0 or less while a probe is under way); None where one may enter."""
        until = self.until
        return None if until is None or (until <= now and not self.probing) else until - now

    def record(self, now: float, *, failed: bool, probe: bool, chance: Callable[[], float]) -> Turn | None:
        """An attempt has ended, the `probe` or another. Returns what the breaker did, if anything."""
        if probe:
            self.probing = False
            if failed:
                self._open(now, chance())
                return "opened"
            self.successes += 1
            # Half of a rest is chance, and it may have been short; no target comes and goes faster than this.
            if self.successes < CLOSE_AFTER or now < self._opened + OPEN:
                return None
            self._close(now)
            return "closed"
        if self.until is not None:
            return None  # it began before the breaker opened, and tells nothing that opened it did not
        self.window.record(now, hit=failed)
        if not failed:
            self.failures = 0
            return None
        self.failures += 1
        if self.failures < TRIP and not self.window.reaches(SHARE, LEAST, now):
            return None
        self._open(now, chance())
        return "opened"

    def adopt(self, now: float, rest: float) -> bool:
        """Open for `rest` seconds from now, as a breaker elsewhere has; False if this one rests longer."""
        until = now + rest
        if self.until is None:
            self._forget(now)
            self._opened = now
        elif self.until >= until:
            return False
        self.until = until
        self.successes = 0
        self.span = max(self.span, min(rest, MAX_OPEN))
        return True

    def _open(self, now: float, chance: float) -> None:
        if self.until is None:
            self._forget(now)
        self._opened = now
        self.successes = 0
        self.span = min(self.span * 2, MAX_OPEN)
        # Equal jitter: replicas that tripped together must not probe together.
        self.until = now + self.span * (0.5 + chance / 2)

    def _close(self, now: float) -> None:
        self.until = None
        self.failures = self.successes = 0
        self._closed = now
        self.window.clear()

    def _forget(self, now: float) -> None:
        """Begin anew with the first open time, if it has been closed for long enough."""
        if now - self._closed >= max(SETTLED, self.span):
            self.span = OPEN / 2
