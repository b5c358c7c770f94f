"""When it is time to look at those who are still waiting.

Nearly every call ends soon after it began, and a timer that is made and cancelled costs more than most of
what a gateway does for one. So calls that have just begun share one timer, and get their own if they last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Final

__all__ = ["GRANULARITY", "LISTEN_DELAY", "CoarseTimer"]

LISTEN_DELAY: Final = 0.02
"""Seconds before it is worth listening for a hang-up: many an answer is here by then. A fifth of the 100 ms
in which the upstream must be closed."""

GRANULARITY: Final = 0.01
"""Seconds that it may be later, where calls follow one another closely."""


class CoarseTimer:
    """Calls back what joined, `PATIENCE` seconds later or up to `GRAIN` more. Belongs to one event loop."""

    __slots__ = ("_timer", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, due: float, wake: Callable[[], None]) -> None:
        """Call `wake` when it is `due`, PATIENCE seconds from now, whether or not anybody still waits."""
        self._waiting.append((due, wake))
        if self._timer is None:
            self._wait_until(due)

    def _wait_until(self, due: float) -> None:
        # A context of its own: a timer keeps the one it is made in, and with it a request.
        self._timer = self.loop.call_at(due, self._tick, context=Context())

    def _tick(self) -> None:
        self._timer = None
        now = self.loop.time()
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            waiting.popleft()[1]()
        if waiting and self._timer is None:
            self._wait_until(max(waiting[0][0], now + GRANULARITY))
