"""A circuit breaker for one target and operation: opens after failures and closes after probes. No I/O.

    closed     all attempts are admitted. Consecutive failures, or too large a share of failures, open it
    open       no attempt is admitted, but an early probe where no other target is left (`target_health`).
               The open time doubles each time the breaker opens again
    half open  the open time is over: one attempt at a time is admitted, a probe. Two successful probes in
               a row close the breaker

`now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, Literal, TypeAlias

from .ratio_window import RatioWindow

__all__ = [
    "CLOSE_AFTER",
    "EARLY",
    "LEAST",
    "MAX_OPEN",
    "OPEN",
    "SETTLED",
    "SHARE",
    "TRIP",
    "WINDOW",
    "Breaker",
    "Transition",
]

TRIP: Final = 5
"""Consecutive failures that open a breaker (Envoy, Finagle and LiteLLM agree on five)."""
SHARE: Final = 0.5
"""Share of failed attempts that also opens a breaker.

A target that fails every other time may never fail five times in a row."""
LEAST: Final = 10
"""Minimum number of attempts in the window before SHARE applies."""
WINDOW: Final = 30.0
"""Seconds over which failures and attempts are counted for SHARE."""
OPEN: Final = 5.0
"""Seconds a breaker stays open the first time. Doubled each time it opens again."""
MAX_OPEN: Final = 300.0
"""Maximum number of seconds that a breaker stays open (Envoy, Finagle)."""
CLOSE_AFTER: Final = 2
"""Successful probes that close a breaker (HAProxy's `rise`)."""
EARLY: Final = 1.0
"""Seconds from one early probe to the next. Also bounds what a dead provider is asked in a total outage."""
SETTLED: Final = 30.0
"""Minimum number of seconds that a breaker must stay closed before the open time is reset to OPEN."""

Transition: TypeAlias = Literal["opened", "closed"]
"""A change of a breaker's state."""


class Breaker:
    """The circuit breaker of one target and operation. Closed while `until` is None.

    Closing does not reset the open time, or a target that fails every other time would be tried every five
    seconds for ever. The open time is reset once the breaker has stayed closed for the length of the last
    open time, and for at least SETTLED seconds.
    """

    __slots__ = (
        "_closed_at",
        "_opened_at",
        "early_at",
        "failures",
        "open_seconds",
        "probing",
        "successes",
        "until",
        "window",
    )

    def __init__(self) -> None:
        self.failures = 0
        self.successes = 0
        self.open_seconds = OPEN / 2
        self.until: float | None = None
        self.probing = False
        self.early_at = -inf
        """The time of the next early probe at the earliest."""
        self.window = RatioWindow(WINDOW)
        self._opened_at = -inf
        self._closed_at = -inf

    @property
    def healthy(self) -> bool:
        """Whether the breaker is closed and the last recorded attempt did not fail."""
        return self.until is None and not self.failures

    def wait(self, now: float) -> float | None:
        """Returns the seconds until an attempt may enter, or None if one may enter now.

        The result is 0 or less while a probe is in flight after the open time.
        """
        until = self.until
        return None if until is None or (until <= now and not self.probing) else until - now

    def record(
        self, now: float, *, failed: bool, probe: bool, chance: Callable[[], float]
    ) -> Transition | None:
        """Record the end of an attempt. `probe` is whether it was the probe.

        `chance` returns a random number from 0 to 1, for the jitter of the open time. Returns the state
        transition that followed, or None.
        """
        if probe:
            self.probing = False
            if failed and self.until is not None and now < self.until:
                self.successes = 0  # an early probe, which changes nothing if it fails
                return None
            if failed:
                self._open(now, chance())
                return "opened"
            self.successes += 1
            if self.until is not None:
                self.until = min(self.until, now)  # after an early probe: half open from now on
            # Half of the open time is random and may have been short. OPEN limits how fast a target can flap.
            if self.successes < CLOSE_AFTER or now < self._opened_at + OPEN:
                return None
            self._close(now)
            return "closed"
        if self.until is not None:
            return None  # it began before the breaker opened, so it carries no new information
        self.window.record(now, hit=failed)
        if not failed:
            self.failures = 0
            return None
        self.failures += 1
        if self.failures < TRIP and not self.window.reaches(SHARE, LEAST, now):
            return None
        self._open(now, chance())
        return "opened"

    def _open(self, now: float, chance: float) -> None:
        if self.until is None:
            self._reset_open_time(now)
        self._opened_at = now
        self.successes = 0
        self.open_seconds = min(self.open_seconds * 2, MAX_OPEN)
        # Equal jitter: replicas that tripped together must not probe together.
        self.until = now + self.open_seconds * (0.5 + chance / 2)

    def _close(self, now: float) -> None:
        self.until = None
        self.failures = self.successes = 0
        self._closed_at = now
        self.window.clear()

    def _reset_open_time(self, now: float) -> None:
        """Reset the open time to its first value if the breaker has been closed for long enough."""
        if now - self._closed_at >= max(SETTLED, self.open_seconds):
            self.open_seconds = OPEN / 2
