"""A wall clock that ignores sudden jumps of the system's clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

__all__ = ["CONFIRM_AFTER", "SLACK", "SteadyClock"]

SLACK: Final = 10.0
"""Seconds: the largest correction of the system's clock that is followed at once. A larger one is a jump."""
CONFIRM_AFTER: Final = 300.0
"""Seconds for which the clock must continue from its new time before a jump is accepted."""

_log: Final = logging.getLogger("standby.store")


_BOOT: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
_uptime: Final[Callable[[], float]] = time.monotonic if _BOOT is None else partial(time.clock_gettime, _BOOT)
"""Returns monotonic seconds. They include suspended time, where the OS supports it."""


class SteadyClock:
    """A callable that returns seconds since 1970.

    After a jump of the system's clock it continues the old time until the jump is confirmed. `wall` is the
    system's clock and `elapsed` a monotonic clock, both in seconds. Budget windows depend on this time: if a
    clock is set an hour ahead and back again, the same budget must not be available twice.
    """

    __slots__ = ("_elapsed", "_new_offset", "_offset", "_since", "_wall")

    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = _uptime) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._offset = wall() - elapsed()  # the accepted difference of the two clocks
        self._new_offset = 0.0  # the difference after a jump that is not confirmed; 0.0 if there is none
        self._since = 0.0  # the monotonic time of that jump

    def __call__(self) -> float:
        elapsed = self._elapsed()
        offset = self._wall() - elapsed
        accepted = self._offset
        if -SLACK <= offset - accepted <= SLACK:
            accepted = self._offset = offset
            self._new_offset = 0.0
        elif not self._new_offset or abs(offset - self._new_offset) > SLACK:
            _log.warning("the clock jumped by %+.0f s; budgets go on by the time before", offset - accepted)
            self._new_offset, self._since = offset, elapsed
        elif elapsed - self._since >= CONFIRM_AFTER:
            accepted = self._offset = offset
            self._new_offset = 0.0
        return elapsed + accepted
