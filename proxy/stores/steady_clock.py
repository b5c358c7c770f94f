"""The time of day of a machine that has no other to ask: without jumps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["CONFIRM_AFTER", "SLACK", "SteadyClock"]

SLACK: Final = 10.0
"""Seconds by which the clock may be corrected at a time; more is a jump."""
CONFIRM_AFTER: Final = 300.0
"""Seconds that a clock must have gone on from where it jumped to until it is believed."""

_log: Final = logging.getLogger("standby.store")


def _uptime() -> float:
    """Seconds that nobody sets, and that go on while the machine sleeps, where it can tell."""
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SteadyClock:
    """Seconds since 1970, as the clock said before it jumped, until it has proved that it meant it.

    Budgets begin anew by this time: one that is set an hour ahead and back would spend them twice.
    """

    __slots__ = ("_ahead", "_elapsed", "_jumped", "_since", "_wall")

    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = _uptime) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._ahead: float | None = None  # of the seconds that nobody sets
        self._jumped = 0.0
        self._since = 0.0

    def __call__(self) -> float:
        elapsed = self._elapsed()
        ahead = self._wall() - elapsed
        believed = self._ahead
        if believed is None or abs(ahead - believed) <= SLACK:
            believed = self._ahead = ahead
            self._jumped = 0.0
        elif not self._jumped or abs(ahead - self._jumped) > SLACK:
            _log.warning("the clock jumped by %+.0f s; budgets go on by the time before", ahead - believed)
            self._jumped, self._since = ahead, elapsed
        elif elapsed - self._since >= CONFIRM_AFTER:
            believed = self._ahead = ahead
            self._jumped = 0.0
        return elapsed + believed
