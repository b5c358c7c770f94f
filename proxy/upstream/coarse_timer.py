"""One timer shared by all calls that have just begun.

Nearly every call ends soon after it began, and creating and cancelling a timer costs more than most of what a
gateway does for a call. So new calls share one timer, and get their own only if they last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Final

__all__ = ["GRANULARITY", "LISTEN_DELAY", "CoarseTimer"]

LISTEN_DELAY: Final = 0.02
"""Seconds into a call at which watching for a hang-up begins: many answers are complete by then. A fifth of
the 100 ms within which the upstream must be closed."""

GRANULARITY: Final = 0.01
"""Seconds by which a callback may be late, when calls follow one another closely."""


class CoarseTimer:
    """Calls each function LISTEN_DELAY after it joined, or up to GRANULARITY later. For one event loop."""

    __slots__ = ("_timer", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, due: float, wake: Callable[[], None]) -> None:
        """Call `wake` at `due`, LISTEN_DELAY from now. It cannot be cancelled, and must check for itself."""
        self._waiting.append((due, wake))
        if self._timer is None:
            self._wait_until(due)

    def _wait_until(self, due: float) -> None:
        # An empty context: a timer keeps the context it is created in, and with it the request's data.
        self._timer = self.loop.call_at(due, self._tick, context=Context())

    def _tick(self) -> None:
        self._timer = None
        now = self.loop.time()
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            waiting.popleft()[1]()
        if waiting and self._timer is None:
            self._wait_until(max(waiting[0][0], now + GRANULARITY))
